# SPDX-License-Identifier: Apache-2.0
"""What followed a root is recorded in one write, and what changed since is asked again."""

import os
import time
from itertools import count

import pytest

from bifrost.errors import Code
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER
from bifrost.tiers.tiered import TieredCache
from bifrost.usd import closures as module
from bifrost.usd import wire
from bifrost.usd.closures import Closures, resolved, root_state
from bifrost.usd.later import Later

NOW = 1_000_000.0
SCOPE, OTHER = b"s" * 16, b"o" * 16
ROOT = "/show/shot.usda"
GONE = Failure(Code.NOT_FOUND, "gone")
# No test waits for this long unless it fails.
LIMIT_S = 20.0


class Clock:
    now = NOW

    def __call__(self):
        return self.now


class AtOnce:
    """Runs nothing by itself: tests say when it is later."""

    def __init__(self):
        self.jobs = {}

    def put(self, name, delay_s, job, *, within_s):
        self.jobs[name] = job

    def run(self):
        jobs, self.jobs = self.jobs, {}
        for job in jobs.values():
            job()


class CountingTiers(TieredCache):
    """Counts what the closures cost."""

    puts = finds = 0

    def put(self, entries):
        self.puts += 1
        super().put(entries)

    def find(self, keys):
        self.finds += 1
        return super().find(keys)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tiers(clock):
    ticks = count()
    return CountingTiers(
        [MemoryTier(1 << 22)], clock=clock, monotonic_clock=lambda: float(next(ticks))
    )


@pytest.fixture
def later():
    return AtOnce()


@pytest.fixture
def closures(tiers, later, clock):
    return Closures(tiers, later, clock=clock)


def answer(reference, path=None, **changes):
    changes = {"expires": NOW + 60.0, "tier": "manager", **changes}
    return reference, Resolution(reference, path or f"/store/{reference}.usda", **changes)


def known_references(answers):
    return {reference for reference, _ in wire.decode(answers)}


def recorded(closures, later, *answers, root=ROOT, scope=SCOPE):
    closures.record(scope, root, dict(answers), closures.tiers.sequence())
    later.run()
    return closures.find(scope, root)


def test_what_was_recorded_is_found(closures, later):
    """
    The answers, when the first expires, and the tier they came from.
    """
    answers = [
        answer("a"),
        answer("b", expires=NOW + 9.0),
        answer("c", expires=FOREVER, immutable=True),
    ]

    closure = recorded(closures, later, *answers)

    assert answers == list(wire.decode(closure.answers))
    assert (NOW + 9.0, "memory", (0, 0.0)) == (closure.expires, closure.tier, closure.root_state)


@pytest.mark.parametrize(
    ("scope", "root"), [(OTHER, ROOT), (SCOPE, "/show/other.usda"), (SCOPE, "")]
)
def test_nobody_elses_closure_is_found(closures, later, scope, root):
    """
    The key is the policy and the root.
    """
    recorded(closures, later, answer("a"))

    assert closures.find(scope, root) is None


def test_finding_is_one_read(closures, later, tiers):
    """
    However many answers.
    """
    recorded(closures, later, *[answer(f"r{number}") for number in range(1000)])
    before = tiers.finds
    closures.find(SCOPE, ROOT)

    assert 1 == tiers.finds - before


def test_many_recordings_are_one_write(closures, later, tiers):
    """
    Off the hot path: nothing is written until later.
    """
    for number in range(100):
        closures.record(SCOPE, ROOT, dict([answer(f"r{number}")]), closures.tiers.sequence())
    assert 0 == tiers.puts
    later.run()

    assert 1 == tiers.puts
    assert {f"r{number}" for number in range(100)} == known_references(
        closures.find(SCOPE, ROOT).answers
    )


