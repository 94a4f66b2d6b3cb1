# SPDX-License-Identifier: Apache-2.0
"""A show, and what each of its references is in which context: resolver/tests/ar_calls.cpp reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bifrost.testing.show import Show, layer

# A machine that is busy with other things is slow, and no answer is wrong for that.
PATIENCE: Final = {"BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "100", "BIFROST_MANAGER__DEADLINE_S": "100"}
_NAMES: Final = [f"leaf{number}.usda" for number in range(12)]


def write_world(folder: Path) -> Path:
    """Publish the show to the catalogue of `BIFROST_HOME`; return the file that says what is what."""
    show = Show(folder / "show")
    for name in _NAMES:
        show.publish(name, layer(value="1"))
    between = datetime.now(UTC).isoformat()
    references = [show.publish(name, layer(value="2")) for name in _NAMES]
    root = show.root("root.usda", *references)
    contexts = {"": 2, f"as_of={between}": 1, "user=ada": 2}
    rows = [
        (context, reference, str(show.path(name, version)))
        for context, version in contexts.items()
        for name, reference in zip(_NAMES, references, strict=True)
    ]
    file = folder / "world.tsv"
    file.write_text("".join("\t".join(row) + "\n" for row in [*rows, ("root", "", str(root))]))
    return file
