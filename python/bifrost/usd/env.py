# SPDX-License-Identifier: Apache-2.0
"""
The environment in which an application finds the resolver plugin.

OpenUSD reads `PXR_PLUGINPATH_NAME` once, when its first library is loaded, and a resolver's URI
schemes from the plugInfo.json it finds there. The shipped plugInfo.json names `bifrost` alone; for
the schemes of other OpenAssetIO managers one is generated, in a folder named by its content.

Imports nothing of OpenUSD: it runs before, and for processes that bring their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from bifrost.errors import ConfigurationError
from bifrost.model.paths import expanded, expanded_setting
from bifrost.replacing import replace_file

PLUGIN_PATH: Final = "PXR_PLUGINPATH_NAME"
LIBPYTHON: Final = "BIFROST_LIBPYTHON"
PYTHON_PATH: Final = "BIFROST_PYTHONPATH"
PLUGIN_DIR: Final = "BIFROST_PLUGIN_DIR"

_PLUGIN_NAME: Final = "bifrost"
_PLUG_INFO: Final = "plugInfo.json"
_OWN_SCHEME: Final = "bifrost"
_LIBRARIES: Final = ("libbifrost.so", "libbifrost.dylib", "bifrost.dll")
LOADER: Final = "libbifrost_loader.so"
# RFC 3986, section 3.1. OpenUSD ignores a scheme that breaks it, with a warning at best.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_UNUSED_S: Final = 30 * 86_400.0


def library(environ: Mapping[str, str] | None = None) -> Path:
    """
    Return the plugin's library: in the folder that `BIFROST_PLUGIN_DIR` names, else the installed.

    Raises:
        ConfigurationError: there is none.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(PLUGIN_DIR, "")
    folder = expanded_setting(PLUGIN_DIR, named).absolute() if named else installed_folder()
    for name in _LIBRARIES:
        if (folder / name).is_file():
            return folder / name
    fix = (
        f"{PLUGIN_DIR} must name the folder that holds it"
        if named
        else "install the distribution bifrost-usd, or build the plugin and let "
        f"{PLUGIN_DIR} name the folder that holds it"
    )
    raise ConfigurationError(f"{folder}: the resolver plugin's library is not there; {fix}")


def entry(library_path: Path) -> Path:
    """
    Return what OpenUSD is to load for the plugin that *library_path* is: the loader beside it, which
    says what is wrong in an OpenUSD that the plugin isn't for, or itself where none was built.
    """
    loader = library_path.with_name(LOADER)
    return loader if loader.is_file() else library_path


def normalised_schemes(schemes: Iterable[str]) -> tuple[str, ...]:
    """
    Return `bifrost` and *schemes*, in lower case, each once, the given ones sorted.

    Raises:
        ConfigurationError: one is no URI scheme.
    """
    given = tuple(schemes)
    for scheme in given:
        if not _SCHEME.fullmatch(scheme):
            raise ConfigurationError(_refusal(scheme))
    # OpenUSD lowers a scheme before it looks for its resolver.
    others = {scheme.lower() for scheme in given} - {_OWN_SCHEME}
    return (_OWN_SCHEME, *sorted(others))


def plug_info(schemes: Sequence[str], library_path: str) -> dict[str, Any]:
    """Return the content of a plugInfo.json that lets the plugin answer for *schemes*."""
    resolver = {
        "bases": ["ArResolver"],
        "implementsContexts": True,
        "implementsScopedCaches": True,
        "uriSchemes": list(schemes),
    }
    plugin = {
        "Info": {"Types": {"BifrostResolver": resolver}},
        "LibraryPath": library_path,
        "Name": _PLUGIN_NAME,
        "ResourcePath": ".",
        "Root": ".",
        "Type": "library",
    }
    return {"Plugins": [plugin]}


