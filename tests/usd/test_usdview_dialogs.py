# SPDX-License-Identifier: Apache-2.0
"""usdview's menu with Qt, drawn nowhere: entries, windows, buttons, messages. Needs PySide6-Essentials."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show, layer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("PySide6") is None,
    reason="PySide6-Essentials is not installed (the extra `usdview`)",
)

STAND_IN = Path(__file__).with_name("usdview_stand_in")
PRELUDE = """
import json, os, sys, time
import pxr
from pxr import Plug, Sdf, Usd
pxr.__path__.append(os.environ["STAND_IN"])
from pxr.Usdviewq import plugin
from pxr.Usdviewq.api import UsdviewApi
from PySide6 import QtCore, QtWidgets
from bifrost import bifrost_host as host, session
import bifrost.usd.usdview

app = QtWidgets.QApplication([])
main = QtWidgets.QMainWindow()
stage = Usd.Stage.Open(sys.argv[1])
api = UsdviewApi(stage, main)
Plug.Registry().RegisterPlugins(os.path.dirname(bifrost.usd.usdview.__file__))
registry, builder = plugin.loadPlugins(api, main)

def select(path):
    api.dataModel.selection.setPrimPath(path)

def choose(label):
    [menu] = [each for each in main.menuBar().actions() if each.text() == "Bifrost"]
    [entry] = [each for each in menu.menu().actions() if each.text() == label]
    entry.trigger()
    app.processEvents()

def wait(condition, limit_s=60.0):
    ends = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends, "waited too long"
        app.processEvents(QtCore.QEventLoop.AllEvents, 20)
    return condition()

def window(title):
    found = [each for each in main.findChildren(QtWidgets.QDialog)
             if each.windowTitle() == f"Bifrost: {title}" and each.isVisible()]
    return found[-1] if found else None

def rows(shown):
    return [[table.item(r, c).text() for c in range(table.columnCount())]
            for table in shown.tables for r in range(table.rowCount())]

def filled(title):
    wait(lambda: window(title) and window(title).note.text() != "Asking…")
    return window(title)

def press(shown, label):
    shown.buttons[label].click()
    wait(lambda: all(each.isEnabled() for each in shown.buttons.values()))

def message():
    [box] = [each for each in main.findChildren(QtWidgets.QMessageBox) if each.isVisible()]
    text = box.text()
    box.accept()
    app.processEvents()
    return text

def choose_file(shown, path):
    [dialog] = [each for each in shown.findChildren(QtWidgets.QFileDialog) if each.isVisible()]
    dialog.selectFile(path)
    dialog.accept()
    app.processEvents()

def value(path="/p0"):
    return stage.GetPrimAtPath(path).GetAttribute("v").Get()

def show(**values):
    print(json.dumps(values))
"""
VARIANTS = """#usda 1.0
(
    defaultPrim = "a"
)
def "a" (
    variants = {
        string look = "red"
    }
    prepend variantSets = "look"
)
{
    variantSet "look" = {
        "blue" {
        }
        "red" {
        }
    }
}
"""


@pytest.fixture
def run(run_python):
    """Run source in a usdview of which only the menu is there; nothing it prints is a traceback."""

    def run_source(source: str, *arguments: Any) -> Any:
        env = {"QT_QPA_PLATFORM": "offscreen", "STAND_IN": str(STAND_IN)}
        done = run_python(PRELUDE + source, *arguments, env=env)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run_source


@pytest.fixture
def chair(show: Show) -> str:
    """A chair of two versions; returns its reference."""
    show.publish("chair.usda", layer(value="1"))
    return show.publish("chair.usda", layer(value="2"))


def test_asset_info_shows_the_prim_and_the_layer(show: Show, chair: str, run) -> None:
    """
    Each in a table of its own, once they are asked for.
    """
    seen = run(
        """
select("/p0")
api.layer = stage.GetRootLayer()
choose("Asset info")
shown = filled("asset info")
show(rows=rows(shown), tables=len(shown.tables), main=shown.parent() is main)
""",
        show.root("shot.usda", chair),
    )

    assert ["reference", chair] in seen["rows"]
    assert ["status", "wip"] in seen["rows"]
    assert ["reference", "none: a plain file"] in seen["rows"]
    assert (2, True) == (seen["tables"], seen["main"])


def test_another_version_is_switched_to_and_back(show: Show, chair: str, run) -> None:
    """
    The window follows, usdview is told to draw, the root layer isn't touched.
    """
    seen = run(
        """
