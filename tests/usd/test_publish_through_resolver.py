# SPDX-License-Identifier: Apache-2.0
"""USD writes to an entity reference, and a version is made, or nothing is: docs/writing.md."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pxr import Sdf

from bifrost import bifrost_host
from bifrost.catalogue.access import Rule
from bifrost.errors import AssetNotFoundException
from bifrost.model.entity_reference import parse
from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd import env

PRELUDE = """
import json, sys
from pxr import Ar, Sdf, Tf, Usd
resolver = Ar.GetResolver()
prop = sys.argv[1]

def create(reference):
    return Sdf.Layer.CreateNew(reference)

def edit(layer, name="prop", values=100):
    prim = Sdf.CreatePrimInLayer(layer, "/" + name)
    prim.specifier = Sdf.SpecifierDef
    layer.defaultPrim = name
    numbers = Sdf.AttributeSpec(prim, "numbers", Sdf.ValueTypeNames.IntArray)
    numbers.default = range(values)
    return layer

def anonymous(**what):
    return edit(Sdf.Layer.CreateAnonymous(), **what)

def content(reference):
    layer = Sdf.Layer.FindOrOpen(reference)
    if not layer or not layer.defaultPrim:
        return None
    return layer.defaultPrim, list(layer.GetAttributeAtPath(f"/{layer.defaultPrim}.numbers").default)

def versions(reference=prop):
    from bifrost import bifrost_host
    from bifrost.model.entity_reference import parse
    asset = parse(reference.partition("?")[0]).asset_id
    return len(bifrost_host.session.catalogue.versions(asset))

def raised(call):
    try:
        return call()
    except Tf.ErrorException as error:
        return str(error)

def show(*values):
    print(json.dumps(values))
"""
# With and without an extension; what has none is a `.usd`, which is binary.
REFERENCES = [
    "bifrost:///assets/new_prop?type=prop",
    "bifrost:///assets/new_prop.usda?type=prop",
    "bifrost:///assets/new_prop.usdc?type=prop",
    "bifrost:///assets/new_prop?type=prop&format=usda",
]
EIGHT = 8
LIMIT_S = 90.0


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Where assets are staged: below a folder for temporary files of the test's own."""
    return tmp_path / "temporary" / f"bifrost-writing-{os.geteuid()}"


@pytest.fixture
def writing(run_python, staging: Path) -> Iterator[Callable[..., Any]]:
    """Run source after the prelude; return what it showed. Nothing may be left staged."""
    staging.parent.mkdir()

    def run(source: str, *arguments: str | Path, **variables: str) -> Any:
        variables["TMPDIR"] = str(staging.parent)
        done = run_python(PRELUDE + source, *arguments, env=variables)
        return json.loads(done.stdout.splitlines()[-1])

    yield run
    assert [] == [*staging.glob("*")]


def pure(reference: str) -> str:
    """Return the reference without what it says for writing."""
    return reference.partition("?")[0]


def versions_of(reference: str) -> list[int]:
    """Return the numbers of an asset's versions, the newest first."""
    asset_id = parse(pure(reference)).asset_id
    try:
        return [each.number for each in bifrost_host.session.catalogue.versions(asset_id)]
    except AssetNotFoundException:
        return []


def on_their_way() -> list[str]:
    """Return the stages of publishes that are neither done nor given up."""
    stages = [each.stage for each in bifrost_host.publishes()]
    return [stage for stage in stages if stage not in ("post-registered", "aborted")]


