# SPDX-License-Identifier: Apache-2.0
"""How often pins, arcs, variants, refreshing and publishing cross, ask and notify. Counts, not times."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost import bifrost_host
from bifrost.testing.show import Show, layer

LEVELS, WIDTH = 4, 10

PINNED = """
import json, sys
from pxr import Usd
stages = [Usd.Stage.Open(root) for root in sys.argv[1:]]
imported = sorted(name for name in sys.modules if name.startswith("bifrost"))
from bifrost.usd import library
print(json.dumps({"imported": imported, "used": [len(s.GetUsedLayers()) for s in stages],
                  **library.counters()}))
"""

REFRESH = """
import json, sys
from bifrost import bifrost_host as host
from bifrost.testing.show import Show, layer
from bifrost.usd.stage import resolver_stats, warm
from pathlib import Path
warm()
from pxr import Ar, Tf, Usd
stage = Usd.Stage.Open(sys.argv[1])
show = Show(Path(sys.argv[2]))
moving = sys.argv[3:]
for asset_id in moving:
    show.publish(asset_id, layer(value="moved"))
host.session.invalidate([f"bifrost:///assets/{asset_id}" for asset_id in moving])
notices, resolver = [], []
held = [Tf.Notice.Register(kind, lambda notice, _: notices.append(notice), stage)
        for kind in (Usd.Notice.ObjectsChanged, Usd.Notice.StageContentsChanged)]
held.append(Tf.Notice.RegisterGlobally(Ar.Notice.ResolverChanged, lambda *_: resolver.append(1)))
trips = lambda: host.session.stats()["manager"]["round_trips"]
before, crossings = trips(), resolver_stats()["crossings"]
refreshed = host.refresh(stage)
print(json.dumps({"moved": len(refreshed.moved), "round_trips": trips() - before,
                  "crossings": resolver_stats()["crossings"] - crossings,
                  "notices": len(notices), "resolver_notices": len(resolver)}))
"""

VARIANTS = """
import json, sys
from pathlib import Path
from bifrost import bifrost_host as host
from bifrost.usd import warm
warm()
from pxr import Sdf
first = host.get_usd_variants(sys.argv[1])
opened = len(Sdf.Layer.GetLoadedLayers())
Path(sys.argv[2]).unlink()
trips = lambda: host.session.stats()["manager"]["round_trips"]
before = trips()
again = host.get_usd_variants(sys.argv[1])
print(json.dumps({"same": first == again, "round_trips": trips() - before,
                  "opened": len(Sdf.Layer.GetLoadedLayers()) - opened,
                  "variants": sorted(again["look"]["variants"])}))
