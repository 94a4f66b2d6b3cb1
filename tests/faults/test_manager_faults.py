# SPDX-License-Identifier: Apache-2.0
"""
Managers that fail now and then, hang, throttle, answer garbage: what comes is right or says what is wrong.

Real managers behind OpenAssetIO, made from a config file as an application's are. What they received is
counted; no time is measured but where a bound is promised, and that with room for a busy machine.
"""

import gc
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest

from bifrost import errors
from bifrost.errors import AssetException, Code
from bifrost.host import BifrostHostInterface
from bifrost.model.reply import Failure
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import managers
from bifrost.testing.managers import Controls

# Whatever is waited for happens at once, or the test has failed.
PATIENCE_S = 20.0
# The promise is well before a second; this machine may be busy with other things for longer.
PROMPT_S = 5.0
SECOND = "org.bifrost.test.second"
NAMES = [f"asset_{number:03d}.usda" for number in range(400)]
HERO, VILLAIN = (managers.PREFIX + name for name in NAMES[:2])


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)


def uris(names=NAMES):
    return [managers.PREFIX + name for name in names]


def folder_of(path):
    path.mkdir()
    for name in NAMES:
        (path / name).write_text("#usda 1.0\n")
    return path


@pytest.fixture
def files(tmp_path):
    return folder_of(tmp_path / "files")


@pytest.fixture
def controls(tmp_path):
    return Controls(tmp_path / "controls")


@pytest.fixture
def make(tmp_path, files, controls, monkeypatch):
    """
    Make a host over a manager that *fault* befalls, with settings named as in the environment.

    Failures are forgotten at once, and retries wait for next to nothing, unless a test says otherwise.
    """
    made = []
    plain = {"cache__negative_ttl_s": 0, "retry__base_s": 0.001, "cache__disk_bytes": 0}

    def make(fault="none", *, share=1.0, seed=0, retry_after_s=0.0, **settings):
        variables = managers.install(
            tmp_path,
            files=files,
            fault=fault,
            controls=str(controls.directory),
            share=share,
            seed=seed,
            retry_after_s=retry_after_s,
        )
        for name, value in {**plain, **settings}.items():
            variables[f"BIFROST_{name.upper()}"] = str(value)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made.append(Session(load()))
        return BifrostHostInterface(made[-1])

    yield make
    managers.release()
    for session in made:
        session.close()
    managers.deliver_late()


def raised_by(call, *args, **options):
    with pytest.raises(errors.BifrostError) as caught:
        call(*args, **options)
    return caught.value


def asked(controls):
    """Return how many calls reached the manager."""
    return len(controls.calls())


def attempt(call, *args, **options):
    """Return what *call* returns, or the exception about a reference that it raises."""
    try:
        return call(*args, **options)
    except AssetException as error:
        return error


def breaker(host):
    return host.get_performance_stats()["manager"]["breaker"]


