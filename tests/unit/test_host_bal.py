# SPDX-License-Identifier: Apache-2.0
"""The public host over somebody else's manager: OpenAssetIO's Basic Asset Library."""

import json
from pathlib import Path

import pytest

from bifrost import errors
from bifrost.context import Context
from bifrost.errors import Code
from bifrost.host import BifrostHostInterface
from bifrost.model.reply import Failure, Reply
from bifrost.model.resolution import Resolution
from bifrost.monitoring.recorder import Recorder
from bifrost.session import Session
from bifrost.settings import load

pytest.importorskip("openassetio_manager_bal")

IDENTIFIER = "org.openassetio.examples.manager.bal"
LOCATION = "openassetio-mediacreation:content.LocatableContent"
VERSION = "openassetio-mediacreation:lifecycle.Version"
NAME = "openassetio-mediacreation:identity.DisplayName"


def entity(location, count=1, **more):
    traits = {LOCATION: {"location": location}} if location else {"studio:note": {"text": "hi"}}
    return {"versions": [{"traits": {**traits, NAME: {"name": "A name"}}}] * count, **more}


def library(folder):
    url = folder.as_uri()
    return {
        "managementPolicy": {"read": {"default": {}}},
        "entities": {
            "hero": entity(f"{url}/hero.usda", count=3),
            "sp ace": entity(f"{url}/sp%20ace.usda"),
            "tex": entity(f"{url}/tex.%3CUDIM%3E.png"),
            "web": entity("https://example.com/hero.usda"),
            "nowhere": entity(None),
            "lost": entity(f"{url}/lost.usda"),
            "locked": entity(f"{url}/hero.usda", overrideByAccess={"read": {}}),
            "gone": entity(f"{url}/hero.usda", overrideByAccess={"read": None}),
        },
    }


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("hero.usda", "sp ace.usda"):
        (folder / name).write_text("#usda 1.0\n")
    return folder


@pytest.fixture
def session(files, tmp_path):
    config = tmp_path / "bal.toml"
    config.write_text(
        f'[manager]\nidentifier = "{IDENTIFIER}"\n'
        "[manager.settings]\nsimulated_query_latency_ms = 0\n"
        f"library_json = {json.dumps(json.dumps(library(files)))}\n"
    )
    environ = {
        "BIFROST_HOME": str(tmp_path / "home"),
        "BIFROST_MANAGER__CONFIG": str(config),
        "BIFROST_CACHE__DISK_BYTES": "0",
        "BIFROST_RETRY__ATTEMPTS": "1",
    }
    session = Session(load(environ))
    yield session
    session.close()


@pytest.fixture
def host(session):
    return BifrostHostInterface(session)


def round_trips(session):
    return session.stats()["manager"]["round_trips"]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("bal:///hero", "hero.usda"),
        ("bal:///hero?v=1", "hero.usda"),
        ("bal:///hero?v=latest", "hero.usda"),
        ("bal:///sp ace", "sp ace.usda"),
        ("bal:///tex", "tex.<UDIM>.png"),
        ("bal:///hero:SDF_FORMAT_ARGS:target=usd", "hero.usda"),
    ],
)
def test_a_reference_resolves_to_a_path(host, files, reference, name):
    """
    What USD appends to a reference is not the manager's business (T13).
    """
    assert files / name == host.resolve_asset_path(reference)


@pytest.mark.parametrize(
    ("reference", "exception"),
    [
        ("bal:///nobody", errors.AssetNotFoundException),
        ("bal:///hero?v=9", errors.AssetNotFoundException),
        ("bal:///gone", errors.AssetNotFoundException),
        ("bal:///hero?v=three", errors.InvalidReferenceException),
        ("bifrost:///assets/hero", errors.InvalidReferenceException),
        ("/mnt/hero.usda", errors.InvalidReferenceException),
        ("", errors.InvalidReferenceException),
        (f"bal:///{chr(0xDCFF)}", errors.InvalidReferenceException),
        (f"bal:///{chr(0xD800)}", errors.InvalidReferenceException),
        ("bal:///web", errors.LocationException),
        ("bal:///nowhere", errors.LocationException),
        ("bal:///lost", errors.LocationException),
        ("bal:///locked", errors.AccessModeException),
    ],
)
def test_what_does_not_resolve_raises_the_classified_error(host, reference, exception):
    """
    With the reference as it was given, a reason, and no other exception.
    """
    with pytest.raises(errors.AssetException) as caught:
        host.resolve_asset_path(reference)

    assert exception is type(caught.value)
    assert reference == caught.value.asset_uri
    assert caught.value.message


def test_a_batch_answers_for_each(session):
    """
    In order, in one round trip.
    """
    names = ["hero", "nobody", "web", "hero?v=2", "locked", "nowhere", "lost"]

    outcomes = session.resolve([f"bal:///{name}" for name in names]).outcomes

    assert [
        "3",
        Code.NOT_FOUND,
        Code.NOT_A_FILE,
        "2",
        Code.ACCESS,
        Code.NO_LOCATION,
        Code.FILE_MISSING,
    ] == [each.code if isinstance(each, Failure) else each.version for each in outcomes]
    assert 1 == round_trips(session)


