# SPDX-License-Identifier: Apache-2.0
"""
The tables, as the newest migration leaves them, on SQLite and on PostgreSQL.

A fresh catalogue is made from here in one go; `migrations/` brings older ones to the same schema (a
test compares the two). Times are microseconds since the epoch and JSON is text: any database orders
and compares those alike, and no value is converted on the resolve path.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

REVISION: Final = "0002"
"""The newest schema revision that this code knows. Revisions are zero-padded, so they order."""

metadata: Final = sa.MetaData()

# 64 bits everywhere; in SQLite only an INTEGER primary key is the row's own id.
Key: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Code point order, as SQLite and Python have it; PostgreSQL's default is that of a language.
Text: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

assets: Final = sa.Table(
    "assets",
    metadata,
    sa.Column("key", Key, primary_key=True),
    sa.Column("id", Text, nullable=False, unique=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("type", Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    # When a version, the metadata, a status or the deprecation last changed.
    sa.Column("modified", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text, nullable=False),
    sa.Column("deprecated", sa.Boolean, nullable=False),
    # Denormalised: the newest version of thousands of assets is one look-up each. 0 before the first.
    sa.Column("latest_version", sa.Integer, nullable=False),
    # The newest version's workflow stage, for queries; `version_status` has every version's.
    sa.Column("status", Text, nullable=False),
    # A JSON object, `tags` and `description` among its keys; `metadata_values` has it flat.
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Index("assets_by_modified", "modified"),
    sa.Index("assets_by_created", "created"),
    sa.Index("assets_by_type", "type", "modified"),
    sa.Index("assets_by_name", "name"),
    sa.Index("assets_by_status", "status", "modified"),
    # A key is never used again: the log of changes names assets by it.
    sqlite_autoincrement=True,
)

# What became of assets that were deleted: a number that was published is never used again either.
deleted_assets: Final = sa.Table(
    "deleted_assets",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("asset", Key, nullable=False),
    sa.Column("latest_version", sa.Integer, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", Text, nullable=False),
    sa.Index("deleted_assets_by_key", "asset"),
)

versions: Final = sa.Table(
    "versions",
    metadata,
    sa.Column("asset", Key, sa.ForeignKey("assets.key"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False),
    sa.Column("templated", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    # What the publisher recorded, a JSON object.
    sa.Column("metadata", sa.Text, nullable=False),
    # What was read from the file when it was published, a JSON object: `usd`, `frames`.
    sa.Column("properties", sa.Text, nullable=False),
)

# Other files that stand for a version: thumbnail, preview and whatever a publisher adds.
representations: Final = sa.Table(
    "representations",
    metadata,
    sa.Column("asset", Key, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", Text, primary_key=True),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    # A JSON object: width, height, generator…
    sa.Column("properties", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
)

# Edges. Those of a file (origin 0) belong to the version whose file says so, are written once, and
# say what it says: a number pins, a tag floats by rule, neither floats. Those that somebody added
# (origin 1) belong to a version, or with number 0 to the whole asset. Clustered by where they start:
# a closure reads its edges as one range.
relationships: Final = sa.Table(
    "relationships",
    metadata,
    sa.Column("asset", Key, sa.ForeignKey("assets.key"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("to_asset", Key, sa.ForeignKey("assets.key"), nullable=False),
    sa.Column("to_number", sa.Integer),
    sa.Column("to_tag", Text),
    # `sublayer`, `reference`, `texture`…; of added ones the caller's relationship_type.
    sa.Column("kind", Text, nullable=False),
    # 0 strong (required), 1 weak (optional), 2 reference (informational).
    sa.Column("strength", sa.SmallInteger, nullable=False, server_default="0"),
    # 0 read from the version's file, 1 added.
    sa.Column("origin", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("purpose", Text, nullable=False, server_default=""),
    # A JSON object: context, overrides…
    sa.Column("metadata", sa.Text, nullable=False, server_default="{}"),
    sa.Column("created", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_by", Text, nullable=False, server_default=""),
    sa.Index("relationships_to_asset", "to_asset"),
    sqlite_with_rowid=False,
)

# `assets.metadata`, one row for each value, so that any of it is found by an index. Lists add no step
# to a path: their elements have the path of the list and positions of their own. `kind` is one of
# `s` text, `n` number, `b` boolean (number 0 or 1), `z` null, `l` list and `o` object (no value).
metadata_values: Final = sa.Table(
    "metadata_values",
    metadata,
    sa.Column("asset", Key, sa.ForeignKey("assets.key"), primary_key=True, autoincrement=False),
    sa.Column("path", Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", Text, nullable=False),
    # The first 600 characters: an index entry of PostgreSQL has 2,704 bytes.
    sa.Column("text", Text),
    sa.Column("number", sa.Double),
    sa.Index("metadata_values_by_text", "path", "text", "asset"),
    sa.Index("metadata_values_by_number", "path", "number", "asset"),
    sqlite_with_rowid=False,
)

# What `$text` searches: id, name, type and the texts of the metadata, case-folded. On SQLite an FTS5
# trigram index follows it by triggers; on PostgreSQL it has a pg_trgm index.
search_texts: Final = sa.Table(
    "search_texts",
    metadata,
    sa.Column("asset", Key, sa.ForeignKey("assets.key"), primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
)

# Each version's workflow stage now, and how it came there.
version_status: Final = sa.Table(
    "version_status",
    metadata,
    sa.Column("asset", Key, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("status", Text, nullable=False),
    sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
    sa.Index("version_status_by_status", "asset", "status", "number"),
)
status_history: Final = sa.Table(
    "status_history",
    metadata,
    sa.Column("key", Key, primary_key=True),
    sa.Column("asset", Key, sa.ForeignKey("assets.key"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("before", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("status_history_by_version", "asset", "number", "key"),
)

# A publish on its way through its stages; it outlives the process that began it.
publishes: Final = sa.Table(
    "publishes",
    metadata,
    sa.Column("id", Text, primary_key=True),
    # Whatever the caller says makes two publishes one; null for none.
    sa.Column("idempotency_key", Text, unique=True),
    sa.Column("stage", Text, nullable=False),
    # JSON: what is to be published, what was found wrong with it, and what came of it.
    sa.Column("drafts", sa.Text, nullable=False),
    sa.Column("findings", sa.Text, nullable=False),
    sa.Column("results", sa.Text, nullable=False),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Index("publishes_by_stage", "stage", "updated"),
)

# Who may do what. An action is open to all until a rule covers it.
rules: Final = sa.Table(
    "rules",
    metadata,
    sa.Column("key", Key, primary_key=True),
    # An asset's id, or with a final `*` every id that begins so.
    sa.Column("assets", Text, nullable=False),
    sa.Column("action", Text, nullable=False),
    # A user's name, `role:<name>`, or `*` for anybody who says who they are.
    sa.Column("user", Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text, nullable=False),
    sa.UniqueConstraint("assets", "action", "user"),
)

saved_queries: Final = sa.Table(
    "saved_queries",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text, nullable=False),
)

# One row for each asset that a transaction changed; the numbers grow in the order of the commits
# (writers come one after the other) and are never used twice. A changed rule has the asset 0.
changes: Final = sa.Table(
    "changes",
    metadata,
    sa.Column("number", Key, primary_key=True),
    sa.Column("asset", Key, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# Alembic's own table, spelled as Alembic makes it, so that a fresh catalogue needs no Alembic.
alembic_version: Final = sa.Table(
    "alembic_version",
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# The API has no way to change a version; this is for everything else that opens the database.
_SQLITE: Final = (
    """CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions
    BEGIN SELECT RAISE(ABORT, 'a version is written once'); END""",
    """CREATE TRIGGER relationships_written_once BEFORE UPDATE ON relationships WHEN OLD.origin = 0
    BEGIN SELECT RAISE(ABORT, 'what a version''s file says is written once'); END""",
    """CREATE VIRTUAL TABLE search_index USING fts5(
    text, content='search_texts', content_rowid='asset', tokenize='trigram case_sensitive 1')""",
    """CREATE TRIGGER search_texts_added AFTER INSERT ON search_texts
    BEGIN INSERT INTO search_index (rowid, text) VALUES (NEW.asset, NEW.text); END""",
    """CREATE TRIGGER search_texts_removed AFTER DELETE ON search_texts BEGIN INSERT INTO
    search_index (search_index, rowid, text) VALUES ('delete', OLD.asset, OLD.text); END""",
    """CREATE TRIGGER search_texts_changed AFTER UPDATE ON search_texts BEGIN INSERT INTO
    search_index (search_index, rowid, text) VALUES ('delete', OLD.asset, OLD.text);
    INSERT INTO search_index (rowid, text) VALUES (NEW.asset, NEW.text); END""",
)
_POSTGRESQL: Final = (
    """CREATE FUNCTION bifrost_written_once() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'a version and what its file says are written once'; END $$""",
    """CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions
    FOR EACH ROW EXECUTE FUNCTION bifrost_written_once()""",
    """CREATE TRIGGER relationships_written_once BEFORE UPDATE ON relationships
    FOR EACH ROW WHEN (OLD.origin = 0) EXECUTE FUNCTION bifrost_written_once()""",
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX search_texts_trigrams ON search_texts USING gin (text gin_trgm_ops)",
)

for _dialect, _statements in (("sqlite", _SQLITE), ("postgresql", _POSTGRESQL)):
    for _statement in _statements:
        sa.event.listen(metadata, "after_create", sa.DDL(_statement).execute_if(dialect=_dialect))


def create(connection: sa.Connection) -> None:
    """Make the schema of `REVISION` in an empty database, within the caller's transaction."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(sa.insert(alembic_version).values(version_num=REVISION))
