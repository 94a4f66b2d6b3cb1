# SPDX-License-Identifier: Apache-2.0
"""
What opens through entity references is what opens through plain paths.

Each folder is ingested with `--rewrite` and opened both ways, the copy through the built plugin, in
a process of its own; canonical dumps are compared. The real assets are the ASWF USD working
group's, of which no copy is kept here: without them those tests are skipped.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pxr import Sdf

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "usd_samples"
USD_WG = REPOSITORY.parent / "shared" / "data" / "usd_wg"

COMPARE = """
import difflib, json, os, sys
folder, out, pin, roots = sys.argv[1], sys.argv[2], sys.argv[3] == "pin", sys.argv[4:]
from bifrost import session
from bifrost.model.entity_reference import reference_for
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Usd
from bifrost.usd.dump import canonical_dump
from bifrost.usd.ingest import ingest

def differences(one, other):
    lines = one.splitlines()[:9999], other.splitlines()[:9999]
    return [*difflib.unified_diff(*lines, n=1), "…"][:40]

report = ingest(folder, session.current().catalogue, rewrite=out, pin=pin)
found = {}
for root in roots:
    plain = canonical_dump(Usd.Stage.Open(os.path.join(folder, root)), folder)
    by_path = Usd.Stage.Open(os.path.join(out, root))
    by_reference = Usd.Stage.Open(reference_for(root.replace("/", ".")))
    dumps = [canonical_dump(each, out) for each in (by_path, by_reference)]
    found[root] = {
        "differences": [x for each in dumps if each != plain for x in differences(plain, each)],
        "lines": plain.count("\\n"),
        "layers": sorted(layer.identifier for layer in by_path.GetUsedLayers()),
        "errors": [str(error) for error in by_path.GetCompositionErrors()],
    }
