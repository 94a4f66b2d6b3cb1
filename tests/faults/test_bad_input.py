# SPDX-License-Identifier: Apache-2.0
"""
What bad input gets, through the plugin: the stage still opens with what did resolve, one clear warning
names the reference and the reason, the one-reference API raises the classified error, nothing hangs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bifrost.testing.managers import install
from bifrost.testing.show import Show, layer
from bifrost.usd import env

OPEN = """
import sys, time
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Usd
start = time.monotonic()
stage = Usd.Stage.Open(sys.argv[1])
def value(path):
    prim = stage.GetPrimAtPath(path)
    return prim.GetAttribute("v").Get() if prim and prim.HasAttribute("v") else None
good, bad = value("/p0"), value("/p1") is not None
print(good, bad, time.monotonic() - start < 20)
from bifrost import bifrost_host
try:
    print(bifrost_host.resolve_asset_path(sys.argv[2]))
except Exception as error:
    print(type(error).__name__)
"""

IMPATIENT = {"BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "0.2", "BIFROST_RETRY__ATTEMPTS": "1"}


def opened(run_python: Callable[..., object], root: Path, bad: str, **options: object):
    """Open *root* in a process of its own; return what it printed, and the warnings about *bad*."""
    done = run_python(OPEN, root, bad, **options)
    warnings = [line for line in done.stderr.splitlines() if f"bifrost: {bad}:" in line]
    return done.stdout.split(), warnings


@pytest.mark.parametrize(
    ("bad", "error", "reason"),
    [
        ("bifrost:///assets/none", "AssetNotFoundException", "no asset 'none'"),
        ("bifrost:///assets/leaf.usda?version=9", "AssetNotFoundException", "no version '9'"),
        ("bifrost:///assets/leaf.usda?version=approved", "AssetNotFoundException", "no version"),
        ("bifrost:///assets/leaf.usda?v=1", "InvalidReferenceException", "the query is"),
        ("bifrost:///assets/", "InvalidReferenceException", "no asset id"),
        ("bifrost:///other/leaf.usda", "InvalidReferenceException", "no reference of"),
        ("bifrost:///assets/a/b.usda", "InvalidReferenceException", "no '/'"),
        ("bifrost:///assets/a%zz.usda", "InvalidReferenceException", "escapes nothing"),
        ("bifrost:///assets/leaf.usda?version=1#frag", "InvalidReferenceException", "fragment"),
        ("bifrost:///assets/nowhere.usda", "LocationException", "no location"),
        ("bifrost:///assets/gone.usda", "LocationException", "not there"),
        ("bifrost:///assets/überall%20hier%40.usda", "AssetNotFoundException", "no asset"),
    ],
)
def test_a_bad_reference_is_named_with_its_reason(
    show: Show, run_python: Callable[..., object], bad: str, error: str, reason: str
) -> None:
    """
    Unknown, malformed, without a location, with its file gone: the rest of the stage is there.
    """
    leaf = show.publish("leaf.usda", layer(value="good"))
    show.publish("gone.usda", layer())
    show.path("gone.usda", 1).unlink()
    from bifrost.catalogue import Publication

    show.catalogue.publish([Publication("nowhere.usda", "nowhere", "layer", path="")])
    root = show.root("root.usda", leaf, bad)

    printed, warnings = opened(run_python, root, bad)

    assert ["good", "False", "True", error] == printed
    assert 1 == len(warnings)
    assert reason in warnings[0]


def test_a_location_that_is_no_file_is_said_to_be_none(
    faulty: Callable[..., dict[str, str]], run_python, tmp_path: Path
) -> None:
    """
    `https:` is nothing USD could open.
    """
    environment, root = faulty("http_url")

    printed, warnings = opened(run_python, root, "faulty:///bad.usda", env=environment)

    assert ["good", "False", "True", "LocationException"] == printed
    assert 1 == len(warnings)
    assert "no file" in warnings[0]


def test_an_unknown_scheme_is_not_ours_to_resolve(show: Show, run_python) -> None:
    """
    USD's own resolver answers for it; the stage opens.
    """
    leaf = show.publish("leaf.usda", layer(value="good"))
    root = show.root("root.usda", leaf, "unknown:///assets/x.usda")

    printed, _ = opened(run_python, root, "unknown:///assets/x.usda")

    assert ["good", "False", "True", "InvalidReferenceException"] == printed


@pytest.fixture
def faulty(own_home: Path, tmp_path: Path):
    """Set up a manager that does wrong by `bad.usda` and right by `good.usda`."""

    def set_up(fault: str, *, everywhere: bool = False, **settings: str):
        files = tmp_path / "files"
        files.mkdir()
        (files / "good.usda").write_text(layer(value="good"))
        (files / "bad.usda").write_text(layer(value="bad"))
        root = tmp_path / "root.usda"
        root.write_text(layer(references=("faulty:///good.usda", "faulty:///bad.usda")))
        names = () if everywhere else ("bad.usda",)
        installed = install(tmp_path / "manager", files=files, fault=fault, fault_names=names)
        plug = env.description(["faulty"], output=tmp_path / "plug")
        return {**installed, "PXR_PLUGINPATH_NAME": str(plug), **settings}, root

    return set_up


@pytest.mark.parametrize(
    ("fault", "good", "error"),
    [
        ("no_callback", "good", "ManagerMisbehavedException"),
        ("wrong_type", "good", "ManagerMisbehavedException"),
        ("bad_url", "good", "LocationException"),
        ("no_location", "good", "LocationException"),
        ("missing_file", "good", "LocationException"),
        ("garbage_error_code", "good", "AssetException"),
    ],
)
def test_one_bad_answer_leaves_the_others_alone(
    faulty, run_python, fault: str, good: str, error: str
) -> None:
    """
    The element that the manager got wrong fails, with a warning; its neighbour resolves.
    """
    environment, root = faulty(fault)

    printed, warnings = opened(run_python, root, "faulty:///bad.usda", env=environment)

    assert [good, "False", "True", error] == printed
    assert 1 == len(warnings)


@pytest.mark.parametrize(
    "fault",
    [
        "callback_twice",
        "callback_twice_different",
        "callback_from_thread",
        "wrong_index",
        "million",
    ],
)
def test_an_odd_but_answered_element_resolves(faulty, run_python, fault: str) -> None:
    """
    Twice, from another thread, beside answers nobody asked for: the first one of its own counts.
    """
    environment, root = faulty(fault)

    printed, _ = opened(run_python, root, "faulty:///bad.usda", env=environment, limit_s=60)

    assert "good" == printed[0]
    assert "True" == printed[2]


@pytest.mark.parametrize(
    ("fault", "good", "error"),
    [
        ("raise", "good", "ManagerMisbehavedException"),
        ("raise_oserror", "None", "NetworkErrorException"),
    ],
)
def test_a_manager_that_raises_fails_no_more_than_it_must(
    faulty, run_python, fault: str, good: str, error: str
) -> None:
    """
    A defect fails the element that sets it off, an outage everything; the stage opens either way.
    """
    environment, root = faulty(fault)

    printed, warnings = opened(run_python, root, "faulty:///bad.usda", env=environment)

    assert [good, "False", "True", error] == printed
    assert 1 == len(warnings)


def test_a_manager_that_hangs_is_given_up_at_the_deadline(faulty, run_python) -> None:
    """
    It sleeps for a minute; the open ends after the deadline, and so does the process.
    """
    environment, root = faulty("hang", everywhere=True, BIFROST_MANAGER__DEADLINE_S="0.5")

    printed, warnings = opened(run_python, root, "faulty:///bad.usda", env=environment, limit_s=40)

    assert ["None", "False", "True", "DeadlineExceededException"] == printed
    assert 1 == len(warnings)
    assert "did not answer within 0.5 s" in warnings[0]


def test_an_outage_is_served_from_what_was_resolved_before(
    show: Show, run_python, locked: Callable[[], None]
) -> None:
    """
    Everything has expired and the manager can't be asked: the old answers are better than none.
    """
    leaf = show.publish("leaf.usda", layer(value="good"))
    root = show.root("root.usda", leaf)
    environment = {"BIFROST_CACHE__TTL_S": "0", **IMPATIENT}
    assert "good" == opened(run_python, root, leaf, env=environment)[0][0]
    locked()

    printed, warnings = opened(run_python, root, leaf, env=environment)

    assert ["good", "False", "True", str(show.path("leaf.usda", 1))] == printed
    assert not warnings


def test_unreadable_settings_are_named(show: Show, run_python, own_home: Path) -> None:
    """
    The key, the value, the file, the nearest valid key; the stage opens without entities.
    """
    leaf = show.publish("leaf.usda", layer(value="good"))
    root = show.root("root.usda", leaf)
    (own_home / "settings.toml").write_text("[cache]\nttl_seconds = 5\n")
    source = OPEN.replace("bifrost_stage.warm()", "bifrost_stage.register_plugin()")

    done = run_python(source, root, leaf)

    assert ["None", "False", "True", "ConfigurationError"] == done.stdout.split()
    for part in ("cache.ttl_seconds", "settings.toml", "cache.ttl_s"):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"this is no database" * 100, "catalogue"), (b"", "no asset")],
    ids=["corrupt", "empty"],
)
def test_a_catalogue_that_cant_be_used_is_said_so(
    run_python, own_home: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    """
    A file that is no catalogue: each reference fails with that as its reason.
    """
    catalogue = own_home / "data" / "catalogue.sqlite"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_bytes(content)
    root = tmp_path / "root.usda"
    bad = "bifrost:///assets/leaf.usda"
    root.write_text(layer(references=(bad, bad)))

    printed, warnings = opened(run_python, root, bad)

    assert ["None", "False", "True"] == printed[:3]
    assert 1 == len(warnings)
    assert reason in warnings[0]


@pytest.fixture
def locked(show: Show) -> Iterator[Callable[[], None]]:
    """Lock the show's catalogue for good, as a writer that never ends does."""
    connections = []

    def lock() -> None:
        show.catalogue.close()
        connection = sqlite3.connect(show.catalogue.path)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connections.append(connection)

    yield lock
    for connection in connections:
        connection.close()


