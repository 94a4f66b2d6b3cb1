# SPDX-License-Identifier: Apache-2.0
"""
Refuse what must not be published: here, models without a kind, and those with nothing to see.

    python examples/validator.py

tries to publish a lamp. An error stops the publish and nothing is left of it; a warning is recorded.

In a studio the validator is a function in a package, whose pyproject.toml says

    [project.entry-points."bifrost.validators"]
    studio_models = "studio_tools.models:studio_models"
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pxr import Sdf

from bifrost import PublishRefusedException, bifrost_host
from bifrost.publishing import Draft, Finding

LAMP = """#usda 1.0
(
    defaultPrim = "Lamp"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "Lamp"
{
}
"""


def studio_models(
    path: Path, draft: Draft, exists: Callable[[Sequence[str]], list[bool]]
) -> Iterator[Finding]:
    """Bifrost calls this with a copy of the file, before anything is registered."""
    if draft.asset_type != "model" or path.suffix not in {".usd", ".usda", ".usdc"}:
        return
    layer = Sdf.Layer.FindOrOpen(str(path))
    root = layer.GetPrimAtPath(f"/{layer.defaultPrim}") if layer and layer.defaultPrim else None
    if root is None:
        return  # the validator `default_prim` says so
    if root.kind != "component":
        message = f'{root.path} has no kind: give it `kind = "component"`'
        yield Finding("studio_models", "error", "no_kind", message, str(root.path))
    if not root.nameChildren:
        message = f"{root.path} has nothing in it"
        yield Finding("studio_models", "warning", "empty", message, str(root.path))


def main(folder: Path) -> None:
    """Be refused, mend it, and publish."""
    lamp = folder / "lamp.usda"
    lamp.write_text(LAMP)
    try:
        bifrost_host.register_asset("model", "Lamp", lamp)
    except PublishRefusedException as refused:
        for finding in refused.findings:
            print(f"{finding.severity}: {finding.message}")
    print(f"there is a lamp: {bifrost_host.entity_exists('bifrost:///assets/Lamp')}")

    layer = Sdf.Layer.FindOrOpen(str(lamp))
    layer.GetPrimAtPath("/Lamp").kind = "component"
    layer.Save()
    print(f"published {bifrost_host.register_asset('model', 'Lamp', lamp)}")
    [publish, *_] = bifrost_host.publishes()
    print(f"warned of: {', '.join(finding.code for finding in publish.findings)}")


def install_validator(folder: Path) -> None:
    """Do what `pip install` of the package would: say where the validator is."""
    info = folder / "studio_tools-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[bifrost.validators]\nstudio_models = validator:studio_models\n"
    )
    sys.path.append(str(folder))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # a catalogue to try things in
        install_validator(Path(home))
        with contextlib.closing(bifrost_host.session):
            main(Path(home))