json.dump({"found": found, "report": report.as_dict()}, sys.stdout)
"""

Compare = Callable[..., dict[str, object]]


@pytest.fixture
def compare(run_python, tmp_path: Path) -> Compare:
    """Ingest a folder and open *roots* both ways; unless they are equal the test fails."""

    def run(
        folder: Path,
        roots: Sequence[str],
        *,
        pin: bool = False,
        out: Path = tmp_path / "out",
    ) -> dict[str, object]:
        done = run_python(COMPARE, folder, out, "pin" if pin else "float", *roots)
        answer = json.loads(done.stdout)
        for root, found in answer["found"].items():
            assert [] == found["differences"], f"{root}:\n" + "\n".join(found["differences"])
            assert found["lines"] > 0
        answer["stderr"] = done.stderr
        return answer

    return run


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
def test_the_samples(compare: Compare, pin: bool) -> None:
    """Every one of them, the broken one too; and all layers but the root come by reference."""
    roots = sorted(
        str(path.relative_to(SAMPLES))
        for path in SAMPLES.rglob("*.usda")
        if path.parent.name != "clips"
    )
    answer = compare(SAMPLES, roots, pin=pin)

    named = [each for each in answer["found"]["shot/shot.usda"]["layers"] if "anon:" not in each]
    assert 15 <= len(named)
    references = [each for each in named if each.startswith("bifrost:///assets/")]
    # The folder's layers may be in the process already, by path, under which an earlier root
    # was opened; the root itself always is.
    assert len(named) - len(references) <= len(roots)
    assert "there is no" not in answer["stderr"]


REAL = {
    "chess set": ("full_assets/OpenChessSet", ["chess_set.usda"]),
    "teapot": ("full_assets/Teapot", ["Teapot.usd", "DrawModes.usd"]),
    "car kit": (
        "full_assets/Vehicles/USD_Mini_Car_Kit",
        ["assets/vehicles/vehicleVariants.usda", "assets/wheels/wheelVariants.usda"],
    ),
    "VFX shot": ("intent-vfx", ["scenes/teapotScene.usd"]),
}


@pytest.mark.skipif(not USD_WG.is_dir(), reason=f"{USD_WG} is absent: no real assets to compare")
@pytest.mark.parametrize("name", REAL)
def test_real_assets(compare: Compare, name: str) -> None:
    """As their authors left them: text and crate, variants in variants, one file really missing."""
    folder, roots = REAL[name]
    answer = compare(USD_WG / folder, roots)
    missing = answer["report"]["missing"]

    if name == "VFX shot":
        layer, path = "scenes/teapotScene_animCycle.usd", "../assets/teapot/teapot_animCycle.usd"
        assert [[layer, path]] == missing
        errors = answer["found"]["scenes/teapotScene.usd"]["errors"]
        assert any("teapot_animCycle.usd" in error for error in errors)
    else:
        assert [] == missing


@pytest.mark.skipif(not USD_WG.is_dir(), reason=f"{USD_WG} is absent: no real assets to compare")
def test_real_assets_pinned(compare: Compare) -> None:
    """Version numbers in the paths change nothing of what is composed."""
    compare(USD_WG / "full_assets/OpenChessSet", ["chess_set.usda"], pin=True)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#usda 1.0\n{text}")


def crate(path: Path, text: str) -> None:
    layer = Sdf.Layer.CreateAnonymous(".usda")
    assert layer.ImportFromString(f"#usda 1.0\n{text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    layer.Export(str(path))


LEAF = '(\n    defaultPrim = "A"\n)\ndef Sphere "A"\n{{\n    string from = "{0}"\n}}\n'


def arcs(*paths: str) -> str:
    prims = [
        f'def "P{i}" (\n    references = @@@{path}@@@\n)\n{{\n    asset file = @@@{path}@@@\n}}\n'
        for i, path in enumerate(paths)
    ]
    return "".join(prims)


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
def test_names_that_a_reference_has_to_escape(compare: Compare, tmp_path: Path, pin: bool) -> None:
    """Spaces, percent signs, question marks, hashes, at signs, brackets, plus, other scripts."""
    names = ["a b", "50%", "a%20b", "what?", "no#1", "a@b", "b[1]", "c+d", "Größe", "é&=;", "日本"]
    folder = tmp_path / "folder"
    for name in names:
        write(folder / f"sub dir/{name}.usda", LEAF.format(name))
    write(folder / "root.usda", arcs(*(f"./sub dir/{name}.usda" for name in names)))
    answer = compare(folder, ["root.usda"], pin=pin)

    assert [] == answer["found"]["root.usda"]["errors"]
    assert [] == answer["report"]["missing"]


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
def test_packages_and_format_arguments(compare: Compare, tmp_path: Path, pin: bool) -> None:
    """What stands behind the file in a path goes on meaning what it means."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(folder / "package.usdz", "w", zipfile.ZIP_STORED) as package:
        for name in ("root.usda", "inner/leaf.usda"):
            # A package's files are aligned to 64 bytes; the padding is in the header's extra field.
            info = zipfile.ZipInfo(name)
            padding = -(package.fp.tell() + 30 + len(name)) % 64
            padding += 64 if 0 < padding < 4 else 0
            info.extra = b"\x86\x19" + (padding - 4).to_bytes(2, "little") + bytes(padding - 4)
            info.extra = info.extra if padding else b""
            package.writestr(info, "#usda 1.0\n" + LEAF.format(name))
    write(folder / "leaf.usda", LEAF.format("leaf"))
    write(
        folder / "root.usda",
        arcs(
            "./package.usdz",
            "./package.usdz[inner/leaf.usda]",
            "./leaf.usda:SDF_FORMAT_ARGS:target=usd",
        ),
    )
    answer = compare(folder, ["root.usda"], pin=pin)

    assert [] == answer["found"]["root.usda"]["errors"]


def test_search_paths_absolute_paths_and_paths_out_of_the_folder(
    compare: Compare, tmp_path: Path
) -> None:
    """However a file was named, it is the same file."""
    folder = tmp_path / "folder"
    write(tmp_path / "outside/lib.usda", LEAF.format("outside"))
    (tmp_path / "outside/tex.1001.png").write_bytes(b"tile")
    for name in ("leaf", "sub/leaf"):
        write(folder / f"{name}.usda", LEAF.format(name))
    write(
        folder / "sub/root.usda",
        arcs(
            "leaf.usda",
            "./leaf.usda",
            "../leaf.usda",
            str(folder / "leaf.usda"),
            "../../outside/lib.usda",
            str(tmp_path / "outside/lib.usda"),
            "./gone.usda",
        )
        + 'def "T"\n{\n    asset tiles = @../../outside/tex.<UDIM>.png@\n}\n',
    )
    answer = compare(folder, ["sub/root.usda"])

    assert [["sub/root.usda", "./gone.usda"]] == answer["report"]["missing"]
    assert 3 == len(answer["report"]["outside"])


