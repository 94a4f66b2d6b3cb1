# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002, D102, N802, N803, PLR0917 - OpenAssetIO names and documents the methods
"""
An OpenAssetIO manager that is slow and faulty to order, for tests of hosts.

Its references are `faulty:///<name>`, and a name is a file in the folder that the setting `files`
names. `install` writes what an application needs to find it as a plugin; `Controls` changes what it does
while it runs, and tells what it was asked, in whatever process.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from openassetio import constants, errors
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
    "share": 1.0,
    "seed": 0,
    "retry_after_s": 0.0,
    "prefix": PREFIX,
    "controls": "",
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
    retry_after_s: float = 0.0

    def give(self) -> None:
        """Answer as a well-behaved manager does."""
        report = self.failed if isinstance(self.answer, BatchElementError) else self.ok
        report(self.index, self.answer)

    def refuse(self, code: Any, message: str) -> None:
        """Answer with an error."""
        self.failed(self.index, BatchElementError(code, message))


class Throttled(OpenAssetIOException):  # type: ignore[misc]
    """
    What a manager raises that wants to be left alone for a while.

    Attributes:
        retry_after: For how many seconds.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _throttle(element: _Element) -> None:
    raise Throttled("too many requests", element.retry_after_s)


def _throttle_in_words(element: _Element) -> None:
    raise OpenAssetIOException(f"too many requests [retry_after={element.retry_after_s}]")


def _raise(_: _Element) -> None:
    raise TypeError("a defect of the manager")


def _raise_runtime(_: _Element) -> None:
    raise RuntimeError("the manager's server is not well")


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


def _flood(element: _Element) -> None:
    until = time.monotonic() + LONGEST_HANG_S
    while not _released.is_set() and time.monotonic() < until:
        for extra in range(1_000):
            element.ok(element.count + extra, element.answer)
    element.give()


def _short_list(element: _Element) -> None:
    if element.index < element.count - 1:
        element.give()


def _garbage_error_code(element: _Element) -> None:
    element.refuse(_ErrorCode(4711), "an error of no kind known")


def _denied(element: _Element) -> None:
    element.refuse(_ErrorCode.kAuthError, "you may not read this")


def _refusing(code: Any) -> Callable[[_Element], None]:
    return lambda element: element.refuse(code, f"an error of the kind {code.name}")


def _raising(kind: type[Exception]) -> Callable[[_Element], None]:
    def throw(element: _Element) -> None:
        if kind is errors.BatchElementException:
            error = BatchElementError(_ErrorCode.kEntityResolutionError, "not there")
            raise kind(element.index, error, "of another manager that this one asked")
        raise kind(f"the manager raised {kind.__name__}")

    return throw


# Whatever there is in the OpenAssetIO that is installed.
_REFUSALS: Final = {
    f"refuse_{name}": _refusing(code) for name, code in _ErrorCode.__members__.items()
}
EXCEPTIONS: Final[dict[str, type[Exception]]] = {
    f"raise_{name}": each
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, Exception)
}
"""OpenAssetIO's exceptions, by the values of `fault` that raise them."""

