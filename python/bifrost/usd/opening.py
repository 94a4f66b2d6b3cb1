# SPDX-License-Identifier: Apache-2.0
"""
A file opened as a stage for a look at it, without a trace in the process that looks.

The root layer is read from the disk, beside any layer of the same file that the process has open
and perhaps edited; no stage cache of the caller's gets to see the stage. Layers that it names are
shared as everywhere in USD.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pxr import Pcp, Sdf, Tf, Usd

from bifrost.errors import Code, ConfigurationError, InvalidTraitsException, LocationException
from bifrost.usd import stage as plugin
from bifrost.usd import survey, trial
from bifrost.usd.survey import PACKAGE, extension

# File format arguments are part of a layer's identity, and no format knows this one: the same file
# becomes a layer of our own, anchored where the file is. An anonymous layer would be anchored nowhere.
# Each look has another number, or a second one would see the first one's layer of a file that changed.
_OURS: Final = "bifrost-look"
_OUR_ARGUMENTS: Final = re.compile(f":SDF_FORMAT_ARGS:{_OURS}=[0-9]+")
_looks: Final = itertools.count(1)

_TEXT: Final = (b"#usda", b"#sdf ")
_CRATE: Final = b"PXR-USDC"
_ZIP: Final = b"PK\x03\x04"
_SIGNATURES: Final = {
    "usda": _TEXT,
    "usdc": (_CRATE,),
    "usd": (*_TEXT, _CRATE),
    PACKAGE: (_ZIP,),
}
# Magic, version, offset of the table of contents, reserved: OpenUSD's usd/crateFile.h.
_CRATE_HEADER: Final = struct.Struct("<8s8sq64x")
_CRATE_SECTION: Final = struct.Struct("<16sqq")
_MOST_SECTIONS: Final = 64
# OpenUSD's text parser calls itself for each brace; some tens of thousands of them end the process.
_MOST_BRACES: Final = 2_000


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Usd.Stage]:
    """
    Open the stage of a file with all its payloads; it is gone when the caller lets go of it.

    Entity references in it resolve as everywhere in this process, where the plugin is installed.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: it is no file that USD can read; the message says why. Also for what
            USD raises in the body of the `with`.
    """
    layer = root_layer(path)
    try:
        with Usd.StageCacheContext(Usd.BlockStageCaches):
            stage = Usd.Stage.Open(layer, Usd.Stage.LoadAll)
    except Tf.ErrorException as error:
        raise no_usd(path, reason(error)) from error
    try:
        yield stage
    except (Tf.ErrorException, UnicodeDecodeError) as error:  # damage that shows up late
        raise no_usd(path, reason(error)) from error


def root_layer(path: str | os.PathLike[str]) -> Sdf.Layer:
    """
    Return a file's own layer as it is on the disk, apart from what the process has of it.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: it is no file that USD can read; the message says why.
    """
    check(path)
    with contextlib.suppress(ConfigurationError):
        plugin.register_plugin()
    # Not `Path.resolve`: USD leaves links alone.
    return _read(os.path.abspath(path), path, {_OURS: str(next(_looks))})  # noqa: PTH100


def shared_layer(path: str) -> Sdf.Layer:
    """
    Return the layer of the file *path*, as this process has it.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: it is no file that USD can read; the message says why.
    """
    check(path)
    return _read(path, path, {})


def _read(path: str, shown: str | os.PathLike[str], arguments: dict[str, str]) -> Sdf.Layer:
    try:
        layer = Sdf.Layer.FindOrOpen(path, arguments)
    except (Tf.ErrorException, UnicodeError) as error:
        raise no_usd(shown, reason(error)) from error
    if layer is None:
        raise no_usd(shown, "USD gives no reason")
    return layer


def check(path: str | os.PathLike[str]) -> None:
    """
    Look at a file's first bytes, and for crate files at the table of contents, before USD does.

    OpenUSD may end the process over a damaged crate file: those are read by another one first.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: it can't be a file that USD reads; the message says why.
    """
    try:
        _check(Path(path))
    except FileNotFoundError:
        raise LocationException(
            f"{_shown(path)}: there is no such file", code=Code.FILE_MISSING
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise no_usd(path, getattr(error, "strerror", None) or str(error)) from error


def reason(error: Exception) -> str:
    """Return in a line why USD could not do something, whatever bytes it quotes."""
    try:
        return plain(survey.reason(error))
    except UnicodeDecodeError:
        return "it holds text that is no UTF-8"


def is_usd(path: str | os.PathLike[str]) -> bool:
    """Whether a file's extension is one that USD reads here."""
    return extension(os.fspath(path)) in Sdf.FileFormat.FindAllFileFormatExtensions()


