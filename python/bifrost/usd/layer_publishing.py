# SPDX-License-Identifier: Apache-2.0
"""
Edited layers published as the next versions of their assets: all of them or none.

What is edited is found (`edited_layers`), each asset gets the number that its next version will have,
and its files are written with arcs to those (`layer_staging`), bottom-up, so that what turns out to be the
newest version already keeps its number. Reading, checking and registering is the `Publisher`'s: one publish,
one transaction. Layers in memory are only read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bifrost import looking
from bifrost.catalogue import Catalogue, Staged
from bifrost.errors import BifrostError, Code, PublishRefusedException
from bifrost.model.entity_reference import is_asset_reference, reference_for
from bifrost.model.permissions import User
from bifrost.publishing import Finding, Publish, Publisher, Written, plugins
from bifrost.publishing.findings import ERROR
from bifrost.session import Session
from bifrost.usd import coming, working_copies
from bifrost.usd.arcs import Kind
from bifrost.usd.edited_layers import Reach
from bifrost.usd.extraction import Arc
from bifrost.usd.layer_staging import check_writable, write
from bifrost.usd.ordering import levels
from bifrost.usd.publish_units import Stray, Unit, is_floating
from bifrost.usd.version_plan import Plan, note_published

DEPENDENCIES: Final = ("publish-modified", "refuse-modified", "ignore")
_PICTURES: Final = ("thumbnail", "preview")
_SHOWN: Final = 10


class Wishes(NamedTuple):
    """
    How to publish.

    Attributes:
        comment: What to say about each version.
        metadata: What to set in the root asset's metadata.
        name: The display name of the root asset, if it is new.
        dependencies: One of `DEPENDENCIES`.
        pin: Whether arcs to what is published along name its version.
        allow_outdated: Whether edits of another version than the newest become the next one.
        expected_version: The number that the newest version of the root has to have.
        thumbnails: Whether thumbnails and previews are made.
        user: Who publishes.
    """

    comment: str = ""
    metadata: Mapping[str, Any] = {}
    name: str = ""
    dependencies: str = DEPENDENCIES[0]
    pin: bool = True
    allow_outdated: bool = False
    expected_version: int | None = None
    thumbnails: bool = True
    user: User = ""


class PublishedLayer(NamedTuple):
    """
    A layer that was published.

    Attributes:
        layer: The identifier of the layer that it was published from.
        reference: The reference to the version.
        version: Its number.
    """

    layer: str
    reference: str
    version: int


class PublishedLayers(NamedTuple):
    """
    What a publish of layers made.

    Attributes:
        root: The reference to the root's version: the newest one, where nothing had changed.
        published: What was published, each behind what it names; the root last.
        warnings: What validators found that stops nothing: `bifrost.publishing.Finding`.
        failed: By name, why an action behind the publish failed; `resume_publish` tries it again.
        publish_id: The publish, for `resume_publish`.
    """

    root: str
    published: tuple[PublishedLayer, ...]
    warnings: tuple[Finding, ...] = ()
    failed: Mapping[str, str] = {}
    publish_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {
            **self._asdict(),
            "published": [each._asdict() for each in self.published],
            "warnings": [each._asdict() for each in self.warnings],
        }


def publish(reach: Reach, session: Session, wishes: Wishes) -> PublishedLayers:
    """
    Publish the root of *reach* and what was edited under it.

    Raises:
        As `publish_layer` of the host says. Nothing was published, and nothing is left in the store.
    """
    root = reach.units[0]
    _check_strays(reach.strays)
    units = reach.edited()
    if wishes.dependencies == "refuse-modified" and units[1:]:
        raise _modified(root, units[1:])
    for unit in units:
        check_writable(reach, unit)
    catalogue = session.own_catalogue("publishing")
    plan = Plan(catalogue, units, allow_outdated=wishes.allow_outdated, user=wishes.user)
    run = _Run(reach, catalogue, plan, wishes)
    publisher = Publisher(catalogue, actions=_actions(wishes), on_published=session.invalidate)
    made = run.publish(publisher)
    _remember(run.units, made)
    return _answer(run.units, made)


class _Run:
    """
    One publish.

    Attributes:
        units: What is published, each behind what it names.
    """

    def __init__(self, reach: Reach, catalogue: Catalogue, plan: Plan, wishes: Wishes) -> None:
        self._reach, self._catalogue, self._plan, self._wishes = reach, catalogue, plan, wishes
        self._root = reach.units[0]
        self.units: list[Unit] = []
        self._written: list[Written] = []

    def publish(self, publisher: Publisher) -> Publish:
        """Write everything, and take it through the stages of *publisher*."""
        try:
            self._write()
        except BaseException:
            self._discard(self._written)
            raise
        with coming.versions(self._files()), looking.kept(is_for_all=True):
            made = publisher.draft_written(self._written, user=self._wishes.user)
            try:
                publisher.validate(made.id)
            except BifrostError:
                publisher.abort(made.id)
                raise
        try:
            return publisher.resume(made.id, user=self._wishes.user)
        except BifrostError:
            with contextlib.suppress(BifrostError):
                publisher.abort(made.id)
            raise

    def _write(self) -> None:
        for unit in self._bottom_up():
            folder = self._catalogue.store.folder()
            planned = self._plan.of(unit)
            draft = planned.draft(self._wishes.comment)
            written = Written(draft, folder)
            self._written.append(written)
            main = write(self._reach, unit, folder, self._target)
            self._written[-1] = written = Written(draft._replace(path=str(main)), folder)
            if self._plan.is_there_already(unit, main) and unit is not self._root:
                self._written.pop()
                self._discard([written])
                continue
            self._plan.check_base(unit)
            self.units.append(unit)
        self._written[-1] = self._of_root(self._written[-1])

    def _of_root(self, written: Written) -> Written:
        wishes, draft = self._wishes, written.draft
        expected = wishes.expected_version
        return written._replace(
            draft=draft._replace(
                name=wishes.name or draft.name,
                metadata=dict(wishes.metadata),
                expected_version=draft.expected_version if expected is None else expected,
            )
        )

    def _bottom_up(self) -> list[Unit]:
        """Return what is to be written; of a circle in any order, and the root last."""
        edited = {unit.path: unit for unit in self._reach.edited()}
        graph = {
            path: [each.path for each in unit.links if each.path in edited and each is not unit]
            for path, unit in edited.items()
        }
        ordered = [edited[path] for level in levels(graph) for path in level]
        return [*(unit for unit in ordered if unit is not self._root), self._root]

    def _target(self, unit: Unit | None, arc: Arc) -> str:
        floats = is_floating(arc.target)
        if floats and (not self._wishes.pin or arc.kind is Kind.METADATA):
            return ""
        if floats and (unit is None or self._plan.number(unit) is None):
            # It leads elsewhere now, and will lead to what is published.
            unit = self._plan.unit_of(arc.reference)
        number = self._plan.number(unit) if unit else None
        if unit is None or number is None:
            return ""
        is_path = not is_asset_reference(arc.reference)
        return reference_for(unit.asset_id, None if is_path and not self._wishes.pin else number)

    def _files(self) -> dict[str, str]:
        """Return the staged files by the references that mean them, and that mean nothing else yet."""
        files = {}
        for unit, written in zip(self.units, self._written, strict=True):
            planned = self._plan.of(unit)
            files[reference_for(unit.asset_id, planned.number)] = written.draft.path
            if planned.asset is None:
                files[reference_for(unit.asset_id)] = written.draft.path
        return files

    def _discard(self, written: Iterable[Written]) -> None:
        for each in written:
            self._catalogue.store.discard(Staged(each.folder, ""))


def _actions(wishes: Wishes) -> dict[str, Any]:
    actions = plugins.actions()
    if wishes.thumbnails:
        return actions
    return {name: action for name, action in actions.items() if name not in _PICTURES}


def _remember(units: Sequence[Unit], made: Publish) -> None:
    """Note of what was made by which version they are now, so that the next publish goes on from there."""
    for unit, reference in zip(units, made.results, strict=True):
        number = _number(reference)
        note_published(unit, number)
        if unit.origin is not None and unit.origin.asset_id == unit.asset_id:
            with contextlib.suppress(OSError):  # the version is there; the next publish asks again
                names = unit.contents.files if unit.contents is not None else ()
                working_copies.published(unit.path, number, names)


def _answer(units: Sequence[Unit], made: Publish) -> PublishedLayers:
    published = tuple(
        PublishedLayer(unit.name, reference, _number(reference))
        for unit, reference in zip(units, made.results, strict=True)
    )
    return PublishedLayers(
        made.results[-1],
        published,
        made.findings,
        {name: state.error for name, state in made.actions.items() if not state.done},
        made.id,
    )


def _number(reference: str) -> int:
    return int(reference.rpartition("=")[2])


def _check_strays(strays: Iterable[Stray]) -> None:
    found = list(strays)
    if not found:
        return
    shown = "; ".join(f"{each.layer} (named by {each.named_by})" for each in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise _refused(
        f"layers that are of no asset would stay behind: {shown}{more}. Say what they become with "
        f'new={{"{found[0].layer}": "bifrost:///assets/<id>"}}, or move files below the root\'s folder',
        [
            Finding("dependencies", ERROR, "no-asset", f"{each.layer} is of no asset", each.layer)
            for each in found
        ],
    )


def _modified(root: Unit, units: Sequence[Unit]) -> PublishRefusedException:
    findings = [
        Finding(
            "dependencies",
            ERROR,
            "modified-dependency",
            f"{unit.name} is edited, or names what is",
            unit.name,
            unit.asset_id,
        )
        for unit in units
    ]
    shown = ", ".join(unit.name for unit in units[:_SHOWN])
    more = f" and {len(units) - _SHOWN} more" if len(units) > _SHOWN else ""
    return _refused(
        f"{root.name} reaches edited layers: {shown}{more}. Publish them first, or along with it: "
        "dependencies='publish-modified'",
        findings,
    )


def _refused(message: str, findings: Sequence[Finding]) -> PublishRefusedException:
    return PublishRefusedException(message, code=Code.REFUSED, details={"findings": list(findings)})
