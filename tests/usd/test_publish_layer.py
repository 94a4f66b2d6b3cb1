# SPDX-License-Identifier: Apache-2.0
"""Edited layers become the next versions of their assets, all or none, and stay as they are in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pxr import Sdf, Usd

from bifrost import Context, bifrost_host
from bifrost.catalogue.access import Rule
from bifrost.errors import (
    AccessModeException,
    AssetNotFoundException,
    ConflictException,
    InvalidReferenceException,
    InvalidTraitsException,
    LocationException,
    PermissionDeniedException,
    PublishRefusedException,
    UnsupportedOperationException,
)
from bifrost.usd.layer_publishing import PublishedLayers

LEAF, MID, SHOT = (f"bifrost:///assets/{name}" for name in ("leaf", "mid", "shot"))


def text(name: str, *references: str, sublayers: tuple[str, ...] = (), more: str = "") -> str:
    """Return a layer of one prim of that name, with `value`, and the references prepended."""
    listed = ", ".join(f"@{each}@" for each in references)
    arcs = f"(prepend references = [{listed}])" if references else ""
    below = ", ".join(f"@{each}@" for each in sublayers)
    return (
        f'#usda 1.0\n(\n    defaultPrim = "{name}"\n    metersPerUnit = 1\n    upAxis = "Y"\n'
        f"    subLayers = [{below}]\n)\n"
        f'def Xform "{name}" {arcs}\n{{\n    double value = 1\n{more}}}\n'
    )


def register(folder: Path, name: str, *references: str, **more: object) -> str:
    path = folder / "sources" / name / f"{name}.usda"
    path.parent.mkdir(parents=True)
    path.write_text(text(name, *references, **more))
    return bifrost_host.register_asset("prop", name, path)


_open: list[Sdf.Layer] = []


@pytest.fixture(autouse=True)
def no_layers_left() -> Iterator[None]:
    yield
    _open.clear()


def published_layer(reference: str) -> Sdf.Layer:
    """Return the layer of a version, as this process has it; it stays open as long as the test."""
    _open.append(Sdf.Layer.FindOrOpen(str(bifrost_host.resolve_asset_path(reference))))
    return _open[-1]


def edit(layer: Sdf.Layer, value: float = 5.0) -> None:
    attribute = layer.GetAttributeAtPath(f"/{layer.defaultPrim}.value")
    attribute.default = value


def content(reference: str) -> str:
    return bifrost_host.resolve_asset_path(reference).read_text()


def names(made: PublishedLayers) -> list[str]:
    return [each.reference.removeprefix("bifrost:///assets/") for each in made.published]


def needs(asset_id: str, number: int) -> list[tuple[str, str | None, str]]:
    catalogue = bifrost_host.session.catalogue
    return [tuple(each) for each in catalogue.dependencies(asset_id, number)]


def staging() -> list[Path]:
    return list((bifrost_host.session.catalogue.store.root / ".staging").glob("*"))


def publish(source: object, asset_uri: str | None = None, **more: object) -> PublishedLayers:
    return bifrost_host.publish_layer(source, asset_uri, thumbnails=False, **more)


@pytest.fixture
def shot(tmp_path: Path) -> str:
    """A shot that names `mid` by version, which names `leaf` by version; the shot names `leaf`, floating."""
    register(tmp_path, "leaf")
    register(tmp_path, "mid", f"{LEAF}?version=1")
    return register(tmp_path, "shot", f"{MID}?version=1", LEAF)


class TestOneLayer:
    def test_an_anonymous_layer_becomes_a_new_asset(self) -> None:
        layer = Sdf.Layer.CreateAnonymous("hat.usda")
        layer.ImportFromString(text("hat"))

        made = publish(layer, "bifrost:///assets/hat?type=prop", comment="first")

        assert "bifrost:///assets/hat?version=1" == made.root
        [record] = bifrost_host.session.catalogue.resolve([("hat", None)])
        assert ("prop", "first", "hat.usda") == (
            record.asset_type,
            record.comment,
            Path(record.location).name,
        )
        assert "double value = 1" in content(made.root)

    def test_a_type_is_percent_encoded(self) -> None:
        """
        As in what USD writes to.
        """
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(text("hat"))

        publish(layer, "bifrost:///assets/hat?type=set%20dressing")

        assert "set dressing" == bifrost_host.session.catalogue.found(["hat"])["hat"].asset_type

    def test_a_type_may_be_given_apart(self) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(text("hat"))

        publish(layer, "bifrost:///assets/hat", asset_type="prop", name="A Hat")

        asset = bifrost_host.session.catalogue.found(["hat"])["hat"]
        assert ("prop", "A Hat") == (asset.asset_type, asset.name)

    def test_a_saved_file_becomes_the_next_version(self, shot: str, tmp_path: Path) -> None:
        path = tmp_path / "leaf2.usda"
        path.write_text(text("leaf", more="    double more = 2\n"))

        made = publish(path, LEAF, comment="more", metadata={"tags": ["new"]})

        assert [f"{LEAF}?version=2"] == [each.reference for each in made.published]
        assert path.read_text() == content(made.root)
        assert ["new"] == bifrost_host.session.catalogue.found(["leaf"])["leaf"].metadata["tags"]

    def test_what_is_in_memory_is_published_and_stays_unsaved(
        self, shot: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "leaf2.usda"
        path.write_text(text("leaf"))
        layer = Sdf.Layer.FindOrOpen(str(path))
        edit(layer)
        before = layer.ExportToString()

        made = publish(layer, LEAF)

        assert "double value = 5" in content(made.root)
        assert (True, before) == (layer.dirty, layer.ExportToString())
        assert text("leaf") == path.read_text()

    @pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usd"])
    @pytest.mark.parametrize("kind", [b"#usda", b"PXR-USDC"])
    def test_text_stays_text_and_crate_stays_crate(
        self, shot: str, tmp_path: Path, suffix: str, kind: bytes
    ) -> None:
        if (suffix, kind) in ((".usda", b"PXR-USDC"), (".usdc", b"#usda")):
            pytest.skip("the extension says which")
        path = str(tmp_path / f"new{suffix}")
        arguments = {"format": "usda" if kind == b"#usda" else "usdc"} if suffix == ".usd" else {}
        source = Sdf.Layer.CreateAnonymous(".usda")
        source.ImportFromString(text("new", LEAF))
        source.Export(path, args=arguments)
        layer = Sdf.Layer.FindOrOpen(path)
        edit(layer)

        made = publish(layer, "bifrost:///assets/new?type=prop")

        published = bifrost_host.resolve_asset_path(made.root)
        assert (suffix, kind) == (published.suffix, published.read_bytes()[: len(kind)])
        assert 5.0 == published_layer(made.root).GetAttributeAtPath("/new.value").default

    def test_files_below_its_folder_come_along_as_they_are_in_memory(self, tmp_path: Path) -> None:
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "wheel.usda").write_text(text("wheel"))
        (tmp_path / "parts" / "tex.png").write_bytes(b"png")
        root = tmp_path / "car.usda"
        root.write_text(
            text("car", "./parts/wheel.usda", more="    asset tex = @./parts/tex.png@\n")
        )
        wheel = Sdf.Layer.FindOrOpen(str(tmp_path / "parts" / "wheel.usda"))
        edit(wheel)

        made = publish(root, "bifrost:///assets/car?type=prop")

        folder = bifrost_host.resolve_asset_path(made.root).parent
        assert "double value = 5" in (folder / "parts" / "wheel.usda").read_text()
        assert b"png" == (folder / "parts" / "tex.png").read_bytes()
        assert 1 == len(made.published)
        assert wheel.dirty

    def test_a_package_is_published_as_the_file_that_it_is(self, tmp_path: Path) -> None:
        from pxr import UsdUtils

        source, package = tmp_path / "a.usda", tmp_path / "a.usdz"
        source.write_text(text("a"))
        assert UsdUtils.CreateNewUsdzPackage(str(source), str(package))

        made = publish(package, "bifrost:///assets/pack?type=prop")

        assert package.read_bytes() == bifrost_host.resolve_asset_path(made.root).read_bytes()
        assert [] == staging()

    def test_nothing_changed_makes_no_version(self, shot: str) -> None:
        made = publish(shot, SHOT)

        assert f"{SHOT}?version=1" == made.root
        assert 1 == bifrost_host.get_version(SHOT)

    def test_a_stored_file_is_of_its_asset_and_a_part_of_it_is_of_none(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "part.usda").write_text(text("part"))
        (tmp_path / "whole.usda").write_text(text("whole", "./part.usda"))
        uri = bifrost_host.register_asset("prop", "whole", tmp_path / "whole.usda")
        edit(published_layer(uri))
        path = bifrost_host.resolve_asset_path(uri)

        assert ["whole?version=2"] == names(publish(path))
        with pytest.raises(InvalidReferenceException, match="is of no asset"):
            publish(path.parent / "part.usda")

    def test_the_number_of_a_deleted_version_is_not_used_again(self) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(text("hat"))
        publish(layer, "bifrost:///assets/hat?type=prop")
        bifrost_host.delete_asset("bifrost:///assets/hat")
        root = Sdf.Layer.CreateAnonymous(".usda")
        root.ImportFromString(text("root"))
        root.subLayerPaths.append(layer.identifier)

        made = publish(
            root, "bifrost:///assets/root?type=shot", new={layer: "bifrost:///assets/hat?type=prop"}
        )

        assert ["hat?version=2", "root?version=1"] == names(made)
        assert "@bifrost:///assets/hat?version=2@" in content(made.root)

    def test_a_projects_own_asset_is_published_as_that(self, tmp_path: Path) -> None:
        """
        A reference means it, and not the shared asset, to who works on the project.
        """
        context = Context()
        context.current_project = "show"
        leaf = register(tmp_path, "leaf")
        own = bifrost_host.register_asset(
            "prop", "leaf", tmp_path / "sources" / "leaf" / "leaf.usda", asset_id="show:leaf"
        )
        edit(published_layer(own))
        root = Sdf.Layer.CreateAnonymous(".usda")
        root.ImportFromString(text("root", leaf))

        made = publish(root, "bifrost:///assets/root?type=shot", context=context)

        assert ["show:leaf?version=2", "root?version=1"] == names(made)
        assert 1 == bifrost_host.get_version(leaf)

    def test_variants_and_traits_are_recorded(self, shot: str) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(text("hat"))
        stage = Usd.Stage.Open(layer)
        variants = stage.GetPrimAtPath("/hat").GetVariantSets().AddVariantSet("look")
        for name in ("red", "blue"):
            variants.AddVariant(name)
            variants.SetVariantSelection(name)
            with variants.GetVariantEditContext():
                stage.DefinePrim(f"/hat/{name}", "Sphere")

        publish(stage, "bifrost:///assets/hat?type=prop")

        found = bifrost_host.query_assets({"variants": "look=red"})
        assert ["hat"] == [each["id"] for each in found]
        [record] = bifrost_host.session.catalogue.resolve([("hat", None)])
        assert "/hat" == record.properties["usd"]["default_prim"]


class TestEditedUnder:
    @pytest.fixture
    def root(self, shot: str) -> Sdf.Layer:
        return published_layer(shot)

    def test_what_is_edited_and_what_names_it_by_version_is_published_bottom_up(
        self, root: Sdf.Layer
    ) -> None:
        edit(published_layer(f"{LEAF}?version=1"))

        made = publish(root, SHOT, comment="nicer")

        assert ["leaf?version=2", "mid?version=2", "shot?version=2"] == names(made)
        assert [("leaf", "2", "reference")] == needs("mid", 2)
        assert [("leaf", "2", "reference"), ("mid", "2", "reference")] == needs("shot", 2)
        assert f"@{LEAF}?version=2@" in content(MID)
        records = bifrost_host.session.catalogue.resolve([("leaf", None), ("mid", None)])
        assert ["nicer", "nicer"] == [each.comment for each in records]

    def test_an_edited_part_makes_the_next_version_of_the_whole(self, tmp_path: Path) -> None:
        (tmp_path / "part.usda").write_text(text("part"))
        (tmp_path / "whole.usda").write_text(text("whole", "./part.usda"))
        uri = bifrost_host.register_asset("prop", "whole", tmp_path / "whole.usda")
        top = register(tmp_path, "top", f"{uri}?version=1")
        part = Sdf.Layer.FindOrOpen(str(bifrost_host.resolve_asset_path(uri).parent / "part.usda"))
        edit(part)

        made = publish(top, top)

        assert ["whole?version=2", "top?version=2"] == names(made)
        folder = bifrost_host.resolve_asset_path(uri).parent
        assert "double value = 5" in (folder / "part.usda").read_text()

    def test_it_is_one_publish(self, root: Sdf.Layer) -> None:
        edit(published_layer(LEAF))
        before = len(bifrost_host.publishes())

        made = publish(root, SHOT)

        assert before + 1 == len(bifrost_host.publishes())
        [one] = [each for each in bifrost_host.publishes() if each.id == made.publish_id]
        assert [each.reference for each in made.published] == list(one.results)
        assert "post-registered" == one.stage

    def test_without_pins_what_floats_floats_on(self, root: Sdf.Layer) -> None:
        edit(published_layer(LEAF))

        publish(root, SHOT, pin=False)

        assert [("leaf", None, "reference"), ("mid", "2", "reference")] == needs("shot", 2)

    def test_every_kind_of_arc_moves(self, shot: str, tmp_path: Path) -> None:
        leaf = f"{LEAF}?version=1"
        path = tmp_path / "all.usda"
        path.write_text(
            text(
                "all",
                sublayers=(leaf,),
                more=f"""
    asset one = @{leaf}@
    asset[] many = [@{leaf}@, @other.png@]
    asset timed.timeSamples = {{ 1: @{leaf}@ }}
    def "Paid" (payload = @{leaf}@</leaf> (offset = 3)) {{}}
    def "Clipped" (clips = {{ dictionary default = {{ asset[] assetPaths = [@{leaf}@] }} }}) {{}}
    def "Held" (variantSets = "v")
    {{
        variantSet "v" = {{
            "a" {{
                def "In" (references = @{leaf}@) {{}}
            }}
        }}
    }}
