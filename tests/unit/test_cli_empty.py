# SPDX-License-Identifier: Apache-2.0
"""What a shell makes of a variable that is not set, and other accidents: said, and nothing done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bifrost.cli.main import run
from bifrost.host import bifrost_host as host

HERO = "bifrost:///assets/hero"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file in it, to stand in, and an asset of that file."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("hero.txt").write_text("hero")
    host.register_asset("model", "hero", "hero.txt")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "{}", "--save", ""),
        ("query", "--saved", ""),
        ("query", "--forget", ""),
        ("cache", "clear", "--prefix", ""),
        ("cache", "clear", "--tag", ""),
        ("cache", "clear", ""),
        ("publish", "file", "hero.txt", "--id", ""),
        ("publish", "file", "hero.txt", "--name", ""),
        ("publish", "file", "hero.txt", "--type", ""),
        ("publish", "file", "hero.txt", "--key", ""),
        ("publish", "file", ""),
        ("install-kit", "shell", ""),
        ("install-kit", "shell", "kit", "--plugin", ""),
        ("usd", "edit", HERO, ""),
        ("usd", "env", "--output", ""),
        ("usd", "localize", HERO, ""),
        ("usd", "package", HERO, ""),
        ("usd", "publish", "hero.txt", ""),
        ("usd", "deps", HERO, "--svg", ""),
        ("usd", "cat", HERO, "--out", ""),
        ("graph", "export", HERO, "--out", ""),
        ("demo", "--samples", ""),
        ("usd", "pin", HERO, "--out", ""),
        ("usd", "pin", "verify", ""),
    ],
)
def test_what_is_empty_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """It names neither the current folder, nor everything, nor a default."""
    assert 2 == run([*arguments])

    assert "empty" in capsys.readouterr().err
    assert ["hero.txt"] == [each.name for each in here.iterdir()]
    assert 1 == host.get_version(HERO)


def test_a_type_that_the_asset_does_not_have_is_refused(capsys) -> None:
    """As `usd publish` does; the type that it has, and none, make the next version."""
    Path("hero.txt").write_text("another")

    assert 1 == run(["publish", "file", "hero.txt", "--type", "prop"])
    assert "is there already, and a model, no prop" in capsys.readouterr().err
    assert 0 == run(["publish", "file", "hero.txt", "--type", "model"])
    assert f"{HERO}?version=2" == capsys.readouterr().out.strip()


@pytest.mark.parametrize("metadata", ["[" * 100_000, "[]", "{"])
def test_metadata_that_is_none_is_wrong_usage(metadata: str) -> None:
    """However deep it is."""
    assert 2 == run(["publish", "file", "hero.txt", "--metadata", metadata])


def test_pairs_of_roots_that_are_none_are_wrong_usage(capsys) -> None:
    assert 2 == run(["usd", "pin", "verify", "hero.txt", "--root", "nonsense"])
    assert "expected OLD=NEW" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ['{"types": "model", "fields": ["id"]}', '{"types": "model"}'])
def test_what_a_query_finds_is_warmed_whatever_it_asks_for(capsys, asked: str) -> None:
    assert 0 == run(["warm", "--query", asked])
    assert "warmed 1 roots" in capsys.readouterr().out


def test_groups_are_not_warmed(capsys) -> None:
    assert 2 == run(["warm", "--query", '{"aggregate": {"by": ["type"]}}'])
    assert "groups" in capsys.readouterr().err


def test_a_query_from_an_input_that_is_closed(run_python) -> None:
    source = "from bifrost.cli.main import main; main(['query', '-'])"

    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, source],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (2, True) == (done.returncode, "standard input is closed" in done.stderr)


@pytest.mark.parametrize("command", [("usd", "cat"), ("usd", "open"), ("usd", "deps")])
def test_a_name_that_is_no_utf8_is_named(here: Path, run_python, command: tuple[str, ...]) -> None:
    (here / "a\udcff.usda").write_text("#usda 1.0\n")
    source = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"

    done = run_python(source, *command, here / "a\udcff.usda", check=False)

    assert 1 == done.returncode
    assert "udcff" in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize(
    "command", [("publish", "file", "a.txt"), ("usd", "localize", "a.usda", "b")]
)
def test_a_folder_that_is_gone_is_named(here: Path, run_python, command: tuple[str, ...]) -> None:
    source = f"""
import os, sys
os.chdir({str(here)!r})
os.remove("hero.txt")
os.rmdir({str(here)!r})
from bifrost.cli.main import main
main(sys.argv[1:])
"""

    done = run_python(source, *command, check=False)

    assert (1, "") == (done.returncode, done.stdout)
    assert "current folder is not there" in done.stderr