def test_only_a_version_that_is_named_is_for_ever(session):
    """
    BAL says which version was meant and which was asked for.
    """
    references = ["bal:///hero", "bal:///hero?v=latest", "bal:///hero?v=3"]

    assert [False, False, True] == [each.immutable for each in session.resolve(references).outcomes]


@pytest.mark.parametrize(("reference", "version"), [("bal:///hero", 3), ("bal:///hero?v=2", 2)])
def test_the_version_that_is_meant(host, reference, version):
    """
    As a number.
    """
    assert version == host.get_version(reference)


def test_existence_is_a_question_and_no_error(host):
    """
    False for what is unknown; an error only where the question makes no sense.
    """
    assert [True, False, False] == [
        host.entity_exists(f"bal:///{name}") for name in ("hero", "nobody", "hero?v=9")
    ]
    with pytest.raises(errors.InvalidReferenceException):
        host.entity_exists("/mnt/hero.usda")


def test_what_the_manager_knows(host, files):
    """
    Where, which version, what it is called, and every property by trait.
    """
    info = host.get_entity_info("bal:///hero")

    assert {
        "location": str(files / "hero.usda"),
        "version": "3",
        "name": "A name",
        "manager": IDENTIFIER,
    } == {key: info[key] for key in ("location", "version", "name", "manager")}
    assert {"specifiedTag": "latest", "stableTag": "3"} == info["traits"][VERSION]


def test_information_costs_two_round_trips_where_the_location_is_known(host, session):
    """
    Which traits, and their properties; the location comes from the cache, or is a third.
    """
    host.get_entity_info("bal:///hero")
    cold = round_trips(session)
    host.get_entity_info("bal:///hero")

    assert (3, 2) == (cold, round_trips(session) - cold)


def test_the_second_time_costs_nothing(host, session):
    """
    The cache answers.
    """
    host.resolve_asset_path("bal:///hero")
    before = round_trips(session)
    host.resolve_asset_path("bal:///hero")
    host.get_version("bal:///hero")

    assert 0 == round_trips(session) - before


def test_contexts_do_not_share_answers(host, session):
    """
    The manager may answer another user otherwise.
    """
    for user in ("ada", "bob"):
        host.resolve_asset_path("bal:///hero", context=Context(user=user))

    assert 2 == round_trips(session)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("bal:///hero", True),
        ("bal:///nobody", True),
        ("bifrost:///assets/hero", False),
        ("/mnt/hero.usda", False),
        ("", False),
        ("bal:///\udcff", False),
    ],
)
def test_whose_reference_it_is(host, text, valid):
    """
    The manager says; whether the entity exists is another question.
    """
    assert valid is host.is_valid_entity_reference(text)


def test_the_managers_of_this_machine(host):
    """
    With what a picker shows.
    """
    shown = {each["identifier"]: each["display_name"] for each in host.managers()}

    assert "Basic Asset Library" in shown[IDENTIFIER]


def test_initializing_is_having_a_manager(host, session):
    """
    True, or it raises.
    """
    assert host.initialize() is True
    assert IDENTIFIER == session.assetio_manager().manager().identifier()


def test_no_manager_is_a_configuration_error(tmp_path):
    """
    At once when asked to start, and as each reference's failure otherwise.
    """
    environ = {
        "BIFROST_HOME": str(tmp_path),
        "BIFROST_MANAGER__CONFIG": str(tmp_path / "none.toml"),
    }
    session = Session(load(environ))
    host = BifrostHostInterface(session)
    try:
        with pytest.raises(errors.ConfigurationError, match=r"none\.toml"):
            host.initialize()
        with pytest.raises(errors.AssetException, match=r"none\.toml"):
            host.resolve_asset_path("bal:///hero")
    finally:
        session.close()


class Answering:
    """Stands for a session."""

    manager_identifier = "org.example.manager"

    def __init__(self, outcome):
        self.outcome = outcome
        self.recorder = Recorder()

    def ask(self, request):
        return Reply(request, (self.outcome,))


@pytest.mark.parametrize("tag", ["", "latest", "v3", "3.1", "²", "٣x"])
def test_a_version_that_is_no_number_is_none(tag):
    """
    Another manager's tags may be anything.
    """
    host = BifrostHostInterface(Answering(Resolution("a", "/a", version=tag)))

    assert host.get_version("a") is None


@pytest.mark.parametrize("code", Code)
def test_every_failure_is_raised_as_its_exception(code):
    """
    By each call that takes one reference.
    """
    host = BifrostHostInterface(Answering(Failure(code, "because")))

    for call in (
        host.resolve_asset_path,
        host.get_version,
        host.get_entity_info,
        host.entity_exists,
    ):
        with pytest.raises(errors.AssetException, match="because") as caught:
            call("bal:///hero")
        assert (code, "bal:///hero") == (caught.value.code, caught.value.asset_uri)


def test_a_reference_of_our_own_catalogue_is_made_without_a_manager():
    """
    `create_entity_reference` is syntax.
    """
    host = BifrostHostInterface(Answering(None))

    assert "bifrost:///assets/hero%20model" == host.create_entity_reference("hero model")


def test_a_path_is_a_path(host):
    """
    As earlier releases returned it.
    """
    assert isinstance(host.resolve_asset_path("bal:///hero"), Path)
