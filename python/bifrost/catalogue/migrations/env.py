# SPDX-License-Identifier: Apache-2.0
"""What Alembic runs: always on a connection that is given, inside its transaction."""

from __future__ import annotations

from alembic import context

from bifrost.catalogue.schema import metadata

context.configure(
    connection=context.config.attributes.get("connection"),
    target_metadata=metadata,
    # SQLite's DDL is transactional. Alembic assumes that drivers spoil that; ours is told not to.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
