# SPDX-License-Identifier: Apache-2.0
"""
Send a shot to the farm as it is now, whatever is published while it waits.

    python examples/farm_submission.py

pins a room, submits it, and publishes a new chair while the job waits. The artist sees the new chair, the
render the old one. With pins a render node asks nobody: the one here has no catalogue, cache or manager.

In a shell:

    bifrost usd pin bifrost:///assets/room.usda -o room.pins.json
    BIFROST_PINS=room.pins.json RENDERER bifrost:///assets/room.usda
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bifrost import bifrost_host

SAMPLES = Path(__file__).resolve().parents[1] / "usd_samples" / "versions_and_statuses"
ROOM = "bifrost:///assets/room.usda"

# What stands for the renderer: any application that opens USD, and knows nothing of Bifrost.
RENDER = """
import sys
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
print("the chair is made of", *(prim.GetName() for prim in stage.GetPrimAtPath("/Room/Chair").GetChildren()))
"""


def submit(root: str, folder: Path) -> dict:
    """Freeze *root* and return the job: what to run, and all the environment that it needs."""
    pins = bifrost_host.pin_usd(root, folder / "room.pins.json")
    if pins.unresolved:
        missing = "\n".join(f"  {each.reference}: {each.problem}" for each in pins.unresolved)
        sys.exit(f"not submitted; this would be missing on every frame:\n{missing}")
    print(f"submitted: {len(pins.entities)} references, {len(pins.files)} other files")
    return {
        "command": [sys.executable, "-c", RENDER, root],
        "environment": plugin() | {"BIFROST_PINS": str(folder / "room.pins.json")},
    }


def render(job: dict) -> None:
    """Do what the farm does, hours later on another machine: run the job in its environment alone."""
    for problem in bifrost_host.verify_pins(job["environment"]["BIFROST_PINS"]):
        print(problem)
    run(job["command"], job["environment"] | {"BIFROST_HOME": "/nonexistent"})


def main(folder: Path) -> None:
    """Submit, publish, render."""
    bifrost("ingest", str(SAMPLES), "--rewrite", str(folder / "show"))
    job = submit(ROOM, folder)

    bifrost_host.register_version("bifrost:///assets/chair.usda", SAMPLES / "chair_2.usda")

    print("artist:", end=" ", flush=True)
    run([sys.executable, "-c", RENDER, ROOM], os.environ | plugin())
    print("farm:  ", end=" ", flush=True)
    render(job)


def plugin() -> dict[str, str]:
    """Return the variables that let USD find the plugin, as `eval "$(bifrost usd env)"` sets them."""
    return json.loads(bifrost("usd", "env", "--format", "json"))


def bifrost(*arguments: str) -> str:
    """Run the command `bifrost`; return what it prints."""
    command = [sys.executable, "-m", "bifrost.cli", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a process that prints for itself."""
    subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # a catalogue to try things in
        with contextlib.closing(bifrost_host.session):
            main(Path(home))
