# SPDX-License-Identifier: Apache-2.0
"""The whole surface of earlier releases, by its old import paths, answers and warns as promised."""

import inspect
import json
import logging
import os
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import bifrost
from bifrost.deprecation import GONE_IN, GONE_WHEN, SINCE
from bifrost.integrations.replacements import BY_NAME, HOST, MANAGER, MODULES, PACKAGE, URI_MAPPER
from bifrost.session import Session
from bifrost.settings import load

HERO = "bifrost:///assets/hero.usda"
NOBODY = "bifrost:///assets/nobody"
UUID = "0b2f5c1e-9a4d-4c11-8a52-5f0f6b6f2c3d"
THIS = Path(__file__)

HOST_SIGNATURES = {
    "initialize": [],
    "resolve_asset_path": ["asset_uri"],
    "get_version": ["asset_uri"],
    "get_entity_info": ["asset_uri"],
    "get_relationships": ["asset_uri"],
    "create_entity_reference": ["asset_id"],
    "is_valid_entity_reference": ["uri"],
}
MAPPER_SIGNATURES = {
    "asset_to_uri": ["asset"],
    "uri_to_asset_id": ["uri"],
    "path_to_uri": ["path"],
    "uri_to_path": ["uri", "version"],
    "detect_uri_in_string": ["text"],
    "is_valid_uri": ["uri"],
}
# What each is called with here, and answers where there is neither catalogue nor tree.
HOST_CALLS = {
    "initialize": ((), True),
    "resolve_asset_path": ((NOBODY,), None),
    "get_version": ((NOBODY,), None),
    "get_entity_info": ((NOBODY,), None),
    "get_relationships": ((NOBODY,), None),
    "create_entity_reference": (("hero",), "bifrost:///assets/hero"),
    "is_valid_entity_reference": ((NOBODY,), True),
}
MAPPER_CALLS = {
    "asset_to_uri": ((SimpleNamespace(id="hero"),), "bifrost:///assets/hero"),
    "uri_to_asset_id": ((f"{NOBODY}/more?version=2",), "nobody"),
    "path_to_uri": ((f"/data/assets/{UUID}/v001/a.usd",), f"bifrost:///assets/{UUID}"),
    "uri_to_path": ((NOBODY,), None),
    "detect_uri_in_string": ((f"see '{NOBODY}'",), NOBODY),
    "is_valid_uri": ((NOBODY,), True),
}


def quietly(module, name):
    """Return an old name without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module(module), name)


@pytest.fixture
def host():
    """A host by the old import path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quietly(HOST, "BifrostHostInterface")()


@pytest.fixture
def mapper():
    """The old mapper."""
    return quietly(URI_MAPPER, "AssetUriMapper")


