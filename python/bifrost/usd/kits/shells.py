# SPDX-License-Identifier: Apache-2.0
"""Kits of scripts that a shell reads before it starts an application; reading one twice changes nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bifrost.errors import ConfigurationError
from bifrost.usd.kits.content import (
    SUPPORT,
    Kit,
    Variables,
    openusd_step,
    page,
    support_files,
    variables,
)
from bifrost.usd.kits.installation import Installation

_HEAD: Final = (
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# Written by `bifrost install-kit`, which may replace it."
)


def shell(installation: Installation, folder: Path) -> Kit:
    """Return scripts for everything that is started from a shell."""
    found = variables(installation, folder / SUPPORT, alone=True)
    step = openusd_step(
        installation,
        "An application brings its own; where it has a Python,",
        'python -c "from pxr import Usd; print(Usd.GetVersion())"',
        f"bifrost install-kit shell {shlex.quote(str(folder))}",
    )
    return _scripts("bifrost", installation, folder, found, (step,))


def usdview(installation: Installation, folder: Path) -> Kit:
    """
    Return scripts after which usdview resolves entity references and has a menu `Bifrost`.

    Raises:
        ConfigurationError: the installation has no usdview plugin.
    """
    if installation.usdview is None:
        raise ConfigurationError(
            "this installation has no usdview plugin, bifrost/usd/usdview; install bifrost-usd anew"
        )
    found = variables(installation, folder / SUPPORT, plugins=[installation.usdview], alone=True)
    step = openusd_step(
        installation,
        "usd-core has no usdview; one that you built has the OpenUSD that it was built with:",
        'python -c "from pxr import Usd; print(Usd.GetVersion())"',
        f"bifrost install-kit usdview {shlex.quote(str(folder))}",
    )
    python = (
        f"usdview's Python must be {installation.python_version}, which Bifrost is installed for."
    )
    return _scripts("bifrost-usdview", installation, folder, found, (step, python))


def _scripts(
    stem: str,
    installation: Installation,
    folder: Path,
    found: Variables,
    steps: tuple[str, ...],
) -> Kit:
    found.checked("", "a shell's application")
    files = {f"{stem}.{suffix}": write(found) for suffix, write in _WRITERS.items()}
    named = {suffix: shlex.quote(f"{folder / stem}.{suffix}") for suffix in _WRITERS}
    use = (
        f"Before the application starts, in sh, bash and zsh: . {named['sh']}; in tcsh: source "
        f"{named['csh']}; in fish: source {named['fish']}; in PowerShell 7: . {named['ps1']}"
    )
    files |= {f"{SUPPORT}/{path}": text for path, text in support_files(installation).items()}
    title = _TITLES[stem]
    files[f"{SUPPORT}/README-{title}.txt"] = page(f"Bifrost for {title}", (use, *steps))
    return Kit(files, (use, *steps))


_TITLES: Final = {"bifrost": "shell", "bifrost-usdview": "usdview"}


def _sh(found: Variables) -> Iterator[str]:
    # The first of a list is prepended last.
    for name, value in reversed(found.prepended):
        quoted = shlex.quote(value)
        yield f'case ":${{{name}:-}}:" in'
        yield f"  *:{quoted}:*) ;;"
        yield f"  *) {name}={quoted}${{{name}:+:${name}}} ;;"
        yield "esac"
        # By itself: some shells split what an assignment behind `export` expands to.
        yield f"export {name}"
    for name, value in found.assigned:
        yield f"export {name}={shlex.quote(value)}"


def _csh(found: Variables) -> Iterator[str]:
    for name, value in reversed(found.prepended):
        yield f"if (! $?{name}) setenv {name} ''"
        yield f'if (":${{{name}}}:" !~ *:{_csh_quoted(value)}:*) then'
        yield f'  if ("${{{name}}}" == "") then'
        yield f"    setenv {name} {_csh_quoted(value)}"
        yield "  else"
        yield f'    setenv {name} {_csh_quoted(value)}:"${{{name}}}"'
        yield "  endif"
        yield "endif"
    for name, value in found.assigned:
        yield f"setenv {name} {_csh_quoted(value)}"


def _csh_quoted(text: str) -> str:
    # csh looks for its history even between quotes.
    return shlex.quote(text).replace("!", "\\!")


def _fish(found: Variables) -> Iterator[str]:
    for name, value in reversed(found.prepended):
        quoted = _fish_quoted(value)
        yield f'if not contains -- {quoted} (string split -- : "${name}")'
        yield f'    set -gx {name} (string join -- : {quoted} (string split -n -- : "${name}"))'
        yield "end"
    for name, value in found.assigned:
        yield f"set -gx {name} {_fish_quoted(value)}"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _powershell(found: Variables) -> Iterator[str]:
    yield "$separator = [IO.Path]::PathSeparator"
    for name, value in reversed(found.prepended):
        quoted = _powershell_quoted(value)
        yield f"$entries = @(\"$env:{name}\" -split $separator | Where-Object {{ $_ -cne '' }})"
        yield f"if ($entries -cnotcontains {quoted}) {{"
        yield f"    $env:{name} = (@({quoted}) + $entries) -join $separator"
        yield "}"
    for name, value in found.assigned:
        yield f"$env:{name} = {_powershell_quoted(value)}"


def _powershell_quoted(text: str) -> str:
    # PowerShell takes typographic quotes for quotes; any of them is doubled to stand for itself.
    doubled = re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text)
    return f"'{doubled}'"


def _writer(lines: Callable[[Variables], Iterator[str]]) -> Callable[[Variables], str]:
    return lambda found: "\n".join((_HEAD, *lines(found))) + "\n"


_WRITERS: Final = {
    "sh": _writer(_sh),
    "csh": _writer(_csh),
    "fish": _writer(_fish),
    "ps1": _writer(_powershell),
}
