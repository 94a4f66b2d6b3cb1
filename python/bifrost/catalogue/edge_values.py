# SPDX-License-Identifier: Apache-2.0
"""
What an edge between assets says besides where it leads: its kind, strength, purpose and metadata.

Callers hand strength and purpose in within the metadata, and get them back there; the database has
them in columns of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from bifrost.catalogue.checks import text_problem
from bifrost.catalogue.records import from_microseconds, shown
from bifrost.errors import Code, InvalidTraitsException

STRENGTHS: Final = ("strong", "weak", "reference")
"""Required, optional, informational: strongest first, each at the number the database has for it."""
STRONG, WEAK, REFERENCE = range(3)
ORIGINS: Final = ("file", "added")

KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""What a kind looks like."""
_MAX_TEXT_BYTES: Final = 1_000
_MAX_METADATA_BYTES: Final = 64_000
_MAX_DEPTH: Final = 32


class Relationship(NamedTuple):
    """
    An edge from one asset to another.

    Attributes:
        from_id: The asset it starts at.
        from_number: The version that it belongs to; 0 where it belongs to the whole asset.
        to_id: The asset it leads to.
        to_version: A number's digits where it pins one; a tag or None where it floats.
        kind: `sublayer`, `reference`, `texture`…; of added ones the caller's relationship_type.
        strength: `strong` (required), `weak` (optional) or `reference` (informational).
        purpose: What it is for, or "".
        metadata_json: What else is known, without purpose and strength; see `metadata`.
        origin: `file` where a version's file says so, `added` where somebody did.
        created_us: When it was added, in microseconds since the epoch; 0 where nobody noted it.
        created_by: Who added it, or "".
        direction: `out` where it starts at the asset that was asked about, `in` where it leads there.
        cursor: What the next page starts behind; opaque.
    """

    from_id: str
    from_number: int
    to_id: str
    to_version: str | None
    kind: str
    strength: str
    purpose: str
    metadata_json: str
    origin: str
    created_us: int
    created_by: str
    direction: str = "out"
    cursor: str = ""

    @property
    def is_pinned(self) -> bool:
        """Whether it leads to one version for ever."""
        return self.to_version is not None and self.to_version.isdigit()

    @property
    def created(self) -> datetime:
        """When it was added, in UTC."""
        return from_microseconds(self.created_us)

    @property
    def metadata(self) -> dict[str, Any]:
        """Everything it says, as `add` and `update` take it; a copy of the caller's own."""
        found = dict(json.loads(self.metadata_json))
        if self.purpose:
            found["purpose"] = self.purpose
        if self.strength == STRENGTHS[REFERENCE]:
            return found | {"strength": self.strength}
        return found | {"optional": self.strength == STRENGTHS[WEAK]}


class EdgeValues(NamedTuple):
    """What the columns of an edge hold; `strength` is None where nothing was said about it."""

    strength: int | None
    purpose: str | None
    metadata: dict[str, Any]


def checked_kind(kind: str, uri: str) -> str:
    """
    Return *kind*.

    Raises:
        InvalidTraitsException: it is no word.
    """
    if not isinstance(kind, str) or not KIND.fullmatch(kind):
        raise _invalid(
            uri,
            "relationship_type",
            "expected a word of up to 64 letters, digits and '_.-' that begins with a letter, got "
            f"{_shown(kind)}",
        )
    return kind


def checked_values(metadata: Mapping[str, Any] | None, uri: str) -> EdgeValues:
    """
    Take *metadata* apart into the columns of an edge.

    `optional` and `strength` become the strength (the second wins), `purpose` the purpose.

    Raises:
        InvalidTraitsException: a value can't be stored; the message names it.
    """
    if metadata is None:
        return EdgeValues(None, None, {})
    if not isinstance(metadata, Mapping):
        raise _invalid(uri, "metadata", f"expected a mapping, got {type(metadata).__name__}")
    rest = dict(metadata)
    strength = _strength(rest.pop("optional", None), rest.pop("strength", None), uri)
    purpose = rest.pop("purpose", None)
    if purpose is not None:
        checked_text(purpose, "purpose", uri)
    to_json(rest, uri)
    return EdgeValues(strength, purpose, rest)


def checked_text(text: object, field: str, uri: str) -> None:
    """
    Refuse what is no short line of text.

    Raises:
        InvalidTraitsException: the message names *field*.
    """
    problem = text_problem(text, _MAX_TEXT_BYTES)
    if problem:
        raise _invalid(uri, field, problem)


def to_json(metadata: Mapping[str, Any], uri: str) -> str:
    """
    Return *metadata* as the database has it.

    Raises:
        InvalidTraitsException: JSON can't say it, it is nested too deeply, or it is too large.
    """
    problem = _trouble(metadata)
    if problem:
        raise _invalid(uri, "metadata", problem)
    try:
        text = json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid(uri, "metadata", f"JSON can't say it: {error}") from None
    if size > _MAX_METADATA_BYTES:
        raise _invalid(uri, "metadata", f"at most {_MAX_METADATA_BYTES} bytes as JSON, got {size}")
    return text


def strength_mask(strengths: Iterable[str] | None) -> int:
    """
    Return the set of *strengths* as the statements take it, one bit for each; None for all of them.

    Raises:
        InvalidTraitsException: one of them is none.
    """
    if strengths is None:
        return (1 << len(STRENGTHS)) - 1
    if isinstance(strengths, str):
        strengths = (strengths,)
    mask = 0
    for strength in strengths:
        mask |= 1 << _strength(None, strength, "")  # type: ignore[operator]
    return mask


def _strength(optional: object, strength: object, uri: str) -> int | None:
    if strength is not None:
        if strength not in STRENGTHS:
            raise _invalid(
                uri, "strength", f"expected one of {', '.join(STRENGTHS)}, got {_shown(strength)}"
            )
        return STRENGTHS.index(str(strength))
    if optional is None:
        return None
    if not isinstance(optional, bool):
        raise _invalid(uri, "optional", f"expected true or false, got {_shown(optional)}")
    return WEAK if optional else STRONG


def _trouble(metadata: Mapping[str, Any]) -> str:
    """Return what is wrong with the shape of *metadata*; "" if nothing is."""
    # By hand and level by level: `json` overflows the stack, and makes texts of other keys.
    level: list[Any] = [metadata]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                if odd := [key for key in value if not isinstance(key, str)]:
                    return f"expected texts as keys, got {_shown(odd[0])}"
                inner.extend(value.values())
            elif isinstance(value, (list, tuple)):
                inner.extend(value)
            # A byte each, at least. A list that holds itself twice grows without end.
            if len(inner) > _MAX_METADATA_BYTES:
                return f"at most {_MAX_METADATA_BYTES} bytes as JSON, got more"
        level = inner
    if any(isinstance(value, (Mapping, list, tuple)) for value in level):
        return f"nested more than {_MAX_DEPTH} levels deep"
    return ""


def _shown(value: object) -> str:
    return shown(value) if isinstance(value, str) else shown(repr(value))[1:-1]


def _invalid(uri: str, field: str, message: str) -> InvalidTraitsException:
    about = f"the relationship of {uri}: " if uri else ""
    return InvalidTraitsException(
        f"{about}{field}: {message}", asset_uri=uri, code=Code.INVALID_TRAITS
    )
