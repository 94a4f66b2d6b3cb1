# SPDX-License-Identifier: Apache-2.0
"""The committed traits are what openassetio-traitgen makes of traits.yml."""

from __future__ import annotations

import pytest

from bifrost.traits.regenerate import GENERATED, regenerate


def test_generated_traits_are_those_of_traits_yml(tmp_path):
    """When this fails, run `python -m bifrost.traits.regenerate` and commit what it wrote."""
    pytest.importorskip("openassetio_traitgen", reason="needs openassetio-traitgen to compare with")
    regenerate(tmp_path / "fresh")

    assert _files(tmp_path / "fresh") == _files(GENERATED)


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.py")
    }
