# SPDX-License-Identifier: Apache-2.0
"""Hooks hear of what was invalidated and is held: once, soon, on a thread of their own."""

import logging
import threading
import time

import pytest

from bifrost import session
from bifrost.session import Session, current
from bifrost.testing.show import layer
from bifrost.tiers.tier import beginning_with
from bifrost.usd.staleness import Watch

LIMIT_S = 20.0
HERO, TREE, ROCK = (f"bifrost:///assets/{name}" for name in ("hero", "tree", "rock"))


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


class Hook:
    """Notes what it is called with, and where."""

    def __init__(self):
        self.calls = []
        self.threads = set()

    def __call__(self, references):
        self.threads.add(threading.current_thread())
        self.calls.append(references)

    @property
    def heard(self):
        return sorted({reference for call in self.calls for reference in call})


@pytest.fixture
def make(monkeypatch):
    """Make a watch over references. Nothing is invalidated but by the test: nobody follows others."""
    monkeypatch.setenv("BIFROST_CACHE__FOLLOW_S", "0")
    made = []

    def make(*held, **arguments):
        made.append(in_use(Watch(lambda: held, **{"gather_s": 0.02, "poll_s": 0.05, **arguments})))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


def in_use(watch):
    """Return *watch* as it is once USD got its first answer."""
    tiers = current().tiers
    watch.answered(tiers, tiers.sequence())
    return watch


def threads():
    return [each for each in threading.enumerate() if each.name == "bifrost-stale"]


def test_a_hook_hears_what_is_held_and_was_invalidated(make):
    """
    Every version of it that is held; nothing that is not held, nothing else that is.
    """
    hook = Hook()
    make(HERO, f"{HERO}?version=approved", TREE).add(hook)

    current().invalidate([f"{HERO}?version=3", ROCK])

    until(lambda: hook.calls)
    assert [[HERO, f"{HERO}?version=approved"]] == hook.calls


def test_what_is_written_otherwise_is_the_same_reference(make):
    """
    Percent-escapes that need not be.
    """
    hook = Hook()
    make("bifrost:///assets/%68ero").add(hook)

    current().invalidate([HERO])

    until(lambda: hook.calls)


@pytest.mark.parametrize("names", [None, [beginning_with(b"bifrost:///assets/")]])
def test_everything_and_beginnings_are_invalidated_too(make, names):
    """
    Whatever an invalidation names.
    """
    hook = Hook()
    make(HERO, TREE).add(hook)

    current().invalidate_names(names)

    until(lambda: hook.calls)
    assert [[HERO, TREE]] == hook.calls


def test_more_than_can_be_told_apart_is_everything(make):
    """
    A hundred thousand names are held no longer than it takes to forget which they were.
    """
    hook = Hook()
    watch = make(TREE, gather_s=0.5)
    watch.add(hook)

    for first in range(0, 120_000, 40_000):
        watch.heard([b"%d" % number for number in range(first, first + 40_000)])
        assert len(watch._names) <= 100_000

    until(lambda: hook.calls)
    assert [[TREE]] == hook.calls


def test_what_comes_together_is_told_together(make):
    """
    A publish of fifty assets is one call.
    """
    references = [f"bifrost:///assets/a{i:02}" for i in range(50)]
    hook = Hook()
    watch = make(*references, gather_s=1.0)
    watch.add(hook)

    for reference in references:
        current().invalidate([reference])

    until(lambda: hook.calls)
    assert [references] == hook.calls


def test_hooks_run_on_one_thread_of_their_own(make):
    """
    Not on the one that invalidates; and it is no reason for a process to stay.
    """
    hooks = [Hook(), Hook()]
    watch = make(HERO)
    for hook in hooks:
        watch.add(hook)

    current().invalidate([HERO])

    until(lambda: all(hook.calls for hook in hooks))
    [thread] = hooks[0].threads | hooks[1].threads
    assert ("bifrost-stale", True) == (thread.name, thread.daemon)


def test_a_hook_that_hangs_holds_up_nobody_who_invalidates(make):
    """
    What comes meanwhile is told when it is over.
    """
    release, begun, later = threading.Event(), threading.Event(), Hook()

    def hang(references):
        begun.set()
        release.wait(LIMIT_S)

    watch = make(HERO, TREE)
    watch.add(hang)
    watch.add(later)
    current().invalidate([HERO])
    assert begun.wait(LIMIT_S)

    for _ in range(100):
        current().invalidate([TREE])

    assert [] == later.calls
    release.set()
    until(lambda: [HERO, TREE] == later.heard)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_hook_that_fails_is_logged_and_the_others_are_called(make, caplog, error):
    """
    This time and the next.
    """

    def fail(references):
        raise error

    hook = Hook()
    watch = make(HERO)
    watch.add(fail)
    watch.add(hook)

    with caplog.at_level(logging.WARNING, "bifrost"):
        for count in (1, 2):
            current().invalidate([HERO])
            until(lambda count=count: len(hook.calls) >= count)

    assert repr(error) in caplog.text


