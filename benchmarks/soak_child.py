# SPDX-License-Identifier: Apache-2.0
"""
One artist's application under load, as `soak.py` starts it: arguments as JSON on stdin.

The main thread opens the shot, switches versions, publishes and refreshes, as fast as it can; another one
queries and resolves batches, as a panel does, fifty times a second. Every answer is checked: a floating
reference is never older than what this process published before, a pinned one is what it says. A third
thread samples what the process holds.

With `plain` it does the same to plain files without Bifrost: what memory OpenUSD itself takes.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final, Protocol

import soak_show as show

try:
    import pysqlite3._sqlite3 as sqlite
except ImportError:
    import _sqlite3 as sqlite  # type: ignore[no-redef]

_PAGE: Final = resource.getpagesize()
_RECENT: Final = 5
# Of a publish at its file: where it comes from, where it is checked, where it goes.
_LOOKS: Final = 3
# Without it the other thread has the interpreter half of the time, and stages wait.
_PANEL_S: Final = 0.02
_now = time.monotonic
_PACE: Final = 200_000


class Application(Protocol):
    """What an artist does, one method an operation. Each raises AssertionError where a thing is wrong."""

    def work(self) -> dict[Callable[[], None], int]:
        """Return the main thread's operations, with how often each is done."""

    def background(self) -> dict[Callable[[], None], int]:
        """Return the other thread's; nothing in them touches a stage."""

    def close(self) -> None:
        """Let go of everything."""


class Stages:
    """What both applications do to a stage: open it, put one prop at a version, look at what it shows."""

    def __init__(self, root: str, folder: Path, rng: Random) -> None:
        self.root = root
        self.folder = folder
        self.rng = rng
        self.newest = dict.fromkeys(show.PROPS, 1)
        self.mine = show.PROPS
        self.stage: Any = None

    def opened(self) -> Any:
        """Return a stage of the shot in this application's context."""
        raise NotImplementedError

    def at(self, prop: str, version: int) -> str:
        """Return the asset path of *version* of *prop*."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the shot, the stage before it closed."""
        self.stage = None
        self.stage = self.opened()
        self.check()

    def switch(self) -> None:
        """Put one prop at one of its last versions, in the session layer, and back."""
        from pxr import Sdf

        prop = self.rng.choice(show.PROPS)
        newest = self.newest[prop]
        version = self.rng.randint(max(1, newest - _RECENT), newest)
        layer = self.stage.GetSessionLayer()
        spec = Sdf.CreatePrimInLayer(layer, show.prim_of(prop))
        spec.referenceList.explicitItems = [Sdf.Reference(self.at(prop, version))]
        assert self.shown(prop) == version, f"{prop}: {self.shown(prop)} instead of {version}"
        layer.Clear()

    def check(self) -> None:
        """See that the stage shows of every prop what is the newest, as far as this process knows."""
        for prop, newest in self.newest.items():
            shown = self.shown(prop)
            assert shown >= newest, f"{prop}: {shown} after {newest} was published"

    def shown(self, prop: str) -> int:
        """Return the version of *prop* that the stage shows."""
        made = self.stage.GetPrimAtPath(show.prim_of(prop)).GetAttribute("made").Get()
        assert made is not None, f"{prop} is not there"
        name, version = made.split()
        assert name == prop
        return int(version)


class Artist(Stages):
    """An application with Bifrost. Its context is its own, as another user's is."""

    def __init__(self, root: str, folder: Path, rng: Random, number: int, of: int) -> None:
        super().__init__(root, folder, rng)
        from bifrost.host import bifrost_host
        from bifrost.usd.stage import warm

        warm()
        self.host = bifrost_host
        self.user = f"artist_{number}"
        # Applications publish props of their own, so that each knows what is the newest.
        self.mine = show.PROPS[number::of]

    def work(self) -> dict[Callable[[], None], int]:
        return _mix(self)

    def background(self) -> dict[Callable[[], None], int]:
        return {self.query: 1, self.resolve: 4}

    def opened(self) -> Any:
        from pxr import Usd

        from bifrost.context import Context
        from bifrost.usd import context

        return Usd.Stage.Open(self.root, context(Context(user=self.user), root=self.root))

    def at(self, prop: str, version: int) -> str:
        return show.reference(prop, version)

    def publish(self) -> None:
        """Publish the next version of one of this application's props."""
        prop = self.rng.choice(self.mine)
        version = self.newest[prop] + 1
        file = show.written(self.folder, prop, version)
        made = self.host.register_version(show.reference(prop), file, expected_version=version - 1)
        file.unlink()
        assert made == show.reference(prop, version), made
        self.newest[prop] = version

    def refresh(self) -> None:
        """Let the stage have what is the newest, and look."""
        self.host.refresh(self.stage)
        self.check()

    def query(self) -> None:
        """Ask for the props by a tag, newest first."""
        found = self.host.query_assets({"tags": "soak", "fields": ["id"], "limit": len(show.PROPS)})
        assert len(found) == len(show.PROPS), f"{len(found)} props"

    def resolve(self) -> None:
        """Resolve all props, each as it floats and by number."""
        newest = dict(self.newest)
        uris = [show.reference(prop) for prop in self.mine]
        uris += [show.reference(prop, newest[prop]) for prop in self.mine]
        paths = self.host.resolve_asset_paths(uris)
        for prop, path in zip(self.mine, paths[len(self.mine) :], strict=True):
            said = Path(path).read_text().partition('made = "')[2].partition('"')[0]
            assert said == f"{prop} {newest[prop]}", f"{prop}: {said} instead of {newest[prop]}"

    def close(self) -> None:
        self.stage = None
        self.host.session.close()


