# SPDX-License-Identifier: Apache-2.0
"""
The one place that speaks OpenAssetIO as a host.

`AssetioManager` is the innermost handler: it turns requests into calls of the manager that is
configured, and what comes back (through callbacks, in any order, or not at all) into replies.
Importing this module imports openassetio; nothing does until a cache has missed.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from openassetio import constants, errors, hostApi, log, managerApi
from openassetio.access import EntityTraitsAccess, ResolveAccess
from openassetio.errors import BatchElementError
from openassetio.pluginSystem import (
    CppPluginSystemManagerImplementationFactory,
    HybridPluginSystemManagerImplementationFactory,
    PythonPluginSystemManagerImplementationFactory,
)
from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.traits.auth import BearerTokenTrait_v1 as BearerToken
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1 as DisplayName
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1 as Version

from bifrost.context import ContextSnapshot
from bifrost.errors import Code, ConfigurationError
from bifrost.model.permissions import required_permission_in
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution

HOST_IDENTIFIER: Final = "org.bifrost.host"

# OpenAssetIO's codes for one element; a test fails if it grows one that is not here.
CODES: Final[dict[BatchElementError.ErrorCode, Code]] = {
    BatchElementError.ErrorCode.kUnknown: Code.UNKNOWN,
    BatchElementError.ErrorCode.kInvalidEntityReference: Code.FOREIGN_REFERENCE,
    BatchElementError.ErrorCode.kMalformedEntityReference: Code.MALFORMED_REFERENCE,
    BatchElementError.ErrorCode.kEntityAccessError: Code.ACCESS,
    BatchElementError.ErrorCode.kEntityResolutionError: Code.NOT_FOUND,
    BatchElementError.ErrorCode.kInvalidPreflightHint: Code.PREFLIGHT_HINT,
    BatchElementError.ErrorCode.kInvalidTraitSet: Code.INVALID_TRAITS,
    BatchElementError.ErrorCode.kAuthError: Code.PERMISSION_DENIED,
}

_NO_ANSWER: Final = Failure(Code.MISBEHAVED, "the manager returned without an answer for it")
_LOCATABLE: Final = LocatableContent.kId
_VERSION: Final = Version.kId
_DISPLAY_NAME: Final = DisplayName.kId
_RESOLVED_TRAITS: Final = frozenset({_LOCATABLE, _VERSION, _DISPLAY_NAME})
# What makes a file's URL more than "file://" and its path.
_ESCAPED: Final = re.compile(r"[%?#\\]")


# Exceptions that say a manager is wrong, and not that its server is: asking again won't mend that.
_DEFECTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
# Those that are clearly about the server; what is neither may be either.
_SERVERS: Final = (errors.OpenAssetIOException, OSError)
_RETRY_AFTER: Final = re.compile(r"retry_after\s*=\s*([0-9]+(?:\.[0-9]+)?)")

_Question = Callable[[hostApi.Manager, list[Any], Sequence[str], Any], list[Any]]
_Call = Callable[[list[Any], Callable[..., None], Callable[..., None]], None]
# Enough to find a handful of elements among thousands that make a manager raise, and soon given up
# with one that always does.
_MOST_PARTS: Final = 64


class HostIdentity(hostApi.HostInterface):  # type: ignore[misc]  # openassetio is untyped
    """Who we are to a manager."""

    def identifier(self) -> str:
        """Return the host's reverse-DNS identifier."""
        return HOST_IDENTIFIER

    def displayName(self) -> str:  # noqa: N802  OpenAssetIO's name
        """Return the host's name for people."""
        return "Bifrost"


def available_managers() -> list[dict[str, Any]]:
    """Return `{"identifier", "display_name", "info"}` of each manager whose plugin is installed."""
    logger = log.SeverityFilter(log.ConsoleLogger())
    factory = hostApi.ManagerFactory(HostIdentity(), _implementations(logger), logger)
    return [
        {"identifier": d.identifier, "display_name": d.displayName, "info": dict(d.info)}
        for d in factory.availableManagers().values()
    ]


