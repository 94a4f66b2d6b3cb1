# SPDX-License-Identifier: Apache-2.0
"""`bifrost doctor`: each part looked at by itself, and the fix for what is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bifrost.cli.options import AS_JSON
from bifrost.errors import BifrostError, Code, ConfigurationError

if TYPE_CHECKING:
    from bifrost.session import Session
    from bifrost.settings import Settings

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"

_PROBE_TIMEOUT_S: Final = 60.0
_DEADLINE_S: Final = 10.0
# No manager has it; who says so was reached.
_NOBODY: Final = "bifrost.doctor"
# A manager that gives any of these was not reached, or is not one to work with.
_NOT_REACHED: Final = {Code.UNAVAILABLE, Code.DEADLINE, Code.MISBEHAVED, Code.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line of the report.

    Attributes:
        part: What was looked at.
        status: `ok`, `warn` (works, but look at it) or `fail` (doesn't work).
        text: What was found.
        fix: What to do about it; "" when there is nothing to do.
    """

    part: str
    status: str
    text: str
    fix: str = ""


class Patient:
    """What the checks look at, found out once."""

    @cached_property
    def settings(self) -> Settings:
        """The settings in force; reading them may raise `ConfigurationError`."""
        from bifrost.settings import load

        return load()

    @cached_property
    def library(self) -> Path:
        """The plugin's library; raises `ConfigurationError` when there is none."""
        from bifrost.usd import env

        return env.library()

    @cached_property
    def build(self) -> dict[str, str]:
        """What the plugin was built for: `usd_version`, `python_version`; {} when unknown."""
        from bifrost.usd import env

        return env.build_of(self.library)

    @cached_property
    def openusd(self) -> dict[str, Any]:
        """What OpenUSD makes of the plugin, in a process of its own (bifrost/usd/probe.py)."""
        from bifrost.usd import env

        environ = {**os.environ, **env.variables()}
        command = [sys.executable, "-m", "bifrost.usd.probe", "plugin"]
        try:
            done = subprocess.run(
                command, env=environ, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"trouble": f"it did not load within {_PROBE_TIMEOUT_S:g} s"}
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            return {"trouble": f"its process ended with {done.returncode}: {last}"}


def check_settings(patient: Patient) -> Iterator[Finding]:
    """Yield whether the settings can be read."""
    from bifrost.settings import read_file

    source = patient.settings.source
    if source and Path(source).is_file() and read_file(Path(source)).is_old:
        fix = f"bifrost migrate settings {source} --write"
        yield Finding("settings", WARN, f"read from {source}, of an earlier release", fix)
    else:
        yield Finding(
            "settings", OK, f"read from {source}" if source else "defaults; no settings file"
        )


