# SPDX-License-Identifier: Apache-2.0
"""The host's batch calls, over our own catalogue and over another manager: counts, order, ends."""

import asyncio
import itertools
import threading
from pathlib import Path

import pytest

from bifrost import errors
from bifrost.context import Context
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import bal, managers

NAMES = [f"asset_{number:03d}" for number in range(250)]
LAYER = "#usda 1.0\n"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(LAYER)
    return folder


def session_with(monkeypatch, tmp_path, variables, **settings):
    for name, value in {**variables, **settings}.items():
        monkeypatch.setenv(name, value)
    return Session(load())


@pytest.fixture
def session(monkeypatch, tmp_path, files):
    """Over BAL, which every manager's reply goes through OpenAssetIO for."""
    pytest.importorskip("openassetio_manager_bal")
    variables = bal.install(tmp_path, {name: files / name for name in NAMES})
    session = session_with(monkeypatch, tmp_path, variables)
    yield session
    session.close()


@pytest.fixture
def host(session):
    return BifrostHostInterface(session)


def uris(names=NAMES):
    return [f"bal:///{name}" for name in names]


def round_trips(session):
    return session.stats()["manager"]["round_trips"]


def test_many_references_resolve_in_order(host, session, files):
    """
    As written in the planned improvements; in parts, not one by one.
    """
    results = host.resolve_asset_paths(uris(), batch_size=100)

    assert [files / name for name in NAMES] == results
    assert all(isinstance(each, Path) for each in results)
    assert round_trips(session) <= 3


def test_the_second_time_costs_nothing(host, session):
    """
    Whatever the batch size.
    """
    host.resolve_asset_paths(uris())
    before = round_trips(session)
    host.resolve_asset_paths(uris(), batch_size=7)
    host.get_versions(uris())

    assert 0 == round_trips(session) - before


def test_duplicates_are_asked_once(host, session, files):
    """
    However often a reference is in the batch, and wherever.
    """
    asked = uris(NAMES[:3]) * 1000

    assert [files / name for name in NAMES[:3]] * 1000 == host.resolve_asset_paths(asked)
    assert 1 == round_trips(session)
    before = round_trips(session)
    assert [True] * 3000 == host.entities_exist(asked)
    assert 1 == round_trips(session) - before


def test_any_iterable_will_do(host, files):
    """
    A generator, a set of one, nothing.
    """
    assert [files / NAMES[0]] == host.resolve_asset_paths(iter(uris(NAMES[:1])))
    assert [] == host.resolve_asset_paths([])
    assert [] == list(host.iter_resolve_asset_paths(iter(())))


def test_a_stream_is_read_as_it_is_needed(host, session, files):
    """
    An endless generator, of which no more than a window is held.
    """
    read = itertools.count()
    endless = (f"bal:///{NAMES[next(read) % 250]}" for _ in itertools.repeat(None))

    first = list(itertools.islice(host.iter_resolve_asset_paths(endless), 5))

    assert [files / name for name in NAMES[:5]] == first
    assert next(read) < 10_000
    assert round_trips(session) <= 3


@pytest.mark.parametrize(
    "call", ["resolve_asset_paths", "get_versions", "entities_exist", "get_entity_infos"]
)
@pytest.mark.parametrize("prefix", ["", "iter_"])
def test_one_text_is_not_taken_for_its_letters(host, call, prefix):
    """
    Whatever becomes of errors.
    """
    ask = getattr(host, prefix + call)

    with pytest.raises(TypeError, match="one text"):
        list(ask("bal:///a", on_error="skip"))


@pytest.mark.parametrize("bad", [None, b"bal:///a", Path("/a"), 3])
def test_what_is_no_text_is_a_type_error(host, bad):
    """
    Said at once, naming it.
    """
    with pytest.raises(TypeError, match="entity references"):
        host.resolve_asset_paths([*uris(NAMES[:2]), bad])


@pytest.mark.parametrize(
    "options",
    [
        {"on_error": "ignore"},
        {"batch_size": 0},
        {"max_workers": 0},
        {"workers": 3},
    ],
)
def test_an_option_that_cannot_be_is_refused(host, options):
    """
    Before anything is asked.
    """
    with pytest.raises((ValueError, TypeError)):
        host.resolve_asset_paths(uris(), **options)


BROKEN = [*NAMES[:2], "nobody", NAMES[2], "nowhere", "nobody"]


def test_the_first_failure_is_raised(host):
    """
    With its reference, and suggestions from what the caches know.
    """
    host.resolve_asset_paths(uris())
    with pytest.raises(errors.AssetNotFoundException) as caught:
        host.resolve_asset_paths([*uris(NAMES[:3]), "bal:///asset_0001", "bal:///nowhere"])

    assert "bal:///asset_0001" == caught.value.asset_uri
    assert "bal:///asset_001" in caught.value.suggestions


