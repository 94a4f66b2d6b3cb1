# SPDX-License-Identifier: Apache-2.0
"""
The schema's history, as Alembic revisions `0001`, `0002`…

A new revision: in this folder, `alembic revision -m "what changes" --rev-id 0002`; then `REVISION`
in `schema.py`, and a file of the old schema for the upgrade test.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

LOCATION = Path(__file__).parent


def upgrade(connection: sa.Connection, location: Path = LOCATION) -> None:
    """
    Bring the catalogue to the newest revision at *location*, within the caller's transaction.

    Raises whatever a revision raises; the caller's transaction then leaves the old schema whole.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
