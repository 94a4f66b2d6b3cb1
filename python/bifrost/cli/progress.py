# SPDX-License-Identifier: Apache-2.0
"""A ready progress bar for calls that take `progress`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(description: str = "") -> Iterator[Callable[[int, int | None], None]]:
    """
    Show a bar on stderr while the block lasts; yield what to pass as `progress`.

    ```python
    with progress_bar("Resolving") as progress:
        paths = bifrost_host.resolve_asset_paths(uris, progress=progress)
    ```

    Where stderr is no terminal nothing is shown. The bar is rich's; it pulses where no total is known.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(description, total=None)

        def show(done: int, total: int | None) -> None:
            bars.update(task, completed=done, total=total)

        yield show
