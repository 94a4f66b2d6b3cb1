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
# OpenUSD's text parser calls itself for each bracket; some tens of thousands of braces end the process. It
# reads parentheses again from each of them: 50,000 take a minute and more.
_MOST_BRACKETS: Final = 2_000
_BRACKETS: Final = {b"{": b"}", b"(": b")", b"[": b"]"}
_DEEP: Final = {b"{": "prims or dictionaries", b"(": "parentheses", b"[": "square brackets"}
# Brackets; what they don't count in, whole where one look finds its end; and what opens the rest. No group
# is repeated possessively: Python before 3.11.5 takes that wrong (https://github.com/python/cpython/issues/106052).
_TOKENS: Final = re.compile(
    rb"""[{}()\[\]]|\"\"\"|'{3}|"[^"\\\n]*+"|'[^'\\\n]*+'|["']|@@@|@[^@\n]*+@"""
    rb"""|#[^\n]*+|//[^\n]*+|/\*"""
)
# By what opens it, what ends it, or would but for a backslash. A text of one line ends with the line: then
# what opened it is none.
_ENDS: Final = {
    b'"""': re.compile(rb'\\.|"""', re.DOTALL),
    b"'''": re.compile(rb"\\.|'''", re.DOTALL),
    b'"': re.compile(rb'\\[^\n]|["\n]'),
    b"'": re.compile(rb"\\[^\n]|['\n]"),
    b"@@@": re.compile(rb"\\@@@|@{3,5}+"),
    b"/*": re.compile(rb"\*/"),
}
# What such a thing may start with, and what may make one go on in the next line.
_MARKS: Final = (b'"', b"'", b"@", b"#", b"/")
_SPANNING: Final = (b'"""', b"'''", b"@@@", b"/*")


def _closed(opening: bytes, closing: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    start, end = re.escape(opening), re.escape(closing)
    within = rb"""[^%b%b"'@#/\n]++|/(?![/*])|"[^"\\\n]*+"|'[^'\\\n]*+'|@[^@\n]*+@""" % (start, end)
    # Apart: each starts with one certain byte, which is what a search is fast for.
    return re.compile(rb"\n[ \t]*+%b" % end), re.compile(rb"%b(?:%b)*%b" % (start, within, end))


# Where nothing spans lines, a bracket that a line starts with closes one. So does one behind its opening:
# both of them are in a text, or neither.
_CLOSED: Final = {each: _closed(each, closing) for each, closing in _BRACKETS.items()}


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
    file.seek(0)
    if not _is_shallow(file):
        file.seek(0)
        _count_nesting(file.read())


def _is_shallow(file: FileIO) -> bool:
    """
    Whether brackets nest no deeper than they may even if those in texts and comments do too.

    At the pace of reading. Only what surely closes one counts against it: nobody can hide depth.
    """
    depths = dict.fromkeys(_BRACKETS, 0)
    before, is_code = b"", True
    for block in _blocks(file):
        text = before[-2:] + block
        is_marked = any(mark in text for mark in _MARKS)
        if is_marked and any(mark in text for mark in _SPANNING):
            return False
        is_code = not is_marked and (is_code or block.startswith(b"\n"))
        for opening, closing in _BRACKETS.items():
            depths[opening] += block.count(opening)
            if depths[opening] > _MOST_BRACKETS:
                return False
            if is_code:
                closed = block.count(closing)
            else:
                closed = sum(len(each.findall(block)) for each in _CLOSED[opening])
            depths[opening] = max(0, depths[opening] - closed)
        before = block
    return True


def _blocks(file: FileIO) -> Iterator[bytes]:
    """Yield some KB at a time, the next from a line break on where there is one."""
    rest = b""
    while read := file.read(4096):  # no honest layer has so many brackets in it
        lines, line_break, rest = (rest + read).rpartition(b"\n")
        if lines:
            yield lines
            rest = line_break + rest
        else:
            yield line_break + rest
            rest = b""
    yield rest


def _count_nesting(text: bytes) -> None:
    """Count bracket by bracket, but for those in texts, asset paths and comments."""
    openings = {closing: opening for opening, closing in _BRACKETS.items()}
    depths = dict.fromkeys(_BRACKETS, 0)
    for token in _outermost(text):
        if token in depths:
            depths[token] += 1
            if depths[token] > _MOST_BRACKETS:
                raise _HangsError(f"{_DEEP[token]} more than {_MOST_BRACKETS} deep")
        elif token in openings:
            depths[openings[token]] = max(0, depths[openings[token]] - 1)


def _outermost(text: bytes) -> Iterator[bytes]:
    """Yield the tokens of *text* that stand in no other."""
    place = 0
    # Up to where it is known that nothing ends what opens so, lest each of many looks again.
    endless = dict.fromkeys(_ENDS, 0)
    while found := _TOKENS.search(text, place):
        token, place = found[0], found.end()
        if token not in _ENDS:
            yield token
        elif place > endless[token]:
            end = _end(text, place, _ENDS[token])
            if end is not None:
                place = end
            else:
                line_end = -1 if token in _SPANNING else text.find(b"\n", place)
                endless[token] = line_end if line_end >= 0 else len(text)


def _end(text: bytes, place: int, ends: re.Pattern[bytes]) -> int | None:
    for found in ends.finditer(text, place):
        if found[0] == b"\n":
            return None
        if not found[0].startswith(b"\\"):
            return found.end()
    return None


def _shown(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    text = text if len(text) <= 300 else text[:300] + "…"
    return text if text.isprintable() else repr(text)
