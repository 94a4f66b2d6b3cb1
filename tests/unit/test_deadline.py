# SPDX-License-Identifier: Apache-2.0
"""A request ends at its deadline, whatever the manager does, and on bounded threads."""

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline import workers as module
from bifrost.pipeline.deadline import Deadline

# No test waits for this long unless it fails.
LIMIT_S = 20.0
WORKERS = 4


class Manager:
    """Hangs until its gate is open; counts how many calls are in it at once."""

    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.inside = self.most_inside = 0
        self.asked = []

    def handle(self, request):
        with self.lock:
            self.asked.append(request)
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.entered.release()
        assert self.gate.wait(LIMIT_S)
        with self.lock:
            self.inside -= 1
        return Reply.by_reference(request, str.upper)


@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.gate.set()


@pytest.fixture
def deadline(manager, monkeypatch):
    monkeypatch.setattr(module, "_GRACE_S", 0.01)
    return Deadline(manager, deadline_s=LIMIT_S, max_workers=WORKERS)


@pytest.fixture
def pool(manager):
    with ThreadPoolExecutor(16) as pool:
        yield pool
        manager.gate.set()


def request(*references, **options):
    return Request(Operation.RESOLVE, references, Context().snapshot(), **options)


def codes(reply):
    return [outcome.code for outcome in reply.outcomes]


def eventually(condition):
    end = monotonic() + LIMIT_S
    while not condition():
        assert monotonic() < end
        threading.Event().wait(0.001)


def test_an_answer_in_time_is_passed_on(deadline, manager):
    """
    With the request that was asked, not the one that travelled on.
    """
    manager.gate.set()

    assert Reply(request("a", "b"), ("A", "B")) == deadline.handle(request("a", "b"))


def test_a_hanging_manager_costs_no_more_than_the_deadline(deadline):
    """
    Every element fails, and says after how long.
    """
    start = monotonic()
    reply = deadline.handle(request("a", "b", deadline_s=0.05))

    assert [Code.DEADLINE, Code.DEADLINE] == codes(reply)
    assert "0.05 s" in reply.outcomes[0].message
    assert 0.05 <= monotonic() - start < LIMIT_S / 2


def test_the_deadline_of_the_settings_holds_where_a_request_has_none(manager):
    """
    And what travels on knows it, since retries must know.
    """
    reply = Deadline(manager, deadline_s=0.05, max_workers=1).handle(request("a"))

    assert [Code.DEADLINE] == codes(reply)
    assert [0.05] == [each.deadline_s for each in manager.asked]


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
def test_no_time_is_a_deadline(deadline, deadline_s):
    """
    0 s are over at once.
    """
    assert [Code.DEADLINE] == codes(deadline.handle(request("a", deadline_s=deadline_s)))


@pytest.mark.parametrize("deadline_s", [float("inf"), 1e300, 1e10])
def test_a_deadline_beyond_all_clocks_is_no_deadline(deadline, manager, deadline_s):
    """
    Longer than a lock can be waited for is for ever, not an OverflowError.
    """
    manager.gate.set()

    assert ("A",) == deadline.handle(request("a", deadline_s=deadline_s)).outcomes


def test_no_more_calls_than_workers_are_in_the_manager(deadline, manager, pool):
    """
    Sixteen who ask, four who are let in, and all are answered in the end.
    """
    futures = [pool.submit(deadline.handle, request(name)) for name in "abcdefghijklmnop"]
    for _ in range(WORKERS):
        assert manager.entered.acquire(timeout=LIMIT_S)
    manager.gate.set()

    assert list("ABCDEFGHIJKLMNOP") == [each.result(LIMIT_S).outcomes[0] for each in futures]
    assert WORKERS == manager.most_inside


def test_when_all_workers_hang_the_next_fails_without_being_asked(deadline, manager):
    """
    A manager that hangs is not asked for more, and nothing hangs with it.
    """
    for _ in range(WORKERS + 3):
        assert [Code.DEADLINE] == codes(deadline.handle(request("a", deadline_s=0.02)))

    assert WORKERS == len(manager.asked)