class TestNowAndThen:
    """Three calls of ten fail."""

    @pytest.mark.parametrize("fault", ["raise_openassetio", "raise_oserror", "throttle"])
    def test_asking_again_gets_the_answer(self, make, controls, files, fault):
        """
        Whatever way it is down in; each failed call is one call more, and nobody hears of it.
        """
        host = make(fault, share=0.3, seed=7, retry__attempts=20, breaker__failures=20)

        paths = [host.resolve_asset_path(uri) for uri in uris(NAMES[:100])]

        assert [files / name for name in NAMES[:100]] == paths
        assert 110 < asked(controls) < 250
        assert "closed" == breaker(host)

    def test_attempts_are_counted_to_the_last(self, make, controls):
        """
        In the exception, and they are calls that the manager received.
        """
        host = make("raise_openassetio", retry__attempts=4)

        error = raised_by(host.resolve_asset_path, HERO)

        assert errors.NetworkErrorException is type(error)
        assert 4 == error.context["attempt"] == asked(controls)

    def test_each_answer_is_right_or_says_what_is_wrong(self, make, files):
        """
        Outages and refused elements, one by one and with few attempts: some of each come through.
        """
        host = make(
            "raise_oserror,denied", share=0.3, seed=3, retry__attempts=2, breaker__failures=50
        )

        outcomes = {name: attempt(host.resolve_asset_path, uris([name])[0]) for name in NAMES}

        kinds = {type(each) for each in outcomes.values() if isinstance(each, Exception)}
        assert {errors.NetworkErrorException, errors.PermissionDeniedException} == kinds
        for name, outcome in outcomes.items():
            if isinstance(outcome, errors.NetworkErrorException):
                assert (2, uris([name])[0]) == (outcome.context["attempt"], outcome.asset_uri)
            elif not isinstance(outcome, Exception):
                assert files / name == outcome

    def test_in_batches_too(self, make, files):
        """
        Only refused elements fail: parts that met an outage were asked again.
        """
        host = make(
            "raise_oserror,denied", share=0.3, seed=5, retry__attempts=20, breaker__failures=50
        )

        outcomes = host.resolve_asset_paths(uris(), batch_size=25, on_error="return")

        failed = [each for each in outcomes if isinstance(each, Exception)]
        assert {errors.PermissionDeniedException} == {type(each) for each in failed}
        assert 60 < len(failed) < 180
        for name, outcome in zip(NAMES, outcomes, strict=True):
            assert isinstance(outcome, Exception) or files / name == outcome

    def test_from_many_threads_at_once(self, make, files):
        """
        Nobody gets the answer, or the failure, to another's question.
        """
        host = make(
            "raise_openassetio,denied", share=0.3, seed=1, retry__attempts=3, breaker__failures=99
        )
        everything = [(name, uri) for name, uri in zip(NAMES, uris(), strict=True)] * 4

        with ThreadPoolExecutor(16) as pool:
            outcomes = list(
                pool.map(lambda one: attempt(host.resolve_asset_path, one[1]), everything)
            )

        for (name, uri), outcome in zip(everything, outcomes, strict=True):
            if isinstance(outcome, AssetException):
                assert uri == outcome.asset_uri
            else:
                assert files / name == outcome

    def test_errors_of_elements_open_no_breaker(self, make, controls):
        """
        A manager that refuses is there: an outage would have opened it at the first.
        """
        host = make("denied", breaker__failures=1)

        for uri in uris(NAMES[:20]):
            assert Code.PERMISSION_DENIED is raised_by(host.resolve_asset_path, uri).code

        assert 20 == asked(controls)
        assert "closed" == breaker(host)


