# SPDX-License-Identifier: Apache-2.0
"""What a folder's files hold: their contents' digests, and what its layers name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pxr import Sdf, Tf

from bifrost.catalogue.store import digest_of
from bifrost.errors import AssetException
from bifrost.usd.arcs import AssetPathUse, Kind, uses
from bifrost.usd.clip_opinions import TemplateOpinion, template_opinions
from bifrost.usd.folder import UDIM, Folder, Target, Where, split_path

Progress = Callable[[str, int, int], None]
"""Called on the calling thread with what is being done, how many are done, and of how many."""

T = TypeVar("T")
R = TypeVar("R")

PACKAGE: Final = "usdz"
# What OpenUSD's parser calls its own rules, in hundreds of letters.
_GRAMMAR: Final = re.compile("parse error matching pxr.*", re.DOTALL)
_THREADS: Final = min(4, os.cpu_count() or 1)


class Link(NamedTuple):
    """
    One asset path of a layer.

    Attributes:
        path: As authored.
        kind: What it is for.
        target: What it leads to; for the template of value clips in the folder, the template again.
        frames: For such a template the names of its files, by the paths that USD derives from it.
    """

    path: str
    kind: Kind
    target: Target
    frames: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The files of the folder that it leads to, a UDIM pattern as itself."""
        if self.target.where is not Where.INSIDE:
            return ()
        return tuple(self.frames.values()) or (self.target.name,)


@dataclass(frozen=True, slots=True)
class Survey:
    """
    What there is to register.

    Attributes:
        folder: The folder.
        checksums: Each readable file's SHA-256, and one over its tiles for each UDIM pattern.
        links: What each layer names; files that can't be read as layers are absent.
        unreadable: (file, reason) of files that could not be read, or not as layers.
        templates: What layers say of clip templates; those that say nothing are absent.
    """

    folder: Folder
    checksums: dict[str, str]
    links: dict[str, list[Link]]
    unreadable: list[tuple[str, str]]
    templates: dict[str, list[TemplateOpinion]]


def survey(folder: Folder, progress: Progress) -> Survey:
    """Read every file of *folder* once."""
    checksums, unreadable = _hashed(folder, progress)
    extensions = set(Sdf.FileFormat.FindAllFileFormatExtensions())
    layers = [name for name in checksums if extension(name) in extensions]
    links: dict[str, list[Link]] = {}
    templates: dict[str, list[TemplateOpinion]] = {}
    for name in _counted("reading layers", layers, progress):
        try:
            links[name], opinions = _read(folder, name)
        except AssetException as error:
            unreadable.append((name, str(error.details.get("why", error.message))))
        except (Tf.ErrorException, UnicodeError) as error:
            unreadable.append((name, reason(error)))
        else:
            if opinions:
                templates[name] = opinions
    checksums.update(_patterns(folder, links, checksums))
    return Survey(folder, checksums, links, unreadable, templates)


def extension(name: str) -> str:
    """Return a file name's extension, in lower case and without the dot."""
    return os.path.splitext(name)[1][1:].lower()  # noqa: PTH122  asked thousands of times


def is_writable(name: str) -> bool:
    """Whether USD can write files of *name*'s format."""
    file_format = Sdf.FileFormat.FindByExtension(extension(name))
    return bool(file_format and file_format.SupportsWriting())


def digest_of_tiles(checksums: Iterable[tuple[str, str]]) -> str:
    """Return one digest for a set of files, from their names and digests."""
    return hashlib.sha256(repr(sorted(checksums)).encode()).hexdigest()


def reason(error: Exception) -> str:
    """Return in a line why USD could not do something."""
    # Tf says where in OpenUSD's own source it was raised, and then, in quotes, why.
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except UnicodeDecodeError as undecodable:  # it quotes bytes of the file
        error, lines = undecodable, []
    if isinstance(error, UnicodeDecodeError):
        return "it holds text that is no UTF-8"
    text = lines[0] if lines else type(error).__name__
    told = text.partition(" : '")[2].removesuffix("'") or text
    return _GRAMMAR.sub("it doesn't parse", told)


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, a few at a time."""
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, items)


def _hashed(folder: Folder, progress: Progress) -> tuple[dict[str, str], list[tuple[str, str]]]:
    checksums: dict[str, str] = {}
    unreadable: list[tuple[str, str]] = []
    results = in_threads(_digest_or_error, [file.path for file in folder.files.values()])
    for name in _counted("hashing files", list(folder.files), progress):
        result = next(results)
        if isinstance(result, OSError):
            unreadable.append((name, result.strerror or str(result)))
        else:
            checksums[name] = result
    return checksums, unreadable


def _digest_or_error(path: str) -> str | OSError:
    try:
        return digest_of(Path(path))
    except OSError as error:
        return error


def _read(folder: Folder, name: str) -> tuple[list[Link], list[TemplateOpinion]]:
    # What the layers of a package name is in the package.
    if extension(name) == PACKAGE:
        return [], []
    from bifrost.usd.file_checks import glance, no_usd  # needs this module

    glance(folder.files[name].path)
    # Anonymous: what is on the disk is read, not what some stage has unsaved edits of.
    layer = Sdf.Layer.OpenAsAnonymous(folder.files[name].path)
    if layer is None:
        raise no_usd(folder.files[name].path, "it is gone")
    found = sorted(set(uses(layer)))
    has_clips = any(use.kind is Kind.CLIP for use in found)
    links = [_link(folder, use, name) for use in found if use.path]
    return links, template_opinions(layer) if has_clips else []


def _link(folder: Folder, use: AssetPathUse, layer: str) -> Link:
    if not use.is_template:
        return Link(use.path, use.kind, folder.locate(use.path, layer), {})
    template, tail = split_path(use.path)
    frames = {path + tail: name for path, name in folder.frames(template, layer).items()}
    if frames:
        return Link(use.path, use.kind, Target(Where.INSIDE, use.path, tail), frames)
    target = folder.locate_frames(template, layer)
    return Link(use.path, use.kind, target._replace(tail=tail), frames)


def _patterns(
    folder: Folder, links: dict[str, list[Link]], checksums: dict[str, str]
) -> dict[str, str]:
    patterns = {
        name for found in links.values() for link in found for name in link.names if UDIM in name
    }
    tiles = {
        pattern: [(tile, checksums[tile]) for tile in folder.tiles(pattern) if tile in checksums]
        for pattern in sorted(patterns - folder.files.keys())
    }
    return {pattern: digest_of_tiles(found) for pattern, found in tiles.items() if found}


def _counted(step: str, names: list[str], progress: Progress) -> Iterator[str]:
    for done, name in enumerate(names):
        progress(step, done, len(names))
        yield name
    progress(step, len(names), len(names))
