# SPDX-License-Identifier: Apache-2.0
"""Copies with plain paths: they mean what the original means, and need nobody to resolve."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from pxr import Sdf, Usd

from bifrost.errors import AssetNotFoundException, BifrostError, ConfigurationError
from bifrost.host.usd_pins import UsdPinCalls
from bifrost.testing.show import Show, layer
from bifrost.usd.localizing import localize, package

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
USD_WG = SAMPLES.parents[1] / "shared" / "data" / "usd_wg"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"

# Opened with no plugin: what differs from the original, whose folder is the other argument.
PLAIN_DUMP = """
import os, sys
for variable in ("PXR_PLUGINPATH_NAME", "BIFROST_HOME"):
    del os.environ[variable]
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
assert "bifrost" not in Ar.GetRegisteredURISchemes()
from bifrost.usd.dump import canonical_dump
sys.stdout.write(canonical_dump(stage))
"""
VALUES = """
import sys
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
for prim in stage.TraverseAll():
    for attribute in prim.GetAttributes():
        value = attribute.Get()
        if hasattr(value, "resolvedPath"):
            value = [x for x in value.resolvedPath.replace("]", "").split("/")[-1:]]
        print(prim.GetPath(), attribute.GetName(), value)
"""

TEXTURED = """#usda 1.0
(
    defaultPrim = "a"
)
def "a" (
    references = @{leaf}@
    clips = {{
        dictionary default = {{
            string templateAssetPath = "./clips/frame.##.usda"
            double templateStartTime = 1
            double templateEndTime = 2
            double templateStride = 1
            string primPath = "/a"
        }}
    }}
)
{{
    asset tiles = @./tex/t.<UDIM>.png@
    asset elsewhere = @{elsewhere}@
    asset[] several = [@./tex/one.png@, @@, @./tex/gone.png@]
}}
"""


@pytest.fixture
def shot(show: Show, tmp_path: Path) -> Path:
    """A root that uses an entity, textures, tiles, clips, and a file somewhere else."""
    leaf = show.publish("leaf.usda", layer(value="leaf"))
    elsewhere = tmp_path / "elsewhere" / "wood.png"
    root = show.root("shots/root.usda")
    root.write_text(TEXTURED.format(leaf=leaf, elsewhere=elsewhere))
    for path in (
        elsewhere,
        *(root.parent / "tex" / name for name in ("one.png", "t.1001.png", "t.1002.png")),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    (root.parent / "clips").mkdir()
    for frame in (1, 2):
        (root.parent / "clips" / f"frame.0{frame}.usda").write_text(layer(value=str(frame)))
    return root


def test_a_localized_copy_means_the_same_without_the_plugin(
    shot: Path, tmp_path: Path, run_python
) -> None:
    """
    Every file comes along; what was missing stays as it was named, and is told.
    """
    out = tmp_path / "out"

    made = UsdPinCalls().localize_usd(str(shot), out)

    assert (str(out / "root.usda"), 8) == (made.root, made.files)
    gone = str(shot.parent / "tex" / "gone.png")
    assert [(str(shot), gone, "no such file")] == [tuple(each) for each in made.left]
    assert {
        "assets/elsewhere/wood.png",
        "assets/leaf/leaf.usda",
        *("clips/frame.01.usda", "clips/frame.02.usda", "root.usda"),
        *("tex/one.png", "tex/t.1001.png", "tex/t.1002.png"),
    } == {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert made.size == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    root = Sdf.Layer.FindOrOpen(made.root)
    prim = root.GetPrimAtPath("/a")
    assert "./assets/leaf/leaf.usda" == prim.referenceList.explicitItems[0].assetPath
    assert "./clips/frame.##.usda" == prim.GetInfo("clips")["default"]["templateAssetPath"]
    moved = out.rename(tmp_path / "moved")
    original = run_python(VALUES, shot).stdout
    copy = run_python(VALUES, moved / "root.usda", env={"PXR_PLUGINPATH_NAME": ""}).stdout
    assert original == copy
    assert "wood.png" in copy
    assert "v leaf" in copy


def test_a_package_holds_the_same(shot: Path, tmp_path: Path, run_python) -> None:
    """
    One file, its root first, nothing compressed; it opens where nothing else is.
    """
    out = tmp_path / "shot.usdz"
    out.write_text("an older one")

    made = UsdPinCalls().package_usd(str(shot), out)

    assert (str(out), 8) == (made.root, made.files)
    with zipfile.ZipFile(out) as archive:
        assert "root.usda" == archive.namelist()[0]
        assert {zipfile.ZIP_STORED} == {each.compress_type for each in archive.infolist()}
    original = run_python(VALUES, shot).stdout
    copy = run_python(VALUES, out, env={"PXR_PLUGINPATH_NAME": ""}).stdout
    assert original == copy
    assert ["shot.usdz"] == [path.name for path in tmp_path.glob("*.usdz*")]
    assert not list(tmp_path.glob(".bifrost-localize-*"))


def test_a_reference_is_localized_under_its_file_name(show: Show, tmp_path: Path) -> None:
    """
    Two versions of an asset are two files; two folders of one name, too.
    """
    show.publish("leaf.usda", layer(value="1"))
    leaf = show.publish("leaf.usda", layer(value="2"))
    top = show.publish("top.usda", layer(references=(f"{leaf}?version=1", leaf)))

    made = localize(top, tmp_path / "out")

    out = tmp_path / "out"
    assert ["assets/leaf-2/leaf.usda", "assets/leaf/leaf.usda", "top.usda"] == sorted(
        str(path.relative_to(out)) for path in out.rglob("*.usda")
    )
    stage = Usd.Stage.Open(made.root)
    values = [stage.GetPrimAtPath(path).GetAttribute("v").Get() for path in ("/p0", "/p1")]
    assert ["1", "2"] == values


def test_a_folder_that_is_not_empty_is_refused(shot: Path, tmp_path: Path) -> None:
    """
    Nothing of anybody's is overwritten; a package wants its own extension.
    """
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigurationError, match="not empty"):
        localize(str(shot), tmp_path / "full")
    with pytest.raises(ConfigurationError, match=r"\.usdz"):
        package(str(shot), tmp_path / "out.zip")
    assert (tmp_path / "empty" / "root.usda") == Path(localize(str(shot), tmp_path / "empty").root)


def test_an_empty_folder_stays_the_folder_that_it_is(
    shot: Path, tmp_path: Path, run_python
) -> None:
    """
    Who stands in it stands in the copy, and its mode is its owner's affair.
    """
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o2770)
    before = out.stat()
    with pytest.raises(AssetNotFoundException):
        localize("bifrost:///assets/nothing", out)
    assert [] == os.listdir(out)

    done = run_python(
        f"import os; os.chdir({str(out)!r})\n{MAIN}",
        "usd", "localize", shot, ".", check=False,
    )  # fmt: skip

    after = out.stat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert (out / shot.name).is_file(), done.stderr
    assert [] == [each for each in os.listdir(out) if each.startswith(".")]
    assert all(each.stat().st_mode & 0o2000 for each in out.rglob("*") if each.is_dir())


def test_what_cannot_be_opened_leaves_nothing_behind(show: Show, tmp_path: Path) -> None:
    """
    A root that is not there, one that is no layer, and a package as the root of a package.
    """
    broken = show.root("broken.usda")
    broken.write_text("#usda 1.0\ndef broken {")
    whole = show.root("whole.usda")
    package(str(whole), tmp_path / "whole.usdz")

    with pytest.raises(AssetNotFoundException):
        localize("bifrost:///assets/nothing", tmp_path / "out")
    with pytest.raises(BifrostError, match=r"broken\.usda"):
        localize(str(broken), tmp_path / "out")
    with pytest.raises(BifrostError, match="is a package already"):
        package(str(tmp_path / "whole.usdz"), tmp_path / "again.usdz")
    assert ["bifrost_home", "show", "whole.usdz"] == sorted(p.name for p in tmp_path.iterdir())


def test_a_root_that_is_no_file_of_a_disk_is_refused(tmp_path: Path) -> None:
    """
    A layer in memory that USD opens by a descriptor: nothing could be copied.
    """
    descriptor = os.memfd_create("shot")
    os.write(descriptor, layer().encode())
    root = tmp_path / "shot.usda"
    root.symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")

    for write, out in ((localize, tmp_path / "out"), (package, tmp_path / "out.usdz")):
        with pytest.raises(BifrostError, match="no file that can be copied"):
            write(str(root), out)

    assert [root] == list(tmp_path.iterdir())


def test_a_shot_in_shared_memory_is_a_shot() -> None:
    """
    What the system makes up in /dev is left out; a disk in memory is a disk.
    """
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = Path(folder, "shot.usda")
        root.write_text(layer())

        made = localize(str(root), Path(folder, "out"))

        assert (1, ()) == (made.files, made.left)
        assert root.read_bytes() == Path(made.root).read_bytes()


def test_a_package_that_is_referenced_comes_along_as_it_is(show: Show, tmp_path: Path) -> None:
    """
    A usdz in a usdz: USD reads it, and the path into it stays.
    """
    inner = show.root("inner.usda")
    inner.write_text(layer(value="inner"))
    package(str(inner), show.folder / "inner.usdz")
    root = show.root("root.usda", "./inner.usdz", "./inner.usdz[inner.usda]")

    made = package(str(root), tmp_path / "out.usdz")

    stage = Usd.Stage.Open(made.root)
    values = [stage.GetPrimAtPath(path).GetAttribute("v").Get() for path in ("/p0", "/p1")]
    assert (["inner", "inner"], ()) == (values, made.left)


def test_what_a_materialx_document_names_comes_along(show: Show, tmp_path: Path) -> None:
    """
    Whether or not USD can read it, and to the same places beside it; pins have it, too.
    """
    folder = tmp_path / "materials"
    (folder / "tex").mkdir(parents=True)
    for name in ("wood.png", "t.1001.png", "t.1002.png"):
        (folder / "tex" / name).write_bytes(name.encode())
    (folder / "mat.mtlx").write_text(
        """<?xml version="1.0"?>
