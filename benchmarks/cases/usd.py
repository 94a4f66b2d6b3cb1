# SPDX-License-Identifier: Apache-2.0
"""Layers, arcs, variants, pins, refreshing and publishing: what the cases beside this one measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench import Bench, Row, Subject
from cases import usd_arcs, usd_pins, usd_publish, usd_refresh, usd_variants

PARTS: Final[dict[str, Callable[[Bench, Subject], list[Row]]]] = {
    "pins": usd_pins.rows,
    "arcs": usd_arcs.rows,
    "variants": usd_variants.rows,
    "refresh": usd_refresh.rows,
    "publish": usd_publish.rows,
}
"""By the name that `run.py --only` takes; `usd` is all of them."""
