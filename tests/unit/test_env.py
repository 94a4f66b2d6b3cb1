# SPDX-License-Identifier: Apache-2.0
"""The plugin is found, and its description is generated, quoted and cleaned up."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bifrost.errors import ConfigurationError
from bifrost.usd import env

NASTY = 'it\'s a "folder" $HOME `x` \\ end'


@pytest.fixture
def environ(tmp_path):
    """An environment with a plugin, whose library is an empty file, and a home of its own."""
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "libbifrost.so").touch()
    content = env.plug_info(["bifrost"], "libbifrost.so")
    (plugin / "plugInfo.json").write_text(json.dumps(content))
    return {"BIFROST_PLUGIN_DIR": str(plugin), "BIFROST_HOME": str(tmp_path / "home")}


def described(values):
    """The plugin's entry in the plugInfo.json that *values* leads to."""
    folder = values["PXR_PLUGINPATH_NAME"].split(os.pathsep)[0]
    with open(os.path.join(folder, "plugInfo.json"), encoding="utf-8") as file:
        (plugin,) = json.load(file)["Plugins"]
    return plugin


def schemes_of(values):
    return described(values)["Info"]["Types"]["BifrostResolver"]["uriSchemes"]


def generated(environ):
    return sorted((env._generated_root(environ)).iterdir())


def test_without_schemes_the_shipped_description_is_named(environ):
    assert environ["BIFROST_PLUGIN_DIR"] == env.variables(environ=environ)["PXR_PLUGINPATH_NAME"]


def test_other_plugins_stay_and_ours_goes_first_once(environ):
    ours = environ["BIFROST_PLUGIN_DIR"]
    environ["PXR_PLUGINPATH_NAME"] = os.pathsep.join(["/a", ours, "/b", "/a", "", f"{ours}/"])

    value = env.variables(environ=environ)["PXR_PLUGINPATH_NAME"]

    assert os.pathsep.join([ours, "/a", "/b"]) == value


def test_an_older_description_of_ours_is_replaced(environ):
    environ |= env.variables(["bal"], environ=environ)

    entries = env.variables(["studio"], environ=environ)["PXR_PLUGINPATH_NAME"].split(os.pathsep)

    assert 1 == len(entries)


def test_a_description_is_generated_for_other_schemes(environ, tmp_path):
    values = env.variables(["studio+entity", "BAL", "bal", "bifrost"], environ=environ)

    assert ["bifrost", "bal", "studio+entity"] == schemes_of(values)
    assert str(tmp_path / "plugin" / "libbifrost.so") == described(values)["LibraryPath"]


def test_the_same_request_finds_its_folder_again(environ):
    first = env.variables(["bal", "studio"], environ=environ)
    second = env.variables(["studio", "BAL"], environ=environ)

    assert first == second
    assert 1 == len(generated(environ))


def test_generating_from_many_threads_gives_one_whole_file(environ):
    barrier, found = threading.Barrier(8), []

    def generate():
        barrier.wait()
        found.append(schemes_of(env.variables(["bal"], environ=environ)))

    threads = [threading.Thread(target=generate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [["bifrost", "bal"]] * 8 == found
    assert ["plugInfo.json"] == os.listdir(generated(environ)[0])


def test_a_damaged_generated_file_is_written_anew(environ):
    env.variables(["bal"], environ=environ)
    (generated(environ)[0] / "plugInfo.json").write_text("{")

    assert ["bifrost", "bal"] == schemes_of(env.variables(["bal"], environ=environ))


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ("my_studio", "'_' is not allowed"),
        ("1bal", "starts with a letter"),
        ("", "letters, digits"),
        ("bal:", "letters, digits"),
        ("größe", "letters, digits"),
    ],
)
def test_what_is_no_uri_scheme_is_refused_with_the_reason(environ, scheme, reason):
    with pytest.raises(ConfigurationError, match=reason):
        env.variables([scheme], environ=environ)


def test_a_missing_library_is_an_error_that_says_what_to_do(environ, tmp_path):
    (tmp_path / "plugin" / "libbifrost.so").unlink()

    with pytest.raises(ConfigurationError, match="BIFROST_PLUGIN_DIR must name the folder"):
        env.variables(environ=environ)


def test_a_plugin_elsewhere_is_told_where_the_package_is(environ):
    folders = env.variables(environ=environ)["BIFROST_PYTHONPATH"].split(os.pathsep)

    assert os.path.isfile(os.path.join(folders[0], "bifrost", "errors.py"))


def test_what_the_person_set_wins(environ):
    environ |= {"BIFROST_LIBPYTHON": "/mine.so", "BIFROST_PYTHONPATH": "/packages"}

    values = env.variables(environ=environ)

    assert "/mine.so" == values["BIFROST_LIBPYTHON"]
    assert "/packages" == values["BIFROST_PYTHONPATH"]


def test_output_names_the_folder(environ, tmp_path):
    values = env.variables(["bal"], environ=environ, output=tmp_path / "out")

    assert str(tmp_path / "out") == values["PXR_PLUGINPATH_NAME"]
    assert ["bifrost", "bal"] == schemes_of(values)
    assert not env._generated_root(environ).exists()


def test_output_may_be_written_again(environ, tmp_path):
    env.variables(["bal"], environ=environ, output=tmp_path / "out")

    values = env.variables(["studio"], environ=environ, output=tmp_path / "out")

    assert ["bifrost", "studio"] == schemes_of(values)


