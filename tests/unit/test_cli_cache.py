# SPDX-License-Identifier: Apache-2.0
"""`bifrost cache`: what the caches of this host hold, and making them forget, check and shrink."""

from __future__ import annotations

import json

import pytest

from bifrost import session
from bifrost.catalogue.records import Publication
from bifrost.cli.main import run

URIS = [f"bifrost:///assets/{name}" for name in ("set.a", "set.b", "hero")]


@pytest.fixture(autouse=True)
def show(own_home, tmp_path):
    files = [tmp_path / name for name in ("set.a", "set.b", "hero")]
    for file in files:
        file.write_text("#usda 1.0\n")
    current = session.current()
    current.catalogue.publish(
        [
            Publication(file.name, file.name, "layer", str(file), asset_metadata={"tags": ["x"]})
            for file in files
        ]
    )
    current.resolve(URIS)
    current.tiers.flush()


def known():
    current = session.current()
    return [uri for uri in URIS if uri in current.cache.peek([uri], "")]


def test_what_they_hold(capsys):
    """
    As a table, and as JSON for programs.
    """
    assert 0 == run(["cache", "stats"])
    assert "lmdb" in capsys.readouterr().out
    assert 0 == run(["cache", "stats", "--json"])
    assert 3 == json.loads(capsys.readouterr().out)["tiers"]["memory"]["entries"]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ([URIS[0]], URIS[1:]),
        (URIS[:2], URIS[2:]),
        (["--prefix", "bifrost:///assets/set."], URIS[2:]),
        (["--tag", "x"], []),
        (["--all"], []),
    ],
)
def test_making_them_forget(arguments, left):
    """
    Entities, what begins so, what has a tag, everything.
    """
    assert 0 == run(["cache", "clear", *arguments])
    assert left == known()


@pytest.mark.parametrize("arguments", [[], ["--all", "--tag", "x"], [URIS[0], "--all"]])
def test_what_to_forget_is_one_thing(arguments, capsys):
    """
    Nothing is forgotten by mistake.
    """
    assert 2 == run(["cache", "clear", *arguments])
    assert URIS == known()


def test_checking_and_shrinking(capsys):
    """
    Every checksum; a file without holes.
    """
    assert 0 == run(["cache", "verify", "--json"])
    counts = json.loads(capsys.readouterr().out)
    assert 0 == counts["damaged"]
    assert counts["entries"] >= 3
    assert 0 == run(["cache", "compact"])
    assert "bytes before" in capsys.readouterr().out
    assert URIS == known()


def test_without_a_disk_there_is_nothing_to_check(monkeypatch, capsys):
    """
    Said in a line.
    """
    session.current().close()
    session.use(None)
    monkeypatch.setenv("BIFROST_CACHE__DISK_BYTES", "0")

    assert 1 == run(["cache", "verify"])
    assert "cache.disk_bytes" in capsys.readouterr().err