class TestHanging:
    def test_it_is_given_up_at_the_deadline(self, make):
        """
        A manager that sleeps for a minute is left after 200 ms, well before a second.
        """
        host = make("hang")
        start = time.monotonic()

        error = raised_by(host.resolve_asset_path, HERO, deadline_s=0.2)

        assert time.monotonic() - start < PROMPT_S
        assert errors.DeadlineExceededException is type(error)
        assert "0.2 s" in error.message

    @pytest.mark.parametrize(
        "call", ["resolve_asset_path", "get_version", "entity_exists", "get_entity_info"]
    )
    def test_the_deadline_of_the_settings_bounds_every_question(self, make, call):
        """
        Also those that take no deadline of their own.
        """
        host = make("hang", manager__deadline_s=0.2)
        start = time.monotonic()

        assert Code.DEADLINE is raised_by(getattr(host, call), HERO).code
        assert time.monotonic() - start < PROMPT_S

    def test_when_every_worker_hangs_the_next_question_is_given_up_too(self, make, controls):
        """
        Without being asked: it would be one more that hangs. When they come back all is well.
        """
        host = make("hang", manager__max_workers=2)
        for uri in uris(NAMES[:5]):
            assert Code.DEADLINE is raised_by(host.resolve_asset_path, uri, deadline_s=0.2).code
        assert 2 == asked(controls)

        controls.set(fault="none")
        managers.release()

        until(lambda: not host.get_performance_stats()["manager"]["threads"]["busy"])
        assert host.resolve_asset_path(uris()[5], deadline_s=PATIENCE_S).name == NAMES[5]

    def test_many_threads_are_all_given_up_at_their_deadlines(self, make, controls):
        """
        Those that ask for the same, and wait for another's answer, too.
        """
        host = make("hang", manager__max_workers=4)
        start = time.monotonic()

        with ThreadPoolExecutor(16) as pool:
            found = list(
                pool.map(
                    lambda uri: raised_by(host.resolve_asset_path, uri, deadline_s=0.3).code,
                    uris(NAMES[:8]) * 4,
                )
            )

        assert {Code.DEADLINE} == set(found)
        assert asked(controls) <= 4
        assert time.monotonic() - start < 2 * PROMPT_S

    def test_a_batch_has_one_deadline_for_each_round_trip(self, make):
        """
        In parts of a size that is fixed, two at a time: all is over with the first two.
        """
        host = make("hang", manager__max_workers=2)
        start = time.monotonic()

        outcomes = host.resolve_asset_paths(
            uris(NAMES[:100]), batch_size=50, deadline_s=0.2, on_error="return", adaptive=False
        )

        assert [Code.DEADLINE] * 100 == [each.code for each in outcomes]
        assert time.monotonic() - start < PROMPT_S

    def test_a_manager_that_hangs_is_left_alone_like_one_that_is_down(self, make):
        """
        Where it used up all the time that the settings give it, and not because a caller had little.
        """
        host = make("hang", manager__max_workers=2, breaker__failures=3, manager__deadline_s=0.1)
        for uri in uris(NAMES[:4]):
            raised_by(host.resolve_asset_path, uri)

        assert "open" == breaker(host)

    def test_close_does_not_wait_for_it(self, make, controls):
        """
        Who waits is let go, with a clear error, however patient.
        """
        host = make("hang")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(raised_by, host.resolve_asset_path, HERO, deadline_s=60)
            until(lambda: asked(controls) == 1)
            start = time.monotonic()

            host.session.close()

            assert time.monotonic() - start < 2 * PROMPT_S
            assert errors.NetworkErrorException is type(waiting.result(PATIENCE_S))

    def test_close_does_not_wait_for_a_batch_either(self, make, controls):
        """
        Its parts end unanswered.
        """
        host = make("hang")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(
                attempt, host.resolve_asset_paths, uris(), batch_size=50, deadline_s=60
            )
            until(lambda: asked(controls) >= 2)

            host.session.close()

            error = waiting.exception(PATIENCE_S) or waiting.result(PATIENCE_S)
            assert isinstance(error, (errors.NetworkErrorException, errors.BatchCancelledException))


@pytest.mark.parametrize("fault", ["throttle", "throttle_in_words"])
class TestThrottling:
    """A manager says when to come back: by an attribute of its exception, or in its message."""

    def test_it_is_asked_again_when_it_said(self, make, controls, files, fault):
        """
        Not before, whatever the backoff would be.
        """
        host = make(fault, retry_after_s=0.3)
        with ThreadPoolExecutor(1) as pool:
            path = pool.submit(host.resolve_asset_path, HERO)
            until(lambda: asked(controls) == 1)
            controls.set(fault="none")
            assert files / NAMES[0] == path.result(PATIENCE_S)

        first, second = (call.at for call in controls.calls())
        assert second - first >= 0.3

    def test_who_asks_is_told_when_to_come_back(self, make, controls, fault):
        """
        After the last attempt.
        """
        error = raised_by(make(fault, retry_after_s=0.05).resolve_asset_path, HERO)

        assert errors.NetworkErrorException is type(error)
        assert 0.05 == error.retry_after
        assert 3 == error.context["attempt"] == asked(controls)

    def test_beyond_the_deadline_is_not_waited_for(self, make, controls, fault):
        """
        It is said at once instead.
        """
        start = time.monotonic()

        error = raised_by(make(fault, retry_after_s=50).resolve_asset_path, HERO, deadline_s=40)

        assert time.monotonic() - start < PROMPT_S
        assert (50.0, 1) == (error.retry_after, asked(controls))
        assert errors.NetworkErrorException is type(error)

    def test_a_batch_is_told_for_each_element(self, make, fault):
        """
        The part's one exception is each one's failure.
        """
        host = make(fault, retry_after_s=50)

        outcomes = host.resolve_asset_paths(uris(), deadline_s=30, on_error="return")

        assert {errors.NetworkErrorException} == {type(each) for each in outcomes}
        assert all(each.retry_after for each in outcomes)