def test_what_is_resolved_without_a_pause_is_recorded_too(tiers, clock, monkeypatch):
    """
    It waits in memory no longer than so long, and is not lost with the process.
    """
    monkeypatch.setattr(module, "_RECORD_WITHIN_S", 0.1)
    closures, end = Closures(tiers, Later(), clock=clock), time.monotonic() + LIMIT_S
    numbers = count()
    while closures.find(SCOPE, ROOT) is None and time.monotonic() < end:
        closures.record(SCOPE, ROOT, dict([answer(f"bifrost:///{next(numbers)}")]), 0)
        time.sleep(0.01)

    assert closures.find(SCOPE, ROOT) is not None


def test_recording_adds_and_the_newer_answer_wins(closures, later):
    """
    What a later open asked for is added to what an earlier one did.
    """
    recorded(closures, later, answer("a", "/store/v1.usda"), answer("b"))
    closure = recorded(closures, later, answer("a", "/store/v2.usda"), answer("c"))

    assert {"a": "/store/v2.usda", "b": "/store/b.usda", "c": "/store/c.usda"} == {
        reference: outcome.path for reference, outcome in wire.decode(closure.answers)
    }


def test_recording_nothing_writes_nothing(closures, later, tiers):
    """
    A root without references has no closure.
    """
    assert recorded(closures, later) is None
    assert 0 == tiers.puts


def test_a_fresh_closure_need_not_be_read(closures, later):
    """
    None: replay the bytes as they are.
    """
    assert closures.stale_references(recorded(closures, later, answer("a"), answer("b"))) is None


def test_only_what_expired_is_asked_again(closures, later, clock):
    """
    In one batch, and the rest is replayed.
    """
    closure = recorded(
        closures,
        later,
        answer("a", expires=NOW + 10.0),
        answer("b", expires=NOW + 20.0),
        answer("c", expires=FOREVER, immutable=True),
    )
    clock.now += 10.0

    assert {"a"} == closures.stale_references(closure)


def test_failures_are_kept_apart(closures, later):
    """
    They are asked again when one of them is wanted, and make nothing stale until then.
    """
    closure = recorded(closures, later, answer("a"), ("b", GONE))

    assert ("b",) == closure.failed
    assert {"a"} == known_references(closure.answers)
    assert closures.stale_references(closure) is None


def test_a_failure_that_was_mended_is_an_answer(closures, later):
    """
    The newer outcome counts, either way.
    """
    recorded(closures, later, answer("a"), ("b", GONE))
    closure = recorded(closures, later, ("a", GONE), answer("b"))

    assert (("a",), {"b"}) == (closure.failed, known_references(closure.answers))


def test_what_was_invalidated_is_asked_again(closures, later, tiers):
    """
    Immutable answers, too: an invalidation of those is a deletion or a change of grants.
    """
    closure = recorded(
        closures, later, answer("a"), answer("b"), answer("c", expires=FOREVER, immutable=True)
    )
    tiers.invalidate([b"a", b"c", b"elsewhere"])

    assert {"a", "c"} == closures.stale_references(closure)


def test_an_invalidation_elsewhere_costs_nothing(closures, later, tiers):
    """
    None of it is in this closure.
    """
    closure = recorded(closures, later, answer("a"))
    tiers.invalidate([b"elsewhere"])

    assert closures.stale_references(closure) is None


def test_when_nobody_knows_what_changed_everything_is_asked_again(closures, later, tiers):
    """
    Everything was invalidated, or too much for the log: a deletion may be among it.
    """
    closure = recorded(
        closures, later, answer("a"), answer("b"), answer("c", expires=FOREVER, immutable=True)
    )
    tiers.invalidate(None)

    assert {"a", "b", "c"} == closures.stale_references(closure)


def test_what_is_recorded_later_does_not_hide_an_invalidation(closures, later, tiers):
    """
    A payload loaded after a publish adds to the closure; what the publish superseded stays stale.
    """
    recorded(closures, later, answer("a"))
    tiers.invalidate([b"a"])
    closure = recorded(closures, later, answer("b"))

    assert {"a"} == closures.stale_references(closure)


