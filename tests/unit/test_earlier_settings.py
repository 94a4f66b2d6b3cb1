# SPDX-License-Identifier: Apache-2.0
"""Settings of earlier releases are read as what they mean now, warn once, and can be written anew."""

import json
import os
import tomllib
import warnings

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bifrost.cli.doctor_command import Patient, check_settings
from bifrost.cli.main import run
from bifrost.earlier_settings import EarlierSettings
from bifrost.errors import ConfigurationError
from bifrost.integrations.migrating import settings as migrating
from bifrost.settings import Settings, load

TOML = """\
# What the studio set once.
[assetio]
enabled = false
manager = "com.studio.manager"
fallback_manager = "com.studio.other"
host_name = "Studio"
host_version = "7"
uri_scheme = "bifrost"
[assetio.environment]
OPENASSETIO_PLUGIN_PATH = "/studio/plugins"
[storage.local]
root_path = "/studio/assets"
"""
NESTED = """\
database:
  url: postgresql://somewhere
assetio:
  enabled: false
  manager: com.studio.manager
  fallback_manager: com.studio.other
  host_name: Studio
  host_version: "7"
  uri_scheme: bifrost
  environment:
    OPENASSETIO_PLUGIN_PATH: /studio/plugins
storage:
  type: local
  local:
    root_path: /studio/assets
"""
DOTTED = """\
assetio.enabled: false
assetio.manager: com.studio.manager
assetio.fallback_manager: com.studio.other
assetio.host_name: Studio
assetio.host_version: "7"
assetio.uri_scheme: bifrost
assetio.environment.OPENASSETIO_PLUGIN_PATH: /studio/plugins
storage.local.root_path: /studio/assets
"""
FILES = [("settings.toml", TOML), ("settings.yaml", NESTED), ("settings.yml", DOTTED)]
TODAY = {
    "manager": {"config": "com.studio.manager"},
    "assetio": {"fallback_manager": "com.studio.other"},
    "catalogue": {"earlier_store": "/studio/assets"},
}


