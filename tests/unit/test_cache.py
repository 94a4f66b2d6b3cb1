# SPDX-License-Identifier: Apache-2.0
"""The cache of answers: fresh ones are served, stale ones only in an outage, nobody else's ever."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.context import Context
from bifrost.errors import Code, TierError
from bifrost.model.permissions import Principal
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import Cache, _keys
from bifrost.settings import CacheSettings
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.tiered import TieredCache

TTL_S, NEGATIVE_S, STALE_S = 60.0, 5.0, 600.0
SETTINGS = CacheSettings(ttl_s=TTL_S, negative_ttl_s=NEGATIVE_S, stale_s=STALE_S)
DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)
LATE = Failure(Code.DEADLINE, "too slow")
NOT_FOUND = Failure(Code.NOT_FOUND, "no such asset", details={"suggestions": ["hero"]})
DENIED = Failure(Code.PERMISSION_DENIED, "not you")
HERO = "bifrost:///assets/hero"


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


class Manager:
    """Answers what it is told to, else with a resolution; remembers what it was asked."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def handle(self, request):
        self.asked.append((request.operation, request.references))
        return Reply.by_reference(request, self.answer)

    def answer(self, reference):
        return self.answers.get(reference, resolved(reference))


def resolved(reference, **changes):
    return Resolution(reference, f"/store/{reference[-4:]}.usda", manager="m", **changes)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def tiers(clock):
    return TieredCache([MemoryTier(1 << 20, clock=clock)], clock=clock)


@pytest.fixture
def cache(manager, tiers, clock):
    return Cache(manager, tiers, "the manager", SETTINGS, clock=clock)


def ask(cache, *references, context=None, **options):
    snapshot = (context or Context()).snapshot()
    return cache.handle(Request(Operation.RESOLVE, references, snapshot, **options)).outcomes


def test_what_is_known_is_not_asked_again(cache, manager):
    """
    One question to the manager, however often it is asked of the cache.
    """
    (first,) = ask(cache, HERO)
    (second,) = ask(cache, HERO)

    assert 1 == len(manager.asked)
    assert ("manager", "memory") == (first.tier, second.tier)
    assert first.path == second.path


def test_only_what_is_missing_is_asked_and_once(cache, manager):
    """
    A batch asks for the rest in one request, without duplicates.
    """
    ask(cache, "a", "b")

    outcomes = ask(cache, "c", "a", "d", "c", "b")

    assert ("c", "d") == manager.asked[-1][1]
    assert ["c", "a", "d", "c", "b"] == [outcome.reference for outcome in outcomes]


def test_a_floating_answer_is_fresh_for_the_ttl(cache, manager, clock):
    """
    A moment before its end it is served, at its end the manager is asked.
    """
    (answer,) = ask(cache, HERO)
    clock.now += TTL_S - 0.001
    ask(cache, HERO)
    assert 1 == len(manager.asked)

    clock.now += 0.001
    ask(cache, HERO)
    assert 2 == len(manager.asked)
    assert clock.now == answer.expires


def test_an_answer_about_one_version_is_fresh_for_ever(cache, manager, clock):
    """
    What a reference pins does not change.
    """
    manager.answers[HERO] = resolved(HERO, immutable=True, version="3")
    (answer,) = ask(cache, HERO)
    clock.now += 1e9

    (later,) = ask(cache, HERO)

    assert (FOREVER, FOREVER) == (answer.expires, later.expires)
    assert 1 == len(manager.asked)


def test_a_definite_failure_is_remembered_briefly(cache, manager, clock):
    """
    A missing texture asked for by a thousand prims is one question.
    """
    manager.answers[HERO] = NOT_FOUND
    assert (NOT_FOUND, NOT_FOUND) == ask(cache, HERO) + ask(cache, HERO)
    assert 1 == len(manager.asked)

    clock.now += NEGATIVE_S
    ask(cache, HERO)
    assert 2 == len(manager.asked)


@pytest.mark.parametrize("failure", [DOWN, LATE, Failure(Code.CONFLICT, "busy", retryable=True)])
def test_a_failure_that_may_pass_is_not_remembered(cache, manager, failure):
    """
    The next question may find the manager well again.
    """
    manager.answers[HERO] = failure
    assert (failure,) == ask(cache, HERO)
    del manager.answers[HERO]

    assert isinstance(ask(cache, HERO)[0], Resolution)