@pytest.mark.parametrize("reference", REFERENCES)
def test_create_new_edit_save(writing, reference: str) -> None:
    """
    What `CreateNew` writes is a draft; a save that changed something makes a version, another none.
    """
    seen = writing(
        """
from bifrost import bifrost_host
count = lambda: len(bifrost_host.session.catalogue.versions("new_prop" + sys.argv[2]))
layer = create(prop)
made = [layer.identifier, layer.empty]
layer.Save()
drafts = raised(lambda: Ar.GetResolver().Resolve(prop).GetPathString())
edit(layer)
saved = layer.Save()
one = count()
layer.Save()
still_one = count()
edit(layer, "other", 200)
layer.Save()
show(made, drafts, saved, one, still_one, count(), layer.identifier, layer.dirty,
     list(layer.GetAttributeAtPath("/other.numbers").default))
""",
        reference,
        Path(pure(reference)).suffix,
    )

    assert [[reference, True], "", True, 1, 1, 2, reference, False, [*range(200)]] == seen


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_was_written_is_there_for_everybody(writing, run_python, reference: str) -> None:
    """
    For this process, in a second layer, whose file is in the store; and for another process.
    """
    seen = writing(
        """
layer = edit(create(prop))
layer.Save()
show(content(prop), content(prop.partition("?")[0]), layer.realPath,
     Sdf.Layer.FindOrOpen(prop).realPath, resolver.Resolve(prop).GetPathString())
""",
        reference,
    )
    elsewhere = run_python(PRELUDE + "show(content(prop))", pure(reference))

    expected = ["prop", [*range(100)]]
    path = bifrost_host.resolve_asset_path(pure(reference))
    assert [expected, expected, reference, str(path), str(path)] == seen
    assert [expected] == json.loads(elsewhere.stdout)
    assert 0 == path.stat().st_mode & 0o222
    assert (
        "prop"
        == bifrost_host.session.catalogue.found([parse(pure(reference)).asset_id])[
            parse(pure(reference)).asset_id
        ].asset_type
    )


def test_the_format_is_that_of_the_reference_else_of_the_version_before(writing) -> None:
    """
    Else binary, as a `.usd` is; `format=` goes before both.
    """
    seen = writing(
        """
for reference in (prop, prop + "?format=usda", prop, prop + ".usda", prop + ".usdc"):
    anonymous(values=len(reference)).Export(reference)
names = {}
from bifrost import bifrost_host
for asset in ("prop", "prop.usda", "prop.usdc"):
    paths = [bifrost_host.resolve_asset_path(f"bifrost:///assets/{asset}?version={each.number}")
             for each in bifrost_host.session.catalogue.versions(asset)]
    names[asset] = [(path.name, path.read_bytes()[:5].decode()) for path in paths]
show(names)
""",
        "bifrost:///assets/prop",
    )

    assert [
        {
            "prop": [["prop.usda", "#usda"], ["prop.usda", "#usda"], ["prop.usd", "PXR-U"]],
            "prop.usda": [["prop.usda", "#usda"]],
            "prop.usdc": [["prop.usdc", "PXR-U"]],
        }
    ] == seen


@pytest.mark.parametrize("asset_id", ["hero.v2", "hero.2024.01", "plate.png", "hero.usda.bak"])
def test_a_dot_in_an_id_is_no_format(writing, asset_id: str) -> None:
    """
    What has no extension of a layer is a `.usd`, created or exported, and opens.
    """
    seen = writing(
        """
exported = anonymous().Export(prop)
layer = edit(create(prop + ".new"), "made")
layer.Save()
show(exported, content(prop)[0], content(prop + ".new")[0])
""",
        f"bifrost:///assets/{asset_id}",
    )

    assert [True, "prop", "made"] == seen
    for made in (asset_id, f"{asset_id}.new"):
        assert f"{made}.usd" == bifrost_host.resolve_asset_path(f"bifrost:///assets/{made}").name


def test_a_process_that_knows_nothing_yet_writes_in_the_format_of_the_version_before(
    writing,
) -> None:
    """
    Though the id has an extension of its own.
    """
    reference = "bifrost:///assets/prop.usda"
    for source in (
        "anonymous(values=1).Export(prop); anonymous(values=2).Export(prop + '?format=usdc')",
        "anonymous(values=3).Export(prop)",
    ):
        writing(source + "; show()", reference)

    assert [3, 2, 1] == versions_of(reference)
    assert "prop.usdc" == bifrost_host.resolve_asset_path(reference).name