@pytest.fixture(autouse=True)
def said():
    """Every warning of the test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def written(home, text, name="settings.toml"):
    home.mkdir(exist_ok=True)
    path = home / name
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path) -> Settings:
    return load({"BIFROST_HOME": str(path.parent)})


@pytest.mark.parametrize(("name", "text"), FILES)
def test_every_old_setting_is_read(name, text, tmp_path):
    """
    From TOML or YAML, in tables or as dotted names.
    """
    settings = loaded(written(tmp_path, text, name))

    assert "com.studio.manager" == settings.manager.config
    assert "com.studio.other" == settings.assetio.fallback_manager
    assert "/studio/assets" == settings.catalogue.earlier_store
    assert EarlierSettings(False, "Studio", "7", "/studio/plugins") == settings.earlier


@pytest.mark.parametrize(("name", "text"), FILES)
def test_a_file_of_an_earlier_release_warns_once(name, text, tmp_path, said):
    """
    In its own name, with the settings and what to do.
    """
    path = written(tmp_path, text, name)

    loaded(path)
    loaded(path)

    [warning] = said
    assert (DeprecationWarning, str(path)) == (warning.category, warning.filename)
    assert "assetio.manager" in str(warning.message)
    assert f"bifrost migrate settings {path} --write" in str(warning.message)


@pytest.mark.parametrize(
    "text", ["", "[cache]\nttl_s = 5\n", '[assetio]\nfallback_manager = "com.studio.other"\n']
)
def test_a_file_of_today_warns_of_nothing(text, tmp_path, said):
    loaded(written(tmp_path, text))

    assert [] == said


@pytest.mark.parametrize("text", ["", "database: {url: x}\n", "# nothing\n", "assetio: {}\n"])
def test_a_yaml_file_may_say_nothing_of_ours(text, tmp_path):
    """
    Earlier releases had sections for other things in it.
    """
    settings = loaded(written(tmp_path, text, "settings.yaml"))

    assert Settings(home=str(tmp_path), source=str(tmp_path / "settings.yaml")) == settings


def test_what_earlier_releases_had_by_default_changes_nothing(tmp_path):
    """
    Our own manager, and OpenAssetIO's test manager behind it.
    """
    text = (
        "assetio:\n  enabled: true\n  manager: org.bifrost.assetmanager\n"
        "  fallback_manager: org.openassetio.test.manager\n  host_version: 0.1.0\n"
        "  uri_scheme: bifrost\n  environment:\n    OPENASSETIO_PLUGIN_PATH: ''\n"
    )

    settings = loaded(written(tmp_path, text, "settings.yaml"))

    assert ("", "", EarlierSettings()) == (
        settings.manager_config,
        settings.assetio.fallback_manager,
        settings.earlier,
    )


def test_a_file_of_today_wins_over_one_of_then(tmp_path):
    """
    The YAML file may stay where it is.
    """
    written(tmp_path, NESTED, "settings.yaml")

    settings = loaded(written(tmp_path, "[cache]\nttl_s = 5\n"))

    assert (5.0, "", EarlierSettings()) == (
        settings.cache.ttl_s,
        settings.manager.config,
        settings.earlier,
    )


def test_a_name_of_today_wins_over_one_of_then_in_the_same_file(tmp_path):
    text = '[assetio]\nmanager = "old"\n[manager]\nconfig = "new"\n[cache]\nttl_s = 5\n'

    settings = loaded(written(tmp_path, text))

    assert ("new", 5.0) == (settings.manager.config, settings.cache.ttl_s)


def test_the_environment_wins_over_both(tmp_path):
    path = written(tmp_path, NESTED, "settings.yaml")

    settings = load({"BIFROST_HOME": str(path.parent), "BIFROST_MANAGER__CONFIG": "mine.toml"})

    assert "mine.toml" == settings.manager.config


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("[assetio]\nenabled = 'no'\n", "settings.toml", "assetio.enabled: expected true or false"),
        ("assetio: {manager: 5}\n", "settings.yaml", "assetio.manager: expected a text, got 5"),
        ("storage: {local: {root_path: [a]}}\n", "settings.yaml", "storage.local.root_path: "),
        ("assetio: {manager: {a: b}}\n", "settings.yaml", "assetio.manager: expected a text"),
        ("[1, 2]\n", "settings.yaml", "expected settings by name"),
        ("a: [\n", "settings.yaml", "the settings can't be read"),
        ("!!python/object/apply:os.getcwd []\n", "settings.yaml", "the settings can't be read"),
        ("cache: {ttl: 5}\n", "settings.yaml", "the nearest is 'cache.ttl_s'"),
        ("[assetio]\nmanager = 'm'\nmangler = 'm'\n", "settings.toml", "assetio.mangler: "),
        ("[storage]\nroot = 'x'\n", "settings.toml", "storage: there is no such setting"),
        ("manager = 5\n[assetio]\nmanager = 'm'\n", "settings.toml", "manager: expected a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, name, message, tmp_path):
    """
    The key, what was expected, and the file.
    """
    path = written(tmp_path, text, name)

    with pytest.raises(ConfigurationError) as caught:
        loaded(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "status"), [(TOML, "warn"), ("[cache]\nttl_s = 5\n", "ok"), (None, "ok")]
)
def test_the_doctor_says_how_to_get_rid_of_an_old_file(text, status, own_home):
    """
    Python hides the warning from whoever runs a command.
    """
    path = written(own_home, text) if text else None

    [finding] = check_settings(Patient())

    assert status == finding.status
    assert (f"bifrost migrate settings {path} --write" == finding.fix) is (status == "warn")


# bifrost migrate settings


def migrate(*arguments):
    return run(["migrate", "settings", *map(str, arguments)])


@pytest.mark.parametrize(("name", "text"), FILES)
def test_the_new_form_is_printed_and_nothing_is_written(name, text, tmp_path, capsys):
    """
    TOML on stdout; on stderr what became of each setting; the exit code says that there is something to do.
    """
    path = written(tmp_path, text, name)

    assert 1 == migrate(path)

    printed = capsys.readouterr()
    assert TODAY == tomllib.loads(printed.out)
    assert "storage.local.root_path: catalogue.earlier_store" in printed.err
    assert "set OPENASSETIO_PLUGIN_PATH in the environment" in printed.err
    assert [path] == list(tmp_path.iterdir())
    assert text == path.read_text()


@pytest.mark.parametrize(("name", "text"), FILES)
def test_the_new_form_means_what_the_old_one_meant(name, text, tmp_path, capsys, said):
    """
    Written beside a YAML file, or in place; what was there is kept; a second run finds nothing to do.
    """
    path = written(tmp_path, text, name)
    before = loaded(path)
    said.clear()

    assert 0 == migrate(path, "--write")
    files = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert 0 == migrate(path, "--write")

    target = tmp_path / "settings.toml"
    assert before._replace(earlier=EarlierSettings(), source=str(target)) == loaded(target)
    assert [] == said
    kept = tmp_path / (f"{name}.earlier" if name == "settings.toml" else name)
    assert text == kept.read_text()
    assert files == {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert f"{path}: nothing to do" in capsys.readouterr().err


def test_a_file_keeps_its_permissions(tmp_path):
    path = written(tmp_path, TOML)
    path.chmod(0o640)

    assert 0 == migrate(path, "--write")

    assert 0o640 == path.stat().st_mode & 0o777


def test_the_new_form_as_json(tmp_path, capsys):
    path = written(tmp_path, NESTED, "settings.yaml")

    assert 0 == migrate(path, "--json", "--write")

    answer = json.loads(capsys.readouterr().out)
    assert (TODAY, ["database", "storage"]) == (answer["settings"], answer["ignored"])
    assert str(tmp_path / "settings.toml") == answer["written"]
    changes = {each["old"]: each["new"] for each in answer["changes"]}
    assert "manager.config" == changes["assetio.manager"]
    assert "" == changes["assetio.enabled"]


def test_another_s_file_is_never_written_over(tmp_path, capsys):
    """
    A settings.toml beside the YAML file, and what an earlier run kept.
    """
    yaml = written(tmp_path, NESTED, "settings.yaml")
    toml = written(tmp_path, "[cache]\nttl_s = 5\n")

    assert 2 == migrate(yaml, "--write")
    assert "[cache]\nttl_s = 5\n" == toml.read_text()

    toml.write_text(TOML)
    kept = written(tmp_path, "mine", "settings.toml.earlier")

    assert 2 == migrate(toml, "--write")
    assert ("mine", TOML) == (kept.read_text(), toml.read_text())
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[cache]\nttl = 5\n", "[assetio]\nmanager = 5\n", "["])
def test_what_cannot_be_read_is_not_written(text, tmp_path, capsys):
    path = written(tmp_path, text)

    assert 2 == migrate(path, "--write")

    assert [path] == list(tmp_path.iterdir())
    assert str(path) in capsys.readouterr().err


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path):
    assert 2 == migrate(tmp_path / "none.yaml")


def test_a_run_that_was_killed_half_way_is_gone_on_with(tmp_path):
    """
    The old file has its second name already.
    """
    path = written(tmp_path, TOML)
    os.link(path, tmp_path / "settings.toml.earlier")

    assert 0 == migrate(path, "--write")
    assert TOML == (tmp_path / "settings.toml.earlier").read_text()
    assert TODAY == tomllib.loads(path.read_text())


def test_a_failed_write_leaves_everything_as_it_was(tmp_path, monkeypatch):
    """
    The new form is all there or not at all.
    """
    path = written(tmp_path, NESTED, "settings.yaml")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    assert 2 == migrate(path, "--write")
    assert [path] == list(tmp_path.iterdir())


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["cache", "retry", "x"]),
        st.dictionaries(
            st.sampled_from(["a", "b_s"]),
            st.text(st.characters(exclude_categories=["Cs"])) | st.integers() | st.floats(0, 1e300),
        ),
    )
)
def test_what_is_written_is_read_as_it_was(table):
    """
    Whatever the texts hold.
    """
    assert table == tomllib.loads(migrating.toml(table))
