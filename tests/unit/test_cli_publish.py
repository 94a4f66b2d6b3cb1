# SPDX-License-Identifier: Apache-2.0
"""`bifrost publish file` says what the host's own calls would, in less words."""

from __future__ import annotations

import pytest

from bifrost.cli.main import run
from bifrost.host import bifrost_host


@pytest.mark.parametrize(
    ("pattern", "tiles"),
    [
        ("rock.<UDIM>.txt", ["rock.1001.txt", "rock.1002.txt"]),
        ("rock_<UVTILE0>.txt", ["rock_u0_v0.txt", "rock_u1_v0.txt"]),
    ],
)
def test_a_set_of_tiles_is_one_version(tmp_path, capsys, pattern, tiles):
    """By either kind of mark, as `register_asset` takes them, and called what the mark leaves of it."""
    for tile in tiles:
        (tmp_path / tile).write_text(tile)

    assert 0 == run(["publish", "file", str(tmp_path / pattern)])

    assert ["bifrost:///assets/rock?version=1"] == capsys.readouterr().out.split()
    assert bifrost_host.resolve_asset("bifrost:///assets/rock").templated