select("/p0")
choose("Version history…")
shown = filled("version history")

def bold():
    table = shown.tables[0]
    return [table.item(r, 0).text() for r in range(table.rowCount()) if table.item(r, 0).font().bold()]

told = [[value(), bold()]]
press(shown, "Switch to")
unchosen = shown.note.text()
shown.tables[0].selectRow(1)
press(shown, "Switch to")
wait(lambda: bold() == ["1"])
told.append([value(), bold()])
press(shown, "As it was")
wait(lambda: bold() == ["2"])
told.append([value(), bold()])
press(shown, "As it was")
show(told=told, unchosen=unchosen, updates=api.updates, dirty=stage.GetRootLayer().dirty,
     status=api.messages, again=shown.note.text())
""",
        show.root("shot.usda", chair),
    )

    assert [["2", ["2"]], ["1", ["1"]], ["2", ["2"]]] == seen["told"]
    assert "Select a row first." == seen["unchosen"]
    assert (2, False) == (seen["updates"], seen["dirty"])
    assert f"/p0: {chair} → {chair}?version=1" == seen["status"][0]
    assert "nothing was switched" in seen["again"]


def test_a_variant_is_selected_and_taken_back(show: Show, run) -> None:
    """
    In the session layer.
    """
    reference = show.publish("robot.usda", VARIANTS)

    seen = run(
        """
select("/p0")
choose("Variants…")
shown = filled("variants")
look = stage.GetPrimAtPath("/p0").GetVariantSet("look")
told = [look.GetVariantSelection()]
for label in ("Select", "Take back"):
    shown.tables[0].selectRow(0)
    press(shown, label)
    told.append([look.GetVariantSelection(), [row[1] for row in rows(shown) if row[2]]])
show(told=told, dirty=stage.GetRootLayer().dirty)
""",
        show.root("shot.usda", reference),
    )

    assert ["red", ["blue", ["blue"]], ["red", ["red"]]] == seen["told"]
    assert not seen["dirty"]


def test_a_refresh_lists_what_moved(show: Show, chair: str, run) -> None:
    """
    From which version to which.
    """
    seen = run(
        """
from pathlib import Path
from bifrost.testing.show import Show, layer
Show(Path(sys.argv[2])).publish("chair.usda", layer(value="3"))
choose("Refresh")
show(rows=rows(filled("refresh")), value=value(), status=api.messages)
""",
        show.root("shot.usda", chair),
        show.folder,
    )

    assert [[chair, "2", "3"]] == seen["rows"]
    assert ("3", ["1 references moved"]) == (seen["value"], seen["status"])


def test_the_graph_is_drawn_and_kept(show: Show, chair: str, run, tmp_path: Path) -> None:
    """
    As large as its document says; without a selection it is that of all the stage's entities.
    """
    seen = run(
        """
choose("Dependency graph…")
shown = filled("dependency graph")
[label] = [each for each in shown.findChildren(QtWidgets.QLabel) if not each.pixmap().isNull()]
size = [label.pixmap().width(), label.pixmap().height()]
press(shown, "What needs it")
press(shown, "Save as…")
choose_file(shown, sys.argv[2])
wait(lambda: os.path.exists(sys.argv[2]))
show(size=size, note=shown.note.text())
""",
        show.root("shot.usda", chair),
        tmp_path / "out.svg",
    )

    assert ">chair</text>" in (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert min(seen["size"]) > 100
    assert "" == seen["note"]


def test_pins_are_written_and_verified(show: Show, chair: str, run, tmp_path: Path) -> None:
    """
    To the file that was chosen.
    """
    out = tmp_path / "stage.pins.json"

    seen = run(
        """
choose("Pins…")
shown = filled("pins")
told = [rows(shown)]
for label in ("Write pins…", "Verify pins…"):
    press(shown, label)
    choose_file(shown, sys.argv[2])
    wait(lambda: all(each.isEnabled() for each in shown.buttons.values()))
    told.append(shown.note.text())