def test_a_layer_is_no_next_version_of_a_picture(writing, tmp_path: Path) -> None:
    """
    Unless the reference says a format.
    """
    picture = tmp_path / "plate.png"
    picture.write_bytes(b"no picture either")
    reference = bifrost_host.register_asset("texture", "plate.png", picture)

    *refused, exported = writing(
        """
show(raised(lambda: create(prop)), raised(lambda: anonymous().Export(prop)),
     anonymous().Export(prop + "?format=usda"))
""",
        reference,
    )

    for text in refused:
        assert "its newest version is a .png file" in text
        assert "[access]" in text
    assert exported is True
    assert [2, 1] == versions_of(reference)


@pytest.mark.parametrize("reference", REFERENCES)
def test_layers_and_stages_are_exported(writing, reference: str) -> None:
    """
    Each export whose bytes are new makes a version; the asset's own type and name stay.
    """
    seen = writing(
        """
other = "bifrost:///assets/other" + sys.argv[2]
stage = Usd.Stage.CreateInMemory()
stage.SetDefaultPrim(stage.DefinePrim("/staged"))
done = [anonymous().Export(prop), anonymous().Export(prop), stage.Export(prop)]
layer = Sdf.Layer.FindOrOpen(prop)
show(done, layer.defaultPrim, versions())
""",
        reference,
        Path(pure(reference)).suffix,
    )

    assert [[True, True, True], "staged", 2] == seen


def test_a_stage_is_created_and_saved(writing) -> None:
    """
    Its root is a draft until it is saved; then another stage opens it.
    """
    seen = writing(
        """
stage = Usd.Stage.CreateNew(prop)
stage.SetDefaultPrim(stage.DefinePrim("/staged", "Xform"))
stage.Save()
again = Usd.Stage.Open(prop)
show(versions(), again.GetDefaultPrim().GetName(), again.GetRootLayer().realPath != prop)
""",
        "bifrost:///assets/set?type=set",
    )

    assert [1, "staged", True] == seen


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_a_new_layer_over_an_asset_that_is_there(writing, tmp_path: Path, extension: str) -> None:
    """
    Is empty at first, and changes nothing for others before it is saved as the next version.
    """
    reference = f"bifrost:///assets/prop{extension}"
    file = tmp_path / f"prop{extension}"
    written = Sdf.Layer.CreateNew(str(file))
    Sdf.CreatePrimInLayer(written, "/first").specifier = Sdf.SpecifierDef
    written.defaultPrim = "first"
    written.Save()
    bifrost_host.register_asset("prop", f"prop{extension}", file)

    seen = writing(
        """
layer = create(prop)
before = layer.empty, versions(), content("bifrost:///assets/x"), Sdf.Layer.FindOrOpen(prop).defaultPrim
edit(layer).Save()
show(*before, versions(), layer.defaultPrim)
""",
        reference,
    )

    assert [True, 1, None, "first", 2, "prop"] == seen


