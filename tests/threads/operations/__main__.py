# SPDX-License-Identifier: Apache-2.0
"""
`python -m operations FOLDER THREADS SEED`: threads do every operation, each in an order of its own.

Prints "ok", or what was wrong or did not end.
"""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path
from random import Random

from bifrost.host import bifrost_host
from bifrost.usd import stage

from . import OPERATIONS, Part, kept, prepare

LIMIT_S = 240.0


def main(folder: Path, threads: int, seed: int, only: str = "") -> None:
    """Run them all to their end."""
    stage.warm()
    prepare(bifrost_host, folder)
    wrong: list[str] = []
    at: dict[int, str] = {}

    def work(place: int) -> None:
        part = Part(bifrost_host, folder, f"{seed}_{place}")
        functions = sorted(set(OPERATIONS.values()), key=lambda each: each.__name__)
        functions = [each for each in functions if only in each.__name__]
        Random(f"{seed} {place}").shuffle(functions)
        # One thread of eight does all of them, the others a third: what publishes takes its time.
        for function in functions if place % 8 == 0 else functions[: len(functions) // 3]:
            at[place] = function.__name__
            try:
                function(part)
            except BaseException:  # noqa: BLE001  whatever it is, it is wrong
                wrong.append(traceback.format_exc())

    running = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(LIMIT_S)
    hung = [at.get(place) for place, thread in enumerate(running) if thread.is_alive()]
    print("\n".join(wrong) or (f"in {hung}" if hung else "ok"))
    sys.stdout.flush()
    assert kept


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