class Plain(Stages):
    """The same to plain files, with nothing of ours in the process."""

    def work(self) -> dict[Callable[[], None], int]:
        return _mix(self)

    def background(self) -> dict[Callable[[], None], int]:
        return {}

    def opened(self) -> Any:
        from pxr import Usd

        return Usd.Stage.Open(self.root)

    def at(self, prop: str, version: int) -> str:
        return str(self.folder / f"{prop}.{version}.usda")

    def publish(self) -> None:
        """Write the next version of a prop, look at it as a publish does, and put it into the shot."""
        prop = self.rng.choice(self.mine)
        self.newest[prop] += 1
        file = show.written(self.folder, prop, self.newest[prop])
        for _ in range(_LOOKS):
            _look_at(file)
        floating = self.folder / f"{prop}.usda"
        floating.with_suffix(".new").write_text(file.read_text())
        floating.with_suffix(".new").replace(floating)

    def refresh(self) -> None:
        """Read anew what was written."""
        self.stage.Reload()

    def close(self) -> None:
        self.stage = None


def _look_at(file: Path) -> None:
    """Open a stage, and ask the layer for all that is in it: of each OpenUSD keeps 24 bytes for good."""
    from pxr import Sdf, Usd

    layer = Sdf.Layer.FindOrOpen(str(file))
    stage = Usd.Stage.Open(layer)
    layer.Traverse(Sdf.Path.absoluteRootPath, layer.GetObjectAtPath)
    assert stage.GetDefaultPrim()


def _mix(stages: Any) -> dict[Callable[[], None], int]:
    """Return how often each is done: a publish draws a thumbnail, which takes as long as all the rest."""
    return {stages.open: 4, stages.switch: 8, stages.publish: 1, stages.refresh: 8}


class Sampler:
    """
    Writes what the process holds, once in a while, and what its operations took since the time before.

    Into *file*, a line of JSON each: samples that were kept would be what grows.
    """

    def __init__(self, file: Path, every_s: float) -> None:
        self.done: Counter[str] = Counter()
        self._file = file
        self._every_s = every_s
        self._taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._lock = threading.Lock()

    def took(self, name: str, wall_s: float, cpu_s: float) -> None:
        """Count an operation, with its time and its thread's processor time. Any thread."""
        with self._lock:
            self._taken[name].append((wall_s, cpu_s))
            self.done[name] += 1

    def run(self, ended: threading.Event) -> None:
        """Sample until *ended*."""
        start = _now()
        with self._file.open("w") as file:
            while not ended.wait(self._every_s):
                with self._lock:
                    taken, self._taken = self._taken, defaultdict(list)
                    done = dict(self.done)
                sample = {"at_s": _now() - start, "done": done, "pace_ms": pace(), **held()}
                times = {"ms": _milliseconds(taken, 0), "cpu_ms": _milliseconds(taken, 1)}
                file.write(json.dumps({**sample, **times}) + "\n")
                file.flush()


def held() -> dict[str, Any]:
    """
    Return what this process holds: memory, descriptors, threads, and Python's allocated blocks.

    Apart from the rest what fills up to a bound: the pages of the cache's file; what SQLite keeps of its own,
    2 MB of each connection; and the descriptors of those, of which a pool makes one more when it has none.
    What is in use doesn't have what malloc keeps of what was freed, which resident memory has.
    """
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    in_sqlite = _sqlite_bytes()
    open_files = list(map(_target, os.listdir("/proc/self/fd")))
    connections = sum(map(_is_of_database, open_files))
    return {
        "used_bytes": _used_bytes() - in_sqlite,
        "sqlite_bytes": in_sqlite,
        "resident_bytes": resident * _PAGE - _cache_pages(),
        "descriptors": len(open_files) - 1 - connections,
        "connections": connections,
        "threads": threading.active_count(),
        "blocks": sys.getallocatedblocks(),
    }