def manager_from_config(path: str) -> hostApi.Manager:
    """
    Return the initialised manager that the OpenAssetIO config file at *path* names.

    Raises:
        ConfigurationError: the file, the plugin or its settings can't be used; says which.
    """
    logger = log.SeverityFilter(log.ConsoleLogger())
    try:
        return hostApi.ManagerFactory.defaultManagerForInterface(
            path, HostIdentity(), _implementations(logger), logger
        )
    except Exception as error:
        raise ConfigurationError(f"{path}: no manager from this file: {error}") from error


def manager_from_identifier(identifier: str) -> hostApi.Manager:
    """
    Return the initialised manager of an installed plugin, with the settings that are its defaults.

    Raises:
        ConfigurationError: there is no such plugin, or it can't start so.
    """
    logger = log.SeverityFilter(log.ConsoleLogger())
    try:
        manager = hostApi.ManagerFactory.createManagerForInterface(
            identifier, HostIdentity(), _implementations(logger), logger
        )
        manager.initialize({})
    except Exception as error:
        raise ConfigurationError(f"no manager {identifier!r}: {error}") from error
    return manager


def manager_from_interface(
    interface: managerApi.ManagerInterface, settings: Mapping[str, Any]
) -> hostApi.Manager:
    """Return an initialised manager round *interface*, without looking for plugins."""
    logger = log.SeverityFilter(log.ConsoleLogger())
    session = managerApi.HostSession(managerApi.Host(HostIdentity()), logger)
    manager = hostApi.Manager(interface, session)
    try:
        manager.initialize(dict(settings))
    except errors.OpenAssetIOException as error:
        raise ConfigurationError(f"our own manager can't start: {error}") from error
    return manager


def _implementations(logger: Any) -> Any:
    # OpenAssetIO's Python factory raises FileNotFoundError for a folder that isn't there.
    folders = os.environ.get("OPENASSETIO_PLUGIN_PATH", "").split(os.pathsep)
    present = os.pathsep.join(folder for folder in folders if folder and Path(folder).exists())
    if present != os.environ.get("OPENASSETIO_PLUGIN_PATH", ""):
        os.environ["OPENASSETIO_PLUGIN_PATH"] = present
    return HybridPluginSystemManagerImplementationFactory(
        [
            CppPluginSystemManagerImplementationFactory(logger),
            PythonPluginSystemManagerImplementationFactory(logger),
        ],
        logger,
    )


