# SPDX-License-Identifier: Apache-2.0
"""A graph as text for other programs: DOT, JSON, GraphML, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from bifrost.catalogue.graphs import GraphEdge, Node, NodeInfo, Subgraph
from bifrost.catalogue.markup import markup
from bifrost.catalogue.picture import to_svg
from bifrost.catalogue.records import shown
from bifrost.errors import ConfigurationError

_DOT_STYLES: Final = {"strong": "solid", "weak": "dashed", "reference": "dotted"}


def export(graph: Subgraph, form: str, title: str = "") -> str:
    """
    Return *graph* as `dot`, `json`, `graphml` or `svg`.

    Nodes and edges come in the order of their ids: equal graphs give equal texts.

    Raises:
        ConfigurationError: *form* is none of these.
    """
    if form not in FORMS:
        raise ConfigurationError(f"format: expected {', '.join(FORMS)}, got {shown(form)}")
    edges = sorted(graph.edges, key=lambda edge: (*edge[:2], *map(str, edge[2:])))
    nodes = {node: graph.nodes[node] for node in sorted(graph.nodes)}
    return _WRITERS[form](graph._replace(nodes=nodes, edges=edges), title)


def to_dot(graph: Subgraph, title: str = "") -> str:
    """Return *graph* in Graphviz's language."""
    lines = [f"digraph {_quoted(title or 'relationships')} {{", "  rankdir=LR;"]
    lines.append('  node [shape=box, style=rounded, fontname="Helvetica"];')
    for node, info in graph.nodes.items():
        label = _quoted(f"{info.name}\n{_kind(node, info)}")
        tip = _quoted(info.asset_type)
        lines.append(f"  {_quoted(node.reference)} [label={label}, tooltip={tip}];")
    for edge in graph.edges:
        ends = f"{_quoted(edge.source.reference)} -> {_quoted(edge.target.reference)}"
        lines.append(
            f"  {ends} [label={_quoted(edge.kind)}, tooltip={_quoted(edge.purpose)}, "
            f"style={_DOT_STYLES[edge.strength]}];"
        )
    return "\n".join((*lines, "}\n"))


def to_json(graph: Subgraph, title: str = "") -> str:
    """Return *graph* in the node-link form that D3 and NetworkX read."""
    return json.dumps(
        {
            "directed": True,
            "multigraph": True,
            "graph": {"title": title, "roots": [node.reference for node in graph.roots]},
            "nodes": [
                {"id": node.reference, **_described(node, info)}
                for node, info in graph.nodes.items()
            ],
            "links": [
                {
                    "source": edge.source.reference,
                    "target": edge.target.reference,
                    "key": key,
                    **_said(edge),
                    "metadata": json.loads(edge.metadata_json),
                }
                for key, edge in enumerate(graph.edges)
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def to_graphml(graph: Subgraph, title: str = "") -> str:
    """Return *graph* as GraphML, which Gephi, yEd and NetworkX read."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        (
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns '
            'http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">'
        ),
        *_graphml_keys(),
        f'<graph id="{markup(title or "relationships")}" edgedefault="directed">',
    ]
    for node, info in graph.nodes.items():
        lines.append(f'<node id="{markup(node.reference)}">')
        lines += [*_graphml_data("n", _described(node, info)), "</node>"]
    for key, edge in enumerate(graph.edges):
        source, target = markup(edge.source.reference), markup(edge.target.reference)
        lines.append(f'<edge id="e{key}" source="{source}" target="{target}">')
        said = {**_said(edge), "metadata": edge.metadata_json}
        lines += [*_graphml_data("e", said), "</edge>"]
    return "\n".join((*lines, "</graph>", "</graphml>\n"))


_EXAMPLE_NODE: Final = Node("", 0)
_EXAMPLE_INFO: Final = NodeInfo("", "", 0, deprecated=False)


def _graphml_keys() -> Iterable[str]:
    said = {**_said(GraphEdge(_EXAMPLE_NODE, _EXAMPLE_NODE)), "metadata": ""}
    described = _described(_EXAMPLE_NODE, _EXAMPLE_INFO)
    for place, prefix, values in (("node", "n", described), ("edge", "e", said)):
        for name, value in values.items():
            yield (
                f'<key id="{prefix}_{name}" for="{place}" attr.name="{name}" '
                f'attr.type="{_TYPES.get(type(value), "string")}"/>'
            )


_TYPES: Final = {bool: "boolean", int: "int"}


def _graphml_data(prefix: str, values: dict[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f'<data key="{prefix}_{name}">{markup(text)}</data>'


def _described(node: Node, info: NodeInfo) -> dict[str, Any]:
    return {
        "asset_id": node.asset_id,
        "version": node.number,
        "name": info.name,
        "type": info.asset_type,
        "latest_version": info.latest_version,
        "deprecated": info.deprecated,
    }


def _said(edge: GraphEdge) -> dict[str, Any]:
    return {
        "kind": edge.kind,
        "strength": edge.strength,
        "purpose": edge.purpose,
        "asked_version": edge.version,
        "pinned": edge.is_pinned,
        "origin": edge.origin,
    }


def _kind(node: Node, info: NodeInfo) -> str:
    return f"{info.asset_type} · v{node.number}" if node.number else info.asset_type


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


_WRITERS: Final[dict[str, Callable[[Subgraph, str], str]]] = {
    "dot": to_dot,
    "json": to_json,
    "graphml": to_graphml,
    "svg": to_svg,
}
FORMS: Final = tuple(_WRITERS)
