# SPDX-License-Identifier: Apache-2.0
"""
Write docs/faults.md from docs/faults.json, which tests/faults/test_fault_matrix.py records: `make docs`.

What operations and faults are, and what the words mean, is in tests/faults/fault_matrix.py.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORD = HERE / "faults.json"
MATRIX = HERE.parent / "tests" / "faults" / "fault_matrix.py"

_HEAD = """\
<!-- Written by `make docs` from docs/faults.json, which tests/faults/test_fault_matrix.py records. -->
# When a server misbehaves

What comes of each operation while a server is slow, silent, dead or lying, as the tests find it on real
servers: through a proxy on the loopback interface that holds back, cuts and damages what passes, and by
signals. Each operation is tried in a fault of its own, by a process that knew some answers before. No
answer is wrong, nothing hangs, and stages open throughout with what can be served.

## How long it takes at most

- What asks a manager (resolving, batches, opening, refreshing): `manager.deadline_s` for a round trip,
  retries included. After `breaker.failures` in a row nobody asks for `breaker.cooldown_s`.
- What asks the catalogue alone (queries, relationships, publishing): `catalogue.statement_timeout_s` for a
  statement and 5 s more; 10 s to find that a connection is dead, and 10 s to connect.
- The shared cache: 0.1 s, once. Then it is left alone until it answers again.
- Invalidating: a second, while the catalogue says nothing.

See [settings.md](settings.md) for these, [batches.md](batches.md) for what happens inside, and
[caches.md](caches.md) for how long something is served stale.
"""


def page() -> str:
    """Return the page's text."""
    matrix = _matrix()
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    tables = [
        _table(server.title, server.faults, recorded[name], matrix.OPERATIONS)
        for name, server in matrix.MATRIX.items()
    ]
    return "\n".join([_HEAD, *tables, _words(matrix.OUTCOMES)])


def _matrix() -> Any:
    spec = importlib.util.spec_from_file_location("fault_matrix", MATRIX)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["fault_matrix"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _table(
    title: str,
    faults: Mapping[str, Any],
    recorded: Mapping[str, Mapping[str, str]],
    operations: Mapping[str, str],
) -> str:
    """Return a section: the faults, and a column for those of them that come to the same."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in faults:
        alike.setdefault(tuple(recorded[name][each] for each in operations), []).append(name)
    lines = [f"## {title}\n"]
    lines += [f"- **{name}**: {fault.about}" for name, fault in faults.items()]
    lines += ["", _row(["", *map(", ".join, alike.values())]), "|---" * (len(alike) + 1) + "|"]
    for place, about in enumerate(operations.values()):
        cells = [outcomes[place].replace(" | ", " or ") for outcomes in alike]
        lines.append(_row([about, *cells]))
    return "\n".join(lines) + "\n"


def _words(outcomes: Mapping[str, str]) -> str:
    lines = ["## The words\n", "| word | means |", "|---|---|"]
    lines += [_row([word, meaning]) for word, meaning in outcomes.items()]
    lines.append(
        _row(["a word in code", "An error with this code, in time: see [errors.md](errors.md)."])
    )
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    (HERE / "faults.md").write_text(page(), encoding="utf-8")
    print("docs/faults.md")
