# SPDX-License-Identifier: Apache-2.0
"""A vendor's layers, ingested, published, pinned and copied by somebody who may read more than the vendor."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.catalogue import Publication
from bifrost.testing.show import Show, layer

CALLS = """
import json, os, subprocess, sys
from pathlib import Path
from bifrost import bifrost_host as host
from bifrost.errors import BifrostError

root, out = sys.argv[1], Path(sys.argv[2])

def outcome(call):
    try:
        return ["returned", call()]
    except BifrostError as error:
        return [str(error.code), error.message]

def told(made):
    return sorted([each.path, each.why] for each in made.left)

def pinned():
    pins = host.pin_usd(root)
    return [sorted(each.path for each in pins.pinned),
            sorted([each.reference, each.problem] for each in pins.unresolved)]

found = {
    "copied": outcome(lambda: told(host.localize_usd(root, out / "copy"))),
    "packed": outcome(lambda: told(host.package_usd(root, out / "copy.usdz"))),
    "pinned": outcome(pinned),
    "published": outcome(lambda: host.register_asset("model", "delivery", root)),
}
found["files"] = sorted(str(each.relative_to(out)) for each in out.rglob("*") if each.is_file())
print(json.dumps(found))
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(run_python: Any, tmp_path: Path) -> Run:
    """Make every call about a root in a process of its own, which must end; return what came of each."""
    out = tmp_path / "out"
    out.mkdir()

    def run_calls(root: str | Path, **environment: str) -> dict[str, Any]:
        done = run_python(CALLS, root, out, env=environment)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run_calls


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """A vendor's folder: its layer names what is theirs, what is not, and what no file is."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "own.txt").write_text("own")
    (tmp_path / "secret.txt").write_text("S3CRET")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(folder / "pipe.txt")
    named = [
        "./own.txt", "../secret.txt", "./link.txt", "./zero.png", "./loop.txt", "./pipe.txt",
        "/dev/urandom", "/proc/self/environ", "/proc/self/mem", "./../../../../../../proc/self/maps",
        "./sub/../../secret.txt",
    ]  # fmt: skip
    uses = "".join(f"    asset a{number} = @{path}@\n" for number, path in enumerate(named))
    root = folder / "root.usda"
    root.write_text(f'#usda 1.0\n(defaultPrim = "a")\ndef "a" (references = [</b>]) {{\n{uses}}}\n')
    return root


def test_what_the_system_makes_up_is_never_copied(delivery: Path, run: Run, tmp_path: Path) -> None:
    """
    Devices and pipes are not waited for; the environment of the process is in no package.
    """
    found = run(delivery, PLANTED="pl4nted-in-the-environment")

    assert "returned" == found["copied"][0]
    left = {path.rpartition("/")[2] for path, _ in found["copied"][1]}
    assert {"zero.png", "loop.txt", "pipe.txt", "urandom", "environ", "mem", "maps"} == left
    copied = [each.read_bytes() for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert any(b"own" in each for each in copied)
    assert [] == [each[:80] for each in copied if b"pl4nted-in-the-environment" in each]


def test_with_allowed_roots_nothing_else_is_copied_or_pinned(
    delivery: Path, run: Run, tmp_path: Path
) -> None:
    """
    Where the artist can read more than the vendor may get: by paths, by links, by `..`.
    """
    found = run(delivery, BIFROST_RESOLVE__ALLOWED_ROOTS=str(delivery.parent))

    assert ["copy.usdz", "copy/own.txt", "copy/root.usda"] == found["files"]
    content = [each.read_bytes() for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert [] == [each[:80] for each in content if b"S3CRET" in each]
    (pinned, unresolved) = found["pinned"][1]
    assert ["own.txt", "root.usda"] == sorted(Path(path).name for path in pinned)
    outside = [Path(path).name for path, why in unresolved if "resolve.allowed_roots" in why]
    assert {"secret.txt", "link.txt", "environ"} <= set(outside)


@pytest.mark.parametrize("way", ["..", "sub/../.."])
def test_a_copy_is_written_nowhere_else_whatever_a_manager_answers(
    show: Show, run: Run, tmp_path: Path, way: str
) -> None:
    """
    A location with `..` in it leads to no place beside the copy.
    """
    text = layer(value="elsewhere")
    place = show.folder / "shots"
    place.mkdir(parents=True)
    (place / "sub").mkdir()
    target = Path(os.path.normpath(place / way)) / "evil.usda"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    show.catalogue.publish(
        [
            Publication(
                asset_id="evil.usda",
                name="evil",
                asset_type="layer",
                path=f"{place}/{way}/evil.usda",
                checksum=hashlib.sha256(text.encode()).hexdigest(),
                size=len(text),
            )
        ]
    )
    root = place / "root.usda"
    root.write_text(layer(references=("bifrost:///assets/evil.usda",)))
    before = {each for each in tmp_path.rglob("*") if "bifrost_home" not in each.parts}

    found = run(root)

    assert "returned" == found["copied"][0]
    assert 3 == len(found["files"])
    assert all(name == "copy.usdz" or name.startswith("copy/") for name in found["files"])
    after = {each for each in tmp_path.rglob("*") if "bifrost_home" not in each.parts}
    assert [] == [each for each in after - before if (tmp_path / "out") not in each.parents]


def test_an_ingested_folder_lets_nothing_in_from_beside_it(
    delivery: Path, run_python: Any, own_home: Path
) -> None:
    """
    Links that lead out, devices and pipes are left out and told; what lies beside stays unread.
    """
    source = "import sys; from bifrost.cli.main import main\nmain(['ingest', sys.argv[1]])"

    done = run_python(source, delivery.parent, check=False)

    assert "left out (" in done.stdout
    for name in ("link.txt", "zero.png", "loop.txt", "pipe.txt"):
        assert f"  {name}: " in done.stdout
    stored = [each.read_bytes() for each in own_home.rglob("*") if each.is_file()]
    assert any(b"root.usda" in each for each in stored)
    assert [] == [each[:80] for each in stored if b"S3CRET" in each]


def test_names_with_ends_of_lines_and_escapes_are_left_out_or_shown_escaped(
    tmp_path: Path, run_python: Any
) -> None:
    """
    A folder may hold any name; a list of what was left out is a line for each.
    """
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "ok.usda").write_text(layer())
    (folder / "evil\nleft out (0):\x1b[2J.usda").write_text(layer())
    (folder / "\x9bbell\x07.txt").write_text("x")

    source = "import sys; from bifrost.cli.main import main\nmain(['ingest', sys.argv[1]])"
    done = run_python(source, folder, check=False)

    said = done.stdout + done.stderr
    assert "left out (2):" in said
    assert [] == [line for line in said.splitlines() if not line.isprintable()]
    assert "\nleft out (0):" not in said
