# SPDX-License-Identifier: Apache-2.0
"""Contexts: what they carry, what splits a cache, and what a USD context string says."""

import asyncio
import contextvars
import copy
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost import context as module
from bifrost.context import (
    NOBODY,
    Context,
    current_context,
    effective,
    enriched,
    from_policy,
    policy,
    register,
    unregister,
    use_context,
)
from bifrost.errors import InvalidTraitsException, PermissionDeniedException
from bifrost.model.permissions import Principal

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = sorted(module._POLICY_KEYS.values())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
POLICIES = st.dictionaries(st.sampled_from(ATTRIBUTES), TEXTS)


@pytest.fixture(autouse=True)
def nothing_registered():
    """Handles of one test are none of the next one's."""
    yield
    for name in list(module._registered._values):
        unregister(name)


def scope(**values):
    return Context(**values).snapshot().scope


@given(POLICIES)
def test_a_policy_string_gives_the_context_back(values):
    """
    Whatever the attributes hold: separators, white space, any script.
    """
    context = Context(**values)

    assert context == from_policy(policy(context))


@given(POLICIES)
def test_a_policy_string_is_canonical(values):
    """
    C++ compares contexts by this string, so that one meaning has one spelling.
    """
    text = policy(Context(**values))

    assert text == policy(from_policy(text))
    assert sorted(text.split(";")) == text.split(";")
    assert text.isascii()


@given(st.text())
def test_any_other_text_is_a_value_error(text):
    """
    Context strings are typed by people and found in old scenes.
    """
    complaint = ""
    try:
        from_policy(text)
    except ValueError as error:
        complaint = str(error)

    assert not complaint or "expected" in complaint


@pytest.mark.parametrize(
    "text", ["versoin=3", "version", "access_token=x", "trace_id=x", "=", "a b"]
)
def test_an_unknown_key_is_named_with_the_known_ones(text):
    """
    A token in particular has no place in a string that ends up in scene files.
    """
    with pytest.raises(ValueError, match=r"as_of=…; locale=…; .*project=.*" + re.escape(text)):
        from_policy(text)


def test_bytes_that_are_no_text_are_a_value_error():
    """
    Two users whose names are undecodable must not become one.
    """
    with pytest.raises(ValueError, match="user"):
        from_policy("user=%FF")


def test_no_policy_is_an_empty_string():
    """
    The default context is spelt like no context.
    """
    assert "" == policy(Context())
    assert Context() == from_policy("")


def test_cpp_knows_the_same_policy_keys():
    """
    Contexts made from strings are canonicalised in C++ and read in Python.
    """
    source = (ROOT / "resolver" / "resolver_context.cpp").read_text(encoding="utf-8")
    keys = re.search(r"kPolicyKeys = \{([^}]*)\}", source)[1]

    assert sorted([*module._POLICY_KEYS, module._HANDLE]) == re.findall(r'"(\w+)"', keys)


def test_cpp_escapes_what_python_escapes():
    """
    Both sides spell a policy the same way, or one context would be two.
    """
    source = (ROOT / "resolver" / "resolver_context.cpp").read_text(encoding="utf-8")
    safe = set(re.search(r'kSafe = "([^"]*)"', source)[1])
    every = "".join(map(chr, range(1, 128)))

    kept = {ch for ch in every if policy(Context(user=ch)) == f"user={ch}"}

    assert safe | {ch for ch in every if ch.isalnum()} == kept


def test_a_snapshot_stays_as_it_was():
    """
    What crosses threads is the context of the moment of the call.
    """
    context = Context(user="ada")
    snapshot = context.snapshot()
    context.user = "bob"

    assert "ada" == snapshot.get("user")
    with pytest.raises(TypeError):
        snapshot.values["user"] = "eve"


@pytest.mark.parametrize("name", ["session", "trace_id", "traceparent"])
def test_what_is_about_one_call_shares_answers(name):
    """
    A trace id must not empty the cache.
    """
    assert scope(user="ada") == scope(user="ada", **{name: "x"})


@pytest.mark.parametrize("name", [*ATTRIBUTES, "access_token", "colour_of_the_day"])
def test_whatever_else_is_set_splits_the_cache(name):
    """
    Nobody is served what was answered under another identity or policy.
    """
    assert 3 == len({scope(), scope(**{name: "x"}), scope(**{name: "y"})})


