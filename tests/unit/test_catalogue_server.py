# SPDX-License-Identifier: Apache-2.0
"""A catalogue on a PostgreSQL server: opening, sharing, upgrading, and every way it can be refused."""

from __future__ import annotations

import multiprocessing
import traceback

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Publication, migrations, schema
from bifrost.catalogue.database import Database
from bifrost.catalogue.location import path_of, without_password
from bifrost.earlier_settings import read_yaml
from bifrost.errors import BifrostError, CatalogueError, ConfigurationError
from bifrost.settings import load

SECRET = "geheim"  # what no message may show


@pytest.fixture
def url(postgresql_server):
    """The URL of an empty database."""
    url = postgresql_server.database()
    yield url
    postgresql_server.drop(url)


def execute(url, *statements):
    """Run *statements* as some other program."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        rows = [connection.exec_driver_sql(statement) for statement in statements]
        last = rows[-1].all() if rows[-1].returns_rows else []
    engine.dispose()
    return last


def layout(url):
    """Return columns, indexes, constraints and triggers of the catalogue's schema."""
    return [
        sorted(map(tuple, execute(url, statement)))
        for statement in (
            (
                "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
                " FROM information_schema.columns WHERE table_schema = 'bifrost'"
            ),
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'bifrost'",
            (
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'bifrost'::regnamespace"
            ),
            (
                "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger"
                " WHERE NOT tgisinternal"
            ),
        )
    ]


class TestOpening:
    def test_what_was_published_is_there_again(self, url):
        with Catalogue.open(url) as catalogue:
            catalogue.publish([Publication("rock", "Rock", "model", "")])

        with Catalogue.open(url) as catalogue:
            assert ["rock"] == [asset.asset_id for asset in catalogue.assets()]
            assert None is catalogue.path

    def test_processes_that_open_a_fresh_database_at_once_make_one_catalogue(self, url):
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(4) as processes:
            numbers = processes.map(_publish_in_child, [(url, n) for n in range(4)], chunksize=1)

        assert [1, 2, 3, 4] == sorted(numbers)

    def test_what_else_is_in_the_database_stays(self, url):
        execute(url, "CREATE TABLE public.assets (theirs int)", "INSERT INTO assets VALUES (7)")

        with Catalogue.open(url) as catalogue:
            catalogue.publish([Publication("rock", "Rock", "model", "")])

        assert [(7,)] == execute(url, "SELECT theirs FROM public.assets")

    def test_a_schema_of_our_name_that_is_not_ours_is_left_as_it_is(self, url):
        execute(url, "CREATE SCHEMA bifrost", "CREATE TABLE bifrost.theirs (x int)")

        with pytest.raises(CatalogueError, match="'bifrost' is not a Bifrost catalogue") as raised:
            Catalogue.open(url)

        assert not raised.value.retryable
        assert [("theirs",)] == execute(
            url, "SELECT tablename FROM pg_tables WHERE schemaname = 'bifrost'"
        )

    def test_a_schema_that_somebody_made_empty_for_us_is_used(self, url):
        execute(url, "CREATE SCHEMA bifrost")

        Catalogue.open(url).close()

        assert [(schema.REVISION,)] == execute(
            url, "SELECT version_num FROM bifrost.alembic_version"
        )


class TestMigrations:
    def test_revisions_end_where_the_schema_is(self, url, postgresql_server):
        database = Database.open(postgresql_server.database())
        grown = Database(database._backend.__class__(url, 1.0, 10.0))
        with grown.write() as connection:
            grown._backend.prepare(connection)
            migrations.upgrade(connection)
        made = layout(database._backend._url)
        postgresql_server.drop(database._backend._url)

        assert made == layout(url)
        database.close()
        grown.close()

    def test_a_newer_schema_is_refused_with_both_named(self, url):
        Catalogue.open(url).close()
        execute(url, "UPDATE bifrost.alembic_version SET version_num = '0099'")

        expected = rf"0099.*knows up to {schema.REVISION}: use a newer Bifrost"
        with pytest.raises(CatalogueError, match=expected) as raised:
            Catalogue.open(url)

        assert not raised.value.retryable