# What befalls an element, and what the failure is called.
GARBAGE = {
    "no_callback": Code.MISBEHAVED,
    "callback_late": Code.MISBEHAVED,
    "wrong_index": Code.MISBEHAVED,
    "wrong_type": Code.MISBEHAVED,
    "null": Code.MISBEHAVED,
    "garbage_error_code": Code.UNKNOWN,
    "bad_url": Code.NOT_A_FILE,
    "undecodable_url": Code.NOT_A_FILE,
    "http_url": Code.NOT_A_FILE,
    "number_location": Code.NO_LOCATION,
    "no_location": Code.NO_LOCATION,
    "missing_file": Code.FILE_MISSING,
}


class TestGarbage:
    @pytest.mark.parametrize("fault", GARBAGE)
    def test_exactly_the_faulty_elements_fail(self, make, controls, files, fault):
        """
        Of hundreds, in parts; the rest are right, and the manager counts as there.
        """
        faulty = set(NAMES[::7])
        host = make(fault)
        controls.set(fault_names=",".join(faulty))

        outcomes = host.resolve_asset_paths(uris(), on_error="return")

        for name, outcome in zip(NAMES, outcomes, strict=True):
            found = outcome.code if isinstance(outcome, AssetException) else outcome
            assert (GARBAGE[fault] if name in faulty else files / name) == found
        assert "closed" == breaker(host)

    @pytest.mark.parametrize(
        "fault", ["callback_twice", "callback_twice_different", "callback_from_thread"]
    )
    def test_more_callbacks_than_one_are_one_answer(self, make, files, fault):
        """
        The first, for hundreds.
        """
        assert [files / name for name in NAMES] == make(fault).resolve_asset_paths(uris())

    def test_an_answer_that_comes_late_changes_nothing(self, make, controls, files):
        """
        Neither that question's outcome nor another's, nor what the cache keeps.
        """
        host = make("callback_late")
        before = host.resolve_asset_paths(uris(NAMES[:100]), on_error="return")
        controls.set(fault="none", files=str(folder_of(files.parent / "moved")))

        assert 100 == managers.deliver_late()

        assert {Code.MISBEHAVED} == {each.code for each in before}
        moved = [files.parent / "moved" / name for name in NAMES[:100]]
        assert moved == host.resolve_asset_paths(uris(NAMES[:100]))

    def test_a_list_that_is_too_short_costs_its_end(self, make, files):
        """
        One round trip of hundreds, of which the last has no answer.
        """
        *answered, last = make("short_list").session.resolve(uris()).outcomes

        assert [str(files / name) for name in NAMES[:-1]] == [each.path for each in answered]
        assert Code.MISBEHAVED is last.code

    def test_a_defect_that_few_elements_set_off_is_theirs_alone(self, make, controls, files):
        """
        They are looked for by halves, in a bounded number of calls.
        """
        faulty = {NAMES[13], NAMES[200], NAMES[399]}
        host = make("raise")
        controls.set(fault_names=",".join(faulty))

        outcomes = host.session.resolve(uris()).outcomes

        for name, outcome in zip(NAMES, outcomes, strict=True):
            is_failure = isinstance(outcome, Failure)
            assert (name in faulty) == is_failure
            assert (Code.MISBEHAVED if is_failure else str(files / name)) == (
                outcome.code if is_failure else outcome.path
            )
        assert asked(controls) <= 64

    @pytest.mark.parametrize("fault", ["raise", "no_callback", "wrong_type", "null", "wrong_index"])
    def test_instead_of_garbage_a_known_answer_is_served_and_marked(
        self, make, controls, files, fault
    ):
        """
        A manager with a defect tells no more about the entity than one that is down; asked again each time.
        """
        host = make(cache__negative_ttl_s=60)
        host.configure_cache(ttl_seconds=0)
        host.resolve_asset_path(HERO)
        controls.set(fault=fault)

        for _ in range(2):
            found = host.resolve_asset(HERO)
            assert ("stale", str(files / NAMES[0])) == (found.tier, found.path)
        assert Code.MISBEHAVED is raised_by(host.resolve_asset_path, VILLAIN).code
        controls.set(fault="none")
        assert "manager" == host.resolve_asset(HERO).tier

    @pytest.mark.parametrize("fault", ["raise", "no_callback", "wrong_type", "null"])
    def test_garbage_takes_no_known_answer_back(self, make, controls, files, fault):
        """
        It says nothing about the entity: what was known still serves in the outage that follows.
        """
        host = make()
        host.configure_cache(ttl_seconds=0, negative_ttl_seconds=0)
        host.resolve_asset_path(HERO)
        controls.set(fault=fault)
        attempt(host.resolve_asset_path, HERO)
        controls.set(fault="raise_openassetio")

        assert files / NAMES[0] == host.resolve_asset_path(HERO)