""",
            )
        )
        edit(published_layer(leaf))
        before = Sdf.Layer.FindOrOpen(str(path)).ExportToString()
        (tmp_path / "other.png").write_bytes(b"png")

        made = publish(path, "bifrost:///assets/all?type=layer")

        expected = before.replace("leaf?version=1", "leaf?version=2")
        assert 7 == expected.count("leaf?version=2")
        assert expected == published_layer(made.root).ExportToString()
        assert {"sublayer", "attribute", "payload", "clip", "reference"} == {
            kind for asset, _, kind in needs("all", 1) if asset == "leaf"
        }

    def test_a_deletion_deletes_what_it_did_and_the_new_version(
        self, shot: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "cut.usda"
        path.write_text(
            text("cut")
            .replace("(prepend", "(")
            .replace('def Xform "cut"', f'def Xform "cut" (delete references = @{LEAF}@)')
        )
        edit(published_layer(LEAF))
        above = tmp_path / "above.usda"
        above.write_text(text("cut", LEAF, sublayers=("./cut.usda",)))

        publish(above, "bifrost:///assets/above?type=layer")

        part = bifrost_host.resolve_asset_path("bifrost:///assets/above").parent / "cut.usda"
        layer = Sdf.Layer.FindOrOpen(str(part))
        deleted = layer.GetPrimAtPath("/cut").GetInfo("references")
        assert [LEAF, f"{LEAF}?version=2"] == [each.assetPath for each in deleted.deletedItems]

    def test_refused_where_the_caller_wants_none(self, root: Sdf.Layer) -> None:
        edit(published_layer(LEAF))

        with pytest.raises(PublishRefusedException, match="reaches edited layers") as refused:
            publish(root, SHOT, dependencies="refuse-modified")

        assert {"leaf", "mid"} == {each.asset_id for each in refused.value.findings}
        assert [1, 1, 1] == [bifrost_host.get_version(each) for each in (LEAF, MID, SHOT)]
        assert [] == staging()

    def test_ignored_where_the_caller_says_so(self, root: Sdf.Layer) -> None:
        edit(published_layer(LEAF))
        edit(root)

        made = publish(root, SHOT, dependencies="ignore")

        assert ["shot?version=2"] == names(made)
        assert f"@{MID}?version=1@" in content(SHOT)

    def test_twice_makes_no_second_version_and_more_edits_go_on_from_there(
        self, root: Sdf.Layer
    ) -> None:
        leaf = published_layer(LEAF)
        edit(leaf, 5.0)
        publish(root, SHOT)

        again = publish(root, SHOT)
        edit(leaf, 6.0)
        more = publish(root, SHOT)

        assert ["shot?version=2"] == names(again)
        assert ["leaf?version=3", "mid?version=3", "shot?version=3"] == names(more)

    def test_edits_of_an_old_version_are_a_conflict(self, root: Sdf.Layer, tmp_path: Path) -> None:
        edit(published_layer(f"{LEAF}?version=1"))
        newer = tmp_path / "newer.usda"
        newer.write_text(text("leaf", more="    double newer = 1\n"))
        bifrost_host.register_version(LEAF, newer)

        with pytest.raises(ConflictException, match=r"made of version 1 of leaf.*at version 2"):
            publish(root, SHOT)
        made = publish(root, SHOT, allow_outdated=True)

        assert ["leaf?version=3", "mid?version=2", "shot?version=2"] == names(made)

    def test_two_edited_versions_of_one_asset_are_a_conflict(
        self, shot: str, tmp_path: Path
    ) -> None:
        newer = tmp_path / "newer.usda"
        newer.write_text(text("leaf", more="    double newer = 1\n"))
        bifrost_host.register_version(LEAF, newer)
        for number in (1, 2):
            edit(published_layer(f"{LEAF}?version={number}"))
        both = tmp_path / "both.usda"
        both.write_text(text("both", f"{LEAF}?version=1", f"{LEAF}?version=2"))

        with pytest.raises(ConflictException, match="would both be the next version of leaf"):
            publish(both, "bifrost:///assets/both?type=layer")

    def test_assets_in_a_circle_are_published_together(self, tmp_path: Path) -> None:
        """
        References may close a circle where they name different prims.
        """
        register(tmp_path, "ring")
        register(tmp_path, "stone", "bifrost:///assets/ring?version=1")
        ring = published_layer("bifrost:///assets/ring")
        over = Sdf.CreatePrimInLayer(ring, "/ring/Back")
        over.specifier = Sdf.SpecifierDef
        over.referenceList.prependedItems = [
            Sdf.Reference("bifrost:///assets/stone?version=1", "/stone/none")
        ]
        other = Sdf.CreatePrimInLayer(published_layer("bifrost:///assets/stone"), "/stone/none")
        other.specifier = Sdf.SpecifierDef

        made = publish(ring, "bifrost:///assets/ring")

        assert ["stone?version=2", "ring?version=2"] == names(made)
        assert [("stone", "2", "reference")] == needs("ring", 2)
        assert [("ring", "2", "reference")] == needs("stone", 2)


class TestLayersOfNoAsset:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "shots").mkdir()
        (tmp_path / "elsewhere" / "prop.usda").write_text(text("prop"))
        path = tmp_path / "shots" / "root.usda"
        path.write_text(text("root", "../elsewhere/prop.usda"))
        return path

    def test_they_are_told_with_what_to_do(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(PublishRefusedException, match=r"of no asset.*prop\.usda.*new=\{"):
            publish(root, "bifrost:///assets/root?type=shot")

        assert {} == bifrost_host.session.catalogue.found(["root"])
        assert [] == staging()

    def test_they_become_what_the_caller_says(self, root: Path, tmp_path: Path) -> None:
        prop = tmp_path / "elsewhere" / "prop.usda"

        made = publish(
            root,
            "bifrost:///assets/root?type=shot",
            new={prop: "bifrost:///assets/prop?type=prop"},
        )

        assert ["prop?version=1", "root?version=1"] == names(made)
        assert "@bifrost:///assets/prop?version=1@" in content(made.root)
        assert "prop" == bifrost_host.session.catalogue.found(["prop"])["prop"].asset_type

    def test_a_part_may_become_an_asset_too(self, tmp_path: Path) -> None:
        part, root = tmp_path / "part.usda", tmp_path / "whole.usda"
        part.write_text(text("part"))
        root.write_text(text("whole", "./part.usda"))

        made = publish(
            root,
            "bifrost:///assets/whole?type=shot",
            new={Sdf.Layer.FindOrOpen(str(part)): "bifrost:///assets/part"},
        )

        assert ["part?version=1", "whole?version=1"] == names(made)
        assert ["whole.usda"] == [
            each.name
            for each in bifrost_host.resolve_asset_path(made.root).parent.iterdir()
            if each.is_file()
        ]

    def test_anonymous_sublayers_are_layers_of_no_asset(self) -> None:
        root, below = (Sdf.Layer.CreateAnonymous(".usda") for _ in range(2))
        root.ImportFromString(text("root"))
        below.ImportFromString(text("root"))
        root.subLayerPaths.append(below.identifier)

        with pytest.raises(PublishRefusedException, match="anon:"):
            publish(root, "bifrost:///assets/root?type=shot")
        made = publish(
            root, "bifrost:///assets/root?type=shot", new={below: "bifrost:///assets/below"}
        )

        assert ["below?version=1", "root?version=1"] == names(made)
        assert "@bifrost:///assets/below?version=1@" in content(made.root)
        assert [below.identifier] == list(root.subLayerPaths)

    def test_ignored_layers_are_no_anonymous_ones(self) -> None:
        root, below = (Sdf.Layer.CreateAnonymous(".usda") for _ in range(2))
        root.ImportFromString(text("root"))
        root.subLayerPaths.append(below.identifier)

        with pytest.raises(PublishRefusedException, match="anon:"):
            publish(root, "bifrost:///assets/root?type=shot", dependencies="ignore")

    def test_without_pins_paths_become_references_that_float(
        self, root: Path, tmp_path: Path
    ) -> None:
        prop = tmp_path / "elsewhere" / "prop.usda"

        made = publish(
            root,
            "bifrost:///assets/root?type=shot",
            new={prop: "bifrost:///assets/prop"},
            pin=False,
        )

        assert "@bifrost:///assets/prop@" in content(made.root)
        assert [("prop", None, "reference")] == needs("root", 1)


class TestWorkingCopies:
    def test_an_edited_one_becomes_the_next_version(self, shot: str, tmp_path: Path) -> None:
        """
        The way to edit what is published.
        """
        path = bifrost_host.working_copy(SHOT, tmp_path / "work")
        layer = Sdf.Layer.FindOrOpen(str(path))
        edit(layer)
        assert layer.Save()

        made = bifrost_host.publish_layer(layer, comment="brighter", thumbnails=False)

        assert f"{SHOT}?version=2" == made.root
        assert "double value = 5" in content(SHOT)

    def test_one_that_the_root_names_is_published_where_it_differs(
        self, shot: str, tmp_path: Path
    ) -> None:
        leaf = bifrost_host.working_copy(LEAF, tmp_path / "leaf")
        mid = bifrost_host.working_copy(MID, tmp_path / "mid")
        leaf.write_text(text("leaf", more="    double more = 2\n"))
        root = tmp_path / "root.usda"
        root.write_text(text("root", "./leaf/leaf.usda", str(mid)))

        made = publish(root, "bifrost:///assets/root?type=shot")

        assert ["leaf?version=2", "root?version=1"] == names(made)
        assert [("leaf", "2", "reference"), ("mid", "1", "reference")] == needs("root", 1)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_one_that_a_project_has_of_its_own_is_of_that(
        self, shot: str, tmp_path: Path, in_place: bool
    ) -> None:
        """
        Its file is never published over the shared asset.
        """
        context = Context(current_project="other, show")
        source = tmp_path / "leaf of the show.usda"
        source.write_text(text("leaf", more="    double own = 1\n"))
        bifrost_host.register_asset("prop", "leaf", source, asset_id="show:leaf", in_place=in_place)

        path = bifrost_host.working_copy(LEAF, tmp_path / "work", context=context)
        shared = bifrost_host.working_copy(MID, tmp_path / "shared", context=context)
        for each, name in ((path, "leaf"), (shared, "mid")):
            each.write_text(text(name, more="    double edited = 1\n"))

        assert ["show:leaf?version=2"] == names(publish(path, context=context))
        assert ["mid?version=2"] == names(publish(shared, context=context))
        assert 1 == bifrost_host.get_version(LEAF)

    def test_it_goes_on_from_what_was_published(self, shot: str, tmp_path: Path) -> None:
        path = bifrost_host.working_copy(LEAF, tmp_path / "work")
        numbers = []
        for number in (2, 3):
            path.write_text(text("leaf", more=f"    double more = {number}\n"))
            numbers.append(publish(path).published[0].version)

        assert [2, 3] == numbers

    def test_what_came_to_it_later_is_of_it(self, shot: str, tmp_path: Path) -> None:
        """
        A texture that was painted behind the last publish makes the shot that names the copy publish it.
        """
        path = bifrost_host.working_copy(LEAF, tmp_path / "leaf")
        texture = path.with_name("paint.png")
        texture.write_bytes(b"red")
        path.write_text(text("leaf", more="    asset paint = @./paint.png@\n"))
        assert ["leaf?version=2"] == names(publish(path))
        root = tmp_path / "root.usda"
        root.write_text(text("root", "./leaf/leaf.usda"))
        texture.write_bytes(b"blue")

        made = publish(root, "bifrost:///assets/root?type=shot")

        assert ["leaf?version=3", "root?version=1"] == names(made)
        painted = bifrost_host.resolve_asset_path(f"{LEAF}?version=3").with_name("paint.png")
        assert b"blue" == painted.read_bytes()

    def test_one_of_an_old_version_is_a_conflict(self, shot: str, tmp_path: Path) -> None:
        path = bifrost_host.working_copy(LEAF, tmp_path / "work")
        newer = tmp_path / "newer.usda"
        newer.write_text(text("leaf", more="    double newer = 1\n"))
        bifrost_host.register_version(LEAF, newer)
        path.write_text(text("leaf", more="    double mine = 1\n"))

        with pytest.raises(ConflictException, match="made of version 1"):
            publish(path)

    def test_nothing_is_written_over(self, shot: str, tmp_path: Path) -> None:
        from bifrost.errors import StorageException

        (tmp_path / "leaf.usda").write_text("mine")

        with pytest.raises(StorageException, match="no working copy was made"):
            bifrost_host.working_copy(LEAF, tmp_path)

        assert "mine" == (tmp_path / "leaf.usda").read_text()


class TestRefused:
    @pytest.fixture
    def layer(self) -> Sdf.Layer:
        made = Sdf.Layer.CreateAnonymous(".usda")
        made.ImportFromString(text("hat"))
        return made

    @pytest.mark.parametrize(
        "asset_uri",
        [
            f"{LEAF}?version=1",
            f"{LEAF}?version=latest",
            f"{LEAF}?type=prop&version=1",
            f"{LEAF}?type=prop&name=Leaf",
            f"{LEAF}?type=%ff",
            "hat",
            "",
            "bal:///hat",
            3,
        ],
    )
    def test_what_names_no_asset(self, layer: Sdf.Layer, asset_uri: object) -> None:
        with pytest.raises(InvalidReferenceException):
            publish(layer, asset_uri)

    def test_a_layer_of_no_asset_without_a_name(self, layer: Sdf.Layer) -> None:
        with pytest.raises(InvalidReferenceException, match="is of no asset: say what"):
            publish(layer)

    def test_an_asset_that_is_not_there(self, shot: str, layer: Sdf.Layer) -> None:
        with pytest.raises(AssetNotFoundException, match=r"no asset 'leef'.*\?type=") as raised:
            publish(layer, "bifrost:///assets/leef")

        assert LEAF in raised.value.suggestions

    def test_another_way_with_dependencies(self, layer: Sdf.Layer) -> None:
        with pytest.raises(InvalidTraitsException, match="publish-modified"):
            publish(layer, f"{LEAF}?type=prop", dependencies="all")

    def test_an_asset_of_another_type_that_is_there(self, shot: str, layer: Sdf.Layer) -> None:
        """
        Whoever means to make one must not make a version of somebody else's.
        """
        with pytest.raises(ConflictException, match="there already, and a prop, no model"):
            publish(layer, f"{LEAF}?type=model")
        with pytest.raises(ConflictException, match="at version 1, not at 0"):
            publish(layer, f"{LEAF}?type=prop", expected_version=0)

        assert 1 == bifrost_host.get_version(LEAF)
        assert [] == staging()

    def test_a_layer_in_new_that_nothing_names(self, layer: Sdf.Layer) -> None:
        with pytest.raises(InvalidTraitsException, match=r"reaches no /none\.usda"):
            publish(layer, f"{LEAF}?type=prop", new={"/none.usda": MID})

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(LocationException, match="no such file"):
            publish(tmp_path / "none.usda", f"{LEAF}?type=prop")

    def test_a_newer_version_than_expected(self, shot: str, tmp_path: Path) -> None:
        path = tmp_path / "leaf.usda"
        path.write_text(text("leaf", more="    double more = 1\n"))

        with pytest.raises(ConflictException, match="at version 1, not at 0"):
            publish(path, LEAF, expected_version=0)

    def test_a_muted_layer_with_edits(self, shot: str) -> None:
        """
        USD shows a muted layer as empty; published so, its content would be lost.
        """
        leaf = published_layer(LEAF)
        edit(leaf)
        Sdf.Layer.AddToMutedLayers(leaf.identifier)
        try:
            with pytest.raises(AccessModeException, match="muted"):
                publish(published_layer(SHOT), SHOT)
        finally:
            Sdf.Layer.RemoveFromMutedLayers(leaf.identifier)

    def test_a_layer_inside_a_package(self, tmp_path: Path) -> None:
        from pxr import UsdUtils

        source, package = tmp_path / "a.usda", tmp_path / "a.usdz"
        source.write_text(text("a"))
        UsdUtils.CreateNewUsdzPackage(str(source), str(package))
        layer = Sdf.Layer.FindOrOpen(f"{package}[a.usda]")

        with pytest.raises(AccessModeException, match="part of a package"):
            publish(layer, "bifrost:///assets/a?type=prop")

    @pytest.mark.parametrize("broken", ["leaf", "root"])
    def test_a_validators_error_leaves_nothing(
        self, shot: str, tmp_path: Path, broken: str
    ) -> None:
        path = tmp_path / "root.usda"
        path.write_text(text("root", f"{LEAF}?version=1"))
        leaf, root = published_layer(LEAF), Sdf.Layer.FindOrOpen(str(path))
        edit(leaf)
        (leaf if broken == "leaf" else root).defaultPrim = "none"

        with pytest.raises(PublishRefusedException) as refused:
            publish(path, "bifrost:///assets/root?type=prop")

        assert {"default-prim-missing"} <= {each.code for each in refused.value.findings}
        assert {broken} == {each.asset_id for each in refused.value.findings if each.is_error}
        assert 1 == bifrost_host.get_version(LEAF)
        assert {} == bifrost_host.session.catalogue.found(["root"])
        assert [] == staging()

    def test_who_may_not_publish_one_of_them_publishes_none(self, shot: str) -> None:
        bifrost_host.allow([Rule("leaf", "publish", "ann")])
        edit(published_layer(LEAF))

        context = Context()
        context.user = "ben"
        with pytest.raises(PermissionDeniedException):
            publish(published_layer(SHOT), SHOT, context=context)

        assert [1, 1, 1] == [bifrost_host.get_version(each) for each in (LEAF, MID, SHOT)]
        assert [] == staging()

    def test_sublayers_in_a_circle(self, tmp_path: Path) -> None:
        for name, other in (("a", "b"), ("b", "a")):
            (tmp_path / f"{name}.usda").write_text(text("x", sublayers=(f"./{other}.usda",)))

        with pytest.raises(PublishRefusedException, match=r"(?i)cycle"):
            publish(tmp_path / "a.usda", "bifrost:///assets/a?type=layer")

        assert [] == staging()

    def test_what_is_published_is_read_only(self, layer: Sdf.Layer) -> None:
        made = publish(layer, f"{LEAF}?type=prop")

        assert not bifrost_host.resolve_asset_path(made.root).stat().st_mode & 0o222

    def test_another_manager_is_named(
        self, layer: Sdf.Layer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bifrost import session

        config = Path(os.environ["BIFROST_HOME"]) / "bal.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        library = config.with_suffix(".json")
        library.write_text('{"entities": {}}')
        config.write_text(
            '[manager]\nidentifier = "org.openassetio.examples.manager.bal"\n'
            f'[manager.settings]\nlibrary_path = "{library}"\n'
        )
        monkeypatch.setenv("OPENASSETIO_DEFAULT_CONFIG", str(config))
        session.use(None)

        with pytest.raises(UnsupportedOperationException, match=r"examples\.manager\.bal"):
            publish(layer, f"{LEAF}?type=prop")
