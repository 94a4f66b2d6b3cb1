# SPDX-License-Identifier: Apache-2.0
"""An installation of Bifrost, as kits name it: where its plugin and its Python are, and what for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from bifrost.errors import ConfigurationError
from bifrost.usd import env

_USDVIEW: Final = Path(__file__).parents[1] / "usdview"


@dataclass(frozen=True, slots=True)
class Installation:
    """
    Where things are.

    Attributes:
        version: The distribution's.
        library: The resolver plugin's library.
        openusd: The OpenUSD that it loads in, such as `26.8`; "" where nothing says so.
        python: The folders that hold the `bifrost` package and what it needs.
        python_version: The Python that these are for, such as `3.11`.
        schemes: The URI schemes to answer for, `bifrost` first.
        libpython: For applications without a Python of their own, or "".
        usdview: The folder of the usdview plugin; None where there is none.
    """

    version: str
    library: Path
    openusd: str
    python: tuple[str, ...]
    python_version: str
    schemes: tuple[str, ...] = ("bifrost",)
    libpython: str = ""
    usdview: Path | None = None

    @property
    def is_described(self) -> bool:
        """Whether the plugInfo.json beside the library is for these schemes."""
        return self.schemes == ("bifrost",) and env.describes(self.library.parent, self.library)

    @property
    def is_apart(self) -> bool:
        """Whether the plugin lies elsewhere than in the package, so that it has to be told."""
        beside = {Path(folder, "bifrost", "plugin") for folder in self.python}
        return self.library.parent not in beside

    @classmethod
    def here(
        cls,
        plugin: Path | None = None,
        schemes: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Installation:
        """
        Return the installation that this process runs from.

        Args:
            plugin: The folder of a plugin that was built for another OpenUSD; by default what
                `BIFROST_PLUGIN_DIR` names, else the installed one.
            schemes: URI schemes of other managers to answer for.
            environ: The environment; the process's own by default.

        Raises:
            ConfigurationError: there is no plugin, it is for another Python, or a scheme is none.
        """
        environ = os.environ if environ is None else environ
        named = {**environ, env.PLUGIN_DIR: str(plugin)} if plugin is not None else environ
        library = env.library(named)
        built = env.build_of(library)
        here = "{}.{}".format(*sys.version_info[:2])
        if built.get("python_version", here) != here:
            raise ConfigurationError(
                f"{library}: the plugin is built for Python {built['python_version']}, and this Bifrost "
                f"is installed for {here}; run `bifrost install-kit` with a Bifrost for the former"
            )
        return cls(
            version=_version(),
            library=library,
            openusd=built.get("usd_version", ""),
            python=tuple(env.package_folders().split(os.pathsep)),
            python_version=here,
            schemes=env.normalised_schemes(schemes),
            libpython=environ.get(env.LIBPYTHON) or env.libpython_here(),
            usdview=_USDVIEW if (_USDVIEW / "plugInfo.json").is_file() else None,
        )


def _version() -> str:
    try:
        return metadata.version("bifrost-usd")
    except metadata.PackageNotFoundError:  # run from its source tree
        return "0"
