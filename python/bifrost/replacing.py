# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

_FOR_EVERYBODY: Final = 0o644


def replace_file(
    path: Path, content: bytes, *, mode: int = _FOR_EVERYBODY, durable: bool = False
) -> None:
    """
    Put *content* in the place of the file at *path*, whose folder is there.

    Written beside it and moved over it: whoever reads it has all of it or what was there before.

    Args:
        path: The file; a link is replaced, not what it leads to.
        content: All of it.
        mode: The file's permissions.
        durable: Whether it is on the disk on return.

    Raises:
        OSError: it can't be written; nothing is left beside it.
    """
    handle, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(staged).chmod(mode)
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
