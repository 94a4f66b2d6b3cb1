# SPDX-License-Identifier: Apache-2.0
"""
The same files with entity references in place of paths: our own catalogue's, and BAL's.

Layers are copied and rewritten; textures and other resources stay where they are, for all sides.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bifrost.testing import bal as testing_bal

_LAYERS: Final = (".usd", ".usda", ".usdc")


@dataclass(frozen=True)
class Rewritten:
    """
    A rewritten copy, and how a process opens it.

    Attributes:
        root: The root layer, opened by its path.
        environment: What makes a process find the plugin, the manager and its data.
        home: The `BIFROST_HOME` of it.
        references: Every layer's, texture's and resource's entity reference.
    """

    root: Path
    environment: Mapping[str, str]
    home: Path
    references: tuple[str, ...]

    @property
    def reference_of_root(self) -> str:
        """The root's own reference: it has the root's file name, and no other layer has it."""
        found = [each for each in self.references if each.endswith(f"/{self.root.name}")]
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} references are named as the root {self.root.name}")
        return found[0]

    def forget(self) -> None:
        """Remove the persistent cache, so that the next process finds everything cold."""
        shutil.rmtree(self.home / "cache", ignore_errors=True)

    def elsewhere(self, name: str) -> Rewritten:
        """Return the same files and catalogue with caches of their own, in another home."""
        home = self.home.with_name(f"home_{name}")
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        (home / "data").symlink_to(self.home / "data")
        environment = {**self.environment, "BIFROST_HOME": str(home)}
        return replace(self, environment=environment, home=home)

    def keep(self) -> None:
        """Remember the home as it is now, catalogue and caches, for `restore`."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.home, self._kept)

    def restore(self) -> None:
        """Put the home back as `keep` found it, so that each run finds the same state."""
        # What was published meanwhile is read-only, folders are not.
        shutil.rmtree(self.home)
        shutil.copytree(self._kept, self.home)

    @property
    def _kept(self) -> Path:
        return self.home.with_name("home_kept")


def own_catalogue(
    source: Path, root: str, directory: Path, *, among: Path | None = None
) -> Rewritten:
    """
    Rewrite *source* into *directory* by `bifrost ingest --rewrite`, with its own catalogue.

    That is a copy of the one at *among*, if any; its other assets are not among the references.
    """
    from bifrost.catalogue import Catalogue
    from bifrost.usd.ingest import ingest

    _remove(directory)
    home = directory / "home"
    (home / "data").mkdir(parents=True)
    file = home / "data" / "catalogue.sqlite"
    if among is not None:
        shutil.copyfile(among, file)
    catalogue = Catalogue.open(f"sqlite:///{file}")
    try:
        ingest(source, catalogue, rewrite=directory / "files")
        references = () if among is not None else _catalogued(catalogue)
    finally:
        catalogue.close()
    environment = _plugin_environment(home, (), directory / "plugin")
    return Rewritten(directory / "files" / root, environment, home, references)


def bal_library(source: Path, root: str, directory: Path) -> Rewritten:
    """
    Rewrite *source* into *directory* with `bal:///` references, and write the library they are in.

    `with_latency` names the manager's configuration.
    """
    _remove(directory)
    files, home = directory / "files", directory / "home"
    home.mkdir(parents=True)
    shutil.copytree(source, files)
    entities = {path: _bal_name(path, source) for path in _entities(source)}
    for path in entities:
        if path.suffix in _LAYERS:
            _rewrite_layer(files / path.relative_to(source), path, entities)
    # Layers are the rewritten ones; everything else stays where the plain shot has it.
    locations = {
        name: (files / path.relative_to(source) if path.suffix in _LAYERS else path)
        for path, name in entities.items()
    }
    for latency_ms in LATENCIES_MS:
        testing_bal.install(directory, locations, latency_ms=latency_ms)
    environment = _plugin_environment(home, ("bal",), directory / "plugin")
    references = tuple(testing_bal.PREFIX + name for name in entities.values())
    return Rewritten(files / root, environment, home, references)


LATENCIES_MS: Final = (0, 10)


def with_latency(bal: Rewritten, latency_ms: int) -> dict[str, str]:
    """Return the environment in which each call into BAL takes *latency_ms* longer."""
    config = bal.home.parent / f"bal_{latency_ms}.toml"
    return {**bal.environment, "OPENASSETIO_DEFAULT_CONFIG": str(config)}


def _remove(directory: Path) -> None:
    # What ingest writes is read-only, folders are not.
    shutil.rmtree(directory, ignore_errors=True)


def _catalogued(catalogue: Any) -> tuple[str, ...]:
    from bifrost.model.entity_reference import reference_for

    found: list[str] = []
    while page := catalogue.assets(after=found[-1] if found else "", limit=1000):
        found += (asset.asset_id for asset in page)
    return tuple(reference_for(asset_id) for asset_id in found)


def _plugin_environment(home: Path, schemes: tuple[str, ...], output: Path) -> dict[str, str]:
    from bifrost.usd.env import variables

    environ = {**os.environ, "BIFROST_HOME": str(home), "PXR_PLUGINPATH_NAME": ""}
    # Not into the cache folder: cold sides remove it.
    found = variables(schemes, environ=environ, output=output)
    return {**found, "BIFROST_HOME": str(home)}


def _entities(source: Path) -> list[Path]:
    """Return every file, the tiles of a UDIM set as one pattern."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    return list(dict.fromkeys(_pattern(path) for path in files))


def _pattern(path: Path) -> Path:
    stem, dot, tile = path.stem.rpartition(".")
    is_tile = dot and len(tile) == 4 and tile.isdigit() and tile.startswith("1")
    return path.with_name(f"{stem}.<UDIM>{path.suffix}") if is_tile else path


def _bal_name(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix().replace("/", ".")


def _rewrite_layer(copy: Path, original: Path, entities: Mapping[Path, str]) -> None:
    from pxr import Sdf, UsdUtils

    # Written anew, not saved over: Save() appends to a crate file, which then is slower to read.
    layer = Sdf.Layer.CreateAnonymous()
    layer.TransferContent(Sdf.Layer.FindOrOpen(str(original)))
    UsdUtils.ModifyAssetPaths(layer, _renamer(original.parent, entities))
    file_format = {"format": "usda"} if original.read_bytes()[:5] == b"#usda" else {}
    copy.unlink()
    if not layer.Export(str(copy), args=file_format):
        raise RuntimeError(f"{copy}: can't be written")


def _renamer(folder: Path, entities: Mapping[Path, str]) -> Callable[[str], str]:
    def renamed(path: str) -> str:
        name = entities.get(Path(os.path.normpath(folder / path)))
        return path if name is None else testing_bal.PREFIX + name

    return renamed