@given(st.dictionaries(TEXTS.filter(str.isidentifier).filter(lambda n: n[0] != "_"), TEXTS))
def test_the_order_of_setting_is_of_no_matter(values):
    """
    Equal contexts share answers.
    """
    assert scope(**values) == scope(**dict(reversed(values.items())))


def test_a_token_is_shown_nowhere():
    """
    Not in the scope, not in a repr, not in a policy, not in a traceback's locals.
    """
    context = Context(access_token="s3cret", user="ada")
    snapshot = context.snapshot()

    shown = [
        text(each)
        for each in (context, snapshot, vars(context), dict(snapshot.values), context.child())
        for text in (repr, str, format)
    ]
    assert [] == [text for text in [*shown, snapshot.scope, policy(context)] if "s3cret" in text]
    assert "s3cret" == context.access_token == snapshot.get("access_token")


def test_a_child_changes_nothing_of_its_parent():
    """
    A child starts with its parent's attributes and goes its own way.
    """
    parent = Context(user="ada", locale="en")
    child = parent.child(locale="fr", version="approved")

    assert Context(user="ada", locale="en") == parent
    assert Context(user="ada", locale="fr", version="approved") == child
    assert Context(user="ada") == parent.child(locale=None)


def test_none_is_not_set():
    """
    Setting an attribute to None and deleting it are the same.
    """
    context = Context(user="ada", locale="en")
    context.user = None
    del context.locale

    assert Context() == context
    assert context.user is None
    assert "" == context.snapshot().scope


def test_unknown_attributes_may_be_set_but_not_misread():
    """
    A misspelt question is an AttributeError, not None.
    """
    context = Context(shot="sh010")

    assert "sh010" == context.shot
    with pytest.raises(AttributeError, match="sequence"):
        _ = context.sequence
    with pytest.raises(AttributeError, match="underscore"):
        context._hidden = 1


@pytest.mark.parametrize("name", ["child", "snapshot", "active"])
def test_a_name_that_could_not_be_read_back_can_not_be_set(name):
    """
    An attribute that a method hides would be set and never seen.
    """
    with pytest.raises(AttributeError, match=name):
        setattr(Context(), name, 1)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_a_copy_is_another_context(duplicate):
    """
    Editing a copy leaves the original alone.
    """
    context = Context(user="ada")
    copied = duplicate(context)
    copied.user = "bob"

    assert Context(user="ada") == context


# Secrets


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "password", "clientSecret"])
def test_a_secret_is_in_no_pickle_and_nobody_is_taken_for_nobody(name):
    """
    What arrives without its token refuses to ask, until it is set again or given up.
    """
    arrived = pickle.loads(pickle.dumps(Context(user="ada", **{name: "s3cret"})))

    assert b"s3cret" not in pickle.dumps(Context(user="ada", **{name: "s3cret"}))
    assert "ada" == arrived.user
    for sent_on in (arrived, arrived.child(user="bob"), pickle.loads(pickle.dumps(arrived))):
        with pytest.raises(PermissionDeniedException, match=name):
            sent_on.snapshot()
    setattr(arrived, name, None)
    assert scope(user="ada") == arrived.snapshot().scope


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_in_the_same_process_keeps_the_token(duplicate):
    """
    Copying is no way out of the process.
    """
    context = Context(access_token="s3cret", tags=["a"])

    assert "s3cret" == duplicate(context).access_token
    assert context == duplicate(context)
    assert "s3cret" == duplicate(context.snapshot()).get("access_token")


def test_a_snapshot_stays_in_its_process():
    """
    It may hold a token, and can't be asked to set it again.
    """
    with pytest.raises(TypeError, match="pickle the Context"):
        pickle.dumps(Context(access_token="s3cret").snapshot())


@pytest.mark.parametrize("token", [5, b"token", ["t"], object()])
def test_a_token_is_a_text(token):
    """
    `str(b"token")` would be sent, and refused by whoever verifies it.
    """
    with pytest.raises(TypeError, match="access_token: expected text"):
        Context(access_token=token)


def test_no_token_is_an_empty_one():
    """
    As an environment variable has it that isn't set.
    """
    assert Context() == Context(access_token="")


# Who may share answers


ANN = Principal.of("ann", issuer="studio", roles=["artist"], projects={"x": ["lead", "viewer"]})