SAMPLED = 'def "{0}"\n{{\n    double x.timeSamples = {{\n        1: 1,\n    }}\n}}\n'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("../out_of/a.usda", "{tmp}/out_of/a.usda"),
        ("../out_of/a.usda", "../out_of/../out_of/a.usda"),
        ("./a.usda", "a.usda"),
        ("./a.usda", "{tmp}/folder/a.usda"),
    ],
)
def test_a_sublayer_by_two_paths_keeps_both_and_each_its_offset(
    compare: Compare, tmp_path: Path, first: str, second: str
) -> None:
    """Sdf takes no path into a list twice: what would become the same is spelled apart."""
    folder = tmp_path / "folder"
    write(tmp_path / "out_of/a.usda", SAMPLED.format("A"))
    write(folder / "a.usda", SAMPLED.format("A"))
    write(folder / "z.usda", SAMPLED.format("Z"))
    second = second.format(tmp=tmp_path)
    paths = f"@{first}@ (offset = 10), @{second}@ (offset = 20), @./z.usda@ (offset = 100)"
    write(folder / "root.usda", f"(\n    subLayers = [{paths}]\n)\n")
    answer = compare(folder, ["root.usda"])
    copied = Sdf.Layer.OpenAsAnonymous(str(tmp_path / "out/root.usda"))

    assert [10, 20, 100] == [each.offset for each in copied.subLayerOffsets]
    is_inside = "out_of" not in first
    assert is_inside == any("already" in why for _, _, why in answer["report"]["untouched"])


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
def test_crate_with_paths_in_every_place(compare: Compare, tmp_path: Path, pin: bool) -> None:
    """Sublayers with offsets, variants, arrays, samples, dictionaries, tiles, nested instances."""
    folder = tmp_path / "folder"
    for tile in ("1001", "1002", "1100"):
        (folder / "tex").mkdir(parents=True, exist_ok=True)
        (folder / f"tex/wood.{tile}.png").write_bytes(tile.encode())
    crate(folder / "leaf.usdc", LEAF.format("leaf"))
    crate(
        folder / "pair.usdc",
        '(\n    defaultPrim = "A"\n)\ndef "A"\n{\n    def "L" (\n        '
        "instanceable = true\n        references = @./leaf.usdc@\n    )\n    {\n    }\n}\n",
    )
    crate(
        folder / "sub.usd",
        'over "R"\n{\n    double x.timeSamples = {\n        1: 1,\n        5: 5,\n    }\n}\n',
    )
    crate(
        folder / "root.usd",
        """(
    customLayerData = {
        asset thumbnail = @./tex/wood.1001.png@
    }
    subLayers = [@./sub.usd@ (offset = 10; scale = 2)]
)
def Xform "R" (
    customData = {
        dictionary nested = {
            asset[] files = [@./tex/wood.1002.png@, @./leaf.usdc@]
        }
    }
    variants = {
        string v = "one"
    }
    prepend variantSets = "v"
)
{
    double x
    asset[] files = [@./tex/wood.1001.png@, @@, @tex/wood.<UDIM>.png@, @./gone.png@]
    asset moving.timeSamples = {
        1: @./tex/wood.1001.png@,
        2: @./tex/wood.1002.png@,
    }
    asset tiles = @./tex/wood.<UDIM>.png@
    variantSet "v" = {
        "one" (
            payload = @./leaf.usdc@
        ) {
            def "First" (
                instanceable = true
                references = @./pair.usdc@
            )
            {
            }
            def "Second" (
                instanceable = true
                references = @./pair.usdc@
            )
            {
            }
        }
        "two" (
            payload = @./pair.usdc@
        ) {
        }
    }
}
""",
    )
    answer = compare(folder, ["root.usd"], pin=pin)

    assert [["root.usd", "./gone.png"]] == answer["report"]["missing"]
    assert [] == answer["found"]["root.usd"]["errors"]


