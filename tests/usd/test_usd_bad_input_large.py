# SPDX-License-Identifier: Apache-2.0
"""Ten thousand variants, and nesting as deep as a layer may have it: in bounded time, in bounded memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show

LIMIT_S = 60.0
MOST_BYTES = 1_500_000_000
PRELUDE = """
import json, resource, sys
from pathlib import Path
from bifrost import bifrost_host as host

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""
MANY = 10_000


@pytest.fixture
def run(run_python, tmp_path: Path):
    """Run source after the prelude within the limit; return what it printed last."""

    def run_source(source: str, *arguments: Any) -> Any:
        done = run_python(PRELUDE + source, tmp_path, *arguments, limit_s=LIMIT_S)
        return json.loads(done.stdout.splitlines()[-1])

    return run_source


def many(target: str = "./x.usda") -> str:
    """Return the text of a layer with a set of ten thousand variants, each with a reference."""
    variants = "".join(
        f'        "v{i}" (references = @{target}@) {{\n        }}\n' for i in range(MANY)
    )
    return (
        '#usda 1.0\n(defaultPrim = "a")\n'
        'def "a" (variantSets = "look"\nvariants = { string look = "v1" }) {\n'
        f'    variantSet "look" = {{\n{variants}    }}\n}}\n'
    )


def test_ten_thousand_variants_go_through_every_call(show: Show, run) -> None:
    """
    All of them are read, published, selected, moved and copied; each names a reference.
    """
    root = show.root("root.usda")
    root.write_text(many())
    root.with_name("x.usda").write_text('#usda 1.0\n(defaultPrim = "a")\ndef "a" {\n}\n')

    found = run(
        """
root, out = sys.argv[2], Path(sys.argv[1]) / "copy"
arcs = host.extract_arcs(root)
reference = host.register_asset("model", "many", root)
stage = host.open_usd_stage(reference)
selected = host.select_usd_variant(reference, None, "look", "v9999", stage=stage)
pins = host.pin_usd(root)
print(json.dumps({
    "arcs": len(arcs),
    "variants": len(host.get_usd_variants(reference)["look"]["variants"]),
    "found": [len(each["look"]["variants"]) for each in host.find_usd_variants(reference, "look").values()],
    "prims": host.get_usd_layer_metadata(reference)["prims"],
    "selected": [selected.before, stage.GetPrimAtPath("/a").GetVariantSet("look").GetVariantSelection()],
    "pinned": len(pins.pinned),
    "moved": len(host.retarget(root, "./x.usda", "./y.usda", dry_run=True).moves),
    "copied": host.localize_usd(root, out).files,
    "synced": bool(host.sync_relationships(reference, dry_run=True)),
    "memory": memory(),
}))
""",
        root,
    )

    assert found.pop("memory") < MOST_BYTES
    assert {
        "arcs": MANY,
        "variants": MANY,
        "found": [MANY],
        "prims": 1,
        "selected": ["v1", "v9999"],
        "pinned": 2,
        "moved": MANY,
        "copied": 2,
        "synced": False,
    } == found


def test_what_nests_deeper_than_functions_can_is_read(show: Show, run) -> None:
    """
    Prims and dictionaries 1,500 deep, which a layer may have, with an asset path at the bottom.
    """
    depth = 1_500
    root = show.root("root.usda")
    prims = "".join(f'def "p{i}" {{\n' for i in range(depth)) + "}\n" * depth
    told = "dictionary d = {" * depth + "asset at = @./x.usda@" + "}" * depth
    root.write_text(f'#usda 1.0\n(customLayerData = {{{told}}}\ndefaultPrim = "p0")\n{prims}')
    root.with_name("x.usda").write_text("#usda 1.0\n")

    found = run(
        """
from bifrost.cli.main import run
from bifrost.usd import layer_metadata
root, out = sys.argv[2], Path(sys.argv[1]) / "copy"
for command in ("tree", "cat", "deps", "arcs", "open", "layers", "variants"):
    assert run(["usd", command, root]) == 0, command
print(json.dumps({
    "arcs": [arc.target for arc in host.extract_arcs(root)],
    "prims": layer_metadata.read(root)["prims"],
    "pinned": len(host.pin_usd(root).pinned),
    "copied": host.localize_usd(root, out).files,
}))
""",
        root,
    )

    assert {"arcs": ["./x.usda"], "prims": depth, "pinned": 2, "copied": 2} == found


def test_variant_sets_nest_deeper_than_anybody_looks(show: Show, run) -> None:
    """
    Variant sets in variants, 900 deep: all that is asked of them has an answer, 32 sets deep.
    """
    depth = 900
    opening = 'def "A" (variantSets = "s0") {\n'
    for number in range(depth):
        opening += f'variantSet "s{number}" = {{\n"v" (variantSets = "s{number + 1}") {{\n'
    root = show.root("root.usda")
    root.write_text('#usda 1.0\n(defaultPrim = "A")\n' + opening + "}\n" * (2 * depth + 1))

    found = run(
        """
from bifrost.cli.main import run
from bifrost.usd import description, layer_metadata
root = sys.argv[2]
for command in ("tree", "arcs", "open", "variants"):
    assert run(["usd", command, root]) == 0, command
nested, deep = host.get_usd_variants(root)["s0"]["nested"], 0
while nested:
    [brought] = nested["v"].values()
    nested, deep = brought["nested"], deep + 1
assert json.dumps(description.describe(root))
print(json.dumps({"prims": layer_metadata.read(root)["prims"], "deep": deep}))
""",
        root,
    )

    assert {"prims": 1, "deep": 32} == found
