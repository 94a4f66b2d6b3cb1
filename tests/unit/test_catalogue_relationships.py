# SPDX-License-Identifier: Apache-2.0
"""Relationships that people add to those of the files, on both databases."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Dependency, Publication, edges, integrity, schema
from bifrost.catalogue.edge_listing import relationships_of
from bifrost.errors import (
    AssetNotFoundException,
    ConflictException,
    InvalidReferenceException,
    InvalidTraitsException,
    UnsupportedOperationException,
)

NOW = 2_000_000_000_000_000
EXAMPLE = {"purpose": "Texture reference", "optional": False, "context": "UV mapping"}


@pytest.fixture
def catalogue(catalogue_url):
    with Catalogue.open(catalogue_url) as catalogue:
        yield catalogue


def publish(catalogue, *assets, checksum="1"):
    """Publish assets without files; `("hero", "rig", …)` needs what follows it."""
    publications = []
    for asset in assets:
        asset_id, *needs = (asset,) if isinstance(asset, str) else asset
        dependencies = [
            Dependency(*need.split("@")[:2], "reference")
            if "@" in need
            else Dependency(need, None, "reference")
            for need in needs
        ]
        publications.append(
            Publication(asset_id, asset_id, "model", "", checksum, dependencies=dependencies)
        )
    return catalogue.publish(publications)


def end(text):
    asset_id, _, version = text.partition("@")
    return asset_id, version or None


def add(catalogue, source, target, kind="dependency", metadata=None, **more):
    with catalogue._database.write() as connection:
        return edges.add(connection, end(source), end(target), kind, metadata, now_us=NOW, **more)


def update(catalogue, source, target, kind="dependency", metadata=None, **more):
    with catalogue._database.write() as connection:
        return edges.update(
            connection, end(source), end(target), kind, metadata, now_us=NOW, **more
        )


def remove(catalogue, source, target, kind="dependency"):
    with catalogue._database.write() as connection:
        return edges.remove(connection, end(source), end(target), kind, now_us=NOW)


def listed(catalogue, asset_id, number=None, **options):
    with catalogue._database.read() as connection:
        return relationships_of(connection, asset_id, number, **options)


def ends(rows):
    return [
        (f"{row.from_id}@{row.from_number}", f"{row.to_id}@{row.to_version or ''}", row.kind)
        for row in rows
    ]


class TestAdd:
    def test_the_planned_example_comes_back_as_it_was_given(self, catalogue):
        publish(catalogue, "hero", "skin")

        add(catalogue, "hero", "skin", "dependency", EXAMPLE, user="ann")

        [row] = listed(catalogue, "hero")
        assert EXAMPLE == row.metadata
        assert ("hero", 0, "skin", None) == row[:4]
        assert ("dependency", "strong", "Texture reference") == row[4:7]
        assert ("added", NOW, "ann", False) == (
            row.origin,
            row.created_us,
            row.created_by,
            row.is_pinned,
        )

    @pytest.mark.parametrize(
        ("metadata", "strength"),
        [
            (None, "strong"),
            ({}, "strong"),
            ({"optional": True}, "weak"),
            ({"optional": False}, "strong"),
            ({"strength": "reference"}, "reference"),
            ({"optional": True, "strength": "strong"}, "strong"),
        ],
    )
    def test_the_metadata_say_how_strong_it_is(self, catalogue, metadata, strength):
        publish(catalogue, "hero", "skin")

        assert strength == add(catalogue, "hero", "skin", metadata=metadata).strength
        assert strength == listed(catalogue, "hero")[0].strength

    def test_what_add_returns_is_what_is_listed(self, catalogue):
        publish(catalogue, "hero", "skin")

        added = add(catalogue, "hero@1", "skin@1", "uses", {"overrides": {"a": [1, None, "ü"]}})

        [row] = listed(catalogue, "hero")
        assert added == row._replace(cursor="")

    def test_the_edge_of_a_version_stays_with_that_version(self, catalogue):
        publish(catalogue, "hero", "skin", "rig")
        add(catalogue, "hero@1", "skin")
        add(catalogue, "hero", "rig")

        publish(catalogue, "hero", checksum="2")

        assert [("hero@0", "rig@", "dependency")] == ends(listed(catalogue, "hero"))
        assert {("hero@0", "rig@", "dependency"), ("hero@1", "skin@", "dependency")} == set(
            ends(listed(catalogue, "hero", 1))
        )

    def test_one_pair_may_have_several_edges_of_different_versions_and_kinds(self, catalogue):
        publish(catalogue, "hero", "skin")

        for target, kind in (
            ("skin", "look"),
            ("skin@1", "look"),
            ("skin@approved", "look"),
            ("skin", "bake"),
        ):
            add(catalogue, "hero", target, kind)

        assert 4 == len(listed(catalogue, "hero"))

    def test_the_same_edge_again_is_a_conflict_that_names_update(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin@approved", metadata={"optional": True})

        with pytest.raises(ConflictException, match="update it instead"):
            add(catalogue, "hero", "skin@approved")

        assert 1 == len(listed(catalogue, "hero"))

    def test_what_the_file_says_already_is_a_conflict(self, catalogue):
        publish(catalogue, "skin", ("hero", "skin"))

        with pytest.raises(ConflictException):
            add(catalogue, "hero@1", "skin", "reference")

    def test_an_edge_to_nothing_is_refused_with_suggestions(self, catalogue):
        publish(catalogue, "hero", "skin_body")

        with pytest.raises(AssetNotFoundException) as caught:
            add(catalogue, "hero", "skin_bdy")

        assert ["bifrost:///assets/skin_body"] == caught.value.suggestions
        assert "bifrost:///assets/skin_bdy" == caught.value.asset_uri
        assert [] == listed(catalogue, "hero")

    @pytest.mark.parametrize(
        ("source", "target"), [("hero@2", "skin"), ("hero", "skin@2"), ("nobody", "skin")]
    )
    def test_both_ends_and_their_versions_exist(self, catalogue, source, target):
        publish(catalogue, "hero", "skin")

        with pytest.raises(AssetNotFoundException):
            add(catalogue, source, target)

    def test_an_edge_starts_at_no_tag(self, catalogue):
        publish(catalogue, "hero", "skin")

        with pytest.raises(InvalidReferenceException, match="start at a version's number"):
            add(catalogue, "hero@approved", "skin")

    @pytest.mark.parametrize("target", ["hero", "hero@1", "hero@approved"])
    def test_nothing_is_related_to_itself(self, catalogue, target):
        publish(catalogue, "hero")

        with pytest.raises(InvalidReferenceException, match="to itself"):
            add(catalogue, "hero", target)

    def test_a_change_is_logged_for_the_source_alone(self, catalogue):
        publish(catalogue, "hero", "skin")
        before = catalogue.change_number()

        add(catalogue, "hero", "skin")

        assert {"hero"} == catalogue.changed_since(before)
        with catalogue._database.read() as connection:
            modified = dict(
                connection.execute(sa.select(schema.assets.c.id, schema.assets.c.modified)).all()
            )
        assert modified["hero"] == NOW != modified["skin"]

    def test_a_new_version_of_the_same_file_is_still_no_new_version(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero@1", "skin")

        [record] = publish(catalogue, "hero")

        assert (1, False) == (record.number, record.is_new)


def cyclic():
    loop = []
    loop.extend([loop, loop])
    return loop


def nested(depth):
    value = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


class TestBadInput:
    @pytest.mark.parametrize(
        ("metadata", "said"),
        [
            ({"x": math.nan}, "metadata"),
            ({"x": object()}, "metadata"),
            ({"x": {1: 2}}, "texts as keys"),
            ({"x": "\ud800"}, "metadata"),
            ({"x": "y" * 70_000}, "64000 bytes"),
            (nested(33), "32 levels"),
            (nested(100_000), "32 levels"),
            ({"x": cyclic()}, "64000 bytes"),
            ([], "mapping"),
            ({"optional": "no"}, "true or false"),
            ({"strength": "mighty"}, "strong, weak, reference"),
            ({"strength": []}, "strong, weak, reference"),
            ({"purpose": 3}, "purpose"),
            ({"purpose": "a\0b"}, "control character"),
            ({"purpose": "\udc00"}, "Unicode"),
            ({"purpose": "y" * 2_000}, "1000 bytes"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_metadata_that_cannot_be_stored_are_refused_by_name(self, catalogue, metadata, said):
        publish(catalogue, "hero", "skin")

        with pytest.raises(InvalidTraitsException, match=said):
            add(catalogue, "hero", "skin", metadata=metadata)

        assert [] == listed(catalogue, "hero")

    def test_metadata_of_the_deepest_allowed_nesting_are_kept(self, catalogue):
        publish(catalogue, "hero", "skin")
        deepest = nested(32)

        add(catalogue, "hero", "skin", metadata=deepest)

        assert {**deepest, "optional": False} == listed(catalogue, "hero")[0].metadata

    @pytest.mark.parametrize("kind", ["", "two words", "1st", "a" * 65, "ä", "a\n", None, "a;--"])
    def test_a_relationship_type_is_a_word(self, catalogue, kind):
        publish(catalogue, "hero", "skin")

        with pytest.raises(InvalidTraitsException, match="relationship_type"):
            add(catalogue, "hero", "skin", kind)

    def test_a_name_with_a_control_character_is_refused(self, catalogue):
        publish(catalogue, "hero", "skin")

        with pytest.raises(InvalidTraitsException, match="created_by"):
            add(catalogue, "hero", "skin", user="a\0b")


class TestCycles:
    def test_a_strong_edge_that_closes_a_strong_cycle_is_refused_and_spelled_out(self, catalogue):
        publish(catalogue, "a", "b", "c")
        add(catalogue, "a", "b")
        add(catalogue, "b", "c")

        with pytest.raises(ConflictException) as caught:
            add(catalogue, "c", "a")

        assert (
            "bifrost:///assets/c -> bifrost:///assets/a?version=1 -> bifrost:///assets/b?version=1"
            " -> bifrost:///assets/c?version=1" in caught.value.message
        )
        assert [] == listed(catalogue, "c")

    def test_what_files_say_counts(self, catalogue):
        publish(catalogue, "skin", ("hero", "skin"))

        with pytest.raises(ConflictException, match="cycle"):
            add(catalogue, "skin", "hero")

    @pytest.mark.parametrize("strength", ["weak", "reference"])
    def test_a_weaker_edge_may_close_it(self, catalogue, strength):
        publish(catalogue, "a", "b")
        add(catalogue, "a", "b")

        add(catalogue, "b", "a", metadata={"strength": strength})

        assert strength == listed(catalogue, "b")[0].strength

    def test_a_strong_edge_may_close_a_cycle_that_has_a_weak_one(self, catalogue):
        publish(catalogue, "a", "b")
        add(catalogue, "a", "b", metadata={"optional": True})

        add(catalogue, "b", "a")

        assert 2 == len(listed(catalogue, "b", direction="both"))

    def test_versions_that_do_not_need_each_other_are_no_cycle(self, catalogue):
        publish(catalogue, "b", ("a", "b"))
        publish(catalogue, "b", checksum="2")
        publish(catalogue, ("a", "b@1"), checksum="2")

        # The newest A stays at the first B, which needs nothing.
        add(catalogue, "b@2", "a")

        with pytest.raises(ConflictException, match="cycle"):
            add(catalogue, "b@1", "a")

    def test_an_edge_of_the_whole_asset_holds_for_each_of_its_versions(self, catalogue):
        publish(catalogue, "b", ("a", "b@1"))
        publish(catalogue, "b", checksum="2")

        with pytest.raises(ConflictException, match="cycle"):
            add(catalogue, "b", "a")

    def test_two_who_would_close_it_at_once_do_not_both_succeed(self, catalogue):
        publish(catalogue, "a", "b")
        together = threading.Barrier(2)

        def attempt(source, target):
            together.wait()
            try:
                add(catalogue, source, target)
            except ConflictException:
                return False
            return True

        with ThreadPoolExecutor() as pool:
            tried = [pool.submit(attempt, *pair) for pair in (("a", "b"), ("b", "a"))]

        assert [False, True] == sorted(each.result() for each in tried)

    def test_a_weak_edge_of_a_cycle_is_not_made_strong(self, catalogue):
        publish(catalogue, "a", "b")
        add(catalogue, "a", "b")
        add(catalogue, "b", "a", metadata={"optional": True})

        with pytest.raises(ConflictException, match="cycle"):
            update(catalogue, "b", "a", metadata={"optional": False})

        assert "weak" == listed(catalogue, "b")[0].strength


class TestUpdate:
    def test_keys_are_merged_and_none_takes_one_away(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin", metadata={**EXAMPLE, "frames": [1, 2]})

        updated = update(
            catalogue, "hero", "skin", metadata={"optional": True, "frames": None, "note": "x"}
        )

        assert {
            "purpose": "Texture reference",
            "optional": True,
            "context": "UV mapping",
            "note": "x",
        } == updated.metadata
        assert updated.metadata == listed(catalogue, "hero")[0].metadata
        assert "weak" == updated.strength

    def test_replacing_leaves_nothing_else(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin", metadata={**EXAMPLE, "optional": True})

        update(catalogue, "hero", "skin", metadata={"note": "x"}, replace=True)

        assert {"note": "x", "optional": False} == listed(catalogue, "hero")[0].metadata

    def test_strength_may_be_said_in_either_way(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin", metadata={"strength": "reference"})

        assert "reference" == update(catalogue, "hero", "skin", metadata={"note": 1}).strength
        assert "weak" == update(catalogue, "hero", "skin", metadata={"optional": True}).strength
        assert "reference" == (
            update(catalogue, "hero", "skin", metadata={"strength": "reference"}).strength
        )

    def test_metadata_as_they_are_listed_change_nothing(self, catalogue):
        publish(catalogue, "hero", "skin")
        for kind, given in (("a", {"strength": "reference"}), ("b", {"optional": True}), ("c", {})):
            added = add(catalogue, "hero", "skin", kind, given)

            assert added == update(catalogue, "hero", "skin", kind, added.metadata)
            assert added == update(catalogue, "hero", "skin", kind, added.metadata, replace=True)

    def test_an_unknown_edge_is_not_found(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin")

        for source, target, kind in (
            ("hero", "skin@1", "dependency"),
            ("hero@1", "skin", "dependency"),
            ("hero", "skin", "other"),
        ):
            with pytest.raises(AssetNotFoundException, match="there is no"):
                update(catalogue, source, target, kind)
            with pytest.raises(AssetNotFoundException, match="there is no"):
                remove(catalogue, source, target, kind)

    def test_what_a_file_says_is_written_once(self, catalogue):
        publish(catalogue, "skin", ("hero", "skin"))

        with pytest.raises(UnsupportedOperationException, match="written once"):
            update(catalogue, "hero@1", "skin", "reference", {"optional": True})
        with pytest.raises(UnsupportedOperationException, match="written once"):
            remove(catalogue, "hero@1", "skin", "reference")

        assert "file" == listed(catalogue, "hero")[0].origin

    def test_updating_and_removing_are_changes_of_the_source(self, catalogue):
        publish(catalogue, "hero", "skin")
        add(catalogue, "hero", "skin")
        before = catalogue.change_number()

        update(catalogue, "hero", "skin", metadata={"note": 1})
        between = catalogue.change_number()
        remove(catalogue, "hero", "skin")

        assert {"hero"} == catalogue.changed_since(before)
        assert {"hero"} == catalogue.changed_since(between)


class TestRemove:
    def test_a_removed_edge_is_gone_and_may_be_added_again(self, catalogue):
        publish(catalogue, "hero", "skin", "rig")
        first = add(catalogue, "hero", "skin", metadata=EXAMPLE)
        add(catalogue, "hero", "rig")

        assert first == remove(catalogue, "hero", "skin")

        assert ["rig"] == [row.to_id for row in listed(catalogue, "hero")]
        add(catalogue, "hero", "skin")
        assert {"rig", "skin"} == {row.to_id for row in listed(catalogue, "hero")}


class TestListing:
    @pytest.fixture
    def filled(self, catalogue):
        publish(catalogue, "skin", "rig", ("hero", "skin", "rig@1"), ("shot", "hero"))
        add(catalogue, "hero", "rig", "look", {"purpose": "bake", "optional": True})
        add(catalogue, "hero@1", "skin", "note", {"strength": "reference", "purpose": "mood"})
        add(catalogue, "shot", "hero", "cast", {"purpose": "mood"})
        return catalogue

    def test_a_version_has_its_own_edges_and_those_of_the_whole_asset(self, filled):
        assert [
            ("hero@0", "rig@", "look"),
            ("hero@1", "skin@", "reference"),
            ("hero@1", "rig@1", "reference"),
            ("hero@1", "skin@", "note"),
        ] == ends(listed(filled, "hero"))

    def test_incoming_and_both_directions_say_which_they_are(self, filled):
        incoming = listed(filled, "hero", direction="in")
        both = listed(filled, "hero", direction="both")

        assert {("shot@0", "cast"), ("shot@1", "reference")} == {
            (f"{row.from_id}@{row.from_number}", row.kind) for row in incoming
        }
        assert ["out"] * 4 + ["in"] * 2 == [row.direction for row in both]
        assert both[4:] == incoming

    @pytest.mark.parametrize(
        ("options", "kinds"),
        [
            ({"kinds": ["look", "note"]}, ["look", "note"]),
            ({"kinds": []}, []),
            ({"strengths": ["weak", "reference"]}, ["look", "note"]),
            ({"strengths": []}, []),
            ({"purposes": ["mood"]}, ["note"]),
            ({"purposes": [""]}, ["reference", "reference"]),
            ({"purposes": ["mood"], "strengths": ["strong"]}, []),
        ],
    )
    def test_filters_hold_together(self, filled, options, kinds):
        assert kinds == [row.kind for row in listed(filled, "hero", **options)]

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_pages_make_up_the_whole(self, filled, limit):
        whole = listed(filled, "hero", direction="both")
        paged, after = [], ""
        while page := listed(filled, "hero", direction="both", limit=limit, after=after):
            paged += page
            after = page[-1].cursor

        assert whole == paged

    @pytest.mark.parametrize("at_a_time", [1, 2, 100])
    def test_every_edge_comes_whatever_the_pages(self, filled, at_a_time):
        """Also where the kinds that are wanted can be read once only."""
        kinds = ["reference", "look", "note"]
        whole = listed(filled, "hero", kinds=kinds)

        every = filled.every_relationship_of("hero", at_a_time=at_a_time, kinds=iter(kinds))

        assert whole == list(every)
        assert 4 == len(whole)

    def test_incoming_edges_of_a_version_are_those_that_mean_it_today(self, filled):
        publish(filled, "skin", checksum="2")

        assert {"reference", "note"} == {
            row.kind for row in listed(filled, "skin", 2, direction="in")
        }
        assert [] == listed(filled, "skin", 1, direction="in")
        assert [1] == [
            row.from_number for row in listed(filled, "rig", 1, direction="in", kinds=["reference"])
        ]

    def test_incoming_edges_of_earlier_versions_can_be_left_out(self, filled):
        publish(filled, "shot", checksum="2")

        assert 2 == len(listed(filled, "hero", direction="in"))
        assert ["cast"] == [
            row.kind for row in listed(filled, "hero", direction="in", current=True)
        ]

    def test_an_unknown_asset_has_none(self, filled):
        assert [] == listed(filled, "nobody", direction="both")

    @pytest.mark.parametrize("after", ["x", "1.2", "1.2.3.4.5", "'; --"])
    def test_a_cursor_of_somebody_elses_is_refused(self, filled, after):
        with pytest.raises(InvalidReferenceException, match="cursor"):
            listed(filled, "hero", after=after)

    def test_an_unknown_direction_or_strength_is_refused(self, filled):
        with pytest.raises(InvalidReferenceException, match="direction"):
            listed(filled, "hero", direction="up")
        with pytest.raises(InvalidTraitsException, match="strength"):
            listed(filled, "hero", strengths=["mighty"])


class TestIntegrity:
    def breaks(self, catalogue):
        with catalogue._database.read() as connection:
            return integrity.validate_relationships(connection)

    @pytest.fixture
    def unguarded(self, catalogue):
        """A connection of a program that doesn't check foreign keys."""
        publish(catalogue, "skin", "rig", ("hero", "skin"))
        add(catalogue, "hero@1", "rig@1", "look")
        with catalogue._database._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            else:
                connection.exec_driver_sql("SET session_replication_role = replica")
            yield connection
            connection.invalidate()

    def test_a_sound_catalogue_has_none(self, catalogue):
        publish(catalogue, "skin", "rig", ("hero", "skin", "rig@1"))
        add(catalogue, "hero", "rig", metadata={"optional": True})

        assert [] == self.breaks(catalogue)

    @pytest.mark.parametrize(
        ("statement", "kinds"),
        [
            ("DELETE FROM assets WHERE id = 'rig'", ["no_target"]),
            ("DELETE FROM assets WHERE id = 'hero'", ["no_source", "no_source"]),
            (
                "DELETE FROM versions WHERE asset = (SELECT key FROM assets WHERE id = 'rig')",
                ["no_version"],
            ),
            (
                "DELETE FROM versions WHERE asset = (SELECT key FROM assets WHERE id = 'hero')",
                ["no_source_version", "no_source_version"],
            ),
        ],
    )
    def test_what_another_program_broke_is_found_with_its_remedy(
        self, catalogue, unguarded, statement, kinds
    ):
        unguarded.exec_driver_sql(statement)

        found = self.breaks(catalogue)

        assert kinds == [each.kind for each in found]
        assert all(each.remedy and each.message and not each.is_warning for each in found)

    def test_dangling_edges_can_be_removed(self, catalogue, unguarded):
        unguarded.exec_driver_sql("DELETE FROM assets WHERE id = 'rig'")

        with catalogue._database.write() as connection:
            assert 1 == integrity.remove_dangling(connection, NOW)

        assert [] == self.breaks(catalogue)
        assert ["skin"] == [row.to_id for row in listed(catalogue, "hero")]

    def test_a_strong_cycle_that_came_with_a_new_version_is_found(self, catalogue):
        publish(catalogue, "a", "b")
        add(catalogue, "a", "b")
        publish(catalogue, ("b", "a"), checksum="2")

        [found] = self.breaks(catalogue)

        assert "strong_cycle" == found.kind
        assert (
            "bifrost:///assets/a?version=1 -> bifrost:///assets/b?version=2 -> "
            "bifrost:///assets/a?version=1" in found.message
        )

    def test_what_is_required_and_deprecated_is_a_warning(self, catalogue):
        publish(catalogue, "skin", "rig", ("hero", "skin"))
        add(catalogue, "hero", "rig", metadata={"optional": True})
        catalogue.set_deprecated("skin", deprecated=True)
        catalogue.set_deprecated("rig", deprecated=True)

        [found] = self.breaks(catalogue)

        assert ("deprecated", True) == (found.kind, found.is_warning)
        assert ("bifrost:///assets/hero?version=1", "bifrost:///assets/skin") == found[3:5]

    def test_a_status_that_no_version_has_is_a_warning(self, catalogue):
        publish(catalogue, "skin", "hero")
        add(catalogue, "hero", "skin@approved")
        add(catalogue, "hero", "skin@latest")

        [found] = self.breaks(catalogue)

        assert ("no_tag", True) == (found.kind, found.is_warning)
        assert "'approved'" in found.remedy

    def test_without_rustworkx_a_warning_says_what_was_not_looked_for(self, catalogue, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "rustworkx", None)

        [found] = self.breaks(catalogue)

        assert ("cycles_unknown", True) == (found.kind, found.is_warning)
        assert "bifrost-usd[graph]" in found.remedy
