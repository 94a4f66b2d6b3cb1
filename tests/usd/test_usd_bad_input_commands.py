# SPDX-License-Identifier: Apache-2.0
"""What the commands make of bad input: an exit code of 1, a line that names the file, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show, layer

MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
ALL = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from bifrost.cli.main import run

roots, out = json.loads(sys.argv[1]), sys.argv[2]
commands = (
    ("arcs",), ("arcs", "--closure"), ("cat",), ("cat", "--flatten"), ("deps",), ("layers",), ("open",),
    ("pin",), ("pin", "make", "--selected-variants"), ("tree",), ("variants",),
    ("localize", "ROOT", out + "/copy"), ("package", "ROOT", out + "/copy.usdz"),
)
found = []
for root in roots:
    for command in commands:
        print(root, command, file=sys.stderr, flush=True)  # the last one is where it hung
        said = io.StringIO()
        arguments = [root if each == "ROOT" else each for each in command]
        arguments += [] if "ROOT" in command else [root]
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            code = run(["usd", *arguments])
        found.append([root, " ".join(command), code, said.getvalue()])
print(json.dumps(found))
"""
BAD: dict[str, Callable[[Path], Any]] = {
    "broken.usda": lambda path: path.write_text('#usda 1.0\ndef "a" {\n'),
    "empty.usda": Path.touch,
    "bom.usda": lambda path: path.write_bytes(b"\xef\xbb\xbf#usda 1.0\n"),
    "bytes.usda": lambda path: path.write_bytes(b'#usda 1.0\n("\xff")\n'),
    "deep.usda": lambda path: path.write_text("#usda 1.0\n" + 'def "a" {\n' * 60_000),
    "text.usdc": lambda path: path.write_text(layer()),
    "folder.usda": Path.mkdir,
    "fifo.usda": os.mkfifo,
    "device.usda": lambda path: path.symlink_to("/dev/zero"),
    "link.usda": lambda path: path.symlink_to("link.usda"),
    "none.usda": lambda _: None,
    "path.usda": lambda path: path.write_text(
        '#usda 1.0\ndef "a" (references = @./x.usda@<not a path!>) {\n}\n'
    ),
}


@pytest.fixture
def bifrost(run_python) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bifrost` with arguments in a process of its own."""
    return lambda *arguments: run_python(MAIN, *arguments, check=False, limit_s=60.0)


def test_each_command_says_in_a_line_what_is_no_layer(
    show: Show, run_python, tmp_path: Path
) -> None:
    """
    Every command with every bad root: exit code 1, and each line names the file.
    """
    show.folder.mkdir()
    for name, place in BAD.items():
        place(show.folder / name)
    roots = [str(show.folder / name) for name in BAD]

    done = run_python(ALL, json.dumps(roots), tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])

    assert [] == [
        (Path(root).name, command, code, said)
        for root, command, code, said in found
        if code != 1
        or [line for line in said.splitlines() if not line.startswith("bifrost: ")]
        or root not in said
        or any(word in said for word in ("Traceback", "unexpected trouble", "pxrInternal"))
        or len(said) > 1_000
    ]
    assert not list(tmp_path.glob("copy*"))


def test_ingest_leaves_out_what_is_no_layer_and_says_so(show: Show, bifrost) -> None:
    """
    The rest of the folder is registered; it ends well, as for every folder of real files.
    """
    show.folder.mkdir()
    for name, place in BAD.items():
        place(show.folder / name)
    (show.folder / "good.usda").write_text(layer(references=("./broken.usda",)))

    done = bifrost("ingest", show.folder)

    assert 0 == done.returncode
    assert "Traceback" not in done.stderr
    for name in ("broken.usda", "empty.usda", "bom.usda", "bytes.usda", "deep.usda", "fifo.usda"):
        assert name in done.stdout
    assert "good.usda" == show.catalogue.found(["good.usda"])["good.usda"].asset_id


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("usd", "variants", "ROOT", "no path"), "'no path'"),
        (("usd", "variants", "ROOT", "/gone"), "there is no prim /gone"),
        (("usd", "variants", "bifrost:///assets/a/b"), "no '/'"),
        (("usd", "arcs", "bifrost:///assets/none"), "no asset 'none'"),
        (("usd", "layers", "bifrost:///assets/none"), "no asset 'none'"),
        (("usd", "pin", "bifrost:///assets/none"), "no asset 'none'"),
        (("usd", "localize", "bifrost:///assets/none", "OUT"), "no asset 'none'"),
        (("usd", "package", "ROOT", "OUT.zip"), "ends in .usdz"),
        (("usd", "pin", "verify", "ROOT"), "no JSON"),
        (("usd", "pin", "ROOT", "-o", "/nowhere/at/all.json"), "/nowhere/at/all.json: can't be"),
        (("usd", "localize", "ROOT", "/dev/null/copy"), "/dev/null/copy: can't be written"),
        (
            ("usd", "package", "ROOT", "/dev/null/copy.usdz"),
            "/dev/null/copy.usdz: can't be written",
        ),
    ],
)
def test_arguments_that_mean_nothing_are_a_line(
    show: Show, bifrost, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """
    That says what was expected, or what there is.
    """
    root = show.root("root.usda")
    names = {"ROOT": str(root), "OUT": str(tmp_path / "out"), "OUT.zip": str(tmp_path / "out.zip")}

    done = bifrost(*(names.get(each, each) for each in arguments))

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert done.stderr.startswith("bifrost: ")
    assert expected in done.stderr
    assert "unexpected trouble" not in done.stderr