CLIPS = """(
    subLayers = [@./declared.usda@]
)
over "Model" (
    clips = {
        dictionary default = {
            asset manifestAssetPath = @./clips/manifest.usda@
            string primPath = "/Model"
            string templateAssetPath = "./clips/p.###.##.usda"
            double templateEndTime = 3
            double templateStartTime = 1
            double templateStride = 0.5
            OFFSET
        }
    }
)
{
}
"""


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("offset", ["", "double templateActiveOffset = 0.25"])
@pytest.mark.parametrize("gap", [(), (1.5,), (1, 3)])
def test_clip_templates(
    compare: Compare, tmp_path: Path, pin: bool, offset: str, gap: Sequence[float]
) -> None:
    """With sub-frames, an offset, and frames that are not there."""
    folder = tmp_path / "folder"
    write(folder / "declared.usda", 'def "Model"\n{\n    double x\n}\n')
    write(folder / "clips/manifest.usda", 'over "Model"\n{\n    double x\n}\n')
    for time in (1, 1.5, 2, 2.5, 3):
        if time not in gap:
            name = f"p.{int(time):03}.{f'{time:.2f}'.partition('.')[2]}"
            samples = f"        {time - 0.25}: {time * 10 - 1},\n        {time}: {time * 10},\n"
            write(
                folder / f"clips/{name}.usda",
                f'over "Model"\n{{\n    double x.timeSamples = {{\n{samples}    }}\n}}\n',
            )
    write(folder / "model.usda", CLIPS.replace("OFFSET", offset))
    write(
        folder / "root.usda",
        'def "M" (\n    references = @./model.usda@</Model> (offset = 7; scale = 2)\n)\n{\n}\n',
    )
    answer = compare(folder, ["model.usda", "root.usda"], pin=pin)

    assert [] == answer["report"]["untouched"]


LONGER = """{arc}over "Model" (
    clips = {{
        dictionary default = {{
            double templateEndTime = 5
        }}
    }}
{more})
{{
}}
"""


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("gap", [False, True], ids=["whole", "gap"])
@pytest.mark.parametrize(
    "longer",
    [
        {"arc": "(\n    subLayers = [@./model.usda@]\n)\n", "more": ""},
        {"arc": "", "more": "    references = @./model.usda@</Model>\n"},
        {"arc": "", "more": "    payload = @./model.usda@</Model>\n"},
    ],
    ids=["sublayer", "reference", "payload"],
)
def test_another_layers_times_of_a_clip_template_count(
    compare: Compare, tmp_path: Path, longer: dict[str, str], gap: bool, pin: bool
) -> None:
    """A template that was written out has no end any more that a stronger layer could move."""
    folder = tmp_path / "folder"
    write(folder / "declared.usda", 'def "Model"\n{\n    double x\n}\n')
    write(folder / "clips/manifest.usda", 'over "Model"\n{\n    double x\n}\n')
    for time in (1, 3, 4, 5) if gap else (1, 2, 3, 4, 5):
        samples = f"        {time}: {time * 10},\n"
        text = f'over "Model"\n{{\n    double x.timeSamples = {{\n{samples}    }}\n}}\n'
        write(folder / f"clips/p.{time:03}.00.usda", text)
    write(folder / "model.usda", CLIPS.replace("OFFSET", "").replace("= 0.5", "= 1"))
    write(folder / "root.usda", LONGER.format(**longer))
    answer = compare(folder, ["root.usda", "model.usda"], pin=pin)

    left = [["model.usda", "./clips/p.###.##.usda"]] if gap or pin else []
    assert left == [each[:2] for each in answer["report"]["untouched"]]


