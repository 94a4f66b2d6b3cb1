# SPDX-License-Identifier: Apache-2.0
"""
How managers were asked in earlier releases, and how OpenAssetIO asks: each turned into the other.

Then: `resolve(entityRefs, traitSet, context, hostSession)` returned a dictionary for each reference, an empty
one where there was no answer. Now callbacks get `TraitsData` or an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

from openassetio.errors import BatchElementError
from openassetio.trait import TraitsData

from bifrost.manager.earlier_traits import (
    ALLOWED,
    DEFAULT_NAME,
    DEFAULT_THUMBNAIL,
    LOCATABLE,
    MANAGEMENT_POLICY,
    REPLACED_BY,
    VERSIONED,
)
from bifrost.manager.vocabulary import LOCATION, NAME, PERMISSIONS, VERSION, VERSION_INFO

OTHER: Final = "bifrost:earlier.Other"
"""The trait that has what an old manager said under keys of its own."""

# How many arguments there were, and are, behind `self`.
_THEN: Final = {"resolve": 4, "entityExists": 3}
_NOW: Final = {"resolve": 7, "entityExists": 5}

_NOT_RESOLVED: Final = "the manager's resolve returned nothing for it"
_INFO: Final = ("created", "createdBy", "comment")
_FLAT: Final = {
    "location": (LOCATABLE, "location"),
    "version": (VERSIONED, "version"),
    "name": (DEFAULT_NAME, "name"),
    "thumbnail": (DEFAULT_THUMBNAIL, "thumbnail"),
}


def is_of_then(name: str, arguments: Sequence[Any]) -> bool:
    """Return whether the method *name* is being called as in earlier releases."""
    return len(arguments) == _THEN[name]


def takes_arguments_of_then(name: str, method: Callable[..., Any]) -> bool:
    """Return whether *method*, an override of *name*, was written for earlier releases."""
    parameters = list(inspect.signature(method).parameters.values())
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    is_plain = all(parameter.kind in positional for parameter in parameters)
    return is_plain and len(parameters) - 1 == _THEN[name]


def answering_now(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return *method*, an override of *name* written for earlier releases, for both to call."""

    @wraps(method)
    def called(self: Any, *arguments: Any) -> Any:
        if len(arguments) != _NOW[name]:
            return method(self, *arguments)
        if name == "resolve":
            return _resolve(partial(method, self), *arguments)
        return _exist(partial(method, self), *arguments)

    return called


def _resolve(method: Callable[..., Any], references: Sequence[Any], *arguments: Any) -> None:
    traits, _access, context, session, succeeded, failed = arguments
    known = traits | {old for old, new in REPLACED_BY.items() if new in traits}
    for index, answer in enumerate(method(references, known, context, session)):
        if answer:
            succeeded(index, data_of(answer, traits))
        else:
            code = BatchElementError.ErrorCode.kEntityResolutionError
            failed(index, BatchElementError(code, _NOT_RESOLVED))


def _exist(method: Callable[..., Any], references: Sequence[Any], *arguments: Any) -> None:
    context, session, succeeded, _failed = arguments
    for index, exists in enumerate(method(references, context, session)):
        succeeded(index, bool(exists))


def answer_of(data: TraitsData) -> dict[str, Any]:
    """Return the dictionary of earlier releases, of what the old names in *data* say."""
    answer = {
        key: value
        for key, (trait, name) in _FLAT.items()
        if (value := data.getTraitProperty(trait, name)) is not None
    }
    if data.hasTrait(VERSIONED):
        answer["versionInfo"] = {key: data.getTraitProperty(VERSIONED, key) for key in _INFO}
    if data.hasTrait(MANAGEMENT_POLICY):
        answer[MANAGEMENT_POLICY] = {
            key: data.getTraitProperty(MANAGEMENT_POLICY, key) for key in ALLOWED
        }
    return answer


def data_of(answer: Mapping[str, Any], traits: AbstractSet[str]) -> TraitsData:
    """Return what *answer*, a dictionary of earlier releases, says in *traits*, old names or new."""
    data = TraitsData()
    info, policy = answer.get("versionInfo") or {}, answer.get(MANAGEMENT_POLICY) or {}
    said = [
        *((*place, str(answer[key])) for key, place in _FLAT.items() if answer.get(key)),
        *((VERSIONED, key, str(info[key])) for key in _INFO if info.get(key)),
        *((MANAGEMENT_POLICY, key, bool(policy[key])) for key in ALLOWED if key in policy),
        *_said_now(answer, info, policy),
    ]
    for trait, name, value in said:
        if trait in traits:
            data.setTraitProperty(trait, name, value)
    for key in answer.keys() - _FLAT.keys() - {"versionInfo", MANAGEMENT_POLICY}:
        if isinstance(answer[key], str | bool | int | float):
            data.setTraitProperty(OTHER, key, answer[key])
    return data


def _said_now(
    answer: Mapping[str, Any], info: Mapping[str, Any], policy: Mapping[str, Any]
) -> list[tuple[str, str, Any]]:
    """Return (trait, property, value) of each thing that *answer* says, in today's traits."""
    said: list[tuple[str, str, Any]] = []
    if location := str(answer.get("location") or ""):
        is_url = "://" in location
        said.append(
            (LOCATION, "location", location if is_url else Path(location).absolute().as_uri())
        )
    if version := str(answer.get("version") or ""):
        said.append((VERSION, "stableTag", version))
    if name := answer.get("name"):
        said.append((NAME, "name", str(name)))
    names = zip(_INFO, ("created", "author", "comment"), strict=True)
    said += [(VERSION_INFO, new, str(info[old])) for old, new in names if info.get(old)]
    said += [
        (PERMISSIONS, permission, bool(policy[key]))
        for key, permission in ALLOWED.items()
        if key in policy
    ]
    return said
