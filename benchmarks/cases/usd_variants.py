# SPDX-License-Identifier: Apache-2.0
"""The variants of one prim: nothing kept, beside opening the stage without payloads; and kept."""

from __future__ import annotations

from typing import Final

import measure
from bench import Bench, Reach, Row, Subject, bifrost, compared, milliseconds
from measure import ChildFailed, Estimate, Side

_STAGE: Final = "stage without payloads"
_ASKED: Final = "get_usd_variants"
_READ: Final = Reach(1.1)
_KEPT: Final = Reach(
    100, why="one resolve, one look at the file, one look-up; a busy machine doubles them"
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure both of the first prim that has variants; references are in LMDB, answers not."""
    own = subject.own
    reference = own.reference_of_root
    found = measure.run("find_variants", Side(_STAGE, {"reference": reference}, own.environment))
    measure.run("open_stage", bifrost("filling the cache", own))
    own.keep()
    asked = {"reference": reference, "prim": found["prim"]}
    sides = [
        Side(name, {**asked, "how": how}, own.environment, own.restore)
        for name, how in ((_STAGE, "stage"), (_ASKED, "variants"))
    ]
    samples = bench.take_turns("ask_variants", sides)
    own.restore()
    ours, stage = samples[_ASKED], samples[_STAGE]
    if not ours[0]["sets"]:
        raise ChildFailed(f"{found['prim']} has no variant sets")
    return [
        compared(
            f"get_usd_variants, nothing kept, to opening without payloads ({subject.name})",
            _READ,
            ours,
            stage,
            details={
                "the stage, ms": milliseconds(stage),
                "prim": found["prim"],
                "variant sets": ours[0]["sets"],
            },
        ),
        Row(
            f"get_usd_variants, kept ({subject.name})",
            _KEPT,
            Estimate.of(measure.values(ours, "warm_s")).scaled(1e6),
            "us",
        ),
    ]