@pytest.mark.parametrize("reference", ["bifrost:///assets/never", "bifrost:///assets/never.usda"])
def test_who_asks_as_create_new_does_is_answered_as_anybody(writing, reference: str) -> None:
    """
    What is nowhere resolves to nothing, in whatever order an application asks, and whatever comes between.
    """
    seen = writing(
        """
def place(reference):
    new = resolver.CreateIdentifierForNewAsset(reference)
    resolver.ResolveForNewAsset(new)
    resolver.GetExtension(new)
    return new

def resolved(reference):
    return resolver.Resolve(reference).GetPathString()

in_order = resolved(place(prop))
place(prop)
opened = bool(Sdf.Layer.FindOrOpen(prop)), resolved(prop)
place(prop)
resolver.CreateIdentifier(prop)
resolver.IsContextDependentPath(prop)
show(in_order, opened, resolved(prop))
""",
        reference,
    )

    assert ["", [False, ""], ""] == seen


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_create_new_twice_leaves_the_layer_that_is_open(writing, extension: str) -> None:
    """
    USD refuses, before it writes: an update of the first one would find other values below it.
    """
    seen = writing(
        """
layer = edit(create(prop))
layer.Save()
refusal = raised(lambda: create(prop))
edit(layer, "more", 50)
layer.Save()
written = Sdf.Layer.FindOrOpen(prop)
show("already exists" in refusal, written.defaultPrim, versions(),
     list(written.GetAttributeAtPath("/prop.numbers").default)[-1])
""",
        f"bifrost:///assets/prop{extension}",
    )

    assert [True, "more", 2, 99] == seen


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_a_saved_layer_whose_asset_others_wrote_to_keeps_its_values(
    writing, extension: str
) -> None:
    """
    A binary layer is updated on top of what it wrote last, and not of what is the newest by now.
    """
    seen = writing(
        """
layer = edit(create(prop), "mine", 300)
layer.Save()
anonymous(name="theirs", values=2000).Export(prop)
edit(layer, "more", 10)
layer.Save()
written = Sdf.Layer.FindOrOpen(prop)
show(versions(), [list(written.GetAttributeAtPath(f"/{name}.numbers").default)[-1]
                  for name in ("mine", "more")], bool(written.GetPrimAtPath("/theirs")))
""",
        f"bifrost:///assets/prop{extension}",
    )

    assert [3, [299, 9], False] == seen


def test_what_lies_beside_the_version_before_comes_along(writing, tmp_path: Path) -> None:
    """
    An export keeps relative paths, and they go on to mean the same.
    """
    (tmp_path / "tex").mkdir()
    (tmp_path / "tex" / "a.png").write_bytes(b"picture")
    (tmp_path / "prop.usda").write_text(
        '#usda 1.0\n(\n    defaultPrim = "a"\n)\ndef "a"\n{\n    asset t = @./tex/a.png@\n}\n'
    )
    reference = bifrost_host.register_asset("prop", "prop", tmp_path / "prop.usda")

    writing(
        """
layer = Sdf.Layer.FindOrOpen(prop)
copy = Sdf.Layer.CreateAnonymous()
copy.TransferContent(layer)
copy.comment = "edited"
show(copy.Export(prop))
""",
        reference,
    )

    path = bifrost_host.resolve_asset_path(reference)
    assert [2, 1] == versions_of(reference)
    assert b"picture" == (path.parent / "tex" / "a.png").read_bytes()


def test_a_relative_path_of_a_draft_leads_nowhere(writing, tmp_path: Path) -> None:
    """
    Not into the current directory, where the resolver of files would find what is none of its business.
    """
    folder = tmp_path / "below"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "foo.usda").write_text(layer(value="found"))

    seen = writing(
        """
import os
os.chdir(sys.argv[2])
draft = create(prop + "?type=prop")
def value(path):
    draft.ImportFromString(f'#usda 1.0\\ndef "s" (references = @{path}@)\\n{{\\n}}\\n')
    stage = Usd.Stage.Open(draft)
    attribute = stage.GetPrimAtPath("/s").GetAttribute("v")
    return attribute.Get() if attribute else None
show([value(path) for path in ("./foo.usda", "../foo.usda", "./foo.usda:SDF_FORMAT_ARGS:a=b")],
     [value(path) for path in ("foo.usda", sys.argv[2] + "/foo.usda")],
     draft.ComputeAbsolutePath("./p.usdz[a.usda]"),
     [draft.ComputeAbsolutePath(path) for path in ("anon:1:x", "http://a/b", "bal:///x")],
     resolver.CreateIdentifier("./foo.usda", Ar.ResolvedPath(sys.argv[2] + "/prop.usda")),
     resolver.CreateIdentifierForNewAsset("./foo.usda", Ar.ResolvedPath(prop)))
""",
        "bifrost:///assets/prop.usda",
        folder,
    )

    beside = "bifrost:///assets/prop.usda/./"
    assert [
        [None] * 3,
        ["found"] * 2,
        f"{beside}p.usdz[a.usda]",
        ["anon:1:x", "http://a/b", "bal:///x"],
        f"{folder}/foo.usda",
        f"{beside}foo.usda",
    ] == seen


