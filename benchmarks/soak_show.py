# SPDX-License-Identifier: Apache-2.0
"""
The show of the soak: a shot of sets of props, every one of them a layer by reference.

The props are published again and again; each says of which version it is, so that what a stage shows can
be checked. The same show exists as plain files, for what OpenUSD itself does with memory.

`python soak_show.py FOLDER` publishes it, in a process that has the plugin, and prints its root layer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

SETS: Final = 6
IN_SET: Final = 6
PROPS: Final = tuple(f"prop_{number:02}" for number in range(SETS * IN_SET))
ROOT: Final = "shot.usda"
_SET: Final = "set_{:02}"


def reference(name: str, version: int | None = None) -> str:
    """Return the entity reference of *name*, or of one version of it."""
    return f"bifrost:///assets/{name}" + ("" if version is None else f"?version={version}")


def prim_of(prop: str) -> str:
    """Return where the shot has *prop*."""
    return f"/shot/{_SET.format(PROPS.index(prop) // IN_SET)}/{prop}"


def published(host: Any, folder: Path) -> Path:
    """Publish the first version of everything; return the shot's root layer, a plain file."""
    for prop in PROPS:
        _register(host, prop, written(folder, prop, 1))
    for name, text in _sets(reference).items():
        file = folder / f"{name}.usda"
        file.write_text(text)
        _register(host, name, file)
    root = folder / ROOT
    root.write_text(_shot(reference))
    return root


def plain(folder: Path) -> Path:
    """Write the same as plain files; return the root layer."""
    for prop in PROPS:
        written(folder, prop, 1)
    for name, text in _sets(lambda prop: f"./{prop}.usda").items():
        (folder / f"{name}.usda").write_text(text)
    for prop in PROPS:
        (folder / f"{prop}.usda").write_text(_prop(prop, 1))
    root = folder / ROOT
    root.write_text(_shot(lambda name: f"./{name}.usda"))
    return root


def written(folder: Path, prop: str, version: int) -> Path:
    """Write the file of a version, for it to be published."""
    file = folder / f"{prop}.{version}.usda"
    file.write_text(_prop(prop, version))
    return file


def _register(host: Any, name: str, file: Path) -> None:
    host.register_asset("model", name, file, {"tags": ["soak"]}, asset_id=name)


def _prop(prop: str, version: int) -> str:
    points = ", ".join(f"({number}, {version % 7}, 0)" for number in range(200))
    return f"""#usda 1.0
(
    defaultPrim = "{prop}"
)
def Xform "{prop}"
{{
    custom string made = "{prop} {version}"
    def Mesh "geometry"
    {{
        point3f[] points = [{points}]
    }}
}}
"""


def _sets(name: Callable[[str], str]) -> dict[str, str]:
    texts = {}
    for number in range(SETS):
        props = PROPS[number * IN_SET : (number + 1) * IN_SET]
        texts[_SET.format(number)] = _assembly(_SET.format(number), props, name)
    return texts


def _shot(name: Callable[[str], str]) -> str:
    return _assembly("shot", [_SET.format(number) for number in range(SETS)], name)


def _assembly(prim: str, parts: Sequence[str], name: Callable[[str], str]) -> str:
    body = "".join(
        f'    def "{part}" (prepend references = @{name(part)}@)\n    {{\n    }}\n'
        for part in parts
    )
    return f'#usda 1.0\n(\n    defaultPrim = "{prim}"\n)\ndef Xform "{prim}"\n{{\n{body}}}\n'


def main() -> None:
    """Publish the show into the catalogue that the environment names."""
    from bifrost.host import bifrost_host
    from bifrost.usd.stage import warm

    warm()
    print(published(bifrost_host, Path(sys.argv[1])))
    bifrost_host.session.close()


if __name__ == "__main__":
    main()
