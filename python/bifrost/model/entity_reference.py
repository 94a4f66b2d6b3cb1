# SPDX-License-Identifier: Apache-2.0
"""
Entity references of Bifrost's own catalogue: `bifrost:///assets/<id>[?version=<version>]`.

| reference | means |
|---|---|
| `bifrost:///assets/hero` | floats: what the context's version policy says, else the newest |
| `bifrost:///assets/hero?version=3` | version 3, for ever |
| `bifrost:///assets/hero?version=latest` | floats to the newest, whatever the policy says |
| `bifrost:///assets/hero?version=approved` | floats by rule: the newest version with that status |
| `bifrost:///assets/hero?representation=thumbnail` | another file that stands for the version |
| `bifrost:///assets/hero?publish=<id>` | what is being published; to write to, never to read |

References of other managers are opaque strings here, as OpenAssetIO asks of a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

SCHEME: Final = "bifrost"
PREFIX: Final = f"{SCHEME}:///assets/"
LATEST: Final = "latest"
MANAGER: Final = "org.bifrost.assetmanager"
"""The identifier of the OpenAssetIO manager whose references these are."""

# USD appends these to an identifier; they are the file format's business, never a manager's.
_FORMAT_ARGS: Final = ":SDF_FORMAT_ARGS:"

# RFC 3986 pchar without "@" (it ends an asset path in .usda), with "<>" (USD looks for "<UDIM>"
# in the authored path) and "#" (value clip templates). "[" would start a package-relative path.
_ID_SAFE: Final = "-._~!$'()*+,;=:<>#"
_VERSION: Final = re.compile(r"[0-9]{1,18}|[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_REPRESENTATION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_PUBLISH: Final = re.compile(r"[0-9a-f]{32}")
_MAX_ID_BYTES: Final = 512
# What nearly every reference looks like: valid as it stands, five times as fast as looking closely.
_PLAIN: Final = re.compile(
    re.escape(PREFIX) + r"([A-Za-z0-9._~!$'()*+,;=:<>-]{1,512})"
    r"(?:\?version=(0|[1-9][0-9]{0,17}|[A-Za-z_][A-Za-z0-9_.-]{0,127}))?"
)


@dataclass(frozen=True, slots=True)
class AssetReference:
    """
    A parsed reference to an asset of Bifrost's catalogue.

    Attributes:
        asset_id: The id as the catalogue stores it, percent-escapes decoded.
        version: A version number's digits, a tag (`latest`, a status), or None when it floats.
        representation: The name of another file that stands for the version; None for its own.
        publish: The id of the publish that this is a working reference of; None for no such.
    """

    asset_id: str
    version: str | None = None
    representation: str | None = None
    publish: str | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the reference names one version for ever."""
        return self.version is not None and self.version.isdigit()

    def __str__(self) -> str:
        if self.publish is not None:
            return f"{reference_for(self.asset_id)}?publish={self.publish}"
        return reference_for(self.asset_id, self.version, self.representation)


def reference_for(
    asset_id: str, version: str | int | None = None, representation: str | None = None
) -> str:
    """Return the canonical reference to *asset_id*; characters that USD would misread are escaped."""
    # USD's marker in an id would read as USD's marker.
    uri = PREFIX + quote(asset_id, safe=_ID_SAFE).replace(_FORMAT_ARGS, "%3ASDF_FORMAT_ARGS:")
    if version is not None:
        uri = f"{uri}?version={version}"
    if representation is None:
        return uri
    return f"{uri}{'?' if version is None else '&'}representation={representation}"


def without_format_args(identifier: str) -> str:
    """Return *identifier* without the file format arguments that USD appended to it."""
    return identifier.partition(_FORMAT_ARGS)[0]


def canonical(reference: str) -> str:
    """
    Return *reference* as `reference_for` writes it, where it has escapes that could stand otherwise.

    Every other reference is returned as it is, those of other managers among them.
    """
    if "%" not in reference or not reference.startswith(PREFIX):
        return reference
    try:
        return str(parse(reference))
    except ValueError:
        return reference


def names_of(asset_id: str) -> tuple[str, ...]:
    """
    Return the references, versions aside, that name an asset once `canonical` has seen them.

    One, unless the id has characters that may stand in a reference with an escape or without.
    """
    escaped, plain = reference_for(asset_id), PREFIX + asset_id
    return (escaped,) if escaped == plain else (escaped, plain)


def is_asset_reference(text: str) -> bool:
    """Whether *text* is of our scheme at all; it may still be malformed."""
    return text.startswith(PREFIX)


def parse(reference: str) -> AssetReference:
    """
    Parse a reference to an asset of Bifrost's catalogue.

    Raises:
        ValueError: it is not one; the message says what is wrong with it.
    """
    if plain := _PLAIN.fullmatch(reference):
        return AssetReference(*plain.groups())
    if not reference.startswith(PREFIX):
        raise ValueError(f"expected {PREFIX}<id>, got {_shown(reference)}")
    rest = reference[len(PREFIX) :]
    path, has_query, query = rest.partition("?")
    if "#" in query:
        raise ValueError(f"a fragment means nothing here: {_shown(reference)}")
    asset_id = _asset_id(path, reference)
    return (
        AssetReference(asset_id, **_parameters(query, reference))
        if has_query
        else AssetReference(asset_id)
    )


def _asset_id(path: str, reference: str) -> str:
    if not path:
        raise ValueError(f"no asset id in {_shown(reference)}")
    if "/" in path or path != path.strip() or any(ch.isspace() for ch in path):
        raise ValueError(f"an asset id has no '/' and no white space: {_shown(reference)}")
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        raise ValueError(f"a '%' that escapes nothing (write %25): {_shown(reference)}")
    try:
        asset_id = unquote(path, errors="strict") if "%" in path else path
        size = len(asset_id.encode())
    except UnicodeError:
        raise ValueError(f"percent-escapes that are no UTF-8: {_shown(reference)}") from None
    if size > _MAX_ID_BYTES:
        raise ValueError(f"an asset id is at most {_MAX_ID_BYTES} bytes long: {_shown(reference)}")
    if any(ord(ch) < 32 or ord(ch) == 127 for ch in asset_id):
        raise ValueError(f"a control character in {_shown(reference)}")
    return asset_id


def _parameters(query: str, reference: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        pattern = _PARAMETERS.get(key)
        if pattern is None or key in found or not pattern.fullmatch(value):
            raise ValueError(
                "the query is version=<number, 'latest' or a status>, representation=<name>, both, "
                f"or publish=<id>: {_shown(reference)}"
            )
        found[key] = str(int(value)) if value.isdigit() and key == "version" else value
    if "publish" in found and len(found) > 1:
        raise ValueError(f"publish=<id> stands alone: {_shown(reference)}")
    return found


_PARAMETERS: Final = {
    "version": _VERSION,
    "representation": _REPRESENTATION,
    "publish": _PUBLISH,
}


def _shown(reference: str) -> str:
    return repr(reference if len(reference) <= 200 else reference[:200] + "…")
