# SPDX-License-Identifier: Apache-2.0
"""
The tables, as the newest migration leaves them.

A fresh catalogue is made from here in one go; `migrations/` brings older ones to the same schema (a
test compares the two). Times are microseconds since the epoch and JSON is text: any database orders
and compares those alike, and no value is converted on the resolve path.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

REVISION: Final = "0001"
"""The newest schema revision that this code knows. Revisions are zero-padded, so they order."""

metadata: Final = sa.MetaData()

# 64 bits everywhere; in SQLite only an INTEGER primary key is the row's own id.
_Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

assets: Final = sa.Table(
    "assets",
    metadata,
    sa.Column("key", _Key, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    # Denormalised: the newest version of thousands of assets is one look-up each.
    sa.Column("latest_version", sa.Integer, nullable=False),
)

versions: Final = sa.Table(
    "versions",
    metadata,
    sa.Column("asset", _Key, sa.ForeignKey("assets.key"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False),
    sa.Column("templated", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
)

# What a version's file asks for. Clustered by the version that asks: a closure reads its edges as
# one range. A reference that pins has a number, one that floats by rule a tag, any other neither.
dependencies: Final = sa.Table(
    "dependencies",
    metadata,
    sa.Column("asset", _Key, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("to_asset", _Key, sa.ForeignKey("assets.key"), nullable=False),
    sa.Column("to_number", sa.Integer),
    sa.Column("to_tag", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
    sa.Index("dependencies_to_asset", "to_asset"),
    sqlite_with_rowid=False,
)

# One row for each asset that a transaction changed; the numbers grow and are never used twice.
changes: Final = sa.Table(
    "changes",
    metadata,
    sa.Column("number", _Key, primary_key=True),
    sa.Column("asset", _Key, sa.ForeignKey("assets.key"), nullable=False),
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

# The API has no way to change a version; this is for everything else that opens the file.
_WRITTEN_ONCE: Final = (
    """CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions
    BEGIN SELECT RAISE(ABORT, 'a version is written once'); END""",
    """CREATE TRIGGER dependencies_written_once BEFORE UPDATE ON dependencies
    BEGIN SELECT RAISE(ABORT, 'a version''s dependencies are written once'); END""",
)

for _statement in _WRITTEN_ONCE:
    sa.event.listen(metadata, "after_create", sa.DDL(_statement).execute_if(dialect="sqlite"))


def create(connection: sa.Connection) -> None:
    """Make the schema of `REVISION` in an empty database, within the caller's transaction."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(sa.insert(alembic_version).values(version_num=REVISION))
