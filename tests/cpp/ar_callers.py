# SPDX-License-Identifier: Apache-2.0
"""
A Python process that calls ArResolver from many threads: `ar_callers.py LIBRARY WORLD THREADS STEPS SEED`.

A third of the threads call through Python's bindings; the others call the library `ar_calling`
(resolver/tests/ar_calls.cpp), half of them with the GIL held, half without it. Prints "ok" or what
was wrong. `ar_callers.py --names` prints which methods of `Ar.Resolver` it calls.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from collections.abc import Callable
from random import Random
from typing import Final

CLOCK_GRAIN_S: Final = 1e-3
LIMIT_S: Final = 100.0


class Caller:
    """One thread's calls through the bindings; each raises AssertionError where an answer is wrong."""

    def __init__(self, known: list[tuple[str, str, str]], roots: list[str], name: str) -> None:
        from pxr import Ar

        self.ar = Ar
        self.resolver = Ar.GetResolver()
        self.known = known
        self.roots = roots
        self.name = name
        self.rng = Random(name)
        self.made = 0

    def step(self) -> None:
        """Make one call by chance."""
        CALLS[self.rng.choice(sorted(CALLS))](self)

    def new(self) -> str:
        """Return a reference that nobody else names."""
        self.made += 1
        return f"bifrost:///assets/python_{self.name}_{self.made}.usda"

    def bound(self, context: str):
        """Return what binds the context of a string, and the context."""
        made = self.resolver.CreateContextFromString("bifrost", context)
        return self.ar.ResolverContextBinder(made), made

    def one(self) -> tuple[str, str, str]:
        """Return a context, a reference, and the file that this is there."""
        return self.rng.choice(self.known)

    def check(self, reference: str, file: str) -> None:
        """Resolve, and compare."""
        found = str(self.resolver.Resolve(reference))
        assert file == found, f"{reference}: expected {file}, got {found}"

    def resolve(self) -> None:
        context, reference, file = self.one()
        binder, _ = self.bound(context)
        with binder, self.ar.ResolverScopedCache():
            self.check(reference, file)
            self.check("bifrost:///assets/nothing.usda", "")

    def create_identifier(self) -> None:
        _, reference, file = self.one()
        anchor = self.ar.ResolvedPath(file)
        assert reference == self.resolver.CreateIdentifier(reference, anchor)

    def create_identifier_for_new_asset(self) -> None:
        new = self.new()
        assert new == self.resolver.CreateIdentifierForNewAsset(new)

    def resolve_for_new_asset(self) -> None:
        new = self.new()
        assert new == str(self.resolver.ResolveForNewAsset(new))

    def default_context(self) -> None:
        for context in (
            self.resolver.CreateDefaultContext(),
            self.resolver.CreateDefaultContextForAsset(self.rng.choice(self.roots)),
        ):
            with self.ar.ResolverContextBinder(context):
                _, reference, file = self.known[0]
                self.check(reference, file)
                assert repr(context)

    def contexts_from_strings(self) -> None:
        context, reference, file = self.one()
        made = self.resolver.CreateContextFromStrings([("bifrost", context)])
        assert made == self.resolver.CreateContextFromString("bifrost", context)
        with self.ar.ResolverContextBinder(made):
            assert made == self.resolver.GetCurrentContext()
            self.check(reference, file)

    def refresh(self) -> None:
        context, reference, file = self.one()
        binder, made = self.bound(context)
        self.resolver.RefreshContext(made)
        with binder:
            self.check(reference, file)

    def questions(self) -> None:
        context, reference, file = self.one()
        binder, _ = self.bound(context)
        with binder:
            assert self.resolver.IsContextDependentPath(reference)
            assert "usda" == self.resolver.GetExtension(reference)
            path = self.resolver.Resolve(reference)
            version = self.resolver.GetAssetInfo(reference, path).version
            assert f"/v{version}/" in file
            moment = self.resolver.GetModificationTimestamp(reference, path).GetTime()
            assert abs(moment - os.stat(file).st_mtime) < CLOCK_GRAIN_S

    def open_asset(self) -> None:
        context, reference, file = self.one()
        binder, _ = self.bound(context)
        with binder:
            asset = self.resolver.OpenAsset(self.resolver.Resolve(reference))
            with asset, open(file, "rb") as expected:
                assert expected.read() == asset.GetBuffer()

    def can_write(self) -> None:
        assert self.resolver.CanWriteAssetToPath(self.ar.ResolvedPath(self.new()))


CALLS: Final[dict[str, Callable[[Caller], None]]] = {
    "Resolve": Caller.resolve,
    "CreateIdentifier": Caller.create_identifier,
    "CreateIdentifierForNewAsset": Caller.create_identifier_for_new_asset,
    "ResolveForNewAsset": Caller.resolve_for_new_asset,
    "CreateDefaultContext": Caller.default_context,
    "CreateDefaultContextForAsset": Caller.default_context,
    "CreateContextFromString": Caller.contexts_from_strings,
    "CreateContextFromStrings": Caller.contexts_from_strings,
    "GetCurrentContext": Caller.contexts_from_strings,
    "RefreshContext": Caller.refresh,
    "IsContextDependentPath": Caller.questions,
    "GetExtension": Caller.questions,
    "GetAssetInfo": Caller.questions,
    "GetModificationTimestamp": Caller.questions,
    "OpenAsset": Caller.open_asset,
    "CanWriteAssetToPath": Caller.can_write,
}


def read_world(path: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return what must come out of which reference in which context, and the root layers."""
    with open(path, encoding="utf-8") as lines:
        rows = [tuple(line.rstrip("\n").split("\t")) for line in lines]
    return [row for row in rows if row[0] != "root"], [row[2] for row in rows if row[0] == "root"]


def work_of(place: int, name: str, library: str, world: str, steps: int) -> Callable[[], None]:
    """Return what the thread at *place* does."""
    if place % 3 == 0:
        caller = Caller(*read_world(world), name)
        return lambda: [caller.step() for _ in range(steps)]
    make = (ctypes.CDLL if place % 3 == 1 else ctypes.PyDLL)(library).makeArCalls
    make.argtypes = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_int
    seed = Random(name).randrange(1 << 31)

    def work() -> None:
        for step in range(steps):  # one at a time: between them others get the GIL
            wrong = make(world.encode(), f"{name}_{step}".encode(), seed + step, 1)
            assert 0 == wrong, "stderr says what"

    return work


def main(library: str, world: str, threads: str, steps: str, seed: str) -> None:
    """Run all threads to their end, and say what was wrong."""
    from bifrost.usd import stage

    stage.warm()
    wrong: list[str] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:  # noqa: BLE001  whatever it is, it is wrong
            wrong.append(traceback.format_exc())

    running = [
        threading.Thread(
            target=guarded,
            args=(work_of(place, f"{seed}_{place}", library, world, int(steps)),),
            daemon=True,
        )
        for place in range(int(threads))
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(LIMIT_S)
    hung = sum(thread.is_alive() for thread in running)
    print("\n".join(wrong) or (f"{hung} hang" if hung else "ok"))


if __name__ == "__main__":
    if sys.argv[1:] == ["--names"]:
        print("\n".join(CALLS))
    else:
        main(*sys.argv[1:])
