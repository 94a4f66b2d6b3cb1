# SPDX-License-Identifier: Apache-2.0
"""
Work in processes that are killed at a moment that nobody chose.

The processes are forked from one that has imported everything and opened nothing (Python's fork
server): a round costs milliseconds, and every one opens everything anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import wait

LIMIT_S = 60.0
_MEASURED_EACH = 10
# What the work uses, and pytest: each process imports the program that it was started from.
_IMPORTED = [
    "pytest",
    "psycopg",
    "alembic.command",
    "alembic.config",
    "openassetio.hostApi",
    "bifrost.catalogue.catalogue",
    "bifrost.catalogue.migrations",
    "bifrost.catalogue.postgresql",
    "bifrost.host",
    "bifrost.manager",
    "bifrost.publishing",
    "bifrost.session",
    "bifrost.tiers.lmdb",
    "bifrost.usd.ingest",
    "bifrost.usd.pins",
]


class Killer:
    """
    Runs work to its end, or kills it before.

    Work is a function of a module of its own, called with what it tells with, then with its
    arguments. What it has told is an acknowledgement: it must not be lost.

    Args:
        chance: When to kill: by its seed.
        variables: What the processes find in their environment.

    Attributes:
        kills: How many processes were to be killed.
        landed: How many of them died in the middle of their work.
    """

    def __init__(self, chance, **variables):
        self._chance = chance
        self._variables = variables
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(_IMPORTED)
        self._usual_s = {}
        self.kills = self.landed = 0

    def set_variables(self, **variables):
        """Set more variables of the processes that are still to come."""
        self._variables.update(variables)

    def run(self, work, *arguments):
        """Run *work* to its end, which must be a good one; return what it told."""
        process, told, taken_s = self._ended(work, arguments, LIMIT_S)
        assert process.exitcode == 0, (process.exitcode, told)
        self._usual_s[work] = taken_s
        return told

    def kill(self, work, *arguments):
        """
        Kill a process with *work* at some moment before it usually ends; return what it told.

        It has been `run` before. Where it was faster this time, and now and then when nobody kills it,
        it ends well, and what it took is usual from then on: how busy a machine is changes.
        """
        self.kills += 1
        moment_s = self._chance.uniform(0, self._usual_s[work])
        if self.kills % _MEASURED_EACH == 0:
            moment_s = LIMIT_S
        process, told, taken_s = self._ended(work, arguments, moment_s)
        if process.exitcode == -signal.SIGKILL:
            self.landed += 1
        else:
            assert process.exitcode == 0, (process.exitcode, told)
            self._usual_s[work] = taken_s
        return told

    def _ended(self, work, arguments, after_s):
        """Return the process, what it told, and how long it worked; kill it *after_s* seconds."""
        told, teller = self._server.Pipe(duplex=False)
        process = self._server.Process(
            target=_worked,
            args=({**os.environ, **self._variables}, teller, work, arguments),
        )
        process.start()
        teller.close()
        assert told.poll(LIMIT_S), f"{work.__name__} did not begin"
        assert told.recv() == "begun"
        began = time.monotonic()
        wait([process.sentinel], after_s)
        taken_s = time.monotonic() - began
        if process.is_alive():
            process.kill()
        process.join(LIMIT_S)
        return process, list(_received(told)), taken_s


def _received(told):
    with told:
        while told.poll(LIMIT_S):
            try:
                yield told.recv()
            except EOFError:
                return


def _worked(environment, teller, work, arguments):
    os.environ.clear()  # of whoever was the first to need the server
    os.environ.update(environment)
    teller.send("begun")
    work(teller.send, *arguments)
