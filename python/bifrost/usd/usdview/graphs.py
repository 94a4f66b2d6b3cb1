# SPDX-License-Identifier: Apache-2.0
"""The dependency graph of what is selected, as an SVG picture. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from bifrost.errors import Code, InvalidTraitsException
from bifrost.model.entity_reference import is_asset_reference, parse
from bifrost.usd.usdview.subjects import Subject

if TYPE_CHECKING:
    from bifrost.catalogue.graphs import Subgraph
    from bifrost.host import BifrostHostInterface

_MOST_NODES: Final = 300


class Picture(NamedTuple):
    """
    A picture of a graph.

    Attributes:
        svg: The document.
        note: What was left out, or "".
    """

    svg: str
    note: str = ""


def picture(
    host: BifrostHostInterface,
    subjects: Sequence[Subject],
    *,
    direction: str = "out",
    most_nodes: int = _MOST_NODES,
) -> Picture:
    """
    Return what *subjects* need (`out`), or what needs them (`in`), drawn as `bifrost graph export` does.

    Of a graph of more than *most_nodes* versions the nearest steps are drawn. Any thread.

    Raises:
        InvalidTraitsException: none of the subjects is an asset of the catalogue.
        UnsupportedOperationException: another manager is configured.
        AssetNotFoundException: one of them isn't in the catalogue any more.
    """
    from bifrost.catalogue.picture import to_svg

    asked = [parse(each.pinned) for each in subjects if is_asset_reference(each.pinned)]
    if not asked:
        raise InvalidTraitsException(
            "nothing that is selected is an asset of the catalogue", code=Code.INVALID_TRAITS
        )
    roots = [(each.asset_id, each.version) for each in asked]
    whole = host.graph.subgraph(roots, direction=direction)
    drawn = _nearest(whole, most_nodes)
    title = subjects[0].pinned if len(roots) == 1 else f"{len(roots)} assets of the stage"
    return Picture(to_svg(drawn, title), _left_out(whole, drawn))


def _nearest(graph: Subgraph, most: int) -> Subgraph:
    """Return *graph* without the steps that are too far away to have at most *most* nodes."""
    distances = graph.distances()
    furthest = max(distances.values(), default=0)
    while furthest and sum(each <= furthest for each in distances.values()) > most:
        furthest -= 1
    kept = {node for node, distance in distances.items() if distance <= furthest}
    return graph._replace(
        nodes={node: info for node, info in graph.nodes.items() if node in kept},
        edges=[each for each in graph.edges if each.source in kept and each.target in kept],
    )


def _left_out(whole: Subgraph, drawn: Subgraph) -> str:
    missing = len(whole.nodes) - len(drawn.nodes)
    return f"{missing} more that are further away are left out." if missing else ""