@pytest.mark.parametrize("failure", [DOWN, LATE])
def test_when_the_manager_is_down_an_expired_answer_is_served(cache, manager, clock, failure):
    """
    An expired answer beats none, is marked, and is not believed for long.
    """
    ask(cache, HERO)
    manager.answers[HERO] = failure
    clock.now += TTL_S + STALE_S - 0.001

    (answer,) = ask(cache, HERO)

    assert (HERO, "stale") == (answer.reference, answer.tier)
    assert clock.now < answer.expires < clock.now + TTL_S


def test_an_answer_that_is_too_old_is_not_served_even_in_an_outage(cache, manager, clock):
    """
    After `cache.stale_s` the outage is told as it is.
    """
    ask(cache, HERO)
    manager.answers[HERO] = DOWN
    clock.now += TTL_S + STALE_S

    assert (DOWN,) == ask(cache, HERO)


def test_an_outage_of_some_leaves_the_others_answers(cache, manager, clock):
    """
    Stale for one, fresh for another, the failure for a third that was never known.
    """
    ask(cache, "a")
    clock.now += TTL_S
    manager.answers.update(a=DOWN, c=DOWN)

    outcomes = ask(cache, "a", "b", "c")

    assert ["stale", "manager", DOWN] == [getattr(each, "tier", each) for each in outcomes]


@pytest.mark.parametrize("failure", [NOT_FOUND, DENIED])
def test_a_definite_failure_outlives_an_outage(cache, manager, clock, failure):
    """
    What the manager took back is not served again as stale: a cache never widens access.
    """
    ask(cache, HERO)
    clock.now += TTL_S
    manager.answers[HERO] = failure
    ask(cache, HERO)
    clock.now += NEGATIVE_S
    manager.answers[HERO] = DOWN

    assert (DOWN,) == ask(cache, HERO)


@pytest.mark.parametrize("failure", [NOT_FOUND, DENIED])
def test_a_definite_failure_replaces_a_fresh_answer(cache, manager, failure):
    """
    After a refresh learnt that it is gone, nobody is told that it is there.
    """
    ask(cache, HERO)
    manager.answers[HERO] = failure
    ask(cache, HERO, fresh=True)

    assert (failure,) == ask(cache, HERO)


def test_a_fresh_request_passes_over_what_is_known_and_is_kept(cache, manager):
    """
    A refresh asks the manager, and everybody after it has the new answer.
    """
    ask(cache, HERO)
    manager.answers[HERO] = Resolution(HERO, "/store/v2.usda")

    assert "/store/v2.usda" == ask(cache, HERO, fresh=True)[0].path
    assert "/store/v2.usda" == ask(cache, HERO)[0].path
    assert 2 == len(manager.asked)


def test_a_fresh_request_finds_what_was_missing(cache, manager):
    """
    A remembered failure does not hide the asset that was published since.
    """
    manager.answers[HERO] = NOT_FOUND
    ask(cache, HERO)
    del manager.answers[HERO]
    ask(cache, HERO, fresh=True)

    assert isinstance(ask(cache, HERO)[0], Resolution)


@pytest.mark.parametrize("late", [resolved(HERO), DENIED])
def test_a_late_answer_does_not_take_the_place_of_one_that_was_asked_for_later(
    cache, manager, clock, monkeypatch, late
):
    """
    Of a slow manager, which had the question before somebody refreshed.
    """
    new, answer = Resolution(HERO, "/store/v2.usda"), manager.answer

    def refreshed_meanwhile(reference):
        monkeypatch.setattr(manager, "answer", answer)
        manager.answers[HERO] = new
        clock.now += 1.0
        assert new.path == ask(cache, HERO, fresh=True)[0].path
        return late

    monkeypatch.setattr(manager, "answer", refreshed_meanwhile)
    ask(cache, HERO)

    assert new.path == ask(cache, HERO)[0].path
    assert 2 == len(manager.asked)


def test_forgetting_failures_asks_again(cache, manager):
    """
    Something was published: it may be what was missing.
    """
    manager.answers[HERO] = NOT_FOUND
    ask(cache, HERO)
    del manager.answers[HERO]
    cache.forget_failures(None, 2)

    assert isinstance(ask(cache, HERO)[0], Resolution)


