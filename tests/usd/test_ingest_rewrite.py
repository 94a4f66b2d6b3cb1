# SPDX-License-Identifier: Apache-2.0
"""`--rewrite`: the copy's files, what stands in them, and that a run can be repeated."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from pxr import Sdf

from bifrost.catalogue import Catalogue, VersionRecord
from bifrost.errors import ConfigurationError
from bifrost.usd import copying
from bifrost.usd.arcs import asset_paths
from bifrost.usd.ingest import ingest
from bifrost.usd.rewriting import frames, rewrite

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
PREFIX = "bifrost:///assets/"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def layer(path: Path, *references: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f"@@@{each}@@@</A>" for each in references)
    path.write_text(f'#usda 1.0\ndef "A" (\n    references = [{listed}]\n)\n{{\n}}\n')
    return path


def held(path: Path) -> list[str]:
    return [use.path for use in asset_paths(Sdf.Layer.OpenAsAnonymous(str(path)))]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def newest(catalogue: Catalogue, asset_id: str) -> VersionRecord:
    (found,) = catalogue.resolve([(asset_id, None)])
    assert isinstance(found, VersionRecord), found
    return found


def test_the_copy_mirrors_the_folder_and_is_read_only(catalogue: Catalogue, out: Path) -> None:
    """Tree and names; every file 0444; the source's modes as they were."""
    modes = {path: path.stat().st_mode for path in SAMPLES.rglob("*")}
    ingest(SAMPLES, catalogue, rewrite=out)

    assert tree(SAMPLES) == tree(out)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {0o444} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {path: path.stat().st_mode for path in SAMPLES.rglob("*")}


def test_the_copies_are_what_is_registered(catalogue: Catalogue, out: Path) -> None:
    """So that everything below a root opens by reference."""
    ingest(SAMPLES, catalogue, rewrite=out)
    house = newest(catalogue, "payload_and_udim.house.usda")
    tiles = newest(catalogue, "payload_and_udim.textures.brick.<UDIM>.png")

    assert (out / "payload_and_udim/house.usda").as_uri() == house.location
    assert tiles.templated
    assert tiles.location.startswith(out.as_uri())


def test_every_path_between_the_files_is_a_reference(catalogue: Catalogue, out: Path) -> None:
    """But the one whose target is missing, and another manager's, which stay as they are."""
    report = ingest(SAMPLES, catalogue, rewrite=out)
    paths = {path for each in out.rglob("*.usda") for path in held(each)}

    assert {"./statue.usda", "bal:///stall"} == {
        path for path in paths if not path.startswith(PREFIX)
    }
    assert (("broken_reference/broken.usda", "./statue.usda"),) == report.missing
    assert f"{PREFIX}payload_and_udim.textures.brick.<UDIM>.png" in paths
    assert f"{PREFIX}value_clips.clips.flight.###.usda" in paths


@pytest.mark.parametrize("extension", ["usda", "usdc", "usd", "usd text"])
def test_text_stays_text_and_crate_stays_crate(
    catalogue: Catalogue, folder: Path, out: Path, extension: str
) -> None:
    """Also where `.usd` leaves it open."""
    source = layer(folder / "text.usda", "./leaf.usda")
    name = f"root.{extension.removesuffix(' text')}"
    text = {"format": "usda"} if extension == "usd text" else {}
    Sdf.Layer.OpenAsAnonymous(str(source)).Export(str(folder / name), args=text)
    layer(folder / "leaf.usda")
    ingest(folder, catalogue, rewrite=out)

    assert (folder / name).read_bytes()[:8] == (out / name).read_bytes()[:8]
    assert [f"{PREFIX}leaf.usda"] == held(out / name)


