# SPDX-License-Identifier: Apache-2.0
"""Assets that are written without the GIL, and with it: by C++ applications, and from Python."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

import bifrost
from bifrost import bifrost_host
from bifrost.testing.show import layer
from bifrost.usd import env

LIMIT_S = 90.0
EIGHT = [f"bifrost:///assets/p{i}.usda" for i in range(8)]

# Half of the threads call with the GIL, half without; others hold it, resolve, and make layers, which
# locks the layer registry.
MIXED = """
import ctypes, sys, threading, time
from pxr import Ar, Sdf, Usd
library, file, *references = sys.argv[1:]
data = open(file, "rb").read()
Ar.GetResolver().Resolve(references[0])
loaded = ctypes.CDLL(library), ctypes.PyDLL(library)
for each in loaded:
    each.writeAsset.argtypes = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t
written, done = [], threading.Event()
def write(i, reference):
    written.append(loaded[i % 2].writeAsset(reference.encode(), data, len(data)))
def disturb(i):
    turn = 0
    while not done.is_set():
        turn += 1
        Ar.GetResolver().Resolve(references[turn % len(references)])
        Sdf.Layer.Find(references[turn % len(references)])
        layer = Sdf.Layer.CreateNew(f"bifrost:///assets/draft{i}_{turn}.usdc")
        Usd.Stage.Open(layer)
        time.sleep(0.001)
threads = [threading.Thread(target=write, args=each, daemon=True) for each in enumerate(references)]
others = [threading.Thread(target=disturb, args=(i,), daemon=True) for i in range(2)]
for thread in others + threads: thread.start()
for thread in threads: thread.join(60)
done.set()
for thread in others: thread.join(20)
print(sum(written), sum(thread.is_alive() for thread in threads + others))
"""


@pytest.fixture
def programs(cpp_build) -> Path:
    """The folder of the C++ programs."""
    for target in ("cpp_writer", "cpp_writing"):
        folder: Path = cpp_build("plain", "-DBIFROST_SANITIZE=", target=target)
    if not (folder / "cpp_writer").exists():
        pytest.skip("this Python has no shared libpython to build a C++ application with")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A layer to write."""
    path = tmp_path / "layer.usda"
    path.write_text(layer(value="written"))
    return path


def is_written(reference: str, file: Path) -> bool:
    """Whether *reference* resolves to what *file* holds."""
    return bifrost_host.resolve_asset_path(reference).read_bytes() == file.read_bytes()


def test_an_application_without_python_writes_on_eight_threads(
    programs: Path, own_home: Path, tmp_path: Path, file: Path
) -> None:
    """
    The first that is closed starts Python; each becomes a version.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BIFROST"))}
    packages = [str(Path(bifrost.__file__).parents[1]), sysconfig.get_path("purelib")]

    done = subprocess.run(
        [programs / "cpp_writer", file, *EIGHT],
        env={
            **clean,
            "TMPDIR": str(tmp_path),
            "BIFROST_HOME": str(own_home),
            "BIFROST_PYTHONPATH": os.pathsep.join(packages),
            "PXR_PLUGINPATH_NAME": str(env.description()),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (0, "8\n") == (done.returncode, done.stdout), done.stderr
    assert all(is_written(reference, file) for reference in EIGHT)
    assert [] == [*(tmp_path / f"bifrost-writing-{os.geteuid()}").glob("*")]


def test_an_application_asks_in_its_exit_handlers(
    programs: Path, application: dict[str, str]
) -> None:
    """
    About writing, as it did before: the main thread's own objects are gone by then.
    """
    done = subprocess.run(
        [programs / "cpp_writer", "--leaving", f"bifrost:///assets/{'long_' * 20}prop.usda"],
        env=application,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (0, "left\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.parametrize("run", range(3))
def test_threads_write_with_the_gil_and_without_it(
    programs: Path, run_python, tmp_path: Path, file: Path, run: int
) -> None:
    """
    While others have the layer registry locked and go through the GIL, and none hangs.
    """
    done = run_python(
        MIXED, programs / "libcpp_writing.so", file, *EIGHT, env={"TMPDIR": str(tmp_path)}
    )

    assert "8 0\n" == done.stdout, done.stderr
    assert all(is_written(reference, file) for reference in EIGHT)
