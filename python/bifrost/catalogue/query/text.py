# SPDX-License-Identifier: Apache-2.0
"""
`$text`: the words of a search, each somewhere in an asset's texts.

Both databases find three characters and more by an index of trigrams: SQLite's FTS5 one by one in
the order of the assets' keys, PostgreSQL's pg_trgm all at once.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query.conditions import Compare
from bifrost.catalogue.schema import search_texts

ESCAPE: Final = "\\"
# pg_trgm makes trigrams of letters and digits only, FTS5 of any characters.
_INDEXED: Final = {"sqlite": re.compile(r".{3}", re.DOTALL), "postgresql": re.compile(r"[^\W_]{3}")}
_WILD: Final = re.compile(r"(?<!\\)[%_]")
_SPECIAL: Final = re.compile(r"[%_\\]")

_index: Final = sa.table(
    "search_index", sa.column("rowid", sa.Integer), sa.column("search_index", sa.Text)
)


def implied(compare: Compare) -> tuple[str, ...]:
    """
    Return words that the texts of every asset have that a `$like` matches.

    Only for the fields that the searched text begins with: metadata may be too long for it.
    """
    if compare.operator != "$like" or compare.field.name not in {"id", "name", "type"}:
        return ()
    pattern = _WILD.sub("\0", compare.values[0].replace("\\\\", "\1"))
    literal = re.sub(r"\\([%_])", r"\1", pattern).replace("\1", "\\")
    # A mark behind a letter makes another letter of it, in the folded text: the last one is left out.
    return tuple(run[:-1].lower() for run in re.findall(r"[!-~]{4,}", literal))


class Source(NamedTuple):
    """
    Where the assets that have some words are found.

    Attributes:
        table: The FROM clause.
        key: Its column of the assets' keys.
        found: Which of its rows are meant.
    """

    table: sa.FromClause
    key: sa.ColumnElement[Any]
    found: sa.ColumnElement[bool]

    @property
    def keys(self) -> sa.Select[Any]:
        """The assets' keys."""
        return sa.select(self.key.label("key")).select_from(self.table).where(self.found)


def holds_all(words: tuple[str, ...], texts: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether the text of a row of *texts* (`search_texts`) has every one of *words*."""
    return sa.and_(*(texts.c.text.like(_containing(word), escape=ESCAPE) for word in words))


def indexed(words: tuple[str, ...], dialect: str) -> tuple[str, ...]:
    """Return those of *words* that the database's trigram index finds."""
    return tuple(word for word in words if _INDEXED[dialect].search(word))


def source(words: tuple[str, ...], dialect: str) -> Source:
    """Return where the assets that have every one of *words* are found, all of them `indexed`."""
    if dialect == "sqlite":
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        return Source(_index, _index.c.rowid, _index.c.search_index.op("MATCH")(query))
    texts = search_texts.alias("found")
    return Source(texts, texts.c.asset, holds_all(words, texts))


def _containing(word: str) -> str:
    return f"%{_SPECIAL.sub(lambda special: ESCAPE + special[0], word)}%"
