# SPDX-License-Identifier: Apache-2.0
"""Every asset path a layer holds is found, in text and crate; reading leaves the layer alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxr import Sdf

from bifrost.usd.arcs import AssetPathUse, Kind, asset_paths, composition_paths

LAYER = """#usda 1.0
(
    colorConfiguration = @./color.ocio@
    customLayerData = {
        dictionary nested = {
            asset[] list = [@./list.png@, @@]
        }
        asset thumbnail = @./thumbnail.png@
    }
    subLayers = [@./sub.usda@ (offset = 3), @`"${SHOT}.usda"`@]
)

def "A" (
    assetInfo = {
        asset identifier = @./identifier.usda@
    }
    clips = {
        dictionary explicit = {
            asset[] assetPaths = [@./clip.1.usda@, @./clip.2.usda@]
            asset manifestAssetPath = @./manifest.usda@
            string primPath = "/A"
        }
        dictionary template = {
            string primPath = "/A"
            string templateAssetPath = "./clip.##.usda"
        }
    }
    prepend references = [@./ref.usda@</A>, @./args.usda:SDF_FORMAT_ARGS:a=b@, </Local>]
    delete references = @./deleted.usda@
    append payload = @./package.usdz[inner/layer.usd]@
    variants = {
        string v = "one"
    }
    prepend variantSets = "v"
)
{
    asset anim.timeSamples = {
        1: @./one.png@,
        2: @./two.png@,
    }
    asset file = @./file.<UDIM>.png@ (
        customData = {
            asset about = @./about.txt@
        }
    )
    asset[] files = [@./a.png@, @@, @./b.png@]
    asset nothing
    rel related = </A> (
        customData = {
            asset about = @./related.txt@
        }
    )
    variantSet "v" = {
        "one" (
            prepend references = @./variant.usda@
        ) {
            asset file = @search/variant.png@

            over "Child" (
                prepend payload = @bifrost:///assets/child?version=2@
            )
            {
            }
        }
    }
}
"""
HELD = {
    ("./color.ocio", Kind.METADATA),
    ("./list.png", Kind.METADATA),
    ("./thumbnail.png", Kind.METADATA),
    ("./sub.usda", Kind.SUBLAYER),
    ('`"${SHOT}.usda"`', Kind.SUBLAYER),
    ("./identifier.usda", Kind.METADATA),
    ("./clip.1.usda", Kind.CLIP),
    ("./clip.2.usda", Kind.CLIP),
    ("./manifest.usda", Kind.CLIP),
    ("./clip.##.usda", Kind.CLIP),
    ("./ref.usda", Kind.REFERENCE),
    ("./args.usda:SDF_FORMAT_ARGS:a=b", Kind.REFERENCE),
    ("./deleted.usda", Kind.REFERENCE),
    ("./package.usdz[inner/layer.usd]", Kind.PAYLOAD),
    ("./one.png", Kind.ATTRIBUTE),
    ("./two.png", Kind.ATTRIBUTE),
    ("./file.<UDIM>.png", Kind.ATTRIBUTE),
    ("./about.txt", Kind.METADATA),
    ("./a.png", Kind.ATTRIBUTE),
    ("./b.png", Kind.ATTRIBUTE),
    ("./related.txt", Kind.METADATA),
    ("./variant.usda", Kind.REFERENCE),
    ("search/variant.png", Kind.ATTRIBUTE),
    ("bifrost:///assets/child?version=2", Kind.PAYLOAD),
}


@pytest.fixture(params=["usda", "usdc", "usd"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Sdf.Layer:
    text = Sdf.Layer.CreateAnonymous(".usda")
    text.ImportFromString(LAYER)
    path = str(tmp_path / f"layer.{request.param}")
    text.Export(path)
    return Sdf.Layer.FindOrOpen(path)


def test_every_path_is_found_once_with_what_it_is_for(layer: Sdf.Layer) -> None:
    """One answer for text and crate, sorted, and nothing beside it."""
    found = asset_paths(layer)

    assert HELD == set(found)
    assert sorted(found) == found


def test_reading_dirties_nothing_and_says_nothing(
    layer: Sdf.Layer, capfd: pytest.CaptureFixture[str]
) -> None:
    """USD's own extraction warns about clip folders; a walk over thousands of layers mustn't."""
    asset_paths(layer)
    composition_paths(layer)

    assert not layer.dirty
    assert ("", "") == tuple(capfd.readouterr())


def test_composition_paths_are_those_that_opening_asks_for(layer: Sdf.Layer) -> None:
    """Deleted items are held, and never opened."""
    arcs = {Kind.SUBLAYER, Kind.REFERENCE, Kind.PAYLOAD}
    opened = {path for path, kind in HELD if kind in arcs} - {"./deleted.usda"}

    assert opened == set(composition_paths(layer))


def test_only_a_clip_with_hashes_is_a_template() -> None:
    """A texture may have a # in its name."""
    assert AssetPathUse("./clip.##.usda", Kind.CLIP).is_template
    assert not AssetPathUse("./clip.usda", Kind.CLIP).is_template
    assert not AssetPathUse("./tex#1.png", Kind.ATTRIBUTE).is_template


def test_a_layer_without_paths_has_none() -> None:
    """Nor has an internal reference one."""
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString('#usda 1.0\ndef "A" (\n    references = </B>\n)\n{\n}\n')

    assert [] == asset_paths(layer)
    assert [] == composition_paths(layer)