@pytest.mark.parametrize(
    "attribute", ["user", "access_token", "version", "as_of", "current_project"]
)
def test_nobody_is_served_anothers_answer(cache, manager, attribute):
    """
    Neither answers nor failures cross principals or policies.
    """
    manager.answers["b"] = DENIED
    for value in ("x", "y"):
        ask(cache, "a", "b", context=Context(**{attribute: value}))

    assert [("a", "b"), ("a", "b")] == [references for _, references in manager.asked]


def test_calls_that_differ_only_in_their_trace_share_answers(cache, manager):
    """
    A trace id is no identity.
    """
    for trace_id in ("x", "y"):
        ask(cache, HERO, context=Context(trace_id=trace_id))

    assert 1 == len(manager.asked)


def test_two_managers_share_nothing(manager, tiers, clock):
    """
    Keys hold the manager's identity: two libraries behind one cache are two.
    """
    for identity in ("one", "two"):
        ask(Cache(manager, tiers, identity, SETTINGS, clock=clock), HERO)

    assert 2 == len(manager.asked)


def test_another_session_finds_what_one_learnt(manager, tiers, clock):
    """
    What lies in the tiers is anybody's with the same manager and context.
    """
    for _ in range(2):
        ask(Cache(manager, tiers, "the manager", SETTINGS, clock=clock), HERO)

    assert 1 == len(manager.asked)


def test_what_was_invalidated_is_asked_again(cache, manager, tiers):
    """
    For every context.
    """
    for _ in range(2):
        ask(cache, HERO, "other", context=Context(user="ada"))
        ask(cache, HERO, "other")
        tiers.invalidate([HERO.encode()])

    assert [(HERO, "other")] * 2 + [(HERO,)] * 2 == [references for _, references in manager.asked]


def test_an_answer_that_an_invalidation_overtook_is_not_kept(cache, manager, tiers):
    """
    It was right when it was given and wrong when it arrived.
    """
    answer = manager.answer

    def answer_late(reference):
        tiers.invalidate([reference.encode()])
        return answer(reference)

    manager.answer = answer_late
    ask(cache, HERO)
    manager.answer = answer
    ask(cache, HERO)

    assert 2 == len(manager.asked)


@pytest.mark.parametrize(
    "operation", sorted(set(Operation) - {Operation.RESOLVE, Operation.LOCATE})
)
def test_other_questions_pass_through(cache, manager, operation):
    """
    Only resolutions are kept.
    """
    request = Request(operation, (HERO,), Context().snapshot())
    for _ in range(2):
        cache.handle(request)

    assert [(operation, (HERO,))] * 2 == manager.asked


class BrokenTier(MemoryTier):
    """Raises for whatever is asked of it."""

    def get(self, keys):
        raise TierError("broken")

    put = delete = get


def test_a_broken_tier_is_a_miss(manager, clock):
    """
    Slower, never wrong.
    """
    tiers = TieredCache([BrokenTier(1), MemoryTier(1 << 20)], clock=clock)
    cache = Cache(manager, tiers, "the manager", SETTINGS, clock=clock)

    assert ["manager", "memory"] == [ask(cache, HERO)[0].tier for _ in range(2)]


@given(st.binary(max_size=30))
def test_bytes_of_another_version_are_a_miss(value):
    """
    Whatever lies under the key, the answer is right or asked for.
    """
    clock, manager = Clock(), Manager()
    tiers = TieredCache([MemoryTier(1 << 20)], clock=clock)
    cache = Cache(manager, tiers, "the manager", SETTINGS, clock=clock)
    key = b"r" + cache.scope("") + HERO.encode()
    tiers.put({key: Entry(value, FOREVER, clock.now)})

    assert "manager" == ask(cache, HERO)[0].tier


RESOLUTIONS = st.builds(
    Resolution,
    reference=st.just(HERO),
    path=st.text(st.characters(exclude_categories=["Cs"])).map("/{}".format),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    version=st.text(st.characters(exclude_categories=["Cs"])),
    immutable=st.booleans(),
    templated=st.booleans(),
    modified=st.floats(0, 1e10),
    manager=st.text(st.characters(exclude_categories=["Cs"])),
)


