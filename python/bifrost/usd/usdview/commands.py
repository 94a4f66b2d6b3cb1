# SPDX-License-Identifier: Apache-2.0
"""What the entries of the `Bifrost` menu do: look at usdview's stage, ask, show a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pxr import Usd

from bifrost.errors import Code, InvalidTraitsException
from bifrost.usd.usdview import graphs, panels, subjects, switching
from bifrost.usd.usdview.subjects import Subject
from bifrost.usd.usdview.trouble import said

if TYPE_CHECKING:
    from bifrost.host import BifrostHostInterface
    from bifrost.usd.usdview.dialogs import Row

Show = Callable[[Any, "BifrostHostInterface"], None]


class Command(NamedTuple):
    """
    An entry of the menu.

    Attributes:
        name: Its name among usdview's plugins.
        label: What the menu says.
        description: Its tooltip.
        show: Does it, given usdview's API and a host.
    """

    name: str
    label: str
    description: str
    show: Show

    def run(self, usdview: Any) -> None:
        """Do it in *usdview*, an object like `UsdviewApi`; whatever goes wrong becomes a message."""
        try:
            self.show(usdview, _host())
        except Exception as error:  # noqa: BLE001  usdview would print a traceback
            from bifrost.usd.usdview.dialogs import tell

            tell(usdview, said(error))


def asset_info(usdview: Any, host: BifrostHostInterface) -> None:
    """Show what is known of the entities of the selected prim and layer."""
    from bifrost.usd.usdview.dialogs import TableWindow

    found = _selected(usdview)
    window = TableWindow(usdview, "asset info")
    window.ask(
        lambda: [panels.asset_info(host, each) for each in found],
        lambda made: window.show_panels(*made),
    )
    window.show()


def history(usdview: Any, host: BifrostHostInterface) -> None:
    """Show the versions of the selected prim's asset, and let people switch to another."""
    from bifrost.usd.usdview.dialogs import Action, TableWindow

    subject = _selected(usdview)[0]

    def switch_to(row: Row) -> None:
        new = subject.at(row[0])
        # Asked for first, and not on this thread: then switching finds it in the caches.
        window.ask(lambda: host.resolve_usd_layer(new), lambda _: switch(new))

    def switch(new: str) -> None:
        shown(switching.switch(_stage(usdview), subject.prim_path, new))

    def back(_: Row) -> None:
        shown(switching.restore(_stage(usdview), subject.prim_path, subject.reference))

    def shown(done: switching.Switched) -> None:
        usdview.UpdateGUI()
        usdview.PrintStatus(f"{done.prim_path}: {done.before} → {done.after}")
        look()

    def look() -> None:
        now = _again(usdview, subject)
        window.ask(lambda: panels.history(host, now), window.show_panels)

    window = TableWindow(
        usdview,
        "version history",
        (Action("Switch to", switch_to), Action("As it was", back, needs_row=False)),
    )
    look()
    window.show()


def variants(usdview: Any, host: BifrostHostInterface) -> None:
    """Show the variants of the selected prim, and let people select another in the session layer."""
    from bifrost.usd.usdview.dialogs import Action, TableWindow

    panel = panels.variants(host, _stage(usdview), _prim_path(usdview))
    path = panel.title

    def select(row: Row) -> None:
        choose(row[0], row[1])

    def take_back(row: Row) -> None:
        choose(row[0], None)

    def choose(variant_set: str, variant: str | None) -> None:
        stage = _stage(usdview)
        root = stage.GetRootLayer().identifier
        host.select_usd_variant(root, path, variant_set, variant, stage=stage)
        usdview.UpdateGUI()
        window.show_panels(panels.variants(host, stage, path))

    window = TableWindow(
        usdview, "variants", (Action("Select", select), Action("Take back", take_back))
    )
    window.show_panels(panel)
    window.show()


def refresh(usdview: Any, host: BifrostHostInterface) -> None:
    """Let the stage show what its references mean now, and show what moved."""
    from bifrost.usd.usdview.dialogs import TableWindow, busy

    stage = _stage(usdview)
    # On this thread, which is the stage's; the manager's deadline bounds it.
    panel = busy(lambda: panels.refreshed(host, stage))
    usdview.UpdateGUI()
    usdview.PrintStatus(f"{len(panel.rows)} references moved")
    window = TableWindow(usdview, "refresh")
    window.show_panels(panel)
    window.show()


