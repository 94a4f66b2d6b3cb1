# SPDX-License-Identifier: Apache-2.0
"""A name is a name: to a database, to a log, to a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.cli import main as cli
from bifrost.context import Context
from bifrost.context_logging import configure_logging
from bifrost.control_characters import escaped, in_one_line
from bifrost.errors import AssetNotFoundException, BifrostError, Code
from bifrost.host import BifrostHostInterface
from bifrost.model.reply import Failure
from bifrost.session import Session
from bifrost.settings import load

EVIL = [
    "rock'; DROP TABLE assets; --",
    'rock" OR 1=1 --',
    "rock' UNION SELECT name FROM sqlite_master --",
    "100%",
    "_",
    "\\",
    "$$; SELECT pg_sleep(60); $$",
    "{0}{1!r}%s%(user)s",
]
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m"
FORGED = "\nCRITICAL bifrost: nobody logged this\r\n"


@pytest.fixture
def host(catalogue_url: str, tmp_path: Path) -> Iterator[BifrostHostInterface]:
    """A host over each kind of database, with one asset."""
    settings = load()
    catalogue = settings.catalogue._replace(url=catalogue_url, store=str(tmp_path / "store"))
    host = BifrostHostInterface(Session(settings._replace(catalogue=catalogue)))
    host.register_asset("model", "moss", _file(tmp_path, "moss"))
    yield host
    host.session.close()


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.txt"
    path.write_text(name)
    return path


@pytest.mark.parametrize("evil", EVIL)
def test_a_database_takes_a_value_for_a_value(
    host: BifrostHostInterface, tmp_path: Path, evil: str
) -> None:
    """
    In metadata, tags, queries, full text, ids, statuses: found as it was written, and nothing else is.
    """
    uri = host.register_asset(
        "model", "rock", _file(tmp_path, "rock"), {"tags": [evil], "note": evil, "owner": evil}
    )

    def found(query: dict[str, Any]) -> list[str]:
        return [each["id"] for each in host.query_assets(query)]

    assert ["rock"] == found({"tags": {"$contains": evil}})
    assert ["rock"] == found({"metadata.owner": evil})
    assert [] == found({"metadata.owner": evil + "x"})
    assert [] == found({"name": evil})
    assert [] == found({"createdBy": evil})
    assert {"rock", "moss"} >= {*found({"$text": evil})}
    for call in (
        lambda: host.resolve_asset_path(f"bifrost:///assets/{evil}"),
        lambda: host.resolve_asset_path(f"bifrost:///assets/rock?version={evil}"),
        lambda: host.set_status(uri, evil),
        lambda: host.query_assets({evil: 1}),
        lambda: host.query_assets({"name": {f"${evil}": 1}}),
        lambda: host.resolve_asset_path(uri, context=Context(as_of=evil)),
    ):
        with pytest.raises((BifrostError, ValueError)):
            call()
    assert {"moss", "rock"} == set(found({}))


# Logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What `configure_logging` writes."""
    stream = io.StringIO()
    handler = configure_logging("DEBUG", stream=stream)
    yield stream
    logging.getLogger("bifrost").removeHandler(handler)
    logging.getLogger("bifrost").setLevel(logging.NOTSET)


@pytest.mark.parametrize("evil", [ESCAPES, FORGED, "a\u2028b", "\u202egnp.exe"])
def test_a_log_line_is_one_line_that_moves_no_cursor(written: io.StringIO, evil: str) -> None:
    """
    Whether it is in the message, in an argument, or in who asks.
    """
    logger = logging.getLogger("bifrost.test")
    context = Context(user="ann" + evil, project="show" + evil, session="s" + evil)

    with context.active():
        logger.warning("no such asset: %s", "rock" + evil)
    logger.warning(f"rock{evil}")  # noqa: G004  formatted before

    lines = written.getvalue().split("\n")
    assert 3 == len(lines)
    assert all(line.isprintable() for line in lines)
    assert "\\x1b" in lines[0] or "\\" in lines[0]


def test_a_traceback_keeps_its_lines_and_loses_escapes(written: io.StringIO) -> None:
    """
    What somebody's exception says is part of it.
    """
    error = RuntimeError("gone" + ESCAPES)
    error.__cause__ = ValueError("lost")

    logging.getLogger("bifrost.test").error("it failed", exc_info=error)

    text = written.getvalue()
    assert text.count("\n") > 3
    assert escaped(text) == text


@pytest.mark.parametrize("made", [BifrostError, lambda text: Failure(Code.UNKNOWN, text)])
def test_messages_hold_no_control_characters(made: Callable[[str], Any]) -> None:
    """
    A manager's message may have lines; it rings no bell.
    """
    assert "one\ntwo\\x1b[31m\\x07" == made("one\ntwo\x1b[31m\x07").message


def test_escaping_keeps_what_people_write() -> None:
    """
    Letters of every language, emoji, lines where they may be.
    """
    for text in ("", "Müller 岩 صخرة 🪨", "a b\tc"):
        assert (escaped(text), in_one_line(text).replace("\\t", "\t")) == (text, text)
    assert "a\nb" == escaped("a\nb")
    assert "a\\nb\\u2028\\x9b" == in_one_line("a\nb\u2028\x9b")


# Terminals


def test_a_command_says_what_failed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Whatever a manager says, and whatever was asked for.
    """
    error = AssetNotFoundException(f"none{FORGED}", asset_uri=f"x:{ESCAPES}", code=Code.NOT_FOUND)

    cli.failed(error)

    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert said.rstrip("\n").isprintable()


def test_what_others_wrote_moves_no_cursor_of_who_lists_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Tables for people escape or blank it; JSON escapes it as JSON does.
    """
    host = BifrostHostInterface(Session(load()))
    metadata = {"tags": ["x" + ESCAPES], "note": f"x{FORGED}{ESCAPES}"}
    rock = host.register_asset("model", "rock", _file(tmp_path, "rock"), metadata)
    host.session.close()

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            cli.main([*arguments])
        return capsys.readouterr().out

    table = said("query", "{}")
    listed = said("query", "{}", "--json")

    about = said("asset", "info-uri", rock)

    assert "rock" in table
    assert "note" in about
    for shown in (table, about):
        assert [] == [line for line in shown.splitlines() if not line.isprintable()]
        assert [] == [line for line in shown.splitlines() if line in FORGED.splitlines() and line]
    assert escaped(listed) == listed
    assert ["x" + ESCAPES] == json.loads(listed)["assets"][0]["tags"]


WARN = """
import sys
from pxr import Ar
Ar.GetResolver().Resolve("bifrost:///assets/a" + sys.argv[1])
"""


def test_a_warning_of_the_resolver_is_one_line_that_moves_no_cursor(run_python: Any) -> None:
    """
    OpenUSD hands a resolver any text, and shows its warnings as they are.
    """
    done = run_python(WARN, "\x1b[2J\nWarning: forged \x9b31m")

    assert "bifrost:///assets/a" in done.stderr
    assert "\x1b" not in done.stderr
    assert "\x9b" not in done.stderr
    assert [] == [line for line in done.stderr.splitlines() if line.startswith("Warning: forged")]
