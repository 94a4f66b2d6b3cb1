# SPDX-License-Identifier: Apache-2.0
"""`bifrost.usd.context` makes resolver contexts; a root layer's own settings make its default one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bifrost.testing.show import Show, layer

PRELUDE = """
import os, sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
import bifrost.usd
from bifrost.usd import resolver_stats
from pxr import Ar, Sdf, Usd
from bifrost import bifrost_host as host
from bifrost.context import Context
from bifrost.errors import BifrostError
from bifrost.testing.show import Show, layer

def value(stage, path="/p0"):
    return stage.GetPrimAtPath(path).GetAttribute("v").Get()

def shown(context):
    return [each for each in context.Get() if isinstance(each, str)][0]
"""


@pytest.fixture
def leaf(show: Show) -> str:
    """An asset of three versions, whose second is approved."""
    for number in (1, 2, 3):
        reference = show.publish("leaf.usda", layer(value=str(number)))
    show.catalogue.set_status("leaf.usda", "2", "review", user="a")
    show.catalogue.set_status("leaf.usda", "2", "approved", user="a")
    return reference


def with_settings(root: Path, name: str = "bifrost", **settings: object) -> Path:
    """Write settings into a root layer's custom layer data; return it."""
    texts = "".join(
        f"string {key} = {json.dumps(value)}\n"
        if isinstance(value, str)
        else f"int {key} = {value}\n"
        for key, value in settings.items()
    )
    data = f"(\n customLayerData = {{\n  dictionary {name} = {{\n{texts}}}\n }}\n"
    root.write_text(root.read_text().replace("(\n", data, 1))
    return root


def test_the_call_of_the_manual_opens_what_is_approved(show: Show, leaf: str, run) -> None:
    """
    A status, a number, the newest, of one root at once; equal arguments make equal contexts.
    """
    root = show.root("root.usda", leaf)

    lines = run(
        """
contexts = [
    bifrost.usd.context(Context(), version_policy="approved"), bifrost.usd.context(version_policy=1),
    bifrost.usd.context(version_policy="latest"), bifrost.usd.context()]
stages = [Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), each) for each in contexts]
print([value(each) for each in stages])
print(contexts[0] == bifrost.usd.context(Context(version="approved")), contexts[0] == contexts[1])
""",
        root,
    )

    assert ["['2', '1', '3', '3']", "True False"] == lines


def test_a_moment_freezes_the_show(show: Show, leaf: str, run) -> None:
    """
    As a time or as text; what was published later is not there.
    """
    root = show.root("root.usda", leaf)

    lines = run(
        """
moment = datetime.now(timezone.utc)
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="4"))
for as_of in (moment, moment.isoformat(), moment + timedelta(days=1)):
    context = bifrost.usd.context(as_of=as_of)
    print(value(Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), context)))
""",
        root,
        show.folder,
    )

    assert ["3", "3", "4"] == lines


def test_pins_of_a_context_are_its_own(show: Show, leaf: str, run, tmp_path: Path) -> None:
    """
    Two stages of one root, one with pins: that stays where it was pinned.
    """
    root = show.root("root.usda", leaf)

    lines = run(
        """
host.pin_usd(sys.argv[1], sys.argv[3], context=Context(version="1"))
pinned = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(pins=Path(sys.argv[3])))
print(value(pinned), value(Usd.Stage.Open(sys.argv[1])), host.refresh(pinned).moved)
""",
        root,
        show.folder,
        tmp_path / "shot of a; day.pins.json",
    )

    assert ["1 3 ()"] == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'alice'", "context: expected a bifrost.Context, got str"),
        ("as_of=5", "as_of: expected an ISO 8601 time such as 2026-03-01T18:00:00Z, got 5"),
        ("as_of='yesterday'", "as_of: expected an ISO 8601 time"),
        ("pins='/nowhere/shot.pins.json'", "pins: there is no file /nowhere/shot.pins.json"),
        ("pins_missing='maybe'", "pins_missing: expected fail, warn, resolve, got maybe"),
    ],
)
def test_what_can_not_be_meant_is_refused(arguments: str, message: str, run) -> None:
    """
    Before anything is opened with it.
    """
    lines = run(
        f"""
try:
    bifrost.usd.context({arguments})
except BifrostError as error:
    print(error)
"""
    )

    assert [True] == [line.startswith(message) for line in lines]


def test_bare_paths_are_looked_for_beside_the_root(show: Show, run) -> None:
    """
    As in a default context, when the root is told.
    """
    show.root("other/beside.usda").write_text(layer(value="beside"))
    sub = show.root("sub/deep.usda", "other/beside.usda")
    top = show.root("top.usda")
    top.write_text(top.read_text().replace("(\n", f"(\n subLayers = [@{sub}@]\n", 1))

    lines = run(
        """
for root in ("", sys.argv[1]):
    stage = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(root=root))
    print([str(each.GetPath()) for each in stage.Traverse() if each.GetAttribute("v").Get() == "beside"])
""",
        top,
    )

    assert ["[]", "['/p0']"] == lines


