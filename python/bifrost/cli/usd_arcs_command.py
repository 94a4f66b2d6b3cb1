# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd arcs`: what a layer names, where, and how strongly that binds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON

if TYPE_CHECKING:
    from bifrost.usd.extraction import Arc

_HEADS = ("kind", "strength", "at", "in", "target")


@click.command()
@click.argument("layer", metavar="FILE|REFERENCE")
@click.option("--closure", is_flag=True, help="Every layer under it too; says what is missing.")
@AS_JSON
def arcs(layer: str, closure: bool, as_json: bool) -> None:
    """
    List the arcs of a layer.

    Sublayers, references, payloads, inherits, specializes, value clips, textures and other files, each
    where it stands; those in variants that are not selected included. With --closure leaves with 1 when
    something is missing or closes a circle.
    """
    from bifrost.host import bifrost_host

    found = bifrost_host.extract_arcs(layer, closure=closure)
    if as_json:
        click.echo(json.dumps([arc.as_dict() for arc in found], indent=2))
    else:
        _print(found)
    failed = [arc for arc in found if arc.problem]
    for arc in failed:
        click.echo(
            f"bifrost: {_target(arc)}: {arc.problem} (from {arc.layer} {arc.path})", err=True
        )
    if failed:
        click.get_current_context().exit(1)


def _print(found: Sequence[Arc]) -> None:
    layers = dict.fromkeys(arc.layer for arc in found)
    for layer in layers:
        if len(layers) > 1:
            click.echo(layer)
        print_columns(_HEADS, [_row(arc) for arc in found if arc.layer == layer])


def _row(arc: Arc) -> tuple[str, ...]:
    at = f"{arc.path}.{arc.property_name}" if arc.property_name else arc.path
    return str(arc.kind), arc.strength, at, _place(arc), _target(arc)


def _place(arc: Arc) -> str:
    name = arc.operation or ":".join(arc.field)
    position = "" if arc.position is None else f"[{arc.position}]"
    time = "" if arc.time is None else f" at {arc.time:g}"
    return f"{name}{position}{time}"


def _target(arc: Arc) -> str:
    prim = f"<{arc.target_prim}>" if arc.target_prim else ""
    is_moved = (arc.offset, arc.scale) != (0, 1)
    moved = f" (offset {arc.offset:g}, scale {arc.scale:g})" if is_moved else ""
    return f"{arc.target}{prim}{moved}"
