# SPDX-License-Identifier: Apache-2.0
"""
Write docs/errors.md from bifrost.errors: `make docs`.

The tree, the codes, what each becomes and what to do about it are the code's own; tests/docs compares
the two.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from textwrap import indent

from bifrost import errors, messages

HERE = Path(__file__).parent

_HEAD = """\
<!-- Written by `make docs` from python/bifrost/errors.py. -->
# Error codes

A code is the stable name of what happened: it may be logged, counted, and compared. It is the `code` of
an exception and of a failure within a batch, and stands in the plugin's warnings and in messages to
OpenAssetIO hosts. `error.remedy` says what to do; `bifrost.messages.localized(error.code, "de")` is a
headline for people.

Exit codes of the command line are in [commands.md](commands.md).
"""
_IN_MESSAGE = "The message says it."


def page() -> str:
    """Return the page's text."""
    return f"{_HEAD}\n{_codes()}\n{_tree()}\n{_exceptions()}"


def _codes() -> str:
    lines = ["## Codes\n", "| code | exception | says | what to do |", "|---|---|---|---|"]
    for code in errors.Code:
        error = errors.exception_for(code, "", "")
        name = type(error).__name__
        headline = messages.localized(code, "en")
        lines.append(f"| `{code.value}` | `{name}` | {headline} | {_cell(error.remedy)} |")
    for each in _classes():
        code = vars(each).get("code")
        if code in {None, "bifrost", *errors.Code}:
            continue
        about, remedy = _cell(inspect.getdoc(each)), errors._REMEDIES.get(code, "")
        lines.append(f"| `{code}` | `{each.__name__}` | {about} | {remedy or _IN_MESSAGE} |")
    return "\n".join(lines) + "\n"


def _tree() -> str:
    _, _, rest = inspect.getdoc(errors).partition("```\n")
    tree, _, _ = rest.partition("```")
    return f"## The tree\n\n{indent(tree, '    ')}"


def _exceptions() -> str:
    lines = ["## What they carry\n", "| exception | has besides |", "|---|---|"]
    for each in _classes():
        own = [name for name in _attributes(each) if name != "code"]
        if own:
            lines.append(f"| `{each.__name__}` | {', '.join(f'`{name}`' for name in own)} |")
    return "\n".join(lines) + "\n"


def _attributes(cls: type) -> list[str]:
    """Return the names that a class's docstring lists, and its properties."""
    _, _, listed = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    names = [line.strip().partition(":")[0] for line in listed.splitlines() if line[:5].strip()]
    described = [name for name in names if name.isidentifier()]
    return [*described, *(name for name, value in vars(cls).items() if isinstance(value, property))]


def _classes() -> list[type]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.BifrostError)
    ]


def _cell(text: str | None) -> str:
    first = (text or "").split("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    (HERE / "errors.md").write_text(page(), encoding="utf-8")
    print("docs/errors.md")
