# SPDX-License-Identifier: Apache-2.0
"""The closed lists of the query language: the fields, and the operators that each kind of them has."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from bifrost.catalogue import edge_values
from bifrost.catalogue.indexing import VARIANTS

METADATA: Final = "metadata."
"""What the name of a metadata value begins with."""


class Kind(StrEnum):
    """What a field holds. The values are words for messages."""

    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"
    DATE = "a date"
    TEXTS = "text, or a list of texts"
    ANY = "text, a number, true, false or null"


class Field(NamedTuple):
    """
    Something of an asset that a query can name.

    Attributes:
        name: Its canonical name in queries and results.
        kind: What it holds.
        column: Its column of `assets`, or "".
        version_column: Its column of the newest version, or "".
        path: Its path among the values that are indexed, those of the asset's metadata; or "".
        indexed: Whether the column has an index, so that few matches are found at once.
    """

    name: str
    kind: Kind
    column: str = ""
    version_column: str = ""
    path: str = ""
    indexed: bool = False


FIELDS: Final = {
    field.name: field
    for field in (
        Field("id", Kind.TEXT, "id", indexed=True),
        Field("name", Kind.TEXT, "name", indexed=True),
        Field("type", Kind.TEXT, "type", indexed=True),
        Field("status", Kind.TEXT, "status", indexed=True),
        Field("tags", Kind.TEXTS, path="tags"),
        Field("description", Kind.TEXTS, path="description"),
        Field("variants", Kind.TEXTS, path=VARIANTS),
        Field("version", Kind.NUMBER, "latest_version"),
        Field("deprecated", Kind.FLAG, "deprecated"),
        Field("createdDate", Kind.DATE, "created", indexed=True),
        Field("modifiedDate", Kind.DATE, "modified", indexed=True),
        Field("createdBy", Kind.TEXT, "created_by"),
        Field("publishedDate", Kind.DATE, version_column="created"),
        Field("publishedBy", Kind.TEXT, version_column="created_by"),
    )
}
ALIASES: Final = {"types": "type"}

_EQUALITY: Final = ("$eq", "$ne", "$in", "$nin", "$any")
_ORDER: Final = ("$gt", "$gte", "$lt", "$lte")
_LISTS: Final = ("$contains", "$exists")

OPERATORS: Final = {
    Kind.TEXT: (*_EQUALITY, *_ORDER, "$like", "$not"),
    Kind.NUMBER: (*_EQUALITY, *_ORDER, "$not"),
    Kind.FLAG: ("$eq", "$ne", "$not"),
    Kind.DATE: (*_EQUALITY, *_ORDER, "$not"),
    Kind.TEXTS: (*_EQUALITY, *_ORDER, *_LISTS, "$like", "$not"),
    Kind.ANY: (*_EQUALITY, *_ORDER, *_LISTS, "$like", "$not"),
}
"""What may stand behind a field, by its kind."""

COMBINATIONS: Final = ("$and", "$or", "$nor", "$not", "$text")
"""The operators that stand where a field may stand."""

EDGES: Final = ("dependsOn", "neededBy", "isOrphan")
"""The conditions on an asset's relationships."""

SETTINGS: Final = (
    "filter",
    "sort",
    "limit",
    "offset",
    "cursor",
    "fields",
    "count",
    "aggregate",
)
"""What stands beside the conditions at the top of a query."""

STRENGTHS: Final = {name: number for number, name in enumerate(edge_values.STRENGTHS)}
"""How strongly relationships bind: by name, the number that the database has for it."""

PROJECTED: Final = ("uri", *FIELDS, "comment", "metadata")
"""What a result can show, beside `metadata.<path>`."""


def field_named(name: str) -> Field | None:
    """Return the field of that name, `metadata.<path>` among them; None when there is none."""
    if name.startswith(METADATA) and len(name) > len(METADATA):
        return Field(name, Kind.ANY, path=name[len(METADATA) :])
    return FIELDS.get(ALIASES.get(name, name))
