# SPDX-License-Identifier: Apache-2.0
"""Ids of new assets: made of names, and never to be mistaken for another's; and drafts at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from bifrost.catalogue.checks import invalid, metadata_json
from bifrost.catalogue.records import shown
from bifrost.errors import Code, InvalidReferenceException
from bifrost.publishing.drafts import AS_IT_IS, Draft

# Whose letters look like each other's (Unicode's confusables.txt); others don't mix up with these.
_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})


# Unicode's Default_Ignorable_Code_Point outside the categories below, and two blanks that are no space.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def check_draft(draft: Draft) -> None:
    """
    Make sure that a draft's values are of the types they should have, and can be recorded.

    Raises:
        InvalidReferenceException: its asset's id is no text.
        InvalidTraitsException: another value; the message names it.
    """
    asset_id = draft.asset_id
    if not isinstance(asset_id, str):
        raise _refused(str(asset_id), f"expected text, got {type(asset_id).__name__}")
    if not isinstance(draft.path, str):
        raise invalid(asset_id, "path", f"expected text, got {type(draft.path).__name__}")
    expected = draft.expected_version
    if expected is not None and (not isinstance(expected, int) or isinstance(expected, bool)):
        raise invalid(
            asset_id, "expected_version", f"expected a number, got {shown(repr(expected))}"
        )
    if any(field not in AS_IT_IS for field in draft.kept):
        raise invalid(asset_id, "kept", f"expected some of {AS_IT_IS}, got {draft.kept!r}")
    try:
        masks = {name: _listed(paths) for name, paths in draft.population_masks.items()}
        edges = [dict(each) for each in draft.relationships]
    except (TypeError, ValueError, AttributeError) as error:
        raise invalid(asset_id, "population_masks or relationships", str(error)) from None
    metadata_json(asset_id, {"masks": list(masks.items())}, "population_masks")
    metadata_json(asset_id, {"edges": edges}, "relationships")


def _listed(paths: Iterable[str]) -> list[str]:
    if isinstance(paths, str):
        raise TypeError(f"expected a list of prim paths, got the text {shown(paths)}")
    return [*paths]


def id_of(name: str) -> str:
    """
    Return the id that an asset called *name* gets: the name, with `_` for white space and slashes.

    Raises:
        InvalidReferenceException: *name* is no text, or nothing is left of it.
    """
    if not isinstance(name, str) or not name.strip():
        raise _refused(str(name), "an asset needs a name")
    return re.sub(r"[\s/\\]+", "_", unicodedata.normalize("NFC", name.strip()))


def check_new_id(asset_id: str) -> None:
    """
    Make sure that nobody takes *asset_id* for another id or for a path.

    Raises:
        InvalidReferenceException: it mixes letters that look alike, has invisible characters, is not
            in Unicode's normal form, or is `.` or `..`.
    """
    if asset_id in (".", ".."):
        raise _refused(asset_id, "it is a path")
    if unicodedata.normalize("NFC", asset_id) != asset_id:
        raise _refused(asset_id, "write it in Unicode's normal form C")
    if _UNSEEN.search(asset_id) or any(_is_unseen(char) for char in asset_id):
        raise _refused(asset_id, "it has invisible characters")
    scripts = {_script(char) for char in asset_id if char.isalpha()} & _ALIKE
    if len(scripts) > 1:
        names = " and ".join(sorted(script.title() for script in scripts))
        raise _refused(asset_id, f"it mixes {names} letters that look alike")


def _is_unseen(char: str) -> bool:
    # A space may stand in an id; what only looks like one may not.
    category = unicodedata.category(char)
    return (category[0] == "Z" and char != " ") or category in ("Cf", "Co", "Cn", "Cs")


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0]


def _refused(asset_id: str, why: str) -> InvalidReferenceException:
    return InvalidReferenceException(
        f"{asset_id[:200]!r} can't be a new asset's id: {why}", code=Code.MALFORMED_REFERENCE
    )
