# SPDX-License-Identifier: Apache-2.0
"""
What crashes, full disks and other programs leave behind: found, explained, and repaired.

Nothing here is needed for right answers: a version's row is written behind its files, and what no row
names is never read.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import indexing
from bifrost.catalogue.integrity import DANGLING, remove_dangling, validate_relationships
from bifrost.catalogue.publishes import ABORTED, POST_REGISTERED, REGISTERED
from bifrost.catalogue.publishes import get as publish_row
from bifrost.catalogue.records import file_of
from bifrost.catalogue.schema import (
    assets,
    publishes,
    representations,
    versions,
)
from bifrost.catalogue.store import ASIDE, STAGING, Store, digest_of
from bifrost.model.entity_reference import reference_for

# A staging folder of a publish that has not been recorded yet is only seconds old.
_YOUNG_S: Final = 3600.0
_ENDED: Final = (ABORTED, REGISTERED, POST_REGISTERED)
_SHOWN: Final = 5


class Problem(NamedTuple):
    """
    Something that is not as it should be.

    Attributes:
        kind: A stable name of what it is.
        what: The file or the reference.
        message: What happened, for a person.
        remedy: What to do; "" where repairing does it.
        repaired: Whether it was.
    """

    kind: str
    what: str
    message: str
    remedy: str = ""
    repaired: bool = False


def check(
    connection: sa.Connection,
    store: Store,
    *,
    repair: bool = False,
    content: bool = True,
    now_s: Callable[[], float] = time.time,
) -> Iterator[Problem]:
    """
    Yield every problem of the catalogue and its store, mending with *repair* what can be.

    Args:
        connection: Within a transaction that may write, where *repair* is asked for: no publish puts
            files in place meanwhile.
        store: Its files.
        repair: Whether to remove what nothing names and to make derived rows anew.
        content: Whether to read every file and compare its checksum.
        now_s: Tells the time, in seconds since the epoch.
    """
    waiting = _waiting(connection)
    yield from _staging(store, waiting, repair, now_s)
    yield from _aside(store, repair)
    yield from _folders(connection, store, waiting, repair, now_s)
    yield from _files(connection, store, content)
    yield from _index(connection, repair)
    yield from _relationships(connection, repair, now_s)


def _waiting(connection: sa.Connection) -> set[str]:
    """Return the staging folders that publishes on their way still need."""
    statement = sa.select(publishes.c.id).where(publishes.c.stage.not_in(_ENDED))
    return {
        data["folder"]
        for publish_id in connection.execute(statement).scalars().all()
        for data in publish_row(connection, publish_id).drafts
    }


def _staging(
    store: Store, waiting: set[str], repair: bool, now_s: Callable[[], float]
) -> Iterator[Problem]:
    for folder in _folders_in(store.root / STAGING):
        if str(folder) not in waiting and now_s() - _last_touched(folder) > _YOUNG_S:
            yield _leftover(
                "staging", folder, "files of a publish that never was recorded, or ended", repair
            )


def _last_touched(folder: Path) -> float:
    # A folder's own time stands still while a large file is copied into it.
    try:
        return max(each.lstat().st_mtime for each in [folder, *folder.rglob("*")])
    except FileNotFoundError:  # a publish ended meanwhile
        return float("inf")


def _aside(store: Store, repair: bool) -> Iterator[Problem]:
    for folder in _folders_in(store.root / ASIDE):
        yield _leftover(
            "aside", folder, "files of a publish that crashed before it was recorded", repair
        )


def _folders(
    connection: sa.Connection,
    store: Store,
    waiting: set[str],
    repair: bool,
    now_s: Callable[[], float],
) -> Iterator[Problem]:
    # The folders first: what is published meanwhile is then no orphan.
    folders = [each for each in _folders_in(store.root) if not each.name.startswith(".")]
    there = {folder: _folders_in(folder) for folder in folders}
    known: dict[str, set[str]] = {}
    for asset_id, number in connection.execute(_NUMBERS):
        folder = store.folder_of(asset_id, number)
        known.setdefault(folder.parent.name, set()).add(folder.name)
    for folder, versions_there in there.items():
        names = known.get(folder.name, set())
        for version in versions_there:
            if version.name not in names:
                yield _orphan(store, version, waiting, repair)
            else:
                yield from _unfinished(store, version, repair, now_s)
        if not names and not any(folder.iterdir()):
            yield _leftover("orphan", folder, "the folder of an asset that is not there", repair)


def _orphan(store: Store, folder: Path, waiting: set[str], repair: bool) -> Problem:
    origin = store.staged_from(folder)
    if origin is None or str(origin) not in waiting:
        return _leftover("orphan", folder, "files that no version has", repair)
    if repair:
        store.put_back(folder)
    return Problem(
        "orphan",
        str(folder),
        "files of a publish that crashed as it was registered; it can be resumed",
        "" if repair else "resume or abort the publish",
        repair,
    )


def _unfinished(
    store: Store, version: Path, repair: bool, now_s: Callable[[], float]
) -> Iterator[Problem]:
    # Young ones are those of a publish that goes on.
    for path in store.unfinished(version):
        if now_s() - _last_touched(path) > _YOUNG_S:
            yield _leftover("unfinished", path, "left by a publish that crashed at its end", repair)


def _files(connection: sa.Connection, store: Store, content: bool) -> Iterator[Problem]:
    for asset_id, number, *values in connection.execute(_FILES):
        location, templated, size, checksum, properties = values
        path = file_of(location)
        if path is None:
            continue
        what = reference_for(asset_id, number)
        if not templated:
            yield from _file(what, path, size, checksum, content)
        folder = store.folder_of(asset_id, number)
        folder = folder if path.is_relative_to(folder) else path.parent
        for beside in json.loads(properties).get("files", ()):
            at = folder / beside["name"]
            yield from _file(what, at, beside["size"], beside["checksum"], content)
    for asset_id, number, name, *values in connection.execute(_REPRESENTATIONS):
        location, size, checksum = values
        path = file_of(location)
        if path is not None:
            what = reference_for(asset_id, number, name)
            yield from _file(what, path, size, checksum, content)


def _file(what: str, path: Path, size: int, checksum: str, content: bool) -> Iterator[Problem]:
    kind, message = "wrong_content", f"{path} is not what was published"
    try:
        if path.stat().st_size == size and (not content or digest_of(path) == checksum):
            return
    except OSError as error:
        kind, message = "missing_file", f"{path} can't be read: {error.strerror}"
    yield Problem(kind, what, message, "restore it from a backup, or publish a new version")


def _index(connection: sa.Connection, repair: bool) -> Iterator[Problem]:
    wrong = [item.asset_id for item in indexing.outdated(connection, mend=repair)]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield Problem(
            "index",
            ", ".join(wrong[:_SHOWN]) + more,
            "assets that queries don't find by what they are",
            "" if repair else "bifrost catalogue check --repair",
            repair,
        )


def _relationships(
    connection: sa.Connection, repair: bool, now_s: Callable[[], float]
) -> Iterator[Problem]:
    breaks = list(validate_relationships(connection))
    if repair and any(broken.kind in DANGLING for broken in breaks):
        remove_dangling(connection, int(now_s() * 1_000_000))
    for broken in breaks:
        if not broken.is_warning:
            mended = repair and broken.kind in DANGLING
            yield Problem(
                f"relationship_{broken.kind}",
                broken.from_uri,
                broken.message,
                "" if mended else broken.remedy,
                mended,
            )


def _leftover(kind: str, path: Path, message: str, repair: bool) -> Problem:
    if repair and path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif repair:
        with contextlib.suppress(OSError):
            path.unlink()
    gone = repair and not path.exists()
    remedy = "" if gone else "bifrost catalogue check --repair removes it"
    return Problem(kind, str(path), message, remedy, gone)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError:
        return []


_NUMBERS: Final = sa.select(assets.c.id, versions.c.number).join_from(
    versions, assets, assets.c.key == versions.c.asset
)
_FILES: Final = (
    sa.select(
        assets.c.id,
        versions.c.number,
        versions.c.location,
        versions.c.templated,
        versions.c.size,
        versions.c.checksum,
        versions.c.properties,
    )
    .join_from(versions, assets, assets.c.key == versions.c.asset)
    .where(versions.c.location != "")
    .order_by(assets.c.id, versions.c.number)
)
_REPRESENTATIONS: Final = (
    sa.select(
        assets.c.id,
        representations.c.number,
        representations.c.name,
        representations.c.location,
        representations.c.size,
        representations.c.checksum,
    )
    .join_from(representations, assets, assets.c.key == representations.c.asset)
    .order_by(assets.c.id, representations.c.number)
)
