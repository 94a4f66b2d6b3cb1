# SPDX-License-Identifier: Apache-2.0
"""With `resolve.allowed_roots` set nothing resolves to what lies outside, whoever says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.errors import Code, ConfigurationError, LocationException
from bifrost.host import BifrostHostInterface
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.model.roots import AllowedRoots
from bifrost.pipeline.confine import Confine
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing.show import Show, layer
from bifrost.usd import pinning, wire
from bifrost.usd.bridge import Bridge

REFERENCE = "bifrost:///assets/rock"
Start = Callable[..., BifrostHostInterface]


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """The folder that answers may lie in, with a file and with links out of it."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "rock.usda").write_text(layer(value="allowed"))
    (folder / "link.usda").symlink_to(tmp_path / "secret.usda")
    (folder / "way").symlink_to(tmp_path)
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is none of their business."""
    path = tmp_path / "secret.usda"
    path.write_text(layer(value="secret"))
    return path


@pytest.fixture
def start(own_home: Path, allowed: Path) -> Iterator[Start]:
    """Start hosts over the test's home that keep nothing in memory, with and without roots."""
    hosts: list[BifrostHostInterface] = []

    def start(roots: str | None = None, **variables: str) -> BifrostHostInterface:
        environment = {
            "BIFROST_HOME": str(own_home),
            "BIFROST_CACHE__MEMORY_BYTES": "0",
            "BIFROST_RESOLVE__ALLOWED_ROOTS": str(allowed) if roots is None else roots,
            **variables,
        }
        hosts.append(BifrostHostInterface(Session(load(environment))))
        return hosts[-1]

    yield start
    for host in hosts:
        host.session.close()


def ways_out(allowed: Path) -> list[str]:
    """Return paths that lead out of *allowed*, or lie beside it."""
    return [
        f"{allowed}/../secret.usda",
        f"{allowed}/link.usda",
        f"{allowed}/way/secret.usda",
        f"{allowed}/./way/../secret.usda",
        f"{allowed}side/rock.usda",
        f"{allowed}/way/tile.<UDIM>.png",
        "/dev/zero",
        "/etc/passwd",
        "rock.usda",
        "",
        f"{allowed}/a\0b",
    ]


def test_the_place_counts_that_a_path_leads_to(allowed: Path, secret: Path) -> None:
    """
    Links and `..` are followed, of the roots as well; what is not there may be there yet.
    """
    alias = allowed.with_name("alias")
    alias.symlink_to(allowed)
    ways_in = [f"{allowed}/rock.usda", f"{alias}/rock.usda", f"{allowed}/none/x.usda", str(allowed)]
    ways_in.append(f"{allowed}/way/allowed/rock.usda")

    for roots in (str(allowed), f"/none;{allowed}/", f"{alias} ; /none"):
        holds = AllowedRoots(roots).rule()
        assert [] == [path for path in ways_in if not holds(path)]
        assert [] == [path for path in ways_out(allowed) if holds(path)]
    assert AllowedRoots("/").rule()("/etc/passwd")
    assert not AllowedRoots("")


@pytest.mark.parametrize("text", ["relative", "/a;b", ";", " ", "./a", "~nobody-x/a", "/a\0b"])
def test_roots_that_are_none_are_an_error(own_home: Path, text: str) -> None:
    """
    Rather than none: what was to be bounded would be open.
    """
    with pytest.raises(ConfigurationError, match=r"resolve\.allowed_roots: expected absolute"):
        AllowedRoots(text)


def test_a_managers_answer_that_leads_out_is_a_failure_and_the_others_stand(
    start: Start, allowed: Path, secret: Path
) -> None:
    """
    By each call: one reference or many, a path or all that is said of it.
    """
    free, bounded = start(""), start()
    rock = free.register_asset("model", "Rock", allowed / "rock.usda", in_place=True)
    other = free.register_asset("model", "Secret", secret, in_place=True)

    assert str(secret) == str(free.resolve_asset_path(other))
    assert str(allowed / "rock.usda") == str(bounded.resolve_asset_path(rock))
    for call in (bounded.resolve_asset_path, bounded.resolve_asset, bounded.get_entity_info):
        with pytest.raises(LocationException, match="outside") as caught:
            call(other)
        assert Code.OUTSIDE_ROOTS == caught.value.code
        assert "resolve.allowed_roots" in caught.value.remedy
    results = bounded.resolve_asset_paths([other, rock], on_error="return")
    assert ["LocationException", "PosixPath"] == [type(each).__name__ for each in results]


def test_what_leads_out_is_not_kept(start: Start, allowed: Path, secret: Path) -> None:
    """
    A failure is remembered for a moment, so that a shot full of them asks once.
    """
    host = start()
    other = host.register_asset("model", "Secret", secret, in_place=True)

    for _ in range(3):
        with pytest.raises(LocationException):
            host.resolve_asset_path(other)

    assert 1 == host.get_performance_stats()["manager"]["round_trips"]
    host.session.tiers.flush()
    assert {} == host.session.cache.peek([other], host.session.authenticated(_nobody()).scope)


