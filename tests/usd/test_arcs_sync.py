# SPDX-License-Identifier: Apache-2.0
"""What the catalogue says that a file names agrees with the file, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bifrost import bifrost_host
from bifrost.catalogue import Dependency, Publication
from bifrost.cli.usd_arcs_command import arcs as arcs_command
from bifrost.errors import AssetNotFoundException, LocationException, PermissionDeniedException
from bifrost.host.usd_arcs import UsdArcCalls
from bifrost.session import current
from bifrost.testing.show import Show
from bifrost.usd.ingest import ingest

A, B, C = (f"bifrost:///assets/{name}.usda" for name in "abc")


@pytest.fixture
def show(catalogue_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Show]:
    """A show with three assets, on each kind of database."""
    monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
    made = Show(tmp_path / "show")
    for name in "abc":
        made.publish(f"{name}.usda", f'#usda 1.0\ndef "{name}" {{}}\n')
    yield made
    made.catalogue.close()


def naming(*targets: str, payload: str = "") -> str:
    listed = ", ".join(f"@{target}@" for target in targets)
    more = f"\n payload = @{payload}@" if payload else ""
    return f'#usda 1.0\n(defaultPrim = "S")\ndef "S" (\n prepend references = [{listed}]{more}\n) {{}}\n'


def said(uri: str) -> list[tuple[str, str, str]]:
    edges = bifrost_host.get_relationships_with_metadata(uri)
    return [(each["to"], each["type"], each["strength"]) for each in edges]


def told(difference: object) -> tuple[list[str], list[str], list[tuple[str | None, str | None]]]:
    return (
        [each.dependency.asset_id for each in difference.added],
        [each.dependency.asset_id for each in difference.removed],
        [(old.dependency.version, new.dependency.version) for old, new in difference.changed],
    )


def test_publishing_records_the_strengths_of_the_table(show: Show, tmp_path: Path) -> None:
    path = tmp_path / "s.usda"
    path.write_text(naming(A, payload=f"{B}?version=1"))

    uri = bifrost_host.register_asset("layer", "s", path)

    assert [(A, "reference", "strong"), (f"{B}?version=1", "payload", "weak")] == said(uri)


def test_there_is_no_difference_right_after_a_publish(show: Show, tmp_path: Path) -> None:
    path = tmp_path / "s.usda"
    path.write_text(naming(A, C, payload=f"{B}?version=1"))
    uri = bifrost_host.register_asset("layer", "s", path)

    assert not UsdArcCalls().sync_relationships(uri)


def test_what_the_file_says_takes_the_place_of_what_the_catalogue_said(show: Show) -> None:
    uri = show.publish("s.usda", naming(A, f"{B}?version=1"), needs=(B, C))

    found = UsdArcCalls().sync_relationships(uri)

    assert (["a.usda"], ["c.usda"], [(None, "1")]) == told(found)
    assert [(A, "reference", "strong"), (f"{B}?version=1", "reference", "strong")] == said(uri)
    assert not UsdArcCalls().sync_relationships(uri)


def test_a_dry_run_changes_nothing(show: Show) -> None:
    uri = show.publish("s.usda", naming(A), needs=(C,))
    before = said(uri)

    found = UsdArcCalls().sync_relationships(uri, dry_run=True)

    assert (["a.usda"], ["c.usda"], []) == told(found)
    assert before == said(uri)


def test_what_came_later_is_added(show: Show) -> None:
    uri = show.publish("s.usda", naming(A, "bifrost:///assets/late.usda"), needs=(A,))
    assert not UsdArcCalls().sync_relationships(uri)
    show.publish("late.usda", "#usda 1.0\n")

    found = UsdArcCalls().sync_relationships(uri)

    assert (["late.usda"], [], []) == told(found)


def test_a_changed_table_changes_strengths(
    show: Show, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "s.usda"
    path.write_text(naming(A, payload=B))
    uri = bifrost_host.register_asset("layer", "s", path)
    current().close()
    from bifrost import session

    session.use(None)
    monkeypatch.setenv("BIFROST_CATALOGUE__STRENGTHS", "payload=reference")

    [(old, new)] = UsdArcCalls().sync_relationships(uri).changed

    assert ("weak", "reference") == (old.strength, new.strength)
    assert [(A, "reference", "strong"), (B, "payload", "reference")] == said(uri)


def test_what_people_added_stays_beside_what_the_file_says(show: Show, tmp_path: Path) -> None:
    uri = show.publish("s.usda", naming(A, B), needs=(C,))
    bifrost_host.add_relationship(f"{uri}?version=1", C, relationship_type="brief")

    UsdArcCalls().sync_relationships(uri)

    assert {(A, "reference"), (B, "reference"), (C, "brief")} == {each[:2] for each in said(uri)}
    dependencies = show.catalogue.dependencies("s.usda", 1)
    assert [Dependency("a.usda", None, "reference"), Dependency("b.usda", None, "reference")] == (
        dependencies
    )


def test_an_earlier_version_can_be_asked_for(show: Show) -> None:
    uri = show.publish("s.usda", naming(A), needs=(C,))
    show.publish("s.usda", naming(B), needs=(B,))

    found = UsdArcCalls().sync_relationships(f"{uri}?version=1")

    assert 1 == found.version
    assert [Dependency("a.usda", None, "reference")] == show.catalogue.dependencies("s.usda", 1)
    assert [Dependency("b.usda", None, "reference")] == show.catalogue.dependencies("s.usda", 2)


def test_caches_and_other_readers_hear_of_it(show: Show) -> None:
    uri = show.publish("s.usda", naming(A), needs=(C,))
    before = show.catalogue.change_number()

    UsdArcCalls().sync_relationships(uri)

    assert before < show.catalogue.change_number()


def test_a_file_that_is_broken_or_gone_changes_nothing(show: Show) -> None:
    from bifrost.errors import InvalidTraitsException

    uri = show.publish("s.usda", '#usda 1.0\ndef "A" {{{\n', needs=(C,))
    with pytest.raises(InvalidTraitsException):
        UsdArcCalls().sync_relationships(uri)
    show.path("s.usda", 1).unlink()
    with pytest.raises(LocationException):
        UsdArcCalls().sync_relationships(uri)

    assert [Dependency("c.usda", None, "reference")] == show.catalogue.dependencies("s.usda", 1)


def test_a_version_without_a_file_and_no_asset_are_told(show: Show) -> None:
    show.catalogue.publish([Publication("bare", "bare", "idea", "", "1")])

    with pytest.raises(LocationException, match="has no file"):
        UsdArcCalls().sync_relationships("bifrost:///assets/bare")
    with pytest.raises(AssetNotFoundException):
        UsdArcCalls().sync_relationships("bifrost:///assets/none")


def test_who_may_not_relate_the_asset_is_refused(show: Show) -> None:
    from bifrost.catalogue.access import Rule
    from bifrost.context import Context

    uri = show.publish("s.usda", naming(A), needs=(C,))
    show.catalogue.allow([Rule("*", "relate", "bob")])

    with pytest.raises(PermissionDeniedException):
        UsdArcCalls().sync_relationships(uri, context=Context(user="ann"))

    assert [Dependency("c.usda", None, "reference")] == show.catalogue.dependencies("s.usda", 1)


@pytest.mark.parametrize(("rewritten", "pin"), [(False, False), (False, True), (True, True)])
def test_what_ingest_recorded_agrees_with_its_files(
    show: Show, tmp_path: Path, rewritten: bool, pin: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "leaf.usda").write_text('#usda 1.0\n(defaultPrim = "L")\ndef "L" {}\n')
    (folder / "t.png").write_bytes(b"png")
    (folder / "root.usda").write_text(
        '#usda 1.0\n(defaultPrim = "R")\ndef "R" (references = @./leaf.usda@)\n'
        "{\n asset t = @./t.png@\n}\n"
    )
    report = ingest(
        folder, show.catalogue, rewrite=tmp_path / "out" if rewritten else None, pin=pin
    )

    for uri in report.published:
        assert not UsdArcCalls().sync_relationships(uri, dry_run=True), uri


def test_the_command_lists_arcs_and_leaves_with_1_where_one_leads_nowhere(show: Show) -> None:
    uri = show.publish("s.usda", naming(A, "bifrost:///assets/none", payload=B))

    plain = CliRunner().invoke(arcs_command, [uri])
    whole = CliRunner().invoke(arcs_command, [uri, "--closure", "--json"])

    assert 0 == plain.exit_code
    assert ["kind", "payload", "reference", "reference"] == [
        line.split()[0] for line in plain.stdout.splitlines()
    ]
    assert 1 == whole.exit_code
    assert "bifrost:///assets/none" in whole.stderr
    assert [B, A, "bifrost:///assets/none"] == [
        each["reference"] for each in json.loads(whole.stdout)
    ]
