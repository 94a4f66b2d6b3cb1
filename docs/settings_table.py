# SPDX-License-Identifier: Apache-2.0
"""
Write docs/settings.md from python/bifrost/settings.py: `make docs`.

The settings' docstrings are what the page says; tests/house compares the two.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent / "python" / "bifrost" / "settings.py"

_HEAD = """\
<!-- Written by `make docs` from python/bifrost/settings.py. -->
# Settings

Later wins: the defaults below, `settings.toml`, the environment. A key that doesn't exist, or a
value of the wrong kind, is an error that names the key, where it stands, and the nearest valid one.

`settings.toml` lies in the platform's config folder (on Linux `~/.config/bifrost/`), or in the
folder that `BIFROST_HOME` names. `bifrost doctor` says which file is in force.

```toml
[cache]
ttl_s = 600

[manager]
config = "studio_manager.toml"
```

Variables that are no settings are in [environment.md](environment.md).
"""


def page() -> str:
    """Return the page's text."""
    module = ast.parse(SOURCE.read_text(encoding="utf-8"))
    structs = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    parts = [_HEAD]
    for field, _ in _fields(structs["Settings"]):
        annotation = ast.unparse(field.annotation)
        if annotation in structs:
            parts.append(_section(str(field.target.id), structs[annotation]))
    return "\n".join(parts)


def _section(name: str, struct: ast.ClassDef) -> str:
    about = (ast.get_docstring(struct) or "").partition(": ")[2]
    lines = [
        f"## `[{name}]`: {about}\n",
        "| key | default | environment | what |",
        "|---|---|---|---|",
    ]
    for field, text in _fields(struct):
        key = str(field.target.id)
        default = json.dumps(ast.literal_eval(field.value))
        variable = f"BIFROST_{name.upper()}__{key.upper()}"
        lines.append(f"| `{key}` | `{default}` | `{variable}` | {text} |")
    return "\n".join(lines) + "\n"


def _fields(struct: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield a struct's fields, each with the docstring that follows it."""
    for node, after in zip(struct.body, [*struct.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
            yield node, text.replace("|", "\\|")


if __name__ == "__main__":
    (HERE / "settings.md").write_text(page(), encoding="utf-8")
    print("docs/settings.md")
