# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd variants`: which variants there are, which are selected, and who says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON

_HEADS = ("prim", "set", "selected", "variants", "said by")
# A set may have ten thousand; --json has them all.
_SHOWN = 12


@click.command()
@click.argument("root", metavar="FILE|REFERENCE")
@click.argument("prim", required=False)
@click.option("--set", "variant_set", metavar="NAME", help="Only sets of this name.")
@click.option("--variant", metavar="NAME", help="Only sets that have this variant.")
@click.option("--payloads", is_flag=True, help="Load payloads, too.")
@AS_JSON
def variants(
    root: str,
    prim: str | None,
    variant_set: str | None,
    variant: str | None,
    payloads: bool,
    as_json: bool,
) -> None:
    """
    List the variants of a stage's prims.

    Of every prim, or of PRIM alone. Sets inside a variant that isn't selected are shown under the
    variant that brings them. Leaves with 1 when there is no such prim.
    """
    from bifrost.host import bifrost_host
    from bifrost.usd.variants import matching

    host = bifrost_host
    if prim is None:
        found = host.find_usd_variants(root, payloads=payloads)
    else:
        found = {prim: host.get_usd_variants(root, prim, payloads=payloads)}
    found = matching(found, variant_set, variant)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        rows = [row for path, sets in found.items() for row in _rows(path, sets)]
        print_columns(_HEADS, rows)


def _rows(path: str, sets: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, each in sets.items():
        yield path, name, each["selection"] or "-", _listed(each["variants"]), _origin(each)
        for way, inner in _branches(name, each):
            if inner[0] not in sets:
                yield path, f"{way} > {inner[0]}", "", _listed(inner[1]["variants"]), ""


def _branches(name: str, each: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Yield the sets inside a set's variants, each behind the steps that lead there."""
    for variant, brought in each["nested"].items():
        for inner in brought.items():
            yield f"{name}={variant}", inner
            for way, deeper in _branches(*inner):
                yield f"{name}={variant} > {way}", deeper


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _origin(each: Mapping[str, Any]) -> str:
    source = each["source"]
    if source is None:
        return ""
    if source["arc"] == "fallback":
        return "fallback"
    return f"{source['layer']} ({source['arc']})"
