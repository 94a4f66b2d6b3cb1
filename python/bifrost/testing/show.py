# SPDX-License-Identifier: Apache-2.0
"""A little show to open in tests: layers published to the catalogue that the settings name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.model.entity_reference import parse, reference_for
from bifrost.settings import load


class Show:
    """
    Publishes layer texts, one file a version, to the catalogue that `BIFROST_HOME` implies.

    Files are `<folder>/<id>/v<n>/<id>`; ids have their extension.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalogue = Catalogue.open(load().catalogue_url)

    def publish(self, asset_id: str, text: str, needs: tuple[str, ...] = ()) -> str:
        """Publish the next version of *asset_id*, which *needs* these references."""
        number = len(self.catalogue.versions(asset_id)) + 1
        path = self.folder / asset_id / f"v{number}" / asset_id
        path.parent.mkdir(parents=True)
        path.write_text(text)
        dependencies = [
            Dependency(ref.asset_id, ref.version, "reference") for ref in map(parse, needs)
        ]
        self.catalogue.publish(
            [
                Publication(
                    asset_id=asset_id,
                    name=asset_id.partition(".")[0],
                    asset_type="layer",
                    path=str(path),
                    checksum=hashlib.sha256(text.encode()).hexdigest(),
                    size=len(text),
                    dependencies=dependencies,
                )
            ]
        )
        return reference_for(asset_id)

    def levels(self, depth: int, width: int) -> tuple[str, ...]:
        """
        Publish *depth* levels of *width* layers, `l<level>_<number>.usda`; return the top one's references.

        Each layer names two of the level below, by their numbers.
        """
        below: tuple[str, ...] = ()
        for level in range(depth):
            below = tuple(
                self.publish(
                    f"l{level}_{i}.usda",
                    layer(value="x", references=below[i : i + 2]),
                    below[i : i + 2],
                )
                for i in range(width)
            )
        return below

    def path(self, asset_id: str, number: int) -> Path:
        """Return the file of one version."""
        return self.folder / asset_id / f"v{number}" / asset_id

    def root(self, name: str, *references: str) -> Path:
        """Write a plain layer file with one prim for each reference, `/p0`, `/p1`…; return it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(layer(references=references))
        return path


def layer(
    *, value: str = "", references: tuple[str, ...] = (), sublayers: tuple[str, ...] = ()
) -> str:
    """Return the text of a layer: default prim `/a` with attribute `v`, and a prim for each reference."""
    lines = ["#usda 1.0", "(", '    defaultPrim = "a"']
    if sublayers:
        lines.append("    subLayers = [" + ", ".join(f"@{path}@" for path in sublayers) + "]")
    lines += [")", 'def "a"', "{", f'    string v = "{value}"', "}"]
    for index, reference in enumerate(references):
        lines += [f'def "p{index}" (references = @{reference}@)', "{", "}"]
    return "\n".join(lines) + "\n"
