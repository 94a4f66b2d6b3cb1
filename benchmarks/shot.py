# SPDX-License-Identifier: Apache-2.0
"""
A production-like shot, written to disk: the same seed and size give the same files.

The tree has eight levels whatever its size, and every layer of it is used by the open stage:

| level | layers | arcs downwards |
|---|---|---|
| 0 | the shot | sublayers |
| 1 | departments | references (layout), sublayers (animation caches) |
| 2 | sets, animation caches | references |
| 3 | groups of placements, some instanced | references, instanced, with a variant selection |
| 4 | asset interfaces | payload |
| 5 | asset payloads | references, in the variants of `shading` |
| 6 | geometry, two looks each | references |
| 7 | material libraries | |

Run as a script it writes one shot: `python benchmarks/shot.py DIR --layers 3000`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import layer_text

LEVELS: Final = 8
ROOT: Final = "shot.usda"
LOOKS: Final = ("clean", "worn")

_LAYERS_PER_ASSET: Final = 6  # interface, payload, geometry, two looks, material library
_DEPARTMENTS: Final = ("layout", "lighting", "anim", "fx", "audio", "camera", "crowd")
_MAPS: Final = ("baseColor", "roughness", "normal", "metallic", "opacity", "emission", "height")
_FORMAT: Final = 4  # grows when the files of one seed change, so that no stale shot is reused


@dataclass(frozen=True)
class Shot:
    """
    What was written.

    Attributes:
        directory: The folder of all files; `ROOT` in it is the root layer.
        layers: USD layers, all of them used by the open stage.
        entities: Layers, textures (a UDIM set is one) and other resources.
        attributes: Asset-valued attributes of the composed stage, each prototype counted once.
        levels: Layers from the root to the deepest, both counted.
        size: Bytes of all layers.
    """

    directory: str
    layers: int
    entities: int
    attributes: int
    levels: int
    size: int

    @property
    def root(self) -> Path:
        """The root layer."""
        return Path(self.directory) / ROOT


def generate(directory: Path, layers: int = 3000, seed: int = 1) -> Shot:
    """
    Return the shot of that size in *directory*, written unless a former run did.

    Args:
        directory: Replaced when it holds another shot.
        layers: How many layers, from 10 up; entities are twice, attributes 2.5 times as many.
    """
    note = directory.with_suffix(".shot.json")
    wanted = {"format": _FORMAT, "layers": layers, "seed": seed}
    if note.is_file():
        known = json.loads(note.read_text())
        if known["wanted"] == wanted and directory.is_dir():
            return Shot(**{**known["shot"], "directory": str(directory)})
    shutil.rmtree(directory, ignore_errors=True)
    note.unlink(missing_ok=True)
    shot = _Writer(directory, _Plan.of(layers), random.Random(seed)).write()
    note.write_text(json.dumps({"wanted": wanted, "shot": asdict(shot)}))
    return shot


@dataclass(frozen=True)
class _Plan:
    """How many of each kind make up exactly the layers, entities and attributes asked for."""

    departments: tuple[str, ...]
    caches: int
    sets: int
    groups: int
    assets: int
    textures: int
    resources: int
    look_attributes: int

    @classmethod
    def of(cls, layers: int) -> _Plan:
        if layers < 10:
            raise ValueError(f"a shot has at least 10 layers, not {layers}")
        departments = _DEPARTMENTS[: min(max(layers // 400, 1), len(_DEPARTMENTS))]
        sets, groups = max(layers // 125, 1), max(layers // 24, 1)
        rest = layers - 1 - len(departments) - sets - groups
        assets, caches = divmod(rest, _LAYERS_PER_ASSET)
        resources = layers // 10
        # A material library's one texture is seen through both looks of its asset.
        through_libraries = len(LOOKS) * assets
        return cls(
            departments=departments,
            caches=caches,
            sets=sets,
            groups=groups,
            assets=assets,
            textures=layers - resources,
            resources=resources,
            look_attributes=layers * 5 // 2 - resources - through_libraries,
        )


class _Writer:
    """Writes one shot, level by level from the top."""

    def __init__(self, directory: Path, plan: _Plan, rng: random.Random) -> None:
        self._directory = directory
        self._plan = plan
        self._rng = rng
        self._layers = 0
        self._size = 0

    def write(self) -> Shot:
        """Write every file and count."""
        resources = self._write_resources()
        self._write_shot()
        self._write_departments(resources)
        self._write_sets()
        self._write_groups()
        for asset in range(self._plan.assets):
            self._write_asset(asset)
        entities = self._layers + self._plan.textures + self._plan.resources
        return Shot(
            directory=str(self._directory),
            layers=self._layers,
            entities=entities,
            attributes=self._plan.look_attributes
            + len(LOOKS) * self._plan.assets
            + self._plan.resources,
            levels=LEVELS,
            size=self._size,
        )

    # Levels 0 to 3: what puts the shot together

    def _write_shot(self) -> None:
        paths = [f"./departments/{name}.usda" for name in reversed(self._plan.departments)]
        metadata = (
            'defaultPrim = "World"',
            "startTimeCode = 1001",
            "endTimeCode = 1100",
            layer_text.sublayers(paths),
        )
        self._layer(ROOT, layer_text.prim("over", "World", ""), *metadata)

    def _write_departments(self, resources: Sequence[str]) -> None:
        bodies = dict.fromkeys(self._plan.departments, "")
        # Layout always exists; what a smaller shot has no department for lands there.
        users = [name for name in bodies if name != "layout"] or ["layout"]
        for number, path in enumerate(resources):
            text = layer_text.resource(f"resource_{number:04}", f"../{path}")
            bodies[users[number % len(users)]] += text
        bodies["layout"] += "".join(self._set_references())
        caches = self._write_caches()
        for name, body in bodies.items():
            animates = name == ("anim" if "anim" in bodies else "layout")
            metadata = [layer_text.sublayers(caches)] if caches and animates else []
            kind = "def Xform" if name == "layout" else "over"
            world = layer_text.prim(kind, "World", body)
            self._layer(f"departments/{name}.usda", world, 'defaultPrim = "World"', *metadata)

    def _write_caches(self) -> list[str]:
        """Write what is left over of the number of layers as animation, and return its paths."""
        names = [f"caches/cache_{number:03}.usda" for number in range(self._plan.caches)]
        for number, name in enumerate(names):
            moves = (
                layer_text.moved(
                    f"set_{(number * 7 + index) % self._plan.sets:04}", self._samples()
                )
                for index in range(min(3, self._plan.sets))
            )
            world = layer_text.prim("over", "World", "".join(moves))
            self._layer(f"departments/{name}", world, 'defaultPrim = "World"')
        return [f"./{name}" for name in names]

    def _samples(self) -> str:
        return ", ".join(f"{1001 + frame}: {self._vector()}" for frame in range(0, 100, 10))

    def _vector(self) -> str:
        return "({:.3f}, {:.3f}, {:.3f})".format(*(self._rng.uniform(-50, 50) for _ in range(3)))

    def _set_references(self) -> Iterator[str]:
        for number in range(self._plan.sets):
            path = f"../sets/set_{number:04}/set_{number:04}.usda"
            yield layer_text.placed(f"set_{number:04}", self._vector(), f"references = @{path}@")

    def _write_sets(self) -> None:
        for number in range(self._plan.sets):
            groups = list(range(number, self._plan.groups, self._plan.sets))
            groups += [self._rng.randrange(self._plan.groups) for _ in range(4)]
            body = "".join(self._group_reference(at, group) for at, group in enumerate(groups))
            self._assembly(f"sets/set_{number:04}", ".usda", body, "assembly")

    def _group_reference(self, at: int, group: int) -> str:
        path = f"../../groups/group_{group:04}/group_{group:04}{_suffix(group, 3)}"
        instanced = ["instanceable = true"] if group % 3 == 0 else []
        name = f"group_{at:02}_{group:04}"
        return layer_text.placed(name, self._vector(), f"references = @{path}@", *instanced)

    def _write_groups(self) -> None:
        every = [(asset, look) for asset in range(self._plan.assets) for look in LOOKS]
        for number in range(self._plan.groups):
            # Each asset with each look is used somewhere, so that every layer is.
            uses = every[number :: self._plan.groups]
            uses += [self._rng.choice(every) for _ in range(min(12, len(every)))]
            body = "".join(self._asset_reference(at, *use) for at, use in enumerate(uses))
            self._assembly(f"groups/group_{number:04}", _suffix(number, 3), body, "group")

    def _assembly(self, folder: str, suffix: str, body: str, kind: str) -> None:
        name = folder.rpartition("/")[2]
        text = layer_text.prim("def Xform", name, body, f'kind = "{kind}"')
        self._layer(f"{folder}/{name}{suffix}", text, f'defaultPrim = "{name}"')

    def _asset_reference(self, at: int, asset: int, look: str) -> str:
        name = _asset_name(asset)
        return layer_text.placed(
            f"{name}_{at:02}",
            self._vector(),
            f"references = @../../assets/{name}/{name}{_suffix(asset, 4)}@",
            f'variants = {{ string shading = "{look}" }}',
            "instanceable = true",
        )

    # Levels 4 to 7: what an asset is published as

    def _write_asset(self, asset: int) -> None:
        name, suffix = _asset_name(asset), _suffix(asset, 2)
        folder, metadata = f"assets/{name}", f'defaultPrim = "{name}"'
        textures = self._write_textures(folder, asset)
        looks = [(look, f"./look_{look}{suffix}") for look in LOOKS]
        self._layer(
            f"{folder}/{name}{_suffix(asset, 4)}",
            layer_text.interface(name, f"./payload{suffix}"),
            metadata,
            "metersPerUnit = 0.01",
            'upAxis = "Y"',
        )
        self._layer(
            f"{folder}/payload{suffix}", layer_text.payload(name, "./geom.usdc", looks), metadata
        )
        self._write_geometry(f"{folder}/geom.usdc", name)
        used = self._write_looks(folder, asset, looks, textures)
        text = layer_text.library(textures[used % len(textures)])
        self._layer(f"{folder}/mtl.usda", text, 'defaultPrim = "library"')

    def _write_looks(
        self, folder: str, asset: int, looks: Sequence[tuple[str, str]], textures: Sequence[str]
    ) -> int:
        """Write them, the textures dealt out in turn; return how many attributes they took."""
        name, used = _asset_name(asset), 0
        for index, (look, path) in enumerate(looks):
            parts = self._plan.assets * len(looks)
            count = _share(self._plan.look_attributes, parts, asset * len(looks) + index)
            maps = [textures[(used + step) % len(textures)] for step in range(count)]
            used += count
            text = layer_text.look(name, look, "./mtl.usda", maps)
            self._layer(f"{folder}/{path}", text, f'defaultPrim = "{name}"')
        return used

    def _write_textures(self, folder: str, asset: int) -> list[str]:
        (self._directory / folder / "tex").mkdir(parents=True)
        paths = []
        for number in range(max(1, _share(self._plan.textures, self._plan.assets, asset))):
            stem = f"tex/{_MAPS[number % len(_MAPS)]}_{number:02}"
            tiled = (asset + number) % 20 == 0
            paths.append(f"./{stem}.<UDIM>.png" if tiled else f"./{stem}.png")
            for tile in ("1001", "1002") if tiled else ("",):
                file = f"{folder}/{stem}.{tile}.png" if tile else f"{folder}/{stem}.png"
                (self._directory / file).write_text(f"placeholder {file}\n")
        return paths

    def _write_resources(self) -> list[str]:
        (self._directory / "resources").mkdir(parents=True)
        kinds = ("vdb", "ies", "exr", "wav")
        paths = [f"resources/r_{n:04}.{kinds[n % 4]}" for n in range(self._plan.resources)]
        for path in paths:
            (self._directory / path).write_text(f"placeholder {path}\n")
        return paths

    def _write_geometry(self, path: str, name: str) -> None:
        from pxr import Gf, Sdf, Vt

        # Median 700 points; one asset in fifty has more than twenty times that.
        side = max(4, int(math.sqrt(self._rng.lognormvariate(math.log(700), 1.5))))
        side = min(side, 250)
        layer = Sdf.Layer.CreateAnonymous()
        text = layer_text.geometry(name)
        layer.ImportFromString(layer_text.document([f'defaultPrim = "{name}"'], text))
        mesh = layer.GetPrimAtPath(f"/{name}/geom/mesh")
        points, counts, indices = _grid(side, self._rng)
        mesh.attributes["points"].default = points
        mesh.attributes["faceVertexCounts"].default = counts
        mesh.attributes["faceVertexIndices"].default = indices
        box = [Gf.Vec3f(0, -1, 0), Gf.Vec3f(side, 1, side)]
        mesh.attributes["extent"].default = Vt.Vec3fArray(box)
        self._export(layer, path)

    # Files

    def _layer(self, path: str, body: str, *metadata: str) -> None:
        from pxr import Sdf

        # Text goes through Sdf too: what is rewritten later is written by Sdf, and both must cost
        # the same to parse.
        layer = Sdf.Layer.CreateAnonymous()
        if not layer.ImportFromString(layer_text.document(metadata, body)):
            raise RuntimeError(f"{path}: the generated text is no USD")
        self._export(layer, path)

    def _export(self, layer: Any, path: str) -> None:
        file = self._directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not layer.Export(str(file)):
            raise RuntimeError(f"{file}: can't be written")
        self._layers += 1
        self._size += file.stat().st_size


def _share(total: int, parts: int, index: int) -> int:
    """How much of *total* the part *index* gets when *parts* share it as evenly as can be."""
    return total * (index + 1) // parts - total * index // parts


def _suffix(number: int, every: int) -> str:
    """Text for most, crate for one in *every*: studios have both."""
    return ".usd" if number % every == 1 else ".usda"


def _asset_name(asset: int) -> str:
    return f"asset_{asset:05}"


def _grid(side: int, rng: random.Random) -> tuple[Any, Any, Any]:
    """A rough height field of side x side points, as points, face sizes and face corners."""
    import numpy as np
    from pxr import Vt

    noise = np.random.default_rng(rng.getrandbits(32))
    x, z = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    y = noise.uniform(-1, 1, side * side).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + side + 1, corner + side], axis=1)
    return (
        Vt.Vec3fArray.FromNumpy(np.stack([x.ravel(), y, z.ravel()], axis=1)),
        Vt.IntArray.FromNumpy(np.full(len(corner), 4, dtype=np.int32)),
        Vt.IntArray.FromNumpy(faces.astype(np.int32).ravel()),
    )


def main() -> None:
    """Write one shot and print what it holds."""
    parser = argparse.ArgumentParser(description="Write a production-like shot.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layers", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shot = generate(arguments.directory.absolute(), arguments.layers, arguments.seed)
    print(json.dumps(asdict(shot), indent=2))


if __name__ == "__main__":
    main()
