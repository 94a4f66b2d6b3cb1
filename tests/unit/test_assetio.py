# SPDX-License-Identifier: Apache-2.0
"""What managers answer, misanswer and don't answer becomes one outcome for each reference."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from openassetio import hostApi, log, managerApi
from openassetio.errors import BatchElementError, ConfigurationException, NotImplementedException
from openassetio.managerApi import ManagerInterface

from bifrost import assetio, errors
from bifrost.context import Context
from bifrost.errors import Code, ConfigurationError, exception_for
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.deadline import Deadline
from bifrost.testing import managers
from bifrost.testing.managers import FaultyManager

# No test waits for this long unless it fails.
LIMIT_S = 20.0
A, B, GONE = (managers.PREFIX + name for name in ("a.usda", "b.usda", "gone.usda"))
FOREIGN = "/mnt/show/a.usda"
KINDS = (Operation.RESOLVE, Operation.EXISTS, Operation.TRAITS, Operation.INFO)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.usda", "b.usda"):
        (folder / name).write_text("#usda 1.0\n")
        os.utime(folder / name, (5, 5))
    return folder


@pytest.fixture(autouse=True)
def nothing_owed():
    """Late callbacks of one test are not another's."""
    yield
    managers.deliver_late()


@pytest.fixture
def make(files):
    """Make a handler over a manager that fails in the way that is asked for."""

    def make(fault="none", *fault_names, interface=None):
        settings = {"files": str(files), "fault": fault, "fault_names": ",".join(fault_names)}
        made = interface or FaultyManager()
        handler = assetio.AssetioManager(lambda: assetio.manager_from_interface(made, settings))
        handler.interface = made
        return handler

    return make


def ask(handler, *references, operation=Operation.RESOLVE, context=None):
    snapshot = (context or Context()).snapshot()
    return handler.handle(Request(operation, references, snapshot)).outcomes


def codes(outcomes):
    return [each.code if isinstance(each, Failure) else None for each in outcomes]


# The tables


def test_every_code_of_openassetio_is_translated():
    """
    All eight; this fails if OpenAssetIO grows a ninth.
    """
    assert 8 == len(assetio.CODES)
    assert set(BatchElementError.ErrorCode.__members__.values()) == set(assetio.CODES)


@pytest.mark.parametrize("code", sorted(set(assetio.CODES.values())))
def test_every_translated_code_has_an_exception(code):
    """
    None of a manager's refusals is merely "an error".
    """
    expected = errors.AssetException if code is Code.UNKNOWN else errors._EXCEPTIONS[code]

    assert expected is type(exception_for(code, "", ""))


@pytest.mark.parametrize(("theirs", "ours"), assetio.CODES.items())
def test_an_element_s_error_keeps_its_message(theirs, ours):
    """
    The manager's reason reaches the artist.
    """
    collected = assetio._Collected(1)
    collected.failed(0, BatchElementError(theirs, "because"))

    assert [Failure(ours, "because")] == collected._outcomes


# A manager that behaves


def test_a_reference_resolves_to_its_file(make, files):
    """
    With what else the manager said in the same answer.
    """
    assert (
        Resolution(
            A, str(files / "a.usda"), name="a.usda", modified=5.0, manager=managers.IDENTIFIER
        ),
    ) == ask(make(), A)


def test_one_batch_is_one_round_trip(make):
    """
    However many references, in order, duplicates and foreign ones among them.
    """
    handler = make()

    outcomes = ask(handler, B, FOREIGN, GONE, A, B)

    assert [None, Code.FOREIGN_REFERENCE, Code.NOT_FOUND, None, None] == codes(outcomes)
    assert [B, A, B] == [each.reference for each in outcomes if isinstance(each, Resolution)]
    assert (1, 1) == (handler.round_trips, handler.interface.calls)


@pytest.mark.parametrize("references", [(), (FOREIGN,), ("", FOREIGN)])
def test_without_a_reference_of_its_own_a_manager_is_not_asked(make, references):
    """
    What is foreign costs no round trip.
    """
    handler = make()

    assert [Code.FOREIGN_REFERENCE] * len(references) == codes(ask(handler, *references))
    assert 0 == handler.interface.calls


