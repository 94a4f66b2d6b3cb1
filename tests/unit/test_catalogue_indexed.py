# SPDX-License-Identifier: Apache-2.0
"""What queries search follows what is published, and is left alone where nothing of it changed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.database import Database
from bifrost.catalogue.schema import metadata_values, search_texts


@pytest.fixture
def catalogue(catalogue_url):
    with Catalogue.open(catalogue_url) as catalogue:
        yield catalogue


@pytest.fixture
def indexed(catalogue_url, catalogue):
    database = Database.open(catalogue_url)

    def read():
        with database.read() as connection:
            texts = connection.execute(sa.select(search_texts.c.text)).scalars().all()
            values = connection.execute(sa.select(metadata_values.c.text)).scalars().all()
        return sorted(texts), sorted(filter(None, values))

    yield read
    database.close()


def version(checksum, name="Thor", asset_type="model", **metadata):
    return Publication(
        "hero", name, asset_type, "/hero.usd", checksum=checksum, asset_metadata=metadata
    )


def test_a_new_asset_is_indexed(catalogue, indexed):
    catalogue.publish([version("1", tags=["wet"])])

    assert (["hero\nthor\nmodel\nwet"], ["wet"]) == indexed()


def test_a_version_with_the_same_metadata_leaves_the_index_as_it_is(catalogue, indexed):
    catalogue.publish([version("1", tags=["wet"])])
    before = indexed()

    [record] = catalogue.publish([version("2", tags=["wet"])])

    assert 2 == record.number
    assert before == indexed()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"tags": ["dry"]}, "hero\nthor\nmodel\ndry"),
        ({"name": "Odin"}, "hero\nodin\nmodel\nwet"),
        ({"asset_type": "rig"}, "hero\nthor\nrig\nwet"),
    ],
    ids=["metadata", "name", "type"],
)
def test_a_version_that_changes_what_the_asset_is_found_by_is_indexed(
    catalogue, indexed, changed, text
):
    catalogue.publish([version("1", tags=["wet"])])

    catalogue.publish([version("2", **changed)])

    assert [text] == indexed()[0]


def test_two_versions_in_one_batch_leave_the_index_of_the_last(catalogue, indexed):
    catalogue.publish([version("1", tags=["wet"]), version("2", tags=["dry"])])

    assert (["hero\nthor\nmodel\ndry"], ["dry"]) == indexed()
