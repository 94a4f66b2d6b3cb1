# SPDX-License-Identifier: Apache-2.0
"""What the host raises: each exception says what, about which reference, what to do, and who was asked."""

import inspect

import pytest
from openassetio.errors import BatchElementError

from bifrost import assetio, errors
from bifrost.context import Context
from bifrost.errors import AssetException, BifrostError, Code, exception_for
from bifrost.host import BifrostHostInterface
from bifrost.manager import answers
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import managers

HERO = managers.PREFIX + "hero.usda"
UNKNOWN_ASSET = "bifrost:///assets/nobody"
TREE = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BifrostError) and each not in (BifrostError, AssetException)
]
# What a host is told where a manager raises: every exception that OpenAssetIO has. An error of one
# element that a manager lets fly is about nothing but its call.
RAISED = {
    "OpenAssetIOException": Code.UNAVAILABLE,
    "UnhandledException": Code.UNAVAILABLE,
    "BatchElementException": Code.UNAVAILABLE,
    "InputValidationException": Code.UNKNOWN,
    "ConfigurationException": Code.UNKNOWN,
    "NotImplementedException": Code.UNSUPPORTED,
}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make a host over a manager that fails in the way that is asked for."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "hero.usda").write_text("#usda 1.0\n")
    made = []

    def make(fault):
        for name, value in managers.install(tmp_path, files=files, fault=fault).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("BIFROST_RETRY__BASE_S", "0.001")
        made.append(Session(load()))
        return BifrostHostInterface(made[-1])

    yield make
    for session in made:
        session.close()


@pytest.fixture
def own_host(own_home):
    """A host over a catalogue of our own, which is empty."""
    session = Session(load())
    yield BifrostHostInterface(session)
    session.close()


def raised_by(call, *args, **options):
    with pytest.raises(BifrostError) as caught:
        call(*args, **options)
    return caught.value


# From OpenAssetIO to us


@pytest.mark.parametrize(("theirs", "ours"), assetio.CODES.items(), ids=lambda each: each.name)
def test_each_error_of_an_element_is_raised_with_all_that_is_known(make, theirs, ours):
    """
    The code, what the manager said, the reference, what to do, who was asked what, how often, how long.
    """
    error = raised_by(
        make(f"refuse_{theirs.name}").resolve_asset_path, HERO, context=Context(trace_id="t1")
    )

    assert type(exception_for(ours, "", "")) is type(error)
    assert (ours, HERO) == (error.code, error.asset_uri)
    assert f"an error of the kind {theirs.name}" in error.message
    assert {"manager", "operation", "attempt", "elapsed_s", "trace_id"} == set(error.context)
    assert (managers.IDENTIFIER, 1, "t1") == tuple(
        error.context[name] for name in ("manager", "attempt", "trace_id")
    )
    assert error.context["elapsed_s"] > 0


def test_every_exception_of_openassetio_has_a_meaning():
    """
    This fails if OpenAssetIO grows a class.
    """
    assert {f"raise_{name}" for name in RAISED} == set(managers.EXCEPTIONS)


@pytest.mark.parametrize(("kind", "code"), RAISED.items())
def test_each_exception_of_a_manager_is_raised_as_ours(make, kind, code):
    """
    An outage was asked about as often as the settings say; what asking again won't mend, once.
    """
    error = raised_by(make(f"raise_{kind}").resolve_asset_path, HERO)

    assert type(exception_for(code, "", "")) is type(error)
    assert (code, HERO) == (error.code, error.asset_uri)
    assert managers.IDENTIFIER in error.message
    assert (3 if code is Code.UNAVAILABLE else 1) == error.context["attempt"]


def test_what_a_manager_does_not_implement_is_not_supported(make):
    """
    Said of the manager by name, for every question.
    """
    host = make("raise_NotImplementedException")

    for ask in (host.resolve_asset, host.get_version, host.entity_exists, host.get_entity_info):
        error = raised_by(ask, HERO)
        assert errors.UnsupportedOperationException is type(error)
        assert managers.IDENTIFIER in error.message


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("register_version", ("hero.usda",)),
        ("set_metadata", ({},)),
        ("set_status", ("approved",)),
        ("get_status", ()),
        ("deprecate", ()),
        ("delete_asset", ()),
        ("permissions", ()),
        ("get_relationships_with_metadata", ()),
    ],
)
def test_what_only_our_catalogue_can_do_is_not_supported_by_another_manager(make, call, arguments):
    """
    Whatever its references look like: that comes before what is wrong with them.
    """
    error = raised_by(getattr(make("none"), call), HERO, *arguments)

    assert errors.UnsupportedOperationException is type(error)
    assert managers.IDENTIFIER in error.message