def state(host):
    """Return the breaker's state, which statistics and metrics agree on. Not where it may change now."""
    shown = breaker(host)
    with urlopen(host.enable_monitoring("localhost:0"), timeout=PATIENCE_S) as page:
        lines = page.read().decode().splitlines()
    served = [line for line in lines if line.startswith("bifrost_breaker_state{")]
    assert [f'bifrost_breaker_state{{state="{shown}"}} 1.0'] == [
        line for line in served if line.endswith(" 1.0")
    ]
    assert 3 == len(served)
    return shown


class TestBreaker:
    """Its whole cycle, under sixteen threads that each ask for something else."""

    THREADS = 16

    @pytest.fixture
    def host(self, make):
        host = make(
            breaker__failures=5, breaker__cooldown_s=2, retry__attempts=1, manager__max_workers=16
        )
        yield host
        host.disable_monitoring()

    @pytest.fixture
    def pool(self):
        with ThreadPoolExecutor(self.THREADS) as pool:
            yield pool
            managers.release()

    def ask_all(self, host, pool):
        """Let every thread ask at the same moment; return the futures of outcomes or exceptions."""
        together = threading.Barrier(self.THREADS)

        def ask(uri):
            together.wait(PATIENCE_S)
            return attempt(host.resolve_asset_path, uri, deadline_s=PATIENCE_S)

        return [pool.submit(ask, uri) for uri in uris(NAMES[: self.THREADS])]

    def open_it(self, host, controls):
        controls.set(fault="raise_openassetio")
        for uri in uris(NAMES[100:105]):
            assert Code.UNAVAILABLE is raised_by(host.resolve_asset_path, uri).code
        assert 5 == asked(controls)
        assert "open" == state(host)

    def test_open_nobody_reaches_the_manager(self, host, controls, pool):
        """
        All are told at once, and when to come back.
        """
        assert "closed" == state(host)
        self.open_it(host, controls)

        outcomes = [each.result(PATIENCE_S) for each in self.ask_all(host, pool)]

        assert 5 == asked(controls)
        assert {errors.NetworkErrorException} == {type(each) for each in outcomes}
        assert all(0 < each.retry_after <= 2 for each in outcomes)

    def test_half_open_one_probe_reaches_it_and_closes_it(self, host, controls, pool):
        """
        Exactly one, however long it takes: the others are told at once.
        """
        self.open_it(host, controls)
        controls.set(fault="hang")
        until(lambda: breaker(host) == "half-open")

        asking = self.ask_all(host, pool)
        until(lambda: sum(each.done() for each in asking) == self.THREADS - 1)

        assert 6 == asked(controls)
        assert "half-open" == state(host)
        controls.set(fault="none")
        managers.release()
        outcomes = [each.result(PATIENCE_S) for each in asking]
        assert 15 == sum(isinstance(each, errors.NetworkErrorException) for each in outcomes)
        assert "closed" == state(host)
        assert NAMES[:16] == [each.result(PATIENCE_S).name for each in self.ask_all(host, pool)]

    def test_half_open_a_probe_that_fails_opens_it_again(self, host, controls, pool):
        """
        For another cooldown, after which one more is let through.
        """
        self.open_it(host, controls)
        for probes in (1, 2):
            until(lambda: breaker(host) == "half-open")
            controls.set(fault="raise_openassetio", latency_ms=500)

            outcomes = [each.result(PATIENCE_S) for each in self.ask_all(host, pool)]

            assert 5 + probes == asked(controls)
            assert {errors.NetworkErrorException} == {type(each) for each in outcomes}
            assert "open" == state(host)

    def test_outages_of_sixteen_threads_at_once_open_it(self, host, controls, pool):
        """
        Those that were under way come back to an open one.
        """
        controls.set(fault="raise_openassetio", latency_ms=50)

        for each in self.ask_all(host, pool):
            assert isinstance(each.result(PATIENCE_S), errors.NetworkErrorException)

        assert 5 <= asked(controls) <= self.THREADS
        assert "open" == state(host)


