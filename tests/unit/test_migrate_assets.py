# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate assets`: ids, numbers and dates stay, and a second run finds nothing to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.records import LAST_US
from bifrost.cli.main import run
from bifrost.errors import ConflictException, InvalidTraitsException
from bifrost.integrations.migrating.assets import AssetReport, migrate
from bifrost.integrations.migrating.tree import read_records
from bifrost.uri_mapper import AssetUriMapper

ROBOT = "asset_robot"
UUID = "3f2b8f6e-8a55-4f0f-9d0b-0f2b7a1c9d10"
JANUARY = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def catalogue(catalogue_url: str, tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue, on each kind of database."""
    with Catalogue.open(catalogue_url, store=tmp_path / "the store") as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An old tree of two assets, one of them without its second version."""
    root = tmp_path / "data" / "assets"
    add(root, ROBOT, 1, "robot.usda", JANUARY)
    add(root, ROBOT, 3, "robot.usda", MARCH)
    add(root, UUID, 1, "wood.png", MARCH)
    return root


def add(
    root: Path, asset_id: str, number: int, name: str, moment: datetime, text: str = ""
) -> Path:
    file = root / asset_id / f"v{number:03d}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text or f"{asset_id} {number}")
    os.utime(file, ns=(0, int(moment.timestamp()) * 10**9 + moment.microsecond * 1000))
    return file


def everything(catalogue: Catalogue) -> list[tuple[Any, ...]]:
    return [
        tuple(version)
        for asset in catalogue.assets(limit=1_000)
        for version in catalogue.versions(asset.asset_id)
    ]


def test_ids_numbers_dates_and_places_stay(catalogue: Catalogue, tree: Path) -> None:
    """A gap stays a gap; dates are those of the files."""
    report = migrate(tree, catalogue)

    newest, first = catalogue.versions(ROBOT)
    assert [(3, MARCH), (1, JANUARY)] == [(v.number, v.created) for v in (newest, first)]
    assert (tree / ROBOT / "v003" / "robot.usda").as_uri() == newest.location
    assert JANUARY == catalogue.found([ROBOT])[ROBOT].created
    assert ["layer", "texture"] == [catalogue.found([i])[i].asset_type for i in (ROBOT, UUID)]
    assert (2, 3, 0, []) == (
        report.assets,
        len(report.registered),
        report.unchanged,
        report.troubles,
    )


def test_files_are_neither_moved_nor_changed(catalogue: Catalogue, tree: Path) -> None:
    """The old programs go on reading them."""

    def state() -> dict[Path, tuple[float, ...]]:
        stats = {path: path.stat() for path in tree.rglob("*")}
        return {path: (st.st_ino, st.st_mode, st.st_mtime_ns) for path, st in stats.items()}

    before = state()

    migrate(tree, catalogue)

    assert before == state()


def test_what_resolved_resolves_to_the_same_file(
    catalogue: Catalogue, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every asset and version that the old mapper knew."""
    add(tree, ROBOT, 3, "another.txt", MARCH)
    monkeypatch.setattr(AssetUriMapper, "root", tree)

    migrate(tree, catalogue)

    for asset_id, number in ((ROBOT, None), (ROBOT, 1), (ROBOT, 3), (UUID, 1)):
        version = None if number is None else str(number)
        [found] = catalogue.resolve([(asset_id, version)])
        uri = f"bifrost:///assets/{asset_id}"
        assert AssetUriMapper.uri_to_path(uri, number).as_uri() == found.location


def test_a_second_run_finds_nothing_to_do(catalogue: Catalogue, tree: Path) -> None:
    """Not even a change is logged."""
    migrate(tree, catalogue)
    before, number = everything(catalogue), catalogue.change_number()

    again = migrate(tree, catalogue)

    assert ([], 3, []) == (again.registered, again.unchanged, again.troubles)
    assert (before, number) == (everything(catalogue), catalogue.change_number())


def test_what_came_into_the_tree_since_follows(catalogue: Catalogue, tree: Path) -> None:
    """People go on publishing the old way while a studio moves."""
    migrate(tree, catalogue)
    add(tree, ROBOT, 4, "robot.usda", MARCH)

    assert ["bifrost:///assets/asset_robot?version=4"] == migrate(tree, catalogue).registered


def test_a_published_version_is_never_put_under_or_over(catalogue: Catalogue, tree: Path) -> None:
    """Not under a newer one of the catalogue's own, and not in place of one of the same number."""
    migrate(tree, catalogue)
    catalogue.publish([Publication(ROBOT, "robot", "layer", str(tree / "new.usda"))])
    add(tree, ROBOT, 2, "robot.usda", MARCH)
    add(tree, ROBOT, 4, "robot.usda", MARCH)
    before = everything(catalogue)

    report = migrate(tree, catalogue)

    assert before == everything(catalogue)
    by_reference = dict(report.troubles)
    assert "at version 4 already" in by_reference[f"bifrost:///assets/{ROBOT}?version=2"]
    assert "has another file" in by_reference[f"bifrost:///assets/{ROBOT}?version=4"]


def test_a_deleted_asset_does_not_come_back(catalogue: Catalogue, tree: Path) -> None:
    """Somebody deleted it after the last run, and meant it."""
    migrate(tree, catalogue)
    catalogue.delete(UUID)

    report = migrate(tree, catalogue)

    assert [] == report.registered
    assert [f"bifrost:///assets/{UUID}?version=1"] == [what for what, _ in report.troubles]


def test_a_file_that_was_written_over_is_told(catalogue: Catalogue, tree: Path) -> None:
    """A version is written once; its file should have been."""
    migrate(tree, catalogue)
    add(tree, UUID, 1, "wood.png", MARCH, "longer than it was when it was registered before")

    [(what, why)] = migrate(tree, catalogue).troubles

    assert f"bifrost:///assets/{UUID}?version=1" == what
    assert "not what was registered" in why


RECORD: dict[str, Any] = {
    "id": ROBOT,
    "name": "The Robot",
    "description": "A robot.",
    "asset_type": "model",
    "tags": ["hero"],
    "metadata": {"department": "modelling"},
    "status": "approved",
    "created_at": "2023-12-31T00:00:00+00:00",
    "versions": [
        {
            "version_number": 1,
            "file_path": "/elsewhere/asset_robot/v001/robot.usda",
            "created_at": "2024-01-31T12:00:00Z",
            "created_by": "ann",
            "comment": "first\nof many",
        }
    ],
    "dependencies": [
        {"dependent_asset_id": UUID, "dependency_type": "texture", "optional": True},
        {"dependent_asset_id": "nobody"},
    ],
}


@pytest.mark.parametrize("form", ["list", "object", "lines", "one"])
def test_records_say_names_authors_dates_and_dependencies(
    catalogue: Catalogue, tree: Path, tmp_path: Path, form: str
) -> None:
    """In whichever form of JSON they were written out; a second run adds nothing twice."""
    texts = {
        "list": json.dumps([RECORD]),
        "object": json.dumps({ROBOT: RECORD}),
        "lines": f"{json.dumps(RECORD)}\n\n{json.dumps({'id': UUID})}\n",
        "one": json.dumps(RECORD),
    }
    (tmp_path / "records.json").write_text(texts[form])
    add(tree, ROBOT, 1, "a_first.txt", MARCH)
    records = read_records(tmp_path / "records.json")

    first = migrate(tree, catalogue, records=records)
    second = migrate(tree, catalogue, records=records)

    version = catalogue.versions(ROBOT)[-1]
    assert version.location.endswith("/v001/robot.usda")
    assert ("ann", "first\nof many") == (version.created_by, version.comment)
    assert datetime(2024, 1, 31, 12, tzinfo=UTC) == version.created
    asset = catalogue.found([ROBOT])[ROBOT]
    assert ("The Robot", "model") == (asset.name, asset.asset_type)
    expected = {"description": "A robot.", "tags": ["hero"], "department": "modelling"}
    kept = {"old_status": "approved", "old_created_at": "2023-12-31T00:00:00+00:00"}
    assert {**expected, **kept} == asset.metadata
    [edge] = catalogue.relationships_of(ROBOT)
    assert (UUID, "texture", "weak") == (edge.to_id, edge.kind, edge.strength)
    assert (1, 0) == (first.relationships, second.relationships)
    assert [f"bifrost:///assets/{ROBOT} -> bifrost:///assets/nobody"] == [
        what for what, _ in second.troubles
    ]


@pytest.mark.parametrize("moment", [1_735_689_600_000, 1e30, 10**40])
def test_a_time_that_no_calendar_has_keeps_its_asset_out(
    catalogue: Catalogue, tree: Path, moment: float
) -> None:
    """Milliseconds, say: the asset is a trouble, nothing of it is there, and whatever else is."""
    record = {"id": ROBOT, "versions": [{"version_number": 1, "created_at": moment}]}

    report = migrate(tree, catalogue, records={ROBOT: record})

    [(what, why)] = report.troubles
    assert f"bifrost:///assets/{ROBOT}" == what
    assert "to the year 9998" in why
    assert [UUID] == [result["id"] for result in catalogue.query({})]
    assert [f"bifrost:///assets/{UUID}?version=1"] == report.registered


def test_versions_never_go_back_in_time(catalogue: Catalogue, tree: Path) -> None:
    """A file that was copied later than its successor was written: `as_of` needs an order."""
    add(tree, ROBOT, 1, "robot.usda", datetime(2024, 12, 1, tzinfo=UTC))

    report = migrate(tree, catalogue)

    newest, first = catalogue.versions(ROBOT)
    assert first.created == newest.created
    assert [f"bifrost:///assets/{ROBOT}?version=3"] == [what for what, _ in report.redated]


def test_what_is_no_version_is_listed(catalogue: Catalogue, tree: Path) -> None:
    """And whatever else there is comes in."""
    (tree / "README.txt").write_text("assets")
    (tree / "asset_empty").mkdir()
    (tree / ROBOT / "v004").mkdir()
    add(tree, ROBOT, 0, "robot.usda", MARCH)
    (tree / ROBOT / "v1").mkdir()
    (tree / ROBOT / "v003" / ".DS_Store").write_text("left by a file manager")

    report = migrate(tree, catalogue)

    assert 3 == len(report.registered)
    assert catalogue.versions(ROBOT)[0].location.endswith("robot.usda")
    assert {
        "README.txt": "no folder",
        "asset_empty": "no version in it",
        "v000": "versions count from 1",
        "v004": "no file in it",
        "v1": "v001 is the same",
    } == {Path(what).name: why for what, why in report.left_out}


def test_a_file_that_cannot_be_read_holds_its_later_versions_up(
    catalogue: Catalogue, tree: Path
) -> None:
    """They would close the door on it: a number below the newest can't come in any more."""
    file = tree / ROBOT / "v001" / "robot.usda"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # a file that not even root can read from its start

    report = migrate(tree, catalogue)
    assert [f"bifrost:///assets/{UUID}?version=1"] == report.registered
    assert [f"bifrost:///assets/{ROBOT}?version=1"] == [what for what, _ in report.troubles]

    file.unlink()
    add(tree, ROBOT, 1, "robot.usda", JANUARY)
    assert 2 == len(migrate(tree, catalogue).registered)


def test_one_asset_that_cannot_be_stored_keeps_no_other_out(
    catalogue: Catalogue, tree: Path
) -> None:
    """They share a transaction only as long as all goes well."""
    records = {ROBOT: {"id": ROBOT, "name": "a\x07bell"}}

    report = migrate(tree, catalogue, records=records)

    assert [f"bifrost:///assets/{UUID}?version=1"] == report.registered
    [(what, why)] = report.troubles
    assert f"bifrost:///assets/{ROBOT}" == what
    assert "control character" in why


def test_a_dry_run_writes_nothing(catalogue: Catalogue, tree: Path) -> None:
    """And says what a run would register."""
    report = migrate(tree, catalogue, dry_run=True)

    assert [] == everything(catalogue)
    assert migrate(tree, catalogue).registered == report.registered


def test_progress_is_told_of_versions(catalogue: Catalogue, tree: Path) -> None:
    """From none to all, as their files are read."""
    told: list[tuple[int, int | None]] = []

    migrate(tree, catalogue, progress=lambda done, total: told.append((done, total)))

    assert [(0, 3), (1, 3), (2, 3), (3, 3)] == list(dict.fromkeys(told))


def test_versions_with_numbers_of_their_own(catalogue: Catalogue, tmp_path: Path) -> None:
    """What the catalogue itself takes and refuses."""
    path = str(tmp_path / "file")
    made = Publication("a", "a", "t", path, number=5, created_us=7)

    [record] = catalogue.publish([made])
    [following] = catalogue.publish([Publication("a", "a", "t", path, checksum="else")])

    assert (5, 7, 6) == (record.number, record.created_us, following.number)
    with pytest.raises(ConflictException, match="at version 6"):
        catalogue.publish([made._replace(number=6)])
    times = ({"created_us": -1}, {"created_us": LAST_US + 1}, {"created_us": 2**63})
    for wrong in ({"number": 0}, {"number": 2**31}, *times):
        with pytest.raises(InvalidTraitsException):
            catalogue.publish([made._replace(asset_id="b", **wrong)])


def test_the_command_reports_and_leaves_with_0(tree: Path, capsys) -> None:
    """1 where a dry run finds something, 0 where it was done, 0 where there is nothing to do."""
    assert 1 == run(["migrate", "assets", str(tree), "--dry-run"])
    assert 0 == run(["migrate", "assets", str(tree)])
    assert "registered     3 versions" in capsys.readouterr().out
    assert 0 == run(["migrate", "assets", str(tree), "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (3, [], True) == (told["unchanged"], told["registered"], told["dry_run"])
    assert set(AssetReport("", dry_run=True).as_dict()) == set(told)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "record 1 is no object with an id"),
        ('{"id": 3}\n', "record 1 is no object with an id"),
        (None, "does not exist"),
    ],
)
def test_records_that_are_none_are_wrong_usage(
    tree: Path, tmp_path: Path, capsys, text: str | None, why: str
) -> None:
    """Before anything is written."""
    if text is not None:
        (tmp_path / "records.json").write_text(text)

    records = str(tmp_path / "records.json")
    assert 2 == run(["migrate", "assets", str(tree), "--records", records])
    assert why in capsys.readouterr().err
