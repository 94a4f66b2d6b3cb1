# SPDX-License-Identifier: Apache-2.0
"""What a kind of database must bring to hold a catalogue."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import sqlalchemy as sa


class Trouble(NamedTuple):
    """
    What an error of the database means.

    Attributes:
        advice: What happened and what to do, for a person.
        passes: Whether the same may work in a moment.
    """

    advice: str
    passes: bool = False


class Backend(Protocol):
    """One database, not opened yet. `Database` calls all of this, in any thread."""

    @property
    def path(self) -> Path | None:
        """The catalogue's file; None on a server."""

    @property
    def name(self) -> str:
        """How messages name the catalogue; no password in it."""

    def using(self) -> AbstractContextManager[None]:
        """Return what surrounds each use of the engine's connections."""

    def engine(self) -> sa.Engine:
        """Return a new engine. One whose connections have the option `bifrost_write` writes."""

    def revision(self, connection: sa.Connection) -> str | None:
        """
        Return the schema's revision; None where there is no catalogue yet.

        Raises:
            CatalogueError: what is there is something else.
        """

    def prepare(self, connection: sa.Connection) -> None:
        """Make a fresh database ours. Called in the transaction that makes the tables, before them."""

    def tune(self, connection: sa.Connection) -> None:
        """Set what lasts, once the schema is there. Called each time a catalogue is opened."""

    def explain(self, error: BaseException | None) -> Trouble:
        """Return what *error* of the driver means."""
