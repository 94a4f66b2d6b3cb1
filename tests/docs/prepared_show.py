# SPDX-License-Identifier: Apache-2.0
"""
What the examples of the pages stand on: a small show in the catalogue, files of its own, names.

The show is the same for all pages; `_NAMES` has what one page's examples take for granted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bifrost.usd

bifrost.usd.register_plugin()  # before anything else uses asset resolution

from pxr import Sdf, Usd  # noqa: E402

from bifrost import bifrost_host  # noqa: E402

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
SHOT = "bifrost:///assets/shot_010"
CHAIR = "bifrost:///assets/chair"
HERO = "bifrost:///assets/hero"

_MODEL = """#usda 1.0
(
    defaultPrim = "{name}"
    metersPerUnit = 0.01
    upAxis = "Y"
)
def Xform "{name}" (
    kind = "component"
    variants = {{ string materials = "wood" }}
    prepend variantSets = "materials"
)
{{
    variantSet "materials" = {{
        "metal" {{
            double shine = 0.9
        }}
        "wood" {{
            double shine = 0.2
        }}
    }}
}}
"""
_SHOT = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 0.01
    upAxis = "Y"
)
def Xform "World"
{
    def "Hero" (prepend references = @bifrost:///assets/hero@)
    {
    }
    def "Chair" (prepend references = @bifrost:///assets/chair?version=1@)
    {
    }
}
"""


def prepare(page: str) -> dict[str, Any]:
    """Publish the show, write its files here, and return the names that *page* takes for granted."""
    _write_files()
    for asset_id in ("hero", "chair", "stool", "lamp"):
        _publish(f"models/{asset_id}.usda", f"{asset_id}?type=model", asset_id.title())
    _publish("models/hero_v2.usda", "hero")
    _publish("shots/010.usda", "shot_010?type=shot", "Shot_010")
    return {"bifrost_host": bifrost_host, **_NAMES.get(page, dict)()}


def _publish(path: str, asset: str, name: str | None = None) -> None:
    uri = f"bifrost:///assets/{asset}"
    bifrost_host.publish_layer(path, uri, name=name, pin=False, thumbnails=False)


def _write_files() -> None:
    shutil.copytree(SAMPLES, "usd_samples")
    for folder in ("models", "shots", "work"):
        Path(folder).mkdir()
    for name in ("hero", "chair", "stool", "lamp"):
        Path("models", f"{name}.usda").write_text(_MODEL.format(name=name.title()))
    Path("models/hero_v2.usda").write_text(_MODEL.format(name="Hero") + "# rounder nose\n")
    Path("shots/010.usda").write_text(_SHOT)


def _access() -> dict[str, Any]:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {"asset_uri": HERO, "jwt": jwt, "key": key, "time": time}


def _arcs() -> dict[str, Any]:
    Path("working.usda").write_text('#usda 1.0\ndef "World"\n{\n}\n')
    return {"shot": SHOT, "chair": "bifrost:///assets/lamp"}


def _batches() -> dict[str, Any]:
    uris = [HERO, CHAIR]
    return {"asset_uri": HERO, "asset_uris": uris, "millions_of_uris": iter(uris * 500)}


def _commands() -> dict[str, Any]:
    for number in (2, 3):
        path = Path(f"shots/010_v{number}.usda")
        path.write_text(f"{_SHOT}# version {number}\n")
        _publish(str(path), "shot_010")
    shutil.copytree("shots", "delivery/shots")
    return {}


def _pins() -> dict[str, Any]:
    bifrost_host.pin_usd(SHOT, "monday.pins.json")
    return {}


def _compatibility() -> dict[str, Any]:
    Path("settings.yaml").write_text("assetio:\n  manager: org.bifrost.assetmanager\n")
    return {}


def _contexts() -> dict[str, Any]:
    bifrost_host.set_status(f"{HERO}?version=1", "review")
    bifrost_host.set_status(f"{HERO}?version=1", "approved")
    bifrost_host.pin_usd(SHOT, "010.pins.json")
    return {"stage": bifrost_host.open_usd_stage(SHOT)}


def _readme() -> dict[str, Any]:
    shutil.copytree("shots", "my_show")
    Path("my_show/010.usda").rename("my_show/shot.usda")
    shutil.copy("models/hero.usda", "hero.usda")
    return {}


def _publishing_layers() -> dict[str, Any]:
    return {"Sdf": Sdf, "Usd": Usd}


def _staleness() -> dict[str, Any]:
    class Application:
        def on_idle(self, *call: Any) -> None:
            """Stand for an application that calls later."""

    return {
        "application": Application(),
        "show_badge": print,
        "stage": bifrost_host.open_usd_stage(SHOT),
    }


def _traits() -> dict[str, Any]:
    from openassetio.access import PublishingAccess, ResolveAccess
    from openassetio.trait import TraitsData

    manager = bifrost_host.session.assetio_manager().manager()
    return {
        "PublishingAccess": PublishingAccess,
        "ResolveAccess": ResolveAccess,
        "TraitsData": TraitsData,
        "context": manager.createContext(),
        "hero": manager.createEntityReference(HERO),
        "manager": manager,
        "write": lambda url: shutil.copy("models/hero.usda", url.removeprefix("file://")),
    }


def _writing() -> dict[str, Any]:
    other = Sdf.Layer.CreateAnonymous(".usda")
    other.ImportFromString(_MODEL.format(name="Prop"))
    return {"Sdf": Sdf, "Usd": Usd, "other": other, "stage": Usd.Stage.Open(other)}


_NAMES: dict[str, Callable[[], dict[str, Any]]] = {
    "README.md": _readme,
    "docs/access.md": _access,
    "docs/arcs.md": _arcs,
    "docs/batches.md": _batches,
    "docs/commands.md": _commands,
    "docs/compatibility.md": _compatibility,
    "docs/contexts.md": _contexts,
    "docs/pins.md": _pins,
    "docs/publishing_layers.md": _publishing_layers,
    "docs/staleness.md": _staleness,
    "docs/traits.md": _traits,
    "docs/variants.md": lambda: {"asset_uri": CHAIR},
    "docs/writing.md": _writing,
}
