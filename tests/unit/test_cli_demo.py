# SPDX-License-Identifier: Apache-2.0
"""`bifrost demo` tells the truth about what it opened, and fails when it isn't what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bifrost.cli import demo_command as demo
from bifrost.cli.main import run
from bifrost.errors import BifrostError, ConfigurationError
from bifrost.usd import env

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "usd_samples"


def opened(*, prims=("/shot",), files=None, open_ms=10.0):
    """What the probe reports of one opening."""
    return {
        "warm_ms": 1.0,
        "open_ms": open_ms,
        "prims": [{"path": path, "type": "Xform", "arcs": []} for path in prims],
        "files": files or {},
        "resolutions": [],
        "stats": {"crossings": 2},
    }


def test_the_samples_must_be_there(tmp_path, capsys):
    assert 1 == run(["demo", "--samples", str(tmp_path)])
    assert "name the folder with --samples" in capsys.readouterr().err


def test_the_demo_runs_on_its_own_home_and_manager(tmp_path, monkeypatch):
    monkeypatch.setenv("BIFROST_CACHE__DISK_BYTES", "0")
    monkeypatch.setenv("OPENASSETIO_DEFAULT_CONFIG", "studio.toml")
    monkeypatch.setenv("PXR_PLUGINPATH_NAME", "/studio")
    monkeypatch.setattr(env, "variables", lambda environ: {"PXR_PLUGINPATH_NAME": "/ours"})

    environ = demo._environment(tmp_path)

    assert str(tmp_path) == environ["BIFROST_HOME"]
    assert "/ours" == environ["PXR_PLUGINPATH_NAME"]
    assert not {"BIFROST_CACHE__DISK_BYTES", "OPENASSETIO_DEFAULT_CONFIG"} & set(environ)
    assert os.environ["PATH"] == environ["PATH"]


@pytest.mark.parametrize(
    "wrong", [opened(prims=("/shot", "/shot/more")), opened(files={"/shot.texture": False})]
)
def test_a_stage_that_is_not_the_plain_one_fails(wrong):
    plain = opened(files={"/shot.texture": True})

    with pytest.raises(BifrostError, match="FAILED: the stage is not the one"):
        demo._conclude(plain, [wrong], [plain])


def test_a_pattern_may_resolve_by_reference_alone():
    assert demo._is_same(opened(files={"/a": True}), opened(files={"/a": False}))


def test_the_last_line_says_what_the_second_open_cost(capsys):
    demo._conclude(opened(), [opened(open_ms=12.0)], [opened(open_ms=10.0)])

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("bifrost demo: done.")
    assert last.endswith("the second open took 12.0 ms, with plain paths 10.0 ms.")


def test_a_long_tree_is_cut(capsys):
    prims = [{"path": f"/p{i}", "type": "", "arcs": []} for i in range(100)]

    demo._show_tree(prims)

    assert "… and 40 prims more" == capsys.readouterr().out.splitlines()[-1]


def test_a_step_that_fails_is_named(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)

    with pytest.raises(BifrostError, match="FAILED: ingesting"):
        demo._ingest(tmp_path, tmp_path, {})
    with pytest.raises(BifrostError, match="FAILED: opening"):
        demo._probe("open", "bifrost:///assets/shot", {})


def test_the_demo_opens_the_shot(tmp_path):
    try:
        env.library()
    except ConfigurationError:
        pytest.skip("the plugin is not installed")
    command = [sys.executable, "-m", "bifrost.cli", "demo", "--samples", str(SAMPLES)]

    done = subprocess.run(
        [*command, "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout.splitlines()[-1].startswith("bifrost demo: done.")
    assert "bifrost:///assets/" in done.stdout
