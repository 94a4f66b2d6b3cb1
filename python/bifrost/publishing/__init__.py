# SPDX-License-Identifier: Apache-2.0
"""
How a file becomes a version, stage by stage.

`Publisher` is the one way in. What it asks of others (reading a file, checking it, what happens behind
a publish) are plug-ins; see `bifrost.publishing.plugins`.
"""

from bifrost.publishing.drafts import ActionState, Draft, Publish, Written
from bifrost.publishing.findings import Finding
from bifrost.publishing.plugins import Published, Reading
from bifrost.publishing.publisher import Publisher

__all__ = [
    "ActionState",
    "Draft",
    "Finding",
    "Publish",
    "Published",
    "Publisher",
    "Reading",
    "Written",
]