class AssetioManager:
    """
    Asks an OpenAssetIO manager. The innermost handler of the pipeline.

    The manager is made on the first request, by *make*. Any thread; OpenAssetIO's managers are
    reentrant by contract, and no lock is held while one is called.
    """

    def __init__(self, make: Callable[[], hostApi.Manager]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._manager: hostApi.Manager | None = None
        self.identifier = ""
        """The manager's identifier; "" while it has not been started."""
        self.round_trips = 0
        self._asking: dict[Operation, _Question] = {
            Operation.RESOLVE: self._resolve,
            Operation.EXISTS: self._exists,
            Operation.TRAITS: self._traits,
            Operation.INFO: self._info,
        }

    def manager(self) -> hostApi.Manager:
        """
        Return the OpenAssetIO manager, made and initialised by the first caller.

        Raises:
            ConfigurationError: it can't be.
        """
        with self._lock:
            if self._manager is None:
                self._manager = self._make()
                self.identifier = self._manager.identifier()
            return self._manager

    def reference_to(self, name: str) -> str:
        """Return what looks like a reference of this manager's; "" where it doesn't say how they begin."""
        info = self.manager().info()
        prefix = info.get(constants.kInfoKey_EntityReferencesMatchPrefix, "")
        return f"{prefix}{name}" if prefix else ""

    def handle(self, request: Request) -> Reply:
        """Ask the manager, in one call however many references."""
        manager = self.manager()
        ask = self._asking.get(request.operation)
        if ask is None:
            message = f"{self.identifier} does not support {request.operation}"
            return Reply.of(request, Failure(Code.UNSUPPORTED, message))
        try:
            return Reply(request, tuple(self._ask(ask, manager, request)))
        except Exception as error:  # noqa: BLE001  what a manager raises is an answer too, and no stage's end
            return Reply.of(request, self._failure(error))

    def _ask(self, ask: _Question, manager: hostApi.Manager, request: Request) -> list[Any]:
        texts = request.references
        refs = [_reference(manager, text) for text in texts]
        if refs and None not in refs:
            return ask(manager, refs, texts, _context(manager, request.context))
        pairs = [(ref, text) for ref, text in zip(refs, texts, strict=True) if ref is not None]
        answers: Iterator[Any] = iter(())
        if pairs:
            valid, known = map(list, zip(*pairs, strict=True))
            answers = iter(ask(manager, valid, known, _context(manager, request.context)))
        foreign = Failure(Code.FOREIGN_REFERENCE, f"it is no reference of {self.identifier}")
        return [foreign if ref is None else next(answers) for ref in refs]

    def _resolve(
        self, manager: hostApi.Manager, refs: list[Any], texts: Sequence[str], context: Any
    ) -> list[Any]:
        answers = self._collected(
            refs,
            TraitsData,
            lambda part, ok, failed: manager.resolve(
                part, set(_RESOLVED_TRAITS), ResolveAccess.kRead, context, ok, failed
            ),
        )
        to_path, identifier = FileUrlPathConverter(), self.identifier
        return [
            answer
            if isinstance(answer, Failure)
            else _resolution(text, answer, identifier, to_path)
            for text, answer in zip(texts, answers, strict=True)
        ]

    def _exists(
        self, manager: hostApi.Manager, refs: list[Any], _texts: Sequence[str], context: Any
    ) -> list[Any]:
        return self._collected(
            refs, bool, lambda part, ok, failed: manager.entityExists(part, context, ok, failed)
        )

    def _traits(
        self, manager: hostApi.Manager, refs: list[Any], _texts: Sequence[str], context: Any
    ) -> list[Any]:
        access = EntityTraitsAccess.kRead
        answers = self._collected(
            refs,
            set,
            lambda part, ok, failed: manager.entityTraits(part, access, context, ok, failed),
        )
        return [a if isinstance(a, Failure) else frozenset(a) for a in answers]

    def _info(
        self, manager: hostApi.Manager, refs: list[Any], texts: Sequence[str], context: Any
    ) -> list[Any]:
        found = self._traits(manager, refs, texts, context)
        wanted = set().union(*(traits for traits in found if isinstance(traits, frozenset)))
        answers = self._collected(
            refs,
            TraitsData,
            lambda part, ok, failed: manager.resolve(
                part, wanted, ResolveAccess.kRead, context, ok, failed
            ),
        )
        return [
            first if isinstance(first, Failure) else a if isinstance(a, Failure) else _properties(a)
            for first, a in zip(found, answers, strict=True)
        ]

    def _collected(self, refs: list[Any], expected: type, call: _Call) -> list[Any]:
        """
        Return the manager's answers for *refs*, in one call.

        An exception is the failure of what it left unanswered. A defect that one element sets off is
        looked for, so that it doesn't take the others along: where some were answered, the first
        that wasn't is asked alone; where none was, both halves.
        """
        answers: list[Any] = [_NO_ANSWER] * len(refs)
        search = _Search(len(refs))
        while (part := search.next()) is not None:
            collected = _Collected(len(part))
            unanswered, raised = _NO_ANSWER, None
            self.round_trips += 1
            try:
                call([refs[index] for index in part], collected.ok, collected.failed)
            except Exception as error:  # noqa: BLE001  answered elements keep their answers
                unanswered, raised = self._failure(error), error
            for index, answer in zip(part, collected.finish(expected, unanswered), strict=True):
                answers[index] = answer
            left = [index for index in part if answers[index] is unanswered]
            search.note(part, left, raised)
        return answers

    def _failure(self, error: Exception) -> Failure:
        """Return what an exception of the manager means for each element it was asked about."""
        message = f"manager {self.identifier}: {error}"
        if isinstance(error, errors.NotImplementedException):
            return Failure(Code.UNSUPPORTED, message)
        if isinstance(
            error, errors.InputValidationException
        ):  # asking again won't mend what we asked
            return Failure(Code.UNKNOWN, message)
        if not isinstance(error, _DEFECTS):  # a server's error, whatever its library calls it
            return Failure(Code.UNAVAILABLE, message, retryable=True, details=_throttled(error))
        raised = f"manager {self.identifier} raised {type(error).__name__}: {error}"
        return Failure(Code.MISBEHAVED, raised)


def _throttled(error: Exception) -> dict[str, Any]:
    """
    Return how long a manager asks to be left alone, if it does.

    OpenAssetIO has no words for it: an attribute `retry_after` of the exception, or `retry_after=<seconds>`
    in its message, which is what a C++ manager can say.
    """
    given = getattr(error, "retry_after", None)
    if given is None:
        found = _RETRY_AFTER.search(str(error))
        given = found[1] if found else None
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return {}
    return {"retry_after": seconds} if 0 <= seconds < float("inf") else {}


class _Search:
    """
    Which elements to ask a manager about next, when it raised for all and one of them was to blame.

    A defect is looked for to the end. What says nothing clear, such as a RuntimeError, may come from a
    server that is down: where neither half of the first call is answered, it is left alone.
    """

    def __init__(self, count: int) -> None:
        self._parts = deque([list(range(count))])
        self._suspended: list[list[int]] = []
        self._calls = 0
        self._answered = False

    def next(self) -> list[int] | None:
        """Return the indices to ask about in one call; None: enough was asked."""
        if not self._parts or self._calls >= _MOST_PARTS:
            return None
        self._calls += 1
        return self._parts.popleft()

    def note(self, part: list[int], left: list[int], raised: Exception | None) -> None:
        """Note that of *part*, in whose call *raised* was raised, *left* were not answered."""
        if len(left) < len(part):
            self._answered = True
        if raised is not None and len(part) > 1 and left and not isinstance(raised, _SERVERS):
            if isinstance(raised, _DEFECTS) or self._answered or self._calls == 1:
                self._divide(left, is_first_to_blame=len(left) < len(part))
            else:
                self._suspended.append(left)
        if self._answered:
            for each in self._suspended:
                self._divide(each, is_first_to_blame=False)
            self._suspended.clear()

    def _divide(self, left: list[int], *, is_first_to_blame: bool) -> None:
        end = 1 if is_first_to_blame else (len(left) + 1) // 2
        self._parts.extend(some for some in (left[:end], left[end:]) if some)


class _Collected:
    """
    What a manager's callbacks said. It is called from any thread, twice, late, or out of range.

    The first answer for an element counts; what comes after the call returned is nobody's.
    """

    def __init__(self, count: int) -> None:
        self._outcomes: list[Any] = [None] * count
        self._open = True

    def ok(self, index: int, value: Any) -> None:
        """Take one element's answer."""
        # As `_take`; a call less for each of thousands.
        outcomes = self._outcomes
        if self._open and 0 <= index < len(outcomes) and outcomes[index] is None:
            outcomes[index] = value

    def failed(self, index: int, error: BatchElementError) -> None:
        """Take one element's error."""
        code = CODES.get(error.code, Code.UNKNOWN)
        missing = required_permission_in(error.message) if code is Code.PERMISSION_DENIED else None
        details = {} if missing is None else {"required_permission": missing}
        self._take(index, Failure(code, error.message, details=details))

    def finish(self, expected: type, unanswered: Failure) -> list[Any]:
        """Return the outcomes; an answer that is not of the *expected* type is a failure."""
        self._open = False
        return [
            outcome if isinstance(outcome, (expected, Failure)) else _misfit(outcome, unanswered)
            for outcome in self._outcomes
        ]

    def _take(self, index: int, outcome: Any) -> None:
        if self._open and 0 <= index < len(self._outcomes) and self._outcomes[index] is None:
            self._outcomes[index] = outcome


def _misfit(outcome: Any, unanswered: Failure) -> Failure:
    if outcome is None:
        return unanswered
    return Failure(Code.MISBEHAVED, f"the manager answered with a {type(outcome).__name__}")


def _reference(manager: hostApi.Manager, text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8; OpenAssetIO's strings are
        return None
    return manager.createEntityReferenceIfValid(text)


def _context(manager: hostApi.Manager, snapshot: ContextSnapshot) -> Any:
    context = manager.createContext()
    if snapshot.values:
        context.locale = _locale(snapshot)
    return context


def _locale(snapshot: ContextSnapshot) -> TraitsData:
    from bifrost.traits.generated.traits.locale import ResolutionPolicyTrait_v1

    locale = TraitsData()
    policy = ResolutionPolicyTrait_v1(locale)
    for name, set_property in (
        ("version", policy.setVersion),
        ("as_of", policy.setAsOf),
        ("user", policy.setUser),
        ("locale", policy.setLocale),
    ):
        if value := snapshot.get(name):
            set_property(str(value))
    if projects := snapshot.projects:
        policy.setProject(",".join(projects))
    if token := snapshot.token:
        # Never log a context: OpenAssetIO prints what is in its locale.
        BearerToken(locale).setToken(token.reveal())
    _describe_call(locale, snapshot)
    return locale


def _describe_call(locale: TraitsData, snapshot: ContextSnapshot) -> None:
    """Say what the call is part of, as far as anybody said."""
    from bifrost.traits.generated.traits.locale import CallTrait_v1

    call = CallTrait_v1(locale)
    for value, set_property in (
        (snapshot.get("session"), call.setSession),
        (snapshot.trace_id, call.setTraceId),
        (snapshot.get("traceparent"), call.setTraceparent),
        (_as_json(snapshot.attributes), call.setAttributes),
    ):
        if value:
            set_property(str(value))


def _as_json(attributes: Mapping[str, Any]) -> str:
    if not attributes:
        return ""
    import json

    return json.dumps(attributes, default=str, ensure_ascii=False)


def _resolution(
    reference: str, data: TraitsData, manager: str, to_path: FileUrlPathConverter
) -> Resolution | Failure:
    # Called for each of thousands, where it is a tenth of a cold batch: the names are bound.
    get = data.getTraitProperty
    url = get(_LOCATABLE, "location")
    if not url or not isinstance(url, str):
        return Failure(Code.NO_LOCATION, f"{manager} knows it but gives it no location")
    path = _path(url, to_path)
    if path is None:
        return Failure(Code.NOT_A_FILE, f"its location is no file that USD could open: {url}")
    templated = "<UDIM>" in path
    modified = 0.0
    if not templated:
        try:
            info = os.stat(path)  # noqa: PTH116  thousands of them: Path costs as much as stat
        except (OSError, ValueError):
            # Asked now, when it matters: what is there is a file, whatever else it is called.
            templated = bool(get(_LOCATABLE, "isTemplated"))
            if not templated:
                return Failure(Code.FILE_MISSING, f"its file is not there: {path}")
        else:
            if stat.S_ISDIR(info.st_mode):
                return Failure(Code.NOT_A_FILE, f"its location is a folder: {path}")
            modified = info.st_mtime
    stable, name = get(_VERSION, "stableTag"), get(_DISPLAY_NAME, "name")
    stable = stable if isinstance(stable, str) else ""
    name = name if isinstance(name, str) else ""
    immutable = bool(stable) and stable == get(_VERSION, "specifiedTag")
    return Resolution(reference, path, name, stable, immutable, templated, modified, manager)


def _path(url: str, to_path: FileUrlPathConverter) -> str | None:
    if not url.startswith("file://"):
        return None
    if url.startswith("file:///") and _ESCAPED.search(url) is None:
        return url[len("file://") :]  # the converter costs more than all the rest
    try:
        path: str = to_path.pathFromUrl(url)
    except (errors.OpenAssetIOException, UnicodeError):
        return None
    return path


def _properties(data: TraitsData) -> dict[str, dict[str, Any]]:
    return {
        trait: {key: data.getTraitProperty(trait, key) for key in data.traitPropertyKeys(trait)}
        for trait in data.traitSet()
    }
