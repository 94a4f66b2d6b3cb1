# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002, D102, N802, N803, PLR0917 - OpenAssetIO names and documents the methods
"""
An OpenAssetIO manager that is slow and faulty to order, for tests of hosts.

Its references are `faulty:///<name>`, and a name is a file in the folder that the setting `files`
names. `install` writes what an application needs to find it as a plugin.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openassetio import constants
from openassetio.errors import BatchElementError, ConfigurationException, OpenAssetIOException
from openassetio.managerApi import ManagerInterface
from openassetio.pluginSystem import PythonPluginSystemManagerPlugin
from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1 as DisplayName
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1 as Managed
from openassetio_mediacreation.traits.usage import EntityTrait_v1 as Entity

IDENTIFIER: Final = "org.bifrost.test.faulty"
PREFIX: Final = "faulty:///"
LONGEST_HANG_S: Final = 60.0
"""A hang ends by itself after this long, so that a test that went wrong ends too."""
MILLION: Final = 1_000_000

_DEFAULTS: Final[dict[str, Any]] = {
    "files": "",
    "latency_ms": 0,
    "fault": "none",
    "fault_names": "",
}
_Capability = ManagerInterface.Capability
_CAPABILITIES: Final = frozenset(
    {
        _Capability.kEntityReferenceIdentification,
        _Capability.kManagementPolicyQueries,
        _Capability.kEntityTraitIntrospection,
        _Capability.kResolution,
        _Capability.kExistenceQueries,
    }
)
_ErrorCode = BatchElementError.ErrorCode
_released = threading.Event()
_late: list[Callable[[], None]] = []


def release() -> None:
    """End every `hang` of this process that is under way."""
    _released.set()
    _released.clear()  # who was already waiting goes; who comes next hangs


def deliver_late() -> int:
    """Make the callbacks that `callback_late` owes, long after their calls; return how many."""
    owed = [_late.pop() for _ in range(len(_late))]
    for give in owed:
        give()
    return len(owed)


@dataclass(frozen=True, slots=True)
class _Element:
    """One reference of a batch, the right answer to it, and where answers go."""

    index: int
    count: int
    answer: Any
    ok: Callable[[int, Any], None]
    failed: Callable[[int, BatchElementError], None]

    def give(self) -> None:
        """Answer as a well-behaved manager does."""
        report = self.failed if isinstance(self.answer, BatchElementError) else self.ok
        report(self.index, self.answer)

    def refuse(self, code: Any, message: str) -> None:
        """Answer with an error."""
        self.failed(self.index, BatchElementError(code, message))


def _raise(_: _Element) -> None:
    raise RuntimeError("a defect of the manager")


def _raise_oserror(_: _Element) -> None:
    raise ConnectionResetError("the server hung up")


def _raise_openassetio(_: _Element) -> None:
    raise OpenAssetIOException("the server is down")


def _no_callback(_: _Element) -> None:
    pass


def _callback_twice(element: _Element) -> None:
    element.give()
    element.give()


def _callback_twice_different(element: _Element) -> None:
    element.give()
    element.refuse(_ErrorCode.kEntityResolutionError, "on second thoughts there is no such entity")


def _callback_from_thread(element: _Element) -> None:
    thread = threading.Thread(target=element.give)
    thread.start()
    thread.join()


def _callback_late(element: _Element) -> None:
    _late.append(element.give)


def _wrong_type(element: _Element) -> None:
    element.ok(element.index, "a string")


def _null(element: _Element) -> None:
    element.ok(element.index, None)


def _wrong_index(element: _Element) -> None:
    element.ok(element.count + element.index, element.answer)


def _hang(element: _Element) -> None:
    _released.wait(LONGEST_HANG_S)  # releases the GIL
    element.give()


def _million(element: _Element) -> None:
    for extra in range(MILLION):
        element.ok(element.count + extra, element.answer)
    element.give()


def _short_list(element: _Element) -> None:
    if element.index < element.count - 1:
        element.give()


def _garbage_error_code(element: _Element) -> None:
    element.refuse(_ErrorCode(4711), "an error of no kind known")


def _denied(element: _Element) -> None:
    element.refuse(_ErrorCode.kAuthError, "you may not read this")


_WAYS_TO_ANSWER: Final[dict[str, Callable[[_Element], None]]] = {
    "none": _Element.give,
    "raise": _raise,
    "raise_oserror": _raise_oserror,
    "raise_openassetio": _raise_openassetio,
    "no_callback": _no_callback,
    "callback_twice": _callback_twice,
    "callback_twice_different": _callback_twice_different,
    "callback_from_thread": _callback_from_thread,
    "callback_late": _callback_late,
    "wrong_type": _wrong_type,
    "null": _null,
    "wrong_index": _wrong_index,
    "hang": _hang,
    "million": _million,
    "short_list": _short_list,
    "garbage_error_code": _garbage_error_code,
    "denied": _denied,
}
# These answer as they should, with a location that is of no use.
_LOCATIONS: Final[dict[str, Any]] = {
    "bad_url": "file://%%%/no url",
    "undecodable_url": "file:///tmp/%FF.usda",
    "http_url": "https://example.com/hero.usda",
    "missing_file": "file:///no/such/folder/hero.usda",
    "number_location": 42,
    "no_location": None,
}
FAULTS: Final = (*_WAYS_TO_ANSWER, *_LOCATIONS)
"""Every value of the setting `fault`."""


class FaultyManager(ManagerInterface):  # type: ignore[misc]
    """
    The OpenAssetIO manager `org.bifrost.test.faulty`.

    Settings:
        files: The folder whose files are the entities; below it, `/` separates a name's parts.
        latency_ms: Milliseconds that each call takes, however many references it is about.
        fault: What goes wrong, one of `FAULTS`. What concerns a call (`raise`, `hang`) befalls
            every call that asks for one of `fault_names`, the rest one element at a time.
        fault_names: The names it befalls, joined by commas; empty for all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings = dict(_DEFAULTS)
        self._to_url = FileUrlPathConverter()
        self.calls = 0

    def identifier(self) -> str:
        return IDENTIFIER

    def displayName(self) -> str:
        return "Slow and faulty manager for tests"

    def info(self) -> dict[str, Any]:
        return {constants.kInfoKey_EntityReferencesMatchPrefix: PREFIX}

    def settings(self, hostSession: Any) -> dict[str, Any]:
        return dict(self._settings)

    def hasCapability(self, capability: Any) -> bool:
        return capability in _CAPABILITIES

    def initialize(self, managerSettings: dict[str, Any], hostSession: Any) -> None:
        if unknown := managerSettings.keys() - _DEFAULTS.keys():
            raise ConfigurationException(f"unknown settings: {', '.join(sorted(unknown))}")
        if (fault := managerSettings.get("fault", "none")) not in FAULTS:
            raise ConfigurationException(
                f"fault: expected one of {', '.join(FAULTS)}, got {fault!r}"
            )
        self._settings.update(managerSettings)

    def managementPolicy(
        self, traitSets: Sequence[set[str]], policyAccess: Any, context: Any, hostSession: Any
    ) -> list[TraitsData]:
        policies = [TraitsData({Managed.kId}) for _ in traitSets]
        return policies[:-1] if self._settings["fault"] == "short_list" else policies

    def isEntityReferenceString(self, someString: str, hostSession: Any) -> bool:
        return someString.startswith(PREFIX)

    def entityExists(
        self, refs: Sequence[Any], context: Any, hostSession: Any, ok: Any, failed: Any
    ) -> None:
        self._answer(refs, self._exists, ok, failed)

    def entityTraits(
        self, refs: Sequence[Any], access: Any, context: Any, hostSession: Any, ok: Any, failed: Any
    ) -> None:
        traits = {Entity.kId, LocatableContent.kId, DisplayName.kId}
        self._answer(refs, lambda name: self._if_there(name, lambda: traits), ok, failed)

    def resolve(
        self,
        refs: Sequence[Any],
        traitSet: set[str],
        access: Any,
        context: Any,
        hostSession: Any,
        ok: Any,
        failed: Any,
    ) -> None:
        def resolved(name: str) -> Any:
            return self._if_there(name, lambda: self._traits(name, traitSet))

        self._answer(refs, resolved, ok, failed)

    def _answer(
        self, refs: Sequence[Any], answer: Callable[[str], Any], ok: Any, failed: Any
    ) -> None:
        self.calls += 1
        if latency_ms := self._settings["latency_ms"]:
            time.sleep(latency_ms / 1000)
        give = _WAYS_TO_ANSWER.get(self._settings["fault"], _Element.give)
        for index, ref in enumerate(refs):
            name = ref.toString().removeprefix(PREFIX)
            element = _Element(index, len(refs), answer(name), ok, failed)
            (give if self._is_faulty(name) else _Element.give)(element)

    def _is_faulty(self, name: str) -> bool:
        names = self._settings["fault_names"]
        return not names or name in names.split(",")

    def _path(self, name: str) -> Path:
        return Path(self._settings["files"]).absolute() / name

    def _exists(self, name: str) -> bool:
        return "<UDIM>" in name or self._path(name).is_file()

    def _if_there(self, name: str, answer: Callable[[], Any]) -> Any:
        if self._exists(name):
            return answer()
        return BatchElementError(_ErrorCode.kEntityResolutionError, f"there is no entity {name!r}")

    def _traits(self, name: str, wanted: set[str]) -> TraitsData:
        data = TraitsData()
        if LocatableContent.kId in wanted and (location := self._location(name)) is not None:
            data.setTraitProperty(LocatableContent.kId, "location", location)
        if DisplayName.kId in wanted:
            DisplayName(data).setName(name)
        return data

    def _location(self, name: str) -> Any:
        fault = self._settings["fault"]
        if fault in _LOCATIONS and self._is_faulty(name):
            return _LOCATIONS[fault]
        return self._to_url.pathToUrl(str(self._path(name)))


