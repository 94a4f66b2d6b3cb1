# SPDX-License-Identifier: Apache-2.0
"""Install kits: what is in their files, that shells and Python read them, that others' files stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from bifrost.cli import install_kit_command
from bifrost.cli.main import run
from bifrost.errors import ConfigurationError
from bifrost.testing.show import Show, layer
from bifrost.usd import env, kits
from bifrost.usd.kits import Installation, kit
from bifrost.usd.kits.writing import NOTES

FOLDER = "it's über here!"
OTHERS = "/other plugins/one"
LIST = ("PXR_PLUGINPATH_NAME", "PYTHONPATH")
# How to read a script in each shell, and print a variable.
SHELLS = {
    "sh": ("sh", "sh", "-euc"),
    "bash": ("bash", "sh", "-euc"),
    "dash": ("dash", "sh", "-euc"),
    "zsh": ("zsh", "sh", "-euc"),
    "csh": ("csh", "csh", "-fc"),
    "tcsh": ("tcsh", "csh", "-fc"),
    "fish": ("fish", "fish", "-c"),
    "pwsh": ("pwsh", "ps1", "-Command"),
}


@pytest.fixture
def installation(tmp_path):
    """An installation in a folder whose name wants quoting, its plugin an empty file."""
    site = tmp_path / FOLDER / "site"
    plugin = site / "bifrost" / "plugin"
    usdview = site / "bifrost" / "usd" / "usdview"
    plugin.mkdir(parents=True)
    usdview.mkdir(parents=True)
    (plugin / "libbifrost.so").touch()
    described = env.plug_info(["bifrost"], "libbifrost.so")
    (plugin / "plugInfo.json").write_text(json.dumps(described))
    return Installation(
        version="1.2.3",
        library=plugin / "libbifrost.so",
        openusd="26.8",
        python=(str(site),),
        python_version="{}.{}".format(*sys.version_info[:2]),
        libpython="/usr/lib/libpython3.so",
        usdview=usdview,
    )


@pytest.fixture
def target(tmp_path):
    """The folder that a kit is for."""
    return tmp_path / FOLDER / "kit"


def written(name, installation, target, **more):
    made = kit(name, installation, target, **more)
    kits.write(made.files, target)
    return made


def plugin_of(installation):
    return str(installation.library.parent)


class TestHoudini:
    """A package: https://www.sidefx.com/docs/houdini/ref/plugins.html."""

    def package(self, installation, target):
        written("houdini", installation, target)
        return json.loads((target / "packages" / "bifrost.json").read_text(encoding="utf-8"))

    def test_the_package_prepends_to_both_lists(self, installation, target):
        """What Houdini has in these variables stays, behind ours."""
        found = self.package(installation, target)

        assert found["enable"] is True
        assert [
            {"PXR_PLUGINPATH_NAME": {"method": "prepend", "value": plugin_of(installation)}},
            {"PYTHONPATH": {"method": "prepend", "value": str(target / "bifrost-usd" / "python")}},
        ] == found["env"]

    def test_a_plugin_that_lies_apart_is_told_where_the_package_is(
        self, installation, target, tmp_path
    ):
        """A plugin built for Houdini's OpenUSD is not in the Python package."""
        apart = tmp_path / "built" / "libbifrost.so"
        apart.parent.mkdir()
        apart.touch()

        found = self.package(replace(installation, library=apart), target)

        assert {"BIFROST_PYTHONPATH": installation.python[0]} == found["env"][-1]

    def test_a_path_that_houdini_would_expand_is_refused(self, installation, tmp_path):
        """It would look for a variable of that name."""
        with pytest.raises(ConfigurationError, match=r"Houdini would not read a path with '\$'"):
            kit("houdini", installation, tmp_path / "a$HOME")


