# SPDX-License-Identifier: Apache-2.0
"""Assets are found by the variants that their newest version was published with."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.indexing import VARIANTS, variants_of
from bifrost.catalogue.schema import metadata_values

COLOURS = {"variants": ["blue", "red"], "selection": "red"}


def described(**sets):
    return {"usd": {"variant_sets": {"/A": sets}}}


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as opened:
        yield opened


def publish(catalogue, asset_id, properties, checksum="1", **values):
    catalogue.publish(
        [
            Publication(
                asset_id,
                asset_id.title(),
                "model",
                f"/x/{asset_id}.usda",
                checksum=checksum,
                properties=properties,
                **values,
            )
        ]
    )


def found(catalogue, condition):
    query = {"variants": condition, "sort": [{"field": "id"}]}
    return [asset["id"] for asset in catalogue.query(query)]


def test_each_variant_of_each_set_finds_its_asset(catalogue):
    publish(catalogue, "hero", described(colour=COLOURS, size={"variants": ["big"]}))
    publish(catalogue, "tree", described(colour={"variants": ["red", "green"]}))
    publish(catalogue, "rock", {})

    assert ["hero", "tree"] == found(catalogue, "colour=red")
    assert ["hero"] == found(catalogue, ["colour=blue", "size=none"])
    assert ["hero"] == found(catalogue, {"$contains": ["colour=red", "size=big"]})
    assert ["rock"] == found(catalogue, {"$exists": False})
    assert ["hero", "tree"] == found(catalogue, {"$like": "COLOUR=%"})
    assert ["rock", "tree"] == found(catalogue, {"$ne": "size=big"})


def test_sets_inside_variants_find_it_too(catalogue):
    deep = {"rust": {"variants": ["old"], "nested": {}}}
    wear = {"wear": {"variants": ["worn"], "nested": {"worn": deep}}}
    metal = {"variants": ["metal"], "selection": "", "nested": {"metal": wear}}
    publish(catalogue, "hero", described(material=metal))

    assert [["hero"]] * 3 == [
        found(catalogue, each) for each in ("material=metal", "wear=worn", "rust=old")
    ]


def test_a_next_version_brings_its_own_variants(catalogue):
    """
    Also where nothing else of what the asset is found by changes.
    """
    publish(catalogue, "hero", described(colour=COLOURS))
    publish(catalogue, "hero", described(colour={"variants": ["green"]}), "2")
    assert [[], ["hero"]] == [found(catalogue, f"colour={each}") for each in ("red", "green")]

    publish(catalogue, "hero", {}, "3")
    assert [] == found(catalogue, "colour=green")


def test_metadata_leaves_variants_alone(catalogue):
    publish(catalogue, "hero", described(colour=COLOURS), asset_metadata={"variants": "mine"})

    catalogue.set_metadata("hero", {"tags": ["new"]}, replace=True)

    assert ["hero"] == found(catalogue, "colour=red")
    assert ["hero"] == [each["id"] for each in catalogue.query({"tags": "new"})]


def test_results_show_and_count_them(catalogue):
    publish(catalogue, "hero", described(colour=COLOURS), asset_metadata={"variants": "mine"})
    publish(catalogue, "rock", {})

    page = catalogue.query({"fields": ["id", "variants"], "sort": [{"field": "id"}]})
    groups = catalogue.query({"aggregate": {"by": ["variants"]}})

    assert [
        {"id": "hero", "variants": ["colour=blue", "colour=red"]},
        {"id": "rock", "variants": []},
    ] == list(page)
    assert {"colour=blue", "colour=red", None} == {group["variants"] for group in groups}


def test_the_check_finds_and_mends_an_index_without_them(catalogue):
    """
    As it is in a catalogue of before there was such an index.
    """
    publish(catalogue, "hero", described(colour=COLOURS))
    with catalogue._database.write() as connection:
        connection.execute(sa.delete(metadata_values).where(metadata_values.c.path == VARIANTS))
    assert [] == found(catalogue, "colour=red")

    assert "index" in {problem.kind for problem in catalogue.check()}
    list(catalogue.check(repair=True))

    assert ["hero"] == found(catalogue, "colour=red")
    assert "index" not in {problem.kind for problem in catalogue.check()}


@pytest.mark.parametrize(
    "properties",
    [
        None,
        "",
        "{}",
        '{"usd": {"variant_sets": {}}}',
        '{"usd": [], "variant_sets": {"a": 1}}',
        '{"usd": {"variant_sets": {"/A": []}}}',
        '{"usd": {"variant_sets": {"/A": {"s": {"variants": 3, "nested": "x"}}}}}',
    ],
)
def test_properties_of_another_shape_have_none(properties):
    assert [] == variants_of(properties)