def test_relationships_and_traits_are_recorded(writing, show: Show) -> None:
    """
    It is the same publishing as everywhere.
    """
    leaf = show.publish("leaf.usda", layer())

    writing(
        """
layer = create(prop)
prim = edit(layer).GetPrimAtPath("/prop")
prim.referenceList.Prepend(Sdf.Reference(sys.argv[2]))
show(layer.Save())
""",
        "bifrost:///assets/holder?type=set",
        leaf,
    )

    assert leaf in json.dumps(
        bifrost_host.get_relationships_with_metadata("bifrost:///assets/holder"), default=str
    )


# What is refused


def test_what_validators_refuse_is_an_error_and_leaves_nothing(writing) -> None:
    """
    With the reference, the reason and the code; the layer keeps its edits, and is saved once they are
    right.
    """
    seen = writing(
        """
layer = edit(create(prop))
prim = layer.GetPrimAtPath("/prop")
prim.referenceList.Prepend(Sdf.Reference("./nowhere.usda"))
refusal = raised(layer.Save)
after = layer.dirty, str(resolver.Resolve(prop))
prim.referenceList.ClearEdits()
show(refusal, *after, layer.Save(), versions())
""",
        "bifrost:///assets/prop.usda",
    )

    refusal, *after = seen
    assert "bifrost:///assets/prop.usda: not published" in refusal
    assert "nowhere.usda" in refusal
    assert "[refused]" in refusal
    assert [True, "", True, 1] == after
    assert [] == on_their_way()
    assert [] == [*bifrost_host.session.catalogue.store.root.glob(".staging/*")]


@pytest.mark.parametrize("extension", ["", ".usda", ".usdc"])
def test_a_refused_binary_or_text_layer_goes_on_to_work(writing, extension: str) -> None:
    """
    Its values are still there, though nothing of them was published.
    """
    seen = writing(
        """
layer = edit(create(prop), values=5000)
layer.Save()
prim = layer.GetPrimAtPath("/prop")
prim.referenceList.Prepend(Sdf.Reference("./nowhere.usda"))
edit(layer, "late", 7)
failed = "[refused]" in raised(layer.Save)
values = [len(layer.GetAttributeAtPath(f"/{name}.numbers").default) for name in ("prop", "late")]
prim.referenceList.ClearEdits()
layer.Save()
written = Sdf.Layer.FindOrOpen(prop)
show(failed, values, versions(),
     [len(written.GetAttributeAtPath(f"/{name}.numbers").default) for name in ("prop", "late")])
""",
        f"bifrost:///assets/prop{extension}",
    )

    assert [True, [5000, 7], 2, [5000, 7]] == seen


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?version=1", "version 1 stays as it is"),
        ("?version=approved", "names what stays as it is"),
        ("?representation=preview", "names what stays as it is"),
        ("?publish=" + "0" * 32, "names what stays as it is"),
        ("?kind=prop", "the query is"),
        ("?format=png", "format is one of usd, usda, usdc"),
        ("?type=%ff", "invalid start byte"),
        ("?type=prop&", "the query is"),
        ("?&type=prop", "the query is"),
    ],
)
def test_references_that_can_not_be_written_to(
    writing, show: Show, query: str, reason: str
) -> None:
    """
    `CreateNew` and `Export` say why, and make nothing.
    """
    reference = show.publish("prop", layer())

    created, exported = writing(
        "show(raised(lambda: create(prop)), raised(lambda: anonymous().Export(prop)))",
        reference + query,
    )

    for text in (created, exported):
        assert reason in text
        assert reference + query in text
    assert [1] == versions_of(reference)


