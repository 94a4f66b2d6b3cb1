# SPDX-License-Identifier: Apache-2.0
"""A shared cache whose server is killed, hangs, trickles, lies: slower, never wrong, and soon back."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from bifrost.errors import TierError
from bifrost.testing.proxy import FaultyProxy
from bifrost.testing.redis import RedisServer
from bifrost.tiers.redis import Event, RedisTier
from bifrost.tiers.tier import FOREVER, Entry

EVERYTHING = Event(None)
PATIENCE_S = 20.0
# The promise is 0.1 s. This machine may be busy with other things for longer than that.
BOUND_S = 0.5


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)


def key(subject):
    return b"r" + b"s" * 16 + subject


def entry(value=b"value"):
    return Entry(value, FOREVER, 1_700_000_000.0)


HERO = key(b"hero")


@pytest.fixture
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def proxy(server):
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.fixture
def make():
    made = []

    def make(port, **arguments):
        tier = RedisTier(f"redis://127.0.0.1:{port}", **arguments)
        made.append(tier)
        tier.heard = []
        tier.follow(tier.heard.append)
        until(lambda: tier.position() is not None and tier.stats()["state"] == "up")
        tier.heard.clear()
        return tier

    yield make
    for tier in made:
        tier.close()


@pytest.fixture
def tier(make, server):
    return make(server.port)


@pytest.fixture
def far(make, proxy):
    """A tier with the proxy between it and the server."""
    return make(proxy.port)


def store(tier, *keys):
    until(lambda: tier.stats()["state"] == "up" and tier.position() is not None)
    tier.put({each: entry(each) for each in keys})
    tier.flush()


def timed_get(tier, keys):
    """Return what was found, having found that it took no longer than promised."""
    start = time.monotonic()
    found = tier.get(keys)
    assert time.monotonic() - start < BOUND_S
    return found


def is_back(tier):
    return tier.stats()["state"] == "up" and tier.position() is not None


# The server


def test_a_killed_server_costs_one_request_and_is_found_again(tier, server):
    """What was stored is gone with it; everybody assumes that events are, too."""
    store(tier, HERO)
    before = tier.position()
    server.kill()

    assert {} == timed_get(tier, [HERO])
    until(lambda: tier.position() is None)
    assert {} == timed_get(tier, [HERO])
    assert 0 == tier.stats()["entries"]
    server.start()
    until(lambda: is_back(tier))
    assert before.epoch != tier.position().epoch
    assert [EVERYTHING] == tier.heard
    store(tier, HERO)
    assert {HERO} == set(tier.get([HERO]))


def test_a_server_that_hangs_costs_one_request_its_budget_and_the_others_nothing(tier, server):
    """Not one more waits for it until it has answered the tier's own thread."""
    store(tier, HERO)
    server.pause()
    try:
        assert {} == timed_get(tier, [HERO])
        assert "down" == tier.stats()["state"]
        start = time.monotonic()
        for _ in range(200):
            assert {} == tier.get([HERO])
            tier.put({HERO: entry()})
        assert time.monotonic() - start < BOUND_S
    finally:
        server.resume()

    until(lambda: tier.get([HERO]))
    assert 1 == tier.stats()["errors"]


def test_threads_that_meet_a_server_that_hangs_do_not_queue_for_it(tier, server):
    """Twenty-four requests at once wait once, together, and not one after the other."""
    store(tier, HERO)
    server.pause()
    try:
        start = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda _: tier.get([HERO]), range(240)))
        assert time.monotonic() - start < 2 * BOUND_S
    finally:
        server.resume()

    assert not any(found)


def test_an_announcement_to_a_server_that_hangs_is_made_when_it_is_back(tier, make, server):
    """Nobody reads the old entry meanwhile, nor afterwards."""
    other = make(server.port)
    store(tier, HERO)
    server.pause()
    try:
        start = time.monotonic()
        with pytest.raises(TierError, match="will be when it is back"):
            tier.announce(Event((b"hero",), (), 5, 6))
        assert time.monotonic() - start < BOUND_S
        assert {} == tier.get([HERO])
    finally:
        server.resume()

    until(lambda: other.heard)
    assert {Event((b"hero",), (), 5, 6)} == set(other.heard)
    until(lambda: is_back(tier))
    assert {} == tier.get([HERO])
    assert {} == other.get([HERO])


