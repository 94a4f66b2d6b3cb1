# SPDX-License-Identifier: Apache-2.0
"""
The first schema: assets, versions, their dependencies, and the log of changes.

Written out rather than taken from `schema.py`, which moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _assets()
    _versions()
    _dependencies()
    _changes()
    if op.get_bind().dialect.name == "sqlite":
        _write_once()


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("latest_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("mime_type", sa.Text, nullable=False),
        sa.Column("templated", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("asset", "number"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
    )


def _dependencies() -> None:
    op.create_table(
        "dependencies",
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("to_asset", _KEY, nullable=False),
        sa.Column("to_number", sa.Integer),
        sa.Column("to_tag", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("asset", "number", "position"),
        sa.ForeignKeyConstraint(["asset", "number"], ["versions.asset", "versions.number"]),
        sa.ForeignKeyConstraint(["to_asset"], ["assets.key"]),
        sqlite_with_rowid=False,
    )
    op.create_index("dependencies_to_asset", "dependencies", ["to_asset"])


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("number", _KEY, nullable=False),
        sa.Column("asset", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.ForeignKeyConstraint(["asset"], ["assets.key"]),
        sqlite_autoincrement=True,
    )


def _write_once() -> None:
    op.execute(
        "CREATE TRIGGER versions_written_once BEFORE UPDATE ON versions "
        "BEGIN SELECT RAISE(ABORT, 'a version is written once'); END"
    )
    op.execute(
        "CREATE TRIGGER dependencies_written_once BEFORE UPDATE ON dependencies "
        "BEGIN SELECT RAISE(ABORT, 'a version''s dependencies are written once'); END"
    )
