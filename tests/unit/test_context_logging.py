# SPDX-License-Identifier: Apache-2.0
"""Log lines that say who asked, and never with which token."""

import asyncio
import io
import logging
import pickle
import subprocess
import sys

import pytest

from bifrost.context import Context, use_context
from bifrost.context_logging import ContextFilter, configure_logging

TOKEN = "s3cret-user-token"


@pytest.fixture
def logger():
    """A logger of the test's own, which hands nothing on."""
    made = logging.getLogger("bifrost.tests.context_logging")
    made.propagate = False
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)
    made.propagate = True
    made.setLevel(logging.NOTSET)


@pytest.fixture
def lines(logger):
    """What was logged until now."""
    stream = io.StringIO()
    configure_logging("DEBUG", stream=stream, logger=logger.name)
    return lambda: stream.getvalue().splitlines()


def test_a_line_says_who_asked(logger, lines):
    """
    User, project and trace of the active context; nothing where there is none.
    """
    logger.info("before")
    with Context(user="ann", current_project=["x", "y"], trace_id="4bf9", session="s").active():
        logger.info("resolved %d", 3)

    before, during = lines()
    assert "[user= project= trace=] before" in before
    assert "[user=ann project=x,y trace=4bf9] resolved 3" in during


def test_the_trace_is_that_of_the_traceparent(logger, lines):
    """
    Where nobody gave a trace id of their own.
    """
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with Context(traceparent=f"00-{trace}-00f067aa0ba902b7-01").active():
        logger.info("one")
    with Context(traceparent="nonsense").active():
        logger.info("two")

    assert [f"trace={trace}]", "trace=]"] == [line.split()[6] for line in lines()]


def test_each_task_has_its_own(logger, lines):
    """
    Lines of requests that run at once don't mix.
    """

    async def work(user):
        with Context(user=user).active():
            await asyncio.sleep(0)
            await asyncio.to_thread(logger.info, user)

    async def all_of_them():
        await asyncio.gather(*(work(f"u{n}") for n in range(10)))

    asyncio.run(all_of_them())

    assert 10 == len(lines())
    for line in lines():
        user = line.split()[-1]
        assert f"user={user} " in line


@pytest.mark.parametrize(
    "log",
    [
        lambda logger: logger.info("sent %s", TOKEN),
        lambda logger: logger.info("sent " + TOKEN),  # noqa: G003  as applications do
        lambda logger: logger.info("sent %(token)s", {"token": TOKEN}),
        lambda logger: logger.info("sent %r", [TOKEN]),
        lambda logger: logger.info("sent %d", TOKEN),  # a bug, which logging reports with arguments
        lambda logger: logger.info("sent", TOKEN),  # noqa: PLE1205
        lambda logger: logger.info("sent %s", ValueError(TOKEN)),
        lambda logger: logger.info(ValueError(TOKEN)),
        lambda logger: logger.info("sent", exc_info=ValueError(TOKEN)),
        lambda logger: logger.info(f"redis://:{TOKEN}@host"),  # noqa: G004
    ],
    ids=range(10),
)
def test_a_token_is_in_no_line(logger, lines, log, capsys):
    """
    However it came there: message, arguments, exception, a wrong format.
    """
    with Context(access_token=TOKEN, user="ann").active():
        log(logger)

    text = "\n".join(lines()) + "".join(capsys.readouterr())
    assert "user=ann" in text
    assert "s3cret" not in text


def test_a_traceback_is_there_and_its_secrets_are_not(logger, lines):
    """
    Causes included.
    """
    with Context(access_token=TOKEN).active():
        try:
            try:
                _ = {}[TOKEN]
            except KeyError as error:
                raise ValueError(f"no {TOKEN}") from error
        except ValueError:
            logger.exception("failed")

    text = "\n".join(lines())
    assert "Traceback" in text
    assert "ValueError: no …" in text
    assert "s3cret" not in text


def test_a_token_in_the_context_itself_is_taken_out(logger, lines):
    """
    Somebody may take a token for a session's id, or log an extra.
    """
    with Context(access_token=TOKEN, user=TOKEN, trace_id=TOKEN).active():
        logger.info("%(message)s", extra={"session": TOKEN})

    assert "s3cret" not in "\n".join(lines())


def test_later_handlers_get_records_without_secrets(logger, lines):
    """
    An application's own handler, which knows nothing of this.
    """
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    with Context(access_token=TOKEN).active():
        logger.info("sent %s", TOKEN, exc_info=ValueError(TOKEN), extra={"header": TOKEN})

    assert "s3cret" not in f"{[vars(record) for record in records]}"
    assert b"s3cret" not in pickle.dumps([vars(record) for record in records])


def test_a_field_that_the_caller_gave_stays(logger, lines):
    """
    They know better.
    """
    with Context(user="ann").active():
        logger.info("for another", extra={"user": "ben"})

    assert "user=ben" in lines()[0]


def test_a_context_without_its_token_is_no_reason_not_to_log(logger, lines):
    """
    It arrived in a pickle, and refuses to be used.
    """
    with use_context(pickle.loads(pickle.dumps(Context(access_token=TOKEN, user="ann")))):
        logger.info("still here")

    assert "still here" in lines()[0]


def test_configuring_twice_is_configuring_once(logger):
    """
    The last call counts.
    """
    first, second = io.StringIO(), io.StringIO()
    configure_logging("INFO", stream=first, logger=logger.name)
    configure_logging("WARNING", stream=second, logger=logger.name)
    logger.info("quiet")
    logger.warning("once")

    assert "" == first.getvalue()
    assert 1 == second.getvalue().count("once")
    assert "quiet" not in second.getvalue()


def test_an_applications_handlers_are_used_where_there_are_some(logger):
    """
    Nothing is written twice; what they write has fields and no secrets.
    """
    stream = io.StringIO()
    own = logging.StreamHandler(stream)
    own.setFormatter(logging.Formatter("%(user)s: %(message)s"))
    logger.addHandler(own)

    assert configure_logging("INFO", logger=logger.name) is None
    assert configure_logging("INFO", logger=logger.name) is None
    with Context(access_token=TOKEN, user="ann").active():
        logger.info("sent %s", TOKEN)

    assert "ann: sent …\n" == stream.getvalue()
    assert 1 == len(own.filters)


def test_without_handlers_the_standard_error_is_used():
    """
    As a command line has it; in a process of its own, where nobody else handles anything.
    """
    code = """
import logging
from bifrost.context import Context
from bifrost.context_logging import configure_logging
configure_logging()
configure_logging()
with Context(user="ann").active():
    logging.getLogger("bifrost.anything").warning("slow")
    logging.getLogger("bifrost.anything").info("detail")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )

    assert 1 == done.stderr.count("user=ann project= trace=] slow\n")
    assert "detail" not in done.stderr


def test_the_filter_lets_everything_pass():
    """
    Whatever the record is.
    """
    record = logging.makeLogRecord({"msg": object(), "args": None})

    assert ContextFilter().filter(record) is True
    assert ("", "", "", "") == (record.user, record.project, record.trace_id, record.session)