@given(RESOLUTIONS)
def test_an_answer_comes_back_as_it_was_given(resolution):
    """
    Every field, through the bytes of a tier.
    """
    clock, manager = Clock(), Manager()
    tiers = TieredCache([MemoryTier(1 << 20)], clock=clock)
    cache = Cache(manager, tiers, "the manager", SETTINGS, clock=clock)
    manager.answers[HERO] = resolution

    ((first,), (second,)) = ask(cache, HERO), ask(cache, HERO)

    def without_tier(each):
        return each._replace(tier="")

    assert without_tier(first) == without_tier(second)
    assert 1 == len(manager.asked)


def test_paths_that_are_no_utf8_are_kept(cache, manager):
    """
    File names are bytes; Python shows those that are no text as lone surrogates.
    """
    manager.answers[HERO] = Resolution(HERO, "/store/\udcff.usda")

    assert ["/store/\udcff.usda"] * 2 == [ask(cache, HERO)[0].path for _ in range(2)]
    assert 1 == len(manager.asked)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(Code.FILE_MISSING, "its file is not there: /store/\udcff.usda"),
        Failure(Code.FILE_MISSING, "\ud800"),
        Failure(Code.UNKNOWN, "odd", details={"seen": {1, 2}}),
        Failure(Code.UNKNOWN, "odd", details={"error": ValueError("x")}),
    ],
)
def test_any_failure_can_be_remembered_or_is_asked_again(cache, manager, failure):
    """
    What it says must not matter: a message with the bytes of a path, details of any type.
    """
    manager.answers[HERO] = failure

    assert ask(cache, HERO) == ask(cache, HERO)
    assert failure.code == ask(cache, HERO)[0].code


@pytest.mark.parametrize("reference", ["", "\0", *map(chr, (0xDCFF, 0xD800)), "x" * 100_000, "🦄"])
def test_any_text_may_be_asked_for(cache, manager, reference):
    """
    What is no reference is the manager's to refuse, not the cache's to choke on.
    """
    manager.answers[reference] = NOT_FOUND

    assert (NOT_FOUND,) == ask(cache, reference)


def test_the_scope_differs_where_answers_may(cache, manager, tiers):
    """
    Sixteen bytes of manager, principal and policy, without a way to swap one for another.
    """
    other = Cache(manager, tiers, "the manager\0", SETTINGS)
    scopes = [
        cache.scope(""),
        cache.scope("a"),
        cache.scope("b"),
        other.scope(""),
        other.scope("a"),
    ]

    assert 5 == len(set(scopes))
    assert {16} == set(map(len, scopes))


def test_nothing_is_asked_for_an_empty_request(cache, manager):
    """
    No references, no round trip.
    """
    assert () == ask(cache)
    assert [] == manager.asked


@pytest.mark.parametrize(
    "fields",
    [
        (None,) * 6,
        ({"a": 1}, "3", False, False, 12.5, "m"),
        ("Hero", "3", "yes", False, 12.5, "m"),
        ("Hero", "3", False, False, "now", "m"),
    ],
)
def test_an_entry_whose_fields_are_of_other_types_is_a_miss(cache, manager, tiers, fields):
    """
    Another version of this code wrote it, or somebody who may write where caches lie.
    """
    (known,) = ask(cache, HERO)
    (key,) = _keys(cache.scope(""), [HERO])
    path = known.path.encode()
    value = len(path).to_bytes(4, "little") + path + msgpack.packb(fields)
    tiers.put({key: Entry(value, FOREVER, 0.0, tiers.sequence())})

    assert known == ask(cache, HERO)[0]
    assert 2 == len(manager.asked)


def test_what_was_denied_to_a_token_that_ended_is_not_kept_against_its_owner(cache, manager, clock):
    """
    The scope is the person's: with a new token they have what they had.
    """
    context = Context().snapshot()
    old, new = (
        context.verified(Principal("ann", expires=clock.now + seconds)) for seconds in (1.0, 60.0)
    )

    def asked(snapshot, **options):
        request = Request(Operation.RESOLVE, (HERO,), snapshot, **options)
        return cache.handle(request).outcomes[0]

    asked(old)
    manager.answers[HERO] = DENIED
    clock.now += 2.0
    assert DENIED == asked(old, fresh=True)
    manager.answers.clear()

    assert "memory" == asked(new).tier
    manager.answers[HERO] = DENIED
    assert DENIED == asked(new, fresh=True) == asked(new)
    assert 3 == len(manager.asked)
