# SPDX-License-Identifier: Apache-2.0
"""
Questions about every asset at once: cycles, an order, what nothing needs.

Where a *user* is given, what they may not read is as if it weren't there, and there are statements to
find that out (`access.read`); None asks without rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import walks
from bifrost.catalogue.access import readable
from bifrost.catalogue.dialect import driver_rows, each_text
from bifrost.catalogue.edge_values import STRENGTHS, strength_mask
from bifrost.catalogue.graphs import Node, Subgraph
from bifrost.catalogue.query.values import MAX_INTEGER, as_integer
from bifrost.catalogue.records import NEWEST
from bifrost.catalogue.relationships import number_of, of_strengths, policy_parameters
from bifrost.catalogue.schema import assets, relationships
from bifrost.errors import Code, ConfigurationError, ConflictException
from bifrost.model.permissions import User

_DENSE: Final = 1_000_000
_REQUIRED: Final = STRENGTHS[:1]
_NEEDED: Final = STRENGTHS[:2]
_edge = relationships.alias("edge")
_target = assets.alias("target")


class Cycle(NamedTuple):
    """
    Versions that need each other.

    Attributes:
        assets: The ids of all that need each other, sorted.
        example: One way around, a shortest; the last needs the first.
    """

    assets: tuple[str, ...]
    example: tuple[Node, ...]

    def __str__(self) -> str:
        return " -> ".join(node.reference for node in (*self.example, self.example[0]))


class Orphan(NamedTuple):
    """An asset that nothing needs."""

    asset_id: str
    name: str
    asset_type: str


def rustworkx() -> ModuleType:
    """
    Return the library for whole graphs.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import rustworkx as module
    except ImportError as error:
        raise ConfigurationError(
            "analysing the whole graph needs rustworkx: pip install 'bifrost-usd[graph]'"
        ) from error
    return module


_PAIRS: Final = sa.select(_edge.c.asset, _edge.c.to_asset).where(of_strengths(_edge))
# Each end of an index; the greatest of a million pairs takes Python longer.
_ENDS: Final = [
    sa.select(sa.func.coalesce(sa.func.max(end), 0)).scalar_subquery()
    for end in (_edge.c.asset, _edge.c.to_asset)
]
_LARGEST: Final = sa.select(sa.case((_ENDS[0] > _ENDS[1], _ENDS[0]), else_=_ENDS[1]))
_source = assets.alias("source")
_SUSPECT_EDGES: Final = (
    sa.select(
        _source.c.id,
        _source.c.latest_version,
        _edge.c.number,
        _target.c.id,
        sa.func.coalesce(number_of(_target, _edge.c.to_number, _edge.c.to_tag), 0),
    )
    .select_from(
        _edge.join(_source, _source.c.key == _edge.c.asset).join(
            _target, _target.c.key == _edge.c.to_asset
        )
    )
    .where(
        of_strengths(_edge),
        _edge.c.asset.in_(sa.select(sa.cast(each_text("keys", "one").c.value, sa.BigInteger))),
        _edge.c.to_asset.in_(sa.select(sa.cast(each_text("keys", "two").c.value, sa.BigInteger))),
    )
)


def cycles(
    connection: sa.Connection,
    *,
    strengths: Iterable[str] | None = _REQUIRED,
    user: User | None = None,
) -> list[Cycle]:
    """
    Return every set of versions that need each other by edges of these *strengths*, by id.

    Versions, not assets: where the newest A needs an old B that needed nothing, and the newest B
    needs that old A, there is no cycle. What floats leads where it leads today. Two statements, and
    a third where there is something to look at more closely.

    Raises:
        ConfigurationError: rustworkx is not installed.
    """
    library = rustworkx()
    mask = strength_mask(strengths)
    # A version's cycle is a cycle of assets, too. Assets are a third as many, and their keys are
    # there without asking what floats; so the versions are looked at among suspects only.
    largest = connection.execute(_LARGEST).scalar_one()
    pairs = driver_rows(connection, _PAIRS, {"strengths": mask})
    suspects = _suspects(library, pairs, largest)
    if not suspects:
        return []
    parameters = {
        "strengths": mask,
        "keys": json.dumps([str(key) for key in suspects]),
        **policy_parameters(NEWEST),
    }
    rows = connection.execute(_SUSPECT_EDGES, parameters).all()
    may_read = readable(connection, user, {end for row in rows for end in (row[0], row[3])})
    return _cycles_among(library, [row for row in rows if may_read(row[0]) and may_read(row[3])])


def _suspects(library: ModuleType, pairs: Sequence[tuple[Any, ...]], largest: int) -> list[int]:
    """Return the keys of the assets that lie on cycles."""
    # Keys serve as the graph's own indices, gaps and all, unless the gaps are absurd: numbering the
    # ends of a million edges takes half a second.
    keys: list[int] | None = None
    if largest > 4 * len(pairs) + _DENSE:
        keys = sorted({key for pair in pairs for key in pair})
        index = {key: place for place, key in enumerate(keys)}
        pairs = [(index[source], index[target]) for source, target in pairs]
    graph = library.PyDiGraph()
    graph.extend_from_edge_list(pairs)
    if library.is_directed_acyclic_graph(graph):
        return []
    parts = library.strongly_connected_components(graph)
    found = {place for part in parts if len(part) > 1 for place in part}
    found.update(source for source, target in pairs if source == target)
    return sorted(found) if keys is None else [keys[place] for place in sorted(found)]


