# SPDX-License-Identifier: Apache-2.0
"""
What a studio's process does while a server misbehaves; `fault_matrix.py` says what may come of it.

A process of its own, told line by line which operation is next. It answers in a word what came of it,
having looked whether that is true: an answer that is wrong is called so.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from pxr import Usd

from bifrost import bifrost_host, errors
from bifrost.cli import main as command_line
from bifrost.context import effective
from bifrost.session import current
from bifrost.testing import managers
from bifrost.usd import refreshing
from bifrost.usd import stage as plugin

# What one question may take, where a caller can say so.
DEADLINE_S: Final = 1.5
PATIENCE_S: Final = 30.0
# Parts that doctor warns of on some machines, whatever the servers do.
_OF_THE_MACHINE: Final = {"settings", "user", "versions", "resolvers", "environment"}
_COLD: Final = ("cold.usda", "new_0.usda", "new_1.usda", "batch_0.usda", "batch_1.usda")
FRESH: Final = tuple(f"fresh_{number}.usda" for number in range(4))
CANARY: Final = "canary.usda"
NAMES: Final = (CANARY, *FRESH, "expired.usda", "forgotten.usda", "shown.usda", "hub.usda", *_COLD)
"""The assets there are. Those of `_COLD` nobody has asked for before its operation."""
ROOTS: Final = {
    "warm_root.usda": FRESH,
    "cold_root.usda": ("fresh_0.usda", "new_0.usda", "new_1.usda"),
    "shown_root.usda": ("fresh_0.usda", "shown.usda"),
}
"""Plain layers, and which assets each refers to."""


class Operations:
    """
    One process's operations.

    Args:
        prefix: What references begin with.
        folder: Where the roots are, and a file to publish.
        truth: The files that each asset's versions have.
    """

    def __init__(self, prefix: str, folder: Path, truth: dict[str, list[str]]) -> None:
        self._prefix = prefix
        self._folder = folder
        self._truth = truth
        self._published = ""

    def prepare(self) -> None:
        """Know what a process knows that has worked for a while."""
        plugin.warm()
        bifrost_host.initialize()
        current().resolve([self._uri(CANARY)], deadline_s=PATIENCE_S)
        ttl_s = current().settings.cache.ttl_s
        bifrost_host.configure_cache(ttl_seconds=0)
        bifrost_host.resolve_asset_path(self._uri("expired.usda"))
        bifrost_host.configure_cache(ttl_seconds=ttl_s)
        bifrost_host.resolve_asset_paths([self._uri(name) for name in (*FRESH, "forgotten.usda")])
        self._shown = self._opened("shown_root.usda")
        self._opened("warm_root.usda")

    def cached(self) -> str:
        """Resolve what a cache knows."""
        return self._resolved("fresh_0.usda")

    def expired(self) -> str:
        """Resolve what a cache knows, and doesn't believe any more."""
        return self._resolved("expired.usda")

    def cold(self) -> str:
        """Resolve what no cache knows."""
        return self._resolved("cold.usda")

    def batch(self) -> str:
        """Resolve several, of which a cache knows some."""
        names = ("fresh_0.usda", "batch_0.usda", "fresh_1.usda", "batch_1.usda")
        uris = [self._uri(name) for name in names]
        paths = bifrost_host.resolve_asset_paths(uris, on_error="return", deadline_s=DEADLINE_S)
        return self._whole_or_in_part(dict(zip(names, paths, strict=True)), "answered")

    def query(self) -> str:
        """Ask the catalogue a question."""
        page = bifrost_host.query_assets({"metadata.made_for": "queries"})
        return _right("answered", ["hub.usda"] == [row["id"] for row in page])

    def relationships(self) -> str:
        """Ask what leads away from an asset."""
        edges = bifrost_host.get_relationships_with_metadata(self._uri("hub.usda"))
        return _right("answered", {self._uri(name) for name in FRESH} == {e["to"] for e in edges})

    def publish(self) -> str:
        """Publish a new version."""
        uri = self._uri("hub.usda")
        self._published = bifrost_host.register_version(uri, self._folder / "published.usda")
        return _right("done", self._published == f"{uri}?version=2")

    def invalidate(self) -> str:
        """Have caches forget an asset."""
        uri = self._uri("forgotten.usda")
        bifrost_host.invalidate_cache(uri)
        return _right("done", not current().cache.peek([uri], effective(None).scope))

    def open_warm(self) -> str:
        """Open a stage that was opened before."""
        return self._seen(self._opened("warm_root.usda"), "warm_root.usda")

    def open_cold(self) -> str:
        """Open a stage for the first time, of whose layers a cache knows one."""
        return self._seen(self._opened("cold_root.usda"), "cold_root.usda")

    def refresh(self) -> str:
        """Refresh a stage, of which a layer has a new version."""
        moved = refreshing.refresh(self._shown)
        if not self._shown.GetPrimAtPath("/p0").GetAttribute("v"):
            return "refused"
        seen = self._seen(self._shown, "shown_root.usda")
        return seen if seen != "opened" else "refreshed" if moved else "as it was"

    def doctor(self) -> str:
        """Ask `bifrost doctor` what is wrong."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = command_line.run(["doctor", "--json"])
        findings = json.loads(said.getvalue())
        named = [each["part"] for each in findings if each["status"] == "fail"]
        warned = [each["part"] for each in findings if each["status"] == "warn"]
        told = [f"warns of {part}" for part in warned if part not in _OF_THE_MACHINE]
        failed = [f"fails {part}" for part in named]
        return _right(", ".join([*failed, *told]) or "well", status == bool(named))

    def recovered(self) -> str:
        """Wait until servers answer again; see it by an asset that nothing else asks for."""
        managers.release()
        managers.deliver_late()
        return _in_the_end(lambda: self._wrong([CANARY]))

    def afterwards(self) -> str:
        """Wait until everything is as it was before, and what was published is there."""
        names = [name for name in NAMES if name != "hub.usda"]
        return _in_the_end(lambda: self._wrong(names))

    def _wrong(self, names: Sequence[str]) -> str:
        """Ask the manager itself for *names* and what was published; say what is not as it should be."""
        asked = [self._uri(name) for name in names]
        if self._published:
            asked.append(self._published)
        reply = current().resolve(asked, fresh=True, deadline_s=PATIENCE_S)
        for failure in reply.failures().values():
            return failure.message
        for name, found in zip(names, reply.outcomes, strict=False):
            if str(found.path) not in self._truth[name]:
                return f"{name} is {found.path}"
        shared = current().stats()["tiers"]["tiers"].get("redis", {"state": "up"})
        return "" if shared["state"] == "up" else "the shared cache is not back"

    def _uri(self, name: str) -> str:
        return self._prefix + name

    def _resolved(self, name: str) -> str:
        found = bifrost_host.resolve_asset(self._uri(name), deadline_s=DEADLINE_S)
        word = "stale" if found.tier == "stale" else "answered"
        return _right(word, str(found.path) in self._truth[name])

    def _whole_or_in_part(self, found: dict[str, Any], word: str) -> str:
        """Return *word* where all of *found* is right, where some are failures that it was in part."""
        failed = {name for name, path in found.items() if isinstance(path, errors.AssetException)}
        is_right = all(
            str(path) in self._truth[name] for name, path in found.items() if name not in failed
        )
        known = failed.isdisjoint({*FRESH, "expired.usda"})
        return _right(f"{word} in part" if failed else word, is_right and known)

    def _opened(self, root: str) -> Usd.Stage:
        return Usd.Stage.Open(str(self._folder / root))

    def _seen(self, stage: Usd.Stage, root: str) -> str:
        """Return what there is of a stage's layers, having looked at what each says."""
        missing = errors.AssetException("not composed")
        found = {
            name: stage.GetPrimAtPath(f"/p{place}").GetAttribute("v").Get() or missing
            for place, name in enumerate(ROOTS[root])
        }
        return self._whole_or_in_part(found, "opened")


def _in_the_end(wrong: Callable[[], str]) -> str:
    """Return `as before` as soon as nothing is *wrong*, or what still is when patience ends."""
    until = time.monotonic() + PATIENCE_S
    while (found := wrong()) and time.monotonic() < until:
        time.sleep(0.02)
    return found or "as before"


def _right(word: str, is_right: bool) -> str:
    return word if is_right else f"WRONG, and called {word}"


def main() -> None:
    """Do what comes in, one operation a line, and say what came of it."""
    prefix, folder, truth = json.loads(sys.argv[1])
    operations = Operations(prefix, Path(folder), truth)
    for line in sys.stdin:
        print(json.dumps(_outcome(getattr(operations, line.strip()))), flush=True)
    current().close()


def _outcome(operation: Callable[[], str | None]) -> str:
    """Return what came of *operation* in a word: of an error of ours its code."""
    try:
        return operation() or "done"
    except errors.CatalogueError as error:
        return f"`{error.code}`, try again" if error.retryable else f"`{error.code}`"
    except errors.BifrostError as error:
        return f"`{error.code}`"
    except Exception as error:  # noqa: BLE001  what is no error of ours is what we are looking for
        return f"DEFECT, {type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