_WAYS_TO_ANSWER: Final[dict[str, Callable[[_Element], None]]] = {
    "none": _Element.give,
    "raise": _raise,
    "raise_runtime": _raise_runtime,
    "raise_oserror": _raise_oserror,
    "raise_openassetio": _raise_openassetio,
    "throttle": _throttle,
    "throttle_in_words": _throttle_in_words,
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
    "flood": _flood,
    "short_list": _short_list,
    "garbage_error_code": _garbage_error_code,
    "denied": _denied,
    **_REFUSALS,
    **{fault: _raising(kind) for fault, kind in EXCEPTIONS.items()},
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
# These befall a whole call, or none of it.
_OF_CALLS: Final = frozenset(
    {
        "raise",
        "raise_runtime",
        "raise_oserror",
        "raise_openassetio",
        "throttle",
        "throttle_in_words",
        "hang",
        *EXCEPTIONS,
    }
)


class Call(NamedTuple):
    """
    One call that a manager with `Controls` received.

    Attributes:
        at: When, in seconds, by a clock that all processes of a machine share.
        pid: In which process.
        method: OpenAssetIO's name of it.
        names: What was asked about.
    """

    at: float
    pid: int
    method: str
    names: list[str]


class Controls:
    """
    Changes the settings of managers while they run, in any process, and hears of their calls.

    Give `str(directory)` to `install` as `controls`.

    Attributes:
        directory: Where both are kept, in files; made if it isn't there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._settings = directory / "settings.json"
        self._calls = directory / "calls"

    def set(self, **settings: Any) -> None:
        """Let *settings* hold, over those of the config, for every call that begins from now on."""
        written = self._settings.with_suffix(".new")
        written.write_text(json.dumps(settings), encoding="utf-8")
        written.replace(self._settings)

    def settings(self) -> dict[str, Any]:
        """Return what was set last."""
        try:
            text = self._settings.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return dict(json.loads(text))

    def note(self, method: str, names: list[str]) -> None:
        """Write down that this process received a call."""
        line = json.dumps([time.monotonic(), os.getpid(), method, names]) + "\n"
        # One write to a file opened so is never mixed up with another process's.
        with self._calls.open("ab", buffering=0) as calls:
            calls.write(line.encode())

    def calls(self) -> list[Call]:
        """Return every call that was received, in order."""
        try:
            lines = self._calls.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Call(*json.loads(line)) for line in lines]


class FaultyManager(ManagerInterface):  # type: ignore[misc]
    """
    The OpenAssetIO manager `org.bifrost.test.faulty`, or of the name that it is given.

    Settings:
        files: The folder whose files are the entities; below it, `/` separates a name's parts.
        latency_ms: Milliseconds that each call takes, however many references it is about.
        fault: What goes wrong, one of `FAULTS`, or several joined by commas. What concerns a call
            (`raise`, `hang`) befalls every call that asks for one of `fault_names`, the rest one
            element at a time.
        fault_names: The names it befalls, joined by commas; empty for all.
        share: How much of that it befalls, 0 to 1: of the calls, or of the elements.
        seed: Which ones these are; the same for the same calls in the same order.
        retry_after_s: The seconds that `throttle` and `throttle_in_words` ask for.
        prefix: What references begin with, instead of `faulty:///`.
        controls: The folder of a `Controls`; empty for none.
    """

    def __init__(self, identifier: str = IDENTIFIER) -> None:
        super().__init__()
        self._identifier = identifier
        self._configured = dict(_DEFAULTS)
        self._settings = self._configured
        self._controls: Controls | None = None
        self._rng = Random()  # noqa: S311  faults to order, no secrets
        self._to_url = FileUrlPathConverter()
        self.calls = 0

    def identifier(self) -> str:
        return self._identifier

    def displayName(self) -> str:
        return "Slow and faulty manager for tests"

    def info(self) -> dict[str, Any]:
        return {constants.kInfoKey_EntityReferencesMatchPrefix: self._settings["prefix"]}

    def settings(self, hostSession: Any) -> dict[str, Any]:
        return dict(self._configured)

    def hasCapability(self, capability: Any) -> bool:
        return capability in _CAPABILITIES

    def initialize(self, managerSettings: dict[str, Any], hostSession: Any) -> None:
        if unknown := managerSettings.keys() - _DEFAULTS.keys():
            raise ConfigurationException(f"unknown settings: {', '.join(sorted(unknown))}")
        fault = managerSettings.get("fault", "none")
        if not set(FAULTS).issuperset(fault.split(",")):
            raise ConfigurationException(
                f"fault: expected one of {', '.join(FAULTS)}, got {fault!r}"
            )
        self._configured.update(managerSettings)
        self._rng.seed(self._configured["seed"])
        if folder := self._configured["controls"]:
            self._controls = Controls(Path(folder))

    def managementPolicy(
        self, traitSets: Sequence[set[str]], policyAccess: Any, context: Any, hostSession: Any
    ) -> list[TraitsData]:
        policies = [TraitsData({Managed.kId}) for _ in traitSets]
        return policies[:-1] if self._settings["fault"] == "short_list" else policies

    def isEntityReferenceString(self, someString: str, hostSession: Any) -> bool:
        return someString.startswith(self._settings["prefix"])

    def entityExists(
        self, refs: Sequence[Any], context: Any, hostSession: Any, ok: Any, failed: Any
    ) -> None:
        self._answer("entityExists", refs, self._exists, ok, failed)

    def entityTraits(
        self, refs: Sequence[Any], access: Any, context: Any, hostSession: Any, ok: Any, failed: Any
    ) -> None:
        traits = {Entity.kId, LocatableContent.kId, DisplayName.kId}
        self._answer(
            "entityTraits", refs, lambda name: self._if_there(name, lambda: traits), ok, failed
        )

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

        self._answer("resolve", refs, resolved, ok, failed)

    def _answer(
        self, method: str, refs: Sequence[Any], answer: Callable[[str], Any], ok: Any, failed: Any
    ) -> None:
        names = [ref.toString().removeprefix(self._settings["prefix"]) for ref in refs]
        settings = self._begin(method, names)
        faults = settings["fault"].split(",")
        of_call = [fault for fault in faults if fault in _OF_CALLS and self._befalls(settings)]
        of_elements = [fault for fault in faults if fault not in _OF_CALLS]
        for index, name in enumerate(names):
            element = _Element(
                index, len(names), answer(name), ok, failed, settings["retry_after_s"]
            )
            met = of_call or [each for each in of_elements if self._befalls(settings)]
            fault = met[0] if met and self._is_faulty(name) else "none"
            _WAYS_TO_ANSWER.get(fault, _Element.give)(element)

    def _begin(self, method: str, names: list[str]) -> dict[str, Any]:
        """Receive a call; return the settings that hold for it."""
        self.calls += 1
        if self._controls is not None:
            # First the settings: who hears of a call may change them for the next.
            self._settings = {**self._configured, **self._controls.settings()}
            self._controls.note(method, names)
        if latency_ms := self._settings["latency_ms"]:
            time.sleep(latency_ms / 1000)
        return self._settings

    def _befalls(self, settings: dict[str, Any]) -> bool:
        share: float = settings["share"]
        return share >= 1 or self._rng.random() < share

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
        faults = _LOCATIONS.keys() & self._settings["fault"].split(",")
        if faults and self._is_faulty(name) and self._befalls(self._settings):
            return _LOCATIONS[faults.pop()]
        return self._to_url.pathToUrl(str(self._path(name)))


class FaultyManagerPlugin(PythonPluginSystemManagerPlugin):  # type: ignore[misc]
    """Names the manager and makes it."""

    name = IDENTIFIER

    @classmethod
    def identifier(cls) -> str:
        return cls.name

    @classmethod
    def interface(cls) -> FaultyManager:
        return FaultyManager(cls.name)


def plugin_named(name: str) -> type[FaultyManagerPlugin]:
    """Return a plugin whose manager is called *name*, so that there may be several."""
    return type("NamedPlugin", (FaultyManagerPlugin,), {"name": name})


openassetioPlugin = FaultyManagerPlugin  # noqa: N816 - the name OpenAssetIO looks for


def install(
    directory: Path,
    *,
    files: Path,
    fault: str = "none",
    fault_names: Sequence[str] = (),
    latency_ms: int = 0,
    identifier: str = IDENTIFIER,
    **more: float | str,
) -> dict[str, str]:
    """
    Write the plugin and its config into *directory*; return the variables that make it the manager.

    May be called again to write another config, or with another *identifier* for a second manager beside
    the first. *more* are the other settings of `FaultyManager`.
    """
    plugins = directory / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    stem = "faulty" if identifier == IDENTIFIER else identifier.replace(".", "_")
    (plugins / f"{stem}_manager.py").write_text(
        f"from {__name__} import plugin_named\n\nopenassetioPlugin = plugin_named({identifier!r})\n",
        encoding="utf-8",
    )
    settings = {
        "files": str(files.absolute()),
        "fault": fault,
        "fault_names": ",".join(fault_names),
        "latency_ms": latency_ms,
        **more,
    }
    # What JSON calls a string or a number, TOML reads as the same one.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    config = directory / f"{stem}.toml"
    config.write_text(
        "\n".join(
            ["[manager]", f'identifier = "{identifier}"', "", "[manager.settings]", *lines, ""]
        ),
        encoding="utf-8",
    )
    return {"OPENASSETIO_DEFAULT_CONFIG": str(config), "OPENASSETIO_PLUGIN_PATH": str(plugins)}