# A root layer's own settings


@pytest.mark.parametrize("encoding", ["usda", "usdc"])
def test_a_root_layer_says_how_it_is_resolved(show: Show, leaf: str, run, encoding: str) -> None:
    """
    Its custom layer data, text or crate; whoever opens it, by path, by the host, or by reference.
    """
    text = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run(
        """
from pxr import Usd
path = sys.argv[1]
if sys.argv[2] == "usdc":
    path = path.replace("root.usda", "crate.usdc")
    Sdf.Layer.OpenAsAnonymous(sys.argv[1]).Export(path)
stage = Usd.Stage.Open(path)
print(value(stage), shown(stage.GetPathResolverContext()).startswith("bifrost(version=approved;root="))
del stage
print(value(host.open_usd_stage(path)))
""",
        text,
        encoding,
    )

    assert ["2 True", "2"] == lines


def test_what_is_made_of_a_root_goes_by_its_settings(show: Show, leaf: str, run) -> None:
    """
    Its pins hold what opening it would, and the variants' answers come from the same files.
    """
    root = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run(
        """
pins = host.pin_usd(sys.argv[1])
print([each.version for each in pins.entities], pins.policy)
""",
        root,
    )

    assert ["['2'] version=approved"] == lines


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "2"),
        ({"BIFROST_CONTEXT": "version=1"}, "1"),
        ({"BIFROST_CONTEXT": "user=somebody"}, "2"),
    ],
)
def test_the_environment_comes_before_a_root_layers_settings(
    show: Show, leaf: str, run, environ: dict[str, str], expected: str
) -> None:
    """
    Name by name: what the environment doesn't say, the root does.
    """
    root = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run("print(value(Usd.Stage.Open(sys.argv[1])))", root, env=environ)
    by_host = run("print(value(host.open_usd_stage(sys.argv[1])))", root, env=environ)

    assert ([expected], [expected]) == (lines, by_host)


def test_a_context_that_somebody_made_does_without_a_root_layers_settings(
    show: Show, leaf: str, run
) -> None:
    """
    As in Houdini, where a context string replaces the default context.
    """
    root = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run(
        """
print(value(Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(version_policy=1))))
print(value(host.open_usd_stage(sys.argv[1], context=Context(version="1"))))
""",
        root,
    )

    assert ["1", "1"] == lines


@pytest.mark.parametrize("opened_by", ["newest", "second"])
def test_which_version_of_itself_is_meant_a_root_layer_does_not_say(
    show: Show, leaf: str, run, opened_by: str
) -> None:
    """
    Its references go by its settings, and it is the version that the context or its name says.
    """
    for value in ("one", "two"):
        root = show.root("made.usda")
        root.write_text(layer(value=value, references=(leaf,)))
        with_settings(root, version="approved")
        shot = show.publish("shot.usda", root.read_text(), (leaf,))
    show.catalogue.set_status("shot.usda", "1", "review", user="a")
    show.catalogue.set_status("shot.usda", "1", "approved", user="a")

    lines = run(
        """
stage = host.open_usd_stage(sys.argv[1])
print(value(stage, "/a"), value(stage), value(Usd.Stage.Open(sys.argv[1]), "/a"))
""",
        shot if opened_by == "newest" else f"{shot}?version=2",
    )

    assert ["two 2 two"] == lines


def test_a_context_that_says_nothing_leaves_the_others_no_say(show: Show, leaf: str, run) -> None:
    """
    Pins are of what it opens; no context at all leaves it to the environment and the root.
    """
    root = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run(
        """
nothing = Context()
print(value(host.open_usd_stage(sys.argv[1], context=nothing)))
print([each.version for each in host.pin_usd(sys.argv[1], context=nothing).entities])
print(value(Usd.Stage.Open(sys.argv[1], bifrost.usd.context(nothing))))
with nothing.active():
    print(value(host.open_usd_stage(sys.argv[1])))
print(value(Usd.Stage.Open(sys.argv[1], bifrost.usd.context(root=sys.argv[1]))))
""",
        root,
        env={"BIFROST_CONTEXT": "version=1"},
    )

    assert ["3", "['3']", "3", "3", "1"] == lines