def test_announcements_to_a_dead_server_are_made_in_order_when_it_is_back(tier, make, server):
    """However many there were; past a limit they are one, that everything changed."""
    server.kill()
    for number in range(20):
        with pytest.raises(TierError):
            tier.announce(Event((b"%d" % number,)))
    server.start()
    until(lambda: is_back(tier))

    fields = server.command("XRANGE", "bifrost:events", "-", "+")
    assert 20 == len(fields)
    assert [b"%d" % number in row[1][3] for number, row in enumerate(fields)] == [True] * 20


def test_an_entry_is_hidden_until_the_server_knows_that_it_is_not_true(make, server, proxy):
    """Where announcing fails and reading would work, what changed is not read."""
    tier = make(server.port)
    store(tier, HERO, key(b"villain"))
    tier._server.announce = lambda *_: (_ for _ in ()).throw(TimeoutError)
    with pytest.raises(TimeoutError):
        tier.announce(Event((b"hero",)))
    tier._backlog.keep_unsaid(Event((b"hero",)))

    assert {key(b"villain")} == set(tier.get([HERO, key(b"villain")]))
    del tier._server.announce
    tier.flush()
    assert {} == tier.get([HERO])
    assert 0 == server.command("EXISTS", *server.command("KEYS", "bifrost:*:hero"), "none")


def test_a_server_that_was_cleared_is_a_new_beginning(tier, make, server):
    """Nobody tells clients of it; within a second or so they notice, and assume everything."""
    other = make(server.port)
    store(tier, HERO)
    before = tier.position()
    server.flush()

    assert {} == timed_get(tier, [HERO])
    tier.put_since({HERO: entry()}, before)
    until(lambda: EVERYTHING in tier.heard and EVERYTHING in other.heard)
    until(lambda: is_back(tier) and is_back(other))
    tier.flush()
    assert {} == tier.get([HERO])
    tier.announce(Event((b"hero",)))
    until(lambda: Event((b"hero",)) in other.heard)


def test_an_old_snapshot_is_not_believed(tier, make, server):
    """A server that was restored knows entries, and not that they were invalidated since."""
    other = make(server.port)
    store(tier, HERO, key(b"villain"))
    server.snapshot()
    tier.announce(Event((b"hero",)))
    before = tier.position()
    server.restart()

    assert server.command("KEYS", "bifrost:*:hero")
    until(lambda: is_back(tier) and is_back(other))
    assert {} == tier.get([HERO, key(b"villain")])
    assert {} == other.get([HERO, key(b"villain")])
    assert EVERYTHING in tier.heard
    assert EVERYTHING in other.heard
    tier.put_since({HERO: entry()}, before)
    tier.flush()
    assert {} == other.get([HERO])
    assert [] == server.command("KEYS", "bifrost:*:villain")


def test_restarts_in_the_middle_of_everything_leave_nothing_wrong(tier, make, server):
    """Eight threads fill and read; each answer was true when asked for, or later."""
    other = make(server.port)
    truth, told = [0], [0]
    stop = threading.Event()

    def work(_):
        wrong = 0
        while not stop.is_set():
            position, answer = tier.position(), truth[0]
            tier.put_since({HERO: entry(b"%d" % answer)}, position)
            known = told[0]
            wrong += any(int(found.value) < known for found in tier.get([HERO]).values())
            time.sleep(0.001)
        return wrong

    def change():
        truth[0] += 1
        with contextlib.suppress(TierError):
            tier.announce(Event((b"hero",)))
        told[0] = truth[0]

    with ThreadPoolExecutor(8) as pool:
        works = [pool.submit(work, i) for i in range(8)]
        try:
            for disturbance in (server.restart, server.flush, server.restart, server.flush):
                for _ in range(20):
                    change()
                    time.sleep(0.005)
                disturbance()
        finally:
            stop.set()
        wrong = sum(each.result(PATIENCE_S) for each in works)

    assert 0 == wrong
    until(lambda: is_back(tier) and is_back(other))
    until(lambda: server.command("EXISTS", "bifrost:meta"))
    epoch = server.command("HGET", "bifrost:meta", "epoch")
    until(lambda: epoch == tier.position().epoch == other.position().epoch)
    tier.announce(Event((b"last",)))
    until(lambda: Event((b"last",)) in other.heard)