def test_the_other_questions(make):
    """
    Existence, traits, and properties by trait.
    """
    handler = make()
    location = "openassetio-mediacreation:content.LocatableContent"

    assert (True, False) == ask(handler, A, GONE, operation=Operation.EXISTS)
    (traits, failure) = ask(handler, A, GONE, operation=Operation.TRAITS)
    assert location in traits
    assert isinstance(traits, frozenset)
    assert Code.NOT_FOUND == failure.code
    (info, failure) = ask(handler, A, GONE, operation=Operation.INFO)
    assert info[location]["location"].startswith("file:///")
    assert Code.NOT_FOUND == failure.code


@pytest.mark.parametrize("operation", sorted(set(Operation) - set(KINDS)))
def test_what_openassetio_can_not_ask_is_said_to_be_unsupported(make, operation):
    """
    With the manager's name.
    """
    (outcome,) = ask(make(), A, operation=operation)

    assert Code.UNSUPPORTED == outcome.code
    assert managers.IDENTIFIER in outcome.message


def test_templates_are_not_looked_for(make, files):
    """
    `<UDIM>` stands for many files, none of which is called so.
    """
    (outcome,) = ask(make(), managers.PREFIX + "tex.<UDIM>.png")

    assert (str(files / "tex.<UDIM>.png"), True) == (outcome.path, outcome.templated)


@pytest.mark.parametrize(
    "name", ["sp ace.usda", "per%cent.usda", "ünïcode.usda", "a#b.usda", "q?.usda"]
)
def test_any_file_name_can_be_a_location(make, files, name):
    """
    What URLs escape is unescaped.
    """
    (files / name).touch()

    (outcome,) = ask(make(), managers.PREFIX + name)

    assert str(files / name) == outcome.path


def test_the_manager_is_made_by_the_first_request_and_once(files):
    """
    Sixteen threads that miss at the same time start one manager.
    """
    made = []

    def make():
        made.append(threading.current_thread())
        return assetio.manager_from_interface(FaultyManager(), {"files": str(files)})

    handler = assetio.AssetioManager(make)
    assert [] == made
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: ask(handler, A)[0].path, range(64)))

    assert {str(files / "a.usda")} == set(outcomes)
    assert 1 == len(made)


# Managers that don't

NO_ANSWERS = ["no_callback", "callback_late", "null", "wrong_index"]
GOOD_ANSWERS = ["callback_twice", "callback_twice_different", "callback_from_thread", "million"]


@pytest.mark.parametrize("fault", GOOD_ANSWERS)
def test_the_first_answer_counts(make, files, fault):
    """
    Twice, on second thoughts, from another thread, among a million others.
    """
    outcomes = ask(make(fault, "a.usda"), A, B, GONE)

    assert [None, None, Code.NOT_FOUND] == codes(outcomes)
    assert [str(files / name) for name in ("a.usda", "b.usda")] == [
        each.path for each in outcomes[:2]
    ]


@pytest.mark.parametrize("fault", NO_ANSWERS)
def test_no_answer_is_that_reference_s_failure(make, fault):
    """
    Forgotten, too late, null, or about another: the others keep their answers.
    """
    outcomes = ask(make(fault, "a.usda"), A, B, GONE, FOREIGN)

    assert [Code.MISBEHAVED, None, Code.NOT_FOUND, Code.FOREIGN_REFERENCE] == codes(outcomes)
    assert "without an answer" in outcomes[0].message


def test_a_short_list_leaves_the_rest_without_an_answer(make):
    """
    The manager stops before the last.
    """
    assert [None, None, Code.MISBEHAVED] == codes(ask(make("short_list"), A, B, A))