def description(
    schemes: Iterable[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Path:
    """
    Return the folder of a plugInfo.json for `bifrost` and *schemes*: the shipped, or one made now.

    Raises:
        ConfigurationError: as `variables`.
    """
    environ = os.environ if environ is None else environ
    wanted = normalised_schemes(schemes)
    path = library(environ)
    if output is not None:
        folder = expanded(output).absolute()
        _check_replaceable(folder / _PLUG_INFO)
        _write_to(folder, _content(wanted, path))
        return folder
    if wanted == (_OWN_SCHEME,) and (path.parent / _PLUG_INFO).is_file():
        return path.parent
    return _generated(_content(wanted, path), environ)


def variables(
    schemes: Iterable[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> dict[str, str]:
    """
    Return what to add to *environ* so that an application finds the plugin, by variable.

    Enough by itself: other plugins that `PXR_PLUGINPATH_NAME` names stay, after ours. With
    *schemes* or *output* a plugInfo.json is written: into *output*, else into Bifrost's cache
    folder.

    Raises:
        ConfigurationError: the plugin isn't there, a scheme is none, or the folder can't be
            written.
    """
    environ = os.environ if environ is None else environ
    path = library(environ)
    folder = description(schemes, environ=environ, output=output)
    found = {PLUGIN_PATH: _prepended(folder, environ.get(PLUGIN_PATH, ""))}
    if libpython := environ.get(LIBPYTHON) or libpython_here():
        found[LIBPYTHON] = libpython
    if path.parent != installed_folder():
        # The plugin looks for the package beside itself; one that lies elsewhere has to be told.
        found[PYTHON_PATH] = environ.get(PYTHON_PATH) or package_folders()
    return found


def build_of(library_path: Path) -> dict[str, str]:
    """
    Return what a plugin was built for: `usd_version`, such as `26.8`, and `python_version`; {} when
    nothing beside it says so.
    """
    try:
        text = (library_path.parent / "build_info.json").read_text(encoding="utf-8")
        found = {str(key): str(value) for key, value in dict(json.loads(text)).items()}
    except (OSError, ValueError, TypeError):
        return {}
    if number := found.get("usd_version"):
        found["usd_version"] = openusd_number(number)
    return found


def mismatch(library_path: Path, here: str) -> str:
    """
    Return what is wrong with the plugin in OpenUSD *here*, such as `26.11`, and what to do; "" when
    nothing is, or nothing says what it was built for.
    """
    built = build_of(library_path).get("usd_version", "")
    if not built or not here or built == here:
        return ""
    return (
        f"the plugin {library_path} is built for OpenUSD {built}, and this is OpenUSD {here}; "
        f"build it for this one (docs/openusd.md), or install usd-core {built}"
    )


def usd_core_here() -> str:
    """Return the OpenUSD of the usd-core that this Python has, without importing it; or ""."""
    try:
        return ".".join(metadata.version("usd-core").split(".")[:2])
    except metadata.PackageNotFoundError:
        return ""


def openusd_number(text: str) -> str:
    """Return OpenUSD's version as its distribution counts: an installation calls 26.8 `2608`."""
    if re.fullmatch(r"\d{4}", text):
        return f"{int(text[:2])}.{int(text[2:])}"
    return text


def describes(place: Path, library_path: Path) -> bool:
    """Whether *place*, of `PXR_PLUGINPATH_NAME`, leads to the plugin that *library_path* is."""
    path = place if place.is_file() else place / _PLUG_INFO
    ours = {library_path.resolve(), entry(library_path).resolve()}
    return any(
        plugin.get("Name") == _PLUGIN_NAME
        and (path.parent / str(plugin.get("LibraryPath"))).resolve() in ours
        for plugin in _plugins(path)
    )


def clean(
    environ: Mapping[str, str] | None = None,
    *,
    unused_s: float | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Path]:
    """
    Remove generated folders that nobody needs, and return them.

    Those are the ones whose library is gone and, with *unused_s*, those that nothing asked for in
    so many seconds. An application that read one already isn't disturbed.
    """
    root = _generated_root(os.environ if environ is None else environ)
    if not root.is_dir():
        return []
    removed = []
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and _is_stale(folder, unused_s, clock()):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def clean_unused(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Remove generated folders whose library is gone or that were not asked for in 30 days."""
    return clean(environ, unused_s=_UNUSED_S)


def shell_lines(values: Mapping[str, str], shell: str) -> str:
    """
    Return the text that sets *values* in *shell*: `bash`, `fish`, `powershell`; or one flat object
    for `json`.
    """
    if shell == "json":
        return json.dumps(dict(values), indent=2, sort_keys=True)
    return "\n".join(_ASSIGNMENTS[shell](name, value) for name, value in values.items())


SHELLS: Final = ("bash", "fish", "powershell", "json")


def _bash(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str) -> str:
    # PowerShell takes typographic quotes for quotes; any of them is doubled to stand for itself.
    quoted = re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", value)
    return f"$env:{name} = '{quoted}'"


_ASSIGNMENTS: Final = {"bash": _bash, "fish": _fish, "powershell": _powershell}


def installed_folder() -> Path:
    """Return where the plugin of this installation is, if it has one."""
    return Path(__file__).parent.parent / "plugin"


def _refusal(scheme: str) -> str:
    reason = (
        "'_' is not allowed in a URI scheme"
        if "_" in scheme
        else "a scheme starts with a letter"
        if scheme and not scheme[0].isalpha()
        else "a scheme is letters, digits, '+', '-' and '.'"
    )
    return (
        f"{scheme!r}: {reason} (RFC 3986, section 3.1), and OpenUSD would ignore it; "
        "configure the manager to use another scheme"
    )


def _content(schemes: Sequence[str], library_path: Path) -> str:
    return json.dumps(plug_info(schemes, str(entry(library_path))), indent=4) + "\n"


def _generated_root(environ: Mapping[str, str]) -> Path:
    from bifrost.settings import load

    # A folder for each user: who may write a plugInfo.json decides what code a process loads.
    owner = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return load(environ).cache_directory / f"plug-info-{owner}"


def _generated(content: str, environ: Mapping[str, str]) -> Path:
    root = _generated_root(environ)
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(root)
        (root / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(root, error) from error
    _write_to(root / name, content)
    return root / name


def _check_owner(root: Path) -> None:
    status = root.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise ConfigurationError(
            f"{root}: others may write here, and so could make your applications load their code; "
            "remove the folder or take --output"
        )


def _write_to(folder: Path, content: str) -> None:
    path = folder / _PLUG_INFO
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            os.utime(folder)  # what `clean` goes by
        else:
            replace_file(path, content.encode())
    except OSError as error:
        raise _unwritable(folder, error) from error


def _check_replaceable(path: Path) -> None:
    if path.exists() and _plugin_names(path) != [_PLUGIN_NAME]:
        raise ConfigurationError(
            f"{path}: another plugin's file is not replaced; take another folder"
        )


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{folder}: the plugin's description can't be written: {error.strerror}; "
        "name another folder with --output"
    )


def _prepended(folder: Path, existing: str) -> str:
    if os.pathsep in str(folder):
        raise ConfigurationError(
            f"{folder}: {PLUGIN_PATH} can't hold a path with {os.pathsep!r} in it; "
            "install elsewhere or name another folder with --output"
        )
    places = [place for place in existing.split(os.pathsep) if place]
    others = [place for place in dict.fromkeys(places) if not _is_ours(place)]
    return os.pathsep.join([str(folder), *others])


def _is_ours(place: str) -> bool:
    # OpenUSD takes the first plugin of a name, so an older Bifrost in the list only confuses.
    path = Path(place)
    return _plugin_names(path if path.is_file() else path / _PLUG_INFO) == [_PLUGIN_NAME]


def _plugin_names(path: Path) -> list[str]:
    return [str(plugin.get("Name", "")) for plugin in _plugins(path)]


def _plugins(path: Path) -> list[dict[str, Any]]:
    """Return what a plugInfo.json describes; nothing for one that can't be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        # OpenUSD allows comments there, and writes them.
        table = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("#")))
        return [plugin for plugin in table["Plugins"] if isinstance(plugin, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _is_stale(folder: Path, unused_s: float | None, now: float) -> bool:
    try:
        unused = unused_s is not None and now - folder.stat().st_mtime > unused_s
    except OSError:
        return False
    plugins = _plugins(folder / _PLUG_INFO)
    gone = bool(plugins) and not any(
        Path(str(plugin.get("LibraryPath"))).is_file() for plugin in plugins
    )
    return gone or unused


def package_folders() -> str:
    """Return the folders, joined as in `PATH`, that hold this `bifrost` and what it needs."""
    folders = (str(Path(__file__).parents[2]), sysconfig.get_path("purelib"))
    return os.pathsep.join(dict.fromkeys(folders))


def libpython_here() -> str:
    """Return this interpreter's shared library, for applications without a Python; or ""."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if not folder or not name or not str(name).startswith("libpython") or ".a" in str(name):
        return ""
    path = Path(str(folder), str(name))
    return str(path) if path.is_file() else ""
