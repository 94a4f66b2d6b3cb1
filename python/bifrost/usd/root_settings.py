# SPDX-License-Identifier: Apache-2.0
"""
What a root layer says about how its references shall be resolved: its own context settings.

They are the custom layer data's dictionary `bifrost`, texts by the names that context strings use:

```
customLayerData = {
    dictionary bifrost = {
        string version = "approved"
        string pins = "./shot.pins.json"
    }
}
```

The weakest of all that say something: the environment's `BIFROST_CONTEXT` and `BIFROST_PINS` come before
them, name by name, and a context that somebody made does without them. Of root layers only, and only
where those hold entity references.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pxr import Sdf, Tf

from bifrost.context import Context, from_policy, policy
from bifrost.usd.arcs import asset_paths
from bifrost.usd.folder import is_uri

KEY: Final = "bifrost"
"""The dictionary's name in the custom layer data; resolver/layer_scan.cpp looks for it."""
# Not who asks: a file that comes from elsewhere must not say that.
_ALLOWED: Final = ("as_of", "locale", "pins", "pins_missing", "project", "version")
_PINS: Final = "pins"


def policy_of(root: str) -> str:
    """
    Return the policy that the root layer at the path *root* gives itself; "" for none.

    As the layer is in this process, or else as its file is. Logs what is wrong with the settings, and
    goes without that. Not while Sdf resolves (`bridge.py`).
    """
    found = _settings(root)
    settings = dict(_checked(root, found)) if found else {}
    return policy(Context(**settings)) if settings else ""


def with_root(context: Context | None, root: str) -> Context | None:
    """Return *context*, which the environment gives, over what the root layer at *root* says."""
    text = policy_of(root)
    if not text:
        return context
    settings = from_policy(text)
    return settings if context is None else settings.child(**context.snapshot().values)


def _settings(root: str) -> Mapping[str, Any]:
    try:
        layer = Sdf.Layer.Find(root) or Sdf.Layer.OpenAsAnonymous(root, metadataOnly=True)
        found = layer.customLayerData.get(KEY) if layer else None
        if not isinstance(found, Mapping) or not _has_references(root):
            return {}
    except (Tf.ErrorException, UnicodeError):
        return {}  # opening it says why
    return found


def _has_references(root: str) -> bool:
    layer = Sdf.Layer.FindOrOpen(root)
    return any(is_uri(use.path) for use in asset_paths(layer))


def _checked(root: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a context that *settings* mean."""
    for name, value in settings.items():
        if name not in _ALLOWED or not isinstance(value, str):
            _log(root, f"{name!s:.80}: expected one of {', '.join(_ALLOWED)}, each a string")
        elif value:
            value = _beside(root, value) if name == _PINS else value
            yield ("current_project" if name == "project" else name), value


def _beside(root: str, path: str) -> str:
    # Not `Path.resolve`: USD leaves links alone.
    return os.path.normpath(Path(root).parent / path)


def _log(root: str, problem: str) -> None:
    logging.getLogger("bifrost").warning("%s: the settings of this root layer: %s", root, problem)
