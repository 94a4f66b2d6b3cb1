# SPDX-License-Identifier: Apache-2.0
"""`bifrost doctor` names each trouble and its fix, and goes on after it."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from bifrost.cli import doctor_command as doctor
from bifrost.cli.main import run
from bifrost.errors import CatalogueError, Code, ConfigurationError
from bifrost.model.reply import Failure
from bifrost.settings import CacheSettings, CatalogueSettings, ManagerSettings, Settings, load
from bifrost.testing import managers
from bifrost.testing.redis import RedisServer
from bifrost.usd import env

HEALTHY_OPENUSD = {
    "usd_version": "26.8",
    "trouble": "",
    "resolvers": [{"type": "BifrostResolver", "plugin": "bifrost", "path": "", "schemes": []}],
}


def patient(tmp_path, **known):
    """A patient of whom everything is well but what the test says."""
    built = {"usd_version": "26.8", "python_version": "{}.{}".format(*os.sys.version_info[:2])}
    healthy = {
        "settings": Settings(home=str(tmp_path)),
        "library": tmp_path / "libbifrost.so",
        "build": built,
        "openusd": HEALTHY_OPENUSD,
    }
    return SimpleNamespace(**{**healthy, **known})


def status(check, subject):
    (finding,) = check(subject)
    assert finding.fix or finding.status == doctor.OK
    return finding.status


@pytest.fixture
def session(monkeypatch):
    """Answer the doctor's question to the manager with what the test sets."""
    fake = SimpleNamespace(outcome=Failure(Code.NOT_FOUND, "no such asset"))
    fake.resolve = lambda references, **_: SimpleNamespace(outcomes=[fake.outcome])
    fake.close = lambda: None
    monkeypatch.setattr("bifrost.session.Session", lambda settings: fake)
    return fake


def test_settings_say_where_they_are_from(tmp_path):
    settings = Settings(source="/show/settings.toml")

    (finding,) = doctor.check_settings(patient(tmp_path, settings=settings))

    assert "read from /show/settings.toml" == finding.text


@pytest.mark.parametrize(("uid", "expected"), [(0, doctor.WARN), (1000, doctor.OK)])
def test_root_is_warned(tmp_path, monkeypatch, uid, expected):
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    assert expected == status(doctor.check_user, patient(tmp_path))


def test_versions_that_match_are_well(tmp_path):
    assert doctor.OK == status(doctor.check_versions, patient(tmp_path))


def test_an_installation_counts_its_version_in_its_own_way(tmp_path):
    built = {"usd_version": "2608", "python_version": "{}.{}".format(*os.sys.version_info[:2])}

    assert doctor.OK == status(doctor.check_versions, patient(tmp_path, build=built))


@pytest.mark.parametrize(
    "built",
    [
        {"usd_version": "26.11", "python_version": "{}.{}".format(*os.sys.version_info[:2])},
        {"usd_version": "26.8", "python_version": "3.9"},
    ],
)
def test_a_plugin_for_another_version_fails(tmp_path, built):
    assert doctor.FAIL == status(doctor.check_versions, patient(tmp_path, build=built))


def test_a_plugin_that_says_nothing_of_its_versions_is_warned(tmp_path):
    assert doctor.WARN == status(doctor.check_versions, patient(tmp_path, build={}))


def test_what_openusd_says_about_the_plugin_is_told(tmp_path):
    openusd = {"trouble": "undefined symbol: x"}

    (finding,) = doctor.check_loading(patient(tmp_path, openusd=openusd))

    assert doctor.FAIL == finding.status
    assert "undefined symbol: x" in finding.text


def test_a_probe_that_dies_or_hangs_is_a_trouble(monkeypatch, tmp_path):
    monkeypatch.setattr(env, "variables", dict)
    answers = [subprocess.CompletedProcess([], -11, b"", b"a\nlast words\n")]

    def probe(*_, **__):
        if answers:
            return answers.pop()
        raise subprocess.TimeoutExpired("probe", 1)

    monkeypatch.setattr(subprocess, "run", probe)

    assert "ended with -11: last words" in doctor.Patient().openusd["trouble"]
    assert "did not load within" in doctor.Patient().openusd["trouble"]


@pytest.mark.parametrize(
    ("schemes", "expected"), [([], doctor.OK), (["ayon"], doctor.OK), (["Bifrost"], doctor.FAIL)]
)
def test_only_a_resolver_that_wants_our_references_is_a_rival(tmp_path, schemes, expected):
    other = {"type": "StudioResolver", "plugin": "studio", "path": "/studio", "schemes": schemes}
    openusd = {**HEALTHY_OPENUSD, "resolvers": [*HEALTHY_OPENUSD["resolvers"], other]}

    (finding,) = doctor.check_resolvers(patient(tmp_path, openusd=openusd))

    assert expected == finding.status
    assert "StudioResolver" in finding.text


def test_the_environment_must_name_this_plugin(tmp_path, monkeypatch):
    content = env.plug_info(["bifrost"], "libbifrost.so")
    (tmp_path / "plugInfo.json").write_text(json.dumps(content))

    for value, expected in (("", doctor.WARN), ("/other", doctor.WARN), (tmp_path, doctor.OK)):
        monkeypatch.setenv("PXR_PLUGINPATH_NAME", str(value))
        assert expected == status(doctor.check_environment, patient(tmp_path))