def _nobody() -> Any:
    from bifrost.context import effective

    return effective(None)


def test_a_cache_entry_that_leads_out_is_a_miss(
    start: Start, poison: Any, allowed: Path, secret: Path
) -> None:
    """
    Whatever way out it takes, the manager is asked, and what it says takes the entry's place.
    """
    free, bounded = start(""), start()
    rock = free.register_asset("model", "Rock", allowed / "rock.usda", in_place=True)

    for path in ways_out(allowed):
        if path:
            poison.answer(free.session, rock, path)
            assert str(allowed / "rock.usda") == str(bounded.resolve_asset_path(rock)), path
            assert str(allowed / "rock.usda") == bounded.resolve_asset(rock).path, path
    poison.answer(free.session, rock, str(secret))
    assert str(secret) == str(free.resolve_asset_path(rock))


def test_a_recorded_closure_that_leads_out_is_asked_anew(
    start: Start, poison: Any, allowed: Path, secret: Path, tmp_path: Path
) -> None:
    """
    The bridge replays closures as bytes: with roots it reads them first.
    """
    free, bounded = start(""), start()
    rock = free.register_asset("model", "Rock", allowed / "rock.usda", in_place=True)
    root = str(tmp_path / "shot.usda")
    poison.closure(free.session, root, {rock: str(secret)})

    def opened(host: BifrostHostInterface) -> dict[str, Any]:
        bridge = Bridge(host.session)
        try:
            return dict(wire.decode(bridge.resolve("", root, [rock], "0")))
        finally:
            bridge.later.run_all()

    assert str(secret) == opened(free)[rock].path
    assert str(allowed / "rock.usda") == opened(bounded)[rock].path
    assert str(allowed / "rock.usda") == opened(free)[rock].path


class Says:
    """A manager that says one thing."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def handle(self, request: Request) -> Reply:
        return Reply.by_reference(request, lambda _: self.outcome)


def test_failures_and_other_answers_pass() -> None:
    """
    Only what a reference resolves to is a place.
    """
    roots = AllowedRoots("/allowed")
    failure = Failure(Code.NOT_FOUND, "none")

    def asked(operation: Operation, outcome: Any) -> Any:
        request = Request(operation, (REFERENCE,), _nobody())
        return Confine(Says(outcome), roots).handle(request).outcomes[0]

    assert asked(Operation.RESOLVE, failure) is failure
    assert asked(Operation.EXISTS, True) is True
    there = Resolution(REFERENCE, "/allowed/a")
    assert asked(Operation.RESOLVE, there) is there
    assert "outside_roots" == asked(Operation.RESOLVE, there._replace(path="/a")).code


# Pins, which C++ reads without Python

OPEN = """
import json, sys
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
found = [prim.GetAttribute("v").Get() for prim in stage.Traverse() if prim.HasAttribute("v")]
python = sorted(name for name in sys.modules if name.startswith("bifrost"))
print(json.dumps([found, python]))
"""


@pytest.fixture
def pinned(show: Show, tmp_path: Path) -> tuple[Path, Path]:
    """A shot and its pins."""
    shot = show.root("root.usda", show.publish("leaf.usda", layer(value="leaf")))
    pins = tmp_path / "shot.pins.json"
    pinning.pin(str(shot)).save(pins)
    return shot, pins


@pytest.mark.parametrize("where", ["environment", "settings", "otherwise in settings"])
def test_pins_are_bounded_and_need_no_python(
    pinned: tuple[Path, Path], show: Show, own_home: Path, run_python: Any, where: str
) -> None:
    """
    What they pin outside is unresolved, and the warning says why; what lies inside opens as ever.
    """
    shot, pins = pinned

    def opened(root: Path) -> tuple[Any, str]:
        environment = {"BIFROST_PINS": str(pins)}
        if where == "environment":
            environment["BIFROST_RESOLVE__ALLOWED_ROOTS"] = str(root)
        elif where == "settings":
            text = f'[resolve]\nallowed_roots = "/none;{root}"\n'
            (own_home / "settings.toml").write_text(text)
        else:
            text = f'resolve = {{ allowed_roots = "{root}" }}\n'
            (own_home / "settings.toml").write_text(text)
        done = run_python(OPEN, shot, env=environment)
        return json.loads(done.stdout), done.stderr

    (inside, python), told = opened(show.folder)
    if where == "otherwise in settings":
        assert [""] == inside[:1]
        assert "no pin is believed" in told
        assert "BIFROST_RESOLVE__ALLOWED_ROOTS" in told
        return
    assert (["", "leaf"], []) == (inside, python)
    (outside, python), told = opened(own_home)
    assert ([""], []) == (outside, python)
    assert "[outside_roots]" in told
    assert "resolve.allowed_roots" in told
