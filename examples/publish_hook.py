# SPDX-License-Identifier: Apache-2.0
"""
Do something of your own behind every publish: here, put the new version on the list for dailies.

    python examples/publish_hook.py

publishes a chair twice. The first time the list can't be written: the version is there all the same, and
resuming the publish calls the hook again.

In a studio the hook is a function in a package, whose pyproject.toml says

    [project.entry-points."bifrost.post_publish"]
    dailies = "studio_tools.dailies:list_for_dailies"
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from bifrost import bifrost_host
from bifrost.publishing import Published

CHAIRS = Path(__file__).resolve().parents[1] / "usd_samples" / "versions_and_statuses"


def list_for_dailies(published: Published) -> None:
    """Bifrost calls this once the version is there; again, if it raised."""
    with open(os.environ["STUDIO_DAILIES"], "a", encoding="utf-8") as dailies:
        dailies.write(f"{published.asset_uri}: {published.draft.comment}\n")


def main(folder: Path) -> None:
    """Publish twice; show what became of the hook."""
    dailies = folder / "monday" / "dailies.txt"
    os.environ["STUDIO_DAILIES"] = str(dailies)

    chair = bifrost_host.register_asset(
        "model", "Chair", CHAIRS / "chair.usda", comment="first go", asset_id="chair"
    )
    [publish] = bifrost_host.publishes(stage="registered")  # all that is left to finish
    print(f"published {publish.results[0]}")
    print(f"dailies: {publish.actions['dailies'].error}")

    dailies.parent.mkdir()
    publish = bifrost_host.resume_publish(publish.id)
    print(f"resumed: {publish.stage}")

    bifrost_host.register_version(chair, CHAIRS / "chair_2.usda", comment="it has a back now")
    print(f"for dailies:\n{dailies.read_text()}", end="")


def install_hook(folder: Path) -> None:
    """
    Do what `pip install` of the package would: say where the hook is.

    Such a folder works by itself, too, where packages come by PYTHONPATH.
    """
    info = folder / "studio_tools-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[bifrost.post_publish]\ndailies = publish_hook:list_for_dailies\n"
    )
    sys.path.append(str(folder))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # a catalogue to try things in
        install_hook(Path(home))
        with contextlib.closing(bifrost_host.session):
            main(Path(home))