@pytest.fixture(autouse=True)
def said():
    """Every warning of the test, under a filter that hides none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def ours(said):
    assert {DeprecationWarning} >= {each.category for each in said}
    return [str(each.message) for each in said]


def settings(home, text, name="settings.toml"):
    home.mkdir(exist_ok=True)
    (home / name).write_text(text, encoding="utf-8")


def filed(root, asset_id, *numbers):
    """Write a storage tree of earlier releases."""
    for number in numbers:
        path = root / asset_id / f"v{number:03}" / "model.usda"
        path.parent.mkdir(parents=True)
        path.write_text("#usda 1.0\n")


# Names


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.rpartition(".")[0] in MODULES])
def test_importing_an_old_name_warns_where_it_is_imported(name, said):
    """
    Of each importing line, not only of the first in the process.
    """
    module, _, attribute = name.rpartition(".")

    source = f"from {module} import {attribute}\n\n\nfrom {module} import {attribute} as again\n"
    scope = {"__name__": "studio_tool"}
    exec(compile(source, "studio_tool.py", "exec"), scope)

    assert scope[attribute] is scope["again"]
    assert [("studio_tool.py", 1), ("studio_tool.py", 4)] == [
        (each.filename, each.lineno) for each in said
    ]
    assert {BY_NAME[name].message} == set(ours(said))


@pytest.mark.parametrize("module", MODULES)
def test_an_old_module_has_no_other_names(module):
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = import_module(module).nothing


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_warning_says_what_replaces_it_and_when_it_goes(name):
    """
    In a release that is named, and a month.
    """
    message = BY_NAME[name].message

    assert name in message
    assert BY_NAME[name].new in message
    assert GONE_IN in message
    assert GONE_WHEN in message


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_the_page_has_a_row_for_every_old_name(name):
    """
    Old, new, what is different, since when, and when it goes.
    """
    each, page = BY_NAME[name], THIS.parents[2] / "docs" / "compatibility.md"
    new = each.new if " " in each.new else f"`{each.new}`"
    note = f" {each.note} " if each.note else " "
    expected = f"| `{name.removeprefix(PACKAGE + '.')}` | {new} |{note}| {SINCE} | {GONE_IN}, {GONE_WHEN} |"

    assert expected in page.read_text(encoding="utf-8").splitlines()


def test_the_names_of_today_warn_of_nothing(said, show):
    hero = show.publish("hero.usda", "#usda 1.0\n")

    bifrost.BifrostHostInterface().resolve_asset_path(hero)
    bifrost.AssetUriMapper.uri_to_path(hero)
    bifrost.BifrostManagerInterface()

    assert [] == ours(said)


def test_the_ready_instance_is_a_host():
    instance = quietly(HOST, "bifrost_host")

    assert isinstance(instance, quietly(HOST, "BifrostHostInterface"))
    assert "org.bifrost.host" == instance.identifier()
    assert "Bifrost Asset Manager" == instance.displayName()


def test_making_a_host_takes_no_arguments_and_warns(said):
    made = quietly(HOST, "BifrostHostInterface")

    made()

    assert [] == list(inspect.signature(made).parameters)
    assert [BY_NAME[f"{HOST}.BifrostHostInterface"].message] == ours(said)
    assert str(THIS) == said[0].filename


# Methods


@pytest.mark.parametrize("name", HOST_SIGNATURES)
def test_a_method_of_the_host_has_the_arguments_that_it_had(name, host):
    parameters = list(inspect.signature(getattr(host, name)).parameters)

    assert HOST_SIGNATURES[name] == parameters


@pytest.mark.parametrize("name", MAPPER_SIGNATURES)
def test_a_function_of_the_mapper_has_the_arguments_that_it_had(name, mapper):
    parameters = list(inspect.signature(getattr(mapper, name)).parameters)

    assert MAPPER_SIGNATURES[name] == parameters


@pytest.mark.parametrize("name", HOST_CALLS)
def test_a_method_of_the_host_answers_and_warns_once_for_each_line(name, host, said):
    """
    With the caller's file and line; a loop is one line.
    """
    arguments, expected = HOST_CALLS[name]
    method = getattr(host, name)

    answers = [method(*arguments) for _ in range(3)]
    answers.append(method(*arguments))

    assert [expected] * 4 == answers
    assert [BY_NAME[f"{HOST}.BifrostHostInterface.{name}"].message] * 2 == ours(said)
    assert {str(THIS)} == {each.filename for each in said}
    assert said[0].lineno + 1 == said[1].lineno


@pytest.mark.parametrize("name", MAPPER_CALLS)
def test_a_function_of_the_mapper_answers_and_warns_once_for_each_line(name, mapper, said):
    arguments, expected = MAPPER_CALLS[name]
    function = getattr(mapper, name)

    answers = [function(*arguments) for _ in range(3)]
    answers.append(function(*arguments))

    assert [expected] * 4 == answers
    assert [BY_NAME[f"{URI_MAPPER}.AssetUriMapper.{name}"].message] * 2 == ours(said)
    assert {str(THIS)} == {each.filename for each in said}


def test_a_method_warns_again_when_the_filters_have_changed(host, said):
    """
    As Python's own "once for each line" does: a test that looks for it finds it.
    """
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match="get_version"):
            host.get_version(NOBODY)


def test_a_filter_that_makes_warnings_errors_does_so_every_time(host):
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DeprecationWarning, match="get_version"):
                host.get_version(NOBODY)


# Answers, from the catalogue


def test_what_the_catalogue_has_is_resolved(host, show):
    """
    A `Path`, and the number of the version.
    """
    hero = show.publish("hero.usda", "#usda 1.0\n")
    show.publish("hero.usda", '#usda 1.0\ndef "a" {}\n')

    assert show.path("hero.usda", 2) == host.resolve_asset_path(hero)
    assert show.path("hero.usda", 1) == host.resolve_asset_path(f"{hero}?version=1")
    assert (2, 1) == (host.get_version(hero), host.get_version(f"{hero}?version=1"))


def test_entity_info_has_the_keys_that_it_had(host, tmp_path):
    """
    Paths as text, and what may be done with it.
    """
    picture = tmp_path / "skin.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    skin = bifrost.bifrost_host.register_asset(
        asset_type="texture", asset_name="Skin", file_path=str(picture), comment="first"
    )

    info = host.get_entity_info(skin)

    assert str(bifrost.bifrost_host.resolve_asset_path(skin)) == info["location"]
    assert Path(info["thumbnail"]).is_file()
    assert ("1", "Skin", "first") == (
        info["version"],
        info["name"],
        info["versionInfo"]["comment"],
    )
    assert {"created", "createdBy", "comment"} == info["versionInfo"].keys()
    assert {"canUpdate": True, "canDelete": True, "canModifyRelationships": True} == info[
        "managementPolicy"
    ]
    json.dumps(info)


def test_entity_info_without_a_thumbnail_says_so(host, show):
    hero = show.publish("hero.usda", "#usda 1.0\n")

    assert host.get_entity_info(hero)["thumbnail"] is None


def test_relationships_have_the_form_that_they_had(host, show):
    """
    A weak one is optional.
    """
    hero = show.publish("hero.usda", "#usda 1.0\n")
    skin = show.publish("skin.usda", "#usda 1.0\n")
    shot = show.publish("shot.usda", "#usda 1.0\n", (hero,))
    bifrost.bifrost_host.add_relationship(shot, skin, "texture", {"strength": "weak"})

    found = {each["toEntity"]: each for each in host.get_relationships(shot)}

    assert {shot} == {each["fromEntity"] for each in found.values()}
    assert {"dependency": {"type": "reference", "optional": False}} == found[hero]["traits"]
    assert {"dependency": {"type": "texture", "optional": True}} == found[skin]["traits"]
    assert [] == host.get_relationships(hero)


@pytest.mark.parametrize(
    "uri", ["", "nonsense", f"{HERO}?version=no good", "bal:///x", None, 5, "\udcff"]
)
def test_no_reference_raises(uri, host, said, caplog):
    """
    Errors are logged, with the reference they are about.
    """
    with caplog.at_level(logging.ERROR, logger="bifrost"):
        answers = [
            host.resolve_asset_path(uri),
            host.get_version(uri),
            host.get_entity_info(uri),
            host.get_relationships(uri),
        ]

    assert [None] * 4 == answers
    assert 4 == len(caplog.records)
    assert host.is_valid_entity_reference(uri) is False


def test_a_broken_catalogue_is_logged_and_not_raised(host, own_home, caplog):
    """
    `initialize` may still be True: the catalogue is opened by the first question.
    """
    (own_home / "data").mkdir(parents=True)
    (own_home / "data" / "catalogue.sqlite").write_bytes(b"no database" * 1000)

    assert host.resolve_asset_path(HERO) is None
    assert caplog.records


def test_settings_that_cannot_be_read_turn_everything_into_none(host, own_home, caplog):
    settings(own_home, "[cach]\nttl_s = 1\n")

    assert host.initialize() is False
    assert host.get_version(HERO) is None
    assert "cach" in caplog.text


# Answers, from the storage tree


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings.toml", '[storage.local]\nroot_path = "{}"\n'),
        ("settings.yaml", "storage:\n  type: local\n  local:\n    root_path: {}\n"),
        ("settings.toml", '[catalogue]\nearlier_store = "{}"\n'),
    ],
)
def test_the_storage_tree_is_where_the_settings_say(name, text, own_home, tmp_path, mapper, host):
    """
    Under its old name or its new one: for the mapper, and for what the catalogue doesn't have.
    """
    root = tmp_path / "studio" / "assets"
    filed(root, "asset_1", 1, 2, 10)
    settings(own_home, text.format(root), name)
    uri = "bifrost:///assets/asset_1"

    assert root / "asset_1" / "v010" / "model.usda" == mapper.uri_to_path(uri)
    assert root / "asset_1" / "v002" / "model.usda" == mapper.uri_to_path(uri, 2)
    assert mapper.uri_to_path(uri, 3) is None
    assert uri == mapper.path_to_uri(mapper.uri_to_path(uri))
    assert root / "asset_1" / "v010" / "model.usda" == host.resolve_asset_path(uri)
    assert root / "asset_1" / "v002" / "model.usda" == host.resolve_asset_path(f"{uri}?version=2")
    assert host.resolve_asset_path(f"{uri}?version=approved") is None
    assert (10, 2) == (host.get_version(uri), host.get_version(f"{uri}?version=2"))
    assert ("10", "asset_1") == tuple(map(host.get_entity_info(uri).get, ("version", "name")))


def test_the_storage_tree_is_data_assets_by_default(tmp_path, monkeypatch, mapper):
    """
    Below the working directory, as it was.
    """
    filed(tmp_path / "data" / "assets", "hero", 1)
    monkeypatch.chdir(tmp_path)

    assert Path("data/assets/hero/v001/model.usda") == mapper.uri_to_path("bifrost:///assets/hero")


def test_an_asset_of_the_catalogue_is_never_looked_for_in_the_tree(show, own_home, tmp_path, host):
    """
    What a version of it is, the catalogue alone says.
    """
    hero = show.publish("hero.usda", "#usda 1.0\n")
    filed(tmp_path / "assets", "hero.usda", 1, 2)
    settings(own_home, f'[storage.local]\nroot_path = "{tmp_path / "assets"}"\n')

    assert show.path("hero.usda", 1) == host.resolve_asset_path(hero)
    assert host.resolve_asset_path(f"{hero}?version=2") is None


# Settings


def test_what_is_turned_off_answers_nothing(own_home, host, show):
    """
    `assetio.enabled`.
    """
    hero = show.publish("hero.usda", "#usda 1.0\n")
    settings(own_home, "[assetio]\nenabled = false\n")

    assert host.initialize() is False
    assert host.resolve_asset_path(hero) is None
    assert "bifrost:///assets/hero" == host.create_entity_reference("hero")


def test_a_host_is_called_as_the_settings_say(own_home, host):
    settings(own_home, '[assetio]\nhost_name = "Studio"\nhost_version = "7"\n')

    assert ("Studio", {"version": "7"}) == (host.displayName(), host.info())


def test_the_fallback_manager_stands_in_for_one_that_cannot_be_started(own_home, tmp_path, host):
    """
    Found where `assetio.environment.OPENASSETIO_PLUGIN_PATH` says.
    """
    filed(tmp_path, "second", 1)
    write_plugin(tmp_path / "plugins", "com.studio.second", tmp_path / "second/v001/model.usda")
    settings(
        own_home,
        '[assetio]\nmanager = "com.studio.gone"\nfallback_manager = "com.studio.second"\n'
        f'[assetio.environment]\nOPENASSETIO_PLUGIN_PATH = "{tmp_path / "plugins"}"\n',
    )

    assert host.initialize() is True
    assert tmp_path / "second/v001/model.usda" == host.resolve_asset_path("studio:///second")
    host._stand_in.session.close()


def test_a_manager_that_cannot_be_started_is_false(own_home, host, caplog):
    settings(own_home, '[assetio]\nmanager = "com.studio.gone"\n')

    assert host.initialize() is False
    assert host.resolve_asset_path(HERO) is None
    assert "com.studio.gone" in caplog.text


def write_plugin(folder, identifier, path):
    """Write an OpenAssetIO plugin, its manager made by the old import path with the old arguments."""
    folder.mkdir()
    (folder / "studio_manager.py").write_text(
        f"""
