# SPDX-License-Identifier: Apache-2.0
"""
Kits for applications that read the environment from files of their own.

Formats: https://www.sidefx.com/docs/houdini/ref/plugins.html; maya-usd's
lib/mayaUsd/utils/plugRegistryHelper.h and Maya's "Distributing Maya modules"; rez's package
definition guide.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bifrost.usd.kits.content import (
    PLUGIN_PATH,
    SUPPORT,
    Kit,
    Variables,
    openusd_step,
    page,
    python_step,
    support_files,
    variables,
)
from bifrost.usd.kits.installation import Installation

_MAYA_PLUGIN_PATH: Final = "MAYA_PXR_PLUGINPATH_NAME"
_ASKING: Final = '-c "from pxr import Usd; print(Usd.GetVersion())"'


def houdini(installation: Installation, folder: Path) -> Kit:
    """Return the kit for Houdini's user folder, or for one that `HOUDINI_PACKAGE_DIR` is made of."""
    # Houdini expands $NAME in values.
    found = variables(installation, folder / SUPPORT).checked("$", "Houdini")
    entries: list[dict[str, Any]] = [
        {name: {"method": "prepend", "value": value}} for name, value in found.prepended
    ]
    entries += [{name: value} for name, value in found.assigned]
    package = {"enable": True, "load_package_once": True, "env": entries}
    steps = (
        (
            f"Houdini reads {folder / 'packages'} when {folder} is its user folder "
            "($HOUDINI_USER_PREF_DIR, such as ~/houdini21.0); else set HOUDINI_PACKAGE_DIR="
            f"{folder / 'packages'} before it starts."
        ),
        openusd_step(
            installation,
            "Houdini has its own:",
            f"hython {_ASKING}",
            f"bifrost install-kit houdini {shlex.quote(str(folder))}",
        ),
        python_step(installation, "Houdini's"),
        "`HOUDINI_PACKAGE_VERBOSE=1 hconfig -a` shows what the package did.",
    )
    main = {"packages/bifrost.json": json.dumps(package, indent=4, ensure_ascii=False) + "\n"}
    return _with_support(installation, main, "houdini", steps)


def maya(installation: Installation, folder: Path) -> Kit:
    """Return the kit for a folder of `MAYA_MODULE_PATH`."""
    support = folder / SUPPORT
    found = variables(installation, support).checked("$%", "Maya")
    # Through this file maya-usd looks at the version before it registers a plugin.
    plugins = [value for name, value in found.prepended if name == PLUGIN_PATH]
    described = {"MayaUsdIncludes": [_include(path, installation.openusd) for path in plugins]}
    steps = (
        f"Put {folder} into MAYA_MODULE_PATH, and start Maya with its USD plugin, mayaUsdPlugin.",
        openusd_step(
            installation,
            "Maya's is that of its USD plugin, which passes over the plugin of another one:",
            f"mayapy {_ASKING}",
            f"bifrost install-kit maya {shlex.quote(str(folder))}",
        ),
        python_step(installation, "Maya's"),
        (
            "TF_DEBUG=USDMAYA_PLUG_INFO_VERSION shows what mayaUsdPlugin made of it. Autodesk's own "
            "Bifrost for Maya is another product."
        ),
    )
    main = {
        f"{SUPPORT}.mod": _module(installation, support, found),
        f"{SUPPORT}/mayaUsdPlugInfo.json": (
            json.dumps(described, indent=4, ensure_ascii=False) + "\n"
        ),
    }
    return _with_support(installation, main, "maya", steps)


def _include(path: str, openusd: str) -> dict[str, Any]:
    # maya-usd compares texts, and OpenUSD calls itself 0.26.8 there.
    check = {"VersionCheck": {"USD": f"0.{openusd}"}} if openusd else {}
    return {"PlugPath": path, **check}


def _module(installation: Installation, support: Path, found: Variables) -> str:
    # maya-usd refuses relative paths in its variable.
    lines = [
        f"+ {SUPPORT} {installation.version} {support.as_posix()}",
        "PYTHONPATH +:= python",
        f"{_MAYA_PLUGIN_PATH} += {support.as_posix()}",
        *(f"{name} = {value}" for name, value in found.assigned),
    ]
    return "\n".join(lines) + "\n"


def rez(installation: Installation, folder: Path, requires: Sequence[str] = ()) -> Kit:
    """Return the kit for a folder of `REZ_PACKAGES_PATH`; *requires* is what it needs but Python."""
    version = re.sub(r"[^A-Za-z0-9_.-]", ".", installation.version)
    home = f"bifrost_usd/{version}"
    # rez expands $NAME and {name}, and the shells that it writes for do with ` what they like.
    found = variables(installation, folder / home, alone=True).checked("${}`", "rez")
    needs = [f"python-{installation.python_version}", *requires]
    steps = (
        f"Put {folder} into REZ_PACKAGES_PATH; then: rez env bifrost_usd",
        openusd_step(
            installation,
            "Which one an environment has is up to its packages:",
            f"python {_ASKING}",
            f"bifrost install-kit rez {shlex.quote(str(folder))}",
        ),
        (
            f"The package requires {' '.join(needs)}. --requires usd-26.08, say, adds the package "
            "that is that OpenUSD in your repository, so that rez refuses any other."
        ),
    )
    files = {f"{home}/package.py": _package(version, needs, found, folder / home)}
    files |= {f"{home}/{path}": text for path, text in support_files(installation).items()}
    files[f"{home}/README.txt"] = page("Bifrost for rez", steps)
    return Kit(files, steps)


def _package(version: str, needs: Sequence[str], found: Variables, home: Path) -> str:
    commands = [
        # Moved or copied to another repository, the package leads to its own files.
        f"env.{name}.prepend({_rooted(value, home)!r})"
        for name, value in reversed(found.prepended)
    ]
    commands += [f"env.{name} = {value!r}" for name, value in found.assigned]
    body = "\n".join(f"    {line}" for line in commands)
    return _PACKAGE.format(version=version, needs=list(needs), commands=body)


def _rooted(value: str, home: Path) -> str:
    below = f"{home.as_posix()}/"
    return "{root}/" + value.removeprefix(below) if value.startswith(below) else value


_PACKAGE: Final = '''\
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: Apache-2.0
"""Written by `bifrost install-kit rez`, which may replace it."""

name = "bifrost_usd"
version = "{version}"
description = "USD files that name assets instead of paths: an OpenUSD resolver over OpenAssetIO"
requires = {needs!r}


def commands():
{commands}
'''


def _with_support(
    installation: Installation, main: dict[str, str], name: str, steps: Sequence[str]
) -> Kit:
    files = dict(main)
    files |= {f"{SUPPORT}/{path}": text for path, text in support_files(installation).items()}
    files[f"{SUPPORT}/README-{name}.txt"] = page(f"Bifrost for {name.title()}", steps)
    return Kit(files, tuple(steps))
