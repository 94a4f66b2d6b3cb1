# SPDX-License-Identifier: Apache-2.0
"""What Bifrost writes is not for everybody, whatever the umask lets pass."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bifrost.errors import ConfigurationError
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load
from bifrost.tiers.seal import keys_in
from bifrost.tokens import Verifier

KEY = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which somebody has published and resolved, under the most generous umask there is."""
    folder = tmp_path_factory.mktemp("written")
    file = folder / "rock.txt"
    file.write_text("rock")
    before = os.umask(0)
    try:
        host = BifrostHostInterface(Session(load({"BIFROST_HOME": str(folder / "home")})))
        host.resolve_asset_path(host.register_asset("model", "Rock", file))
        host.session.close()
    finally:
        os.umask(before)
    return folder / "home"


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of everything below *folder*."""
    return {
        str(each.relative_to(folder)): stat.S_IMODE(each.lstat().st_mode)
        for each in [folder, *folder.rglob("*")]
    }


def test_nobody_but_its_user_reads_a_cache(home: Path) -> None:
    """
    Folders 0700, files 0600: data, locks, pointer.
    """
    found = modes(home / "cache")

    assert any(name.endswith("data.mdb") for name in found)
    assert {} == {name: oct(mode) for name, mode in found.items() if mode & 0o077}


def test_not_everybody_writes_to_catalogue_and_store(home: Path) -> None:
    """
    In a folder that all may write to, a file that is read-only can be replaced.
    """
    found = modes(home)

    assert {"data/catalogue.sqlite", "data/store"} <= found.keys()
    assert {} == {name: oct(mode) for name, mode in found.items() if mode & 0o002}


def test_published_files_are_read_only(home: Path) -> None:
    """
    For their owner too: what resolves is what was published.
    """
    published = list((home / "data" / "store").rglob("rock.txt"))

    assert published
    assert [] == [each for each in published if stat.S_IMODE(each.stat().st_mode) & 0o222]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_key_that_others_have_is_refused(tmp_path: Path, mode: int) -> None:
    """
    A secret that everybody can read is none; one that everybody can write to is theirs.
    """
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(mode)
    tokens = load({"BIFROST_HOME": str(tmp_path)}).access._replace(
        tokens="required", algorithms="HS256", key_file=str(key)
    )

    with pytest.raises(ConfigurationError, match=r"cache\.key_file: .*everybody can"):
        keys_in(str(key))
    with pytest.raises(ConfigurationError, match=r"access\.key_file: .*everybody can"):
        Verifier(tokens)


def test_a_key_file_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """
    A pipe that nobody writes to would be waited for without end.
    """
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    for path in (
        str(pipe),
        "/dev/zero",
        str(tmp_path),
        str(tmp_path / "none"),
        "a\0b",
        "~nobody-x/k",
    ):
        with pytest.raises(ConfigurationError, match=r"cache\.key_file: "):
            keys_in(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "holds no key"), ("# none\n\n", "holds no key"), ("short\n", "key 1: expected 32"),
     (f"{KEY}\nshort", "key 2: expected 32"), ("x" * 70_000, "too long")],
)  # fmt: skip
def test_a_key_that_protects_nothing_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """
    It says which one, and what to do.
    """
    key = tmp_path / "key"
    key.write_text(content)
    key.chmod(0o600)

    with pytest.raises(ConfigurationError, match=message):
        keys_in(str(key))