def test_what_was_asked_anew_after_an_invalidation_is_fresh(closures, later, tiers):
    """
    One round trip for a change, not one for every open after it.
    """
    recorded(closures, later, answer("a"), answer("b"))
    tiers.invalidate([b"a"])
    closure = recorded(closures, later, answer("a", "/store/v2.usda"), answer("b"))

    assert closures.stale_references(closure) is None


def test_an_invalidation_between_recording_and_writing_is_seen(closures, later, tiers):
    """
    The second that passes before the write hides nothing.
    """
    closures.record(SCOPE, ROOT, dict([answer("a")]), closures.tiers.sequence())
    tiers.invalidate([b"a"])
    closures.record(SCOPE, ROOT, dict([answer("b")]), closures.tiers.sequence())
    later.run()

    assert {"a"} == closures.stale_references(closures.find(SCOPE, ROOT))


def test_a_closure_larger_than_any_stage_is_not_recorded(closures, later, monkeypatch):
    """
    The one before it stays.
    """
    monkeypatch.setattr(module, "_MOST_ANSWERS", 3)
    recorded(closures, later, answer("a"))

    closure = recorded(closures, later, *[answer(f"r{number}") for number in range(4)])

    assert {"a"} == known_references(closure.answers)


def test_a_closure_that_grows_past_the_bound_starts_over(closures, later, monkeypatch):
    """
    It is not kept as it is for ever, with answers that nothing renews.
    """
    monkeypatch.setattr(module, "_MOST_ANSWERS", 3)
    recorded(closures, later, *[answer(f"r{number}") for number in range(3)])

    closure = recorded(closures, later, answer("a"), answer("r0"))

    assert {"a", "r0"} == known_references(closure.answers)


def test_damaged_bytes_are_replaced_by_the_next_recording(closures, later, tiers):
    """
    Of another version of this code, say.
    """
    recorded(closures, later, answer("a"))
    key = module._key(SCOPE, ROOT)
    entry = tiers.get([key])[key]
    entry.value = entry.value[:-3]

    closure = recorded(closures, later, answer("b"))

    assert {"b"} == known_references(closure.answers)


@pytest.mark.parametrize("size", [0, 1, 31, 32])
def test_bytes_too_short_for_a_closure_are_none(closures, later, tiers, size):
    """
    A miss, not an exception.
    """
    recorded(closures, later, answer("a"))
    key = module._key(SCOPE, ROOT)
    entry = tiers.get([key])[key]
    entry.value = entry.value[:size]

    assert closures.find(SCOPE, ROOT) is None


def test_a_changed_root_layer_is_seen(closures, later, tmp_path):
    """
    Size and modification time: what it refers to may be other things now.
    """
    root = tmp_path / "shot.usda"
    root.write_text("#usda 1.0\n")
    os.utime(root, (5, 5))
    closure = recorded(closures, later, answer("a"), root=str(root))
    assert root_state(str(root)) == closure.root_state

    root.write_text("#usda 1.0\n\n")
    assert root_state(str(root)) != closure.root_state


@pytest.mark.parametrize(
    "root", ["", "/no/such/file", "bifrost:///assets/a", "a\0b", "\udcff", "x" * 9999]
)
def test_what_is_no_file_has_no_state(root):
    """
    Roots are references, too; and nothing raises.
    """
    assert (0, 0.0) == root_state(root)


def test_roots_whose_names_are_no_text_have_closures(closures, later):
    """
    File names are bytes.
    """
    root = "/show/\udcff.usda"

    assert {"a"} == known_references(recorded(closures, later, answer("a"), root=root).answers)


def test_a_forked_child_records_nothing_of_its_parent(closures, later):
    """
    The parent writes what the parent resolved.
    """
    closures.record(SCOPE, ROOT, dict([answer("a")]), closures.tiers.sequence())
    closures.after_fork()
    later.run()

    assert closures.find(SCOPE, ROOT) is None


def test_only_resolutions_can_be_refreshed():
    """
    What fails in a refresh is left out.
    """
    a, b = answer("a"), ("b", GONE)

    assert dict([a]) == resolved([a, b])


