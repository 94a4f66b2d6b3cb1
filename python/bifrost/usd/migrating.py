# SPDX-License-Identifier: Apache-2.0
"""
Paths in USD files become entity references, and back, where the composition stays what it was.

A file is changed whole or not at all, and only after a copy of it has composed to the same: each new name
leads to the file that the old one led to, and the stages' canonical dumps are equal.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pxr import Sdf, Tf

from bifrost.catalogue import Catalogue, VersionRecord
from bifrost.catalogue.store import digest_of
from bifrost.errors import AssetException, BifrostError
from bifrost.model.entity_reference import reference_for
from bifrost.model.reply import Failure
from bifrost.session import Session, current
from bifrost.usd import stage as plugin
from bifrost.usd.arcs import AssetPathUse, Kind, asset_paths, is_expression
from bifrost.usd.dump import canonical_dump
from bifrost.usd.extraction import arcs_of
from bifrost.usd.file_checks import check, glance, why_not
from bifrost.usd.folder import UDIM, has_tiles, is_uri, split_path
from bifrost.usd.opening import opened, reason
from bifrost.usd.permissions import HOW
from bifrost.usd.rewriting import rewrite
from bifrost.usd.survey import PACKAGE, extension, is_writable
from bifrost.usd.text_rewriting import keep_text

_SEARCH_PATH: Final = "PXR_AR_DEFAULT_SEARCH_PATH"
_ARCS: Final = (Kind.SUBLAYER, Kind.REFERENCE, Kind.PAYLOAD)
_BATCH: Final = 500
_WRITABLE: Final = 0o222
_SHOWN: Final = 12


class Served(NamedTuple):
    """A path in a USD file that the catalogue could serve, and the reference to write instead."""

    file: str
    path: str
    reference: str


class Edit(NamedTuple):
    """One asset path, and what it becomes."""

    path: str
    new_path: str


class Left(NamedTuple):
    """One asset path that stays, and why."""

    path: str
    why: str


class Migration(NamedTuple):
    """
    What migrating one file comes to.

    Attributes:
        file: The file.
        edits: The paths that change; empty where the file is as it should be.
        left: The paths that stay, of those that the migration is about.
        is_written: Whether the file was written.
        problem: Why the file stays as it is although there are edits, or can't be read; or "".
    """

    file: str
    edits: tuple[Edit, ...] = ()
    left: tuple[Left, ...] = ()
    is_written: bool = False
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        edits = [edit._asdict() for edit in self.edits]
        left = [each._asdict() for each in self.left]
        return {**self._asdict(), "edits": edits, "left": left}


def served(
    files: Sequence[str | os.PathLike[str]], catalogue: Catalogue
) -> tuple[list[Served], list[tuple[str, str]]]:
    """
    Return every path in *files* that the catalogue could serve, and (file, reason) of what can't be read.

    Reads the layers and composes none of them. A few statements for each 500 files.
    """
    found: list[Served] = []
    troubles: list[tuple[str, str]] = []
    for start in range(0, len(files), _BATCH):
        paths: dict[str, dict[str, str]] = {}
        for file in [os.fspath(each) for each in files[start : start + _BATCH]]:
            try:
                glance(file)
                paths[file] = _files_named(file, asset_paths(_layer(file)))
            except AssetException as error:
                troubles.append((file, why_not(error)))
            except (Tf.ErrorException, UnicodeError) as error:
                troubles.append((file, reason(error)))
        named = [target for targets in paths.values() for target in targets.values()]
        references = _references(named, catalogue)
        found += (
            Served(file, path, references[target] + split_path(path)[1])
            for file, targets in paths.items()
            for path, target in sorted(targets.items())
            if target in references
        )
    return found, troubles


def migrate(
    file: str | os.PathLike[str],
    session: Session | None = None,
    *,
    to_paths: bool = False,
    pin: bool = False,
    write: bool = False,
) -> Migration:
    """
    Turn the paths in *file* into entity references, where the catalogue has what they lead to.

    A path to an asset's newest version becomes a reference that floats, one to an earlier version a
    reference to that. What goes wrong with the file is in the answer.

    Args:
        file: A layer, which USD must be able to write. What it names is left alone.
        session: Whom to ask; by default the process's own.
        to_paths: Back: entity references become the paths of what they resolve to today, relative ones
            below the file's own folder.
        pin: Let all references name a version.
        write: Replace the file; else nothing is written but a copy beside it, which goes again.

    Raises:
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
        CatalogueError: the catalogue can't be asked.
        UnsupportedOperationException: another manager answers, which can't say what lies at a path.
    """
    plugin.warm()  # before anything of USD is used
    name, asked = os.fspath(file), session or current()
    try:
        check(name)
        if extension(name) == PACKAGE or not is_writable(name):
            return Migration(name, problem=f"USD can't write .{extension(name)} files")
        digest = digest_of(Path(name))
        found = _to_paths(name, asked) if to_paths else _to_references(name, asked, pin)
        if not found.edits:
            return found
        return _carried_out(found, asked, digest, write=write)
    except AssetException as error:
        return Migration(name, problem=why_not(error))
    except (Tf.ErrorException, UnicodeError) as error:
        return Migration(name, problem=reason(error))
    except OSError as error:
        return Migration(name, problem=error.strerror or str(error))


def _layer(file: str) -> Sdf.Layer:
    # Anonymous: what is on the disk is read, not what some stage has unsaved edits of.
    return Sdf.Layer.OpenAsAnonymous(file)


# Paths


def _files_named(file: str, uses: Iterable[AssetPathUse]) -> dict[str, str]:
    """Return the absolute path of what each plain path of a layer leads to, if it leads to anything."""
    found: dict[str, str] = {}
    for use in uses:
        if use.is_template or is_expression(use.path) or is_uri(split_path(use.path)[0]):
            continue
        if target := _target(file, split_path(use.path)[0]):
            found[use.path] = target
    return found


def _target(file: str, base: str) -> str:
    # As ArDefaultResolver looks, and not `Path.resolve`: USD leaves links alone.
    folders = [os.path.dirname(os.path.abspath(file))]  # noqa: PTH100, PTH120
    if not base.startswith(("./", "../")):
        folders += filter(None, os.environ.get(_SEARCH_PATH, "").split(os.pathsep))
    for folder in folders if base else ():
        path = os.path.normpath(os.path.join(os.path.abspath(folder), base))  # noqa: PTH100, PTH118
        if os.path.isfile(path) or (UDIM in path and has_tiles(path)):  # noqa: PTH113
            return path
    return ""


def _references(paths: Iterable[str], catalogue: Catalogue, *, pin: bool = False) -> dict[str, str]:
    """Return the reference to what lies at each path, of those at which a version lies."""
    places = {
        path: [Path(name).as_uri() for name in (path, os.path.realpath(path))]
        for path in dict.fromkeys(paths)
    }
    owners = catalogue.located(
        list(dict.fromkeys(place for two in places.values() for place in two))
    )
    ids = list(dict.fromkeys(owners.values()))
    newest = dict(zip(ids, catalogue.resolve([(each, None) for each in ids]), strict=True))
    found: dict[str, str] = {}
    for location, asset_id in owners.items():
        last = newest[asset_id]
        if not isinstance(last, VersionRecord):
            continue
        if last.location == location:
            number = last.number if pin else None
        else:
            versions = catalogue.versions(asset_id)
            number = next((v.number for v in versions if v.location == location), None)
            if number is None:
                continue
        found[location] = reference_for(asset_id, number)
    # By its own name first, then by what a link leads to; several names may lead to one file.
    return {
        path: next(found[place] for place in two if place in found)
        for path, two in places.items()
        if any(place in found for place in two)
    }


# What is to change


def _to_references(file: str, session: Session, pin: bool) -> Migration:
    catalogue = session.own_catalogue("finding what lies at a path")
    layer = _layer(file)
    uses = asset_paths(layer)
    targets = _files_named(file, uses)
    own = os.path.abspath(file)  # noqa: PTH100
    references = _references([*targets.values(), own], catalogue, pin=pin)
    edits = {
        path: references[target] + split_path(path)[1]
        for path, target in targets.items()
        if target in references and target != own
    }
    again = _again(layer, edits)
    left = [*_left(uses, targets, edits), *(Left(path, _AGAIN) for path in again)]
    changed = (Edit(path, new) for path, new in sorted(edits.items()) if path not in again)
    found = Migration(file, tuple(changed), tuple(sorted(left)))
    if own in references and found.edits:
        why = f"it is published, as {references[own]}, and stays as it is. {HOW}"
        return found._replace(problem=why)
    return found


_AGAIN: Final = "by another path the same is in that list, too"


def _again(layer: Sdf.Layer, edits: Mapping[str, str]) -> set[str]:
    """
    Return the paths that one name would replace in one list, where Sdf takes nothing twice.

    All of them stay: by path and by reference, USD would compose one file as two.
    """
    lists: dict[tuple[Kind, str], dict[str, set[str]]] = {}
    for arc in arcs_of(layer):
        if arc.kind in _ARCS:
            becoming = lists.setdefault((arc.kind, arc.path), {})
            becoming.setdefault(edits.get(arc.target, arc.target), set()).add(arc.target)
    return {
        path
        for becoming in lists.values()
        for paths in becoming.values()
        if len(paths) > 1
        for path in paths
        if path in edits
    }


def _left(
    uses: Sequence[AssetPathUse], targets: Mapping[str, str], edits: Mapping[str, str]
) -> Iterator[Left]:
    for path in dict.fromkeys(use.path for use in uses):
        if path in edits or is_uri(split_path(path)[0]):
            continue
        if is_expression(path):
            yield Left(path, "a variable expression: its meaning is up to the stage")
        elif any(use.is_template for use in uses if use.path == path):
            yield Left(path, "a template of value clips, for many files")
        elif path in targets:
            yield Left(path, "no version of any asset lies there")
        else:
            yield Left(path, "it leads to nothing")


def _to_paths(file: str, session: Session) -> Migration:
    layer = _layer(file)
    uses = asset_paths(layer)
    named = dict.fromkeys(use.path for use in uses if is_uri(split_path(use.path)[0]))
    bases = list(dict.fromkeys(split_path(path)[0] for path in named))
    outcomes = dict(session.resolve(bases, fresh=True).items()) if bases else {}
    edits: dict[str, str] = {}
    left: list[Left] = []
    for path in named:
        base, tail = split_path(path)
        outcome = outcomes[base]
        if isinstance(outcome, Failure):
            left.append(Left(path, outcome.message))
        else:
            edits[path] = _shortest(file, outcome.path) + tail
    again = _again(layer, edits)
    left += (Left(path, _AGAIN) for path in again)
    changed = (Edit(path, new) for path, new in sorted(edits.items()) if path not in again)
    return Migration(file, tuple(changed), tuple(sorted(left)))


def _shortest(file: str, path: str) -> str:
    """Return *path* as a layer would name it: relative where it is below the layer's own folder."""
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120
    return f"./{os.path.relpath(path, folder)}" if path.startswith(folder + os.sep) else path


