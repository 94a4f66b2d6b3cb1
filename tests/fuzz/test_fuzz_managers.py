# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802, N803, PLR0917 - OpenAssetIO names and documents the methods
"""
Managers that answer anything: callbacks for nobody, twice, late, never; answers of any kind; exceptions.

A real manager behind OpenAssetIO's own C++, which converts what it can and raises for the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from openassetio import errors
from openassetio.errors import BatchElementError
from openassetio.managerApi import ManagerInterface
from openassetio.trait import TraitsData
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1 as DisplayName
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1 as Version

sys.path.insert(0, str(Path(__file__).parent))
import grammars
from fuzzing import fuzz

from bifrost.assetio import CODES, AssetioManager, manager_from_interface
from bifrost.context import Context
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution

pytestmark = pytest.mark.timeout(1_800)

SHORT = 200
REFERENCES = tuple(f"any:///{number}" for number in range(4))
EXPECTED = {Operation.RESOLVE: Resolution, Operation.EXISTS: bool, Operation.TRAITS: frozenset,
            Operation.INFO: dict}  # fmt: skip
_Capability = ManagerInterface.Capability
_RAISED = (
    ValueError, TypeError, KeyError, RecursionError, TimeoutError, ConnectionError, OSError,
    UnicodeError, StopIteration, errors.OpenAssetIOException, errors.InputValidationException,
    errors.NotImplementedException, errors.ConfigurationException, AssertionError,
)  # fmt: skip


class AnythingManager(ManagerInterface):
    """
    A manager that does what its script says.

    A step is a name, the index it is about, and a value: `answer`, `fail`, `raise`, or nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Any] = []
        self.late: list[Callable[[], None]] = []

    def identifier(self) -> str:
        return "org.bifrost.test.anything"

    def displayName(self) -> str:
        return "Anything"

    def info(self) -> dict[str, Any]:
        return {}

    def settings(self, hostSession: Any) -> dict[str, Any]:
        return {}

    def initialize(self, managerSettings: dict[str, Any], hostSession: Any) -> None:
        pass

    def hasCapability(self, capability: Any) -> bool:
        return True

    def managementPolicy(self, traitSets: Any, access: Any, context: Any, session: Any) -> Any:
        return [TraitsData() for _ in traitSets]

    def isEntityReferenceString(self, someString: str, hostSession: Any) -> bool:
        return someString.startswith("any:")

    def entityExists(self, refs: Any, context: Any, session: Any, ok: Any, failed: Any) -> None:
        self._act(ok, failed, _plain)

    def entityTraits(
        self, refs: Any, access: Any, context: Any, session: Any, ok: Any, failed: Any
    ) -> None:
        self._act(ok, failed, lambda value: set(value) if isinstance(value, list) else value)

    def resolve(
        self, refs: Any, traits: Any, access: Any, context: Any, session: Any, ok: Any, failed: Any
    ) -> None:
        self._act(ok, failed, _traits_data)

    def _act(self, ok: Any, failed: Any, made: Callable[[Any], Any]) -> None:
        for name, index, value in self.script:
            if name == "answer":
                ok(index, made(value))
            elif name == "fail":
                codes = list(CODES)
                failed(index, BatchElementError(codes[len(repr(value)) % len(codes)], str(value)))
            elif name == "late":
                self.late.append(lambda index=index, value=value: ok(index, made(value)))
            elif name == "raise":
                raise _RAISED[len(repr(value)) % len(_RAISED)](str(value))


def _plain(value: Any) -> Any:
    return value


def _traits_data(value: Any) -> Any:
    """Return traits with *value* wherever we look; or itself, where it is nothing to set."""
    if not isinstance(value, (str, bool, int, float)):
        return value
    data = TraitsData()
    for trait, key in (
        (LocatableContent.kId, "location"),
        (LocatableContent.kId, "isTemplated"),
        (DisplayName.kId, "name"),
        (Version.kId, "stableTag"),
        (Version.kId, "specifiedTag"),
    ):
        data.setTraitProperty(trait, key, value)
    return data


def test_replies_of_managers(rounds: Callable[[int], int], seed: int, tmp_path: Path) -> None:
    """
    Each reference has one outcome, of the kind that was asked for, or a failure; nothing is raised.
    """
    interface = AnythingManager()
    manager = AssetioManager(lambda: manager_from_interface(interface, {}))
    there = tmp_path / "there.usda"
    there.write_text("#usda 1.0\n")
    snapshot = Context(user="ann").snapshot()

    def check(value: Any) -> None:
        if not _is_script(value):
            return
        interface.script = [step for step in value if len(step) == 3]
        for operation, kind in EXPECTED.items():
            reply = manager.handle(Request(operation, REFERENCES, snapshot))
            assert len(REFERENCES) == len(reply.outcomes)
            for outcome in reply.outcomes:
                assert isinstance(outcome, (kind, Failure)), (operation, outcome)
                if isinstance(outcome, Failure):
                    assert isinstance(outcome.message, str)
        for give in interface.late:
            _give(give)
        interface.late.clear()

    places = st.sampled_from(
        [there.as_uri(), "file:///nowhere", "http://x", "file:///%ff", "file://a"]
    )
    steps = st.tuples(
        st.sampled_from(["answer", "answer", "answer", "fail", "late", "raise", "none"]),
        st.integers(-1, 4) | st.integers(),
        places | grammars.VALUES | st.booleans() | st.lists(grammars.PLAIN_TEXT, max_size=3),
    )
    fuzz(check, st.lists(steps.map(list), max_size=6), rounds(SHORT), seed)


def _is_script(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(step, list) for step in value)


def _give(late: Callable[[], None]) -> None:
    """Call back long after the call, as no manager should; what OpenAssetIO says of it is its own."""
    try:
        late()
    except (TypeError, ValueError, OverflowError):
        return
