# SPDX-License-Identifier: Apache-2.0
"""
The text of every sample, as a layer and flattened, through entity references and the built plugin.

Real `usdcat` where there is one on PATH, `bifrost usd cat` otherwise; both must print what is
committed in `expected/`. After a wanted change, `UPDATE_EXPECTED=1` writes it anew.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bifrost.model.entity_reference import reference_for

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
EXPECTED = Path(__file__).resolve().parent / "expected"
USDCAT = shutil.which("usdcat")
LAYERS = sorted(str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*.usda"))
ROOTS = [name for name in LAYERS if "/clips/" not in name]

BIFROST_CAT = """
import json, sys
from bifrost.cli.main import run
for arguments in json.load(sys.stdin):
    assert run(["usd", "cat", *arguments]) == 0, arguments
"""
INGEST = "import sys; from bifrost.cli.main import run; sys.exit(run(['ingest', *sys.argv[1:]]))"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What is printed for each sample: `layers/<name>`, and by reference `flattened/<name>`."""
    folder = tmp_path_factory.mktemp("usdcat")
    out, printed = folder / "out", folder / "printed"
    environ = _environment(folder / "home")
    _run([_python(), "-c", INGEST, SAMPLES, "--rewrite", out], environ)
    questions = {f"layers/{name}": [str(out / name)] for name in LAYERS}
    questions |= {
        f"flattened/{name}": ["--flatten", reference_for(name.replace("/", "."))] for name in ROOTS
    }
    for name in questions:
        (printed / name).parent.mkdir(parents=True, exist_ok=True)
    _cat({str(printed / name): question for name, question in questions.items()}, environ)
    return {name: (printed / name).read_text().replace(str(out), "OUT") for name in questions}


def _cat(questions: Mapping[str, list[str]], environ: Mapping[str, str]) -> None:
    if USDCAT is None:
        import json

        arguments = [[*question, "-o", path] for path, question in questions.items()]
        _run([_python(), "-c", BIFROST_CAT], environ, json.dumps(arguments))
        return
    for path, question in questions.items():
        skip = ["--skipSourceFileComment"] if "--flatten" in question else []
        _run([USDCAT, *skip, *question, "-o", path], environ)


def _environment(home: Path) -> dict[str, str]:
    from bifrost.usd import env

    return {
        **os.environ,
        "BIFROST_HOME": str(home),
        "PXR_PLUGINPATH_NAME": str(env.library().parent),
    }


def _python() -> str:
    import sys

    return sys.executable


def _run(command: list[object], environ: Mapping[str, str], given: str = "") -> None:
    done = subprocess.run(
        [str(each) for each in command],
        env=dict(environ),
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", [*(f"layers/{each}" for each in LAYERS), *(f"flattened/{each}" for each in ROOTS)]
)
def test_the_text_is_what_is_expected(texts: Mapping[str, str], name: str) -> None:
    """One file of `expected/` for each layer and each stage."""
    expected = EXPECTED / name
    if os.environ.get("UPDATE_EXPECTED"):
        expected.parent.mkdir(parents=True, exist_ok=True)
        expected.write_text(texts[name])
    lines = difflib.unified_diff(
        expected.read_text().splitlines(), texts[name].splitlines(), "expected", "printed"
    )

    assert [] == list(lines)


def test_nothing_is_expected_of_a_sample_that_is_gone() -> None:
    """What nobody compares any more would only look like a promise."""
    names = [*(f"layers/{each}" for each in LAYERS), *(f"flattened/{each}" for each in ROOTS)]

    assert sorted(names) == sorted(
        str(path.relative_to(EXPECTED)) for path in EXPECTED.rglob("*.usda")
    )


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_cat_prints_what_it_would_write(run_python: Run, tmp_path: Path) -> None:
    """To stdout, and not a line besides it."""
    layer = SAMPLES / "instances/tree.usda"
    done = run_python(
        "import sys; from bifrost.cli.main import run; run(['usd', 'cat', sys.argv[1]])", layer
    )
    out = tmp_path / "tree.usdc"
    run_python(
        "import sys; from bifrost.cli.main import run; run(['usd', 'cat', *sys.argv[1:]])",
        layer,
        "-o",
        out,
    )

    assert layer.read_text().split() == done.stdout.split()
    assert out.read_bytes().startswith(b"PXR-USDC")