def test_fixed_versions_and_pins_are_refused_without_python(
    writing, show: Show, tmp_path: Path
) -> None:
    """
    Whether they can be written to needs nobody to be asked.
    """
    from bifrost.usd import pinning

    reference = show.publish("prop.usda", layer())
    root = show.root("root.usda", reference)
    pins = tmp_path / "pins.json"
    pinning.pin(str(root)).save(pins)
    source = """
refusals = [raised(lambda: create(prop)), raised(lambda: Sdf.Layer.CreateAnonymous().Export(prop))]
show(refusals, [name for name in sys.modules if name.startswith("bifrost")])
"""

    fixed, modules = writing(source, reference + "?version=1")
    pinned, other_modules = writing(source, reference, BIFROST_PINS=str(pins))

    assert all("stays as it is" in each for each in fixed)
    assert all("pins are in force" in each and "BIFROST_PINS" in each for each in pinned)
    assert ([], []) == (modules, other_modules)


def test_who_may_not_publish_is_told_before_anything_is_written(writing, show: Show) -> None:
    """
    By `CreateNew`; by an export, which USD doesn't ask about before, at its end.
    """
    reference = show.publish("prop.usda", layer())
    bifrost_host.allow([Rule("prop*", "publish", "alice")])
    source = "show(raised(lambda: create(prop) and 1), raised(lambda: anonymous().Export(prop)))"

    refused = writing(source, reference, BIFROST_CONTEXT="user=eve")
    allowed = writing(source, reference, BIFROST_CONTEXT="user=alice")

    assert all("[permission_denied]" in each and "eve" in each for each in refused)
    assert [1, True] == allowed
    assert [2, 1] == versions_of(reference)
    assert "alice" == bifrost_host.session.catalogue.versions("prop.usda")[0].created_by


def test_a_manager_that_takes_none_says_so(writing, tmp_path: Path) -> None:
    """
    BAL's references, through the resolver that its scheme was given to.
    """
    environment = bal.install(tmp_path, {})

    seen = writing(
        "show(raised(lambda: create(prop)), raised(lambda: anonymous().Export(prop)))",
        "bifrost:///assets/pig.usda",
        **environment,
    )

    for text in seen:
        assert "org.openassetio.examples.manager.bal" in text
        assert "[unsupported]" in text


def test_there_is_no_room_for_what_is_staged(run_python, tmp_path: Path) -> None:
    """
    A folder that can't be made, or that somebody else could look into, is an error with its reason.
    """
    open_to_all = tmp_path / "open"
    (open_to_all / f"bifrost-writing-{os.geteuid()}").mkdir(parents=True)
    (open_to_all / f"bifrost-writing-{os.geteuid()}").chmod(0o777)

    for folder in (tmp_path / "nowhere", open_to_all):
        done = run_python(
            PRELUDE + "show(raised(lambda: anonymous().Export(prop)))",
            "bifrost:///assets/prop.usda",
            env={"TMPDIR": str(folder)},
        )
        assert f"it can't be staged below {folder}" in done.stdout
        assert "[storage]" in done.stdout


# Contexts


def test_a_bound_context_means_the_new_version_by_the_reference(writing, show: Show) -> None:
    """
    At once, for what is opened anew; one that fixes what floats goes on to mean what it says.
    """
    reference = show.publish("prop.usda", layer())
    show.publish("other.usda", layer())

    seen = writing(
        """
floating = resolver.CreateContextFromString("bifrost", "")
fixed = resolver.CreateContextFromString("bifrost", "version=1")
folders = []
def look():
    for context in (floating, fixed):
        with Ar.ResolverContextBinder(context):
            folders.append(str(resolver.Resolve(prop)).split("/")[-2])
    folders.append(str(resolver.Resolve(prop)).split("/")[-2])
look()
with Ar.ResolverContextBinder(floating):
    anonymous().Export(prop)
    with Ar.ResolverScopedCache():
        anonymous(values=5).Export(prop)
look()
show(folders)
""",
        reference,
    )

    assert [["v1", "v1", "v1", "v0003", "v1", "v0003"]] == seen