def test_a_server_without_room_stores_nothing_and_is_no_trouble(make):
    """What it refuses is dropped. What it has can be read."""
    with RedisServer() as server:
        tier = make(server.port)
        store(tier, HERO)
        server.command("CONFIG", "SET", "maxmemory", "1mb")
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        tier.put({key(b"%d" % i): entry(b"x" * 1000) for i in range(3000)})
        tier.flush()

        assert tier.stats()["dropped"] > 0
        assert "up" == tier.stats()["state"]
        assert {HERO} == set(tier.get([HERO]))
        tier.announce(EVERYTHING)
        assert {} == tier.get([HERO])
        tier.close()


def test_a_server_that_evicts_what_it_likes_is_believed_in_the_rest(make):
    """Entries, the bookkeeping, the events: each may be gone at any moment."""
    with RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random") as server:
        tier, other = make(server.port, budget_s=2.0), make(server.port, budget_s=2.0)
        for turn in range(30):
            until(lambda: is_back(tier))
            tier.put({key(b"%d/%d" % (turn, i)): entry(b"x" * 1000) for i in range(200)})
            try:
                tier.flush()
                tier.announce(Event((b"%d/7" % turn,)))
            except TierError:
                continue
            found = other.get([key(b"%d/%d" % (turn, i)) for i in range(200)])
            assert key(b"%d/7" % turn) not in found
        assert server.command("INFO", "stats").partition(b"evicted_keys:")[2][:1] != b"0"
        tier.close()
        other.close()


def test_scripts_that_the_server_forgot_are_sent_again(tier, server):
    """Somebody may tell it to forget them at any moment."""
    for _ in range(3):
        server.command("SCRIPT", "FLUSH")
        store(tier, HERO)
        assert {HERO} == set(tier.get([HERO]))
        tier.announce(Event((b"hero",)))
    assert 0 == tier.stats()["errors"]


# The network


def test_a_cut_in_the_middle_of_a_reply_is_a_miss(far, proxy):
    """Half an answer is none, and the next connection starts afresh."""
    keys = [key(b"%d" % i) for i in range(500)]
    for size in (1, 10, 100, 5000):
        until(lambda: is_back(far))
        store(far, *keys)
        proxy.cut_after(size)
        found = timed_get(far, keys)
        assert all(each == found[each].value for each in found)
    until(lambda: is_back(far))
    store(far, *keys)
    assert set(keys) == set(far.get(keys))


def test_a_network_that_stalls_costs_the_budget_once(far, proxy):
    """It is asked again by a thread that nobody waits for."""
    store(far, HERO)
    proxy.stall()

    assert {} == timed_get(far, [HERO])
    before = proxy.requests
    for _ in range(100):
        assert {} == far.get([HERO])
    assert before == proxy.requests
    until(lambda: far.position() is None)
    proxy.pass_on()
    until(lambda: far.get([HERO]))
    until(lambda: far.position() is not None)


def test_a_network_that_trickles_costs_no_more_than_one_that_stalls(far, proxy):
    """A byte now and then is no reason to go on waiting."""
    keys = [key(b"%d" % i) for i in range(300)]
    store(far, *keys)
    proxy.trickle(100.0)

    for _ in range(5):
        assert {} == timed_get(far, keys)
    start = time.monotonic()
    with pytest.raises(TierError):
        far.announce(EVERYTHING)
    assert time.monotonic() - start < BOUND_S
    proxy.pass_on()
    until(lambda: is_back(far))


def test_a_network_that_is_too_slow_is_not_used(far, proxy):
    """A server that answers later than a request may wait is as good as away: nobody waits for it."""
    store(far, HERO)
    proxy.delay(0.2)
    assert {} == timed_get(far, [HERO])

    start = time.monotonic()
    for _ in range(50):
        assert {} == far.get([HERO])
        time.sleep(0.02)
    assert time.monotonic() - start < 50 * 0.02 + BOUND_S
    proxy.pass_on()
    until(lambda: far.get([HERO]))


@pytest.mark.parametrize("share", [0.1, 0.01, 0.0005])
def test_a_network_that_flips_bits_makes_misses_and_no_wrong_answers(
    far, make, server, proxy, share
):
    """Nor are events lost: what can't be read for certain counts as everything."""
    near = make(server.port)
    keys = [key(b"%d" % i) for i in range(200)]
    store(near, *keys)
    proxy.garble(Random(7), share)
    told = [b"event %d" % i for i in range(30)]
    for subject in told:
        near.announce(Event((subject,)))
        found = timed_get(far, keys)
        assert all(each == found[each].value for each in found)
    proxy.pass_on()

    def knows(subject):
        """Whether the other heard of *subject*, or of everything, since it was told."""
        return any(each.subjects is None or subject in each.subjects for each in far.heard)

    until(lambda: is_back(far) and far.position() == near.position())
    assert all(knows(subject) for subject in told)


