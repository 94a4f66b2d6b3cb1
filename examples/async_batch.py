# SPDX-License-Identifier: Apache-2.0
"""
Ask about many assets without holding up an event loop, as a window or a server has one.

    python examples/async_batch.py

registers sixty textures, asks for all of them and for two that don't exist, and counts meanwhile how
often the window could be redrawn.
"""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path

from bifrost import AssetException, bifrost_host


async def main(folder: Path) -> None:
    """Register, resolve, and redraw a window all the while."""
    window = Window()
    showing = asyncio.create_task(window.show())
    textures = await bifrost_host.aregister_assets(
        [
            {"asset_type": "texture", "asset_name": f"brick_{n}", "file_path": texture(folder, n)}
            for n in range(60)
        ]
    )
    print(f"registered {len(textures)}")

    asked = [*textures, "bifrost:///assets/brick_60", "bifrost:///assets/brik_7"]
    answers = await bifrost_host.aresolve_asset_paths(
        asked,
        on_error="return",  # an exception in the place of each answer that there is none of
        deadline_s=30,  # for each round trip
    )
    print(f"resolved {sum(isinstance(each, Path) for each in answers)} of {len(asked)}")
    for each in answers:
        if isinstance(each, AssetException):
            print(f"{each.asset_uri}: {each.code}")

    showing.cancel()
    print(f"the window was redrawn meanwhile: {window.redrawn > 1}")


class Window:
    """Stands in for whatever else the loop has to do."""

    def __init__(self) -> None:
        self.redrawn = 0

    async def show(self) -> None:
        """Redraw it for ever."""
        while True:
            self.redrawn += 1
            await asyncio.sleep(0.005)


def texture(folder: Path, number: int) -> Path:
    """Write a picture of one pixel; return its file."""
    path = folder / f"brick_{number}.ppm"
    path.write_text(f"P3 1 1 255 {number} 80 60\n")
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # a catalogue to try things in
        with contextlib.closing(bifrost_host.session):
            asyncio.run(main(Path(home)))
