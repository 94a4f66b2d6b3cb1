# SPDX-License-Identifier: Apache-2.0
"""Paths as people write them: `~`, empty, relative. What can't be meant is refused, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifrost.cli.main import run
from bifrost.errors import ConfigurationError, InvalidTraitsException, LocationException
from bifrost.host import bifrost_host as host
from bifrost.settings import load
from bifrost.uri_mapper import AssetUriMapper

NOBODYS = "~nobody-is-called-so/x"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file in it, to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "a home"))
    (tmp_path / "rock.txt").write_text("rock")
    return tmp_path


def test_a_version_without_a_file_is_not_made_by_an_empty_path() -> None:
    """A variable that is not set: the asset stays as it is, and a new one is not there."""
    reference = host.register_asset("model", "rock", "rock.txt")

    with pytest.raises(LocationException, match="empty"):
        host.register_version(reference, "")
    with pytest.raises(LocationException, match="empty"):
        host.register_asset("model", "no file", "")

    assert host.resolve_asset_path(reference).is_file()
    assert not host.entity_exists("bifrost:///assets/no_file")


@pytest.mark.parametrize("written", ["~rock.txt", "./~rock.txt", "sub/../~rock.txt"])
def test_a_file_may_be_called_like_a_home(here: Path, written: str) -> None:
    """A `~` with nobody behind it is part of the name."""
    (here / "sub").mkdir()
    (here / "~rock.txt").write_text("tilde")

    host.register_asset("model", "rock", written)
    assert 0 == run(["publish", "file", written, "--name", "other"])

    for name in ("rock", "other"):
        assert "tilde" == host.resolve_asset_path(f"bifrost:///assets/{name}").read_text()


def test_a_home_is_a_home(here: Path) -> None:
    (here / "a home").mkdir()
    (here / "a home" / "rock.txt").write_text("at home")

    reference = host.register_asset("model", "rock", "~/rock.txt")

    assert "at home" == host.resolve_asset_path(reference).read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"file_path": NOBODYS},
        {"file_path": ""},
        {"metadata": ["a"]},
        {"population_masks": ["a"]},
    ],
)
def test_one_wrong_asset_is_the_only_one_left_out(wrong: dict[str, object]) -> None:
    """Whatever is wrong with it."""
    good = {"asset_type": "model", "asset_name": "good", "file_path": "rock.txt"}
    bad = {**good, "asset_name": "bad", **wrong}

    made, error = host.register_assets([good, bad], on_error="return")

    assert "bifrost:///assets/good" == made
    assert isinstance(error, LocationException | InvalidTraitsException)


def test_a_file_of_nobodys_home_is_not_there() -> None:
    with pytest.raises(LocationException, match="no such file"):
        host.register_asset("model", "rock", NOBODYS)


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("BIFROST_CATALOGUE__STORE", "catalogue.store"),
        ("BIFROST_CATALOGUE__URL", "the catalogue's URL"),
        ("BIFROST_CACHE__DIRECTORY", "cache.directory"),
    ],
)
def test_a_setting_that_names_nobodys_home_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys, variable: str, setting: str
) -> None:
    """By its name, and no folder `~nobody` is made."""
    monkeypatch.setenv(variable, f"sqlite:///{NOBODYS}" if "URL" in variable else NOBODYS)

    assert 1 == run(["query", "{}"])

    said = capsys.readouterr().err
    assert f"bifrost: {setting}: '{NOBODYS}': there is no such user's home" in said
    assert not Path(NOBODYS).parent.exists()


def test_a_cache_in_nobodys_home_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no such user's home"):
        host.configure_cache(disk_cache_path=NOBODYS)


def test_an_earlier_store_in_nobodys_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIFROST_CATALOGUE__EARLIER_STORE", NOBODYS)
    assert load().catalogue.earlier_store == NOBODYS

    with pytest.raises(ConfigurationError, match="no such user's home"):
        AssetUriMapper.uri_to_path("bifrost:///assets/rock")