def graph(usdview: Any, host: BifrostHostInterface) -> None:
    """Draw what the selected asset needs, or what needs it; of a plain stage what its entities need."""
    from bifrost.usd.usdview.dialogs import Action, PictureWindow

    found = [each for each in _selected(usdview) if each.reference][:1]
    found = found or subjects.entities(_stage(usdview))

    def draw(direction: str) -> None:
        window.ask(lambda: graphs.picture(host, found, direction=direction), window.show_picture)

    window = PictureWindow(
        usdview,
        "dependency graph",
        (
            Action("What it needs", lambda _: draw("out"), needs_row=False),
            Action("What needs it", lambda _: draw("in"), needs_row=False),
            Action("Save as…", lambda _: window.save(), needs_row=False),
        ),
    )
    draw("out")
    window.show()


def pins(usdview: Any, host: BifrostHostInterface) -> None:
    """Show what the stage resolved to; write it as pins, or compare a file of pins with what is there."""
    from bifrost.usd.usdview.dialogs import Action, TableWindow, ask_file

    panel = panels.resolved(_stage(usdview))
    root = panel.title

    def write(path: str) -> None:
        window.ask(lambda: panels.pinned(host, root, path), show, limit_s=None)

    def verify(path: str) -> None:
        window.ask(lambda: panels.verified(host, path), show, limit_s=None)

    def show(made: panels.Panel) -> None:
        window.show_panels(made)

    window = TableWindow(
        usdview,
        "pins",
        (
            Action(
                "Write pins…",
                lambda _: ask_file(window, "Write pins", write, name="stage.pins.json", save=True),
                needs_row=False,
            ),
            Action(
                "Verify pins…", lambda _: ask_file(window, "Verify pins", verify), needs_row=False
            ),
        ),
    )
    window.show_panels(panel)
    window.show()


COMMANDS: Final = (
    Command(
        "Bifrost.assetInfo",
        "Asset info",
        "Reference, version, status, who and when, tier, location and tags of what is selected",
        asset_info,
    ),
    Command(
        "Bifrost.versionHistory",
        "Version history…",
        "The versions of the selected prim's asset; switch to another in this stage",
        history,
    ),
    Command(
        "Bifrost.variants",
        "Variants…",
        "The variants of the selected prim; select another in the session layer",
        variants,
    ),
    Command(
        "Bifrost.refresh",
        "Refresh",
        "Show what the references mean now, and what moved",
        refresh,
    ),
    Command(
        "Bifrost.dependencyGraph",
        "Dependency graph…",
        "What the selected asset needs, and what needs it",
        graph,
    ),
    Command(
        "Bifrost.pins",
        "Pins…",
        "Write what this stage resolves to, or verify pins",
        pins,
    ),
)


def _host() -> BifrostHostInterface:
    # By the front door, as anybody's plugin: `bifrost.usd` doesn't import what stands above it.
    from bifrost import bifrost_host

    return bifrost_host


def _stage(usdview: Any) -> Usd.Stage:
    stage = usdview.stage
    if stage is None:
        raise InvalidTraitsException("usdview has no stage open", code=Code.INVALID_TRAITS)
    return stage


def _selected(usdview: Any) -> list[Subject]:
    # A layer that was closed meanwhile is false.
    return subjects.selected(_stage(usdview), usdview.prim, usdview.layer or None)


def _prim_path(usdview: Any) -> str:
    """Return the path of the prim that is selected; usdview selects the root where nothing is."""
    prim = usdview.prim
    return str(prim.GetPath()) if prim and not prim.IsPseudoRoot() else ""


def _again(usdview: Any, subject: Subject) -> Subject:
    """Return *subject* as the stage shows it now: what it brings in may have been switched."""
    prim = _stage(usdview).GetPrimAtPath(subject.prim_path) if subject.prim_path else None
    return subjects.of_prim(prim) if prim else subject