@pytest.mark.parametrize("content", ['{"Plugins": [{"Name": "other"}]}', "# mine\n{", ""])
def test_a_file_that_is_not_ours_is_not_replaced(environ, tmp_path, content):
    (tmp_path / "plugInfo.json").write_text(content)

    with pytest.raises(ConfigurationError, match="another plugin's file is not replaced"):
        env.variables(["bal"], environ=environ, output=tmp_path)

    assert content == (tmp_path / "plugInfo.json").read_text()


def test_a_path_that_the_variable_cannot_hold_is_refused(environ, tmp_path):
    with pytest.raises(ConfigurationError, match="can't hold a path with ':'"):
        env.variables(environ=environ, output=tmp_path / "a:b")


def test_an_unwritable_folder_is_an_error_that_names_it(environ, tmp_path):
    (tmp_path / "home").write_text("a file")

    with pytest.raises(ConfigurationError, match="name another folder with --output"):
        env.variables(["bal"], environ=environ)


def test_a_folder_that_others_may_write_to_is_refused(environ):
    env.variables(["bal"], environ=environ)
    env._generated_root(environ).chmod(0o777)

    with pytest.raises(ConfigurationError, match="others may write here"):
        env.variables(["bal"], environ=environ)


def test_folders_whose_library_is_gone_are_removed(environ, tmp_path):
    env.variables(["bal"], environ=environ)
    assert [] == env.clean(environ)

    shutil.rmtree(tmp_path / "plugin")

    assert 1 == len(env.clean(environ))
    assert [] == generated(environ)


def test_only_folders_that_nothing_asked_for_are_unused(environ):
    env.variables(["old"], environ=environ)
    (old,) = generated(environ)
    os.utime(old, (1000.0, 1000.0))
    env.variables(["new"], environ=environ)

    assert [] == env.clean(environ)
    assert [old] == env.clean_unused(environ)
    assert 1 == len(generated(environ))


def test_asking_again_makes_a_folder_used(environ):
    env.variables(["bal"], environ=environ)
    os.utime(generated(environ)[0], (1000.0, 1000.0))
    env.variables(["bal"], environ=environ)

    assert [] == env.clean_unused(environ)


def test_bash_reads_back_any_value():
    text = env.shell_lines({"A": NASTY, "B": "two\nlines", "C": ""}, "bash")
    read = f'{text}\nprintf \'%s\\0\' "$A" "$B" "$C"'

    output = subprocess.run(
        ["bash", "-c", read], capture_output=True, check=True, timeout=30
    ).stdout

    assert [NASTY, "two\nlines", ""] == output.decode().split("\0")[:3]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_reads_back_any_value():
    text = env.shell_lines({"A": NASTY}, "fish") + "\nprintf %s $A"

    output = subprocess.run(
        ["fish", "-c", text], capture_output=True, check=True, timeout=30
    ).stdout

    assert NASTY == output.decode()


def test_fish_escapes_quotes_and_backslashes():
    assert r"set -gx A 'it\'s \\ here'" == env.shell_lines({"A": r"it's \ here"}, "fish")


def test_powershell_doubles_every_kind_of_single_quote():
    assert "$env:A = 'it''s $x \u2019\u2019'" == env.shell_lines(
        {"A": "it's $x \u2019"}, "powershell"
    )


def test_json_is_one_flat_object():
    assert {"A": NASTY, "B": "b"} == json.loads(env.shell_lines({"A": NASTY, "B": "b"}, "json"))


def test_every_shell_that_is_offered_is_spoken():
    assert all(env.shell_lines({"A": "b"}, shell) for shell in env.SHELLS)


def test_finding_the_plugin_imports_nothing_of_openusd():
    code = (
        "import sys, bifrost.usd.env; sys.exit(any(m.split('.')[0] == 'pxr' for m in sys.modules))"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_openusd_is_told_to_load_the_loader_where_there_is_one(environ, tmp_path):
    """It looks at which OpenUSD it is in; a plugin without one is loaded itself."""
    loader = tmp_path / "plugin" / "libbifrost_loader.so"
    assert tmp_path / "plugin" / "libbifrost.so" == env.entry(env.library(environ))
    loader.touch()

    values = env.variables(["bal"], environ=environ)

    assert str(loader) == described(values)["LibraryPath"]
    assert env.describes(tmp_path / "plugin", env.library(environ))
    assert env.describes(Path(values["PXR_PLUGINPATH_NAME"]), env.library(environ))


@pytest.mark.parametrize(
    ("built", "here", "wrong"),
    [
        ("26.8", "26.8", False),
        ("2608", "26.8", False),
        ("26.8", "26.11", True),
        ("", "26.8", False),
    ],
)
def test_only_a_plugin_that_is_built_for_another_openusd_is_wrong(tmp_path, built, here, wrong):
    """What says nothing of itself is not refused: the loader will look."""
    (tmp_path / "build_info.json").write_text(json.dumps({"usd_version": built} if built else {}))

    text = env.mismatch(tmp_path / "libbifrost.so", here)

    assert wrong == ("is built for OpenUSD 26.8, and this is OpenUSD 26.11; build it" in text)
    assert wrong == bool(text)
