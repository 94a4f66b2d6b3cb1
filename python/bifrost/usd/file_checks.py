# SPDX-License-Identifier: Apache-2.0
"""
Files looked at before OpenUSD gets to see them: it may wait for, hang in or die of some of them.

A FIFO is waited for without end, a device is read without end, text that nests deep enough ends the
process or takes minutes, and so may a damaged crate file.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Collection, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Final

from pxr import Sdf

from bifrost.errors import AssetException, Code, LayerException, LocationException
from bifrost.usd import trial
from bifrost.usd.survey import PACKAGE, extension

_TEXT: Final = (b"#usda", b"#sdf ")
_CRATE: Final = b"PXR-USDC"
_ZIP: Final = b"PK\x03\x04"
_SIGNATURES: Final = {
    "usda": _TEXT,
    "usdc": (_CRATE,),
    "usd": (*_TEXT, _CRATE),
    PACKAGE: (_ZIP,),
}
_LOOKS_LIKE: Final = {
    b"\xef\xbb\xbf": "a byte order mark stands before it, which USD doesn't skip",
    b"#usda": "it is a text layer, .usda or .usd",
    b"#sdf ": "it is a text layer, .usda or .usd",
    _CRATE: "it is a binary layer, .usdc or .usd",
    _ZIP: f"it is a package, .{PACKAGE}",
}
# Magic, version, offset of the table of contents, reserved: OpenUSD's usd/crateFile.h.
_CRATE_HEADER: Final = struct.Struct("<8s8sq64x")
_CRATE_SECTION: Final = struct.Struct("<16sqq")
_MOST_SECTIONS: Final = 64
# OpenUSD's text parser calls itself for each brace; some tens of thousands of them end the process. It
# reads parentheses again from each of them: 50,000 take a minute and more.
_MOST_BRACKETS: Final = 2_000
_OPENING: Final = (b"{", b"(")
_CLOSING: Final = {b"}": b"{", b")": b"("}
# What brackets don't count in, and the brackets themselves.
_TOKENS: Final = re.compile(
    rb"[{}()]"
    rb'|"""(?:[^"\\]|\\.|"(?!""))*"""'
    rb"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    rb'|"(?:[^"\\\n]|\\.)*"'
    rb"|'(?:[^'\\\n]|\\.)*'"
    rb"|@@@(?:[^@]|@(?!@@))*@@@|@[^@\n]*@|#[^\n]*",
    re.DOTALL,
)


def check(path: str | os.PathLike[str]) -> None:
    """
    Look at a file's first bytes, and for crate files at the table of contents, before USD does.

    OpenUSD may end the process over a damaged crate file: those are read by another one first.

    Raises:
        LocationException: there is no such file.
        LayerException: it can't be a file that USD reads; the message says why.
    """
    _checked(path, is_tried=True)


def glance(path: str | os.PathLike[str]) -> None:
    """
    As `check`, and read no crate file by another process: for the many layers under a root.

    Raises:
        LocationException: there is no such file.
        LayerException: it can't be a file that USD reads; the message says why.
    """
    _checked(path, is_tried=False)


def is_usd(path: str | os.PathLike[str]) -> bool:
    """Whether a file's extension is one that USD reads here."""
    name = os.fspath(path)
    return extension(name) in _SIGNATURES or extension(name) in _extensions()


def _extensions() -> Collection[str]:
    found: Collection[str] = Sdf.FileFormat.FindAllFileFormatExtensions()
    return found


def no_usd(path: str | os.PathLike[str], why: str) -> LayerException:
    """Return what to raise of a file that USD can't read."""
    return _no_usd(path, why)


def hangs(error: AssetException) -> bool:
    """Whether, by an error of this module, USD would never be done with the file, or die of it."""
    return bool(error.details.get("hangs"))


def why_not(error: AssetException) -> str:
    """Return why a file can't be read as USD, without its name, of an error of this module."""
    return str(error.details.get("why", error.message))


def _checked(path: str | os.PathLike[str], *, is_tried: bool) -> None:
    try:
        _check(os.fspath(path), is_tried=is_tried)
    except FileNotFoundError:
        raise LocationException(
            f"{_shown(path)}: there is no such file", code=Code.FILE_MISSING
        ) from None
    except _HangsError as error:
        raise _no_usd(path, str(error), hangs=True) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise no_usd(path, getattr(error, "strerror", None) or str(error)) from error


class _HangsError(ValueError):
    """USD would wait without end, or end the process."""


def _no_usd(path: str | os.PathLike[str], why: str, **details: Any) -> LayerException:
    return LayerException(
        f"{_shown(path)} can't be read as USD: {why}",
        code=Code.NOT_A_LAYER,
        details={"why": why, **details},
    )


def _check(path: str, *, is_tried: bool) -> None:
    # Not with `pathlib`: a closure of thousands of layers is made of little else.
    if not stat.S_ISREG(mode := os.stat(path).st_mode):  # noqa: PTH116
        kind = ValueError if stat.S_ISDIR(mode) else _HangsError
        raise kind("no regular file")
    if not is_usd(path):
        known = ", ".join(sorted(_extensions()))
        raise ValueError(f"USD reads no .{extension(path)} files here, only {known}")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        start = file.read(_CRATE_HEADER.size)
        _check_start(path, start)
        if start.startswith(_TEXT):
            _check_nesting(file)
    if start.startswith(_CRATE):
        _check_crate(Path(path), start)
    elif start.startswith(_ZIP) and not zipfile.is_zipfile(path):
        raise ValueError("the package is cut off")
    if is_tried and start.startswith((_CRATE, _ZIP)) and (trouble := trial.survives(path)):
        raise ValueError(trouble)


def _check_start(path: str, start: bytes) -> None:
    name = extension(path)
    if start.startswith(_SIGNATURES.get(name, (b"",))):
        return
    looks = (told for sign, told in _LOOKS_LIKE.items() if start.startswith(sign))
    hint = next(looks, "") if start else "it is empty"
    raise ValueError(f"it doesn't start as a .{name} file does{hint and ': '}{hint}")


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


def _check_nesting(file: FileIO) -> None:
    depths = dict.fromkeys(_OPENING, 0)
    file.seek(0)
    # Counted by the block: no honest one has so many brackets in 4 KB.
    while block := file.read(4096):
        for closing, opening in _CLOSING.items():
            opened = block.count(opening)
            if depths[opening] + opened > _MOST_BRACKETS:
                file.seek(0)
                _count_nesting(file.read())
                return
            depths[opening] += opened - block.count(closing)


def _count_nesting(text: bytes) -> None:
    """Count bracket by bracket, but for those in texts, asset paths and comments."""
    depths = dict.fromkeys(_OPENING, 0)
    for token in _brackets(text):
        if token in depths:
            depths[token] += 1
            if depths[token] > _MOST_BRACKETS:
                what = "prims or dictionaries" if token == b"{" else "parentheses"
                raise _HangsError(f"{what} more than {_MOST_BRACKETS} deep")
        else:
            depths[_CLOSING[token]] -= 1


def _brackets(text: bytes) -> Iterator[bytes]:
    for found in _TOKENS.finditer(text):
        if len(found[0]) == 1 and found[0] in b"{}()":
            yield found[0]


def _shown(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    text = text if len(text) <= 300 else text[:300] + "…"
    return text if text.isprintable() else repr(text)