def test_a_refreshed_token_shares_the_cache():
    """
    The principal counts, not the token; nor when it expires, nor what the caller said their name is.
    """
    one = Context(access_token="first", user="ann").snapshot().verified(ANN)
    other = Context(access_token="second", user="eve", trace_id="t").snapshot()

    assert one.scope == other.verified(ANN._replace(expires=5.0)).scope
    assert one.scope not in (other.scope, scope(), scope(user="ann"))
    assert "ann" == other.verified(ANN).get("user")


@pytest.mark.parametrize(
    "other",
    [
        ANN._replace(subject="ben"),
        ANN._replace(issuer=""),
        ANN._replace(roles=frozenset()),
        ANN._replace(projects=()),
        Principal.of("ann", issuer="studio", roles=["artist"], projects={"y": ["lead", "viewer"]}),
        Principal.of("ann", issuer="studio", roles=["artist"], projects={"x": ["lead"]}),
    ],
)
def test_who_may_do_something_else_shares_nothing(other):
    """
    Nor does somebody of the same name whom another vouches for.
    """
    snapshot = Context(access_token="t").snapshot()

    assert snapshot.verified(ANN).scope != snapshot.verified(other).scope


def test_grants_are_one_however_they_are_written():
    """
    The order of a token's lists says nothing.
    """
    again = Principal.of(
        "ann", issuer="studio", roles=["artist", "artist"], projects={"x": ["viewer", "lead"]}
    )

    assert ANN.identity == again.identity


def test_policy_splits_a_principals_cache_as_anybodys():
    """
    The same person has other answers for another project.
    """
    snapshots = [Context(access_token="t", current_project=p).snapshot() for p in (None, "x", "y")]

    assert 3 == len({each.verified(ANN).scope for each in snapshots})


def test_projects_are_one_however_they_are_written():
    """
    A text with commas, a list, a tuple.
    """
    written = ["a, b", "a,b,a", ["a", "b"], ("a", " b ", "")]

    assert 1 == len({scope(current_project=each) for each in written})
    assert {("a", "b")} == {Context(current_project=p).snapshot().projects for p in written}
    assert scope(current_project="a,b") != scope(current_project="b,a")


def test_a_snapshot_is_taken_once_until_something_changes():
    """
    A loop that asks under one context pays for one; what could change behind our back is looked at.
    """
    context = Context(user="ann", access_token="t")
    first = context.snapshot()
    listed = Context(user="ann", shots=[1])
    before = listed.snapshot().scope
    listed.shots.append(2)

    assert first is context.snapshot()
    context.user = "ben"
    assert "ben" == context.snapshot().get("user")
    assert before != listed.snapshot().scope


# The active context


def test_calls_without_a_context_use_the_active_one():
    """
    The innermost, and the explicit one before it; afterwards none.
    """
    with Context(user="ann").active(), enriched(trace_id="t"):
        assert Context(user="ann", trace_id="t") == current_context()
        assert "ann" == effective().get("user")
        assert "ben" == effective(Context(user="ben")).get("user")
        with use_context(None):
            assert current_context() is None
            assert effective() is NOBODY

    assert current_context() is None


def test_edits_of_the_active_context_affect_later_calls():
    """
    It is the caller's own object, not a copy.
    """
    context = Context(user="ann")
    with context.active():
        before = effective()
        context.user = "ben"

        assert ("ann", "ben") == (before.get("user"), effective().get("user"))


def test_a_snapshot_may_be_active_too():
    """
    That is what a worker has of whoever asked.
    """
    snapshot = Context(user="ann", access_token="s3cret").snapshot()

    with use_context(snapshot):
        assert effective() is snapshot
        assert "s3cret" == current_context().access_token


@pytest.mark.parametrize("wrong", ["ann", {"user": "ann"}, 5])
def test_what_is_no_context_is_a_type_error(wrong):
    """
    Nobody is anonymous by mistake.
    """
    with pytest.raises(TypeError, match="expected a Context"):
        effective(wrong)


def test_it_is_over_where_the_block_raises():
    """
    The next call is not somebody else's.
    """
    with pytest.raises(ZeroDivisionError), Context(user="ann").active():
        _ = 1 / 0

    assert current_context() is None


def test_await_to_thread_and_tasks_keep_it_each_its_own():
    """
    Tasks that run at once don't see each other's.
    """

    async def work(user):
        with Context(user=user).active():
            await asyncio.sleep(0)
            in_thread = await asyncio.to_thread(lambda: effective().get("user"))
            child = await asyncio.create_task(seen())
            return in_thread, child, effective().get("user")

    async def seen():
        await asyncio.sleep(0)
        return effective().get("user")

    async def all_of_them():
        return await asyncio.gather(*(work(f"u{n}") for n in range(20)))

    assert [(f"u{n}",) * 3 for n in range(20)] == asyncio.run(all_of_them())