def test_a_hook_may_change_its_list(make):
    """
    The next hook has its own.
    """
    hook = Hook()
    watch = make(HERO, TREE)
    watch.add(list.clear)
    watch.add(hook)

    current().invalidate([HERO, TREE])

    until(lambda: hook.calls)
    assert [[HERO, TREE]] == hook.calls


def test_what_add_returns_ends_it(make):
    """
    Once and for all; other hooks, the same one added again among them, stay.
    """
    hook, other = Hook(), Hook()
    watch = make(HERO)
    end = watch.add(hook)
    watch.add(other)
    end()
    end()

    current().invalidate([HERO])

    until(lambda: other.calls)
    assert [] == hook.calls


def test_a_hook_may_end_itself_and_others(make):
    """
    One that was ended by the one before is not called.
    """
    ends, hook = [], Hook()
    watch = make(HERO)
    ends.append(watch.add(lambda _: [end() for end in ends]))
    ends.append(watch.add(hook))

    current().invalidate([HERO])

    until(lambda: not threads())
    assert [] == hook.calls


def test_the_thread_lives_as_long_as_there_are_hooks(make):
    """
    And comes again with the next.
    """
    watch, hook = make(HERO), Hook()
    for _ in range(3):
        end = watch.add(hook)
        assert 1 == len(threads())
        end()
        until(lambda: not threads())

    watch.add(hook)
    current().invalidate([HERO])

    until(lambda: hook.calls)


def test_hooks_hear_of_the_caches_that_are_in_force(make):
    """
    After `configure`, and in another session.
    """
    hook = Hook()
    watch = make(HERO, TREE, ROCK)
    watch.add(hook)
    settings = current().settings
    current().configure(settings._replace(cache=settings.cache._replace(memory_bytes=1 << 20)))
    current().invalidate([HERO])
    until(lambda: [HERO] == hook.heard)
    old, new = current(), Session(settings)

    session.use(new)
    until(lambda: watch.heard in new.tiers.listeners)
    new.invalidate([TREE])

    until(lambda: [HERO, TREE] == hook.heard)
    old.close()


def test_what_others_publish_is_heard_though_nobody_asks(make, show, monkeypatch):
    """
    A process that only draws follows the catalogue; under other settings of its caches, too.
    """
    monkeypatch.setenv("BIFROST_CACHE__FOLLOW_S", "0.1")
    reference = show.publish("leaf.usda", layer(value="1"))
    current().resolve([reference])
    hook = Hook()
    make(reference).add(hook)
    show.publish("leaf.usda", layer(value="2"))
    until(lambda: hook.calls)
    settings = current().settings
    current().resolve([reference])

    current().configure(settings._replace(cache=settings.cache._replace(memory_bytes=1 << 20)))
    before = len(hook.calls)
    time.sleep(0.5)  # for echoes, which are no news
    show.publish("leaf.usda", layer(value="3"))

    until(lambda: len(hook.calls) > before)


def test_what_an_answer_overtook_on_its_way_is_told_when_it_is_held(make):
    """
    Nothing was held when it was heard of; a moment later something is.
    """
    held, hook = [], Hook()
    watch = in_use(Watch(lambda: held, gather_s=0.05, poll_s=0.05))
    watch.add(hook)
    tiers = current().tiers
    before = tiers.sequence()
    current().invalidate([HERO])
    until(lambda: len(watch._names) == 0)

    watch.answered(tiers, before)
    held.append(HERO)

    until(lambda: hook.calls)
    watch.close()
    assert [[HERO]] == hook.calls


def test_without_hooks_nothing_is_noted(make):
    """
    Neither a listener's call nor an answer costs anything then.
    """
    watch = make(HERO)
    watch.heard(None)
    watch.answered(None, 0)

    assert 0 == len(watch._names)


def test_before_usd_holds_anything_the_thread_does_nothing():
    """
    What it would import could meet the first import of OpenUSD on another thread, and both hang.
    """
    hook = Hook()
    watch = Watch(lambda: [HERO], gather_s=0.02, poll_s=0.02)
    watch.add(hook)

    current().invalidate([HERO])
    time.sleep(0.2)

    assert (0, None, []) == (len(watch._names), watch._followed, hook.calls)
    in_use(watch)
    current().invalidate([HERO])
    until(lambda: hook.calls)
    watch.close()


def test_sixteen_threads_that_invalidate_and_register_lose_nothing(make):
    """
    A hook that is there hears everything that is invalidated while it is.
    """
    references = [f"bifrost:///assets/t{i}" for i in range(160)]
    watch, hook = make(*references), Hook()
    watch.add(hook)

    def work(first):
        for reference in references[first : first + 10]:
            watch.add(Hook())()
            watch.heard([reference.encode()])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(0, 160, 10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LIMIT_S)

    until(lambda: sorted(references) == hook.heard)
    assert 1 == len(threads())


def test_closing_waits_for_the_hook_that_is_being_called(make):
    """
    The end of the interpreter takes no thread away in the middle of one.
    """
    begun, done = threading.Event(), threading.Event()

    def slow(references):
        begun.set()
        time.sleep(0.2)
        done.set()

    watch = make(HERO)
    watch.add(slow)
    current().invalidate([HERO])
    assert begun.wait(LIMIT_S)

    watch.close()

    assert done.is_set()
    assert [] == threads()