class FaultyManagerPlugin(PythonPluginSystemManagerPlugin):  # type: ignore[misc]
    """Names the manager and makes it."""

    @classmethod
    def identifier(cls) -> str:
        return IDENTIFIER

    @classmethod
    def interface(cls) -> FaultyManager:
        return FaultyManager()


openassetioPlugin = FaultyManagerPlugin  # noqa: N816 - the name OpenAssetIO looks for


def install(
    directory: Path,
    *,
    files: Path,
    fault: str = "none",
    fault_names: Sequence[str] = (),
    latency_ms: int = 0,
) -> dict[str, str]:
    """
    Write the plugin and its config into *directory*; return the variables that make it the manager.

    May be called again to write another config.
    """
    plugins = directory / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "faulty_manager.py").write_text(
        f"from {__name__} import openassetioPlugin  # noqa: F401\n", encoding="utf-8"
    )
    settings = {
        "files": str(files.absolute()),
        "fault": fault,
        "fault_names": ",".join(fault_names),
        "latency_ms": latency_ms,
    }
    # What JSON calls a string or a number, TOML reads as the same one.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    config = directory / "faulty.toml"
    config.write_text(
        "\n".join(
            ["[manager]", f'identifier = "{IDENTIFIER}"', "", "[manager.settings]", *lines, ""]
        ),
        encoding="utf-8",
    )
    return {"OPENASSETIO_DEFAULT_CONFIG": str(config), "OPENASSETIO_PLUGIN_PATH": str(plugins)}