# From us to OpenAssetIO


def test_every_error_code_of_openassetio_can_be_said():
    """
    This fails if OpenAssetIO grows one that our manager would never use.
    """
    said = {*answers._CODES.values(), BatchElementError.ErrorCode.kUnknown}

    assert set(BatchElementError.ErrorCode.__members__.values()) == said


@pytest.mark.parametrize("code", Code)
def test_a_failure_of_our_manager_arrives_as_the_same_failure(code):
    """
    Through OpenAssetIO and back; what it has no code for is named in the message.
    """
    error = exception_for(code, "no luck", HERO)

    said = answers.unanswerable(error)

    back = assetio.CODES[said.code]
    assert back is code or (back is Code.UNKNOWN and said.message.startswith(f"{code}: "))
    assert "no luck" in said.message


@pytest.mark.parametrize(
    ("error", "theirs"),
    [
        (errors.CatalogueError("locked", retryable=True), "OpenAssetIOException"),
        (errors.ConfigurationError("no such file"), "ConfigurationException"),
    ],
    ids=["catalogue", "configuration"],
)
def test_what_is_wrong_with_all_of_a_call_is_an_exception_of_openassetio(error, theirs):
    """
    With the message, so that a host that isn't ours can show it.
    """
    with (
        pytest.raises(managers.EXCEPTIONS[f"raise_{theirs}"], match=error.message),
        answers.translated_errors(),
    ):
        raise error


# The tree


@pytest.mark.parametrize("code", Code)
def test_every_failure_says_what_to_do(code):
    """
    A sentence that a TD can act on.
    """
    assert exception_for(code, "no luck", HERO).remedy.endswith(".")


@pytest.mark.parametrize("kind", TREE, ids=lambda each: each.__name__)
def test_every_exception_has_a_code_and_a_message(kind):
    """
    One that no other kind has, or that of its failure.
    """
    more = {"results": []} if kind is errors.BatchCancelledException else {}

    error = kind("what happened", **more)

    assert "what happened" == error.message == str(error)
    assert isinstance(error.code, str)
    assert error.code
    assert isinstance(error.remedy, str)


def test_the_codes_of_the_tree_differ():
    """
    Who counts by code counts nothing twice. A batch that is cancelled is what its elements are.
    """
    plain = [each.code for each in TREE if not issubclass(each, AssetException)]

    assert len(set(plain)) == len(plain)
    assert {"cancelled"} == {code.value for code in Code} & set(plain)


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        ("resolve_asset_path", (), Code.NOT_FOUND),
        ("resolve_asset", (), Code.NOT_FOUND),
        ("get_version", (), Code.NOT_FOUND),
        ("get_entity_info", (), Code.NOT_FOUND),
        ("get_status", (), Code.NOT_FOUND),
        ("set_status", ("review",), Code.NOT_FOUND),
        ("register_version", ("/no/such/file.usda",), Code.NOT_FOUND),
        ("set_metadata", ({"a": 1},), Code.NOT_FOUND),
        ("add_relationship", (UNKNOWN_ASSET + "2",), Code.NOT_FOUND),
        ("get_relationships_with_metadata", (), Code.NOT_FOUND),
    ],
)
def test_every_call_about_a_reference_says_in_what_context_it_failed(
    own_host, call, arguments, code
):
    """
    Those that ask the catalogue itself no less than those that ask through the pipeline.
    """
    error = raised_by(getattr(own_host, call), UNKNOWN_ASSET, *arguments)

    assert code == error.code
    assert error.asset_uri.startswith(UNKNOWN_ASSET)
    assert error.remedy
    assert {"manager", "operation", "attempt", "elapsed_s"} <= set(error.context)


@pytest.mark.parametrize("limit", [-1, "5", True])
def test_a_limit_is_a_whole_number_from_0_up(own_host, limit):
    """
    Of relationships as of publishes and orphans.
    """
    error = raised_by(own_host.get_relationships_with_metadata, UNKNOWN_ASSET, limit=limit)

    assert errors.InvalidQueryException is type(error)
    assert error.message.startswith("limit: expected")


def test_what_was_meant_is_suggested_where_nothing_is_found(make):
    """
    From what the caches hold, of another manager: it has no search.
    """
    host = make("none")
    host.resolve_asset_path(HERO)

    assert [HERO] == raised_by(host.resolve_asset_path, HERO.replace("hero", "heroo")).suggestions
