# SPDX-License-Identifier: Apache-2.0
"""Language tags (BCP 47), and what to fall back to where a language is not at hand."""

from __future__ import annotations

import re
from typing import Final

_MAX_CHARACTERS: Final = 35
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_SCRIPT_LETTERS: Final = 4
_REGION_LETTERS: Final = 2


def fallbacks(locale: str) -> tuple[str, ...]:
    """
    Return the tags that serve *locale*, the best first: `de-AT` and `de` for `de-at`.

    The spelling of POSIX (`de_AT.UTF-8`) is understood. What is no language tag has none.
    """
    text = re.split("[.@]", locale, maxsplit=1)[0].replace("_", "-")
    if len(text) > _MAX_CHARACTERS or not _TAG.fullmatch(text) or text.upper() == "POSIX":
        return ()
    first, *others = text.split("-")
    parts = [first.lower(), *map(_cased, others)]
    return tuple("-".join(parts[:count]) for count in range(len(parts), 0, -1))


def _cased(subtag: str) -> str:
    """Return *subtag* as it is usually written; case means nothing, and keys are compared by it."""
    if subtag.isalpha() and len(subtag) == _SCRIPT_LETTERS:
        return subtag.title()
    if subtag.isalpha() and len(subtag) == _REGION_LETTERS:
        return subtag.upper()
    return subtag.lower()
