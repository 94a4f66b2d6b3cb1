# SPDX-License-Identifier: Apache-2.0
"""
What is looked at before a USD file is published. Each validator returns all that it finds.

| validator | errors | warnings |
|---|---|---|
| `usd_validity` | USD can't read it; errors of its own validators | theirs; unknown formats |
| `dangling_references` | leads nowhere, or out; an unknown asset | may not work elsewhere |
| `default_prim` | there is none, or not the one that is named | likewise, where nobody references the file |
| `naming` | a name that the pattern refuses, or that no path can hold | one that other tools stumble over |

None of them raises: what goes wrong in one is a finding too. Files that are no USD get those of
`naming` alone.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pxr import Usd, UsdShade, UsdValidation

from bifrost.errors import BifrostError
from bifrost.model.entity_reference import is_asset_reference, parse, without_format_args
from bifrost.publishing.drafts import Draft
from bifrost.publishing.findings import ERROR, WARNING, Finding
from bifrost.usd import naming as names
from bifrost.usd.arcs import Kind
from bifrost.usd.contents import (
    Contents,
    Known,
    Loose,
    Why,
    entity_references,
    files_beside,
)
from bifrost.usd.file_checks import is_usd
from bifrost.usd.folder import split_path
from bifrost.usd.naming import NAME, error, shown, warning
from bifrost.usd.opening import opened, plain, reason, root_layer
from bifrost.usd.survey import PACKAGE, extension

Validator = Callable[[Path, Draft, Known], Iterable[Finding]]
_Body = Callable[[Path, Draft, Known], Iterator[Finding]]

MOST_FINDINGS: Final = 500

# Types of assets that are put under others as sublayers: those nobody references.
SUBLAYERS: Final = frozenset(
    ("animation", "camera", "fx", "layer", "layout", "light", "lighting", "look", "override", "session")
)  # fmt: skip
_MATERIAL_TYPES: Final = frozenset(("Material", "NodeGraph", "Scope", "Shader", ""))

_SEVERITY: Final = {
    UsdValidation.ValidationErrorType.Error: ERROR,
    UsdValidation.ValidationErrorType.Warn: WARNING,
    UsdValidation.ValidationErrorType.Info: WARNING,
}
# Only for what is inside a package.
_PACKAGES: Final = "UsdzValidators"
# It writes to the standard error what `dangling_references` says, and takes templates for files.
_LEFT_OUT: Final = frozenset(("usdUtilsValidators:MissingReferenceValidator",))
# `default_prim` knows which files need none.
_SAID_ELSEWHERE: Final = frozenset(("MissingDefaultPrim",))
# USD has its own units and axis for files that name none: they open, and may come in at a wrong size.
_WISHED_FOR: Final = frozenset(("MissingMetersPerUnitMetadata", "MissingUpAxisMetadata"))
# Shaders of renderers that this machine doesn't have.
_OF_THIS_INSTALLATION: Final = frozenset(("MissingShaderIdInRegistry",))
# What is also said of prims whose other half is in a file that did not open.
_MAY_BE_ELSEWHERE: Final = frozenset(("InvalidResourcePath",))
_NOT_OPENED: Final = ("Could not open", "Could not load sublayer")
_NO_SUCH_FORMAT: Final = "Cannot determine file format"


def _total(body: _Body) -> Validator:
    """Make a validator of a generator: all findings at once, and no exception."""

    @functools.wraps(body)
    def validator(path: Path, draft: Draft, exists: Known) -> list[Finding]:
        found: dict[Finding, None] = {}
        try:
            for finding in body(Path(path), draft, exists):
                found[finding._replace(validator=body.__name__)] = None
                if len(found) >= MOST_FINDINGS:
                    more = f"there is more of it: these are the first {MOST_FINDINGS}"
                    found[Finding(body.__name__, WARNING, "more", more)] = None
                    break
        except BifrostError as error:
            found[Finding(body.__name__, ERROR, "unreadable", error.message)] = None
        except Exception as error:  # noqa: BLE001  USD's, of files that nobody has thought of
            text = f"it could not be looked at: {reason(error)}"
            found[Finding(body.__name__, ERROR, "failed", text)] = None
        return list(found)

    return validator


@_total
def usd_validity(path: Path, draft: Draft, exists: Known) -> Iterator[Finding]:
    """
    Run the validators of OpenUSD on a file's stage.

    References that did not open are `dangling_references`' business, and passed over; so is a default
    prim that isn't there. Unit and up axis are only wished for.
    """
    del draft, exists
    if not is_usd(path):
        return
    with opened(path) as stage:
        mild = set(_OF_THIS_INSTALLATION | _WISHED_FOR)
        mild |= _MAY_BE_ELSEWHERE if stage.GetCompositionErrors() else set()
        packaged = extension(path.name) == PACKAGE
        context = UsdValidation.ValidationContext(_usd_validators(packaged=packaged))
        for found in context.Validate(stage):
            yield from _found(found, mild)


@functools.cache
def _usd_validators(*, packaged: bool) -> list[Any]:
    registry = UsdValidation.ValidationRegistry()
    names = [
        metadata.name
        for metadata in registry.GetAllValidatorMetadata()
        if not metadata.isSuite
        and metadata.name not in _LEFT_OUT
        and (packaged or _PACKAGES not in metadata.GetKeywords())
    ]
    return list(registry.GetOrLoadValidatorsByName(sorted(names)))


def _found(error: Any, mild: set[str]) -> Iterator[Finding]:
    severity = _SEVERITY.get(error.GetType())
    if severity is None or error.GetName() in _SAID_ELSEWHERE:
        return
    code, message = str(error.GetIdentifier()), plain(error.GetMessage())
    where = next(filter(None, map(_site, error.GetSites())), "")
    if error.GetName() == "CompositionError":
        if _NO_SUCH_FORMAT in message:
            yield warning("unknown-format", f"{message} This OpenUSD can't read the format.", where)
            return
        if any(each in message for each in _NOT_OPENED) and " -- " not in message:
            return
    severity = WARNING if error.GetName() in mild else severity
    yield Finding("", severity, code, message, where)


def _site(site: Any) -> str:
    if not site.IsValid():
        return ""
    if site.IsProperty():
        return str(site.GetProperty().GetPath())
    if site.IsPrim():
        return str(site.GetPrim().GetPath())
    if site.IsValidSpecInLayer():
        spec = site.GetPrimSpec() or site.GetPropertySpec()
        return str(spec.path) if spec else ""
    layer = site.GetLayer()
    return os.path.basename(without_format_args(layer.identifier)) if layer else ""  # noqa: PTH119


@_total
def dangling_references(path: Path, draft: Draft, exists: Known) -> Iterator[Finding]:
    """
    Follow every asset path in a file and in what is published with it.

    Args:
        path: The file.
        draft: What is published; with `in_place` the file stays, and may name what is around it.
        exists: Asked once about all entity references.
    """
    if not is_usd(path):
        return
    contents = files_beside(path)
    for loose in contents.loose:
        yield from _loose(loose, contents, in_place=draft.in_place)
    for named in contents.open_ended:
        yield warning(
            "expression",
            f"{shown(named.path)} is a variable expression: what it leads to is up to the stage, "
            "and was not looked at",
            named.layer,
        )
    yield from _malformed(contents)
    yield from _unknown(contents, exists)


def _loose(loose: Loose, contents: Contents, *, in_place: bool) -> Iterator[Finding]:
    layer, path, kind, why, leads_to = loose
    there = os.path.exists(leads_to) or why is Why.SEARCHED  # noqa: PTH110
    what = f"the {kind} {shown(path)}"
    if why is Why.UNREADABLE:
        yield error("unreadable", f"{what} can't be read: {leads_to}", layer)
    elif why is Why.DIRECTORY:
        yield warning("directory", f"{what} leads to a folder, which is not published", layer)
    elif why is Why.SEARCHED:
        text = f"{what} is found on this machine's search path: start it with ./, or name an asset"
        yield warning("search-path", text, layer)
    elif why is Why.ABOVE and not in_place:
        text = (
            f"{what} leads out of the folder that is published: publish that file as an asset of its "
            f"own and name it by its entity reference, or move it below the folder of {contents.name}"
        )
        yield error("escapes", text, layer)
    elif why is Why.ABSOLUTE and there:
        text = f"{what} is of this machine: name an asset, or put the file beside {contents.name}"
        yield warning("absolute", text, layer)
    elif not there:
        text = f"{what} leads to nothing: put the file there, or take the path out"
        # What describes a file need not be there; what is composed or drawn must.
        said = warning if kind == Kind.METADATA else error
        yield said("missing", text, layer)


def _malformed(contents: Contents) -> Iterator[Finding]:
    for layer, path, kind in contents.references:
        reference = split_path(path)[0]
        if not is_asset_reference(reference):
            text = (
                f"the {kind} {shown(path)} is no reference of this catalogue: it was not looked up"
            )
            yield warning("foreign-reference", text, layer)
            continue
        try:
            parse(reference)
        except ValueError as problem:
            yield error("malformed-reference", f"the {kind} {shown(path)}: {problem}", layer)


def _unknown(contents: Contents, exists: Known) -> Iterator[Finding]:
    references = list(filter(_is_well_formed, entity_references(contents)))
    if not references:
        return
    known = dict(zip(references, exists(references), strict=True))
    for layer, path, kind in dict.fromkeys(contents.references):
        if not known.get(split_path(path)[0], True):
            text = (
                f"the {kind} {shown(path)} names what is not in the catalogue: publish it first, "
                "or correct the reference"
            )
            yield error("unknown-asset", text, layer)


def _is_well_formed(reference: str) -> bool:
    try:
        parse(reference)
    except ValueError:
        return False
    return True


@_total
def default_prim(path: Path, draft: Draft, exists: Known) -> Iterator[Finding]:
    """
    Make sure that a reference to the file without a prim path leads to something.

    A warning only where files of the asset's type are meant to be sublayers (`SUBLAYERS`), and for
    libraries of nothing but materials, whose prims are referenced by their paths.
    """
    del exists
    if not is_usd(path):
        return
    layer = root_layer(path)
    with opened(path) as stage:
        roots = stage.GetPseudoRoot().GetAllChildren()
        if layer.defaultPrim and stage.GetDefaultPrim():
            return
        needless = draft.asset_type.lower() in SUBLAYERS or _is_library(roots)
        said = warning if needless else error
        if not layer.defaultPrim:
            text = "it names no default prim, so that a reference to it composes nothing"
            yield said("no-default-prim", f"{text}: {_set_one(roots)}", path.name)
        else:
            text = f"its default prim {shown(layer.defaultPrim)} isn't there"
            yield said("default-prim-missing", f"{text}: {_set_one(roots)}", path.name)


def _is_library(roots: Sequence[Usd.Prim]) -> bool:
    prims = [prim for root in roots for prim in islice(Usd.PrimRange.AllPrims(root), 1_000)]
    return any(prim.IsA(UsdShade.Material) for prim in prims) and all(
        str(prim.GetTypeName()) in _MATERIAL_TYPES for prim in prims
    )


def _set_one(roots: Sequence[Usd.Prim]) -> str:
    names = [prim.GetName() for prim in roots if prim.IsDefined() and not prim.IsAbstract()]
    if not names:
        return "it has no prim that could be one"
    return f'set defaultPrim = "{names[0]}"' + (" or another root prim" if names[1:] else "")


def naming(
    path: Path, draft: Draft, exists: Known, *, pattern: re.Pattern[str] = NAME
) -> list[Finding]:
    """
    Look at the names of the asset, its file and its own prims.

    A studio's own rule is a plug-in of this name that calls this one with its *pattern*, which the
    whole asset name must match.
    """

    def body(path: Path, draft: Draft, exists: Known) -> Iterator[Finding]:
        del exists
        yield from names.of_asset(draft.name, pattern)
        if str(path) not in ("", "."):
            yield from names.of_file(path)
        if is_usd(path) and path.is_file():
            yield from names.of_prims(path)

    body.__name__ = naming.__name__
    return list(_total(body)(path, draft, exists))


ALL: Final[dict[str, Validator]] = {
    "usd_validity": usd_validity,
    "dangling_references": dangling_references,
    "default_prim": default_prim,
    "naming": naming,
}
"""The validators by name, in the order in which they run."""
