# SPDX-License-Identifier: Apache-2.0
"""
What is promised of each operation during each fault, as data.

`test_fault_matrix.py` makes the faults and compares; docs/faults.md is made from what it found. Where a
cell has two words with a bar between them, chance decides which. Imports nothing of ours, so that
the pages can be made without servers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

OPERATIONS: Final = {
    "cached": "resolve what a cache knows",
    "expired": "resolve what a cache has known for longer than `cache.ttl_s`",
    "cold": "resolve what no cache knows",
    "batch": "a batch, half of it known",
    "query": "query",
    "relationships": "relationships",
    "publish": "publish",
    "invalidate": "invalidate",
    "open_warm": "open a stage that was opened before",
    "open_cold": "open a stage for the first time",
    "refresh": "refresh a stage of which something has a new version",
    "doctor": "`bifrost doctor`",
    "afterwards": "when it is over",
}
"""What a process does, in this order, each in a fault of its own; the last when no fault is left."""

OUTCOMES: Final = {
    "answered": "The right answer.",
    "stale": "The answer as it was last known; its `tier` says so.",
    "answered in part": "What caches know is answered. In each other place is its error.",
    "opened": "The stage is whole.",
    "opened in part": (
        "The stage opens with every layer that a cache knows. The others are missing, with a warning "
        "for each, as OpenUSD has it of whatever does not resolve."
    ),
    "refreshed": "The new version is shown.",
    "as it was": "The stage shows what it showed; nothing is taken away.",
    "refused": "Layers that the manager refuses now are gone from the stage.",
    "done": "And true afterwards.",
    "well": "`bifrost doctor` finds nothing wrong.",
    "fails": "`bifrost doctor` names the part, what is wrong with it, and what to do.",
    "warns": "Likewise, of something that everything works without.",
    "as before": "Everything answers again by itself; what was published is there.",
}
"""The words, by how they begin. A word in code is that of an error: [errors.md](errors.md)."""


class Fault(NamedTuple):
    """
    A row.

    Attributes:
        about: What goes wrong.
        expected: What is promised, by operation.
        is_short: Whether every run of the tests tries it, rather than the long one alone.
    """

    about: str
    expected: dict[str, str]
    is_short: bool = False


class Server(NamedTuple):
    """
    A table: faults of one server.

    Attributes:
        title: What it is.
        faults: Its rows, by name.
    """

    title: str
    faults: dict[str, Fault]


_WELL: Final = {
    "cached": "answered",
    "expired": "answered",
    "cold": "answered",
    "batch": "answered",
    "query": "answered",
    "relationships": "answered",
    "publish": "done",
    "invalidate": "done",
    "open_warm": "opened",
    "open_cold": "opened",
    "refresh": "refreshed",
    "doctor": "well",
    "afterwards": "as before",
}
_CATALOGUE_DOWN: Final = {
    **_WELL,
    "expired": "stale",
    "cold": "`unavailable`",
    "batch": "answered in part",
    "query": "`catalogue`, try again",
    "relationships": "`catalogue`, try again",
    "publish": "`catalogue`, try again",
    "open_cold": "opened in part",
    "refresh": "as it was",
    "doctor": "fails catalogue, fails manager",
}
_CATALOGUE_SILENT: Final = {**_CATALOGUE_DOWN, "cold": "`deadline`"}
_CUT: Final = {
    **_WELL,
    # A reply that was lost may be of a write that was made: only who asked can know.
    "query": "answered | `catalogue`, try again",
    "relationships": "answered | `catalogue`, try again",
    "publish": "done | `catalogue`, try again",
    "doctor": "well | fails catalogue",
}
_NO_SHARED_CACHE: Final = {**_WELL, "doctor": "warns of shared cache"}
_OTHER: Final = {
    **_WELL,
    "query": "`unsupported`",
    "relationships": "`unsupported`",
    "publish": "`unsupported`",
}
_OTHER_DOWN: Final = {
    **_OTHER,
    "expired": "stale",
    "cold": "`unavailable`",
    "batch": "answered in part",
    "open_cold": "opened in part",
    "refresh": "as it was",
    "doctor": "fails manager",
}
_OTHER_SILENT: Final = {**_OTHER_DOWN, "cold": "`deadline`"}
_LYING: Final = {**_OTHER_DOWN, "cold": "`misbehaved`"}

MATRIX: Final = {
    "postgresql": Server(
        "The catalogue on PostgreSQL",
        {
            "well": Fault("nothing goes wrong", _WELL),
            "slow": Fault("each reply takes 20 ms longer", _WELL),
            "too slow": Fault("each reply takes 30 s longer", _CATALOGUE_SILENT),
            "stalled": Fault("the network swallows everything", _CATALOGUE_SILENT),
            "paused": Fault("the server is stopped in its tracks (SIGSTOP)", _CATALOGUE_SILENT),
            "cut": Fault("connections break in the middle of a reply", _CUT),
            "restarted": Fault("the server has been restarted", _WELL),
            "killed": Fault("the server is dead (SIGKILL)", _CATALOGUE_DOWN),
            "refused": Fault(
                "every connection is closed at once", _CATALOGUE_DOWN, is_short=True
            ),
            "out of connections": Fault("others have all connections", _CATALOGUE_DOWN),
            "garbled": Fault(
                "a bit is flipped in every fifth byte of the replies",
                # A length that was damaged is waited for as a silent server is.
                {**_CATALOGUE_DOWN, "cold": "`unavailable` | `deadline`"},
            ),
        },
    ),
    "redis": Server(
        "The shared cache on Redis",
        {
            "well": Fault("nothing goes wrong", _WELL),
            "slow": Fault("each reply takes 20 ms longer", _WELL),
            "too slow": Fault("each reply takes 30 s longer", _NO_SHARED_CACHE),
            "stalled": Fault("the network swallows everything", _NO_SHARED_CACHE, is_short=True),
            "paused": Fault("the server is stopped in its tracks (SIGSTOP)", _NO_SHARED_CACHE),
            "cut": Fault(
                "connections break in the middle of a reply",
                {**_WELL, "doctor": "well | warns of shared cache"},
            ),
            "restarted": Fault("the server has been restarted, and is empty", _WELL),
            "killed": Fault("the server is dead (SIGKILL)", _NO_SHARED_CACHE),
            "refused": Fault("every connection is closed at once", _NO_SHARED_CACHE),
            "out of connections": Fault("others have all connections", _NO_SHARED_CACHE),
            "garbled": Fault(
                "a bit is flipped in every fifth byte of the replies", _NO_SHARED_CACHE
            ),
            "emptied": Fault("somebody removed everything (FLUSHALL)", _WELL),
        },
    ),
    "manager": Server(
        "Another manager behind OpenAssetIO",
        {
            "well": Fault("nothing goes wrong", _OTHER),
            "slow": Fault("each call takes 50 ms", _OTHER),
            "hanging": Fault("no call returns", _OTHER_SILENT),
            "throttling": Fault("it wants to be left alone for a while", _OTHER_DOWN),
            "down": Fault("it raises OpenAssetIO's exception", _OTHER_DOWN),
            "defective": Fault("it raises Python's `TypeError`", _LYING),
            "no callbacks": Fault("it returns, and has answered nothing", _LYING),
            "one callback too few": Fault(
                "the last reference of each call gets no answer",
                {**_LYING, "refresh": "refreshed"},
            ),
            "two callbacks": Fault("it answers everything twice", _OTHER),
            "contradicting callbacks": Fault("the second answer is an error", _OTHER),
            "late callbacks": Fault("it answers long after it has returned", _LYING),
            "a million callbacks": Fault("for references that nobody asked about", _OTHER_SILENT),
            "wrong types": Fault("it answers with a string where traits belong", _LYING),
            "nothing": Fault("it answers with None", _LYING),
            "index out of range": Fault(
                "its answers are for references beyond the last", _LYING, is_short=True
            ),
            "unknown error": Fault("an error code that there is none of", {
                **_LYING, "cold": "`unknown`"
            }),
            "refusing": Fault(
                "it says that one may not read this: an answer, and no fault",
                {
                    **_OTHER,
                    "expired": "`permission_denied`",
                    "cold": "`permission_denied`",
                    "batch": "answered in part",
                    "open_cold": "opened in part",
                    "refresh": "refused",
                },
            ),
        },
    ),
}  # fmt: skip


def holds(expected: str, outcome: str) -> bool:
    """Whether *outcome* is one of those that a cell allows."""
    return outcome in expected.split(" | ")