def test_a_server_that_refuses_connections_is_tried_again_and_again(far, proxy):
    """By a thread, about once a second, for however long it takes."""
    store(far, HERO)
    proxy.refuse()
    until(lambda: not timed_get(far, [HERO]) and far.stats()["state"] == "down")
    tried = proxy.accepted
    until(lambda: proxy.accepted >= tried + 4)
    proxy.pass_on()

    until(lambda: far.get([HERO]))


def test_nobody_there_at_first_is_no_worse(make):
    """A tier is made and used before its server is started."""
    with RedisServer() as server:
        server.stop()
        with RedisTier(server.url) as tier:
            start = time.monotonic()
            for _ in range(50):
                assert {} == tier.get([HERO])
            assert time.monotonic() - start < BOUND_S
            tier.follow(lambda event: None)
            server.start()
            until(lambda: is_back(tier))
            store(tier, HERO)
            assert {HERO} == set(tier.get([HERO]))


def test_a_server_that_is_something_else_is_no_worse():
    """Any port may be a web server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with RedisTier(f"redis://127.0.0.1:{port}") as tier:
            until(lambda: tier.get([HERO]) == {} and tier.stats()["errors"])
            assert "down" == tier.stats()["state"]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


# The end


def test_closing_takes_no_time_whatever_the_server_does(make, server, proxy):
    """It hangs, or is gone: a process ends all the same."""
    for spoil in (proxy.stall, server.pause, server.kill):
        proxy.pass_on()
        tier = make(proxy.port)
        store(tier, HERO)
        spoil()
        tier.delete([HERO])
        start = time.monotonic()
        tier.close()
        assert time.monotonic() - start < 4.0
        server.resume() if spoil == server.pause else None


def test_nothing_is_left_behind(server, proxy):
    """Threads and files are what they were, after ever so many tiers and faults."""
    import psutil

    process = psutil.Process()

    def count():
        return process.num_fds(), threading.active_count()

    def use():
        with RedisTier(f"redis://127.0.0.1:{proxy.port}", budget_s=1.0) as tier:
            tier.follow(lambda event: None)
            until(lambda: is_back(tier))
            store(tier, HERO)
            proxy.cut()
            until(lambda: tier.get([HERO]))

    use()
    until(lambda: not proxy._pairs)
    before = count()
    for _ in range(10):
        use()
    until(lambda: not proxy._pairs)

    until(lambda: count() <= before)


# The proxy itself: or the tests above prove nothing


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client:
        assert b"+PONG\r\n" == ping(client)
        yield client


def ping(client, size=100):
    client.sendall(b"PING\r\n")
    return client.recv(size)


def test_the_proxy_delays(client, proxy):
    """A reply comes later, and whole."""
    proxy.delay(0.2)
    start = time.monotonic()

    assert b"+PONG\r\n" == ping(client)
    assert time.monotonic() - start >= 0.2


def test_the_proxy_trickles(client, proxy):
    """A reply comes byte by byte."""
    proxy.trickle(200.0)

    assert [b"+", *(b"%c" % byte for byte in b"PONG\r\n")] == [
        ping(client), *(client.recv(100) for _ in range(6)),
    ]  # fmt: skip


def test_the_proxy_garbles(client, proxy):
    """A reply comes with bits flipped."""
    proxy.garble(Random(1), 1.0)
    reply = ping(client)

    assert 7 == len(reply)
    assert all(a != b for a, b in zip(b"+PONG\r\n", reply, strict=True))


def test_the_proxy_stalls_and_goes_on(client, proxy):
    """What was held back arrives when it passes again."""
    proxy.stall()
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ping(client)
    client.settimeout(PATIENCE_S)
    proxy.pass_on()

    assert b"+PONG\r\n" == client.recv(100)


def test_the_proxy_cuts(client, proxy):
    """Now, or in the middle of a reply."""
    proxy.cut_after(3)

    assert b"+PO" == ping(client)
    assert b"" == client.recv(100)
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as another:
        assert b"+PONG\r\n" == ping(another)
        proxy.cut()
        assert b"" == another.recv(100)


def test_the_proxy_refuses(client, proxy):
    """Those who are there, and those who come."""
    proxy.refuse()
    assert b"" == client.recv(100)

    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as another:
        assert b"" == another.recv(100)
