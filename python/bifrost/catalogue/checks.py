# SPDX-License-Identifier: Apache-2.0
"""What can be stored, and what is refused before a database is asked."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from bifrost.catalogue.records import LAST_US, Dependency, Publication, shown
from bifrost.errors import Code, InvalidReferenceException, InvalidTraitsException
from bifrost.model.entity_reference import parse, reference_for

# Bytes. Nothing of ours comes near; a host's accident (a file's content given as a name) does.
_MAX_BYTES: Final = {
    "name": 1_000,
    "asset_type": 200,
    "checksum": 1_000,
    "mime_type": 1_000,
    "created_by": 1_000,
    "path": 32_000,
    "comment": 100_000,
}
_MAX_METADATA_BYTES: Final = 1_000_000
_MAX_DEPTH: Final = 32
_MAX_SIZE: Final = 2**63 - 1
_MAX_NUMBER: Final = 2**31 - 1


class Checked(NamedTuple):
    """A publication whose every value can be stored."""

    publication: Publication
    location: str
    dependencies: tuple[Dependency, ...]
    metadata_json: str
    asset_metadata: dict[str, Any]
    properties_json: str


def checked(publications: Iterable[Publication]) -> list[Checked]:
    """
    Return *publications* ready for `publish`; needs no database.

    Raises:
        InvalidReferenceException: an id, or the version of a dependency, can't be in a reference.
        InvalidTraitsException: a value can't be stored; the message names it.
    """
    canonical: dict[tuple[str, str | None], str | None] = {}

    def version_of(asset_id: str, version: str | None) -> str | None:
        # A shot's files name the same few thousand references over and over.
        asked = (asset_id, version)
        if asked not in canonical:
            canonical[asked] = _canonical_version(asset_id, version)
        return canonical[asked]

    return [_checked(publication, version_of) for publication in publications]


def _checked(
    publication: Publication, version_of: Callable[[str, str | None], str | None]
) -> Checked:
    version_of(publication.asset_id, None)
    for field, limit in _MAX_BYTES.items():
        check_text(publication.asset_id, field, getattr(publication, field), limit)
    if not publication.name:
        raise invalid(publication.asset_id, "name", "an asset needs a name")
    if not isinstance(publication.size, int) or not 0 <= publication.size <= _MAX_SIZE:
        raise invalid(
            publication.asset_id, "size", f"expected a number of bytes, got {publication.size!r}"
        )
    _check_origin(publication)
    edges = []
    for asset_id, version, kind in publication.dependencies:
        check_text(publication.asset_id, "dependency kind", kind, 200)
        edges.append(Dependency(asset_id, version_of(asset_id, version), kind))
    asset_metadata = json.loads(metadata_json(publication.asset_id, publication.asset_metadata))
    return Checked(
        publication,
        _location(publication),
        tuple(edges),
        metadata_json(publication.asset_id, publication.metadata),
        asset_metadata,
        metadata_json(publication.asset_id, publication.properties, "properties"),
    )


def _check_origin(publication: Publication) -> None:
    number, created_us = publication.number, publication.created_us
    if number is not None and not 1 <= number <= _MAX_NUMBER:
        raise invalid(publication.asset_id, "number", f"expected 1 or more, got {number!r}")
    if created_us is not None and not 0 <= created_us <= LAST_US:
        message = f"expected microseconds, from 1970 to the year 9998, got {created_us!r}"
        raise invalid(publication.asset_id, "created_us", message)


def _canonical_version(asset_id: str, version: str | None) -> str | None:
    # What no reference can name could be published and never found.
    try:
        parsed = parse(reference_for(asset_id, version))
    except ValueError as error:
        raise InvalidReferenceException(
            f"{shown(asset_id)} can't be an asset's id, or {version!r} a version: {error}",
            asset_uri=asset_id[:1000],
            code=Code.MALFORMED_REFERENCE,
        ) from None
    return parsed.version


def check_text(asset_id: str, field: str, text: str, limit: int) -> None:
    """
    Make sure that *text* can be stored.

    Raises:
        InvalidTraitsException: no text, not valid Unicode, too long, or with control characters.
    """
    # Only a comment has lines.
    problem = text_problem(text, limit, has_lines=field == "comment")
    if problem:
        raise invalid(asset_id, field, problem)


def text_problem(text: object, limit: int, *, has_lines: bool = False) -> str:
    """Return what keeps *text* from being stored in at most *limit* bytes, or ""."""
    if not isinstance(text, str):
        return f"expected text, got {type(text).__name__}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"not valid Unicode: {shown(text)}"
    if size > limit:
        return f"at most {limit} bytes, got {size}"
    allowed = "\n\r\t" if has_lines else ""
    if not text.isprintable() and any(
        unicodedata.category(ch) == "Cc" and ch not in allowed for ch in text
    ):
        return f"a control character in {shown(text)}"
    return ""


def _location(publication: Publication) -> str:
    if not publication.path:
        return ""
    try:
        return PurePath(publication.path).as_uri()
    except ValueError:
        message = f"expected an absolute path, got {shown(publication.path)}"
        raise invalid(publication.asset_id, "path", message) from None


def metadata_json(asset_id: str, metadata: Mapping[str, Any], field: str = "metadata") -> str:
    """
    Return *metadata* as it is stored.

    Raises:
        InvalidTraitsException: JSON can't say it, or it is too large, too deep or has a key with a
            dot, which queries could not name.
    """
    if metadata == {} and isinstance(metadata, dict):
        return "{}"
    try:
        text = json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
        problem = _misnamed(metadata, _MAX_DEPTH)
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise invalid(asset_id, field, f"JSON can't say it: {error}") from None
    if size > _MAX_METADATA_BYTES:
        message = f"at most {_MAX_METADATA_BYTES} bytes as JSON, got {size}"
        raise invalid(asset_id, field, message)
    if problem:
        raise invalid(asset_id, field, problem)
    return text


def _misnamed(value: Any, depth: int) -> str:
    """Return what is wrong with the shape of *value*, or ""."""
    if isinstance(value, str):
        return "a NUL character, which databases can't store" if "\0" in value else ""
    if not isinstance(value, Mapping | list | tuple):
        return ""
    if not depth:
        return f"more than {_MAX_DEPTH} levels deep"
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key or key[0] == "$" or "." in key or "\0" in key:
                return f"a key is text without '.' and without '$' in front, got {shown(str(key))}"
    return next(filter(None, (_misnamed(each, depth - 1) for each in inner)), "")


def invalid(asset_id: str, field: str, message: str) -> InvalidTraitsException:
    """Return the error that a *field* of an asset can't be stored."""
    return InvalidTraitsException(
        f"{field} of asset {shown(asset_id)}: {message}",
        asset_uri=reference_for(asset_id[:1000]),
        code=Code.INVALID_TRAITS,
    )