def test_pins_in_a_root_layer_lie_beside_it(show: Show, leaf: str, run) -> None:
    """
    A relative path is the root's neighbour, not the process's; the shot and its pins travel together.
    """
    root = show.root("shots/root.usda", leaf)

    lines = run(
        """
root = Path(sys.argv[1])
host.pin_usd(str(root), root.with_name("shot.pins.json"), context=Context(version="1"))
text = root.read_text().replace(
    "(", '(customLayerData = {dictionary bifrost = {string pins = "./shot.pins.json"}}', 1)
root.with_name("pinned.usda").write_text(text)
print(value(Usd.Stage.Open(str(root.with_name("pinned.usda")))))
""",
        root,
        show.folder,
    )

    assert ["1"] == lines


def test_a_root_layer_does_not_say_who_asks(show: Show, leaf: str, run_python) -> None:
    """
    Nor what nobody knows, nor what is no text: each is told and left out; the rest holds.
    """
    root = with_settings(
        show.root("root.usda", leaf), user="boss", version="approved", pins=3, context="abc"
    )

    done = run_python(
        PRELUDE
        + "import logging; logging.basicConfig()\nstage = Usd.Stage.Open(sys.argv[1])\n"
        + "print(value(stage), shown(stage.GetPathResolverContext()).partition(';')[0])",
        root,
    )

    assert "2 bifrost(version=approved\n" == done.stdout
    assert ["user", "pins", "context"] == [
        name for name in ("user", "pins", "context") if f"{name}: expected one of" in done.stderr
    ]


def test_a_root_without_entity_references_starts_no_python(show: Show, run) -> None:
    """
    Its settings mean nothing; and neither do those of a layer that is no root.
    """
    plain = with_settings(show.root("plain.usda"), version="approved")

    lines = run(
        """
from bifrost.usd import register_plugin
register_plugin()
stage = Usd.Stage.Open(sys.argv[1])
print(shown(stage.GetPathResolverContext()) == f"bifrost(root={sys.argv[1]})", resolver_stats()["crossings"])
""",
        plain,
    )

    assert ["True 0"] == lines


def test_settings_of_a_layer_that_is_no_root_mean_nothing(show: Show, leaf: str, run) -> None:
    """
    A sublayer that comes from elsewhere doesn't change what the shot means.
    """
    below = with_settings(show.root("below.usda", leaf), version="approved")
    root = show.root("root.usda", leaf)
    root.write_text(root.read_text().replace("(\n", f"(\n subLayers = [@{below}@]\n", 1))

    assert ["3"] == run("print(value(Usd.Stage.Open(sys.argv[1])))", root)


def test_edited_settings_count_in_the_next_opening(show: Show, leaf: str, run) -> None:
    """
    As the layer is in the process, saved or not.
    """
    root = with_settings(show.root("root.usda", leaf), version="approved")

    lines = run(
        """
layer = Sdf.Layer.FindOrOpen(sys.argv[1])
first = Usd.Stage.Open(layer)
layer.customLayerData = {"bifrost": {"version": "1"}}
print(value(first), value(Usd.Stage.Open(layer)), value(host.open_usd_stage(sys.argv[1])))
""",
        root,
    )

    assert ["2 1 1"] == lines


COMMAND = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"


@pytest.fixture
def command(run_python):
    """Run the command under a `BIFROST_CONTEXT`; return its exit code and what it printed."""

    def run(text: str, *arguments: object) -> tuple[int, str]:
        done = run_python(COMMAND, *arguments, env={"BIFROST_CONTEXT": text}, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("text", "version"), [("version=1", "1"), ("version=approved", "2")])
def test_commands_go_by_the_environment_as_opening_does(
    command, leaf: str, tmp_path: Path, text: str, version: str
) -> None:
    """
    What they list, compare, warm and copy is what is opened.
    """
    pinned = f"{leaf}?version={version}"

    assert 0 == command(text, "warm", leaf)[0]
    code, printed = command(text, "usd", "deps", leaf, "--json")
    [found] = json.loads(printed)
    assert (0, version, "lmdb") == (code, found["version"], found["tier"])
    assert (0, "") == command(text, "usd", "diff", pinned, leaf)
    assert (0, "") == command(text, "usd", "diff", "--layers", pinned, leaf)
    assert 1 == command(text, "usd", "diff", f"{leaf}?version=3", leaf)[0]
    code, printed = command(text, "usd", "edit", leaf, tmp_path / "work")
    assert (0, layer(value=version)) == (code, Path(printed.strip()).read_text())


def test_commands_find_nothing_where_the_environment_says_nothing_that_is_there(
    command, leaf: str, tmp_path: Path
) -> None:
    """
    A version that the asset doesn't have; a context that is none is named.
    """
    for arguments in (
        ("usd", "deps", leaf),
        ("warm", leaf),
        ("usd", "edit", leaf, tmp_path / "work"),
    ):
        code, printed = command("version=99", *arguments)
        assert (1, True) == (code, "no version '99'" in printed), printed
        code, printed = command("nonsense", *arguments)
        assert (1, True) == (code, "BIFROST_CONTEXT: expected" in printed), printed
