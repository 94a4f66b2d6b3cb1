# SPDX-License-Identifier: Apache-2.0
"""One tree of exceptions, and a code for everything that can be wrong with one reference."""

import copy
import inspect
import pickle
import re

import pytest

from bifrost import errors
from bifrost.errors import AssetException, BifrostError, Code, exception_for

REFERENCE = "bifrost:///assets/hero"
TREE = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BifrostError)
]


@pytest.mark.parametrize("code", Code)
def test_every_code_becomes_an_exception_about_the_reference(code):
    """
    A one-reference call can raise whatever a batch may answer.
    """
    error = exception_for(code, "no luck", REFERENCE, {"elapsed_s": 1.0})

    assert isinstance(error, AssetException)
    assert (REFERENCE, code, "no luck", {"elapsed_s": 1.0}) == (
        error.asset_uri,
        error.code,
        error.message,
        error.details,
    )


def test_codes_have_no_spare_exceptions():
    """
    The table names each code once and nothing else.
    """
    assert set(Code) == set(errors._EXCEPTIONS)


def test_every_asset_exception_is_reached_by_a_code():
    """
    An exception that no failure becomes would be a promise that nobody keeps.
    """
    promised = {each for each in TREE if issubclass(each, AssetException)}

    assert promised == {type(exception_for(code, "", "")) for code in Code}


def test_the_tree_in_the_docstring_is_the_tree():
    """
    The drawing at the top lists each exception under its base.
    """
    drawn, path = {}, {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"([│├└─ ]*)(\w+(?:Error|Exception))\b", line):
            depth = len(match[1])
            above = [name for at, name in path.items() if at < depth]
            path = {at: name for at, name in path.items() if at < depth} | {depth: match[2]}
            drawn[match[2]] = above[-1] if above else "Exception"

    assert {each.__name__: each.__base__.__name__ for each in TREE} == drawn


def test_details_are_attributes():
    """
    What a handler of the exception may want is there by name.
    """
    error = exception_for(
        Code.UNAVAILABLE,
        "down",
        REFERENCE,
        {"suggestions": ("a", "b"), "required_permission": "read", "retry_after": 1.5},
    )

    assert ["a", "b"] == error.suggestions
    assert "read" == error.required_permission
    assert 1.5 == error.retry_after


def test_without_details_the_attributes_say_that_nobody_knows():
    """
    No detail is no error.
    """
    error = exception_for(Code.NOT_FOUND, "no such asset", REFERENCE)

    assert ([], None, None) == (error.suggestions, error.required_permission, error.retry_after)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_exception_survives_the_way_to_another_process(duplicate):
    """
    Pools and farms pickle what a call raised.
    """
    error = exception_for(Code.DEADLINE, "too slow", REFERENCE, {"retry_after": 2.0})

    received = duplicate(error)

    assert (type(error), str(error), vars(error)) == (type(received), str(received), vars(received))


def test_a_deadline_is_a_network_error():
    """
    Who handles an outage handles a manager that is too slow.
    """
    assert issubclass(errors.DeadlineExceededException, errors.NetworkErrorException)
