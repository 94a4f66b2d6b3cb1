# SPDX-License-Identifier: Apache-2.0
"""
The query language: which assets, in which order, and what is told of them.

`docs/queries.md` is its reference. A document is read (`language`) into `conditions`, these are
compiled to SQLAlchemy Core (`compile`), and `planning` decides what finds the rows.
"""

from __future__ import annotations

from bifrost.catalogue.query.results import QueryPage
from bifrost.catalogue.query.running import query

__all__ = ["QueryPage", "query"]