def test_a_usable_local_cache_is_well(tmp_path):
    assert doctor.OK == status(doctor.check_cache, patient(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_a_cache_that_is_off_or_remote_is_warned(tmp_path, monkeypatch):
    off = Settings(cache=CacheSettings(disk_bytes=0))
    assert doctor.WARN == status(doctor.check_cache, patient(tmp_path, settings=off))

    monkeypatch.setattr("bifrost.tiers.filesystem.is_local", lambda _: False)
    assert doctor.WARN == status(doctor.check_cache, patient(tmp_path))


def test_a_cache_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").touch()
    settings = Settings(cache=CacheSettings(directory=str(tmp_path / "file" / "below")))

    assert doctor.FAIL == status(doctor.check_cache, patient(tmp_path, settings=settings))


def test_a_catalogue_that_is_not_there_yet_is_not_made(tmp_path):
    assert doctor.OK == status(doctor.check_catalogue, patient(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_another_managers_catalogue_is_not_our_business(tmp_path):
    settings = Settings(manager=ManagerSettings(config="manager.toml"))

    assert doctor.OK == status(doctor.check_catalogue, patient(tmp_path, settings=settings))


def test_a_catalogue_on_a_server_is_asked_itself(tmp_path, postgresql_server):
    """It is no file that isn't there yet, and its password is not shown."""
    url = postgresql_server.catalogue()
    settings = Settings(
        home=str(tmp_path),
        catalogue=CatalogueSettings(url=f"{url}&password=geheim"),
    )

    (finding,) = doctor.check_catalogue(patient(tmp_path, settings=settings))

    postgresql_server.drop(url)
    assert (doctor.OK, True) == (finding.status, finding.text.endswith(", 0 changes"))
    assert "geheim" not in finding.text


def test_a_server_that_is_away_is_no_manager_that_answers(tmp_path):
    """The manager is asked over the catalogue of the settings, and not over an empty one."""
    url = "postgresql://nobody@127.0.0.1:1/show"
    settings = Settings(home=str(tmp_path), catalogue=CatalogueSettings(url=url))

    assert doctor.FAIL == status(doctor.check_manager, patient(tmp_path, settings=settings))


def test_a_manager_that_knows_no_such_asset_answers(tmp_path, session):
    assert doctor.OK == status(doctor.check_manager, patient(tmp_path))


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE, Code.MISBEHAVED, Code.UNKNOWN])
def test_a_manager_that_does_not_answer_fails(tmp_path, session, code):
    session.outcome = Failure(code, "connection refused")

    (finding,) = doctor.check_manager(patient(tmp_path))

    assert doctor.FAIL == finding.status
    assert "connection refused" in finding.text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("none", doctor.OK),
        ("denied", doctor.OK),
        ("raise_openassetio", doctor.FAIL),
        ("wrong_index", doctor.FAIL),
    ],
)
def test_another_manager_is_asked_for_a_reference_of_its_own(
    tmp_path, monkeypatch, fault, expected
):
    """
    One of ours it would refuse without asking its server.
    """
    for name, value in managers.install(tmp_path, files=tmp_path, fault=fault).items():
        monkeypatch.setenv(name, value)

    assert expected == status(doctor.check_manager, patient(tmp_path, settings=load()))


def test_a_shared_cache_that_is_away_is_warned_of_without_its_password(tmp_path):
    """
    Everything works without it.
    """
    with RedisServer(password="pl4nted-s3cret") as server:
        settings = Settings(cache=CacheSettings(distributed_url=server.url))
        somebody = patient(tmp_path, settings=settings)
        assert doctor.OK == status(doctor.check_shared_cache, somebody)
        server.kill()

        (finding,) = doctor.check_shared_cache(somebody)

    assert doctor.WARN == finding.status
    assert f"redis://127.0.0.1:{server.port}/0 can't be used" in finding.text
    assert "pl4nted-s3cret" not in repr(finding)


def test_a_shared_cache_is_not_missed(tmp_path):
    """
    Where the settings name none.
    """
    assert doctor.OK == status(doctor.check_shared_cache, patient(tmp_path))


def test_the_checks_go_on_after_one_that_breaks(monkeypatch):
    def check_broken(_):
        raise ZeroDivisionError("by zero")
        yield

    def check_closed(_):
        raise CatalogueError("the catalogue is locked; wait for the other process")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (check_broken, check_closed, doctor.check_user))

    broken, closed, user = doctor.examine(doctor.Patient())

    assert "ZeroDivisionError: by zero" == broken.text
    assert ("the catalogue is locked", "wait for the other process") == (closed.text, closed.fix)
    assert "user" == user.part


def test_a_message_without_a_fix_stays_whole():
    finding = doctor._trouble("settings", ConfigurationError("cache.ttl_s: expected float"))

    assert "cache.ttl_s: expected float" == finding.text
    assert "docs/settings.md" in finding.fix


@pytest.mark.parametrize(
    ("statuses", "code"), [(["ok"], 0), (["ok", "warn"], 0), (["warn", "fail", "ok"], 1)]
)
def test_only_a_failure_makes_the_exit_code_one(monkeypatch, capsys, statuses, code):
    found = [doctor.Finding(f"part{i}", each, "text", "do it") for i, each in enumerate(statuses)]
    monkeypatch.setattr(doctor, "examine", lambda _: iter(found))

    assert code == run(["doctor"])
    assert len(statuses) == capsys.readouterr().out.count("fix: do it")

    assert code == run(["doctor", "--json"])
    assert statuses == [each["status"] for each in json.loads(capsys.readouterr().out)]


def test_unreadable_settings_are_a_finding(tmp_path, monkeypatch, capsys):
    (tmp_path / "settings.toml").write_text("[cache]\nttl_seconds = 5\n")
    monkeypatch.setenv("BIFROST_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_settings,))

    assert 1 == run(["doctor"])
    output = capsys.readouterr().out
    assert "cache.ttl_seconds" in output
    assert "fix:" in output
    assert Path("settings.toml").name in output