# Doing it


def _carried_out(found: Migration, session: Session, digest: str, *, write: bool) -> Migration:
    edits = {edit.path: edit.new_path for edit in found.edits}
    if wrong := _leads_elsewhere(found.file, edits, session):
        return found._replace(problem=wrong)
    # Beside it: relative paths mean the same there.
    real = Path(os.path.realpath(found.file))
    copy = real.with_name(f".{real.stem}.{secrets.token_hex(8)}{real.suffix}")
    try:
        left = rewrite(found.file, str(copy), edits)
        if left:
            return found._replace(
                problem=f"{left[0]}: a template whose frames can't be written out"
            )
        keep_text(found.file, str(copy), edits)
        if problem := _differs(found.file, copy):
            return found._replace(problem=problem)
        if not write or found.problem:
            return found
        _replace(copy, real, digest)
    finally:
        with contextlib.suppress(FileNotFoundError):
            copy.unlink()
    return found._replace(is_written=True)


def _leads_elsewhere(file: str, edits: Mapping[str, str], session: Session) -> str:
    """Return which new name leads to another file than the old one, or ""; variants count, too."""
    names = {name for edit in edits.items() for name in edit if is_uri(name)}
    bases = list(dict.fromkeys(split_path(name)[0] for name in names))
    outcomes = dict(session.resolve(bases, fresh=True).items())

    def led_to(path: str) -> str:
        base = split_path(path)[0]
        if not is_uri(base):
            return os.path.realpath(_target(file, base))
        outcome = outcomes[base]
        return "" if isinstance(outcome, Failure) else os.path.realpath(outcome.path)

    for path, new in edits.items():
        if not led_to(new) or led_to(path) != led_to(new):
            return f"@{new}@ does not lead to the file that @{path}@ leads to"
    return ""


def _differs(file: str, copy: Path) -> str:
    """Return how the stage of *copy* differs from that of *file*, or ""."""
    folder = os.path.dirname(os.path.realpath(file))  # noqa: PTH120
    dumps = []
    try:
        for each in (file, str(copy)):
            with opened(each) as stage:
                names = {os.path.realpath(each): "(root)"}
                dumps.append(canonical_dump(stage, folder, names))
    except BifrostError as error:
        return f"it can't be composed: {error.message}"
    if dumps[0] == dumps[1]:
        return ""
    before, after = (dump.splitlines() for dump in dumps)
    lines = list(difflib.unified_diff(before, after, "before", "after", n=0, lineterm=""))
    more = [f"… and {len(lines) - _SHOWN} lines more"] if len(lines) > _SHOWN else []
    return "\n".join(["it would compose to something else:", *lines[:_SHOWN], *more])


def _replace(copy: Path, real: Path, digest: str) -> None:
    mode = stat.S_IMODE(real.stat().st_mode)
    if not mode & _WRITABLE:  # which a file put in its place would pass over
        raise OSError("it is read-only")
    if digest_of(real) != digest:
        raise OSError("it changed meanwhile; run this again")
    copy.chmod(mode)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    copy.replace(real)
