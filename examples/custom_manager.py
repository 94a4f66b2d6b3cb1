# SPDX-License-Identifier: Apache-2.0
"""
Put a manager of your own behind USD: stages name assets in its words, and no line of it knows of USD.

    python examples/custom_manager.py

opens examples/studio_manager/garden.usda through the manager in examples/studio_manager/plugin, as these
would in a shell:

    export OPENASSETIO_PLUGIN_PATH=examples/studio_manager/plugin
    export OPENASSETIO_DEFAULT_CONFIG=examples/studio_manager/manager.toml
    eval "$(bifrost usd env --scheme studio)"
    bifrost usd tree examples/studio_manager/garden.usda
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bifrost import AssetNotFoundException, bifrost_host

STUDIO = Path(__file__).resolve().parent / "studio_manager"


def main() -> None:
    """Ask the manager from Python, then let USD ask it."""
    chair = bifrost_host.resolve_asset("studio:///chair")
    print(f"{chair.name} {chair.version} of {chair.manager}: {Path(chair.path).name}")
    try:
        bifrost_host.resolve_asset_path("studio:///table")
    except AssetNotFoundException as error:
        print(error.message)

    # OpenUSD reads these variables when it is loaded: an application is started with them.
    environ = os.environ | json.loads(
        bifrost("usd", "env", "--scheme", "studio", "--format", "json")
    )
    print(bifrost("usd", "tree", str(STUDIO / "garden.usda"), env=environ), end="")


def bifrost(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Return what the command `bifrost` prints."""
    command = [sys.executable, "-m", "bifrost.cli", *arguments]
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # caches to try things in
        os.environ["OPENASSETIO_PLUGIN_PATH"] = str(STUDIO / "plugin")
        os.environ["OPENASSETIO_DEFAULT_CONFIG"] = str(STUDIO / "manager.toml")
        with contextlib.closing(bifrost_host.session):
            main()