def test_failures_may_be_returned_in_place(host, session, files):
    """
    Exceptions as values; the others are answered.
    """
    results = host.resolve_asset_paths(uris(BROKEN), on_error="return")

    assert [files / NAMES[0], files / NAMES[1], files / NAMES[2]] == [
        each for each in results if isinstance(each, Path)
    ]
    lost = [results[index] for index in (2, 4, 5)]
    assert [errors.AssetNotFoundException] * 3 == list(map(type, lost))
    assert uris(["nobody", "nowhere", "nobody"]) == [each.asset_uri for each in lost]
    assert 1 == round_trips(session)


def test_failures_may_be_left_out(host, files):
    """
    What is left stays in order.
    """
    results = host.resolve_asset_paths(uris(BROKEN), on_error="skip")

    assert [files / name for name in NAMES[:3]] == results


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_progress_grows_to_the_total(host, size):
    """
    After each part, with how many are done of how many, duplicates counted.
    """
    told = []
    asked = [*uris(), *uris(NAMES[:5])]

    host.resolve_asset_paths(asked, size, progress=lambda *done: told.append(done))

    assert told == sorted(set(told))
    assert (255, 255) == told[-1]
    assert {255} == {total for _, total in told}


def test_progress_of_what_is_cached_too(host):
    """
    A warm batch ends at the total as well.
    """
    host.resolve_asset_paths(uris())
    told = []

    host.resolve_asset_paths(uris(), progress=lambda *done: told.append(done))

    assert [(250, 250)] == told


def test_a_stream_does_not_know_its_total(host):
    """
    None, then.
    """
    told = []
    list(host.iter_resolve_asset_paths(iter(uris()), progress=lambda *done: told.append(done)))

    assert (250, None) == told[-1]


def test_progress_may_end_it_and_what_is_answered_is_kept(host, session, files):
    """
    In the exception, and in the caches.
    """
    with pytest.raises(errors.BatchCancelledException) as caught:
        host.resolve_asset_paths(
            uris(), 10, adaptive=False, max_workers=1, progress=lambda done, _: done < 30
        )

    results = caught.value.results
    assert [files / name for name in NAMES[:30]] == results[:30]
    assert [None] * 220 == results[30:]
    before = round_trips(session)
    host.resolve_asset_paths(uris(NAMES[:30]))
    assert (3, 0) == (before, round_trips(session) - before)


def test_what_progress_raises_comes_out_and_what_is_answered_is_kept(host, session):
    """
    As Ctrl-C does.
    """

    def interrupted(done, _):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.resolve_asset_paths(uris(), 10, adaptive=False, max_workers=1, progress=interrupted)

    before = round_trips(session)
    host.resolve_asset_paths(uris(NAMES[:20]))
    assert (2, 0) == (before, round_trips(session) - before)


def test_progress_that_ends_it_at_the_end_ends_nothing(host):
    """
    Everything is answered.
    """
    assert 250 == len(host.resolve_asset_paths(uris(), progress=lambda done, total: done < total))


def test_versions_existence_and_information_have_the_same_shape(host, files):
    """
    A list, in order.
    """
    assert [1, 1] == host.get_versions(uris(NAMES[:2]))
    assert [True, False, True] == host.entities_exist(uris([NAMES[0], "nobody", NAMES[1]]))
    infos = host.get_entity_infos(uris(NAMES[:2]))
    assert [str(files / name) for name in NAMES[:2]] == [each["location"] for each in infos]
    assert [{}, {}] == host.get_variants(uris(NAMES[:2]))
    for stream in (
        host.iter_get_versions,
        host.iter_entities_exist,
        host.iter_get_entity_infos,
        host.iter_get_variants,
    ):
        assert 3 == len(list(stream(iter(uris(NAMES[:3])))))


def test_information_on_many_is_a_handful_of_round_trips(host, session):
    """
    Traits, properties, locations: not three for each.
    """
    host.get_entity_infos(uris(), batch_size=250)

    assert 3 == round_trips(session)


def test_relationships_are_our_own_catalogues(host):
    """
    OpenAssetIO has no metadata of relationships.
    """
    with pytest.raises(errors.UnsupportedOperationException):
        host.get_relationships_of_assets(uris(NAMES[:2]))


def test_async_twins_do_not_hold_up_the_loop(host, files):
    """
    Another task runs meanwhile; the active context goes along.
    """

    async def work():
        with Context(user="ada").active():
            return await asyncio.gather(
                host.aresolve_asset_paths(uris()),
                host.aresolve_asset_path(uris()[0]),
                host.aget_versions(uris(NAMES[:3])),
                host.aentities_exist(uris(NAMES[:3])),
                host.aget_entity_infos(uris(NAMES[:3])),
                host.aget_variants(uris(NAMES[:3])),
            )

    paths, path, versions, exist, infos, _ = asyncio.run(work())

    assert [files / name for name in NAMES] == paths
    assert files / NAMES[0] == path
    assert ([1] * 3, [True] * 3, 3) == (versions, exist, len(infos))