class TestMaya:
    """A module, and what maya-usd's plugRegistryHelper.h asks for."""

    def test_the_module_names_absolute_folders(self, installation, target):
        """maya-usd refuses relative ones; spaces need no quotes in a module's file."""
        written("maya", installation, target)
        support = target / "bifrost-usd"

        lines = (target / "bifrost-usd.mod").read_text(encoding="utf-8").splitlines()

        assert [
            f"+ bifrost-usd 1.2.3 {support}",
            "PYTHONPATH +:= python",
            f"MAYA_PXR_PLUGINPATH_NAME += {support}",
        ] == lines
        assert (support / "python" / "bifrost" / "__init__.py").is_file()

    def test_maya_usd_looks_at_the_version_first(self, installation, target):
        """A plugin for another OpenUSD is passed over there, instead of failing to load."""
        written("maya", installation, target)

        text = (target / "bifrost-usd" / "mayaUsdPlugInfo.json").read_text(encoding="utf-8")

        include = {"PlugPath": plugin_of(installation), "VersionCheck": {"USD": "0.26.8"}}
        assert {"MayaUsdIncludes": [include]} == json.loads(text)

    def test_it_may_share_a_folder_with_another_kit(self, installation, target):
        """What both have is the same; what differs has a name of its own."""
        written("houdini", installation, target)
        written("maya", installation, target)

        for name in ("houdini", "maya"):
            made = kit(name, installation, target)
            assert set(made.files) == set(kits.write(made.files, target).unchanged)


class Recorded:
    """What rez hands to `commands()` as `env`: remembers what is done to variables."""

    class Variable:
        """One of them."""

        def __init__(self):
            self.entries = []

        def prepend(self, value):
            """Put an entry in front."""
            self.entries.insert(0, value)

    def __init__(self):
        self.__dict__["lists"] = defaultdict(self.Variable)
        self.__dict__["values"] = {}

    def __getattr__(self, name):
        return self.lists[name]

    def __setattr__(self, name, value):
        self.values[name] = value


class TestRez:
    """A package definition, which is Python."""

    def defined(self, installation, target, **more):
        written("rez", installation, target, **more)
        (path,) = target.glob("*/*/package.py")
        recorded = Recorded()
        found = {"env": recorded}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), found)
        found["commands"]()
        return path, found, recorded

    def test_it_lies_where_rez_looks_for_its_version(self, installation, target):
        """`<repository>/<name>/<version>/package.py`."""
        path, found, _ = self.defined(installation, target)

        assert target / found["name"] / found["version"] / "package.py" == path
        assert "1.2.3" == found["version"]

    def test_its_commands_prepend(self, installation, target):
        """The folder of its own files moves with the package."""
        path, _, recorded = self.defined(installation, target)

        assert [plugin_of(installation)] == recorded.lists["PXR_PLUGINPATH_NAME"].entries
        assert ["{root}/python"] == recorded.lists["PYTHONPATH"].entries
        assert {"BIFROST_LIBPYTHON": "/usr/lib/libpython3.so"} == recorded.values
        assert (path.parent / "python" / "bifrost" / "__init__.py").is_file()

    def test_it_requires_its_python_and_what_it_is_told(self, installation, target):
        """Which package is that OpenUSD, the studio knows."""
        _, found, _ = self.defined(installation, target, requires=["usd-26.08"])

        assert [f"python-{installation.python_version}", "usd-26.08"] == found["requires"]

    def test_a_version_that_rez_can_not_say_is_rewritten(self, installation, target):
        """`+` stands for a range there."""
        path, _, _ = self.defined(replace(installation, version="1.2.dev0+g12"), target)

        assert "1.2.dev0.g12" == path.parent.name


