# SPDX-License-Identifier: Apache-2.0
"""
Publishing, relationships, queries, access.

Every old table but Alembic's own is made anew: SQLite can't change a column or a constraint. Written
out rather than taken from `schema.py`, which moves on. The derived tables (`metadata_values`,
`search_texts`) are filled by whoever upgrades.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for table in ("assets", "versions", "dependencies", "changes"):
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")  # noqa: S608
    for table in ("changes", "dependencies", "versions", "assets"):
        op.drop_table(table)
    _assets()
    _deleted_assets()
    _versions()
    _representations()
    _relationships()
    _metadata_values()
    _search_texts()
    _version_status()
    _status_history()
    _publishes()
    _rules()
    _saved_queries()
    _changes()
    _fill()
    for table in ("assets", "versions", "dependencies", "changes"):
        op.execute(f"DROP TABLE old_{table}")
    _on_sqlite() if op.get_bind().dialect.name == "sqlite" else _on_postgresql()


def _fill() -> None:
    op.execute(
        "INSERT INTO assets (key, id, name, type, created, modified, created_by, deprecated,"
        " latest_version, status, metadata)"
        " SELECT a.key, a.id, a.name, a.type, a.created, v.created,"
        " (SELECT f.created_by FROM old_versions f WHERE f.asset = a.key AND f.number = 1),"
        " false, a.latest_version, 'wip', '{}'"
        " FROM old_assets a JOIN old_versions v ON v.asset = a.key AND v.number = a.latest_version"
    )
    op.execute(
        "INSERT INTO versions (asset, number, location, mime_type, templated, size, checksum,"
        " created, created_by, comment, metadata, properties)"
        " SELECT asset, number, location, mime_type, templated, size, checksum, created,"
        " created_by, comment, metadata, '{}' FROM old_versions"
    )
    op.execute(
        "INSERT INTO relationships (asset, number, position, to_asset, to_number, to_tag, kind,"
        " created)"
        " SELECT d.asset, d.number, d.position, d.to_asset, d.to_number, d.to_tag, d.kind, v.created"
        " FROM old_dependencies d JOIN old_versions v ON v.asset = d.asset AND v.number = d.number"
    )
    op.execute("INSERT INTO changes (number, asset, at) SELECT number, asset, at FROM old_changes")


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.BigInteger, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.Column("deprecated", sa.Boolean, nullable=False),
        sa.Column("latest_version", sa.Integer, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("assets_by_modified", "assets", ["modified"])
    op.create_index("assets_by_created", "assets", ["created"])
    op.create_index("assets_by_type", "assets", ["type", "modified"])
    op.create_index("assets_by_name", "assets", ["name"])
    op.create_index("assets_by_status", "assets", ["status", "modified"])


def _deleted_assets() -> None:
    op.create_table(
        "deleted_assets",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("latest_version", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deleted_assets_by_key", "deleted_assets", ["asset"])


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("mime_type", sa.Text, nullable=False),
        sa.Column("templated", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("asset", "number"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
    )


def _representations() -> None:
    op.create_table(
        "representations",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("mime_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("asset", "number", "name"),
        sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
    )


def _relationships() -> None:
    op.create_table(
        "relationships",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("to_asset", _KEY, nullable=False),
        sa.Column("to_number", sa.Integer),
        sa.Column("to_tag", _TEXT),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("strength", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("origin", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("purpose", _TEXT, nullable=False, server_default=""),
        sa.Column("metadata", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_by", _TEXT, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("asset", "number", "position"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
        sa.ForeignKeyConstraint(["to_asset"], ["assets.key"]),
        sqlite_with_rowid=False,
    )
    op.create_index("relationships_to_asset", "relationships", ["to_asset"])


def _metadata_values() -> None:
    op.create_table(
        "metadata_values",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("text", _TEXT),
        sa.Column("number", sa.Double),
        sa.PrimaryKeyConstraint("asset", "path", "position"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
        sqlite_with_rowid=False,
    )
    op.create_index("metadata_values_by_text", "metadata_values", ["path", "text", "asset"])
    op.create_index("metadata_values_by_number", "metadata_values", ["path", "number", "asset"])


def _search_texts() -> None:
    op.create_table(
        "search_texts",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("asset"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
    )


def _version_status() -> None:
    op.create_table(
        "version_status",
        sa.Column("asset", _KEY, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("asset", "number"),
        sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
    )
    op.create_index("version_status_by_status", "version_status", ["asset", "status", "number"])


def _status_history() -> None:
    op.create_table(
        "status_history",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("before", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", _TEXT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
    )
    op.create_index("status_history_by_version", "status_history", ["asset", "number", "key"])


def _publishes() -> None:
    op.create_table(
        "publishes",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("idempotency_key", _TEXT),
        sa.Column("stage", _TEXT, nullable=False),
        sa.Column("drafts", sa.Text, nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("actions", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_index("publishes_by_stage", "publishes", ["stage", "updated"])


def _rules() -> None:
    op.create_table(
        "rules",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("assets", _TEXT, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("user", _TEXT, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("assets", "action", "user"),
    )


def _saved_queries() -> None:
    op.create_table(
        "saved_queries",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("number", _KEY, nullable=False),
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )


def _on_sqlite() -> None:
    op.execute(
        "CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions "
        "BEGIN SELECT RAISE(ABORT, 'a version is written once'); END"
    )
    op.execute(
        "CREATE TRIGGER relationships_written_once BEFORE UPDATE ON relationships "
        "WHEN OLD.origin = 0 "
        "BEGIN SELECT RAISE(ABORT, 'what a version''s file says is written once'); END"
    )
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5( text, content='search_texts', "
        "content_rowid='asset', tokenize='trigram case_sensitive 1')"
    )
    op.execute(
        "CREATE TRIGGER search_texts_added AFTER INSERT ON search_texts "
        "BEGIN INSERT INTO search_index (rowid, text) VALUES (NEW.asset, NEW.text); END"
    )
    op.execute(
        "CREATE TRIGGER search_texts_removed AFTER DELETE ON search_texts BEGIN INSERT INTO "
        "search_index (search_index, rowid, text) VALUES ('delete', OLD.asset, OLD.text); END"
    )
    op.execute(
        "CREATE TRIGGER search_texts_changed AFTER UPDATE ON search_texts BEGIN INSERT INTO "
        "search_index (search_index, rowid, text) VALUES ('delete', OLD.asset, OLD.text); "
        "INSERT INTO search_index (rowid, text) VALUES (NEW.asset, NEW.text); END"
    )


def _on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION bifrost_written_once() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'a version and what its file says are written once'; END $$"
    )
    op.execute(
        "CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions "
        "FOR EACH ROW EXECUTE FUNCTION bifrost_written_once()"
    )
    op.execute(
        "CREATE TRIGGER relationships_written_once BEFORE UPDATE ON relationships "
        "FOR EACH ROW WHEN (OLD.origin = 0) EXECUTE FUNCTION bifrost_written_once()"
    )
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE INDEX search_texts_trigrams ON search_texts USING gin (text gin_trgm_ops)")