def test_an_answer_after_the_end_is_nobody_s(make):
    """
    A late callback changes no reply, and crashes nothing.
    """
    outcomes = ask(make("callback_late"), A, B)

    assert 2 == managers.deliver_late()
    assert [Code.MISBEHAVED] * 2 == codes(outcomes)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("http_url", Code.NOT_A_FILE),
        ("bad_url", Code.NOT_A_FILE),
        ("undecodable_url", Code.NOT_A_FILE),
        ("no_location", Code.NO_LOCATION),
        ("number_location", Code.NO_LOCATION),
        ("missing_file", Code.FILE_MISSING),
        ("denied", Code.PERMISSION_DENIED),
        ("garbage_error_code", Code.UNKNOWN),
    ],
)
def test_a_useless_answer_is_that_reference_s_failure(make, fault, code):
    """
    Classified, with the reason, and the others keep their answers.
    """
    outcomes = ask(make(fault, "a.usda"), A, B, GONE)

    assert [code, None, Code.NOT_FOUND] == codes(outcomes)
    assert not outcomes[0].retryable
    assert outcomes[0].message


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ("raise", Code.MISBEHAVED, False),
        ("wrong_type", Code.MISBEHAVED, False),
        ("raise_runtime", Code.UNAVAILABLE, True),
        ("raise_oserror", Code.UNAVAILABLE, True),
        ("raise_openassetio", Code.UNAVAILABLE, True),
    ],
)
@pytest.mark.parametrize("operation", KINDS)
def test_an_exception_is_a_failure_for_each_reference(make, operation, fault, code, retryable):
    """
    An outage may pass, a defect won't; neither is an exception here.
    """
    outcomes = ask(make(fault), A, B, operation=operation)

    assert [code, code] == codes(outcomes)
    assert {retryable} == {each.retryable for each in outcomes}
    assert managers.IDENTIFIER in outcomes[0].message


@pytest.mark.parametrize(
    ("fault", "most"), [("raise", 64), ("raise_runtime", 3), ("raise_oserror", 1)]
)
def test_a_server_that_is_down_is_not_searched_for_who_is_to_blame(make, fault, most):
    """
    A defect is; what may be either is looked at twice.
    """
    handler = make(fault)
    ask(handler, *[f"{managers.PREFIX}{number}" for number in range(200)])

    assert 1 <= handler.round_trips <= most


@pytest.mark.parametrize("fault", ["raise", "raise_runtime"])
@pytest.mark.parametrize("faulty", ["a.usda", "b.usda"])
def test_one_element_that_makes_it_raise_is_found(make, fault, faulty):
    """
    Wherever it stands; the others are answered.
    """
    references = [A, B] * 3
    outcomes = ask(make(fault, faulty), *references)

    assert [ref.endswith(faulty) for ref in references] == [
        isinstance(each, Failure) for each in outcomes
    ]


@pytest.mark.parametrize("fault", ["raise", "raise_oserror"])
def test_what_was_not_asked_does_not_fail_with_the_rest(make, fault):
    """
    A foreign reference is foreign whatever the manager does.
    """
    assert Code.FOREIGN_REFERENCE == ask(make(fault), A, FOREIGN)[1].code


@pytest.mark.parametrize("fault", ["raise", "raise_oserror", "wrong_type"])
def test_what_was_answered_before_an_exception_is_kept(make, fault):
    """
    The stage still opens with what did resolve.
    """
    outcomes = ask(make(fault, "b.usda"), A, B)

    assert isinstance(outcomes[0], Resolution)
    assert isinstance(outcomes[1], Failure)


@pytest.mark.parametrize("operation", KINDS)
@pytest.mark.parametrize("fault", sorted(set(managers.FAULTS) - {"hang", "million"}))
def test_no_fault_is_an_exception(make, fault, operation):
    """
    Every fault in every question: one outcome for each reference, of the right type.
    """
    expected = {
        Operation.RESOLVE: Resolution,
        Operation.EXISTS: bool,
        Operation.TRAITS: frozenset,
        Operation.INFO: dict,
    }[operation]

    outcomes = ask(make(fault), A, GONE, FOREIGN, operation=operation)

    assert 3 == len(outcomes)
    assert all(isinstance(each, (expected, Failure)) for each in outcomes)


def test_a_hang_is_bounded_by_the_deadline(make):
    """
    As long as it releases the GIL.
    """
    handler = Deadline(make("hang"), 0.05, max_workers=1)
    try:
        assert [Code.DEADLINE] == codes(ask(handler, A))
    finally:
        managers.release()