class TestScripts:
    """What shells make of the scripts."""

    def variables(self, name, script, before):
        program, _, option = SHELLS[name]
        if (found := shutil.which(program)) is None:
            pytest.skip(f"{program} is not installed")
        read = "." if SHELLS[name][1] in ("sh", "ps1") else "source"
        quoted = "'" + str(script).replace("'", "'\\''") + "'"
        if name in ("fish", "pwsh"):
            quoted = '"' + str(script) + '"'
        if "csh" in name:
            quoted = quoted.replace("!", "\\!")
        code = "import os, json; print(json.dumps(dict(os.environ)))"
        command = f'{read} {quoted}; {read} {quoted}; {sys.executable} -I -c "{code}"'
        environ = {key: value for key, value in os.environ.items() if key not in LIST}
        done = subprocess.run(
            [found, option, command],
            env={**environ, **before},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout)

    @pytest.mark.parametrize("name", SHELLS)
    def test_it_comes_in_front_of_what_was_there(self, installation, target, name):
        """Once, although the script is read twice."""
        written("shell", installation, target)
        script = target / f"bifrost.{SHELLS[name][1]}"

        found = self.variables(name, script, {"PXR_PLUGINPATH_NAME": OTHERS, "PYTHONPATH": "/p"})

        assert f"{plugin_of(installation)}:{OTHERS}" == found["PXR_PLUGINPATH_NAME"]
        assert f"{target / 'bifrost-usd' / 'python'}:/p" == found["PYTHONPATH"]
        assert "/usr/lib/libpython3.so" == found["BIFROST_LIBPYTHON"]

    @pytest.mark.parametrize("name", SHELLS)
    def test_it_leaves_no_empty_entry_behind(self, installation, target, name):
        """An empty entry of PYTHONPATH is the current folder."""
        written("usdview", installation, target)
        script = target / f"bifrost-usdview.{SHELLS[name][1]}"

        found = self.variables(name, script, {"PYTHONPATH": ""})

        plugins = [plugin_of(installation), str(installation.usdview)]
        assert ":".join(plugins) == found["PXR_PLUGINPATH_NAME"]
        assert str(target / "bifrost-usd" / "python") == found["PYTHONPATH"]

    def test_usdview_needs_its_plugin(self, installation, target):
        """An installation without it says so."""
        with pytest.raises(ConfigurationError, match="no usdview plugin"):
            kit("usdview", replace(installation, usdview=None), target)

    def test_an_entry_can_not_hold_what_separates_entries(self, installation, tmp_path):
        """No quoting helps there."""
        with pytest.raises(ConfigurationError, match="with ':' in it from PYTHONPATH"):
            kit("shell", installation, tmp_path / "a:b")

    def test_other_schemes_have_a_description_of_their_own(self, installation, target):
        """OpenUSD takes a resolver's schemes from its plugInfo.json."""
        written("shell", replace(installation, schemes=("bifrost", "bal")), target)

        described = json.loads((target / "bifrost-usd/plugin/plugInfo.json").read_text())

        assert env.plug_info(["bifrost", "bal"], str(installation.library)) == described
        assert plugin_of(installation) not in (target / "bifrost.ps1").read_text()


