# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate`: from what earlier releases had to what there is now."""

from __future__ import annotations

from typing import Final

import click

from bifrost.cli.main import LazyGroup

_MIGRATE: Final = {
    "assets": (
        "bifrost.cli.migrate_assets_command:assets",
        "Register what is in the storage tree of an earlier release, DIR/<asset id>/v<NNN>/….",
    ),
    "code": (
        "bifrost.cli.migrate_code_command:code",
        "Rewrite the uses of the old API that can be rewritten without changing what the code does.",
    ),
    "scan": (
        "bifrost.cli.migrate_scan_command:scan",
        "List every use of the old API in Python code, and every path in USD files that the catalogue has.",
    ),
    "settings": (
        "bifrost.cli.migrate_settings_command:settings",
        "Write a settings file of an earlier release in the form of today.",
    ),
    "stage": (
        "bifrost.cli.migrate_stage_command:stage",
        "Turn paths in USD files into entity references, where they compose to the same.",
    ),
}


@click.group(cls=LazyGroup, lazy=_MIGRATE)
def migrate() -> None:
    """Move settings, code, assets and stages off earlier releases."""