def test_models_beside_each_other_have_clips_of_their_own(compare: Compare, tmp_path: Path) -> None:
    """Sets of one name, in files that one shot brings together: they are written out."""
    folder = tmp_path / "folder"
    write(folder / "declared.usda", 'def "Model"\n{\n    double x\n}\n')
    write(folder / "clips/manifest.usda", 'over "Model"\n{\n    double x\n}\n')
    for time in (1, 2, 3):
        samples = f"        {time}: {time * 10},\n"
        text = f'over "Model"\n{{\n    double x.timeSamples = {{\n{samples}    }}\n}}\n'
        write(folder / f"clips/p.{time:03}.00.usda", text)
    text = CLIPS.replace("OFFSET", "").replace("= 0.5", "= 1")
    for name in ("one", "two"):
        write(folder / f"{name}.usda", text)
    write(
        folder / "root.usda",
        'def "One" (\n    references = @./one.usda@</Model>\n)\n{\n}\n'
        'def "Two" (\n    references = @./two.usda@</Model>\n)\n{\n}\n',
    )
    answer = compare(folder, ["root.usda"], pin=True)

    assert [] == answer["report"]["untouched"]


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("gap", [False, True], ids=["whole", "gap"])
@pytest.mark.parametrize("place", ["../cache", "./linked"])
def test_clips_out_of_the_folder(
    compare: Compare, tmp_path: Path, place: str, gap: bool, pin: bool
) -> None:
    """By a relative path, or by a link: their template becomes absolute."""
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    write(cache / "manifest.usda", 'over "Model"\n{\n    double x\n}\n')
    for time in (1, 3) if gap else (1, 2, 3):
        samples = f"        {time}: {time * 10},\n"
        write(
            cache / f"p.{time:03}.00.usda",
            f'over "Model"\n{{\n    double x.timeSamples = {{\n{samples}    }}\n}}\n',
        )
    text = CLIPS.replace("./clips", place).replace("OFFSET", "").replace("= 0.5", "= 1")
    write(folder / "declared.usda", 'def "Model"\n{\n    double x\n}\n')
    write(folder / "model.usda", text)
    (folder / "linked").symlink_to(cache)
    answer = compare(folder, ["model.usda"], pin=pin, out=tmp_path / "far/from/it")

    assert ["model.usda", f"{place}/p.###.##.usda"] in answer["report"]["outside"]
    assert [] == answer["report"]["missing"]
    assert [] == answer["report"]["untouched"]


def test_a_link_round_in_a_circle_leads_to_the_folders_own_file(
    compare: Compare, tmp_path: Path
) -> None:
    """The scan does not follow it; a path may."""
    folder = tmp_path / "folder"
    write(folder / "a.usda", LEAF.format("a"))
    write(folder / "shots/root.usda", arcs("./show/a.usda"))
    (folder / "shots/show").symlink_to("..")
    answer = compare(folder, ["shots/root.usda"])

    assert [] == answer["report"]["outside"]


def test_expressions_mean_the_same_in_the_copy(compare: Compare, tmp_path: Path) -> None:
    """Left as they are, for the copy's tree is the folder's."""
    folder = tmp_path / "folder"
    for name in ("one", "two"):
        write(folder / f"{name}.usda", LEAF.format(name))
    write(
        folder / "root.usda",
        '(\n    expressionVariables = {\n        string WHO = "two"\n    }\n)\n'
        'def "P" (\n    references = [@`"./${WHO}.usda"`@, @./one.usda@]\n)\n{\n'
        '    asset file = @`"./${WHO}.usda"`@\n}\n',
    )
    answer = compare(folder, ["root.usda"])

    assert [] == answer["found"]["root.usda"]["errors"]
    assert 1 == len({path for _, path, _ in answer["report"]["untouched"]})


def test_layers_that_name_themselves_and_each_other(compare: Compare, tmp_path: Path) -> None:
    """A file may refer to another prim of its own by its name."""
    folder = tmp_path / "folder"
    write(
        folder / "root.usda",
        'def Sphere "Proto"\n{\n    double radius = 3\n}\n'
        'def "Own" (\n    references = @./root.usda@</Proto>\n)\n{\n}\n'
        'def "Other" (\n    references = @./other.usda@</Back>\n)\n{\n}\n',
    )
    write(folder / "other.usda", 'def "Back" (\n    references = @./root.usda@</Proto>\n)\n{\n}\n')
    answer = compare(folder, ["root.usda"])

    assert [] == answer["found"]["root.usda"]["errors"]


