# SPDX-License-Identifier: Apache-2.0
"""
Publishing what USD wrote to an entity reference: what the resolver plugin asks for at the end.

    bifrost:///assets/<id>[?type=<type>&name=<name>&format=<usda, usdc or usd>]

`type` and `name` are a new asset's; one that is there keeps its own. `format` is the resolver's business.
What else a reference may say names a version, or a file, that stays as it is.

`why_not` may be called with USD's layer registry locked, and so touches nothing of USD. `publish` is called
with no lock held, on a thread that may have a context bound, resolves cached, or changes of layers held
back; publishing opens layers of its own and must see none of that, so it has a thread of its own.
"""

from __future__ import annotations

import contextvars
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from bifrost.context import ContextSnapshot, login_name
from bifrost.errors import (
    AccessModeException,
    BifrostError,
    Code,
    InvalidReferenceException,
    UnsupportedOperationException,
)
from bifrost.model.entity_reference import (
    LATEST,
    PREFIX,
    parse,
    reference_for,
    without_format_args,
)
from bifrost.model.permissions import User, name_of
from bifrost.model.reply import Reply
from bifrost.session import Session

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue
    from bifrost.publishing import Draft

FOR_WRITING: Final = ("type", "name", "format")
"""The parameters that say what becomes of an asset (resolver/asset_path.h has them too)."""

FORMATS: Final = ("usd", "usda", "usdc")
NEW_TYPE: Final = "model"
"""The type of a new asset whose reference says none."""

_MOST_NAMED: Final = 200  # of the 255 bytes that a file name may have


class Target(NamedTuple):
    """
    What is written to.

    Attributes:
        asset_id: The asset.
        asset_type: The type that the reference says, or "".
        name: The name that it says, or "".
    """

    asset_id: str
    asset_type: str
    name: str

    @property
    def floating(self) -> list[str]:
        """The references that mean something else after a publish."""
        return [reference_for(self.asset_id), reference_for(self.asset_id, LATEST)]


class Made(NamedTuple):
    """
    What a publish made.

    Attributes:
        path: The file of the version.
        answers: What the references that float resolve to now, for who published.
    """

    path: str
    answers: Reply


def why_not(session: Session, who: ContextSnapshot, identifier: str) -> str:
    """Return why no version can be made of what *identifier* names; "" where one can. Asks the catalogue."""
    try:
        _draft(session, who, target_of(session, identifier))
    except BifrostError as error:
        return told(error)
    return ""


def publish(session: Session, who: ContextSnapshot, identifier: str, staged: Path) -> Made:
    """
    Publish the file *staged*, which is alone in its folder and may be renamed, as the next version.

    A file with the content of the newest version makes none. What lies beside that comes along as far
    as the file names it. What killed processes left staged is swept away first.

    Raises:
        As `bifrost_host.register_version`; nothing is left behind then.
    """
    from bifrost.usd import leftovers

    target = target_of(session, identifier)
    draft = _draft(session, who, target)
    named = staged.with_name(_file_name(target.asset_id) + staged.suffix)
    staged.rename(named)

    def made() -> str:
        leftovers.sweep(session.publisher, named.parent.parent)
        _bring_beside(session.catalogue, target.asset_id, named.parent)
        draft_of_file = draft._replace(path=str(named))
        return session.publisher.publish([draft_of_file], user=_user(who)).results[0]

    path = _file_of(session.catalogue, alone(made))
    return Made(path, session.resolve(target.floating, who))


def target_of(session: Session, identifier: str) -> Target:
    """
    Return what is written to where *identifier* is.

    Raises:
        UnsupportedOperationException: another manager answers here.
        InvalidReferenceException: it is malformed.
        AccessModeException: it names a version, or a file of one, that stays as it is.
    """
    identifier = without_format_args(identifier)
    if not session.uses_own_catalogue:
        manager = session.assetio_manager().manager().identifier()
        raise UnsupportedOperationException(
            f"{identifier}: {manager} takes no files that are written through references; publish "
            "them with its own tools, or into Bifrost's own catalogue",
            asset_uri=identifier,
            code=Code.UNSUPPORTED,
        )
    try:
        pure, said = split(identifier)
        asked = parse(pure)
        values = {key: unquote(value, errors="strict") for key, value in said.items()}
    except ValueError as error:
        raise _malformed(identifier, str(error)) from None
    if values.get("format", "usd") not in FORMATS:
        raise _malformed(identifier, f"format is one of {', '.join(FORMATS)}: {identifier[:200]}")
    if asked.version not in (None, LATEST) or asked.representation or asked.publish:
        raise AccessModeException(
            f"{identifier} names what stays as it is; {reference_for(asked.asset_id)} names the asset, "
            "of which a new version can be made",
            asset_uri=identifier,
            code=Code.ACCESS,
        )
    return Target(asked.asset_id, values.get("type", ""), values.get("name", ""))