def test_cancelling_the_task_ends_the_batch(monkeypatch, tmp_path, files):
    """
    And the thread behind it, though the manager takes its time.
    """
    variables = managers.install(tmp_path, files=files, latency_ms=50)
    session = session_with(monkeypatch, tmp_path, variables)
    host = BifrostHostInterface(session)
    begun = threading.Event()

    async def work():
        task = asyncio.create_task(
            host.aresolve_asset_paths(
                [managers.PREFIX + name for name in NAMES],
                1,
                adaptive=False,
                progress=lambda *_: begun.set(),
            )
        )
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())  # joins the thread
    asked = round_trips(session)
    session.close()

    assert 1 <= asked < len(NAMES)


class TestOwnCatalogue:
    """The same over our own catalogue, on each database."""

    @pytest.fixture
    def host(self, monkeypatch, catalogue_url):
        monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
        session = Session(load())
        yield BifrostHostInterface(session)
        session.close()

    @pytest.fixture
    def registered(self, host, files):
        return host.register_assets(
            (
                {"asset_type": "layer", "asset_name": name, "file_path": files / name,
                 "in_place": True}
                for name in NAMES[:20]
            ),
            batch_size=8,
        )  # fmt: skip

    def test_many_assets_are_registered_in_order(self, host, registered, files):
        """
        And resolve in one round trip.
        """
        assert [host.create_entity_reference(name) for name in NAMES[:20]] == registered
        before = round_trips(host.session)
        assert [files / name for name in NAMES[:20]] == host.resolve_asset_paths(registered)
        assert 1 == round_trips(host.session) - before
        assert [1] * 20 == host.get_versions(registered)

    def test_one_bad_asset_does_not_take_the_others_along(self, host, files):
        """
        Its part is one publish; what is wrong is found by publishing one by one.
        """
        assets = [
            {"asset_type": "layer", "asset_name": name, "file_path": path, "in_place": True}
            for name, path in (
                ("good", files / NAMES[0]),
                ("lost", files / "nobody"),
                ("fine", files / NAMES[1]),
            )
        ]
        told = []

        results = host.register_assets(
            assets, on_error="return", progress=lambda *done: told.append(done)
        )

        assert isinstance(results[1], errors.LocationException)
        assert [True, False, True] == host.entities_exist(
            map(host.create_entity_reference, ("good", "lost", "fine"))
        )
        assert [(3, 3)] == told
        with pytest.raises(errors.LocationException):
            host.register_assets(assets[1:2])

    def test_a_call_that_broke_off_goes_on(self, host, files):
        """
        With its key, what was registered is not registered twice.
        """
        assets = [
            {"asset_type": "layer", "asset_name": name, "file_path": files / name,
             "in_place": True}
            for name in NAMES[:6]
        ]  # fmt: skip
        with pytest.raises(errors.BatchCancelledException) as caught:
            host.register_assets(
                assets, 2, progress=lambda done, _: done < 4, idempotency_key="monday"
            )
        assert 2 == caught.value.results.count(None)

        assert 6 == len(host.register_assets(assets, 2, idempotency_key="monday"))
        assert [1] * 6 == host.get_versions(map(host.create_entity_reference, NAMES[:6]))

    def test_relationships_of_many(self, host, registered):
        """
        As one call for each would return them; what is not there is a failure in its place.
        """
        host.add_relationship(registered[0], registered[1], "rig", {"purpose": "deform"})
        host.add_relationship(registered[0], registered[2])
        asked = [registered[1], registered[0], host.create_entity_reference("nobody")]

        none, two, lost = host.get_relationships_of_assets(asked, on_error="return")

        assert [] == none
        assert host.get_relationships_with_metadata(registered[0]) == two
        assert isinstance(lost, errors.AssetNotFoundException)
        assert [[], two] == list(host.iter_get_relationships_of_assets(iter(asked[:2])))
        assert [[], two] == asyncio.run(host.aget_relationships_of_assets(asked[:2]))

    def test_a_reference_written_otherwise_is_forgotten_too(self, host, registered, files):
        """
        Escapes that need not be there name the same asset.
        """
        odd = registered[0].replace("asset_", "%61sset_")
        assert 1 == host.get_version(odd)
        host.register_version(registered[0], files / NAMES[9], in_place=True)

        assert [2, 2] == host.get_versions([odd, registered[0]])

    def test_what_an_exception_knows(self, host, registered):
        """
        Who was asked what, for how long; and what to do.
        """
        context = Context(trace_id="t-1")
        with pytest.raises(errors.AssetNotFoundException) as caught:
            host.resolve_asset_path(host.create_entity_reference("asset_0011"), context=context)

        error = caught.value
        assert ("org.bifrost.assetmanager", "t-1", 1) == tuple(
            error.context[key] for key in ("manager", "trace_id", "attempt")
        )
        assert error.context["elapsed_s"] > 0
        assert ("not_found", True) == (error.code, bool(error.remedy))
        assert registered[1] in error.suggestions
