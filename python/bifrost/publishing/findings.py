# SPDX-License-Identifier: Apache-2.0
"""What a validator says about a draft."""

from __future__ import annotations

from typing import Final, NamedTuple

ERROR: Final = "error"
WARNING: Final = "warning"


class Finding(NamedTuple):
    """
    One thing that is wrong with a draft.

    Attributes:
        validator: Who found it.
        severity: `error`, which stops the publish, or `warning`.
        code: A stable name of what it is.
        message: What is wrong, where, and what to do.
        where: A file, a prim path or a property; "" for the whole draft.
        asset_id: The draft's asset; the engine fills it in.
    """

    validator: str
    severity: str
    code: str
    message: str
    where: str = ""
    asset_id: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it stops the publish."""
        return self.severity == ERROR