def split(identifier: str) -> tuple[str, dict[str, str]]:
    """Return *identifier* without what it says for writing, and that, as it is encoded."""
    path, mark, query = identifier.partition("?")
    parts = [part.partition("=") for part in query.split("&")] if mark else []
    said = {key: value for key, _, value in parts if key in FOR_WRITING}
    kept = ["".join(part) for part in parts if part[0] not in FOR_WRITING]
    return path + ("?" + "&".join(kept) if kept else ""), said


def told(error: BaseException) -> str:
    """Return *error* as one line for a person: what happened, what to do, and the code."""
    if not isinstance(error, BifrostError):
        return f"{type(error).__name__}: {error} [{Code.UNKNOWN}]"
    text = " ".join(filter(None, (error.message, error.remedy)))
    return f"{text} [{error.code}]"


def alone(work: Callable[[], str]) -> str:
    """
    Return what *work* returns on a thread of its own, and raise what it raises.

    The plugin calls on one already, but where it had to start Python first: then this is USD's. Ctrl-C
    does not reach it: neither is Python's main thread.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            outcome["error"] = error

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(run,), name="bifrost-publish"
    )
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending, and starts no more threads
        run()
    else:
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
    value: str = outcome["value"]
    return value


def _draft(session: Session, who: ContextSnapshot, target: Target) -> Draft:
    """
    Return the draft of the version, its file aside.

    Raises:
        PermissionDeniedException: *who* may not publish the asset.
        InvalidReferenceException: a new asset can't have that id.
        CatalogueError: the catalogue can't be used.
    """
    from bifrost.publishing import Draft
    from bifrost.publishing.drafts import AS_IT_IS, Prepared
    from bifrost.publishing.names import check_draft, check_new_id

    catalogue = session.own_catalogue("publishing")
    asset = catalogue.found([target.asset_id]).get(target.asset_id)
    if asset is None:
        check_new_id(target.asset_id)
    name = asset.name if asset is not None else target.name or _leaf(target.asset_id)
    asset_type = asset.asset_type if asset is not None else target.asset_type or NEW_TYPE
    draft = Draft(target.asset_id, name, asset_type, "", kept=AS_IT_IS if asset is not None else ())
    check_draft(draft)
    user = _user(who)
    publication = Prepared(draft, "", "", "", 0).publication(name_of(user))
    catalogue.check_publications([publication], user=user)
    return draft


def _user(who: ContextSnapshot) -> User:
    return who.who or login_name()


def _file_of(catalogue: Catalogue, reference: str) -> str:
    made = parse(reference)
    path, _ = _files_of(catalogue, made.asset_id, made.version)
    return "" if path is None else str(path)


def _bring_beside(catalogue: Catalogue, asset_id: str, folder: Path) -> None:
    """Put what lies beside the newest version's file into *folder*: an export keeps relative paths."""
    path, beside = _files_of(catalogue, asset_id, None)
    if path is None:
        return
    for name in beside:
        source, copied = path.parent / name, folder / name
        if copied.exists() or not source.is_file():
            continue
        copied.parent.mkdir(parents=True, exist_ok=True)
        try:
            copied.hardlink_to(source)
        except OSError:  # another disk
            shutil.copyfile(source, copied)


def _files_of(
    catalogue: Catalogue, asset_id: str, version: str | None
) -> tuple[Path | None, list[str]]:
    from bifrost.catalogue import VersionRecord
    from bifrost.catalogue.records import file_of

    [record] = catalogue.resolve([(asset_id, version)])
    if not isinstance(record, VersionRecord):
        return None, []
    files = record.properties.get("files", []) if not record.templated else []
    return file_of(record.location), [each["name"] for each in files]


def _leaf(asset_id: str) -> str:
    return asset_id.rstrip("/").rpartition("/")[2] or asset_id


def _file_name(asset_id: str) -> str:
    """Return a file's name without extension: the last part of the id, as far as names can hold it."""
    name = re.sub(r"\.usd[acz]?$", "", _leaf(asset_id), flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]+", "_", name).lstrip(".")
    return name.encode()[:_MOST_NAMED].decode("utf-8", "ignore") or "layer"


def _malformed(identifier: str, why: str) -> InvalidReferenceException:
    hint = f"write to {PREFIX}<id>?type=<type>&name=<name>&format=<format>"
    return InvalidReferenceException(
        f"{why}; {hint}", asset_uri=identifier[:1000], code=Code.MALFORMED_REFERENCE
    )