class TestSecondManager:
    """`assetio.fallback_manager`: another one, for references that begin with `faulty:///shared/`."""

    SHARED = f"{managers.PREFIX}shared/{NAMES[0]}"

    @pytest.fixture
    def others(self, tmp_path):
        """What the second manager receives."""
        return Controls(tmp_path / "others")

    @pytest.fixture
    def second(self, tmp_path, others):
        """The config file of the second manager, over files of its own."""
        variables = managers.install(
            tmp_path,
            files=folder_of(tmp_path / "second"),
            identifier=SECOND,
            prefix=f"{managers.PREFIX}shared/",
            controls=str(others.directory),
        )
        return variables["OPENASSETIO_DEFAULT_CONFIG"]

    @pytest.fixture
    def host(self, make, second, files):
        folder_of(files / "shared")
        return make(assetio__fallback_manager=second)

    def test_it_is_off_unless_it_is_set(self, make, second, others):
        """
        Although it is installed.
        """
        host = make("raise_openassetio")

        assert Code.UNAVAILABLE is raised_by(host.resolve_asset_path, self.SHARED).code
        assert 0 == asked(others)

    def test_it_answers_in_an_outage_and_that_is_said(self, host, controls, tmp_path):
        """
        Who served it, in the reply and in the statistics.
        """
        controls.set(fault="raise_openassetio")

        found = host.resolve_asset(self.SHARED)

        path = tmp_path / "second" / NAMES[0]
        assert (str(path), SECOND, "fallback") == (found.path, found.manager, found.tier)
        assert path == host.resolve_asset_path(self.SHARED)
        assert host.entity_exists(self.SHARED)
        assert 3 == host.get_performance_stats()["manager"]["fallback_served"]

    def test_it_is_not_asked_while_the_first_answers(self, host, controls, others, files):
        """
        Not where it says no, either.
        """
        assert files / "shared" / NAMES[0] == host.resolve_asset_path(self.SHARED)
        controls.set(fault="denied")
        assert Code.PERMISSION_DENIED is raised_by(host.resolve_asset_path, self.SHARED + "x").code

        assert 0 == asked(others)

    def test_it_is_asked_for_what_it_recognises_only(self, host, controls, others, tmp_path):
        """
        In a batch of both.
        """
        controls.set(fault="raise_openassetio")
        shared = [f"{managers.PREFIX}shared/{name}" for name in NAMES[:50]]

        outcomes = host.resolve_asset_paths([*uris(NAMES[:50]), *shared], on_error="return")

        assert {Code.UNAVAILABLE} == {each.code for each in outcomes[:50]}
        assert [tmp_path / "second" / name for name in NAMES[:50]] == outcomes[50:]
        assert [NAMES[:50]] == [call.names for call in others.calls()]

    def test_what_a_cache_knows_comes_before_it(self, host, controls, others, files):
        """
        The first manager's answer, however old, is better than another's.
        """
        host.configure_cache(ttl_seconds=0)
        host.resolve_asset_path(self.SHARED)
        controls.set(fault="raise_openassetio")

        found = host.resolve_asset(self.SHARED)

        assert (str(files / "shared" / NAMES[0]), "stale") == (found.path, found.tier)
        assert 0 == asked(others)

    def test_what_it_answers_is_forgotten_when_the_first_is_back(self, host, controls, files):
        """
        It is in no cache.
        """
        controls.set(fault="raise_openassetio")
        host.resolve_asset_path(self.SHARED)
        controls.set(fault="none")

        assert files / "shared" / NAMES[0] == host.resolve_asset_path(self.SHARED)

    def test_where_both_are_down_the_first_one_s_error_is_raised(self, host, controls, others):
        """
        It is the one that should have answered.
        """
        for each in (controls, others):
            each.set(fault="raise_openassetio")

        error = raised_by(host.resolve_asset_path, self.SHARED)

        assert errors.NetworkErrorException is type(error)
        assert (managers.IDENTIFIER in error.message, SECOND in error.message) == (True, False)
        assert managers.IDENTIFIER == error.context["manager"]
        assert asked(others)

    def test_a_second_one_that_hangs_is_bounded_too(self, host, controls, others):
        """
        By the same deadline, again.
        """
        controls.set(fault="raise_openassetio")
        others.set(fault="hang")
        start = time.monotonic()

        error = raised_by(host.resolve_asset_path, self.SHARED, deadline_s=0.3)

        assert time.monotonic() - start < PROMPT_S
        assert Code.UNAVAILABLE is error.code

    def test_one_that_cannot_be_made_is_no_second_error(self, make, tmp_path):
        """
        The outage is what is raised.
        """
        host = make("raise_openassetio", assetio__fallback_manager=tmp_path / "nothing.toml")

        assert Code.UNAVAILABLE is raised_by(host.resolve_asset_path, self.SHARED).code


