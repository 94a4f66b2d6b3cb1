# SPDX-License-Identifier: Apache-2.0
"""A working copy of a published version: its files, writable, and the layers among them."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bifrost.catalogue import VersionRecord
from bifrost.catalogue.records import file_of
from bifrost.errors import Code, LocationException
from bifrost.model.entity_reference import reference_for
from bifrost.usd.arc_sources import saved
from bifrost.usd.contents import copies, files_beside
from bifrost.usd.file_checks import is_usd
from bifrost.usd.opening import shared_layer
from bifrost.usd.retargeting import Move
from bifrost.usd.survey import PACKAGE, extension


class Copy:
    """
    A copy of one version's files.

    Attributes:
        main: The version's own file.
        layers: The layers among the files, packages left out.
        originals: The paths of the files that were copied.
    """

    def __init__(self, main: Path, files: Mapping[str, str]) -> None:
        self.main = main
        self.originals = frozenset(files)
        self._origins = {copied: original for original, copied in files.items()}
        self.layers = [
            shared_layer(copied)
            for copied in files.values()
            if is_usd(copied) and extension(copied) != PACKAGE
        ]

    def as_published(self, move: Move) -> Move:
        """Return *move*, which is of this copy, as one of what was copied."""
        origin = self._origins.get(move.arc.layer, move.arc.layer)
        return move._replace(arc=move.arc._replace(layer=origin))

    def save(self) -> None:
        """Save what was edited."""
        for layer in self.layers:
            if layer.dirty:
                saved(layer)


@contextlib.contextmanager
def of(version: VersionRecord) -> Iterator[Copy]:
    """
    Copy the files of *version* into a folder that is gone afterwards.

    Raises:
        LocationException: it has no file, or it is not there.
        InvalidTraitsException: its file is a layer, and USD can't read it.
    """
    path = file_of(version.location)
    if path is None:
        uri = reference_for(version.asset_id, version.number)
        raise LocationException(f"{uri} has no file", asset_uri=uri, code=Code.NO_LOCATION)
    contents = files_beside(path)
    with tempfile.TemporaryDirectory() as folder:
        files = dict(copies(contents, folder))
        for original, copied in files.items():
            Path(copied).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, copied)
            Path(copied).chmod(stat.S_IRUSR | stat.S_IWUSR)
        yield Copy(Path(folder, contents.name), files)
