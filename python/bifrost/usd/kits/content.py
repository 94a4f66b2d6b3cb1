# SPDX-License-Identifier: Apache-2.0
"""What all kits have: the variables, the package that leads to Bifrost, the page that says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bifrost.errors import ConfigurationError
from bifrost.usd import env
from bifrost.usd.kits.installation import Installation

SUPPORT: Final = "bifrost-usd"
"""The folder, in a kit's, of what is the same in all of them. Not `bifrost`: Autodesk has one in Maya."""

PLUGIN_PATH: Final = env.PLUGIN_PATH
_PYTHON_PATH: Final = "PYTHONPATH"


class Kit(NamedTuple):
    """
    A kit that is not written yet.

    Attributes:
        files: The text of each file, by its path in the kit's folder.
        next_steps: What is left to do for the person who wanted it, in order.
    """

    files: dict[str, str]
    next_steps: tuple[str, ...]


class Variables(NamedTuple):
    """
    What an environment must have, as (name, value).

    Attributes:
        prepended: Entries of lists of folders, in the order in which they are to be looked at.
        assigned: Whole values.
    """

    prepended: tuple[tuple[str, str], ...]
    assigned: tuple[tuple[str, str], ...]

    def checked(self, forbidden: str, who: str) -> Variables:
        """
        Return them, for *who* reads them.

        Raises:
            ConfigurationError: a path has a character that would not reach the application.
        """
        for name, value in self.prepended:
            _check(value, forbidden + os.pathsep, name, who)
        for name, value in self.assigned:
            _check(value, forbidden, name, who)
        return self


def _check(value: str, forbidden: str, name: str, who: str) -> None:
    # OpenUSD takes * in a plugin's path for a pattern; no format has a way to say a line break.
    wrong = next((each for each in value if each in forbidden + "*" or not each.isprintable()), "")
    if wrong:
        raise ConfigurationError(
            f"{value}: {who} would not read a path with {wrong!r} in it from {name}; install Bifrost "
            "elsewhere, or write the kit into another folder"
        )


def variables(
    installation: Installation, support: Path, *, plugins: Sequence[Path] = (), alone: bool = False
) -> Variables:
    """
    Return what an application's environment must have.

    Args:
        installation: What they lead to.
        support: The folder of the files that all kits have, absolute.
        plugins: Folders of further plugins of OpenUSD.
        alone: Whether the application may have no Python of its own.
    """
    shipped = installation.library.parent if installation.is_described else support / "plugin"
    prepended = [(PLUGIN_PATH, folder.as_posix()) for folder in (shipped, *plugins)]
    prepended.append((_PYTHON_PATH, (support / "python").as_posix()))
    assigned = []
    if installation.is_apart:
        assigned.append((env.PYTHON_PATH, os.pathsep.join(installation.python)))
    if alone and installation.libpython:
        assigned.append((env.LIBPYTHON, installation.libpython))
    return Variables(tuple(prepended), tuple(assigned))


def support_files(installation: Installation) -> dict[str, str]:
    """Return the files of a kit's support folder, by their path in it."""
    files = {
        "python/bifrost/__init__.py": _FINDER.format(
            folders=list(installation.python),
            version=tuple(map(int, installation.python_version.split("."))),
        )
    }
    if not installation.is_described:
        described = env.plug_info(installation.schemes, str(env.entry(installation.library)))
        files["plugin/plugInfo.json"] = json.dumps(described, indent=4) + "\n"
    return files


def page(title: str, steps: Sequence[str]) -> str:
    """Return the text of a kit's README.txt."""
    listed = "\n\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return (
        f"{title}\n\nWritten by `bifrost install-kit`, which may replace it. It names an installation "
        f"of Bifrost and copies nothing of it.\n\n{listed}\n"
    )


def openusd_step(installation: Installation, whose: str, asking: str, command: str) -> str:
    """Return what to know about the OpenUSD of an application, and what to do where it differs."""
    built = f"OpenUSD {installation.openusd}" if installation.openusd else "one OpenUSD"
    return (
        f"The plugin {installation.library} is built for {built} and loads in no other. {whose} "
        f"`{asking}` prints which. Where it differs, build the plugin against it (docs/openusd.md), "
        f"then: {command} --plugin FOLDER"
    )


def python_step(installation: Installation, whose: str) -> str:
    """Return what to know about the Python of an application."""
    return (
        f"{whose} Python must be {installation.python_version}, which Bifrost is installed for in "
        f"{installation.python[-1]}. The application's own packages come first there, its pxr above all."
    )


# Not the folders themselves on PYTHONPATH: it comes before what an application brings, and usd-core
# lies in the same folder. Its pxr in front of the application's would load a second OpenUSD.
_FINDER: Final = '''\
# SPDX-License-Identifier: Apache-2.0
"""
Leads to Bifrost where it is installed. Its folders come behind everything that the application has.

Written by `bifrost install-kit`, which may replace it.
"""

import importlib.machinery
import importlib.util
import sys

_FOLDERS = {folders!r}
_PYTHON = {version}


def _find():
    if sys.version_info[:2] != _PYTHON:
        raise ImportError(
            "Bifrost in %s is installed for Python %d.%d, and this is %d.%d; install it for this one "
            "and run `bifrost install-kit` there" % (_FOLDERS[-1], *_PYTHON, *sys.version_info[:2])
        )
    spec = importlib.machinery.PathFinder.find_spec(__name__, _FOLDERS)
    if spec is None or spec.loader is None:
        raise ImportError("Bifrost is not in %s any more; run `bifrost install-kit` anew" % _FOLDERS)
    sys.path.extend(folder for folder in _FOLDERS if folder not in sys.path)
    module = importlib.util.module_from_spec(spec)
    # Who imports this gets what stands here in the end.
    sys.modules[__name__] = module
    spec.loader.exec_module(module)


_find()
'''