show(told=told)
""",
        show.root("shot.usda", chair),
        out,
    )

    assert [chair, "2"] == seen["told"][0][0][:2]
    assert f"1 references and 1 files are pinned in {out}." == seen["told"][1]
    assert "Every pin holds." == seen["told"][2]
    assert chair in {each["reference"] for each in json.loads(out.read_text())["entities"]}


def test_what_goes_wrong_is_a_message(show: Show, chair: str, run) -> None:
    """
    Nothing selected, a prim of no asset, no stage, an error that nobody foresaw.
    """
    seen = run(
        """
told = {}
choose("Variants…")
told["nothing"] = message()
select("/a")
choose("Asset info")
told["no asset"] = message()
choose("Version history…")
told["no history"] = message()
api.dataModel.selection.getFocusPrim = lambda: 1 / 0
choose("Asset info")
told["unforeseen"] = message()
api.dataModel.stage = None
for entry in ("Asset info", "Version history…", "Variants…", "Refresh", "Dependency graph…", "Pins…"):
    choose(entry)
    told[entry] = message()
show(status=len(api.messages), **told)
""",
        show.root("shot.usda", chair),
    )

    assert 10 == seen.pop("status")
    assert "has variants: select another prim" in seen.pop("nothing")
    assert "comes from no asset" in seen.pop("no asset")
    assert "comes from no asset" in seen.pop("no history")
    assert "please report" in seen.pop("unforeseen")
    assert {"usdview has no stage open"} == set(seen.values())


def test_while_the_manager_is_down_the_windows_say_so(
    show: Show, chair: str, run, tmp_path: Path
) -> None:
    """
    And what the stage knows is shown nevertheless.
    """
    seen = run(
        """
os.environ["BIFROST_HOME"] = sys.argv[2]
os.environ["BIFROST_CATALOGUE__URL"] = "postgresql://127.0.0.1:9/gone"
session.use(session.Session())
select("/p0")
choose("Asset info")
info = filled("asset info")
choose("Version history…")
choose("Dependency graph…")
show(rows=rows(info), info=info.note.text(), history=filled("version history").note.text(),
     graph=filled("dependency graph").note.text())
""",
        show.root("shot.usda", chair),
        tmp_path / "other_home",
    )

    assert ["version", "2"] in seen["rows"]
    for each in ("info", "history", "graph"):
        assert "127.0.0.1:9" in seen[each] or "catalogue" in seen[each]


def test_usdview_draws_on_while_a_question_is_out(show: Show, chair: str, run) -> None:
    """
    A window that was closed hears no more of it; one that waited too long says so.
    """
    seen = run(
        """
import threading
from bifrost.usd.usdview.dialogs import Window
ticks, heard, gate = [], [], threading.Event()
timer = QtCore.QTimer()
timer.timeout.connect(lambda: ticks.append(1))
timer.start(5)

def slow():
    gate.wait(60)
    return "answer"

closed, late, patient = (Window(api, name) for name in ("closed", "late", "patient"))
closed.ask(slow, heard.append)
late.ask(slow, heard.append, limit_s=0.2)
patient.ask(slow, heard.append)
for each in (closed, late, patient):
    each.show()
wait(lambda: len(ticks) > 10)
closed.close()
wait(lambda: late.note.text() != "Asking…")
said = late.note.text()
gate.set()
wait(lambda: heard)
ends = len(ticks) + 20
wait(lambda: len(ticks) > ends)
show(said=said, heard=heard, patient=patient.note.text())
""",
        show.root("shot.usda", chair),
    )

    assert "No answer in 0.2 seconds" in seen["said"]
    assert ["answer"] == seen["heard"]
    assert "" == seen["patient"]


def test_pyside6_is_enough_where_there_is_no_usdview(run_python) -> None:
    """
    Whoever embeds the windows elsewhere needs no usdview.
    """
    done = run_python(
        """
from bifrost.usd.usdview import qt
from bifrost.usd.usdview.dialogs import Window
print(qt.BINDING, qt.QtWidgets.__name__)
""",
        env={"QT_QPA_PLATFORM": "offscreen"},
    )

    assert "PySide6 PySide6.QtWidgets" == done.stdout.strip()
