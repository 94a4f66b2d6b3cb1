# SPDX-License-Identifier: Apache-2.0
"""
Write docs/command_line.md from the commands themselves: `make docs`.

What `bifrost COMMAND --help` says of every command, on one page; tests/docs compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from bifrost.cli.main import bifrost

HERE = Path(__file__).parent

_HEAD = """\
<!-- Written by `make docs` from python/bifrost/cli. -->
# Every command and its options

What `bifrost COMMAND --help` says. [commands.md](commands.md) says what the commands are for, and what
their exit codes mean.
"""


def page() -> str:
    """Return the page's text."""
    root = click.Context(bifrost, info_name="bifrost")
    return "\n".join([_HEAD, *map(_section, _commands(root))])


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command below a group's, groups left out."""
    group = context.command
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(inner)
        else:
            yield inner


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## `{context.command_path}`\n", f"    {context.command_path} {usage}\n"]
    lines.append(_help(command.help or "") + "\n")
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        lines += ["| option | does |", "|---|---|"]
        lines += [_row(option.get_help_record(context)) for option in options]
    return "\n".join(lines).rstrip() + "\n"


def _help(text: str) -> str:
    """Return a command's help as Markdown; paragraphs that keep their lines are examples."""
    paragraphs = inspect.cleandoc(text.partition("\f")[0]).split("\n\n")
    return "\n\n".join(_paragraph(each) for each in paragraphs)


def _paragraph(text: str) -> str:
    if not text.startswith("\b"):
        return text.replace("<", "\\<").replace("*", "\\*")
    return "\n".join(f"    {line}" for line in text.splitlines()[1:])


def _row(record: tuple[str, str] | None) -> str:
    names, about = record or ("", "")
    return f"| `{_cell(names)}` | {_cell(about).replace('<', '&lt;')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    (HERE / "command_line.md").write_text(page(), encoding="utf-8")
    print("docs/command_line.md")