def test_when_a_manager_comes_back_it_is_asked_again(deadline, manager):
    """
    The workers return, and what nobody waits for any more is not asked.
    """
    for name in "abcdef":
        deadline.handle(request(name, deadline_s=0.02))
    manager.gate.set()

    assert ("LATER",) == deadline.handle(request("later")).outcomes
    assert {"a", "b", "c", "d", "later"} == {each.references[0] for each in manager.asked}


def test_what_nobody_waits_for_takes_no_room(deadline):
    """
    A manager that hangs for days must not fill the memory with old requests.
    """
    for _ in range(WORKERS + 20):
        deadline.handle(request("a", deadline_s=0.001))

    assert 0 == deadline.stats()["waiting"]
    assert 0 == len(deadline._workers._under_way)


def test_a_worker_serves_many_requests(deadline, manager):
    """
    One after the other needs one thread.
    """
    manager.gate.set()
    for _ in range(20):
        deadline.handle(request("a"))

    assert deadline.stats()["workers"] <= 2


def test_workers_are_daemons(deadline, manager, pool):
    """
    A manager that hangs never keeps a process from ending.
    """
    pool.submit(deadline.handle, request("a"))
    assert manager.entered.acquire(timeout=LIMIT_S)

    workers = [each for each in threading.enumerate() if each.name == "bifrost-manager"]
    assert workers
    assert all(each.daemon for each in workers)


def test_close_lets_everybody_go(deadline, manager, pool):
    """
    Those whose call is in the manager and those who wait for a worker.
    """
    futures = [pool.submit(deadline.handle, request(name)) for name in "abcdefgh"]
    for _ in range(WORKERS):
        assert manager.entered.acquire(timeout=LIMIT_S)
    eventually(lambda: len(deadline._workers._under_way) == len(futures))

    deadline.close()

    assert [[Code.UNAVAILABLE]] * 8 == [codes(each.result(LIMIT_S)) for each in futures]


def test_after_close_nothing_is_asked(deadline, manager):
    """
    The process is ending.
    """
    manager.gate.set()
    deadline.close()
    deadline.close()

    assert [Code.UNAVAILABLE] == codes(deadline.handle(request("a")))
    assert [] == manager.asked


def test_an_exception_reaches_who_asked():
    """
    With its traceback, and the worker lives on.
    """

    class Defect:
        def handle(self, request):
            raise LookupError("a defect")

    deadline = Deadline(Defect(), LIMIT_S, max_workers=1)

    for _ in range(3):
        with pytest.raises(LookupError, match="a defect"):
            deadline.handle(request("a"))


def test_there_is_always_a_worker(manager):
    """
    `manager.max_workers = 0` means one at a time.
    """
    manager.gate.set()

    assert ("A",) == Deadline(manager, LIMIT_S, max_workers=0).handle(request("a")).outcomes


def test_a_forked_child_starts_its_own_workers(deadline, manager, pool):
    """
    The parent's threads stayed behind.
    """
    pool.submit(deadline.handle, request("a"))
    assert manager.entered.acquire(timeout=LIMIT_S)
    deadline.after_fork()
    manager.gate.set()

    assert ("B",) == deadline.handle(request("b")).outcomes


def test_what_came_too_late_is_kept_by_nobody():
    """
    Of a call that was given up neither its answer stays nor who asked.
    """
    workers, gate, answers = module.Workers(1, "late"), threading.Event(), []

    def call():
        assert gate.wait(LIMIT_S)
        answer = Manager()
        answers.append(weakref.ref(answer))
        return answer

    job = workers.submit(call)
    assert not job.done.wait(0.01)
    del job
    gate.set()
    end = monotonic() + LIMIT_S
    while not (answers and answers[0]() is None) and monotonic() < end:
        time.sleep(0.01)

    assert answers[0]() is None


def test_many_threads_get_their_own_answers(deadline, manager, pool):
    """
    Sixteen threads, four workers, two thousand requests.
    """
    manager.gate.set()
    names = [f"r{number}" for number in range(2000)]

    replies = pool.map(lambda name: deadline.handle(request(name)), names)

    assert [name.upper() for name in names] == [reply.outcomes[0] for reply in replies]
    assert manager.most_inside <= WORKERS
