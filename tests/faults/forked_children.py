# SPDX-License-Identifier: Apache-2.0
"""Forked children that work and end, without coming back into pytest."""

import os
import signal
import traceback

LIMIT_S = 60


def forked(work):
    """Run *work* in a forked child, which is killed where it hangs; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(LIMIT_S)
        work()
        code = 0
    except BaseException:  # noqa: BLE001  the child must not come back into pytest
        traceback.print_exc()
    finally:
        os._exit(code)


def ended_well(child):
    """Wait for *child*; whether it did all its work."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0