class TestFinder:
    """The package on PYTHONPATH that leads to the installed one."""

    def imported(self, target, code, *path):
        """Run *code* in a Python that has no Bifrost, after the kit's folder and *path*."""
        folders = [str(target / "bifrost-usd" / "python"), *map(str, path)]
        base = getattr(sys, "_base_executable", sys.executable)
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
        environ.pop("VIRTUAL_ENV", None)
        return subprocess.run(
            [base, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def package(self, folder, name, text=""):
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "__init__.py").write_text(text)

    def test_it_becomes_the_installed_package(self, installation, target):
        """Modules in it are found, and there is one of each."""
        site = Path(installation.python[0])
        self.package(site, "bifrost", "value = 1")
        (site / "bifrost" / "inner.py").write_text("from bifrost import value")
        written("shell", installation, target)

        done = self.imported(
            target,
            "from bifrost import value, inner; import bifrost, bifrost.inner, sys; "
            "print(bifrost.__file__, sys.modules['bifrost'] is bifrost, inner is bifrost.inner)",
        )

        assert f"{site}/bifrost/__init__.py True True\n" == done.stdout, done.stderr

    def test_what_the_application_brings_comes_first(self, installation, target, tmp_path):
        """A second pxr in the process would be the end of it."""
        site = Path(installation.python[0])
        self.package(site, "bifrost", "import pxr, numbers_of_ours")
        self.package(site, "pxr")
        self.package(site, "numbers_of_ours")
        self.package(tmp_path / "application", "pxr")
        written("houdini", installation, target)

        done = self.imported(
            target, "import bifrost; print(bifrost.pxr.__file__)", tmp_path / "application"
        )

        assert f"{tmp_path}/application/pxr/__init__.py\n" == done.stdout, done.stderr

    def test_another_python_is_told_what_to_do(self, installation, target):
        """Compiled modules load in one version of Python only."""
        written("maya", replace(installation, python_version="3.9"), target)

        done = self.imported(target, "import bifrost")

        assert "is installed for Python 3.9, and this is" in done.stderr.splitlines()[-1]

    def test_an_installation_that_is_gone_is_told(self, installation, target):
        """Instead of an endless search for itself."""
        written("shell", installation, target)
        shutil.rmtree(installation.python[0])

        done = self.imported(target, "import bifrost")

        assert "is not in" in done.stderr.splitlines()[-1]


class TestWriting:
    """Others' files are not replaced."""

    def test_a_second_run_writes_nothing(self, tmp_path):
        """Not even the notes."""
        first = kits.write({"a/b.txt": "x", "c.txt": "y"}, tmp_path)
        noted = (tmp_path / NOTES).stat()

        second = kits.write({"a/b.txt": "x", "c.txt": "y"}, tmp_path)

        assert (("a/b.txt", "c.txt"), ()) == first
        assert ((), ("a/b.txt", "c.txt")) == second
        assert (noted.st_ino, noted.st_mtime_ns) == (
            (tmp_path / NOTES).stat().st_ino,
            (tmp_path / NOTES).stat().st_mtime_ns,
        )

    def test_a_file_of_a_kit_is_replaced(self, tmp_path):
        """By what the same kit says now."""
        kits.write({"a": "x"}, tmp_path)

        assert ("a",) == kits.write({"a": "y"}, tmp_path).written
        assert "y" == (tmp_path / "a").read_text()

    @pytest.mark.parametrize("noted", ["", "no JSON", "[]", '{"files": {"b": 1}}'])
    def test_a_file_that_no_kit_wrote_stays(self, tmp_path, noted):
        """And nothing else is written either; notes that can't be read note nothing."""
        (tmp_path / "b").write_text("theirs")
        if noted:
            (tmp_path / NOTES).write_text(noted)

        with pytest.raises(ConfigurationError, match="b: not written, or changed since, by a kit"):
            kits.write({"a": "x", "b": "y"}, tmp_path)

        assert "theirs" == (tmp_path / "b").read_text()
        assert not (tmp_path / "a").exists()

    def test_a_file_that_somebody_changed_stays(self, tmp_path):
        """Their changes may be what keeps an application going."""
        kits.write({"a": "x"}, tmp_path)
        (tmp_path / "a").write_text("changed")

        with pytest.raises(ConfigurationError, match="take another folder, or --force"):
            kits.write({"a": "y"}, tmp_path)

        assert ("a",) == kits.write({"a": "y"}, tmp_path, force=True).written

    def test_a_folder_that_is_a_file_is_an_error(self, tmp_path):
        """It says which."""
        (tmp_path / "file").touch()

        with pytest.raises(ConfigurationError, match="the kit can't be written"):
            kits.write({"a": "x"}, tmp_path / "file")


class TestCommand:
    """`bifrost install-kit`."""

    @pytest.fixture(autouse=True)
    def plugin(self, tmp_path, monkeypatch):
        """A plugin that is an empty file, for an OpenUSD of its own."""
        folder = tmp_path / "plugin"
        folder.mkdir()
        (folder / "libbifrost.so").touch()
        here = "{}.{}".format(*sys.version_info[:2])
        (folder / "build_info.json").write_text(
            json.dumps({"usd_version": "2411", "python_version": here})
        )
        monkeypatch.setenv("BIFROST_PLUGIN_DIR", str(folder))
        return folder

    def test_it_knows_every_kit(self):
        """It repeats their names so as to import nothing for its help."""
        assert kits.NAMES == install_kit_command.KITS

    @pytest.mark.parametrize("name", kits.NAMES)
    def test_it_says_what_it_wrote_and_what_is_left_to_do(self, name, tmp_path, capsys):
        """Which OpenUSD the plugin is for, above all."""
        assert 0 == run(["install-kit", name, str(tmp_path / name)])
        first = capsys.readouterr().out
        assert 0 == run(["install-kit", name, str(tmp_path / name)])
        second = capsys.readouterr().out

        assert f"wrote      {tmp_path / name}" in first
        assert "is built for OpenUSD 24.11 and loads in no other" in first
        assert first == second.replace("unchanged  ", "wrote      ")
        (page,) = (tmp_path / name).rglob("README*.txt")
        assert "OpenUSD 24.11" in page.read_text(encoding="utf-8")

    def test_a_relative_folder_becomes_an_absolute_one(self, tmp_path, monkeypatch):
        """The application starts elsewhere."""
        monkeypatch.chdir(tmp_path)
        assert 0 == run(["install-kit", "maya", "here"])

        assert f"{tmp_path}/here/bifrost-usd" in (tmp_path / "here/bifrost-usd.mod").read_text()

    def test_another_plugin_may_be_named(self, plugin, tmp_path):
        """One that was built for the application's OpenUSD."""
        other = shutil.copytree(plugin, tmp_path / "other")

        assert 0 == run(["install-kit", "maya", str(tmp_path / "m"), "--plugin", str(other)])

        described = json.loads((tmp_path / "m/bifrost-usd/plugin/plugInfo.json").read_text())
        assert str(other / "libbifrost.so") == described["Plugins"][0]["LibraryPath"]

    def test_no_plugin_is_a_failed_answer(self, tmp_path, capsys):
        """It says what to do."""
        arguments = ["install-kit", "maya", str(tmp_path / "m"), "--plugin", str(tmp_path)]

        assert 1 == run(arguments)
        assert "the resolver plugin's library is not there" in capsys.readouterr().err
        assert not (tmp_path / "m").exists()

    def test_a_plugin_for_another_python_is_refused(self, plugin, tmp_path, capsys):
        """It could not load the package that the kit leads to."""
        (plugin / "build_info.json").write_text('{"usd_version": "26.8", "python_version": "3.9"}')

        assert 1 == run(["install-kit", "maya", str(tmp_path / "m")])
        assert "the plugin is built for Python 3.9" in capsys.readouterr().err

    def test_others_files_stay_unless_forced(self, tmp_path, capsys):
        """`--force` is what it says."""
        (tmp_path / "bifrost.sh").write_text("theirs")

        assert 1 == run(["install-kit", "shell", str(tmp_path)])
        assert "not replaced" in capsys.readouterr().err
        assert "theirs" == (tmp_path / "bifrost.sh").read_text()
        assert 0 == run(["install-kit", "shell", str(tmp_path), "--force"])

    @pytest.mark.parametrize(
        "arguments", [["nuke", "d"], ["maya"], ["maya", "d", "--requires", "usd-26.08"]]
    )
    def test_wrong_usage_is_two(self, arguments, tmp_path, monkeypatch):
        """And writes nothing."""
        monkeypatch.chdir(tmp_path)

        assert 2 == run(["install-kit", *arguments])
        assert not (tmp_path / "d").exists()


def here():
    """The installation that runs the tests, or a reason to skip."""
    try:
        return Installation.here()
    except ConfigurationError as error:
        pytest.skip(str(error))


def after_script(script, code, home):
    """Run *code* in a Python that knows neither Bifrost nor USD but through the script."""
    base = getattr(sys, "_base_executable", sys.executable)
    read = "'" + str(script).replace("'", "'\\''") + "'"
    environ = {key: value for key, value in os.environ.items() if key not in LIST}
    done = subprocess.run(
        ["sh", "-euc", f'. {read}; exec {base} -c "$CODE"'],
        env={**environ, "BIFROST_HOME": str(home), "CODE": code},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_a_stage_opens_after_the_script(tmp_path, own_home):
    """Nothing else is needed."""
    show = Show(tmp_path / "show")
    reference = show.publish("hero.usda", layer(value="through the kit"))
    target = tmp_path / FOLDER
    written("shell", here(), target)
    code = (
        f"import bifrost.usd; from pxr import Usd; stage = Usd.Stage.Open('{reference}'); "
        "print(stage.GetPrimAtPath('/a').GetAttribute('v').Get())"
    )

    assert "through the kit\n" == after_script(target / "bifrost.sh", code, own_home)


def test_openusd_knows_both_plugins_after_the_script_for_usdview(tmp_path, own_home):
    """By the names that their descriptions give."""
    installation, target = here(), tmp_path / FOLDER
    written("usdview", installation, target)
    described = json.loads((installation.usdview / "plugInfo.json").read_text(encoding="utf-8"))
    name = described["Plugins"][0]["Name"]
    code = (
        f"import bifrost.usd; from pxr import Plug; known = Plug.Registry().GetPluginWithName; "
        f"print(known('bifrost').path, known('{name}').name)"
    )

    found = after_script(target / "bifrost-usdview.sh", code, own_home)

    assert f"{env.entry(installation.library)} {name}\n" == found
