# SPDX-License-Identifier: Apache-2.0
"""
The Basic Asset Library, OpenAssetIO's example manager, over files of a test's own.

It needs the distribution openassetio-manager-bal. By default BAL itself sleeps 10 ms in each call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

IDENTIFIER: Final = "org.openassetio.examples.manager.bal"
PREFIX: Final = "bal:///"

_LOCATABLE: Final = "openassetio-mediacreation:content.LocatableContent"
_MANAGED: Final = "openassetio-mediacreation:managementPolicy.Managed"
_ACCESSES: Final = ("read", "write", "createRelated", "required", "managerDriven")


def install(directory: Path, files: Mapping[str, Path], *, latency_ms: int = 0) -> dict[str, str]:
    """
    Write a library in which `bal:///<name>` is the file of that name, and a config, into *directory*.

    Returns the variables that make it the manager. May be called again for another latency; each has
    a config of its own.
    """
    library = {
        "managementPolicy": {access: {"default": {_MANAGED: {}}} for access in _ACCESSES},
        "entities": {name: _entity(path) for name, path in files.items()},
    }
    (directory / "library.json").write_text(json.dumps(library), encoding="utf-8")
    config = directory / f"bal_{latency_ms}.toml"
    config.write_text(
        f'[manager]\nidentifier = "{IDENTIFIER}"\n\n[manager.settings]\n'
        'library_path = "${config_dir}/library.json"\n'
        f"simulated_query_latency_ms = {latency_ms}\n",
        encoding="utf-8",
    )
    return {"OPENASSETIO_DEFAULT_CONFIG": str(config)}


def _entity(path: Path) -> dict[str, object]:
    # BAL expands "$" in values; as_uri() escapes "<" and ">" of "<UDIM>".
    location = path.as_uri().replace("$", "$$")
    return {"versions": [{"traits": {_LOCATABLE: {"location": location}}}]}
