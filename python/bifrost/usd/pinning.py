# SPDX-License-Identifier: Apache-2.0
"""Makes pins: resolves everything that a root reaches, and reads every file of it once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from pxr import Usd

from bifrost.context import Context, effective, login_name, policy
from bifrost.model.resolution import Resolution
from bifrost.session import Session, current
from bifrost.usd.dependencies import Found
from bifrost.usd.folder import is_uri
from bifrost.usd.measuring import Measure, measured
from bifrost.usd.pin_checks import Finding, verify
from bifrost.usd.pins import Pin, Pins, Unresolved, load
from bifrost.usd.reach import Reach, reach, resolved

_HANDLE = "context="


def pin(
    root: str,
    session: Session | None = None,
    *,
    context: Context | None = None,
    selected_variants: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Pins:
    """
    Return the pins of *root*, a file or an entity reference, and of all that it reaches.

    Every layer, texture, UDIM set, clip and variant branch; with *selected_variants* what the stage
    composes, for which the plugin is needed. What can't be pinned is in `Pins.unresolved`. One question
    to the manager for each level of layers; every file is read once.

    Raises:
        AssetException: *root* doesn't resolve.
        BifrostError: *root* can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    asked = session or current()
    reached = reach(root, asked, context=context, selected_variants=selected_variants)
    there = [each for each in reached.found.values() if each.path and not each.problem]
    measures = measured([each.path for each in there])
    answers = resolved(reached)
    made = [
        _pin(f, m, answers) for f, m in zip(there, measures, strict=True) if isinstance(m, Measure)
    ]
    gone = [(f, m) for f, m in zip(there, measures, strict=True) if isinstance(m, OSError)]
    return Pins(
        # Not `Path.resolve`: USD leaves links alone.
        root=root if is_uri(root) else os.path.abspath(root),  # noqa: PTH100
        variants="selected" if selected_variants else "all",
        made=clock().astimezone(UTC).isoformat(timespec="seconds"),
        by=str(effective(reached.context).get("user") or login_name()),
        manager=_manager(answers.values(), asked),
        openusd=openusd_version(),
        policy=_shown(reached.context),
        entities=tuple(sorted((e for e in made if e.reference), key=_key)),
        files=tuple(sorted((e for e in made if not e.reference), key=_key)),
        unresolved=tuple(sorted(_unresolved(reached, gone))),
    )


def verified(
    path: str | os.PathLike[str],
    session: Session | None = None,
    *,
    roots: Mapping[str, str] | None = None,
    hashes: bool = True,
) -> list[Finding]:
    """
    Return what no longer is as the file of pins at *path* says, as `pin_checks.verify`, and whether the
    manager and the OpenUSD in force are others.

    Raises:
        ConfigurationError: there are no pins at *path*, or `BIFROST_PINS_ROOTS` can't be read.
    """
    asked = session or current()
    return verify(
        load(path),
        roots=roots,
        manager=asked.manager_identifier,
        openusd=openusd_version(),
        hashes=hashes,
    )


def openusd_version() -> str:
    """Return the version of OpenUSD in this process, such as `26.8`."""
    return ".".join(map(str, Usd.GetVersion()[1:]))


def _key(pin: Pin) -> str:
    return pin.key


def _pin(found: Found, measure: Measure, answers: dict[str, Resolution]) -> Pin:
    answer = answers.get(found.reference)
    if answer is None:
        return Pin("", found.path, found.kind, *measure)
    return Pin(
        _identifier(found.reference),
        answer.path,
        found.kind,
        *measure,
        version=answer.version,
        name=answer.name,
        manager=answer.manager,
        immutable=answer.immutable,
        templated=answer.templated,
        modified=answer.modified,
    )


def _identifier(reference: str) -> str:
    """Return *reference* as the resolver looks it up: its scheme in lower case."""
    scheme, colon, rest = reference.partition(":")
    return scheme.lower() + colon + rest


def _unresolved(reached: Reach, gone: Iterable[tuple[Found, OSError]]) -> Iterable[Unresolved]:
    for each in reached.problems:
        yield Unresolved(each.reference, each.layer, each.problem)
    for each, error in gone:
        yield Unresolved(each.reference, each.layer, error.strerror or str(error))
    for layer, path in reached.open_ended:
        yield Unresolved(path, layer, "the variable expression means nothing under this root")


def _manager(answers: Iterable[Resolution], session: Session) -> str:
    return next((each.manager for each in answers if each.manager), session.manager_identifier)


def _shown(context: Context | None) -> str:
    """Return the policy of *context*, without the handle that means something here alone."""
    if context is None:
        return ""
    pairs = policy(context).split(";")
    return ";".join(pair for pair in pairs if not pair.startswith(_HANDLE))