def check_user(_: Patient) -> Iterator[Finding]:
    """Yield whether file permissions hold for this user."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield Finding(
            "user",
            WARN,
            "running as root: read-only files don't keep root from overwriting published work",
            "run as an ordinary user",
        )
    else:
        yield Finding("user", OK, "an ordinary user")


def check_plugin(patient: Patient) -> Iterator[Finding]:
    """Yield whether the plugin is there."""
    yield Finding("plugin", OK, str(patient.library))


def check_versions(patient: Patient) -> Iterator[Finding]:
    """Yield whether OpenUSD and Python are what the plugin was built for."""
    from bifrost.usd.env import openusd_number

    built = patient.build
    if not built:
        yield Finding(
            "versions",
            WARN,
            "the plugin doesn't say what it was built for: no build_info.json beside it",
            "install or build it anew",
        )
        return
    here = {
        "OpenUSD": (patient.openusd.get("usd_version", ""), openusd_number(built["usd_version"])),
        "Python": ("{}.{}".format(*sys.version_info[:2]), built["python_version"]),
    }
    for name, (found, wanted) in here.items():
        if found and found != wanted:
            yield Finding(
                "versions",
                FAIL,
                f"the plugin was built for {name} {wanted}, and this is {found}",
                f"run it with {name} {wanted}, or build the plugin for this one (docs/openusd.md)",
            )
            return
    yield Finding("versions", OK, f"OpenUSD {here['OpenUSD'][1]}, Python {here['Python'][1]}")


def check_loading(patient: Patient) -> Iterator[Finding]:
    """Yield whether OpenUSD loads the plugin and gives it our references."""
    trouble = patient.openusd["trouble"]
    if trouble:
        fix = "install bifrost-usd anew, or build the plugin for this OpenUSD (docs/openusd.md)"
        yield Finding("loading", FAIL, f"OpenUSD can't load the plugin: {trouble}", fix)
    else:
        yield Finding("loading", OK, "OpenUSD loads the plugin and gives it bifrost: references")


def check_resolvers(patient: Patient) -> Iterator[Finding]:
    """Yield which other resolvers there are, and whether one wants our references."""
    resolvers = patient.openusd.get("resolvers", [])
    others = [each for each in resolvers if each["plugin"] != "bifrost"]
    rivals = [each for each in others if "bifrost" in map(str.lower, each["schemes"])]
    if rivals:
        names = ", ".join(f"{each['type']} ({each['path']})" for each in rivals)
        fix = "take its folder out of PXR_PLUGINPATH_NAME"
        yield Finding("resolvers", FAIL, f"another plugin claims bifrost: references: {names}", fix)
    elif others:
        names = ", ".join(sorted(each["type"] for each in others))
        yield Finding("resolvers", OK, f"besides ours: {names}; they keep their own paths")
    else:
        yield Finding("resolvers", OK, "none besides ours and OpenUSD's own")


def check_environment(patient: Patient) -> Iterator[Finding]:
    """Yield whether applications started from here find the plugin."""
    from bifrost.usd import env

    named = [entry for entry in os.environ.get(env.PLUGIN_PATH, "").split(os.pathsep) if entry]
    ours = [entry for entry in named if env.describes(Path(entry), patient.library)]
    if ours:
        yield Finding("environment", OK, f"{env.PLUGIN_PATH} names {ours[0]}")
    else:
        text = f"{env.PLUGIN_PATH} doesn't name the plugin: applications won't find it"
        yield Finding("environment", WARN, text, 'eval "$(bifrost usd env)"')


def check_cache(patient: Patient) -> Iterator[Finding]:
    """Yield whether the persistent cache can be used where it is."""
    from bifrost.tiers.filesystem import filesystem_type, is_local

    folder = patient.settings.cache_directory
    if not patient.settings.cache.disk_bytes:
        text = "switched off (cache.disk_bytes is 0): each process starts cold"
        yield Finding("cache", WARN, text, "leave cache.disk_bytes out of the settings")
    elif not is_local(folder):
        text = f"{folder} is on {filesystem_type(folder)}, and a temporary folder is used instead"
        yield Finding("cache", WARN, text, "let cache.directory name a folder on a local disk")
    elif trouble := _unwritable(folder):
        fix = "let cache.directory name a folder of yours, or change its permissions"
        yield Finding("cache", FAIL, f"{folder} can't be written to: {trouble}", fix)
    else:
        yield _cache_in_use(folder, patient.settings.cache.disk_bytes)


def _cache_in_use(folder: Path, max_bytes: int) -> Finding:
    from bifrost.tiers.lmdb import LmdbTier

    if not folder.exists():
        return Finding("cache", OK, f"{folder}, once something is resolved")
    with LmdbTier(folder, max_bytes=max_bytes) as tier:
        stats = tier.stats()
    if stats["state"] == "bypassed":
        fix = f"remove {folder}, or let cache.directory name another folder"
        return Finding("cache", FAIL, f"{folder} can't be used: see the warning above", fix)
    if stats["state"] != "open":
        fix = f"let {folder} be yours: only its owner's processes fill it"
        return Finding("cache", WARN, f"{folder} is {stats['state']}: nothing is kept", fix)
    return Finding("cache", OK, f"{folder}, {stats['entries']} entries, {stats['bytes']} bytes")


def check_shared_cache(patient: Patient) -> Iterator[Finding]:
    """Yield whether the studio's cache answers; without it everything works, and takes longer."""
    from bifrost.tiers.redis import RedisTier

    url = patient.settings.cache.distributed_url
    if not url:
        yield Finding("shared cache", OK, "none: cache.distributed_url is empty")
        return
    tier = RedisTier(url)
    server = tier.stats()["server"]
    if trouble := tier.trouble():
        fix = (
            "look at the server and at cache.distributed_url; until then each host asks for itself"
        )
        yield Finding("shared cache", WARN, f"{server} can't be used: {trouble}", fix)
    else:
        yield Finding("shared cache", OK, f"{server} answers")