@pytest.mark.parametrize(
    "text",
    [*map(chr, (0xDCFF, 0xD800)), "\0", "x" * 100_000, f"{managers.PREFIX}\udcff"],
)
@pytest.mark.parametrize("operation", KINDS)
def test_no_text_takes_the_others_along(make, operation, text):
    """
    Bytes that are no UTF-8 come from file names and C++; they can't be anybody's reference.
    """
    outcomes = ask(make(), A, text, B, operation=operation)

    assert [None, None] == codes(outcomes[::2])
    assert outcomes[1] is not None


def test_a_reference_that_is_only_a_prefix_has_no_file(make):
    """
    The folder itself is not an entity.
    """
    assert [Code.NOT_FOUND] == codes(ask(make(), managers.PREFIX))


def test_a_location_that_is_a_folder_is_no_file(make, files):
    """
    USD could not open it.
    """

    class Folders(FaultyManager):
        def _location(self, name):
            return f"file://{files}"

    assert [Code.NOT_A_FILE] == codes(ask(make(interface=Folders()), A))


class TraitsFail(FaultyManager):
    """Answers `resolve` and refuses `entityTraits`."""

    def entityTraits(self, refs, access, context, hostSession, ok, failed):  # noqa: N802, N803
        for index, _ in enumerate(refs):
            failed(index, BatchElementError(BatchElementError.ErrorCode.kEntityAccessError, "no"))


def test_information_fails_where_its_traits_do(make):
    """
    An empty description is not what "access denied" means.
    """
    assert [Code.ACCESS] == codes(ask(make(interface=TraitsFail()), A, operation=Operation.INFO))


class NotImplementing(FaultyManager):
    """Resolves nothing."""

    def resolve(self, *_):
        raise NotImplementedException("resolve is not implemented")


def test_what_a_manager_does_not_implement_is_unsupported(make):
    """
    Not an outage, so that nobody asks again.
    """
    (outcome,) = ask(make(interface=NotImplementing()), A)

    assert (Code.UNSUPPORTED, False) == (outcome.code, outcome.retryable)


# Contexts


class Listening(FaultyManager):
    """Keeps the locale of each call."""

    def __init__(self):
        super().__init__()
        self.locales = []

    def resolve(self, refs, traitSet, access, context, *rest):  # noqa: N803
        self.locales.append(context.locale)
        super().resolve(refs, traitSet, access, context, *rest)


def properties(locale):
    return {
        key: locale.getTraitProperty(trait, key)
        for trait in locale.traitSet()
        for key in locale.traitPropertyKeys(trait)
    }


def test_who_asks_and_under_what_policy_reaches_the_manager(make):
    """
    In the locale: policy, user, token, and what the call is part of.
    """
    listening = Listening()
    context = Context(
        user="ada", version=3, as_of="2026-01-01", current_project=["p", "q"], locale="en",
        access_token="t", trace_id="x", session="s", shot={"number": 10}, refresh_token="r",
    )  # fmt: skip
    ask(make(interface=listening), A, context=context)

    said = set(properties(listening.locales[0]).values())
    assert {"ada", "3", "2026-01-01", "p,q", "en", "t", "x", "s"} < said
    assert {'{"shot": {"number": 10}}'} == {each for each in said if "{" in each}
    assert 9 == len(said)


def test_a_context_that_says_nothing_has_an_empty_locale(make):
    """
    A manager that knows no locale of ours is not bothered with one.
    """
    listening = Listening()
    ask(make(interface=listening), A, context=Context())

    assert set() == listening.locales[0].traitSet()


# Where managers come from


