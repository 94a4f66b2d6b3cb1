# SPDX-License-Identifier: Apache-2.0
"""How fast one host hears what another invalidates, in two processes; `child.py` starts the first."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from typing import Any

from asking import PATIENCE_S, expect, new_host
from library import reference
from neighbour import neighbour


def invalidate(*, folder: str, home: str, events: int, pause_s: float) -> dict[str, Any]:
    """Invalidate *events* references, one after another; how long until another host forgot each."""
    host = new_host()
    host.resolve_asset_path(reference(0))  # connects
    rng = random.Random(events)
    sent: dict[str, int] = {}
    with neighbour("hear", home=home, events=events) as other:
        for index in range(1, events + 1):
            time.sleep(rng.uniform(0, 2 * pause_s))  # not in step with anything
            sent[reference(index)] = time.monotonic_ns()
            host.invalidate_cache(reference(index))
        heard = other.heard()
    host.session.close()
    missing = sent.keys() - heard.keys()
    expect(not missing, f"every event arrives; {len(missing)} of {events} did not")
    return {"seconds": [(heard[name] - at) / 1e9 for name, at in sent.items()]}


def hear(*, home: str, events: int) -> None:
    """Be another host: say when what was invalidated is forgotten here. The neighbour of `invalidate`."""
    os.environ["BIFROST_HOME"] = home
    host = new_host()
    host.resolve_asset_path(reference(0))
    heard: dict[str, int] = {}
    is_done = threading.Event()

    def note(names: Any, _sequence: int) -> None:
        now = time.monotonic_ns()
        for name in names or ():
            heard.setdefault(name.decode(), now)
        if len(heard) >= events:
            is_done.set()

    _following(host)
    host.session.tiers.listeners.append(note)
    print("ready", flush=True)
    is_done.wait(PATIENCE_S)
    print(json.dumps(heard), flush=True)
    host.session.close()


def _following(host: Any) -> None:
    """Wait until events are heard: the first one says that everything changed."""
    until = time.monotonic() + PATIENCE_S
    while not host.session.stats()["tiers"]["tiers"]["redis"]["following"]:
        expect(time.monotonic() < until, "Redis is followed")
        time.sleep(0.01)