def check_catalogue(patient: Patient) -> Iterator[Finding]:
    """Yield whether our own manager's catalogue opens."""
    from bifrost.catalogue.location import path_of
    from bifrost.session import Session

    if patient.settings.manager_config:
        yield Finding("catalogue", OK, "not used: another manager is configured")
        return
    path = path_of(patient.settings.catalogue_url)
    if path is not None and not path.exists():
        yield Finding("catalogue", OK, f"none yet; `bifrost ingest DIR` makes {path}")
        return
    session = Session(patient.settings)
    try:
        name, changes = session.catalogue.name, session.catalogue.change_number()
    finally:
        session.close()
    yield Finding("catalogue", OK, f"{name}, {changes} changes")


def check_manager(patient: Patient) -> Iterator[Finding]:
    """Yield whether the asset manager answers, with whatever answer."""
    from bifrost.model.entity_reference import reference_for
    from bifrost.model.reply import Failure
    from bifrost.session import Session

    config = patient.settings.manager_config
    name = f"the manager that {config} names" if config else "Bifrost's own manager"
    with tempfile.TemporaryDirectory() as folder:
        session = Session(_without_traces(patient.settings, folder))
        try:
            outcome = _asked(session, reference_for(_NOBODY))
            if isinstance(outcome, Failure) and outcome.code == Code.FOREIGN_REFERENCE:
                # It has looked at the reference, and asked nobody.
                own = session.assetio_manager().reference_to(_NOBODY)
                outcome = _asked(session, own) if own else outcome
        finally:
            session.close()
    if isinstance(outcome, Failure) and outcome.code in _NOT_REACHED:
        fix = f"look at {config}" if config else "look at the catalogue and the settings above"
        yield Finding("manager", FAIL, f"{name} doesn't answer: {outcome.message}", fix)
    else:
        yield Finding("manager", OK, f"{name} answers")


def _asked(session: Session, reference: str) -> Any:
    return session.resolve([reference], deadline_s=_DEADLINE_S).outcomes[0]


def _without_traces(settings: Settings, folder: str) -> Settings:
    """Return *settings* without the cache; with a catalogue in *folder* if there is none yet."""
    from bifrost.catalogue.location import path_of

    uncached = settings._replace(cache=settings.cache._replace(disk_bytes=0))
    path = None if settings.manager_config else path_of(settings.catalogue_url)
    if path is None or path.exists():  # another manager's, one on a server, or one that is there
        return uncached
    empty = settings.catalogue._replace(url=f"sqlite:///{folder}/empty")
    return uncached._replace(catalogue=empty)


CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    check_settings,
    check_user,
    check_plugin,
    check_versions,
    check_loading,
    check_resolvers,
    check_environment,
    check_cache,
    check_shared_cache,
    check_catalogue,
    check_manager,
)


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield the findings of every check; one that breaks is a finding too, and the rest go on."""
    for check in CHECKS:
        part = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            yield from check(patient)
        except BifrostError as error:
            yield _trouble(part, error)
        except Exception as error:  # noqa: BLE001 - whatever is broken is what we are here to tell
            if os.environ.get("BIFROST_DEBUG"):
                traceback.print_exception(error)
            text = f"{type(error).__name__}: {error}"
            yield Finding(part, FAIL, text, "BIFROST_DEBUG=1 shows where; please report it")


@click.command()
@AS_JSON
def doctor(as_json: bool) -> None:
    """
    Find out what keeps Bifrost from working.

    Exits with 1 when a check fails.
    """
    findings = []
    for finding in examine(Patient()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _conclude(findings)
    if any(finding.status == FAIL for finding in findings):
        raise click.exceptions.Exit(1)


def _show(finding: Finding) -> None:
    colour = {OK: "green", WARN: "yellow", FAIL: "red"}[finding.status]
    click.echo(f"{click.style(f'{finding.status:<4}', fg=colour)}  {finding.part}: {finding.text}")
    if finding.fix:
        click.echo(f"      fix: {finding.fix}")


def _conclude(findings: list[Finding]) -> None:
    counts = {status: sum(each.status == status for each in findings) for status in (FAIL, WARN)}
    if not any(counts.values()):
        click.echo("bifrost doctor: everything works")
    else:
        click.echo(f"bifrost doctor: {counts[FAIL]} failed, {counts[WARN]} to look at")


def _trouble(part: str, error: BifrostError) -> Finding:
    # The message of a BifrostError ends with what to do, after a semicolon where it has one.
    text, _, fix = error.message.rpartition("; ")
    fallback = "see docs/settings.md" if isinstance(error, ConfigurationError) else ""
    return Finding(part, FAIL, text or error.message, fix if text else fallback)


def _unwritable(folder: Path) -> str:
    """Return why no file can be made in *folder*, or in the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
