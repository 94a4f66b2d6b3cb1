# SPDX-License-Identifier: Apache-2.0
"""
A catalogue behind a network that is slow, cut, stalled, garbled: late or stale or a clear error, and then
back by itself. Never a wrong answer, never a call that doesn't come back.
"""

import itertools
import threading
import time
from random import Random

import psycopg
import pytest
import sqlalchemy as sa

from bifrost import errors
from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing.postgresql import PostgresqlServer
from bifrost.testing.proxy import FaultyProxy

PATIENCE_S = 30.0
# What the calls here promise is fractions of a second; this machine may be busy with other things.
PROMPT_S = 6.0
DEADLINE_S = 0.4
NAMES = [f"asset_{number}" for number in range(12)]
PUBLISHED = "published"
HERO, *_ = URIS = [f"bifrost:///assets/{name}" for name in NAMES]


_numbers = itertools.count()


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def within(limit_s, call, *args, **options):
    """
    Return what *call* returns, or the error that it raises; fail where it takes longer than *limit_s*.
    """
    outcomes = []

    def run():
        try:
            outcomes.append(call(*args, **options))
        except errors.BifrostError as error:
            outcomes.append(error)

    # A daemon, so that one that never comes back fails this test and holds up no other.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    assert not thread.is_alive(), f"{call.__name__} did not come back within {limit_s:g} s"
    assert outcomes, f"{call.__name__} raised what is no error of ours"
    return outcomes[0]


@pytest.fixture(scope="module")
def port():
    """The loopback port of a server of this module's own: others listen on Unix sockets only."""
    with PostgresqlServer(loopback=True) as server:
        yield server.port


@pytest.fixture
def proxy(port):
    with FaultyProxy("127.0.0.1", port) as proxy:
        yield proxy


