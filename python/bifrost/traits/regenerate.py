# SPDX-License-Identifier: Apache-2.0
"""
Make `generated/` from `traits.yml`: `python -m bifrost.traits.regenerate`.

The result is committed, so that only who edits `traits.yml` needs openassetio-traitgen.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("traits.yml")
GENERATED: Final = Path(__file__).with_name("generated")
# The year is given because traitgen would write today's, and the files would drift every January.
_TEMPLATE_GLOBALS: Final = {
    "copyrightOwner": "Contributors to the Bifrost project",
    "copyrightDate": "2026",
    "spdxLicenseIdentifier": "Apache-2.0",
}


def regenerate(into: Path) -> None:
    """Replace the folder *into* by what traitgen makes of `traits.yml`."""
    import openassetio_traitgen

    with tempfile.TemporaryDirectory() as scratch:
        openassetio_traitgen.generate(
            description_path=str(SOURCE),
            output_directory=scratch,
            generator="python",
            creation_callback=lambda _path: None,
            logger=logging.getLogger(__name__),
            template_globals=_TEMPLATE_GLOBALS,
        )
        shutil.rmtree(into, ignore_errors=True)
        # The package is called "bifrost" in trait ids; its imports are relative, so it may move.
        shutil.copytree(Path(scratch) / "bifrost", into)


if __name__ == "__main__":
    regenerate(GENERATED)
    sys.stdout.write(f"{GENERATED}: made from {SOURCE.name}\n")
