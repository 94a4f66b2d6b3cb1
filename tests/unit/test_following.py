# SPDX-License-Identifier: Apache-2.0
"""Following a log of changes: what changed is forgotten, once for a host, and nothing is missed."""

import ast
import gc
import threading
import time

import pytest

from bifrost.tiers.following import Follower
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.tiered import TieredCache

IDENTITY = b"c" * 16
LIMIT_S = 20.0


class Log:
    """A log of changes that says when it is asked."""

    def __init__(self):
        self.changes = []
        self.asked = self.hints = 0
        self.is_down = False
        self.is_hinting = True
        self.lost = False

    def change(self, *names):
        self.changes.extend(name.encode() for name in names)

    def hint(self):
        self.hints += 1
        return len(self.changes) if self.is_hinting else None

    def is_open(self):
        return True

    def number(self):
        self._check()
        return len(self.changes)

    def since(self, number):
        self._check()
        names = self.changes[number:]
        return len(self.changes), None if self.lost else names

    def _check(self):
        self.asked += 1
        if self.is_down:
            raise ConnectionError("the database is gone")


def key(name, scope=1):
    return b"r" + bytes([scope]) * 16 + name.encode()


@pytest.fixture
def log():
    return Log()


class Process:
    """What a process has: its memory over the host's file, and its follower."""

    def __init__(self, folder, log, every_s=0.0):
        lmdb = [LmdbTier(folder, max_bytes=1 << 22)] if folder else []
        self.tiers = TieredCache([MemoryTier(1 << 20), *lmdb])
        self.follower = Follower(self.tiers, log, IDENTITY, every_s)

    def fill(self, *names):
        self.follower.begin()
        sequence = self.tiers.sequence()
        self.tiers.put({key(n): Entry(b"v", FOREVER, 0.0, sequence) for n in names})

    def knows(self, *names):
        return [n for n in names if key(n) in self.tiers.find([key(n)])]

    def end(self):
        self.follower.close()
        self.tiers.close()


@pytest.fixture(params=["memory", "lmdb"])
def process(request, tmp_path, log):
    process = Process(tmp_path if request.param == "lmdb" else None, log)
    yield process
    process.end()


def test_what_changed_is_forgotten_and_nothing_else(process, log):
    """
    Every version of it: a name covers all that stands before a `?`.
    """
    process.fill("hero", "hero?version=3", "villain")
    log.change("hero")

    news = process.follower.look()

    assert ((b"hero",), 0, 1) == (news.names, news.before, news.after)
    assert ["villain"] == process.knows("hero", "hero?version=3", "villain")


def test_where_nothing_changed_nothing_is_forgotten(process, log):
    """
    One question, no answer.
    """
    process.fill("hero")

    assert process.follower.look() is None
    assert ["hero"] == process.knows("hero")


def test_each_change_counts_once(process, log):
    """
    What is asked for after a change was heard of stays.
    """
    process.fill("hero")
    log.change("hero")
    process.follower.look()
    process.fill("hero")

    assert process.follower.look() is None
    assert ["hero"] == process.knows("hero")


def test_an_answer_that_a_change_overtook_is_not_kept(process, log):
    """
    It was asked for before the change and arrives after it was heard of.
    """
    process.follower.begin()
    sequence = process.tiers.sequence()
    log.change("hero")
    process.follower.look()
    process.tiers.put({key("hero"): Entry(b"old", FOREVER, 0.0, sequence)})

    assert [] == process.knows("hero")


def test_what_nobody_can_list_is_everything(process, log):
    """
    A rule of access changed, or the log was cut.
    """
    process.fill("hero", "villain")
    log.change("hero")
    log.lost = True

    assert process.follower.look().names is None
    assert [] == process.knows("hero", "villain")


def test_what_somebody_else_told_is_not_looked_up_again(process, log):
    """
    An event said between which numbers the change lies.
    """
    process.fill("hero")
    log.change("hero")
    process.follower.heard(0, 1)
    assert ["hero"] == process.knows("hero")  # number 0 is no number: nothing is skipped

    process.follower.look()
    process.fill("hero")
    log.change("hero")
    process.follower.heard(1, 2)

    assert process.follower.look() is None


def test_a_gap_is_not_skipped(process, log):
    """
    Between the number we know and the one we are told of lies another change.
    """
    process.fill("hero", "villain")
    log.change("villain")
    process.follower.look()
    process.fill("villain")
    log.change("villain", "hero")
    process.follower.heard(2, 3)
    process.follower.look()

    assert [] == process.knows("hero", "villain")


def test_while_the_log_is_down_what_is_known_stays(process, log):
    """
    And what changed meanwhile is heard of when it is back.
    """
    process.fill("hero")
    log.is_down = True
    with pytest.raises(ConnectionError):
        process.follower.look()
    assert ["hero"] == process.knows("hero")

    log.change("hero")
    log.is_down = False
    process.follower.look()
    assert [] == process.knows("hero")


