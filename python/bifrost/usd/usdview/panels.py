# SPDX-License-Identifier: Apache-2.0
"""
What the menu shows, as tables of text. No Qt.

What takes a host asks it, and may run on any thread: it looks at no stage. What takes a stage belongs
to the thread that edits it, and asks the manager only where it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pxr import Usd

from bifrost.errors import BifrostError, Code, InvalidTraitsException
from bifrost.model.entity_reference import is_asset_reference, parse, without_format_args
from bifrost.usd.contexts import for_root
from bifrost.usd.stage import resolutions
from bifrost.usd.usdview.subjects import Subject
from bifrost.usd.usdview.trouble import said

if TYPE_CHECKING:
    from bifrost.host import BifrostHostInterface

_NOTHING_MOVED: Final = "Nothing moved: every reference means what the stage shows."
_ROOT_MOVED: Final = (
    "The stage's own root has another version now. A stage can't get another root: open it again."
)


class Panel(NamedTuple):
    """
    A table.

    Attributes:
        title: What it is about.
        columns: The names of its columns.
        rows: Its rows, a text for each column.
        note: What else there is to say: what could not be asked, what to do; or "".
        current: The row that the stage shows, None for none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    current: int | None = None


def asset_info(host: BifrostHostInterface, subject: Subject) -> Panel:
    """
    Return what is known of an entity: reference, version, status, who and when, tier, location, tags.

    Where the manager can't be asked, what the stage knows of it, and a note that says why.
    """
    note = subject.why
    facts: dict[str, Any] = {}
    if subject.reference:
        try:
            facts = _told(host, subject)
        except BifrostError as error:
            note = said(error)
    rows = (*_known(subject), *_facts(facts))
    return Panel(subject.title, ("", ""), tuple((key, text) for key, text in rows if text), note)


def history(host: BifrostHostInterface, subject: Subject) -> Panel:
    """
    Return the versions of an asset, the newest first: number, status, by whom, when, comment.

    Four round trips.

    Raises:
        InvalidTraitsException: the subject is no asset.
        UnsupportedOperationException: another manager is configured, which keeps its own history.
        AssetException: the asset can't be asked for, or may not be read.
    """
    asset_id = _asset_id(subject)
    catalogue = host.session.own_catalogue("the history of versions")
    host.get_status(subject.pinned)  # raises where who asks may not read it
    versions = catalogue.versions(asset_id)
    statuses = catalogue.statuses([(each.asset_id, each.number) for each in versions])
    rows = tuple(
        (
            str(each.number),
            statuses[each.asset_id, each.number].status,
            each.created_by,
            _moment(each.created),
            each.comment,
        )
        for each in versions
    )
    numbers = [row[0] for row in rows]
    current = numbers.index(subject.version) if subject.version in numbers else None
    return Panel(
        subject.reference,
        ("version", "status", "by", "when", "comment"),
        rows,
        "Switching edits this stage's session layer alone: no file, and nobody else's stage.",
        current,
    )


def variants(host: BifrostHostInterface, stage: Usd.Stage, prim_path: str) -> Panel:
    """
    Return the variants of the prim, or of the nearest one above it that has some: one row for each.

    Asks nobody.

    Raises:
        InvalidTraitsException: neither it nor a prim above it has variants; or there is no such prim.
    """
    path = _with_variants(stage, prim_path)
    sets = host.get_usd_variants(stage.GetRootLayer().identifier, path, stage=stage)
    rows = tuple(
        (
            name,
            variant,
            "selected" if variant == each["selection"] else "",
            _opinion(each["source"]) if variant == each["selection"] else "",
        )
        for name, each in sets.items()
        for variant in each["variants"]
    )
    inside = next((each["instance"] for each in sets.values() if each["instance"]), "")
    note = f"It is inside the instance {inside}, where USD has no opinions." if inside else ""
    return Panel(path, ("variant set", "variant", "", "whose opinion"), rows, note)


def refreshed(host: BifrostHostInterface, stage: Usd.Stage) -> Panel:
    """
    Let *stage* show what its references mean now; return what moved, from which version to which.

    Only the prims that moved recompose. One round trip; on the thread that edits the stage.

    Raises:
        BifrostError: as `host.refresh`.
    """
    done = host.refresh(stage)
    rows = tuple(
        (
            each.reference,
            each.version or each.path or "unresolved",
            each.new_version or each.new_path or "unresolved",
        )
        for each in done.moved
    )
    note = _ROOT_MOVED if done.root_moved else "" if rows else _NOTHING_MOVED
    return Panel("What moved", ("reference", "was", "is"), rows, note)


