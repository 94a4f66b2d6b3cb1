# SPDX-License-Identifier: Apache-2.0
"""The benchmark's catalogues are catalogues like any other, only made faster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, indexing, schema
from bifrost.catalogue.database import Database
from bifrost.catalogue.integrity import validate_relationships
from bifrost.catalogue.location import path_of
from bifrost.catalogue.postgresql import SCHEMA

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIZE = 3_010

PARTS = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'",
    "postgresql": f"""
        SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = '{SCHEMA}'
        UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger
            WHERE NOT tgisinternal
        UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = '{SCHEMA}'::regnamespace
        UNION ALL SELECT table_name, column_name, data_type || coalesce(column_default, '')
            FROM information_schema.columns WHERE table_schema = '{SCHEMA}'""",
}


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import catalogue_load

    return catalogue_load


@pytest.fixture
def data(load):
    return sys.modules["catalogue_data"]


@pytest.fixture
def filled_url(catalogue_url, load):
    path = path_of(catalogue_url)
    if path is None:
        load.postgresql(catalogue_url, SIZE, lambda _: None)
        return catalogue_url
    return load.sqlite(path, SIZE, lambda _: None)


@pytest.fixture
def database(filled_url):
    database = Database.open(filled_url)
    yield database
    database.close()


def parts_of(url):
    database = Database.open(url)
    with database.read() as connection:
        rows = {tuple(row) for row in connection.exec_driver_sql(PARTS[connection.dialect.name])}
    database.close()
    return rows


def test_a_catalogue_that_is_filled_in_bulk_has_the_schema_of_any_other(
    catalogue_url, load, tmp_path
):
    path = path_of(catalogue_url)
    expected = parts_of(catalogue_url)
    if path is None:
        load.postgresql(catalogue_url, 10, lambda _: None)
        filled = catalogue_url
    else:
        filled = load.sqlite(tmp_path / "filled.sqlite", 10, lambda _: None)

    assert expected == parts_of(filled)


def test_what_queries_search_is_what_the_catalogue_itself_would_make_of_the_metadata(database):
    tables = (schema.metadata_values, schema.search_texts)
    with database.write() as connection:
        written = [set(map(tuple, connection.execute(sa.select(table)))) for table in tables]
        indexing.rebuild(connection)
        made_anew = [set(map(tuple, connection.execute(sa.select(table)))) for table in tables]

    assert made_anew == written
    assert all(written)


def test_a_filled_catalogue_is_as_large_as_it_says_and_whole(filled_url, database, data):
    counted = [
        sa.select(sa.func.count()).select_from(table).scalar_subquery()
        for table in (schema.assets, schema.versions, schema.relationships)
    ]
    with database.read() as connection:
        counts = tuple(connection.execute(sa.select(*counted)).one())
        breaks = [found for found in validate_relationships(connection) if not found.is_warning]
    with Catalogue.open(filled_url) as catalogue:
        reached = {asset_id for asset_id, _ in catalogue.closure([(data.SHOT, None)])}

    assert (SIZE, 3 * SIZE, 5 * SIZE) == counts
    assert [] == breaks
    assert {data.asset_id(index) for index in range(data.PRODUCTION)} == reached


def test_a_reference_is_looked_up_without_reading_all_versions(database, load):
    import catalogue_figures

    with database.read() as connection:
        dialect = connection.dialect.name
        statement, parameters = catalogue_figures._own_statement(dialect)
        given = parameters({"": ["p0000_shot_0000"], "2": ["p0000_layer_0001"]})
        explain = "EXPLAIN QUERY PLAN" if dialect == "sqlite" else "EXPLAIN"
        given = tuple(given) if dialect == "sqlite" else given
        plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", given)]

    assert any("versions" in step for step in plan)
    assert not [step for step in plan if "Seq Scan on versions" in step or "SCAN versions" in step]


def test_a_filled_catalogue_takes_more_versions(filled_url, data, monkeypatch):
    from bifrost.catalogue import Publication

    with Catalogue.open(filled_url) as catalogue:
        before = catalogue.found([data.SHOT])[data.SHOT]
        shot = Publication(data.SHOT, before.name, before.asset_type, "/new.usd", checksum="new")
        new = Publication("new", "New", "prop", "/other.usd", checksum="new")

        numbers = [record.number for record in catalogue.publish([shot, new])]

    assert [before.latest_version + 1, 1] == numbers


def test_the_same_seed_gives_the_same_rows_and_another_one_others(data):
    def made(seed):
        return data.production(0, 100, seed=seed)

    assert made(1) == made(1)
    assert made(1) != made(2)
