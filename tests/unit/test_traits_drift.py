# SPDX-License-Identifier: Apache-2.0
"""The committed traits are what openassetio-traitgen makes of traits.yml, and each has a home."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from bifrost.traits.regenerate import GENERATED, regenerate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "traits.md"


def _views():
    for path in (GENERATED / "traits").glob("[!_]*.py"):
        module = importlib.import_module(f"bifrost.traits.generated.traits.{path.stem}")
        yield from (
            view for _, view in inspect.getmembers(module, inspect.isclass) if _is_view(view)
        )


def _is_view(view):
    return hasattr(view, "kId") and view.__name__.endswith("_v1")


def _named(trait):
    # Of the relationships that have no line of their own, the specification is on the page.
    short = trait.kId.rpartition(".")[2]
    return {"Dependency": "`Dependency`", "Closure": "`Closure`", "Incoming": "`IncomingEdge`"}.get(
        short, f"`{trait.kId}`"
    )


def _page():
    # Paragraphs are one line each.
    return re.sub(r"(?<=[^|\n-])\n(?=[^|\n#-])", " ", PAGE.read_text(encoding="utf-8")).splitlines()


def test_generated_traits_are_those_of_traits_yml(tmp_path):
    """When this fails, run `python -m bifrost.traits.regenerate` and commit what it wrote."""
    pytest.importorskip("openassetio_traitgen", reason="needs openassetio-traitgen to compare with")
    regenerate(tmp_path / "fresh")

    assert _files(tmp_path / "fresh") == _files(GENERATED)


@pytest.mark.parametrize(
    "trait", [pytest.param(trait, id=trait.kId) for trait in sorted(_views(), key=lambda t: t.kId)]
)
def test_a_trait_is_documented_with_all_its_properties(trait):
    """Each trait of ours is on docs/traits.md, where its line names every property."""
    lines = [line for line in _page() if _named(trait) in line]
    properties = {name[3].lower() + name[4:] for name in dir(trait) if re.match("set[A-Z]", name)}

    assert lines
    assert [] == [name for name in sorted(properties) if not any(f"`{name}`" in x for x in lines)]


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.py")
    }
