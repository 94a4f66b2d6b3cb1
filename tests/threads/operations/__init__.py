# SPDX-License-Identifier: Apache-2.0
"""Every public operation of the host, with what its answer must be, for threads to do at once."""

from . import asking, changing, staging
from .show import OPERATIONS, Part, kept, prepare

__all__ = ["OPERATIONS", "Part", "asking", "changing", "kept", "prepare", "staging"]
