# SPDX-License-Identifier: Apache-2.0
"""
Run the examples of a page, as Sybil finds them: `python tests/docs/examples.py PAGE REPORT`.

Every fenced block of a page is an example. They run from top to bottom in one process, with the names
that `prepared_show.py` made for the page, in a folder of its files:

| language | is |
|---|---|
| `python` | run; `await` may stand outside of functions |
| `sh` | run by bash, which goes on where the block before ended: folder, variables |
| `text` | what the shell block before printed; `…` stands for anything |
| `toml` | loaded as settings |
| `usda` | read by OpenUSD |

What can't run says so, in a comment in front of it that readers don't see, and with the reason:

    <!--- skip: next "needs Houdini" -->

The report is a JSON list of every example: its `line`, its `language`, and the `reason` where it was
skipped. The first one that fails ends the run.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser, SkipParser

REPOSITORY = Path(__file__).resolve().parents[2]
SHELL_LIMIT_S = 100.0
# After a block, where it ended: for the next one to go on from.
SHELL = """
set -eu
[ ! -e "$STATE" ] || . "$STATE"
trap '{ declare -px; printf "cd %q\\n" "$PWD"; } > "$STATE"' EXIT
"""


def run_python(example: Example) -> None:
    """Run a block of Python in the page's namespace."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, example.namespace)  # what `exec` would do, but for a coroutine
    if inspect.iscoroutine(result):
        asyncio.run(result)


def run_shell(example: Example) -> None:
    """Run a block of shell where the one before it ended; keep what it printed."""
    completed = subprocess.run(
        ["bash", "-c", SHELL + example.parsed],
        env={**os.environ, "STATE": str(Path.cwd().parent / "shell_state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SHELL_LIMIT_S,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    example.namespace["printed"] = completed.stdout


def compare_output(example: Example) -> None:
    """Compare what the shell block before printed with what the page says that it prints."""
    wanted = ".*".join(map(re.escape, example.parsed.strip().split("…")))
    printed = "\n".join(line.rstrip() for line in example.namespace["printed"].strip().splitlines())
    assert re.fullmatch(wanted, printed, re.DOTALL), f"expected:\n{example.parsed}\ngot:\n{printed}"


def load_settings(example: Example) -> None:
    """Load a block as settings, in a home of its own."""
    from bifrost import settings

    home = Path.cwd().parent / "settings_home"
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(example.parsed, encoding="utf-8")
    settings.load({"BIFROST_HOME": str(home)})


def read_layer(example: Example) -> None:
    """Let OpenUSD read a block as a layer; what is no whole one is taken for what stands in one."""
    from pxr import Sdf

    text = example.parsed if example.parsed.startswith("#usda") else f"#usda 1.0\n{example.parsed}"
    assert Sdf.Layer.CreateAnonymous(".usda").ImportFromString(text)


EVALUATORS = {
    "python": run_python,
    "sh": run_shell,
    "text": compare_output,
    "toml": load_settings,
    "usda": read_layer,
}


def sybil() -> Sybil:
    """Return what finds the examples of a page."""
    known = [CodeBlockParser(language, evaluator) for language, evaluator in EVALUATORS.items()]
    return Sybil(parsers=[*known, SkipParser()])


def run(page: Path, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the examples of *page*; return what became of each."""
    document = sybil().parse(page)
    document.namespace.update(namespace)
    return [told for example in document.examples() if (told := _run_one(example))]


def _run_one(example: Example) -> dict[str, Any] | None:
    language = example.region.lexemes.get("arguments") if example.region.lexemes else None
    told = {"line": example.line, "language": language}
    try:
        example.evaluate()
    except SkipTest as skipped:
        return {**told, "reason": str(skipped)}
    except BaseException as error:
        error.add_note(f"in the example at {example.path}:{example.line}")
        raise
    return told if language else None  # a mark in front of an example is none


def main(page: str, report: str) -> None:
    """Prepare the show of *page*, run its examples, write what became of them."""
    from prepared_show import prepare

    namespace = prepare(Path(page).relative_to(REPOSITORY).as_posix())
    told = run(Path(page), namespace)
    Path(report).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