from openassetio.pluginSystem import PythonPluginSystemManagerPlugin
from {MANAGER} import BifrostManagerInterface


class StudioManager(BifrostManagerInterface):
    def identifier(self):
        return "{identifier}"

    def info(self):
        return {{"vendor": "Studio"}}

    def isEntityReferenceString(self, text, hostSession):
        return text.startswith("studio:///")

    def resolve(self, entityRefs, traitSet, context, hostSession):
        return [
            {{"location": "{path}", "version": "4", "name": ref.toString()}}
            if "locatableContent" in traitSet else {{}}
            for ref in entityRefs
        ]


class Plugin(PythonPluginSystemManagerPlugin):
    @classmethod
    def identifier(cls):
        return "{identifier}"

    @classmethod
    def interface(cls):
        return StudioManager()


openassetioPlugin = Plugin
"""
    )


def test_a_studio_s_own_manager_answers_through_the_whole_core(own_home, tmp_path, host):
    """
    `assetio.manager` names it: the old host, today's and a plain OpenAssetIO host get its answers.
    """
    filed(tmp_path, "first", 1)
    path = tmp_path / "first/v001/model.usda"
    write_plugin(tmp_path / "plugins", "com.studio.first", path)
    settings(
        own_home,
        "assetio:\n  manager: com.studio.first\n  environment:\n"
        f"    OPENASSETIO_PLUGIN_PATH: {tmp_path / 'plugins'}\n",
        "settings.yaml",
    )

    assert path == host.resolve_asset_path("studio:///anything")
    assert 4 == host.get_version("studio:///anything")
    assert host.resolve_asset_path(HERO) is None
    assert host.get_relationships("studio:///anything") is None
    found = bifrost.bifrost_host.resolve_asset("studio:///anything")
    assert ("com.studio.first", "studio:///anything") == (found.manager, found.name)
    managers = {each["identifier"]: each for each in bifrost.bifrost_host.managers()}
    assert {"com.studio.first", "org.bifrost.assetmanager"} <= managers.keys()


def test_a_session_s_plugins_do_not_hide_those_of_the_environment(own_home, monkeypatch):
    monkeypatch.setenv("OPENASSETIO_PLUGIN_PATH", "/theirs")
    settings(own_home, '[assetio.environment]\nOPENASSETIO_PLUGIN_PATH = "/ours"\n')

    Session(load()).close()

    assert "/theirs" == os.environ["OPENASSETIO_PLUGIN_PATH"]


# Commands


def test_the_commands_print_what_they_printed(show, capsys, said):
    """
    `resolve` a path, `info-uri` what is known, `managers` our own among them; without a warning.
    """
    from bifrost.cli.main import run

    hero = show.publish("hero.usda", "#usda 1.0\n")

    assert 0 == run(["asset", "resolve", hero])
    assert f"{show.path('hero.usda', 1)}\n" == capsys.readouterr().out
    assert 0 == run(["asset", "info-uri", hero])
    assert str(show.path("hero.usda", 1)) in capsys.readouterr().out
    assert 0 == run(["asset", "managers"])
    managers = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert "Bifrost Asset Manager" == managers["org.bifrost.assetmanager"]
    assert 1 == run(["asset", "resolve", NOBODY])
    assert "" == capsys.readouterr().out
    assert [] == ours(said)


def test_a_script_of_then_runs_as_it_did(tmp_path, own_home):
    """
    In a process of its own, with a YAML file of then; Python's own filters show its warnings, by line.
    """
    root = tmp_path / "assets"
    filed(root, UUID, 1, 3)
    settings(own_home, f"storage:\n  local:\n    root_path: {root}\n", "settings.yaml")
    script = tmp_path / "publish_tool.py"
    script.write_text(
        f"from {HOST} import bifrost_host\n"
        f"from {URI_MAPPER} import AssetUriMapper\n"
        "\n"
        "assert bifrost_host.initialize()\n"
        f"uri = bifrost_host.create_entity_reference({UUID!r})\n"
        "for number in range(3):\n"
        "    path = bifrost_host.resolve_asset_path(uri)\n"
        "assert path == AssetUriMapper.uri_to_path(uri)\n"
        "print(path, bifrost_host.get_version(uri), bifrost_host.resolve_asset_path('x'))\n"
    )

    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )

    assert f"{root / UUID / 'v003' / 'model.usda'} 3 None\n" == done.stdout
    told = [line for line in done.stderr.splitlines() if "DeprecationWarning: " in line]
    lines = [int(line.split(":")[1]) for line in told if line.startswith(str(script))]
    assert [1, 2, 4, 5, 7, 8, 9, 9] == lines