def _cycles_among(library: ModuleType, rows: Sequence[Any]) -> list[Cycle]:
    graph, nodes = _version_graph(library, rows)
    found = []
    for part in library.strongly_connected_components(graph):
        if len(part) == 1 and not graph.has_edge(part[0], part[0]):
            continue
        first = min(part, key=nodes.__getitem__)
        example = _way_round(graph, first, frozenset(part))
        ids = tuple(sorted({nodes[index].asset_id for index in part}))
        found.append(Cycle(ids, tuple(nodes[index] for index in example)))
    return sorted(found)


def _version_graph(library: ModuleType, rows: Sequence[Any]) -> tuple[Any, list[Node]]:
    known: dict[str, set[int]] = {}
    for source, latest, number, target, meant in rows:
        known.setdefault(source, set()).add(number or latest)
        known.setdefault(target, set()).add(meant)
    nodes = [Node(asset_id, number) for asset_id in sorted(known) for number in known[asset_id]]
    index = {node: place for place, node in enumerate(nodes)}
    graph = library.PyDiGraph(multigraph=False)
    graph.add_nodes_from(nodes)
    graph.add_edges_from_no_data(
        [
            (index[Node(source, each)], index[Node(target, meant)])
            for source, _, number, target, meant in rows
            # What was added to the whole asset holds for each of its versions.
            for each in ((number,) if number else known[source])
        ]
    )
    return graph, nodes


def _way_round(graph: Any, first: int, part: frozenset[int]) -> list[int]:
    """Return a shortest way from *first* back to it, within its component."""
    came = {first: first}
    level = [first]
    while level:
        following = []
        for node in level:
            for end in sorted(graph.successor_indices(node)):
                if end == first:
                    return _backtrack(came, node, first)
                if end in part and end not in came:
                    came[end] = node
                    following.append(end)
        level = following
    raise AssertionError("a component without a cycle")


def _backtrack(came: dict[int, int], node: int, first: int) -> list[int]:
    way = [node]
    while node != first:
        node = came[node]
        way.append(node)
    return way[::-1]


def order(
    connection: sa.Connection,
    roots: Iterable[tuple[str, str | None]] | None = None,
    *,
    strengths: Iterable[str] | None = _REQUIRED,
    user: User | None = None,
) -> list[Node]:
    """
    Return what *roots* need and themselves, so that everything comes after what it needs.

    None for roots: the newest version of every asset, and what these need. One statement.

    Raises:
        ConfigurationError: rustworkx is not installed.
        ConflictException: there is no order, because versions need each other; it spells out how.
    """
    library = rustworkx()
    found = walks.forth(connection, roots, strengths=strengths, user=user)
    # In the order of the ids, so that equal graphs give equal answers.
    nodes = sorted(found.nodes)
    index = {node: place for place, node in enumerate(nodes)}
    graph = library.PyDiGraph()
    graph.add_nodes_from(nodes)
    graph.extend_from_edge_list([(index[edge.target], index[edge.source]) for edge in found.edges])
    try:
        return [nodes[place] for place in library.topological_sort(graph)]
    except library.DAGHasCycle:
        raise _no_order(library, found) from None


def _no_order(library: ModuleType, found: Subgraph) -> ConflictException:
    rows = [(*edge.source[:1], 0, edge.source.number, *edge.target) for edge in found.edges]
    cycle = _cycles_among(library, rows)[0]
    return ConflictException(
        f"there is no order: {cycle}; make one of these relationships weak",
        asset_uri=cycle.example[0].reference,
        code=Code.CONFLICT,
    )


def _orphans() -> sa.Select[Any]:
    needs = (
        sa.select(_edge.c.asset)
        .where(
            _edge.c.to_asset == assets.c.key,
            _edge.c.asset != assets.c.key,
            _edge.c.strength < len(_NEEDED),
        )
        .correlate(assets)
    )
    kinds = sa.bindparam("types", type_=sa.Text)
    return (
        sa.select(assets.c.id, assets.c.name, assets.c.type)
        .where(
            assets.c.id > sa.bindparam("after"),
            sa.or_(kinds.is_(None), assets.c.type.in_(sa.select(each_text("types", "t").c.value))),
            ~needs.exists(),
        )
        .order_by(assets.c.id)
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


_ORPHANS: Final = _orphans()


def orphans(
    connection: sa.Connection,
    *,
    types: Iterable[str] | str | None = None,
    after: str = "",
    limit: int = 1000,
    user: User | None = None,
) -> list[Orphan]:
    """
    Return up to *limit* assets that no version of another one needs, strongly or weakly, by id.

    Shots are among them, unless *types* leave them out. The last one's id is the next page's
    *after*. One statement; one more for each *limit* of assets that *user* may not read. An asset
    that only such assets need is no orphan.

    Raises:
        InvalidQueryException: *limit* is no number from 0 up.
    """
    as_integer(limit, "limit", MAX_INTEGER)
    listed = [types] if isinstance(types, str) else types
    wanted = None if listed is None else json.dumps(list(listed))
    found: list[Orphan] = []
    while True:
        parameters = {"types": wanted, "after": after, "limit": limit}
        page = [Orphan(*row) for row in connection.execute(_ORPHANS, parameters)]
        may_read = readable(connection, user, [each.asset_id for each in page])
        found += [each for each in page if may_read(each.asset_id)]
        if len(found) >= limit or len(page) < limit:
            return found[:limit]
        after = page[-1].asset_id