def execute(port, statement):
    with psycopg.connect(url(port, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


def url(port, database):
    return f"postgresql://postgres:@127.0.0.1:{port}/{database}"


def settings(home, catalogue, **more):
    plain = {
        "catalogue__url": catalogue,
        "catalogue__lock_timeout_s": "2",
        "cache__negative_ttl_s": "0",
        "cache__disk_bytes": "0",
        "cache__follow_s": "0.05",
        "retry__base_s": "0.001",
        "breaker__failures": "1000",
        "breaker__cooldown_s": "0.2",
    }
    variables = {f"BIFROST_{name.upper()}": value for name, value in {**plain, **more}.items()}
    return load({"BIFROST_HOME": str(home), **variables})


@pytest.fixture(scope="module")
def paths(port, tmp_path_factory):
    """Publish the assets, two versions each, past the proxy; return the newest ones' files."""
    home = tmp_path_factory.mktemp("published")
    execute(port, f"CREATE DATABASE {PUBLISHED} TEMPLATE template0")
    session = Session(settings(home, url(port, PUBLISHED)))
    host = BifrostHostInterface(session)
    for version in (1, 2):
        drafts = []
        for name in NAMES:
            file = home / f"{name}_{version}.txt"
            file.write_text(f"{name} {version}")
            drafts.append(Draft(name, name, "notes", str(file)))
        host.publish(drafts)
    paths = [host.resolve_asset_path(uri) for uri in URIS]
    session.close()
    # Nobody may be connected to what is copied from now on.
    execute(port, f"ALTER DATABASE {PUBLISHED} ALLOW_CONNECTIONS false")
    execute(
        port,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{PUBLISHED}'",
    )
    return paths


@pytest.fixture
def database(port, paths):
    """The name of a database of the test's own, with what was published."""
    assert len(NAMES) == len(paths)
    name = f"{PUBLISHED}_{next(_numbers)}"
    execute(port, f"CREATE DATABASE {name} TEMPLATE {PUBLISHED}")
    yield name
    execute(port, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make(database, proxy, tmp_path):
    """Make a host whose catalogue is behind the proxy."""
    made = []

    def make(**more):
        made.append(Session(settings(tmp_path, url(proxy.port, database), **more)))
        return BifrostHostInterface(made[-1])

    yield make
    proxy.refuse()  # who still waits for a reply learns that none will come
    for session in made:
        within(PATIENCE_S, session.close)


@pytest.fixture
def host(make):
    """A host that knows the newest version of each asset, all of them expired, and is connected."""
    host = make(cache__ttl_s="0")
    host.resolve_asset_paths(URIS)
    return host


@pytest.fixture
def unknowing(make):
    """A host whose caches keep nothing, and that is connected."""
    host = make(cache__memory_bytes="0")
    host.resolve_asset_paths(URIS)
    return host


OUTAGES = {
    "refused": lambda proxy: proxy.refuse(),
    "stalled": lambda proxy: proxy.stall(),
    "trickling": lambda proxy: proxy.trickle(10),
    "very slow": lambda proxy: proxy.delay(30),
}


@pytest.fixture(params=OUTAGES)
def outage(request, proxy):
    """Begin an outage when called."""
    return lambda: OUTAGES[request.param](proxy)


class TestSlow:
    def test_every_answer_is_right(self, unknowing, proxy, paths):
        """
        Later, and that is all.
        """
        proxy.delay(0.03)

        assert paths == unknowing.resolve_asset_paths(URIS)
        assert [2] * len(URIS) == unknowing.get_versions(URIS)

    def test_slower_than_the_deadline_is_given_up(self, unknowing, proxy):
        """
        In time, with the deadline in the message.
        """
        proxy.delay(1.0)

        error = within(PROMPT_S, unknowing.resolve_asset_path, HERO, deadline_s=DEADLINE_S)

        assert errors.DeadlineExceededException is type(error)
        assert "0.4 s" in error.message


class TestOutage:
    """Whatever an outage looks like from here."""

    def test_what_no_cache_knows_is_a_clear_error(self, unknowing, outage):
        """
        Within the deadline, one by one and in batches.
        """
        outage()

        error = within(PROMPT_S, unknowing.resolve_asset_path, HERO, deadline_s=DEADLINE_S)
        outcomes = within(
            PROMPT_S,
            unknowing.resolve_asset_paths,
            URIS,
            deadline_s=DEADLINE_S,
            on_error="return",
        )

        assert isinstance(error, errors.NetworkErrorException)
        assert {True} == {isinstance(each, errors.NetworkErrorException) for each in outcomes}

    def test_what_a_cache_knows_is_served_stale(self, host, outage, paths):
        """
        Marked as such, and no later than the deadline.
        """
        outage()

        found = within(PROMPT_S, host.resolve_asset, HERO, deadline_s=DEADLINE_S)

        assert ("stale", str(paths[0])) == (found.tier, found.path)
        assert paths == within(PROMPT_S, host.resolve_asset_paths, URIS, deadline_s=DEADLINE_S)

    def test_a_fresh_answer_is_served_without_a_word(self, make, outage, paths):
        """
        The caches need no catalogue.
        """
        host = make()
        host.resolve_asset_paths(URIS)
        outage()

        assert paths == within(PROMPT_S, host.resolve_asset_paths, URIS)

    def test_the_first_question_of_a_process_is_bounded_too(self, make, outage):
        """
        Although it is the one that would connect, and learn the number of the newest change.
        """
        host = make()
        outage()

        error = within(PROMPT_S, host.resolve_asset_path, HERO, deadline_s=DEADLINE_S)

        assert isinstance(error, errors.NetworkErrorException)

    def test_when_it_is_over_everything_is_as_before(self, unknowing, outage, proxy, paths):
        """
        By itself: nothing is restarted.
        """
        outage()
        within(PROMPT_S, unknowing.resolve_asset_path, HERO, deadline_s=DEADLINE_S)
        proxy.pass_on()

        until(
            lambda: within(PATIENCE_S, unknowing.resolve_asset_path, HERO, deadline_s=2) == paths[0]
        )

    def test_close_does_not_wait_for_it(self, host, outage):
        """
        Nobody is there to be asked for a last time.
        """
        outage()
        within(PROMPT_S, host.resolve_asset_path, HERO, deadline_s=DEADLINE_S)

        within(PROMPT_S, host.session.close)

    def test_an_invalidation_does_not_wait_for_it(self, host, outage):
        """
        This process forgets at once; what the catalogue would say of it can wait.
        """
        outage()

        within(PROMPT_S, host.invalidate_cache, HERO)

        error = within(PROMPT_S, host.resolve_asset_path, HERO, deadline_s=DEADLINE_S)
        assert isinstance(error, errors.NetworkErrorException)

    def test_other_caches_can_be_set_up_meanwhile(self, host, outage):
        """
        That closes those before, which follow the catalogue.
        """
        outage()
        within(PROMPT_S, host.resolve_asset_path, HERO, deadline_s=DEADLINE_S)

        within(PROMPT_S, host.configure_cache, ttl_seconds=5)


class TestCut:
    def test_connections_that_were_cut_are_replaced(self, unknowing, proxy, paths):
        """
        Nobody hears of it, however often.
        """
        for _ in range(5):
            proxy.cut()
            assert paths == unknowing.resolve_asset_paths(URIS)

    @pytest.mark.parametrize("size", [0, 1, 5, 50, 200, 500, 1000])
    def test_in_the_middle_of_a_reply_it_is_asked_again(self, unknowing, proxy, paths, size):
        """
        Wherever the reply breaks off.
        """
        proxy.cut_after(size)

        assert paths == within(PATIENCE_S, unknowing.resolve_asset_paths, URIS)

    def test_all_the_time_each_answer_is_right_or_an_error(self, unknowing, proxy, paths):
        """
        Eight threads, while connections break at random.
        """
        rng, wrong, ended = Random(4), [], threading.Event()

        def work(place):
            while not ended.is_set():
                outcome = within(
                    PATIENCE_S, unknowing.resolve_asset_path, URIS[place], deadline_s=5
                )
                if outcome != paths[place] and not isinstance(
                    outcome, errors.NetworkErrorException
                ):
                    wrong.append(outcome)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(40):
            proxy.cut_after(rng.randrange(3000))
            time.sleep(0.05)
        ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)

        assert [] == wrong


class TestGarbled:
    @pytest.mark.parametrize("seed", range(6))
    def test_each_answer_is_right_or_an_error(self, unknowing, proxy, paths, seed):
        """
        No exception but ours, and in time.
        """
        proxy.garble(Random(seed), share=0.03)

        for place, uri in enumerate(URIS):
            outcome = within(PROMPT_S, unknowing.resolve_asset_path, uri, deadline_s=DEADLINE_S)
            assert outcome == paths[place] or isinstance(outcome, errors.AssetException)

    @pytest.mark.parametrize("seed", range(6))
    def test_what_is_known_is_served(self, host, proxy, paths, seed):
        """
        A reply that can't be read is an outage, and takes nothing back.
        """
        proxy.garble(Random(seed), share=0.2)

        outcomes = [
            within(PROMPT_S, host.resolve_asset_path, uri, deadline_s=DEADLINE_S) for uri in URIS
        ]

        assert paths == outcomes

    def test_when_it_is_over_everything_is_as_before(self, unknowing, proxy, paths):
        """
        Connections that are out of step are not used again.
        """
        proxy.garble(Random(1), share=0.05)
        for uri in URIS:
            within(PROMPT_S, unknowing.resolve_asset_path, uri, deadline_s=DEADLINE_S)
        proxy.pass_on()

        until(
            lambda: (
                paths
                == within(
                    PATIENCE_S,
                    unknowing.resolve_asset_paths,
                    URIS,
                    deadline_s=2,
                    on_error="return",
                )
            )
        )

    def test_a_reply_that_never_ends_costs_no_thread_for_ever(self, unknowing, proxy):
        """
        A garbled length makes the driver wait for more than will ever come.
        """
        proxy.garble(Random(2), share=0.05)
        for uri in URIS:
            within(PROMPT_S, unknowing.resolve_asset_path, uri, deadline_s=DEADLINE_S)
        proxy.pass_on()

        until(lambda: not unknowing.get_performance_stats()["manager"]["threads"]["busy"])


CALLS = {
    "get_status": lambda host: host.get_status(f"{HERO}?version=1"),
    "query_assets": lambda host: host.query_assets({"filter": {}}),
    "get_relationships": lambda host: host.get_relationships_with_metadata(HERO),
    "set_metadata": lambda host: host.set_metadata(HERO, {"seen": True}),
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_that_openassetio_has_no_question_for_end_in_an_outage_too(make, outage, call):
    """
    Although no handler bounds them: they raise what they say they raise, when statements may take no longer.
    """
    host = make(catalogue__statement_timeout_s=0.5)
    host.resolve_asset_paths(URIS)
    outage()

    error = within(PATIENCE_S, CALLS[call], host)

    assert isinstance(error, errors.CatalogueError)
    assert error.retryable
    assert error.remedy


def test_a_statement_whose_reply_stops_half_way_is_given_up(make, proxy):
    """
    The connection was alive when it was taken, and the server thinks that it has answered.
    """
    host = make(catalogue__statement_timeout_s=0.5)
    host.query_assets({})
    with host.session.catalogue._database.read() as connection:
        proxy.stall()
        with pytest.raises(sa.exc.OperationalError, match=r"no reply within 1 s"):
            connection.exec_driver_sql("SELECT 1")
        assert connection.invalidated
    proxy.pass_on()

    assert len(URIS) == len(host.query_assets({}))


@pytest.mark.parametrize("call", CALLS)
def test_garbled_replies_raise_no_errors_but_ours_there_either(make, proxy, call, rounds, seed):
    """
    Wherever the bit is: in a length, in a name, in JSON, in a number.
    """
    host = make(catalogue__statement_timeout_s=0.5)
    for number in range(rounds(4)):
        proxy.garble(Random(seed + number), share=0.002 * (1 + number % 8))
        within(PATIENCE_S, CALLS[call], host)
        proxy.pass_on()


class TestClosure:
    """What opening something will ask for: the one question that is not the pipeline's."""

    def test_it_is_bounded_like_every_other(self, make, outage):
        """
        By the deadline, although a statement may take longer.
        """
        session = make(manager__deadline_s=DEADLINE_S).session
        session.closure(URIS)
        outage()

        error = within(PROMPT_S, session.closure, URIS)

        assert isinstance(error, errors.CatalogueError)
        assert error.retryable

    def test_its_outages_open_the_breaker_and_it_is_not_asked_then(self, make, proxy):
        """
        A stage with many layers does not wait for each of them.
        """
        session = make(
            manager__deadline_s=DEADLINE_S, breaker__failures=2, breaker__cooldown_s=60
        ).session
        session.closure(URIS)
        proxy.stall()
        for _ in range(2):
            within(PROMPT_S, session.closure, URIS)
        asked = session.stats()["manager"]["round_trips"]

        error = within(PROMPT_S, session.closure, URIS)

        assert "open" == session.breaker.state
        assert "left alone" in error.message
        assert asked == session.stats()["manager"]["round_trips"]