def test_one_file_by_several_names(compare: Compare, tmp_path: Path) -> None:
    """Arcs that become the same reference are the same arc; a sublayer can't be listed twice."""
    folder = tmp_path / "folder"
    write(folder / "leaf.usda", LEAF.format("leaf"))
    write(
        folder / "over.usda", 'over "P"\n{\n    double x.timeSamples = {\n        1: 1,\n    }\n}\n'
    )
    write(
        folder / "root.usda",
        "(\n    subLayers = [@./over.usda@ (offset = 5), @over.usda@, @../folder/over.usda@]\n)\n"
        'def "P" (\n'
        "    references = [@./leaf.usda@, @leaf.usda@ (offset = 2), @../folder/leaf.usda@]\n"
        "    payload = [@./leaf.usda@, @leaf.usda@]\n)\n{\n    double x\n}\n",
    )

    answer = compare(folder, ["root.usda"])

    assert ["./over.usda", "over.usda"] == [path for _, path, _ in answer["report"]["untouched"]]


def test_ids_that_collide_still_mean_their_own_file(compare: Compare, tmp_path: Path) -> None:
    """`a/b.usda` and `a.b.usda` are two assets."""
    folder = tmp_path / "folder"
    write(folder / "a/b.usda", LEAF.format("folder"))
    write(folder / "a.b.usda", LEAF.format("file"))
    write(folder / "root.usda", arcs("./a/b.usda", "./a.b.usda"))

    compare(folder, ["root.usda"])


def test_what_a_stronger_layer_takes_out_stays_out_when_its_arc_floats(
    compare: Compare, tmp_path: Path
) -> None:
    """Part of a circle, by the payload's `assetInfo`; the shot that deletes it is none."""
    folder = tmp_path / "folder"
    info = "    assetInfo = {\n        asset identifier = @./asset.usda@\n    }\n"
    default = '(\n    defaultPrim = "A"\n)\n'
    write(folder / "geo.usda", f'{default}def "A" (\n{info})\n{{\n    double g = 1\n}}\n')
    write(
        folder / "asset.usda",
        f'{default}def "A" (\n    prepend payload = @./geo.usda@\n)\n{{\n}}\n',
    )
    write(
        folder / "shot.usda",
        "(\n    subLayers = [@./asset.usda@]\n)\n"
        'over "A" (\n    delete payload = @./geo.usda@\n)\n{\n}\n',
    )
    write(folder / "user.usda", 'def "U" (\n    payload = @./geo.usda@\n)\n{\n}\n')
    answer = compare(folder, ["shot.usda", "user.usda"], pin=True)
    user = Sdf.Layer.OpenAsAnonymous(str(tmp_path / "out/user.usda"))

    floating = [name for name, path, _ in answer["report"]["untouched"] if "geo" in path]
    assert ["asset.usda", "shot.usda"] == floating
    assert ["bifrost:///assets/geo.usda?version=1"] == user.GetCompositionAssetDependencies()


TILES = """
import json, sys
from bifrost.usd import stage
stage.warm()
from pxr import Sdf, UsdShade
layer = Sdf.Layer.FindOrOpen(sys.argv[1])
path = layer.GetAttributeAtPath("/P.t").default.path
utils = UsdShade.UdimUtils
found = [tile for _, tile in utils.ResolveUdimTilePaths(path, layer)]
print(json.dumps([path, utils.ResolveUdimPath(path, layer), found]))
"""


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("collides", [False, True], ids=["plain", "hashed"])
def test_tiles_are_found_by_number_also_when_one_was_replaced(
    compare: Compare, run_python, tmp_path: Path, pin: bool, collides: bool
) -> None:
    """USD puts a number into the path, and each tile counts its own versions: so it floats, or stays."""
    folder = tmp_path / "folder"
    write(folder / "root.usda", 'def "P"\n{\n    asset t = @./body/t.<UDIM>.png@\n}\n')
    (folder / "body").mkdir()
    for name in ["body/t.1001.png", "body/t.1002.png", *["body.t.1001.png"] * collides]:
        (folder / name).write_bytes(name.encode())
    for content in (b"1", b"2"):
        (folder / "body/t.1002.png").write_bytes(content)
        answer = compare(folder, ["root.usda"], pin=pin)
        path, resolved, tiles = json.loads(run_python(TILES, tmp_path / "out/root.usda").stdout)

        assert str(tmp_path / "out/body/t.<UDIM>.png") == resolved
        assert ["1001", "1002"] == tiles
        assert path.startswith("bifrost:") is not collides
        assert (pin or collides) == bool(answer["report"]["untouched"])