def test_a_layer_that_names_nothing_is_copied_byte_by_byte(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """Comments and all."""
    text = '#usda 1.0\n# by hand\ndef "A" {   }\n'
    (folder / "leaf.usda").write_text(text)
    ingest(folder, catalogue, rewrite=out)

    assert text == (out / "leaf.usda").read_text()


def test_a_second_run_writes_nothing(catalogue: Catalogue, out: Path) -> None:
    """Same source, same copy, same versions."""
    ingest(SAMPLES, catalogue, rewrite=out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    report = ingest(SAMPLES, catalogue, rewrite=out)

    assert 0 == report.new_versions
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_a_second_run_writes_what_changed_in_the_source(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """And nothing else."""
    leaf = layer(folder / "leaf.usda")
    layer(folder / "root.usda", "./leaf.usda")
    ingest(folder, catalogue, rewrite=out)
    root = (out / "root.usda").stat().st_ino
    leaf.write_text(leaf.read_text().replace('"A"', '"B"'))
    report = ingest(folder, catalogue, rewrite=out)

    assert (f"{PREFIX}leaf.usda?version=2",) == report.published
    assert '"B"' in (out / "leaf.usda").read_text()
    assert root == (out / "root.usda").stat().st_ino


def test_a_copy_that_was_tampered_with_is_made_again(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """Also what a run left behind that was killed before it told the catalogue."""
    layer(folder / "leaf.usda")
    layer(folder / "root.usda", "./leaf.usda")
    ingest(folder, catalogue, rewrite=out)
    text = (out / "root.usda").read_bytes()
    (out / "root.usda").unlink()
    (out / "root.usda").write_text("#usda 1.0\n")
    (out / "root.usda").chmod(0o444)
    report = ingest(folder, catalogue, rewrite=out)

    assert text == (out / "root.usda").read_bytes()
    assert 0 == report.new_versions


def test_a_path_is_rewritten_once_its_target_is_there(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """The layer itself did not change; what it names did."""
    layer(folder / "root.usda", "./leaf.usda")
    assert 1 == len(ingest(folder, catalogue, rewrite=out).missing)
    layer(folder / "leaf.usda")
    report = ingest(folder, catalogue, rewrite=out)

    assert () == report.missing
    assert [f"{PREFIX}leaf.usda"] == held(out / "root.usda")


def test_pinned_references_name_the_versions_of_this_run(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """What changes takes with it everything above it, and nothing beside it."""
    leaf = layer(folder / "leaf.usda")
    layer(folder / "middle.usda", "./leaf.usda")
    layer(folder / "beside.usda")
    layer(folder / "root.usda", "./middle.usda", "./beside.usda")
    ingest(folder, catalogue, rewrite=out, pin=True)
    leaf.write_text(leaf.read_text().replace('"A"', '"B"'))
    ingest(folder, catalogue, rewrite=out, pin=True)

    assert [f"{PREFIX}leaf.usda?version=2"] == held(out / "middle.usda")
    assert [f"{PREFIX}beside.usda?version=1", f"{PREFIX}middle.usda?version=2"] == held(
        out / "root.usda"
    )
    assert [("beside.usda", "1"), ("middle.usda", "2")] == [
        (each.asset_id, each.version) for each in catalogue.dependencies("root.usda", 2)
    ]


def test_pinned_references_in_a_circle_float_and_are_reported(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """Neither file can be written before the other's version is known."""
    layer(folder / "a.usda", "./b.usda")
    layer(folder / "b.usda", "./a.usda", "./leaf.usda")
    layer(folder / "leaf.usda")
    report = ingest(folder, catalogue, rewrite=out, pin=True)
    again = ingest(folder, catalogue, rewrite=out, pin=True)

    assert [f"{PREFIX}b.usda"] == held(out / "a.usda")
    assert [f"{PREFIX}a.usda", f"{PREFIX}leaf.usda?version=1"] == held(out / "b.usda")
    assert ["a.usda", "b.usda"] == [name for name, _, _ in report.untouched]
    assert 0 == again.new_versions


def test_paths_out_of_the_folder_become_absolute(
    catalogue: Catalogue, folder: Path, out: Path, tmp_path: Path
) -> None:
    """Relative ones would lead elsewhere from the copy, also those to directories and to nothing."""
    outside = layer(tmp_path / "outside.usda")
    (tmp_path / "tiles/1001").mkdir(parents=True)
    (folder / "linked").symlink_to(tmp_path / "tiles")
    names = ["outside.usda", "gone.usda", "tiles", "tiles/<UDIM>/a.png"]
    linked = ["./linked", "./linked/gone.usda"]
    layer(folder / "root.usda", *(f"../{name}" for name in names), *linked, "./gone.usda")
    report = ingest(folder, catalogue, rewrite=out)

    absolute = {str(tmp_path / name) for name in names} | {
        str(folder / name[2:]) for name in linked
    }
    assert absolute | {"./gone.usda"} == set(held(out / "root.usda"))
    assert str(outside) in absolute
    assert {"../outside.usda", "../tiles", "./linked"} == {path for _, path in report.outside}
    missing = {"../gone.usda", "../tiles/<UDIM>/a.png", "./gone.usda", "./linked/gone.usda"}
    assert missing == {path for _, path in report.missing}


def test_package_paths_and_format_arguments_stay_behind_the_reference(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """Only the outer file is an asset."""
    layer(folder / "leaf.usda")
    (folder / "package.usdz").write_bytes(b"no package at all")
    layer(
        folder / "root.usda", "./leaf.usda:SDF_FORMAT_ARGS:a=b", "./package.usdz[inner/layer.usda]"
    )
    ingest(folder, catalogue, rewrite=out, pin=True)

    assert {
        f"{PREFIX}leaf.usda?version=1:SDF_FORMAT_ARGS:a=b",
        f"{PREFIX}package.usdz?version=1[inner/layer.usda]",
    } == set(held(out / "root.usda"))


def test_expressions_stay_and_are_reported(catalogue: Catalogue, folder: Path, out: Path) -> None:
    """In arcs and in values, beside paths that are rewritten."""
    layer(folder / "leaf.usda")
    (folder / "root.usda").write_text(
        """#usda 1.0
(
    expressionVariables = {
        string WHO = "leaf"
    }
    subLayers = [@`"./${WHO}.usda"`@ (offset = 1; scale = 2), @./leaf.usda@ (offset = 3)]
)
def "A" (
    delete payload = @`"./${WHO}.usda"`@
    prepend references = [@`"./${WHO}.usda"`@</A> (offset = 2), @./leaf.usda@</A>, </B>]
)
{
    asset a = @`"./${WHO}.usda"`@
    asset[] b = [@`"./${WHO}.usda"`@, @@, @./leaf.usda@]
    asset c.timeSamples = {
        1: @`"./${WHO}.usda"`@,
    }
}
"""
    )
    report = ingest(folder, catalogue, rewrite=out)
    text = (out / "root.usda").read_text()

    assert 6 == text.count('@`"./${WHO}.usda"`@')
    assert '@`"./${WHO}.usda"`@</A> (offset = 2)' in text
    assert '@`"./${WHO}.usda"`@ (offset = 1; scale = 2)' in text
    assert f"@{PREFIX}leaf.usda@ (offset = 3)" in text
    assert 3 == text.count(f"@{PREFIX}leaf.usda@")
    assert f'asset[] b = [@`"./${{WHO}}.usda"`@, @@, @{PREFIX}leaf.usda@]' in text
    assert 'string WHO = "leaf"' in text
    assert {"root.usda"} == {name for name, _, _ in report.untouched}


RICH = """#usda 1.0
(
    customLayerData = {
        asset file = @./a.usda@
        float fine = 0.1
    }
    relocates = {
        </A/B>: </A/C>
    }
    subLayers = [
        @./a.usda@ (offset = 3; scale = 2),
        @./b.usda@,
        @./c.usda@ (scale = 0.5)
    ]
)

def "A" (
    assetInfo = {
        asset identifier = @./a.usda@
        asset[] payloadAssetDependencies = [@@, @./b.usda@]
    }
    clips = {
        dictionary default = {
            double2[] active = [(0, 0)]
            asset[] assetPaths = [@./a.usda@]
            bool interpolateMissingClipValues = 1
            asset manifestAssetPath = @./b.usda@
            string primPath = "/A"
            double2[] times = [(0, 0)]
        }
    }
    clipSets = ["default"]
    customData = {
        dictionary deeper = {
            asset file = @./a.usda@
            half h = 0.5
            token[] words = ["x", "y"]
        }
        int64 large = 5000000000
    }
    add payload = @./b.usda@</B> (offset = 5; scale = 3)
    references = [
        @./a.usda@</A> (
            customData = {
                float weight = 0.1
            }
            offset = 2
        ),
        </B>,
        @./b.usda@ (scale = 4)
    ]
    variants = {
        string v = "one"
    }
    prepend variantSets = "v"
)
{
    uniform asset[] all = [@./a.usda@, @@, @./a.usda@]
    asset empty = @@
    asset moving.timeSamples = {
        1: @./a.usda@,
        2: None,
        3: @./b.usda@,
    }
    asset plain = @./a.usda@ (
        allowedTokens = ["x"]
        customData = {
            asset file = @./b.usda@
        }
        displayName = "Plain"
    )
    asset[] some.timeSamples = {
        1: [@./a.usda@, @@],
    }
    variantSet "v" = {
        "one" (
            delete references = @./c.usda@
            reorder references = [@./b.usda@, @./a.usda@]
        ) {
            over "Child" (
                append payload = [@./a.usda@, @./b.usda@</X>]
            )
            {
            }
        }
    }
}
"""


@pytest.mark.parametrize("extension", ["usda", "usdc"])
def test_nothing_but_the_paths_differs(tmp_path: Path, extension: str) -> None:
    """Offsets, types, order, list operations, gaps: the copy is the source with other paths."""
    source, target = tmp_path / f"source.{extension}", tmp_path / f"target.{extension}"
    text, expected = (Sdf.Layer.CreateAnonymous(".usda") for _ in range(2))
    text.ImportFromString(RICH)
    text.Export(str(source))
    expected.ImportFromString(RICH.replace("@./", "@new/"))
    rewrite(str(source), str(target), {f"./{each}.usda": f"new/{each}.usda" for each in "abc"})

    written = Sdf.Layer.OpenAsAnonymous(str(target))
    assert expected.ExportToString() == written.ExportToString()


def test_a_sublayer_that_would_be_lost_is_an_error(tmp_path: Path) -> None:
    """And no offset of one lands on another."""
    source = tmp_path / "source.usda"
    source.write_text("#usda 1.0\n(\n    subLayers = [@a.usda@ (offset = 1), @b.usda@]\n)\n")

    with pytest.raises(OSError, match="only one"):
        rewrite(str(source), str(tmp_path / "target.usda"), {"a.usda": "b.usda"})
    assert not (tmp_path / "target.usda").exists()


def test_a_sublayer_that_is_a_reference_already_stays_a_path(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """A layer of which somebody has rewritten one line: from the copy the path leads to the same."""
    layer(folder / "a.usda")
    layer(folder / "z.usda")
    text = f"subLayers = [@{PREFIX}a.usda@, @./a.usda@ (offset = 20), @./z.usda@ (offset = 100)]"
    (folder / "root.usda").write_text(f"#usda 1.0\n(\n    {text}\n)\n")
    report = ingest(folder, catalogue, rewrite=out)
    copied = Sdf.Layer.OpenAsAnonymous(str(out / "root.usda"))

    assert [f"{PREFIX}a.usda", "./a.usda", f"{PREFIX}z.usda"] == list(copied.subLayerPaths)
    assert [0, 20, 100] == [each.offset for each in copied.subLayerOffsets]
    assert [("root.usda", "./a.usda")] == [each[:2] for each in report.untouched]


DELICATE = """#usda 1.0
(
    customLayerData = {
        asset same = @`"./${V}.usda"`@
    }
)

def "A" (
    assetInfo = {
        asset identifier = @`"./${V}.usda"`@
        asset[] payloadAssetDependencies = [@a.usda@, @@]
    }
    customData = {
        dictionary deep = {
            float f = 0.1
            dictionary deeper = {
                half h = 0.5
                asset[] list = [@@, @a.usda@]
                int64 n = 5
            }
            token t = "q"
        }
        asset file = @a.usda@
        float fine = 0.1
        asset other = @`"./${V}.usda"`@
        string said = "@a.usda@ is no path"
        token word = "x"
    }
    variants = {
        string v = "one"
    }
    prepend variantSets = "v"
)
{
    asset q = @a.usda@ (
        customData = {
            float f = 0.1
            asset z = @`"./${V}.usda"`@
        }
        doc = "Stays"
    )
    asset ns:q.timeSamples = {
        1: @a.usda@,
    }
    rel ns:r = </A> (
        customData = {
            asset[] z = [@@, @a.usda@]
        }
    )
    variantSet "v" = {
        "one" (
            customData = {
                asset[] z = [@@, @a.usda@]
                token t = "q"
            }
        ) {
            def "Child" (
                customData = {
                    asset z = @`"./${V}.usda"`@
                }
            )
            {
            }
        }
    }
}
"""


@pytest.mark.parametrize("extension", ["usda", "usdc"])
def test_expressions_gaps_and_types_in_metadata_survive(tmp_path: Path, extension: str) -> None:
    """Python can't tell a float from a double; USD's rewriting bakes expressions and drops gaps."""
    source, target = tmp_path / f"source.{extension}", tmp_path / f"target.{extension}"
    text, expected = (Sdf.Layer.CreateAnonymous(".usda") for _ in range(2))
    assert text.ImportFromString(DELICATE)
    text.Export(str(source))
    expected.ImportFromString(
        DELICATE.replace("@a.usda@", "@b.usda@").replace("@b.usda@ is", "@a.usda@ is")
    )
    rewrite(str(source), str(target), {"a.usda": "b.usda"})

    written = Sdf.Layer.OpenAsAnonymous(str(target))
    assert expected.ExportToString() == written.ExportToString()


def test_clip_frames_are_named_and_timed_as_usd_does() -> None:
    """Sub-frames, padding, and an offset at which a clip becomes active."""
    clip_set = {
        "templateAssetPath": "./clips/p.###.##.usd",
        "templateStartTime": 9.5,
        "templateEndTime": 10.5,
        "templateStride": 0.5,
        "templateActiveOffset": 0.25,
    }

    assert [
        ("./clips/p.009.50.usd", 9.5, 9.75),
        ("./clips/p.010.00.usd", 10.0, 10.25),
        ("./clips/p.010.50.usd", 10.5, 10.75),
    ] == frames(clip_set)
    assert frames({**clip_set, "templateAssetPath": "p.#.x.#.usd"}) is None
    assert frames({**clip_set, "templateStride": None}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"templateStartTime": "one"},
        {"templateEndTime": float("inf")},
        {"templateStride": float("nan")},
        {"templateStride": 1e-300},
        {"templateEndTime": 1e12},
        {"templateActiveOffset": "0.5"},
        {"templateActiveOffset": [0.5]},
    ],
)
def test_a_template_of_no_numbers_or_of_endless_files_derives_none(wrong):
    """A layer may hold anything there: nobody counts to the end of it."""
    clip_set = {
        "templateAssetPath": "bifrost:///assets/p.#.usd",
        "templateStartTime": 1.0,
        "templateEndTime": 3.0,
        "templateStride": 1.0,
    }

    assert 3 == len(frames(clip_set) or ())
    assert frames({**clip_set, **wrong}) is None


def test_a_clip_template_with_gaps_is_written_out(
    catalogue: Catalogue, tmp_path: Path, out: Path
) -> None:
    """A reference to a frame that isn't there would be asked for, and warned about, each time."""
    folder = Path(shutil.copytree(SAMPLES / "value_clips", tmp_path / "clips"))
    (folder / "clips/flight.003.usda").unlink()
    ingest(folder, catalogue, rewrite=out)
    text = (out / "drone.usda").read_text()

    assert "templateAssetPath" not in text
    assert "double2[] active = [(1, 0), (2, 1), (4, 2)]" in text
    assert f"@{PREFIX}clips.flight.004.usda@" in text


def test_a_clip_template_whose_times_are_elsewhere_stays_when_pinned(
    catalogue: Catalogue, tmp_path: Path, out: Path
) -> None:
    """A pinned reference can't hold the place of a number; the copy's own tree still does."""
    folder = Path(shutil.copytree(SAMPLES / "value_clips", tmp_path / "clips"))
    drone = folder / "drone.usda"
    drone.write_text(drone.read_text().replace("double templateStride = 1", ""))
    for _ in range(2):
        report = ingest(folder, catalogue, rewrite=out, pin=True)

        assert 'templateAssetPath = "./clips/flight.###.usda"' in (out / "drone.usda").read_text()
        assert ("drone.usda", "./clips/flight.###.usda") == report.untouched[0][:2]


@pytest.mark.parametrize("place", [".", "inner", ".."])
def test_a_copy_in_or_around_its_source_is_refused(
    catalogue: Catalogue, folder: Path, place: str
) -> None:
    """It would ingest itself."""
    layer(folder / "leaf.usda")
    with pytest.raises(ConfigurationError, match="can't lie"):
        ingest(folder, catalogue, rewrite=folder / place)

    assert ["leaf.usda"] == tree(folder)


def test_somebody_elses_file_is_never_replaced(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """A file that can be written to is none of ours."""
    layer(folder / "leaf.usda")
    out.mkdir()
    (out / "leaf.usda").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"leaf\.usda: no read-only file"):
        ingest(folder, catalogue, rewrite=out)

    assert "mine" == (out / "leaf.usda").read_text()
    assert [] == catalogue.assets()


def test_a_run_that_dies_leaves_whole_files_and_the_next_one_ends_it(
    catalogue: Catalogue, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old or new, never half; and no litter."""
    layer(folder / "leaf.usda")
    layer(folder / "root.usda", "./leaf.usda")
    ingest(folder, catalogue, rewrite=out)
    old = (out / "root.usda").read_text()
    (folder / "root.usda").write_text(f"{(folder / 'root.usda').read_text()}\n# changed\n")

    def half(_: str, target: str, __: object, **___: object) -> list[str]:
        Path(target).write_text("#usda 1")
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(copying, "rewrite", half)
        with pytest.raises(OSError, match="no space"):
            ingest(folder, catalogue, rewrite=out)
    assert old == (out / "root.usda").read_text()
    assert [".bifrost-unfinished", "leaf.usda", "root.usda"] == tree(out)

    ingest(folder, catalogue, rewrite=out)
    assert [f"{PREFIX}leaf.usda"] == held(out / "root.usda")


def test_what_a_killed_run_left_is_swept_after_a_day(
    catalogue: Catalogue, folder: Path, out: Path
) -> None:
    """Not sooner: its owner may still be running."""
    import os

    layer(folder / "leaf.usda")
    old, new = out / ".bifrost-staging-old", out / ".bifrost-staging-new"
    for each in (old, new):
        each.mkdir(parents=True)
        (each / "half.usda").write_text("")
    os.utime(old, (0, 0))
    ingest(folder, catalogue, rewrite=out)

    assert not old.exists()
    assert new.exists()
