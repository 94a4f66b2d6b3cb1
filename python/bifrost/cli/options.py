# SPDX-License-Identifier: Apache-2.0
"""Options that many commands have, said once."""

from __future__ import annotations

from typing import Final

import click

AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Adds the argument `as_json`."""
