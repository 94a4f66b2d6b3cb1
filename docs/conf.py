# SPDX-License-Identifier: Apache-2.0
"""
How Sphinx makes the site of these pages: `make docs`, into build/docs.

The pages are read on a code host as well, so that what only the site needs is made here: its navigation,
which is index.md's sections and the pages that each links; and links to files that are no pages, which
the site has no place for.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "Bifrost"
author = "the Bifrost contributors"
copyright = f"{author}. Apache License 2.0"  # noqa: A001 - Sphinx's name
version = release = PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"

html_theme = "furo"
html_title = f"Bifrost {version}"
html_copy_source = False
html_show_sphinx = False

# Headings are linked from other pages as code hosts name them.
myst_heading_anchors = 3

# In docstrings, words in backquotes are code, and sections are Google's.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the attributes of named tuples are described once
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

# External links are tried where there is a network; a page that is slow to answer is no mistake of ours.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_ignore = [r".*\.example(/.*)?$", r"http://localhost.*"]

LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
SECTION = re.compile(r"^## (?P<title>.*)\n(?P<body>(?:(?!## ).*\n?)*)", re.MULTILINE)


def without_links_out(text: str, folder: Path) -> str:
    """Return a page's text, in which links to files that are not below docs/ are mere text."""

    def kept(link: re.Match[str]) -> str:
        return link[0] if (folder / link[2]).resolve().is_relative_to(HERE) else link[1]

    return LINK.sub(kept, text)


def navigation(text: str) -> str:
    """Return a hidden table of contents for each section of the index: the pages that it links."""
    parts = []
    for section in SECTION.finditer(text):
        pages = [target for _, target in LINK.findall(section["body"]) if target.endswith(".md")]
        parts += [
            "",
            "```{toctree}",
            ":hidden:",
            f":caption: {section['title']}",
            "",
            *pages,
            "```",
        ]
    return "\n".join(parts)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Change a page's text before it is parsed."""
    source[0] = without_links_out(source[0], app.srcdir.joinpath(name).parent)
    if name == root_doc:
        source[0] += navigation(source[0])
    if name == "decisions/index":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def as_it_stands(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Show what docstrings write as Markdown, fenced code and tables, as it stands there."""
    done: list[str] = []
    is_fenced = was_verbatim = False
    for line in lines:
        is_fence = line.lstrip().startswith("```")
        is_fenced ^= is_fence
        is_verbatim = is_fenced or line.startswith("|")
        if is_verbatim and not was_verbatim:
            done += ["", "::", ""]
        elif was_verbatim and not is_verbatim:
            done.append("")
        if not is_fence:
            done.append(f"    {line}" if is_verbatim else line)
        was_verbatim = is_verbatim
    lines[:] = done


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", read)
    app.connect(
        "autodoc-process-docstring", as_it_stands, priority=400
    )  # before its sections are read