def composition_problems(stage: Usd.Stage) -> list[str]:
    """Return in a line each what did not compose, each once, in no process's own order."""
    return sorted({reason(error) for error in stage.GetCompositionErrors()})


def plain(text: str) -> str:
    """Return what USD says about a stage of `opened`, with its root's file as everybody knows it."""
    return _OUR_ARGUMENTS.sub("", text)


def unresolved(stage: Usd.Stage) -> list[str]:
    """Return the asset paths of sublayers, references and payloads that opened nothing, sorted."""
    kinds = Pcp.ErrorInvalidAssetPath | Pcp.ErrorInvalidSublayerPath
    found = {
        # The path is only in the text: these errors have no such attribute in Python.
        str(error).partition("@")[2].partition("@")[0] or str(error)
        for error in stage.GetCompositionErrors()
        if isinstance(error, kinds)
    }
    return sorted(found)


def _check(path: Path) -> None:
    if not path.stat() or not path.is_file():
        raise ValueError("no regular file")
    if not is_usd(path):
        known = ", ".join(sorted(Sdf.FileFormat.FindAllFileFormatExtensions()))
        raise ValueError(f"USD reads no .{extension(path.name)} files here, only {known}")
    signatures = _SIGNATURES.get(extension(path.name), (b"",))
    with path.open("rb") as file:
        start = file.read(_CRATE_HEADER.size)
    if not start.startswith(signatures):
        raise ValueError(f"it doesn't start as a .{extension(path.name)} file does")
    if start.startswith(_CRATE):
        _check_crate(path, start)
    elif start.startswith(_ZIP) and not zipfile.is_zipfile(path):
        raise ValueError("the package is cut off")
    if start.startswith((_CRATE, _ZIP)) and (trouble := trial.survives(path)):
        raise ValueError(trouble)
    if start.startswith(_TEXT):
        _check_nesting(path)


def _check_crate(path: Path, header: bytes) -> None:
    size = path.stat().st_size
    cut_off = ValueError("the crate file is cut off, or was not finished")
    if len(header) < _CRATE_HEADER.size:
        raise cut_off
    _, _, contents = _CRATE_HEADER.unpack(header)
    if not 0 < contents <= size - 8:
        raise cut_off
    with path.open("rb") as file:
        file.seek(contents)
        (count,) = struct.unpack("<q", file.read(8))
        if not 0 < count <= _MOST_SECTIONS:
            raise cut_off
        table = file.read(count * _CRATE_SECTION.size)
    if len(table) < count * _CRATE_SECTION.size:
        raise cut_off
    for _, start, length in _CRATE_SECTION.iter_unpack(table):
        if start < 0 or length < 0 or start + length > size:
            raise cut_off


def _check_nesting(path: Path) -> None:
    depth = 0
    with path.open("rb") as file:
        # Counted by the block: no honest one has so many braces in 4 KB.
        while block := file.read(4096):
            opening = block.count(b"{")
            if depth + opening > _MOST_BRACES:
                raise ValueError(f"prims or dictionaries more than {_MOST_BRACES} deep")
            depth += opening - block.count(b"}")


def no_usd(path: str | os.PathLike[str], why: str) -> InvalidTraitsException:
    """Return what to raise of a file that USD can't read."""
    return InvalidTraitsException(
        f"{_shown(path)} can't be read as USD: {why}", code=Code.INVALID_TRAITS
    )


def _shown(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    text = text if len(text) <= 300 else text[:300] + "…"
    return text if text.isprintable() else repr(text)
