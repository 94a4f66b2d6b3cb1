# SPDX-License-Identifier: Apache-2.0
"""Asking on a thread of its own, so that usdview draws on meanwhile."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from bifrost.usd.usdview.qt import QtCore
from bifrost.usd.usdview.trouble import said

LIMIT_S: Final = 60.0
_LOOK_MS: Final = 20


def start(
    owner: Any,
    ask: Callable[[], Any],
    done: Callable[[Any], None],
    failed: Callable[[str], None],
    *,
    limit_s: float | None = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """
    Run *ask* on another thread; then, on this one, *done* with its answer or *failed* with what to say.

    *ask* touches neither Qt nor a stage. Neither of the others is called once *owner* is gone, or twice:
    an answer after the limit is dropped. The thread isn't waited for when the process ends.

    Args:
        owner: The `QObject` that waits.
        ask: What to run.
        done: Gets the answer.
        failed: Gets a sentence.
        limit_s: How long to wait, in seconds; None for as long as it takes.
        clock: Seconds that only grow.
    """
    answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(_answer, ask, answers), name="bifrost-usdview", daemon=True
    ).start()
    ends = None if limit_s is None else clock() + limit_s
    timer = QtCore.QTimer(owner)

    def look() -> None:
        is_late = ends is not None and clock() >= ends
        if answers.empty() and not is_late:
            return
        timer.stop()
        timer.deleteLater()
        if answers.empty():
            failed(f"No answer in {limit_s:g} seconds. The manager may be down: try again later.")
            return
        is_good, answer = answers.get()
        (done if is_good else failed)(answer)

    timer.timeout.connect(look)
    timer.start(_LOOK_MS)


def _answer(ask: Callable[[], Any], answers: SimpleQueue[tuple[bool, Any]]) -> None:
    try:
        answers.put((True, ask()))
    except BaseException as error:  # noqa: BLE001  whoever waits must hear of it
        answers.put((False, said(error)))
