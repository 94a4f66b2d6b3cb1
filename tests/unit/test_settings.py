# SPDX-License-Identifier: Apache-2.0
"""Settings: later wins, and what is wrong is said with its name, its place and what was meant."""

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost import settings
from bifrost.errors import ConfigurationError

VARIABLES = {f"{section}.{field}": variable for section, field, variable in settings._variables()}
KEYS = sorted(VARIABLES)
NUMBERS = sorted(
    key for key in KEYS if settings._fields(key.split(".")[0])[key.split(".")[1]] is not str
)


@pytest.fixture
def home(tmp_path):
    return tmp_path


def written(home, text):
    (home / "settings.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return {"BIFROST_HOME": str(home)}


def complaint(environ):
    with pytest.raises(ConfigurationError) as caught:
        settings.load(environ)
    return str(caught.value)


def complaint_if_any(environ):
    """Return what is wrong with it, or ""; any other exception is a defect."""
    try:
        settings.load(environ)
    except ConfigurationError as error:
        return str(error)
    return ""


def test_without_anything_the_defaults_hold(home):
    """
    No file and no variable is a complete configuration.
    """
    loaded = settings.load({"BIFROST_HOME": str(home)})

    assert settings.Settings(home=str(home)) == loaded


def test_the_file_beats_the_default_and_the_environment_beats_the_file(home):
    """
    Later wins: defaults, settings.toml, the environment.
    """
    environ = written(home, "[cache]\nttl_s = 60\nstale_s = 7\n")

    loaded = settings.load({**environ, "BIFROST_CACHE__TTL_S": "61.5"})

    assert (61.5, 7.0, 5.0) == (
        loaded.cache.ttl_s,
        loaded.cache.stale_s,
        loaded.cache.negative_ttl_s,
    )
    assert str(home / "settings.toml") == loaded.source


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_may_come_from_the_environment(key, home):
    """
    `cache.ttl_s` is `BIFROST_CACHE__TTL_S`.
    """
    section, field = key.split(".")

    loaded = settings.load({"BIFROST_HOME": str(home), VARIABLES[key]: "12"})

    assert "12" == str(getattr(getattr(loaded, section), field)).removesuffix(".0")


def test_foreign_variables_are_never_complained_about(home):
    """
    Autodesk's Bifrost for Maya has variables of its own.
    """
    environ = {
        "BIFROST_HOME": str(home),
        "BIFROST_LIB_CONFIG_FILES": "x",
        "BIFROST_CACHE__TLL_S": "y",
    }

    assert settings.Settings(home=str(home)) == settings.load(environ)


def test_home_holds_everything(home):
    """
    A run's settings, catalogue and cache lie in one folder.
    """
    loaded = settings.load({"BIFROST_HOME": str(home)})

    assert (home / "cache", home / "data") == (loaded.cache_directory, loaded.data_directory)
    assert f"sqlite:///{home / 'data' / 'catalogue.sqlite'}" == loaded.catalogue_url


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[cache]\nttl = 1", "cache.ttl", "cache.ttl_s"),
        ("[cach]\nttl_s = 1", "cach", "cache"),
        ("[retry]\natempts = 1", "retry.atempts", "retry.attempts"),
        ("home = 'x'", "home", ""),
        ('"cache.ttl_s" = {}', "cache.ttl_s", ""),
        ('"cache.ttl_s" = 5', "cache.ttl_s", ""),
        ('"" = 5', "", ""),
    ],
)
def test_an_unknown_key_is_named_with_its_file_and_the_nearest_known_one(text, key, nearest, home):
    """
    A misspelt setting that is silently ignored costs somebody an afternoon.
    """
    message = complaint(written(home, text))

    assert message.startswith(f"{key}: ")
    assert nearest in message
    assert str(home / "settings.toml") in message


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    "value", ["'abc'", "-1", "true", "nan", "inf", "[1]", "{a = 1}", "2020-01-01"]
)
def test_a_wrong_value_in_the_file_is_named_with_its_key_and_place(key, value, home):
    """
    The key, the value, and the file.
    """
    section, field = key.split(".")

    message = complaint(written(home, f"[{section}]\n{field} = {value}\n"))

    assert message.startswith(f"{key}: expected ")
    assert str(home / "settings.toml") in message


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["", "abc", "-1", "nan", "inf", "1e999", "1,5", "\udcff"])
def test_a_wrong_value_in_the_environment_is_named_with_its_variable(key, value, home):
    """
    The key, the value, and the variable.
    """
    message = complaint({"BIFROST_HOME": str(home), VARIABLES[key]: value})

    assert message.startswith(f"{key}: expected ")
    assert VARIABLES[key] in message
    assert repr(value) in message


@pytest.mark.parametrize("text", ["cache = 5", "[[cache]]", "cache = 'x'"])
def test_a_section_that_is_no_table_is_a_configuration_error(text, home):
    """
    Also while a variable sets one of its fields.
    """
    message = complaint({**written(home, text), "BIFROST_CACHE__TTL_S": "4"})

    assert message.startswith("cache: expected a table")


