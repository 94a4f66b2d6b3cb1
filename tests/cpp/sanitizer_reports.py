# SPDX-License-Identifier: Apache-2.0
"""
Reads what ThreadSanitizer says of a process of which only our plugin was built for it.

OpenUSD, TBB and Python were not: what they do to keep their threads apart it does not see, and so it
reports them. A report is ours where one of its two accesses was made by our code, in whatever function
of the C and C++ libraries.
"""

from __future__ import annotations

import re
from typing import Final

_REPORT: Final = re.compile(
    r"^WARNING: ThreadSanitizer: .*?(?=^={18}$|\Z)", re.MULTILINE | re.DOTALL
)
_FRAME: Final = re.compile(r"^ +#\d+ .*\(([^()\s]+?)\+0x[0-9a-f]+\)", re.MULTILINE)
# Of the accesses only: where a thread was made, and where memory came from, stands behind them.
_ACCESSES: Final = re.compile(
    r"^  (?:Previous |Atomic |\[)?(?:[Aa]tomic )?(?:[Rr]ead|[Ww]rite).*?(?=^\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
_RUNTIME: Final = ("libtsan", "libstdc++", "libgcc_s", "libc.so", "libm.so")
_OURS: Final = ("libbifrost.so", "ar_calls", "core_test")


def own_reports(text: str) -> list[str]:
    """Return the reports in *text* of which one access is ours, or which are about no access."""
    return [report for report in _REPORT.findall(text) if _is_ours(report)]


def _is_ours(report: str) -> bool:
    if not report.startswith("WARNING: ThreadSanitizer: data race"):
        return any(module.startswith(_OURS) for module in _FRAME.findall(report))
    accesses = _ACCESSES.findall(report)
    return not accesses or any(_who(access).startswith(_OURS) for access in accesses)


def _who(access: str) -> str:
    modules = _FRAME.findall(access)
    return next((module for module in modules if not module.startswith(_RUNTIME)), "")
