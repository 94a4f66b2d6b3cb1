# SPDX-License-Identifier: Apache-2.0
"""What a module offers is there, and importing the package costs next to nothing."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python"
PROMISED = {
    "AssetUriMapper",
    "BifrostHostInterface",
    "BifrostManagerInterface",
    "Context",
    "bifrost_host",
}
HEAVY = [
    "alembic",
    "click",
    "lmdb",
    "openassetio",
    "opentelemetry",
    "prometheus_client",
    "pxr",
    "pysqlite3",
    "redis",
    "rich",
    "sqlalchemy",
    "tenacity",
]


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_with_all():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
                yield module_name(path)


@pytest.mark.parametrize("name", [*modules_with_all()])
def test_every_name_offered_is_there(name):
    module = importlib.import_module(name)

    assert len(set(module.__all__)) == len(module.__all__)
    assert [] == [each for each in module.__all__ if not hasattr(module, each)]


def test_the_promised_names_are_offered():
    import bifrost

    assert set(bifrost.__all__) >= PROMISED


def test_every_exception_is_offered():
    import bifrost
    from bifrost import errors

    exceptions = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }

    assert exceptions <= set(bifrost.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, bifrost; print(sorted({name.split('.')[0] for name in sys.modules}))"

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    ).stdout

    assert set() == set(HEAVY) & set(ast.literal_eval(output))