class _Mallinfo(ctypes.Structure):
    """What glibc's mallinfo2 (2.33) returns, see mallinfo(3)."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _function(library: str | None, name: str, result: Any) -> Any:
    found = getattr(ctypes.CDLL(library), name)
    found.restype = result
    return found


# Loaded before there are threads: one that loads a library, with the GIL, waits for another that loads
# OpenUSD, which may wait for the GIL.
_mallinfo: Final = _function(None, "mallinfo2", _Mallinfo)
_sqlite_bytes: Final = _function(sqlite.__file__, "sqlite3_memory_used", ctypes.c_longlong)


def _used_bytes() -> int:
    """Return how much of malloc's memory is in use."""
    found = _mallinfo()
    return int(found.uordblks + found.hblkhd)


def _cache_pages() -> int:
    """Return how many bytes of the cache's file are in this process's memory."""
    found, is_cache = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            is_cache = line.endswith("data.mdb")
        elif is_cache and name == "Rss:":
            found += int(values[0]) * 1024
    return found


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:  # closed meanwhile
        return ""


def _is_of_database(file: str) -> bool:
    return ".sqlite" in file or file.startswith("socket:")


def pace() -> float:
    """
    Return the processor time, in ms, that a piece of work takes which is always the same.

    It takes more while something else is at work on the same core, as everything does.
    """
    start = time.thread_time()
    sum(range(_PACE))
    return 1000 * (time.thread_time() - start)


def _milliseconds(taken: dict[str, list[tuple[float, float]]], which: int) -> dict[str, float]:
    """Return the median of each operation's times, or of its processor times."""
    return {
        name: 1000 * sorted(each[which] for each in every)[len(every) // 2]
        for name, every in taken.items()
    }


class Loop:
    """Runs an application's operations until the time is over or one is wrong."""

    def __init__(self, application: Application, sampler: Sampler) -> None:
        self.application = application
        self.sampler = sampler
        self.wrong: list[str] = []
        self.ended = threading.Event()

    def run(self, seconds: float, rng: Random) -> None:
        """Do everything once, then what chance has, for *seconds*; what went wrong is in `wrong`."""
        threads = [
            threading.Thread(target=self.sampler.run, args=(self.ended,)),
            threading.Thread(
                target=self._repeat,
                args=(self.application.background(), Random(rng.random()), _PANEL_S),
            ),
        ]
        timer = threading.Timer(seconds, self.ended.set)
        for thread in (*threads, timer):
            thread.start()
        self._repeat(self.application.work(), rng, 0.0)
        timer.cancel()
        for thread in (*threads, timer):
            thread.join()

    def _repeat(self, work: dict[Callable[[], None], int], rng: Random, pause_s: float) -> None:
        # On a machine that is busy enough the time is over before chance has had everything.
        for call in work:
            self._once(call)
        while work and not self.ended.wait(pause_s):
            [call] = rng.choices(list(work), list(work.values()))
            self._once(call)

    def _once(self, call: Callable[[], None]) -> None:
        start, cpu = _now(), time.thread_time()
        try:
            call()
        except BaseException:  # noqa: BLE001  whatever it is, it is wrong
            self.wrong.append(traceback.format_exc())
            self.ended.set()
        self.sampler.took(call.__name__, _now() - start, time.thread_time() - cpu)


def main(
    *,
    root: str,
    folder: str,
    number: int,
    of: int,
    seconds: float,
    every_s: float,
    seed: int,
    plain: bool = False,
) -> dict[str, Any]:
    """
    Run application *number* of so many; return its samples, its counts, and what was wrong.

    Args:
        root: The shot's root layer.
        folder: Where the files go that are published; this application makes one of its own in it.
        number: From 0; each publishes props of its own.
        of: How many applications there are.
        seconds: How long.
        every_s: How often it looks at what it holds.
        seed: Where its chance begins.
        plain: Whether it is the one without Bifrost.
    """
    own, rng = Path(folder) / ("plain" if plain else f"artist_{number}"), Random(seed + number)
    own.mkdir()
    before = held()
    application: Any = (
        Plain(str(show.plain(own)), own, rng) if plain else Artist(root, own, rng, number, of)
    )
    file = own / "samples.jsonl"
    sampler = Sampler(file, every_s)
    loop = Loop(application, sampler)
    loop.run(seconds, rng)
    application.close()
    return {
        "samples": [json.loads(line) for line in file.read_text().splitlines()],
        "done": dict(sampler.done),
        "wrong": loop.wrong,
        "newest": {prop: application.newest[prop] for prop in application.mine},
        "before": before,
        "after_close": held(),
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.stdin.read()))), flush=True)
