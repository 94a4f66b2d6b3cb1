# SPDX-License-Identifier: Apache-2.0
"""The settings of our OpenAssetIO manager: their types, their defaults, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openassetio import errors

from bifrost.catalogue.location import path_of
from bifrost.manager.answers import translated_errors
from bifrost.model.paths import expanded_setting
from bifrost.settings import AccessSettings, Settings
from bifrost.tokens import Verifier

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue

# Each setting's type, and the types it may be given as.
_SETTINGS: Final[dict[str, tuple[type, tuple[type, ...]]]] = {
    "catalogue_url": (str, (str,)),
    "lock_timeout_s": (float, (float, int)),
    "statement_timeout_s": (float, (float, int)),
    "store": (str, (str,)),
    "workflow": (str, (str,)),
    "strengths": (str, (str,)),
    "tokens": (str, (str,)),
    "algorithms": (str, (str,)),
    "key_file": (str, (str,)),
    "audience": (str, (str,)),
    "issuer": (str, (str,)),
    "leeway_s": (float, (float, int)),
}


def defaults() -> dict[str, Any]:
    """
    Return the settings that are in force where a host gives none: Bifrost's own.

    Raises:
        ConfigurationException: Bifrost's settings can't be read.
    """
    from bifrost.settings import load

    with translated_errors():
        return implied(load())


def implied(settings: Settings) -> dict[str, Any]:
    """Return the manager's settings that Bifrost's *settings* imply."""
    return {
        "catalogue_url": settings.catalogue_url,
        "lock_timeout_s": settings.catalogue.lock_timeout_s,
        "statement_timeout_s": settings.catalogue.statement_timeout_s,
        "store": str(settings.store_directory),
        "workflow": settings.catalogue.workflow,
        "strengths": settings.catalogue.strengths,
        **settings.access._asdict(),
    }


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """
    Return *settings* in their own types.

    Raises:
        ConfigurationException: an unknown setting, a wrong type, a URL that names no catalogue.
    """
    found = {key: _converted(key, value) for key, value in settings.items()}
    for key, value in found.items():
        # `not >=`, so that NaN is refused as well.
        if isinstance(value, float) and not 0 <= value < float("inf"):
            raise errors.ConfigurationException(f"{key}: expected seconds from 0 up, got {value!r}")
    if "catalogue_url" in found:
        with translated_errors():
            path_of(found["catalogue_url"])
    if "workflow" in found:
        _check_workflow(found["workflow"])
    if "strengths" in found:
        _check_strengths(found["strengths"])
    if "\0" in found.get("store", ""):
        raise errors.ConfigurationException(
            f"store: expected a folder's path, got {found['store'][:200]!r}"
        )
    return found


def _check_workflow(workflow: str) -> None:
    if workflow:
        from bifrost.catalogue.status import Workflow

        with translated_errors():
            Workflow.parse(workflow)


def _check_strengths(strengths: str) -> None:
    if strengths:
        from bifrost.catalogue.strengths import parse

        with translated_errors():
            parse(strengths)


def _converted(key: str, value: Any) -> Any:
    if key not in _SETTINGS:
        known = ", ".join(_SETTINGS)
        raise errors.ConfigurationException(f"{key}: no such setting; there are {known}")
    expected, accepted = _SETTINGS[key]
    if type(value) not in accepted:
        raise errors.ConfigurationException(f"{key}: expected {expected.__name__}, got {value!r}")
    return expected(value)


def verifier(settings: dict[str, Any]) -> Verifier:
    """
    Return what tells who asks, as *settings* want it.

    Raises:
        ConfigurationException: they can't be: no such algorithm, a key that can't be used.
    """
    with translated_errors():
        return Verifier(AccessSettings(**{key: settings[key] for key in AccessSettings._fields}))


def opened(settings: dict[str, Any]) -> Catalogue:
    """
    Open the catalogue that *settings* describe.

    Raises:
        CatalogueError, ConfigurationError: it can't be opened.
    """
    from bifrost.catalogue import Catalogue

    return Catalogue.open(
        settings["catalogue_url"],
        store=_place("store", settings["store"]),
        workflow=settings["workflow"],
        strengths=settings["strengths"],
        lock_timeout_s=settings["lock_timeout_s"],
        statement_timeout_s=settings["statement_timeout_s"],
    )


def _place(setting: str, path: str) -> Path | None:
    return expanded_setting(setting, path).absolute() if path else None
