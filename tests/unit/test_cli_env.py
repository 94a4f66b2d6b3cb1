# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd env` prints what a shell or a program reads back."""

import json
import subprocess

import pytest

from bifrost.cli.main import run

FOLDER = "it's a folder"


@pytest.fixture(autouse=True)
def plugin(tmp_path, monkeypatch):
    """A plugin, whose library is an empty file, in a folder whose name wants quoting."""
    folder = tmp_path / FOLDER / "plugin"
    folder.mkdir(parents=True)
    (folder / "libbifrost.so").touch()
    monkeypatch.setenv("BIFROST_PLUGIN_DIR", str(folder))
    monkeypatch.setenv("BIFROST_HOME", str(tmp_path / FOLDER / "home"))
    monkeypatch.setenv("PXR_PLUGINPATH_NAME", "/other plugin")
    return folder


def test_bash_evaluates_it(capsys):
    assert 0 == run(["usd", "env", "--scheme", "bal"])
    script = capsys.readouterr().out + '\nprintf %s "$PXR_PLUGINPATH_NAME"'

    value = subprocess.run(
        ["bash", "-euc", script], capture_output=True, check=True, text=True, timeout=30
    ).stdout

    first, second = value.split(":")
    assert FOLDER in first
    assert "/other plugin" == second


def test_json_is_enough_by_itself(capsys):
    assert 0 == run(["usd", "env", "--format", "json", "--scheme", "studio+entity"])

    values = json.loads(capsys.readouterr().out)

    assert {str} == set(map(type, values.values()))
    assert {"PXR_PLUGINPATH_NAME"} <= set(values)


@pytest.mark.parametrize("shell", ["bash", "fish", "powershell", "json"])
def test_stdout_holds_nothing_else(shell, capsys):
    run(["usd", "env", "--format", shell, "--clean"])

    output, error = capsys.readouterr()
    assert "removed" in error
    assert "removed" not in output
    assert "PXR_PLUGINPATH_NAME" in output


def test_a_bad_scheme_is_wrong_usage_with_the_reason(capsys):
    assert 2 == run(["usd", "env", "--scheme", "my_studio"])
    assert "'_' is not allowed in a URI scheme" in capsys.readouterr().err


def test_output_writes_where_it_is_told(tmp_path, capsys):
    assert 0 == run(["usd", "env", "--scheme", "bal", "--output", str(tmp_path / "here")])
    assert (tmp_path / "here" / "plugInfo.json").is_file()


def test_no_plugin_is_a_failed_answer(plugin, capsys):
    (plugin / "libbifrost.so").unlink()

    assert 1 == run(["usd", "env"])
    assert "the resolver plugin's library is not there" in capsys.readouterr().err


def test_a_run_removes_folders_whose_plugin_is_gone(plugin, tmp_path, monkeypatch):
    run(["usd", "env", "--scheme", "bal"])
    elsewhere = plugin.with_name("moved")
    plugin.rename(elsewhere)
    monkeypatch.setenv("BIFROST_PLUGIN_DIR", str(elsewhere))

    run(["usd", "env", "--scheme", "bal"])

    (root,) = (tmp_path / FOLDER / "home" / "cache").iterdir()
    assert 1 == len(list(root.iterdir()))


def test_an_installed_plugin_that_this_pythons_openusd_cannot_load_is_told(
    plugin, monkeypatch, capsys
):
    """On stderr, as the variables may be for another application; a named plugin is for one."""
    (plugin / "build_info.json").write_text(json.dumps({"usd_version": "26.8"}))
    monkeypatch.setattr("bifrost.usd.env.usd_core_here", lambda: "26.11")

    assert 0 == run(["usd", "env"])
    assert "" == capsys.readouterr().err

    monkeypatch.delenv("BIFROST_PLUGIN_DIR")
    monkeypatch.setattr("bifrost.usd.env.installed_folder", lambda: plugin)
    assert 0 == run(["usd", "env"])
    output, error = capsys.readouterr()
    assert "is built for OpenUSD 26.8, and this is OpenUSD 26.11" in error
    assert "PXR_PLUGINPATH_NAME" in output
