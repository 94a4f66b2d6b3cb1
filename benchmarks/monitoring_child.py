# SPDX-License-Identifier: Apache-2.0
"""What counting, serving metrics and tracing cost, each in a process of its own that `child.py` starts."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from asking import PATIENCE_S, expect, new_host, turned
from library import reference
from neighbour import Neighbour, neighbour


def monitored(*, folder: str, size: int, pairs: int, block_s: float) -> dict[str, Any]:
    """
    Resolve what memory knows, with monitoring on and off in turns: processor time of one call.

    While it is on, the endpoint is scraped once in each block, by another process.
    """
    host = new_host()
    url = host.enable_monitoring("localhost:0")
    texts = [reference(index) for index in range(size)]
    host.resolve_asset_paths(texts)
    result: dict[str, Any] = {}
    with neighbour("scrape", url=url) as scraper:
        scraper.ask()
        before = time.process_time()
        result["bytes"] = scraper.ask()
        result["scrape_cpu_s"] = time.process_time() - before
        for name, call in _calls(host, texts).items():
            count = _count(call, block_s)
            blocks = {
                "on": lambda call=call, count=count: _monitored(host, scraper, call, count),
                "off": lambda call=call, count=count: _unmonitored(host, call, count),
            }
            result[name] = _pairs(blocks, pairs)
    return result


def _calls(host: Any, texts: list[str]) -> dict[str, Callable[[int], None]]:
    def one_at_a_time(count: int) -> None:
        resolve, size = host.resolve_asset_path, len(texts)
        for index in range(count):
            resolve(texts[index % size])

    def in_batches(count: int) -> None:
        resolve = host.resolve_asset_paths
        for _ in range(count):
            resolve(texts)

    return {"one": one_at_a_time, "batch": in_batches}


def _monitored(host: Any, scraper: Neighbour, call: Callable[[int], None], count: int) -> float:
    host.recorder.enabled = True
    start = time.process_time()
    scraper.send()
    call(count)
    scraper.heard()
    return (time.process_time() - start) / count


def _unmonitored(host: Any, call: Callable[[int], None], count: int) -> float:
    host.recorder.enabled = False
    start = time.process_time()
    call(count)
    return (time.process_time() - start) / count


def traced(*, folder: str, pairs: int, block_s: float) -> dict[str, Any]:
    """
    Send one reference that memory knows through `Observe` with tracing and without: processor time.

    OpenTelemetry's interface is imported and nothing is configured, as a library leaves it.
    """
    import opentelemetry.trace  # noqa: F401  tracing looks whether it is there

    from bifrost.context import effective
    from bifrost.model.request import Operation, Request
    from bifrost.monitoring import tracing
    from bifrost.pipeline.observe import Observe

    host = new_host()
    host.resolve_asset_path(reference(0))
    request = Request(Operation.LOCATE, (reference(0),), effective())
    inner, recorder = host.session.cache, host.recorder
    calls = {
        "on": _repeated(Observe(inner, recorder, tracing).handle, request),
        "off": _repeated(Observe(inner, recorder, None).handle, request),
    }
    count = _count(calls["off"], block_s)
    blocks = {name: lambda call=call: _per_call(call, count) for name, call in calls.items()}
    asked = _per_call(_repeated(lambda _: tracing.is_on(), request), count)
    whole = _per_call(_calls(host, [reference(0)])["one"], count)
    expect(not tracing.is_on(), "nobody collects spans")
    return {"observe": _pairs(blocks, pairs), "is_on_s": asked, "whole_s": whole}


def _repeated(call: Callable[[Any], object], argument: Any) -> Callable[[int], None]:
    def repeat(count: int) -> None:
        for _ in range(count):
            call(argument)

    return repeat


def _per_call(call: Callable[[int], None], count: int) -> float:
    start = time.process_time()
    call(count)
    return (time.process_time() - start) / count


def _count(call: Callable[[int], None], block_s: float) -> int:
    """Return how many calls take about *block_s*."""
    count = 1
    while True:
        took = _per_call(call, count) * count
        if took > block_s / 4:
            return max(1, round(count * block_s / took))
        count *= 4


def _pairs(blocks: Mapping[str, Callable[[], float]], pairs: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in blocks}
    for turn in range(pairs + 1):
        for name in turned(blocks, turn):
            gc.collect()
            found = blocks[name]()
            if turn:
                taken[name].append(found)
    return taken


def scrape(*, url: str) -> None:
    """Be a metrics server: ask for the metrics whenever a line says so. The neighbour of `monitored`."""
    from urllib.request import urlopen

    print("ready", flush=True)
    for _ in sys.stdin:
        with urlopen(url, timeout=PATIENCE_S) as answer:
            print(len(answer.read()), flush=True)
