# SPDX-License-Identifier: Apache-2.0
"""Contexts: what they carry, what splits a cache, and what a USD context string says."""

import copy
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost import context as module
from bifrost.context import Context, from_policy, policy

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = sorted(module._POLICY_KEYS.values())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
POLICIES = st.dictionaries(st.sampled_from(ATTRIBUTES), TEXTS)


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
    with pytest.raises(ValueError, match=r"as_of=…; locale=…; project=.*" + re.escape(text)):
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
    assert "" == policy(Context(trace_id="t", access_token="secret", session="s"))
    assert Context() == from_policy("")


def test_cpp_knows_the_same_policy_keys():
    """
    Contexts made from strings are canonicalised in C++ and read in Python.
    """
    source = (ROOT / "resolver" / "resolver_context.cpp").read_text(encoding="utf-8")
    keys = re.search(r"kPolicyKeys = \{([^}]*)\}", source)[1]

    assert sorted(module._POLICY_KEYS) == re.findall(r'"(\w+)"', keys)


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


@pytest.mark.parametrize("name", ["session", "trace_id"])
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

    shown = [repr(context), str(context), repr(snapshot), str(snapshot), snapshot.scope]
    assert [] == [text for text in [*shown, policy(context)] if "s3cret" in text]


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


@pytest.mark.parametrize("name", ["child", "snapshot"])
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