@pytest.mark.parametrize(
    "text",
    [
        "[cache",
        "[cache]\nttl_s = 1\nttl_s = 2",
        "x = " + "[" * 5000,
        "[cache]\nttl_s = " + "1" * 5000,
        "[cache]\nttl_s = 1" + "0" * 400,
        "\ud800",
    ],
    ids=["unclosed", "twice", "deep", "long", "huge", "no UTF-8"],
)
def test_an_unreadable_file_is_a_configuration_error_that_names_it(text, home):
    """
    Whatever a text editor or a broken copy left there.
    """
    assert str(home / "settings.toml") in complaint(written(home, text))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_configuration_error(home):
    """
    As any other unreadable one.
    """
    environ = written(home, "")
    (home / "settings.toml").chmod(0)
    try:
        assert str(home / "settings.toml") in complaint(environ)
    finally:
        (home / "settings.toml").chmod(stat.S_IRUSR | stat.S_IWUSR)


@pytest.mark.parametrize("value", ["~nobody-of-this-name/x", "a" * 5000])
def test_a_home_that_can_not_be_is_a_configuration_error(value):
    """
    BIFROST_HOME is named, and what it said.
    """
    message = complaint({"BIFROST_HOME": value})

    assert "BIFROST_HOME" in message


JSON = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-5, 10**20), st.text(st.characters(codec="ascii"), max_size=5)
    ),
    lambda each: st.lists(each, max_size=2),
    max_leaves=3,
)
NAMES = st.sampled_from(
    sorted({part for key in KEYS for part in key.split(".")} | {"home", "x", ""})
)


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\u{ord(ch):04x}" for ch in value) + '"'
    return str(value).lower()


@given(
    st.dictionaries(NAMES, st.one_of(JSON, st.dictionaries(NAMES, JSON, max_size=3)), max_size=3)
)
def test_any_other_table_is_settings_or_a_configuration_error(tmp_path_factory, table):
    """
    Nothing but what is documented escapes, and the message begins with a key and ends with a place.
    """
    home = tmp_path_factory.mktemp("home")
    environ = written(home, "\n".join(f"{toml(key)} = {toml(each)}" for key, each in table.items()))

    complaint = complaint_if_any(environ)

    pattern = r"[\w.]*: (expected|there is no such setting; the nearest is) .*\(from (.*)\)"
    assert not complaint or str(home / "settings.toml") == re.fullmatch(pattern, complaint)[2]


@given(st.text())
def test_any_other_file_is_settings_or_a_configuration_error(tmp_path_factory, text):
    """
    Nothing but what is documented escapes.
    """
    home = tmp_path_factory.mktemp("home")

    complaint = complaint_if_any(written(home, text))

    assert not complaint or str(home / "settings.toml") in complaint


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES.values())), st.text(), max_size=3))
def test_any_other_environment_is_settings_or_a_configuration_error(tmp_path_factory, environ):
    """
    Nothing but what is documented escapes.
    """
    home = str(tmp_path_factory.getbasetemp())

    complaint = complaint_if_any({**environ, "BIFROST_HOME": home})

    assert not complaint or any(variable in complaint for variable in environ)


def test_a_config_named_in_the_settings_beats_openassetio_s_variable(home, monkeypatch):
    """
    Which manager answers: the setting, else OPENASSETIO_DEFAULT_CONFIG, else our own.
    """
    monkeypatch.setenv("OPENASSETIO_DEFAULT_CONFIG", "theirs.toml")
    environ = {"BIFROST_HOME": str(home)}

    assert "theirs.toml" == settings.load(environ).manager_config
    assert (
        "ours.toml"
        == settings.load({**environ, "BIFROST_MANAGER__CONFIG": "ours.toml"}).manager_config
    )


def test_a_tilde_in_the_cache_s_folder_is_the_user_s_home(home, monkeypatch):
    """
    Paths in settings are written as in a shell.
    """
    monkeypatch.setenv("HOME", str(home))
    environ = {"BIFROST_HOME": str(home), "BIFROST_CACHE__DIRECTORY": "~/fast"}

    assert home / "fast" == settings.load(environ).cache_directory


def test_without_a_home_the_platform_s_folders_are_used(home, monkeypatch):
    """
    Nothing lands in the working directory.
    """
    for kind in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind))

    loaded = settings.load({})

    assert {loaded.cache_directory, loaded.data_directory} == {
        home / "CACHE" / "bifrost",
        home / "DATA" / "bifrost",
    }


def test_a_relative_home_stays_the_same_when_the_process_moves(home, monkeypatch):
    """
    The folders are absolute from the moment the settings are read.
    """
    monkeypatch.chdir(home)
    loaded = settings.load({"BIFROST_HOME": "here"})
    monkeypatch.chdir("/")

    assert home / "here" / "cache" == loaded.cache_directory
    assert Path(loaded.catalogue_url.removeprefix("sqlite:///")).is_relative_to(home)
