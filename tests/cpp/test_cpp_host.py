# SPDX-License-Identifier: Apache-2.0
"""An application in C++: no Python of its own, as usdcat and renderers are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bifrost.testing.show import Show, layer
from bifrost.usd import env

LIMIT_S = 60.0


@pytest.fixture
def host(cpp_build, application: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the C++ program with the plugin in its environment, and no more than it needs."""
    folder = cpp_build("plain", "-DBIFROST_SANITIZE=")
    program = folder / "cpp_host"
    if not program.exists():
        pytest.skip("this Python has no shared libpython to build a C++ application with")

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**application, **extra}
        return subprocess.run(
            [str(program), *arguments],
            env={k: v for k, v in environment.items() if v},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


def test_it_resolves_on_eight_threads_that_arrive_at_once(show: Show, host) -> None:
    """
    The first miss starts Python, once, whatever thread it is on.
    """
    leaf = show.publish("leaf.usda", layer())

    for _ in range(5):
        done = host("--threads", "8", leaf, "bifrost:///assets/nothing")

        assert 0 == done.returncode, done.stderr
        assert [f"{leaf} -> {show.path('leaf.usda', 1)}", "bifrost:///assets/nothing -> "] == (
            done.stdout.splitlines()
        )


def test_its_second_run_is_answered_by_the_cache(show: Show, host) -> None:
    """
    What the first process learned is written when it exits, though nobody finalises its Python.
    """
    leaf = show.publish("leaf.usda", layer())
    host(leaf)
    show.catalogue.close()
    for file in (show.catalogue.path, *show.catalogue.path.parent.glob("catalogue.sqlite-*")):
        file.unlink(missing_ok=True)

    assert f"{leaf} -> {show.path('leaf.usda', 1)}\n" == host(leaf).stdout


def test_without_the_package_it_says_so_once_and_goes_on(show: Show, host, tmp_path: Path) -> None:
    """
    A Python that lacks Bifrost's package: unresolved, one warning, exit code 0.
    """
    leaf = show.publish("leaf.usda", layer())
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()

    done = host(leaf, leaf, BIFROST_PYTHONPATH=str(nowhere))

    assert (0, f"{leaf} -> \n" * 2) == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("can't be imported")


def test_leaving_while_threads_resolve_ends_the_process(show: Show, host) -> None:
    """
    `exit` with eight threads in the resolver: they get answers or none, no crash, no hang.
    """
    leaf = show.publish("leaf.usda", layer())

    for _ in range(5):
        done = host("--leave", "--threads", "8", leaf, "bifrost:///assets/nothing")

        assert (0, "left\n") == (done.returncode, done.stdout), done.stderr


def test_python_is_found_where_the_variable_says_and_nowhere_else(
    cpp_build, tmp_path: Path
) -> None:
    """
    A process without Python: `BIFROST_LIBPYTHON` names one, or names nothing that can be loaded.
    """
    program = cpp_build("plain", "-DBIFROST_SANITIZE=") / "python_api_test"
    libpython = env.variables().get("BIFROST_LIBPYTHON")
    if libpython is None:
        pytest.skip("this Python has no shared libpython")

    def found(library: str) -> str:
        done = subprocess.run(
            [str(program)],
            env={"BIFROST_LIBPYTHON": library},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        return done.stdout

    assert found(libpython).startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert "none\n" == found(str(tmp_path / "libnothing.so"))