def test_a_later_process_knows_where_the_earlier_one_was(tmp_path, log):
    """
    What it left is still true, and what changed between them is heard of.
    """
    first = Process(tmp_path, log)
    first.fill("hero", "villain")
    first.end()
    log.change("hero")

    second = Process(tmp_path, log)
    second.follower.begin()
    asked = log.asked
    second.follower.look()

    assert 1 == log.asked - asked
    assert ["villain"] == second.knows("hero", "villain")
    second.end()


def test_one_process_of_a_host_tells_the_others(tmp_path, log):
    """
    The second finds the change noted, and forgets what its memory holds.
    """
    first, second = Process(tmp_path, log), Process(tmp_path, log)
    first.fill("hero")
    first.tiers.flush()
    second.follower.begin()
    assert ["hero"] == second.knows("hero")
    log.change("hero")
    first.follower.look()
    first.tiers.flush()
    noted = second.tiers.sequence()

    assert second.follower.look() is None
    assert [] == second.knows("hero")
    assert noted == second.tiers.sequence()
    first.end()
    second.end()


def test_a_cache_that_nobody_kept_true_is_not_believed(tmp_path, log):
    """
    Entries without a number beside them: from a time when nobody followed, or the number was evicted.
    """
    tiers = TieredCache([LmdbTier(tmp_path, max_bytes=1 << 22)])
    tiers.put({key("hero"): Entry(b"v", FOREVER, 0.0, tiers.sequence())})
    tiers.close()
    log.change("hero")
    process = Process(tmp_path, log)

    assert process.follower.look().names is None
    assert [] == process.knows("hero")
    process.end()


def test_by_itself_it_looks_from_time_to_time(tmp_path, log):
    """
    On a thread of its own, which a closed follower ends.
    """
    process = Process(tmp_path, log, every_s=0.01)
    process.fill("hero")
    process.follower.start()
    log.change("hero")

    assert eventually(lambda: process.knows("hero") == [])
    process.end()
    assert eventually(lambda: "bifrost-follow" not in {t.name for t in threading.enumerate()})


def test_a_program_may_read_python_while_it_looks(tmp_path, log):
    """
    CPython 3.11 counts how deep all threads are in reading Python in one place; `ast.parse` of the
    program failed where the follower read a literal, while a collection let the GIL go.
    """
    process = Process(tmp_path, log)
    process.fill("hero")
    process.tiers.flush()
    ended = threading.Event()

    def look():
        while not ended.is_set():
            process.follower.look()

    def let_others_run(phase, _):
        if phase == "start" and threading.current_thread() is threading.main_thread():
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    gc.callbacks.append(let_others_run)
    try:
        trees = [ast.parse(f"[{'f(1, {2: 3}), ' * 300}]") for _ in range(50)]
    finally:
        gc.callbacks.remove(let_others_run)
        ended.set()
        thread.join()
        process.end()

    assert 50 == len(trees)


def test_while_the_hint_says_nothing_new_the_log_is_not_asked(tmp_path, log):
    """
    Two stats a second, and no query.
    """
    process = Process(tmp_path, log, every_s=0.01)
    process.fill("hero")
    process.follower.look()
    asked, looks = log.asked, process.follower.looks
    hints = log.hints
    process.follower.start()
    assert eventually(lambda: log.hints > hints + 5)

    assert (asked, looks) == (log.asked, process.follower.looks)
    process.end()


def test_it_goes_on_when_the_log_comes_back(tmp_path, log):
    """
    Asking less and less often meanwhile.
    """
    process = Process(tmp_path, log, every_s=0.01)
    process.fill("hero")
    log.is_down, log.is_hinting = True, False
    process.follower.start()
    asked = log.asked
    assert eventually(lambda: log.asked > asked)
    log.change("hero")
    log.is_down = False

    assert eventually(lambda: process.knows("hero") == [])
    process.end()


def eventually(condition):
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("is_noted", [False, True])
@pytest.mark.parametrize("again", ["look", "begin"])
def test_what_was_asked_for_while_the_log_could_not_be_is_forgotten(process, log, again, is_noted):
    """
    Nobody can say what changed since, whoever looks first.
    """
    log.is_down = True
    with pytest.raises(ConnectionError):
        process.follower.begin()
    sequence = process.tiers.sequence()
    process.tiers.put({key("hero"): Entry(b"v", FOREVER, 0.0, sequence)})
    log.is_down = False
    log.change("hero")
    if is_noted:  # by another process of this host, which had nothing to forget
        Follower(process.tiers, log, IDENTITY, 0.0).begin()
    getattr(process.follower, again)()

    assert [] == process.knows("hero")
    process.fill("hero")
    assert ["hero"] == process.knows("hero")