def test_a_thread_has_it_when_it_runs_in_a_copy_of_the_context():
    """
    And is nobody's when it doesn't.
    """
    with ThreadPoolExecutor(1) as pool, Context(user="ann").active():
        copied = pool.submit(contextvars.copy_context().run, effective).result(timeout=30)
        plain = pool.submit(effective).result(timeout=30)

    assert "ann" == copied.get("user")
    assert plain is NOBODY


# Contexts as strings that name what strings can't carry


def test_a_string_names_what_it_can_not_carry():
    """
    In this process the whole context comes back, token included, and the string shows nothing of it.
    """
    context = Context(user="ann", access_token="s3cret", session="s", shot=["a"])
    text = policy(context)

    assert context == from_policy(text)
    assert re.fullmatch(r"context=[0-9a-f]{16};user=ann", text)


def test_equal_contexts_have_one_string():
    """
    USD compares contexts by it: opening a stage twice under one token is one context.
    """
    texts = {policy(Context(access_token="s3cret", shot=["a"])) for _ in range(3)}

    assert 1 == len(texts)
    assert texts.isdisjoint({policy(Context(access_token="other", shot=["a"]))})


def test_a_string_is_of_the_moment_when_it_was_made():
    """
    USD's contexts never change.
    """
    context = Context(access_token="s3cret")
    text = policy(context)
    context.access_token = "other"

    assert "s3cret" == from_policy(text).access_token


@pytest.mark.parametrize("text", ["context=0123456789abcdef", "context=;user=ann", "context=%FF"])
def test_a_string_of_another_process_is_nobodys(text):
    """
    Somebody with a token must not be asked for as nobody.
    """
    with pytest.raises(ValueError, match="names a context of another process"):
        from_policy(text)


def test_a_string_means_nothing_in_another_process():
    """
    For real: a process that was started, not forked.
    """
    text = policy(Context(access_token="s3cret"))
    code = "import sys; from bifrost.context import from_policy; from_policy(sys.argv[1])"

    done = subprocess.run(
        [sys.executable, "-c", code, text], capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == done.returncode
    assert "ValueError: context=" in done.stderr


def test_what_was_registered_can_be_forgotten():
    """
    By its handle, or by the string that names it.
    """
    handle, text = register(Context(access_token="one")), policy(Context(access_token="two"))
    unregister(handle)
    unregister(text)
    unregister(text)

    for each in (f"context={handle}", text):
        with pytest.raises(ValueError, match="dropped"):
            from_policy(each)


def test_handles_are_bounded():
    """
    A server that opens a stage for everybody who asks doesn't keep their tokens for ever.
    """
    texts = [policy(Context(access_token=f"t{n}")) for n in range(1_001)]

    assert "t1000" == from_policy(texts[-1]).access_token
    with pytest.raises(ValueError, match="dropped"):
        from_policy(texts[0])


def test_a_misplaced_token_is_not_repeated():
    """
    Whoever puts one into a string learns that it has no place there, and the log nothing.
    """
    with pytest.raises(ValueError, match="access_token=…") as caught:
        from_policy("access_token=s3cret-and-long")

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["user", "current_project", "locale", "version", "as_of"])
def test_half_a_character_is_refused_where_a_context_becomes_text(name):
    """
    A lone surrogate has no UTF-8, so no string for USD; the message says which attribute has it.
    """
    with pytest.raises(InvalidTraitsException, match=rf"{name}: expected Unicode, got 'a\\ud800'"):
        policy(Context(**{name: "a\ud800"}))


def test_half_a_character_in_a_string_is_refused():
    """
    Arguments of commands and variables have one for each byte that is no UTF-8.
    """
    with pytest.raises(ValueError, match="expected UTF-8"):
        from_policy("user=a\udc80")


def test_a_path_of_pins_is_bytes_and_goes_there_and_back():
    """
    Folders of another encoding are named as os.fsdecode names them.
    """
    context = Context(pins="/shows/\udce4/a.pins.json")

    assert "pins=%2Fshows%2F%E4%2Fa.pins.json" == policy(context)
    assert context.pins == from_policy(policy(context)).pins