def test_a_plugin_and_its_config_make_a_manager(files, tmp_path, monkeypatch):
    """
    As an application has them, through OpenAssetIO's own variables.
    """
    for name, value in managers.install(tmp_path / "plugin", files=files).items():
        monkeypatch.setenv(name, value)
    config = os.environ["OPENASSETIO_DEFAULT_CONFIG"]

    handler = assetio.AssetioManager(lambda: assetio.manager_from_config(config))

    assert str(files / "a.usda") == ask(handler, A)[0].path
    assert managers.IDENTIFIER in {each["identifier"] for each in assetio.available_managers()}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[manager",
        "[manager]\nidentifier = 'no.such.manager'",
        "[manager]\nidentifier = 5",
        f"[manager]\nidentifier = '{managers.IDENTIFIER}'\n[manager.settings]\nfault = 'new'",
        f"[manager]\nidentifier = '{managers.IDENTIFIER}'\n[manager.settings]\nfault = [1]",
    ],
)
def test_a_config_that_makes_no_manager_is_a_configuration_error(
    files, tmp_path, monkeypatch, text
):
    """
    Absent, broken, of an unknown manager, with settings that it refuses: the file is named.
    """
    for name, value in managers.install(tmp_path / "plugin", files=files).items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_text(text)

    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        assetio.manager_from_config(str(config))


def test_a_plugin_folder_that_is_not_there_is_skipped(files, tmp_path, monkeypatch):
    """
    OpenAssetIO's Python factory would raise FileNotFoundError.
    """
    variables = managers.install(tmp_path / "plugin", files=files)
    plugins = variables["OPENASSETIO_PLUGIN_PATH"]
    monkeypatch.setenv("OPENASSETIO_PLUGIN_PATH", os.pathsep.join(["/no/such/folder", plugins, ""]))

    assert assetio.manager_from_config(variables["OPENASSETIO_DEFAULT_CONFIG"])


def test_an_interface_that_refuses_its_settings_is_a_configuration_error():
    """
    As OpenAssetIO's ConfigurationException says it.
    """
    with pytest.raises(ConfigurationError, match="expected one of"):
        assetio.manager_from_interface(FaultyManager(), {"fault": "unheard of"})


class Incapable(ManagerInterface):
    """Lacks what every manager must have."""

    def identifier(self):
        return "org.bifrost.test.incapable"

    def displayName(self):  # noqa: N802
        return "Incapable"

    def hasCapability(self, capability):  # noqa: N802
        return False

    def initialize(self, managerSettings, hostSession):  # noqa: N803
        pass


def test_an_interface_without_the_required_capabilities_is_a_configuration_error():
    """
    OpenAssetIO finds out after `initialize`.
    """
    with pytest.raises(ConfigurationError):
        assetio.manager_from_interface(Incapable(), {})


def test_a_manager_that_can_not_be_made_is_tried_again(files):
    """
    A configuration may be mended while the process lives.
    """
    attempts = []

    def make():
        attempts.append(1)
        if len(attempts) == 1:
            raise ConfigurationError("not yet")
        return assetio.manager_from_interface(FaultyManager(), {"files": str(files)})

    handler = assetio.AssetioManager(make)
    with pytest.raises(ConfigurationError, match="not yet"):
        ask(handler, A)

    assert isinstance(ask(handler, A)[0], Resolution)


def test_the_host_says_who_it_is():
    """
    Managers may behave differently for different hosts.
    """
    host = assetio.HostIdentity()

    assert ("org.bifrost.host", "Bifrost") == (host.identifier(), host.displayName())


# The manager that these tests ship


def test_the_test_manager_refuses_a_fault_it_does_not_know():
    """
    A misspelt fault would make a test that proves nothing.
    """
    session = managerApi.HostSession(
        managerApi.Host(assetio.HostIdentity()), log.SeverityFilter(log.ConsoleLogger())
    )
    manager = hostApi.Manager(FaultyManager(), session)

    with pytest.raises(ConfigurationException, match="unknown settings: flies"):
        manager.initialize({"flies": "/tmp"})
    with pytest.raises(ConfigurationException, match="got 'hnag'"):
        manager.initialize({"fault": "hnag"})


def test_a_hang_that_is_released_is_answered(make):
    """
    It lasts until the test says so.
    """
    handler = make("hang")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(ask, handler, A)
        while not future.done():
            managers.release()
            threading.Event().wait(0.001)

    assert isinstance(future.result()[0], Resolution)
