# SPDX-License-Identifier: Apache-2.0
"""Operations on stages and layers."""

from __future__ import annotations

from pxr import Sdf, Usd

from bifrost.testing.show import layer

from .show import CAR, LEAVES, SHOT, Part, equal, kept, leaf, operation


def opened(part: Part, uri: str = SHOT) -> Usd.Stage:
    """Return a stage that lives until the process ends."""
    stage = part.host.open_usd_stage(uri)
    kept.append(stage)
    return stage


@operation("open_usd_stage", "get_usd_layers", "lock_usd_layers", "refresh")
def open_stage(part: Part) -> None:
    stage = opened(part)
    for number in range(LEAVES):
        equal(f"{number} 2", stage.GetPrimAtPath(f"/p{number}").GetAttribute("v").Get())
    found = {each.reference: each.version for each in part.host.get_usd_layers(stage)}
    equal(["2"] * LEAVES, [found[leaf(number)] for number in range(LEAVES)])
    assert part.host.lock_usd_layers(stage)
    equal((), tuple(part.host.refresh(stage).moved))


@operation("get_usd_layer_metadata")
def layer_metadata(part: Part) -> None:
    equal("/a", part.host.get_usd_layer_metadata(leaf(0))["default_prim"])


@operation("get_usd_variants", "find_usd_variants", "select_usd_variant")
def variants(part: Part) -> None:
    equal(["color"], list(part.host.get_usd_variants(CAR, "/car")))
    equal(["/car"], list(part.host.find_usd_variants(CAR, "color", "blue")))
    stage = opened(part, CAR)
    for colour in ("blue", "red"):
        part.host.select_usd_variant(CAR, "/car", "color", colour, stage=stage)
        equal(colour, stage.GetPrimAtPath("/car").GetAttribute("paint").Get())


@operation("extract_arcs", "sync_relationships")
def arcs(part: Part) -> None:
    targets = {arc.target for arc in part.host.extract_arcs(SHOT)}
    assert {leaf(number) for number in range(LEAVES)} <= targets, targets
    assert part.host.sync_relationships(SHOT, dry_run=True) is not None


@operation("author_arcs", "retarget", "working_copy", "publish_layer")
def edit(part: Part) -> None:
    uri = part.published(layer(references=(leaf(0),)))
    path = part.host.working_copy(uri, part.folder / part.new("work"))
    moved = part.host.retarget(str(path), leaf(0), leaf(1, 1))
    equal(1, len(moved.moves))
    edited = Sdf.Layer.FindOrOpen(str(path))
    kept.append(edited)
    part.host.publish_layer(edited, uri, thumbnails=False)
    equal(2, part.host.get_version(uri))
    equal({leaf(1, 1)}, {arc.target for arc in part.host.extract_arcs(uri)})
    target = part.folder / f"{part.new('authored')}.usda"
    target.write_text(layer())
    assert part.host.author_arcs(str(target), SHOT) is not None


@operation("pin_usd", "verify_pins", "diff_pins")
def pins(part: Part) -> None:
    first, second = (part.folder / f"{part.new('pins')}.json" for _ in range(2))
    for file in (first, second):
        part.host.pin_usd(SHOT, file)
    equal([], list(part.host.verify_pins(first)))
    equal([], list(part.host.diff_pins(first, second)))


@operation("localize_usd", "package_usd")
def take_along(part: Part) -> None:
    folder = part.folder / part.new("localized")
    assert part.host.localize_usd(SHOT, folder)
    package = part.folder / f"{part.new('package')}.usdz"
    part.host.package_usd(SHOT, package)
    assert package.stat().st_size > 0
