# SPDX-License-Identifier: Apache-2.0
"""What the command makes of arguments and of errors."""

import importlib.util
import os
import subprocess
import sys

import click
import pytest

from bifrost.cli import main as cli
from bifrost.errors import BifrostError


@pytest.fixture
def failing(monkeypatch):
    """Make `bifrost usd env` raise what the test gives."""

    def fail_with(error):
        @click.command()
        def command():
            raise error

        module = type(sys)("failing")
        module.command = command
        monkeypatch.setitem(sys.modules, "failing", module)
        monkeypatch.setitem(cli._USD, "env", ("failing:command", ""))

    return fail_with


def lazy_commands():
    for table in (cli._ROOT, cli._ASSET, cli._USD):
        yield from table.values()


def test_success_is_zero(capsys):
    assert 0 == cli.run(["--help"])
    assert "Commands:" in capsys.readouterr().out


def test_wrong_usage_is_two(capsys):
    assert 2 == cli.run(["no-such-command"])
    assert 2 == cli.run(["usd", "env", "--format", "cmd"])
    assert "no-such-command" in capsys.readouterr().err


def test_a_failed_answer_is_one_and_one_line_on_stderr(failing, capsys):
    failing(BifrostError("the thing is broken; mend it"))

    assert 1 == cli.run(["usd", "env"])
    assert ("", "bifrost: the thing is broken; mend it\n") == capsys.readouterr()


def test_an_unexpected_error_names_itself_without_a_traceback(failing, monkeypatch, capsys):
    monkeypatch.delenv("BIFROST_DEBUG", raising=False)
    failing(ZeroDivisionError("by zero"))

    assert 1 == cli.run(["usd", "env"])
    error = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in error
    assert "Traceback" not in error


def test_debug_shows_the_traceback(failing, monkeypatch, capsys):
    monkeypatch.setenv("BIFROST_DEBUG", "1")
    failing(BifrostError("broken"))

    assert 1 == cli.run(["usd", "env"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 1), (SystemExit(3), 3), (SystemExit("x"), 1)],
)
def test_interrupts_and_exits_keep_their_codes(failing, error, code):
    failing(error)

    assert code == cli.run(["usd", "env"])


def test_the_exit_code_that_a_command_chose_is_kept(failing):
    failing(click.exceptions.Exit(1))

    assert 1 == cli.run(["usd", "env"])


def test_every_command_exists_and_says_what_its_table_says():
    for target, text in lazy_commands():
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert text.rstrip(".") == command.get_short_help_str(limit=200).rstrip("."), target


def test_help_imports_no_command():
    code = (
        "import sys; from bifrost.cli.main import run; run(['--help']); run(['usd', '--help']);"
        "print([m for m in sys.modules if m.endswith('_command') or m.split('.')[0] in"
        " ('rich', 'sqlalchemy', 'openassetio', 'pxr', 'lmdb', 'importlib_metadata')])"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    ).stdout

    assert "[]" == output.splitlines()[-1]


def test_a_reader_that_is_gone_is_no_complaint():
    read, write = os.pipe()
    os.close(read)

    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "bifrost.cli", "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    assert b"" == done.stderr
    assert 1 == done.returncode
