# SPDX-License-Identifier: Apache-2.0
"""
`bifrost demo`: real files, opened through entity references, and what that cost.

Every step that touches USD runs in a process of its own, as an application would, with nothing but
what `bifrost usd env` prints: this one only reads what they report.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import GivenPath
from bifrost.errors import BifrostError

_TIMEOUT_S: Final = 300.0
_PAIRS: Final = 3
_TREE_LINES: Final = 60
# Whatever this shell is set up for, the demo runs on its own home and its own manager.
_FOREIGN: Final = ("BIFROST_", "OPENASSETIO_", "PXR_")
_KEPT: Final = ("BIFROST_PLUGIN_DIR", "BIFROST_LIBPYTHON", "BIFROST_PYTHONPATH", "BIFROST_DEBUG")


@click.command()
@click.option(
    "--samples",
    type=GivenPath(path_type=Path),
    default=Path("usd_samples"),
    show_default=True,
    help="The folder of USD files to ingest.",
)
@click.option(
    "--shot",
    default="shot/shot.usda",
    show_default=True,
    help="The file in it to open.",
)
@click.option(
    "--home",
    type=GivenPath(file_okay=False, path_type=Path),
    help="Keep catalogue, cache and files here, instead of in a temporary folder.",
)
def demo(samples: Path, shot: str, home: Path | None) -> None:
    """Ingest the samples, open a shot, show what it cost."""
    plain = samples / shot
    if not plain.is_file():
        raise BifrostError(f"{plain}: no such file; name the folder with --samples")
    with _home(home) as folder:
        _run(samples.absolute(), plain.absolute(), shot, folder.absolute())


@contextlib.contextmanager
def _home(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bifrost-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(samples: Path, plain: Path, shot: str, home: Path) -> None:
    from bifrost.model.entity_reference import reference_for

    environ = _environment(home)
    reference = reference_for(shot.replace("/", "."))

    _say(f"1/4 ingesting {samples.name}/ into a catalogue in {home}")
    _ingest(samples, home / "usd", environ)

    _say(f"2/4 opening {reference} through the plugin, in a process of its own")
    _probe("open-plain", str(plain), environ)  # loads OpenUSD's libraries from disk, for all alike
    first = _probe("open", reference, environ)
    _show_tree(first["prims"])
    click.echo()
    _show_table(first["resolutions"], home)

    _say(f"3/4 opening it again, {_PAIRS} times, each beside the same files by plain paths")
    again, by_path = _opened_again(reference, plain, environ)

    _say("4/4 what it cost")
    _show_costs(first, again, by_path)
    _conclude(first, again, by_path)


def _environment(home: Path) -> dict[str, str]:
    from bifrost.usd import env

    environ = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_FOREIGN)
    }
    environ["BIFROST_HOME"] = str(home)
    return environ | env.variables(environ=environ)


def _ingest(samples: Path, out: Path, environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bifrost.cli", "ingest", str(samples), "--rewrite", str(out)]
    sys.stdout.flush()
    done = subprocess.run(command, env=environ, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BifrostError(f"demo FAILED: ingesting {samples} ended with {done.returncode}")


def _probe(question: str, subject: str, environ: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bifrost.usd.probe", question, subject]
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise BifrostError(f"demo FAILED: opening {subject} ended with {done.returncode}")
    return dict(json.loads(done.stdout))


def _opened_again(
    reference: str, plain: Path, environ: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    again, by_path = [], []
    for _ in range(_PAIRS):
        again.append(_probe("open", reference, environ))
        by_path.append(_probe("open-plain", str(plain), environ))
    return again, by_path


def _show_tree(prims: Sequence[dict[str, Any]]) -> None:
    for prim in prims[:_TREE_LINES]:
        depth = prim["path"].count("/") - 1
        name = prim["path"].rpartition("/")[2]
        arcs = "".join(f"  <- {arc}" for arc in prim["arcs"])
        kind = f"  ({prim['type']})" if prim["type"] else ""
        click.echo(f"{'  ' * depth}{name}{kind}{arcs}")
    if len(prims) > _TREE_LINES:
        click.echo(f"… and {len(prims) - _TREE_LINES} prims more")


def _show_table(resolutions: Sequence[dict[str, Any]], home: Path) -> None:
    rows = [("reference", "version", "answered by", "us", f"file, in {home}")]
    for row in resolutions:
        cost, path = f"{row['microseconds']:.0f}", row["path"].removeprefix(f"{home}{os.sep}")
        rows.append((row["reference"], row["version"], row["tier"], cost, path))
    print_columns(rows[0], rows[1:])


def _show_costs(
    first: dict[str, Any], again: list[dict[str, Any]], by_path: list[dict[str, Any]]
) -> None:
    rows = [("", "start-up, ms", "open, ms", "calls into Python", "answered by")]
    for name, runs in (("first open", [first]), ("second open", again), ("plain paths", by_path)):
        calls = str(runs[0]["stats"]["crossings"]) if "stats" in runs[0] else "none"
        warm, opened = (median(run[key] for run in runs) for key in ("warm_ms", "open_ms"))
        rows.append((name, f"{warm:.1f}", f"{opened:.1f}", calls, _tiers(runs[0])))
    print_columns(rows[0], rows[1:])
    click.echo(
        f"Medians of {_PAIRS} for the second open and for plain paths. Start-up, once per process, "
        "is OpenUSD's\nschemas and, by reference, the plugin and its cache; the first open also "
        "starts the manager."
    )


def _tiers(run: dict[str, Any]) -> str:
    counted = Counter(row["tier"] for row in run.get("resolutions", []))
    return ", ".join(f"{tier} {count}" for tier, count in counted.most_common())


def _conclude(
    first: dict[str, Any], again: list[dict[str, Any]], by_path: list[dict[str, Any]]
) -> None:
    for run in (first, *again):
        if not _is_same(run, by_path[0]):
            raise BifrostError("demo FAILED: the stage is not the one that plain paths give")
    # In milliseconds: of so few layers a ratio is mostly what else the machine was doing.
    ours, plain = (median(run["open_ms"] for run in runs) for runs in (again, by_path))
    references, prims = len(first["resolutions"]), len(first["prims"])
    click.echo(
        f"\nbifrost demo: done. {references} references resolved, {prims} prims as by plain paths; "
        f"the second open took {ours:.1f} ms, with plain paths {plain:.1f} ms."
    )


def _is_same(run: dict[str, Any], plain: dict[str, Any]) -> bool:
    """Whether *run* has the prims of *plain*, and every file that resolves there."""
    prims, expected = (
        [(prim["path"], prim["type"]) for prim in each["prims"]] for each in (run, plain)
    )
    # By reference a pattern such as `<UDIM>` resolves; by a plain path OpenUSD finds no such file.
    return prims == expected and all(
        run["files"].get(name) or not resolves for name, resolves in plain["files"].items()
    )


def _say(text: str) -> None:
    click.echo(f"\n== {text}")