class TestFreshness:
    """Lifetimes of a fraction of a second, set by `configure_cache`, over real tiers and a real clock."""

    @pytest.fixture
    def moved(self, files):
        return folder_of(files.parent / "moved")

    def test_an_expired_answer_is_served_while_it_is_asked_for_again(
        self, make, controls, files, moved
    ):
        """
        At once: the manager hangs all that time. The new answer follows when it has come.
        """
        host = make()
        host.configure_cache(ttl_seconds=0, revalidate_seconds=1000)
        assert files / NAMES[0] == host.resolve_asset_path(HERO)
        controls.set(fault="hang", files=str(moved))

        assert files / NAMES[0] == host.resolve_asset_path(HERO)
        until(lambda: asked(controls) == 2)
        assert [files / NAMES[0]] * 50 == [host.resolve_asset_path(HERO) for _ in range(50)]

        assert 2 == asked(controls)
        controls.set(files=str(moved))
        managers.release()
        until(lambda: host.resolve_asset_path(HERO) == moved / NAMES[0])
        assert 51 <= host.get_cache_stats()["revalidated"]

    def test_beyond_that_the_manager_is_waited_for(self, make, controls, moved):
        """
        Its answer is the one that is served.
        """
        host = make()
        host.configure_cache(ttl_seconds=0, revalidate_seconds=0)
        host.resolve_asset_path(HERO)
        controls.set(files=str(moved))

        assert moved / NAMES[0] == host.resolve_asset_path(HERO)

    def test_a_fresh_answer_is_not_asked_for(self, make, controls, files, moved):
        """
        Until it has expired.
        """
        host = make()
        host.configure_cache(ttl_seconds=1)
        answers = [host.resolve_asset_path(HERO)]
        controls.set(files=str(moved))

        until(lambda: answers.append(host.resolve_asset_path(HERO)) or answers[-1] != answers[0])

        assert (2, moved / NAMES[0]) == (asked(controls), answers[-1])
        first, second = (call.at for call in controls.calls())
        assert second - first >= 0.9

    @pytest.mark.parametrize("fault", ["raise_openassetio", "raise_oserror", "hang"])
    def test_in_an_outage_an_expired_answer_is_served_and_marked(
        self, make, controls, files, fault
    ):
        """
        Whether it is down or hangs.
        """
        host = make(manager__deadline_s=5)
        host.configure_cache(ttl_seconds=0)
        host.resolve_asset_paths(uris(NAMES[:20]))
        controls.set(fault=fault)

        found = host.resolve_asset(HERO, deadline_s=0.2)

        assert (str(files / NAMES[0]), "stale") == (found.path, found.tier)
        paths = host.resolve_asset_paths(uris(NAMES[:20]), deadline_s=0.2)
        assert [files / name for name in NAMES[:20]] == paths
        assert 21 == host.get_cache_stats()["stale_served"]

    def test_no_longer_than_it_may_be(self, make, controls, files):
        """
        Then the outage is raised.
        """
        host = make(breaker__failures=100_000, retry__attempts=1)
        host.configure_cache(ttl_seconds=0, stale_seconds=1)
        host.resolve_asset_path(HERO)
        controls.set(fault="raise_openassetio")
        outcomes = []

        until(
            lambda: (
                outcomes.append(attempt(host.resolve_asset_path, HERO))
                or (isinstance(outcomes[-1], Exception))
            )
        )

        assert {files / NAMES[0]} == set(outcomes[:-1])
        assert Code.UNAVAILABLE is outcomes[-1].code

    def test_a_refusal_is_no_outage(self, make, controls):
        """
        What may not be seen any more is not served from what was kept, in a later outage neither.
        """
        host = make()
        host.configure_cache(ttl_seconds=0, negative_ttl_seconds=0)
        host.resolve_asset_path(HERO)
        for fault, code in (
            ("denied", Code.PERMISSION_DENIED),
            ("raise_openassetio", Code.UNAVAILABLE),
        ):
            controls.set(fault=fault)
            assert code is raised_by(host.resolve_asset_path, HERO).code

    def test_a_failure_is_remembered_for_a_moment(self, make, controls, files):
        """
        However often it is asked for; then it is asked for again.
        """
        (files / NAMES[0]).unlink()
        host = make()
        host.configure_cache(negative_ttl_seconds=1)
        codes = [raised_by(host.resolve_asset_path, HERO).code for _ in range(20)]
        assert [Code.NOT_FOUND] * 20 == codes
        assert 1 == asked(controls)
        (files / NAMES[0]).write_text("#usda 1.0\n")

        until(lambda: not isinstance(attempt(host.resolve_asset_path, HERO), Exception))

        assert 2 == asked(controls)
        assert 19 <= host.get_cache_stats()["failure_hits"]

    def test_an_outage_is_not_remembered(self, make, controls, files):
        """
        The next question finds the manager back.
        """
        host = make("raise_openassetio")
        host.configure_cache(negative_ttl_seconds=1000)
        assert Code.UNAVAILABLE is raised_by(host.resolve_asset_path, HERO).code
        controls.set(fault="none")

        assert files / NAMES[0] == host.resolve_asset_path(HERO)

    def test_an_invalidation_forgets_failures_too(self, make, files):
        """
        Who repaired it says so, and needn't wait.
        """
        (files / NAMES[0]).unlink()
        host = make()
        host.configure_cache(negative_ttl_seconds=1000)
        raised_by(host.resolve_asset_path, HERO)
        (files / NAMES[0]).write_text("#usda 1.0\n")

        host.invalidate_cache(HERO)

        assert files / NAMES[0] == host.resolve_asset_path(HERO)

    def test_who_asks_after_an_invalidation_gets_no_answer_from_before_it(
        self, make, controls, files, moved
    ):
        """
        Not from a question that is still under way either; and no cache takes that for fresh.
        """
        host = make("hang")
        with ThreadPoolExecutor(2) as pool:
            before = pool.submit(host.resolve_asset_path, HERO)
            until(lambda: asked(controls) == 1)
            controls.set(fault="none", files=str(moved))
            host.invalidate_cache(HERO)

            after = pool.submit(host.resolve_asset_path, HERO)

            time.sleep(0.2)  # for it to join the one under way, if it were to
            managers.release()
            before.result(PATIENCE_S)
            assert moved / NAMES[0] == after.result(PATIENCE_S)
        assert moved / NAMES[0] == host.resolve_asset_path(HERO)


class TestCounting:
    def test_each_part_of_a_batch_is_counted(self, make, controls):
        """
        They are the round trips of the manager.
        """
        host = make()

        host.resolve_asset_paths(uris(NAMES[:100]), batch_size=10, adaptive=False)

        assert 10 == asked(controls)
        assert 10 == host.get_performance_stats()["manager"]["batching"]["parts"]

    def test_parts_that_are_answered_are_forgotten(self, make):
        """
        Not kept, with their answers, for as long as the session lives: none beyond the last of each thread.
        """
        host = make(cache__memory_bytes=0, manager__max_workers=2)
        for _ in range(3):
            host.resolve_asset_paths(uris(), batch_size=10, adaptive=False)
        gc.collect()

        living = Counter(type(each).__name__ for each in gc.get_objects())
        assert living["Job"] <= 4