def test_a_failure_among_recorded_answers_is_asked_again(closures, later):
    """
    None is ever recorded there; who may write where caches lie has planted it.
    """
    found = recorded(closures, later, answer("a", expires=NOW - 1.0))
    planted = wire.encode([("a", Failure(Code.NOT_FOUND, "none")), answer("b")])

    assert {"a"} == closures.stale_references(found._replace(answers=planted))


def openings(closures, later, number, *, first=0):
    """Let so many openings each add a version that no other wants."""
    for version in range(first, first + number):
        closures.begin(SCOPE, ROOT)
        recorded(closures, later, answer(f"prop?version={version}"))


def test_what_openings_add_is_given_up_once_it_is_a_quarter_of_what_they_began_with(
    closures, later, clock
):
    """
    What is replayed is never asked for: nobody hears of versions that are used no more.
    """
    recorded(closures, later, *[answer(f"r{number}") for number in range(200)])
    clock.now += 60.0
    openings(closures, later, 150)
    assert 350 == wire.count(closures.find(SCOPE, ROOT).answers)
    assert closures.begin(SCOPE, ROOT) is not None

    openings(closures, later, 1, first=150)
    assert closures.begin(SCOPE, ROOT) is None
    anew = recorded(closures, later, *[answer(f"r{number}") for number in range(190)])

    assert {f"r{number}" for number in range(190)} == known_references(anew.answers)
    assert anew == closures.begin(SCOPE, ROOT)


def test_what_waits_to_be_recorded_is_given_up_with_the_rest(closures, later, clock):
    """
    Openings that follow one another closely replay it all, and have it recorded once more.

    What they ask for after that is recorded whole, however many begin meanwhile.
    """
    recorded(closures, later, *[answer(f"r{number}") for number in range(200)])
    clock.now += 60.0
    openings(closures, later, 151)
    replayed = dict(wire.decode(closures.find(SCOPE, ROOT).answers))
    closures.record(SCOPE, ROOT, replayed, closures.tiers.sequence())

    for number in range(190):
        assert closures.begin(SCOPE, ROOT) is None
        if not number:
            later.run()  # the write of what was given up
        closures.record(SCOPE, ROOT, dict([answer(f"r{number}")]), closures.tiers.sequence())
    later.run()

    anew = closures.find(SCOPE, ROOT)
    assert {f"r{number}" for number in range(190)} == known_references(anew.answers)


def test_an_opening_that_takes_its_time_is_recorded_whole(closures, later, clock):
    """
    However many writes that takes, and however few references the first of them had.
    """
    for start in range(0, 3_000, 300):
        recorded(closures, later, *[answer(f"r{number}") for number in range(start, start + 300)])
        clock.now += 30.0

    assert 3_000 == wire.count(closures.begin(SCOPE, ROOT).answers)


def test_an_opening_that_others_begin_with_meanwhile_is_not_given_up(closures, later, clock):
    """
    On a farm they start all the time: what was recorded so far is not what they will need.
    """
    recorded(closures, later, *[answer(f"r{number}") for number in range(100)])
    clock.now += 10.0
    closures.begin(SCOPE, ROOT)
    recorded(closures, later, *[answer(f"r{number}") for number in range(100, 200)])
    clock.now += 40.0
    recorded(closures, later, *[answer(f"r{number}") for number in range(200, 3_000)])
    clock.now += 40.0

    openings(closures, later, 3)

    assert 3_003 == wire.count(closures.begin(SCOPE, ROOT).answers)


def test_openings_that_load_all_and_others_that_load_nothing_may_take_turns(closures, later, clock):
    """
    Nothing is given up within a minute, whatever it grew to.
    """
    recorded(closures, later, answer("a"))
    closures.begin(SCOPE, ROOT)
    recorded(closures, later, *[answer(f"r{number}") for number in range(3_000)])
    clock.now += 59.0

    assert 3_001 == wire.count(closures.begin(SCOPE, ROOT).answers)
