# SPDX-License-Identifier: Apache-2.0
"""A token that was planted in a context is in nothing that is written, kept or shown."""

import logging

import pytest

from bifrost.context import Context
from bifrost.context_logging import configure_logging
from bifrost.errors import BifrostError
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load

PLANTED = "pl4nted-opaque-token"
SECOND = "another-pl4nted-one"


def test_a_planted_token_is_in_no_file_line_or_message(own_home, tmp_path, caplog, capfd):
    """
    Registered, resolved, failed, from the caches and not: database, its journal, LMDB, logs, output.
    """
    caplog.set_level(logging.DEBUG)
    configure_logging("DEBUG")
    path = tmp_path / "rock.txt"
    path.write_text("rock")
    host = BifrostHostInterface(Session(load()))
    context = Context(
        access_token=PLANTED, refresh_token=SECOND, user="ann", trace_id="t", shot="sh010"
    )
    shown = [repr(context), repr(context.snapshot())]

    uri = host.register_asset("model", "Rock", path, {"tags": ["a"]}, context=context)
    calls = [
        lambda: host.resolve_asset_path(uri, context=context),
        lambda: host.resolve_asset_path(uri, context=context),
        lambda: host.resolve_asset_path(f"{uri}?version=9", context=context),
        lambda: host.resolve_asset_path("bifrost:///assets/none", context=context),
        lambda: host.get_entity_info(uri, context=context),
        lambda: host.set_metadata(uri, {"a": 1}, context=context),
        lambda: host.set_status(uri, "review", context=context),
        lambda: host.query_assets({}, context=context),
        lambda: host.resolve_asset_path(uri, context=context.child(as_of="no time")),
    ]
    with context.active():
        for call in calls:
            try:
                shown.append(repr(call()))
            except BifrostError as error:
                shown.append(f"{error!r} {error} {vars(error)!r}")
        logging.getLogger("bifrost").warning("sent %s", PLANTED)
    host.session.close()

    assert "sent …" in caplog.text
    files = [each for each in [*own_home.rglob("*"), *tmp_path.rglob("*")] if each.is_file()]
    assert {"catalogue.sqlite"} <= {each.name for each in files}
    shown += [each.read_bytes().decode("latin-1") for each in files]
    shown += [caplog.text, *capfd.readouterr()]
    assert [] == [text[:200] for text in shown if PLANTED in text or SECOND in text]


@pytest.fixture(autouse=True)
def quiet_afterwards():
    """Logging as it was before."""
    yield
    logger = logging.getLogger("bifrost")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    for handler in logging.getLogger().handlers:
        handler.filters.clear()