def test_publishing_sees_nothing_of_what_the_caller_holds_back(writing) -> None:
    """
    A block of changes, a scoped cache, a context with pins' place: the publish has its own thread.
    """
    seen = writing(
        """
with Ar.ResolverScopedCache(), Sdf.ChangeBlock():
    layer = anonymous()
    done = layer.Export(prop)
show(done, versions())
""",
        "bifrost:///assets/prop.usdc",
    )

    assert [True, 1] == seen


# Threads and crashes

TOGETHER = """
import threading
def together(count, work):
    errors = []
    def run(i):
        try:
            work(i)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(90)
    return errors, sum(thread.is_alive() for thread in threads)
"""


@pytest.mark.parametrize("extension", ["", ".usda"])
def test_eight_threads_export_to_eight_assets(writing, extension: str) -> None:
    """
    None waits for another for ever: the threads hold the GIL when USD writes.
    """
    seen = writing(
        TOGETHER
        + """
resolver.Resolve(".")
errors = together(8, lambda i: anonymous(name=f"p{i}").Export(prop.replace("#", str(i))))
show(*errors, [content(prop.replace("#", str(i)))[0] for i in range(8)])
""",
        f"bifrost:///assets/prop#{extension}",
    )

    assert [[], 0, [f"p{i}" for i in range(EIGHT)]] == seen


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_eight_threads_export_to_the_same_asset(writing, extension: str) -> None:
    """
    Each makes a version of what it wrote, whole.
    """
    reference = f"bifrost:///assets/prop{extension}"
    seen = writing(
        TOGETHER
        + """
resolver.Resolve(".")
errors = together(8, lambda i: anonymous(name=f"p{i}", values=500 + i).Export(prop))
found = sorted(content(f"{prop}?version={number + 1}")[0] for number in range(versions()))
show(*errors, found)
""",
        reference,
    )

    assert [[], 0, [f"p{i}" for i in range(EIGHT)]] == seen


def test_layers_are_made_saved_found_and_opened_on_many_threads(writing, show: Show) -> None:
    """
    `CreateNew` holds the layer registry and no GIL, `Save` the GIL and no registry, opening a stage
    both in turn.
    """
    leaf = show.publish("leaf.usda", layer())

    seen = writing(
        TOGETHER
        + """
resolver.Resolve(".")
def work(i):
    name = f"{prop}{i}" + (".usda" if i % 2 else ".usdc")
    layer = create(name)
    for turn in range(3):
        edit(layer, f"t{turn}")
        layer.GetPrimAtPath(f"/t{turn}").referenceList.Prepend(Sdf.Reference(sys.argv[2]))
        layer.Save()
        Sdf.Layer.Find(name)
        stage = Usd.Stage.Open(name)
        assert stage.GetDefaultPrim().GetName() == f"t{turn}"
errors = together(6, work)
show(*errors, [versions(f"{prop}{i}" + (".usda" if i % 2 else ".usdc")) for i in range(6)])
""",
        "bifrost:///assets/prop",
        leaf,
    )

    assert [[], 0, [3] * 6] == seen


# What is there once a process is so far: a staged file, one on its way into the store, a version.
SO_FAR = {
    "written": lambda staging, store: [*staging.glob("*/*")],
    "publishing": lambda staging, store: [*store.glob(".staging/*/*")],
    "registered": lambda staging, store: [*store.glob("killed.usda/v0001/*.usda")],
}


