# SPDX-License-Identifier: Apache-2.0
"""What people name of variants: checked, or refused with the names that there are and the nearest."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Final, NoReturn

from pxr import Sdf, Usd

from bifrost.errors import Code, InvalidTraitsException
from bifrost.usd.variants import EVERYWHERE, VariantSet

# Names one by one in a message, at most; `details` has all.
_SHOWN: Final = 20
_MOST_SEARCHED: Final = 10_000


def parsed_path(prim_path: object, asset_uri: str) -> Sdf.Path:
    """
    Return *prim_path* as the absolute path of a prim that may exist.

    Raises:
        InvalidTraitsException: it is none; says what is wrong with it.
    """
    text = str(prim_path) if isinstance(prim_path, Sdf.Path) else prim_path
    if not isinstance(text, str):
        raise _invalid(asset_uri, f"a prim path is text, got {type(text).__name__}")
    try:
        valid, why = Sdf.Path.IsValidPathString(text)
    except (TypeError, UnicodeError):  # text that is no UTF-8
        valid, why = False, "it holds text that is no UTF-8"
    if not valid or not text:
        # Without the path, which USD quotes whole.
        why = why[why.find("at character") :] if "at character" in why else why
        raise _invalid(asset_uri, f"{shown(text)} is no prim path: {why or 'it is empty'}")
    path = Sdf.Path(text)
    if not path.IsAbsolutePath() or not path.IsPrimPath():
        hint = f"; did you mean /{_cut(text)}?" if _is_prim_path(f"/{text}") else ""
        example = "no absolute path of a prim, such as /World/Hero"
        raise _invalid(asset_uri, f"{shown(text)} is {example}{hint}")
    return path


def _is_prim_path(text: str) -> bool:
    return bool(Sdf.Path.IsValidPathString(text)[0] and Sdf.Path(text).IsPrimPath())


def default_path(layer: Sdf.Layer, asset_uri: str) -> Sdf.Path:
    """
    Return the path of the default prim that *layer* names.

    Raises:
        InvalidTraitsException: it names none, or what is no path; says which prims there are.
    """
    path = layer.GetDefaultPrimAsPath() if layer.HasDefaultPrim() else Sdf.Path.emptyPath
    if not path.isEmpty:
        return path
    roots = [str(prim.path) for prim in layer.rootPrims]
    names = f"as its default prim {layer.defaultPrim!r}, no prim path" if layer.defaultPrim else ""
    why = f"the layer names {names or 'no default prim'}: name one"
    raise _unknown(asset_uri, why, "prim", "", roots)


def path_on(stage: Usd.Stage, prim_path: object, asset_uri: str) -> Sdf.Path:
    """
    Return the path of a prim that *stage* has; None for *prim_path* is the default prim.

    Raises:
        InvalidTraitsException: it is no prim path, or there is no such prim; says which there are.
    """
    if prim_path is None:
        path = default_path(stage.GetRootLayer(), asset_uri)
    else:
        path = parsed_path(prim_path, asset_uri)
    if not stage.GetPrimAtPath(path):
        no_such_prim(stage, path, asset_uri)
    return path


def no_such_prim(stage: Usd.Stage, path: Sdf.Path, asset_uri: str) -> NoReturn:
    """
    Raise that *stage* has no prim at *path*.

    Raises:
        InvalidTraitsException: always; says which prims there are where the path stops leading.
    """
    parent = path.GetParentPath()
    while not stage.GetPrimAtPath(parent):
        parent = parent.GetParentPath()
    children = stage.GetPrimAtPath(parent).GetFilteredChildren(EVERYWHERE)
    walk = islice(Usd.PrimRange(stage.GetPseudoRoot(), EVERYWHERE), 1, _MOST_SEARCHED)
    everywhere = (str(prim.GetPath()) for prim in walk)
    known = dict.fromkeys((*(str(child.GetPath()) for child in children), *everywhere))
    message = f"there is no prim {_cut(str(path))}; below {_cut(str(parent))} there are"
    raise _unknown(
        asset_uri, message, "prim", str(path), [str(each.GetPath()) for each in children], known
    )


def check_variant(
    sets: dict[str, VariantSet], path: object, name: object, variant: object, asset_uri: str
) -> None:
    """
    Make sure that *variant* is one of the set *name* among the *sets* of the prim at *path*.

    Raises:
        InvalidTraitsException: there is no such set, or no such variant; says which there are, and
            which variant of another set would bring the set.
    """
    _check_set(sets, path, name, asset_uri)
    known = sets[str(name)]["variants"]
    if variant not in known:
        message = f"variant set {shown(name)} of {path} has no variant {shown(variant)}; it has"
        raise _unknown(asset_uri, message, "variant", variant, known)


def _check_set(sets: dict[str, VariantSet], path: object, name: object, asset_uri: str) -> None:
    if isinstance(name, str) and name in sets:
        return
    if brought := next(_ways(sets, name), ""):
        raise _invalid(asset_uri, f"{path} has a variant set {name!r} only with {brought} selected")
    if not sets:
        raise _invalid(asset_uri, f"the prim {path} has no variant sets")
    message = f"{path} has no variant set {shown(name)}; it has"
    raise _unknown(asset_uri, message, "variant set", name, sets)


def _ways(sets: Any, name: object) -> Iterator[str]:
    """Yield `set=variant` steps that lead to a nested set of that name."""
    for outer, each in sets.items():
        for variant, inner in each["nested"].items():
            if isinstance(name, str) and name in inner:
                yield f"{outer}={variant}"
            yield from (f"{outer}={variant}, {rest}" for rest in _ways(inner, name))


def _unknown(
    asset_uri: str,
    message: str,
    what: str,
    name: object,
    valid: Collection[str],
    known: Collection[str] = (),
) -> InvalidTraitsException:
    listed = list(valid)
    more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    text = name[:200] if isinstance(name, str) else ""
    near = difflib.get_close_matches(text, known or listed, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    there = ", ".join(listed[:_SHOWN]) + more if listed else "none"
    details = {"what": what, "valid": listed, "nearest": near[0] if near else ""}
    return _invalid(asset_uri, f"{message} {there}{hint}", details)


def _invalid(
    asset_uri: str, message: str, details: dict[str, Any] | None = None
) -> InvalidTraitsException:
    return InvalidTraitsException(
        message, asset_uri=asset_uri, code=Code.INVALID_TRAITS, details=details
    )


def shown(value: object) -> str:
    """Return *value* quoted for a message, cut where it is absurdly long."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"
