# SPDX-License-Identifier: Apache-2.0
"""A publish of what was written into staging folders, whose drafts may name each other's new versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue, Publication
from bifrost.errors import ConflictException, LocationException
from bifrost.publishing import Draft, Publisher, Written


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as catalogue:
        yield catalogue


@pytest.fixture
def written(catalogue):
    """Write a text file into a staging folder."""

    def write(asset_id="rock", text="one", **more):
        folder = catalogue.store.folder()
        path = folder / f"{asset_id}.txt"
        path.write_text(text)
        draft = Draft(asset_id, asset_id.title(), "model", str(path), **more)
        return Written(draft, folder)

    return write


def stored(catalogue):
    root = catalogue.store.root
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def plain(catalogue, validators=None):
    return Publisher(catalogue, validators=validators or {}, actions={})


def test_what_is_in_the_folders_is_what_is_published(catalogue, written):
    publisher = plain(catalogue)
    rock, wood = written(), written("wood", "two")
    (rock.folder / "beside.txt").write_text("beside")

    made = publisher.resume(publisher.draft_written([rock, wood]).id)

    assert ["bifrost:///assets/rock?version=1", "bifrost:///assets/wood?version=1"] == list(
        made.results
    )
    assert ["rock/v0001/beside.txt", "rock/v0001/rock.txt", "wood/v0001/wood.txt"] == stored(
        catalogue
    )
    [record] = catalogue.resolve([("rock", None)])
    assert ["beside.txt"] == [each["name"] for each in record.properties["files"]]
    assert not Path(record.location.removeprefix("file://")).stat().st_mode & 0o222


@pytest.mark.parametrize("trouble", [None, "conflict", "link"])
def test_after_a_failure_the_folders_are_gone(catalogue, written, trouble):
    publisher = plain(catalogue)
    rock, wood = written(), written("wood", expected_version=3 if trouble == "conflict" else None)
    if trouble == "link":
        (wood.folder / "link").symlink_to("/etc/hostname")
    if trouble is None:
        (wood.folder / "wood.txt").unlink()

    with pytest.raises(ConflictException if trouble == "conflict" else LocationException):
        publisher.draft_written([rock, wood])

    assert [] == list((catalogue.store.root / ".staging").iterdir())
    assert [] == publisher.list()


def test_validators_are_told_that_the_versions_that_come_exist(catalogue, written):
    """
    In whichever stage and process the publish goes on.
    """
    asked = [f"bifrost:///assets/rock{each}" for each in ("", "?version=1", "?version=2")]
    told = []

    def ask(path, draft, exist):
        told.append(exist([*asked, "bifrost:///assets/none", "no reference"]))
        return []

    publisher = plain(catalogue, {"ask": ask})
    made = publisher.draft_written([written()])
    plain(catalogue, {"ask": ask}).validate(made.id)

    assert [[True, True, False, False, False]] == told


def test_the_next_number_is_that_of_the_next_version(catalogue):
    """
    Of assets that were deleted, too: their numbers are never used again.
    """
    for asset_id, count in (("rock", 2), ("gone", 3)):
        for number in range(count):
            catalogue.publish([Publication(asset_id, asset_id, "model", "", str(number))])
    catalogue.delete("gone")

    assert {"rock": 3, "gone": 4, "new": 1} == catalogue.next_numbers(
        ["rock", "gone", "new", "rock"]
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("rock/v0001/rock.usda", ("rock", 1)),
        ("rock/v12345/parts/a.usda", ("rock", 12345)),
        ("a%20b%2Fc/v0002/a.usda", ("a b/c", 2)),
        ("rock/v1/rock.usda", None),
        ("rock/.representations/a.png", None),
        (".staging/0123/a.usda", None),
        ("rock", None),
        ("../rock/v0001/rock.usda", None),
    ],
)
def test_a_stored_file_is_known_by_its_folder(catalogue, path, expected):
    assert expected == catalogue.store.version_at(catalogue.store.root / path)