def test_a_locked_catalogue_fails_for_now(show: Show, run_python, locked) -> None:
    """
    Another process writes for longer than we wait: what no cache knows is unresolved, and says why.
    """
    leaf = show.publish("leaf.usda", layer(value="good"))
    root = show.root("root.usda", leaf)
    locked()

    printed, warnings = opened(run_python, root, leaf, env=IMPATIENT)

    assert ["None", "False", "True", "NetworkErrorException"] == printed
    assert 1 == len(warnings)
    assert "locked" in warnings[0]


def test_no_manager_behind_the_configuration_is_said_so(run_python, tmp_path: Path) -> None:
    """
    A config file that is not there, and one that names a manager nobody installed.
    """
    root = tmp_path / "root.usda"
    bad = "bifrost:///assets/leaf.usda"
    root.write_text(layer(references=(bad,)))
    config = tmp_path / "manager.toml"

    missing = opened(run_python, root, bad, env={"OPENASSETIO_DEFAULT_CONFIG": str(config)})
    config.write_text('[manager]\nidentifier = "org.nobody"\n')
    unknown = opened(run_python, root, bad, env={"OPENASSETIO_DEFAULT_CONFIG": str(config)})

    for printed, warnings in (missing, unknown):
        assert ["None", "False", "True"] == printed[:3]
        assert 1 == len(warnings)
        assert str(config) in warnings[0]
