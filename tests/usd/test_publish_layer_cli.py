# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd edit` makes a working copy, and `bifrost usd publish` publishes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bifrost import bifrost_host
from bifrost.cli.main import run

TEXT = """#usda 1.0
(
    defaultPrim = "hat"
    metersPerUnit = 1
    upAxis = "Y"
)
def Xform "hat"
{
    double value = 1
}
"""
HAT = "bifrost:///assets/hat"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hat.usda"
    path.write_text(TEXT)
    return path


@pytest.fixture
def hat(file: Path) -> str:
    return bifrost_host.register_asset("prop", "hat", file)


def test_a_copy_is_made_edited_and_published(
    hat: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run(["usd", "edit", hat, str(tmp_path / "work")])
    path = Path(capsys.readouterr().out.strip())
    path.write_text(TEXT.replace("= 1\n}", "= 2\n}"))

    assert 0 == run(["usd", "publish", str(path), "--comment", "two", "--no-thumbnails"])

    assert f"{HAT}?version=2\n" == capsys.readouterr().out
    [record] = bifrost_host.session.catalogue.resolve([("hat", None)])
    assert (2, "two") == (record.number, record.comment)


def test_a_new_asset_needs_a_type(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == run(["usd", "publish", str(file), HAT])
    assert "?type=model" in capsys.readouterr().err

    assert 0 == run(
        ["usd", "publish", str(file), HAT, "--type", "prop", "--no-thumbnails", "--json"]
    )
    made = json.loads(capsys.readouterr().out)
    assert f"{HAT}?version=1" == made["root"]
    assert [{"layer": str(file), "reference": f"{HAT}?version=1", "version": 1}] == made[
        "published"
    ]


def test_layers_of_no_asset_are_named(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = tmp_path / "shots" / "shot.usda"
    shot.parent.mkdir()
    shot.write_text(TEXT.replace('upAxis = "Y"', 'upAxis = "Y"\n    subLayers = [@../hat.usda@]'))
    command = ["usd", "publish", str(shot), "bifrost:///assets/shot?type=layer", "--no-thumbnails"]

    assert 1 == run(command)
    assert str(file) in capsys.readouterr().err
    assert 0 == run([*command, "--new", f"{file}={HAT}?type=prop"])
    assert f"{HAT}?version=1\nbifrost:///assets/shot?version=1\n" == capsys.readouterr().out


@pytest.mark.parametrize("pair", ["hat.usda", f"={HAT}", "hat.usda="])
def test_new_is_a_file_and_a_reference(file: Path, pair: str) -> None:
    assert 2 == run(["usd", "publish", str(file), HAT, "--new", pair])


def test_references_in_it_resolve_without_a_prepared_environment(
    hat: str, tmp_path: Path, run_python
) -> None:
    """
    Nobody set `PXR_PLUGINPATH_NAME`: the command finds its own plugin, and OpenUSD misses nothing.
    """
    root = tmp_path / "shot.usda"
    text = TEXT.replace('def Xform "hat"', f'def Xform "hat" (references = @{hat}@)')
    root.write_text(text)
    source = "import sys; from bifrost.cli.main import run; sys.exit(run(sys.argv[1:]))"

    done = run_python(
        source, "usd", "publish", root, "bifrost:///assets/shot?type=shot", "--no-thumbnails",
        env={"PXR_PLUGINPATH_NAME": ""},
    )  # fmt: skip

    assert ("bifrost:///assets/shot?version=1\n", "") == (done.stdout, done.stderr)


INTERRUPTED = """
import os, signal, sys
from bifrost.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is ignored
left = [sys.argv[1]]

def interrupt(event, arguments):
    if event == "import" and arguments[0] in left:
        left.clear()
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(interrupt)
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    "module", ["pxr.Gf", "pxr.Sdf._sdf", "pxr.Usd", "bifrost.usd.layer_publishing"]
)
def test_an_interrupt_while_usd_loads_is_kept(file: Path, run_python, module: str) -> None:
    """
    C++ that loads a module by Python drops the exception: nothing is published all the same.
    """
    arguments = "usd", "publish", file, f"{HAT}?type=prop", "--no-thumbnails"

    done = run_python(INTERRUPTED, module, *arguments, check=False)

    assert (130, "") == (done.returncode, done.stdout)
    assert "" == done.stderr.strip()
    assert not bifrost_host.entity_exists(HAT)
