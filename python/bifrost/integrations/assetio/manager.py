# SPDX-License-Identifier: Apache-2.0
"""`BifrostManagerInterface` as earlier releases had it: today's, which also takes the old arguments."""

from __future__ import annotations

from typing import Any, Final

from openassetio import Context
from openassetio.access import ResolveAccess

from bifrost import deprecation, manager
from bifrost.integrations.assetio import calling_form
from bifrost.integrations.assetio.old_names import warn_of
from bifrost.integrations.replacements import MANAGER
from bifrost.manager.earlier_traits import REPLACED_BY

_CLASS: Final = f"{MANAGER}.BifrostManagerInterface"


class BifrostManagerInterface(manager.BifrostManagerInterface):
    """
    The OpenAssetIO manager `org.bifrost.assetmanager`, to be overridden, say in `resolve` or `info`.

    OpenAssetIO calls overrides of `resolve` and `entityExists` whichever arguments they were written for:
    OpenAssetIO's, or those of earlier releases, without access and callbacks, and with answers returned.
    `super()` takes both as well.
    """

    def __init__(self, *arguments: Any) -> None:
        warn_of(_CLASS)
        super().__init__(*arguments)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        warn_of(_CLASS)
        for name in ("resolve", "entityExists"):
            override = vars(cls).get(name)
            if override is not None and calling_form.takes_arguments_of_then(name, override):
                _warn_of_arguments(name)
                setattr(cls, name, calling_form.answering_now(name, override))

    def resolve(self, *arguments: Any, **named: Any) -> Any:
        """Answer as OpenAssetIO's `resolve` does, or with the old arguments return dictionaries."""
        if not named and calling_form.is_of_then("resolve", arguments):
            _warn_of_arguments("resolve")
            return self._resolved(*arguments)
        return super().resolve(*arguments, **named)

    def entityExists(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802  OpenAssetIO's name
        """Answer as OpenAssetIO's `entityExists` does, or with the old arguments return booleans."""
        if not named and calling_form.is_of_then("entityExists", arguments):
            _warn_of_arguments("entityExists")
            return self._existing(*arguments)
        return super().entityExists(*arguments, **named)

    def capabilities(self) -> dict[str, bool]:
        """Return what earlier releases said that they can. OpenAssetIO asks `hasCapability`."""
        return {
            "entityReferenceIdentification": True,
            "entityReferencesPublishing": True,
            "entityReferencesEmbeddedVersions": True,
            "fileLocations": True,
            "resolutionTracking": True,
        }

    def uninitialize(self) -> bool:
        """Let go of the catalogue; the next question opens it again. True."""
        self.close()
        return True

    def _resolved(self, references: Any, traits: Any, context: Any, _session: Any) -> list[Any]:
        answers: list[Any] = [{} for _ in references]
        self._resolve(
            references,
            set(traits) & REPLACED_BY.keys(),
            ResolveAccess.kRead,
            context or Context(),
            lambda index, data: answers.__setitem__(index, calling_form.answer_of(data)),
            lambda _index, _error: None,
        )
        return answers

    def _existing(self, references: Any, context: Any, session: Any) -> list[bool]:
        answers = [False] * len(references)
        super().entityExists(
            references, context or Context(), session, answers.__setitem__, lambda *_: None
        )
        return answers


def _warn_of_arguments(name: str) -> None:
    old, new = f"{_CLASS}.{name} with the arguments of earlier releases", f"OpenAssetIO's {name}"
    deprecation.warn(
        deprecation.message(old, new, "it has more arguments, and answers by callbacks")
    )