class TestRefusals:
    @pytest.fixture
    def guarded(self, postgresql_server, url):
        """The URL for a role that needs a password, with a wrong one."""
        postgresql_server.sql("DROP ROLE IF EXISTS guarded")
        postgresql_server.sql(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
        rules = postgresql_server._folder / "data" / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text("local all guarded scram-sha-256\n" + before)
        postgresql_server.sql("SELECT pg_reload_conf()")
        yield lambda password: url.replace("postgres:@", f"guarded:{password}@")
        rules.write_text(before)
        postgresql_server.sql("SELECT pg_reload_conf()")

    def refused(self, url):
        with pytest.raises((CatalogueError, ConfigurationError)) as raised:
            Catalogue.open(url, lock_timeout_s=1)
        assert SECRET not in raised.value.message
        assert SECRET not in repr(raised.value.__cause__)
        return raised.value

    def test_a_wrong_password(self, guarded):
        error = self.refused(guarded(SECRET + "!"))

        assert "the database refuses the user" in error.message
        assert not error.retryable

    def test_a_user_who_may_not_make_the_catalogue(self, guarded):
        error = self.refused(guarded(SECRET))

        assert "may not do that" in error.message
        assert not error.retryable

    def test_a_user_who_is_not_there(self, url):
        error = self.refused(url.replace("postgres:@", f"nobody:{SECRET}@"))

        assert "the database refuses the user: " in error.message
        assert not error.retryable

    def test_a_database_that_is_not_there(self, url):
        error = self.refused(url.replace("?", "_not?"))

        assert "there is no such database" in error.message
        assert "correct catalogue.url" in error.message
        assert not error.retryable

    @pytest.mark.parametrize(
        "place", ["127.0.0.1:1", "no-such-host.invalid"], ids=["no server", "no host"]
    )
    def test_a_server_that_is_not_there_may_come_back(self, place):
        error = self.refused(f"postgresql://ann:{SECRET}@{place}/show")

        assert f"postgresql://ann@{place}/show: the database can't be reached" in error.message
        assert error.retryable

    @pytest.mark.parametrize(
        "bad",
        [
            "postgresql://",
            "postgresql://ann:geheim@127.0.0.1",
            "postgresql://ann:geheim@127.0.0.1/",
            "postgresql://ann:geheim@127.0.0.1:99999/show",
            "postgresql://ann:geheim@[::1/show",
            "postgresql://ann:x@geheim@127.0.0.1/show",
            "postgresql://ann:geheim@127.0.0.1/show\0",
        ],
    )
    def test_a_url_that_names_no_database_is_a_configuration_error(self, bad):
        assert isinstance(self.refused(bad), ConfigurationError)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("postgresql://ann:geheim@h:1/d", "postgresql://ann@h:1/d"),
            ("postgresql://ann:ge@heim@h/d", "postgresql://ann@h/d"),
            ("postgresql://h/d?user=ann&password=geheim", "postgresql://h/d?user=ann"),
            ("postgresql://ann@h/d?x=a@b", "postgresql://ann@h/d?x=a@b"),
            ("postgresql://ann:geh/eim@h/d", "postgresql://ann@h/d"),
            ("postgresql://ann:geh#eim@h/d?x=1", "postgresql://ann@h/d?x=1"),
            ("postgresql://ann:geh?eim@h/d?x=1", "postgresql://ann@h/d?x=1"),
            ("postgresql:ann:geheim@h/d", "postgresql:ann@h/d"),
            ("ann:geheim@h/d", "ann@h/d"),
            ("sqlite:///some/c.sqlite", "sqlite:///some/c.sqlite"),
        ],
    )
    def test_a_url_is_shown_without_its_password(self, url, shown):
        assert shown == without_password(url)

    @pytest.mark.parametrize("mark", "/#?@[]: ")
    def test_no_message_has_a_part_of_a_password(self, mark, tmp_path):
        """It may have what it should have escaped, wherever it is written."""
        url = f"postgresql://ann:{SECRET}{mark}{SECRET}@127.0.0.1:1/d"
        listed = tmp_path / "settings.toml"
        listed.write_text(f'catalogue = "{url}"\n')
        unclosed = tmp_path / "settings.yaml"
        unclosed.write_text(f"catalogue: {{url: '{url}'\n")

        for call in (
            lambda: Catalogue.open(url),
            lambda: load({"BIFROST_HOME": str(tmp_path)}),
            lambda: read_yaml(unclosed),
        ):
            with pytest.raises(BifrostError) as raised:
                call()
            assert SECRET not in "".join(traceback.format_exception(raised.value))

    def test_a_server_has_no_path(self):
        assert None is path_of("postgresql://ann:geheim@h/d")
        assert None is path_of("postgres://h/d")


def _publish_in_child(job):
    url, number = job
    with Catalogue.open(url) as catalogue:
        shared = Publication("shared", "Shared", "model", "", checksum=str(number))
        return catalogue.publish([shared])[0].number