def resolved(stage: Usd.Stage) -> Panel:
    """Return what the layers of *stage* that references name resolved to. Asks nobody."""
    rows = tuple(
        (row["reference"], str(row["version"]), str(row["path"])) for row in resolutions(stage)
    )
    edited = [each.GetDisplayName() for each in _edited(stage)]
    note = f"Edits that aren't saved are in no pins: {', '.join(edited)}." if edited else ""
    return Panel(root_of(stage), ("reference", "version", "path"), rows, note)


def root_of(stage: Usd.Stage) -> str:
    """
    Return what *stage* was opened from, a file or an entity reference, to be pinned.

    Raises:
        InvalidTraitsException: it is in memory alone.
    """
    layer = stage.GetRootLayer()
    if layer.anonymous:
        raise InvalidTraitsException(
            "the stage is in memory alone: save it, then open the file", code=Code.INVALID_TRAITS
        )
    return str(layer.identifier)


def pinned(host: BifrostHostInterface, root: str, path: str) -> Panel:
    """
    Write the pins of *root* to the file *path*; return what could not be pinned.

    Every file is read once: of a large shot that takes its time.

    Raises:
        BifrostError: as `host.pin_usd`.
        OSError: *path* can't be written.
    """
    # usdview opens its stages in the environment's context, and the root layer's own settings.
    pins = host.pin_usd(root, path, context=for_root(None, root))
    rows = tuple((each.reference, each.layer, each.problem) for each in pins.unresolved)
    count = f"{len(pins.entities)} references and {len(pins.files)} files are pinned in {path}."
    return Panel(root, ("could not be pinned", "named by", "why"), rows, count)


def verified(host: BifrostHostInterface, path: str) -> Panel:
    """
    Return what no longer is as the pins in the file *path* say.

    Raises:
        ConfigurationError: there are no pins in it.
    """
    found = host.verify_pins(Path(path))
    rows = tuple((str(each.trouble), each.subject, each.message) for each in found)
    return Panel(path, ("trouble", "pin", "what"), rows, "" if rows else "Every pin holds.")


def _told(host: BifrostHostInterface, subject: Subject) -> dict[str, Any]:
    """Return what the catalogue knows of the version, with the metadata that its asset has today."""
    facts = host.get_usd_layer_metadata(subject.pinned)["catalogue"]
    if not facts:  # another manager's, or none of who asks may read
        return {}
    assets = host.session.catalogue.found([facts["asset_id"]])
    today = {key: asset.metadata for key, asset in assets.items()}
    return {**facts, "metadata": {**facts["metadata"], **today.get(facts["asset_id"], {})}}


def _known(subject: Subject) -> Iterator[tuple[str, str]]:
    yield "reference", subject.reference or "none: a plain file"
    yield "version", subject.version
    yield "name", subject.name
    yield "brought in by", subject.prim_path
    yield "location", subject.path or "in memory"
    yield "manager", subject.manager
    yield "answered by", subject.tier


def _facts(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    metadata = facts.get("metadata") or {}
    yield "type", facts.get("asset_type", "")
    yield "status", facts.get("status", "") + (", deprecated" if facts.get("deprecated") else "")
    yield "published by", facts.get("created_by", "")
    yield "published", _moment(datetime.fromisoformat(facts["created"])) if facts else ""
    yield "comment", facts.get("comment", "")
    yield "tags", _words(metadata.get("tags"))
    yield "description", str(metadata.get("description") or "")


def _words(tags: Any) -> str:
    if isinstance(tags, str):
        return tags
    return ", ".join(map(str, tags)) if isinstance(tags, Sequence) else ""


def _asset_id(subject: Subject) -> str:
    reference = without_format_args(subject.reference)
    if not is_asset_reference(reference):
        named = reference or subject.path or "a layer in memory"
        raise InvalidTraitsException(
            f"{subject.title} is {named}, which is no asset of the catalogue and has no versions there",
            code=Code.INVALID_TRAITS,
        )
    return parse(reference).asset_id


def _moment(time: datetime) -> str:
    """Return *time* in the zone of whoever looks."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def _with_variants(stage: Usd.Stage, prim_path: str) -> str:
    prim = stage.GetPrimAtPath(prim_path) if prim_path else None
    while prim and not prim.IsPseudoRoot():
        if prim.HasVariantSets():
            return str(prim.GetPath())
        prim = prim.GetParent()
    raise InvalidTraitsException(
        f"neither {prim_path or 'the stage'} nor a prim above it has variants: select another prim",
        code=Code.INVALID_TRAITS,
    )


def _opinion(source: Any) -> str:
    if source is None:
        return ""
    named = source["reference"] or source["layer"]
    version = f" (version {source['version']})" if source["version"] else ""
    return f"{source['arc']}: {named}{version}" if named else str(source["arc"])


def _edited(stage: Usd.Stage) -> Iterable[Any]:
    session = stage.GetSessionLayer()
    layers = [each for each in stage.GetUsedLayers() if each.dirty and each != session]
    return sorted(layers, key=lambda each: str(each.identifier))