@pytest.mark.parametrize("stage", SO_FAR)
def test_a_process_that_is_killed_while_it_publishes_leaves_nothing_half_made(
    run_python, staging: Path, stage: str
) -> None:
    """
    There is a whole version or there is none; and what it left is swept away by the next who writes.
    """
    staging.parent.mkdir()
    variables = {"TMPDIR": str(staging.parent)}
    export = PRELUDE + "anonymous(values=200_000).Export(prop)"
    killed = "bifrost:///assets/killed.usda"
    store = bifrost_host.session.settings.store_directory
    give_up = time.monotonic() + LIMIT_S
    environment = {**os.environ, **variables, "PXR_PLUGINPATH_NAME": str(env.description())}
    with subprocess.Popen([sys.executable, "-c", export, killed], env=environment) as process:
        while not SO_FAR[stage](staging, store) and time.monotonic() < give_up:
            time.sleep(0.001)
        process.kill()

    for folder in staging.glob("*"):
        os.utime(folder, (0, 0))  # as old as what is swept
    run_python(export, "bifrost:///assets/next.usda", env=variables)

    if versions_of(killed):
        text = bifrost_host.resolve_asset_path(killed).read_text()
        assert Sdf.Layer.CreateAnonymous(".usda").ImportFromString(text)
    assert [1] == versions_of("bifrost:///assets/next.usda")
    assert [] == [*staging.glob("*")]
    assert [] == on_their_way()


def test_what_is_being_written_is_not_swept_away(run_python, staging: Path) -> None:
    """
    However old it is: its writer has it locked.
    """
    staging.parent.mkdir()
    done = run_python(
        PRELUDE
        + """
import os, threading
from bifrost.usd import leftovers, written
publish = written.publish
def while_another_writes(session, who, identifier, staged):
    if identifier == prop:
        os.utime(staged.parent, (0, 0))
        written.publish = publish
        thread = threading.Thread(target=lambda: anonymous().Export("bifrost:///assets/other.usda"))
        thread.start()
        thread.join()
    return publish(session, who, identifier, staged)
written.publish = while_another_writes
show(anonymous().Export(prop), versions(), versions("bifrost:///assets/other.usda"))
""",
        "bifrost:///assets/prop.usda",
        env={"TMPDIR": str(staging.parent)},
    )

    assert [True, 1, 1] == json.loads(done.stdout)


def test_ctrl_c_comes_through_when_the_publish_is_done(writing) -> None:
    """
    The version is made, and the layer knows.
    """
    seen = writing(
        """
import os, signal
from bifrost.usd import written
signal.signal(signal.SIGINT, signal.default_int_handler)
publish = written.publish
def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return publish(*arguments)
written.publish = interrupted
layer = edit(create(prop))
try:
    layer.Save()
    show("not interrupted")
except KeyboardInterrupt:
    show(versions(), layer.dirty)
""",
        "bifrost:///assets/prop.usdc",
    )

    assert [1, False] == seen


def test_a_process_that_ends_still_publishes(writing) -> None:
    """
    From `atexit`, where Python gives no threads to pools any more.
    """
    writing(
        "import atexit; atexit.register(lambda: anonymous().Export(prop)); show()",
        "bifrost:///assets/prop.usda",
    )

    assert [1] == versions_of("bifrost:///assets/prop.usda")
    assert [] == on_their_way()
    assert [] == [*bifrost_host.session.settings.store_directory.glob(".staging/*")]


def test_nobody_else_can_look_at_what_is_staged(run_python, staging: Path) -> None:
    """
    While it is written: a folder of mode 0700 and one below it for each asset.
    """
    staging.parent.mkdir()
    done = run_python(
        PRELUDE
        + """
import os
from bifrost.usd import written
def look(session, who, identifier, staged):
    print(json.dumps([oct(os.stat(each).st_mode & 0o777) for each in
                      (staged.parent.parent, staged.parent, staged)]))
    raise OSError("looked at")
written.publish = look
raised(lambda: anonymous().Export(prop))
""",
        "bifrost:///assets/prop.usda",
        env={"TMPDIR": str(staging.parent)},
    )

    assert ["0o700", "0o700", "0o600"] == json.loads(done.stdout)
    assert [] == [*staging.glob("*")]
    assert stat.S_IMODE(staging.stat().st_mode) == stat.S_IRWXU