"""


@pytest.fixture
def deep(show: Show) -> Path:
    """A root over four levels of ten layers each."""
    return show.root("root.usda", *show.levels(LEVELS, WIDTH))


@pytest.fixture
def asked() -> Callable[[], int]:
    """Return how often this process has asked the manager since the last call."""
    last = [0]

    def since() -> int:
        before = last[0]
        last[0] = int(bifrost_host.session.stats()["manager"]["round_trips"])
        return last[0] - before

    return since


@pytest.fixture
def counted(run_python) -> Callable[..., dict[str, Any]]:
    """Run a program in a process of its own and return what it counted."""

    def run(source: str, *arguments: str | Path, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run_python(source, *arguments, **options).stdout)
        return found

    return run


def test_an_open_with_pins_never_crosses(deep: Path, tmp_path: Path, counted) -> None:
    """
    No crossing, no miss, and not one module of Bifrost imported.
    """
    pins = tmp_path / "shot.pins.json"
    bifrost_host.pin_usd(str(deep), pins)

    found = counted(PINNED, deep, env={"BIFROST_PINS": str(pins)})

    assert ([], 0, 0) == (found["imported"], found["crossings"], found["misses"])
    assert WIDTH < found["used"][0]


def test_a_file_of_pins_is_read_once_for_all_stages(
    show: Show, deep: Path, tmp_path: Path, run_python
) -> None:
    """
    Five roots and the context that is bound to none share what was read.
    """
    pins = tmp_path / "shot.pins.json"
    bifrost_host.pin_usd(str(deep), pins)
    roots = [show.root(f"root{i}.usda", f"bifrost:///assets/l3_{i}.usda") for i in range(5)]
    environment = {"BIFROST_PINS": str(pins), "TF_DEBUG": "BIFROST_CONTEXT"}

    done = run_python(PINNED, *roots, env=environment)

    assert 1 == (done.stdout + done.stderr).count(f"pins in {pins}")


def test_pinning_asks_once_for_each_level(deep: Path, asked) -> None:
    """
    However wide a level is, and however many layers name the same one.
    """
    asked()

    pins = bifrost_host.pin_usd(str(deep))

    assert LEVELS * WIDTH == len(pins.entities)
    assert LEVELS == asked()


def test_pinning_what_is_cached_asks_nobody(deep: Path, asked) -> None:
    """
    A second time the caches answer for all of it.
    """
    bifrost_host.pin_usd(str(deep))
    asked()

    bifrost_host.pin_usd(str(deep))

    assert 0 == asked()


def test_a_closure_of_arcs_asks_once_for_each_level(deep: Path, asked) -> None:
    """
    As many questions as there are breadths of layers, and none when the caches know.
    """
    asked()

    arcs = bifrost_host.extract_arcs(str(deep), closure=True)
    assert LEVELS == asked()
    assert arcs == bifrost_host.extract_arcs(str(deep), closure=True)

    assert 0 == asked()


def test_arcs_of_a_layer_ask_nobody(deep: Path, asked) -> None:
    """
    Nothing is resolved.
    """
    asked()

    assert WIDTH == len(bifrost_host.extract_arcs(str(deep)))

    assert 0 == asked()


@pytest.mark.parametrize("reference", ["chair.usda", "chair.usda?version=1"])
def test_kept_variants_ask_nobody_and_open_nothing(show: Show, reference: str, counted) -> None:
    """
    Neither the manager nor a layer: the file may be gone, of a floating reference and of a version.
    """
    text = '#usda 1.0\n(defaultPrim = "a")\ndef "a" (\n variants = {string look = "red"}\n'
    text += ' prepend variantSets = "look"\n)\n{\n variantSet "look" = { "red" {} "blue" {} }\n}\n'
    show.publish("chair.usda", text)

    found = counted(VARIANTS, f"bifrost:///assets/{reference}", show.path("chair.usda", 1))

    assert {"same": True, "round_trips": 0, "opened": 0, "variants": ["blue", "red"]} == found


def test_a_refresh_where_nothing_moved_notifies_nobody(show: Show, deep: Path, counted) -> None:
    """
    One crossing, at most one question, no notice.
    """
    found = counted(REFRESH, deep, show.folder)

    assert (0, 0, 0) == (found["moved"], found["notices"], found["resolver_notices"])
    assert found["crossings"] <= 1
    assert found["round_trips"] <= 1


def test_a_refresh_of_three_new_versions_asks_once(show: Show, deep: Path, counted) -> None:
    """
    One question for all of them and one notice, whatever else is on the stage.
    """
    moving = ("l3_1.usda", "l3_4.usda", "l3_7.usda")

    found = counted(REFRESH, deep, show.folder, *moving)

    assert (3, 1, 1) == (found["moved"], found["round_trips"], found["resolver_notices"])
    assert found["notices"] >= 1


def test_a_publish_of_many_edited_layers_is_one_change_each(show: Show, asked) -> None:
    """
    All layers of a root in one publish: one version each, and nobody is asked for each of them.
    """
    from pxr import Sdf

    below = tuple(show.publish(f"prop{i}.usda", layer(value="1")) for i in range(20))
    top = show.publish("top.usda", layer(references=below), below)
    held = [Sdf.Layer.FindOrOpen(str(show.path(f"prop{i}.usda", 1))) for i in range(20)]
    for each in held:
        each.comment = "edited"
    root = Sdf.Layer.FindOrOpen(str(show.path("top.usda", 1)))
    root.comment = "edited"
    catalogue = bifrost_host.session.catalogue
    before = catalogue.change_number()
    asked()

    made = bifrost_host.publish_layer(root, top, thumbnails=False)

    assert 21 == len(made.published)
    assert catalogue.changed_since(before) == {f"prop{i}.usda" for i in range(20)} | {"top.usda"}
    assert asked() <= 3