<materialx version="1.38" fileprefix="tex/">
  <image name="i"><input name="file" type="filename" value="wood.png"/></image>
  <image name="j"><input name="file" type="filename" value="t.&lt;UDIM&gt;.png"/></image>
  <image name="k"><input name="file" type="filename" value="gone.png"/></image>
</materialx>
"""
    )
    root = show.root("root.usda")
    root.write_text('#usda 1.0\ndef "a"\n{\n    asset m = @../materials/mat.mtlx@\n}\n')
    pins = UsdPinCalls().pin_usd(root, tmp_path / "pins.json")

    made = localize(str(root), tmp_path / "out")

    copies = {each.name: each for each in (tmp_path / "out").rglob("*") if each.is_file()}
    assert {"root.usda", "mat.mtlx", "wood.png", "t.1001.png", "t.1002.png"} == copies.keys()
    assert copies["mat.mtlx"].parent / "tex" == copies["wood.png"].parent
    assert ["gone.png"] == [Path(each.path).name for each in made.left]
    assert {"root.usda", "mat.mtlx", "wood.png", "t.<UDIM>.png"} == {
        Path(each.path).name for each in pins.files
    }


def test_crate_stays_crate_and_text_stays_text(show: Show, tmp_path: Path) -> None:
    """
    Also under the extension that both share.
    """
    leaf = show.publish("leaf.usda", layer(value="leaf"))
    for name, kind in (("crate.usd", "usdc"), ("text.usd", "usda")):
        made = Sdf.Layer.CreateAnonymous("made.usda")
        made.ImportFromString(layer(references=(leaf,)))
        made.Export(str(show.folder / name), args={"format": kind})
    root = show.root("root.usda", "./crate.usd", "./text.usd")

    out = Path(localize(str(root), tmp_path / "out").root).parent

    assert (b"PXR-USDC", b"#usda 1.") == (
        (out / "crate.usd").read_bytes()[:8],
        (out / "text.usd").read_bytes()[:8],
    )


def test_the_commands_say_what_they_made_and_what_leads_nowhere(
    shot: Path, tmp_path: Path, run_python
) -> None:
    """
    Exit code 1 for what is missing, with the layer that names it.
    """
    done = run_python(MAIN, "usd", "localize", shot, tmp_path / "out", check=False)
    packed = run_python(MAIN, "usd", "package", shot, tmp_path / "out.usdz", "--json", check=False)

    assert (1, 1) == (done.returncode, packed.returncode)
    assert done.stdout.startswith(f"{tmp_path / 'out' / 'root.usda'}: 8 files, ")
    assert "tex/gone.png: no such file (from " in done.stderr
    assert 8 == json.loads(packed.stdout)["files"]


@pytest.mark.parametrize("sample", ["chess", "teapot"])
def test_real_assets_mean_the_same(sample: str, tmp_path: Path, run_python) -> None:
    """
    Ingested, localized from their references, opened without the plugin: the dumps are equal.
    """
    folder, name = {
        "chess": (USD_WG / "full_assets" / "OpenChessSet", "chess_set.usda"),
        "teapot": (USD_WG / "full_assets" / "Teapot", "Teapot.usd"),
    }[sample]
    if not folder.is_dir():
        pytest.skip(f"needs the USD working group's assets in {USD_WG}")
    out = tmp_path / "out"
    run_python(MAIN, "ingest", folder, "--rewrite", tmp_path / "rewritten")
    made = run_python(MAIN, "usd", "localize", f"bifrost:///assets/{name}", out, check=False)

    assert "" == made.stderr
    plain = run_python(PLAIN_DUMP, folder / name).stdout
    copy = run_python(PLAIN_DUMP, out / name).stdout
    assert _without_files(plain) == _without_files(copy)
    assert len(plain) > 1000


def _without_files(dump: str) -> list[str]:
    """Return the lines of a dump, its paths cut down to the files' names, which the copy keeps."""
    return [
        "@".join(part.rpartition("/")[2] for part in line.split("@")) for line in dump.splitlines()
    ]
