# SPDX-License-Identifier: Apache-2.0
"""`bifrost` hands out its public names when they are asked for, and only those."""

import inspect
import subprocess
import sys

import pytest

import bifrost
from bifrost import errors


@pytest.mark.parametrize("name", bifrost.__all__)
def test_every_public_name_can_be_had(name):
    """
    By attribute, which is what `from bifrost import name` does.
    """
    assert getattr(bifrost, name) is not None
    assert name in dir(bifrost)


def test_the_exceptions_are_those_of_the_tree():
    """
    `except bifrost.AssetNotFoundException` catches what the package raises.
    """
    tree = dict(
        inspect.getmembers(
            errors, lambda each: inspect.isclass(each) and issubclass(each, Exception)
        )
    )

    assert tree == {name: getattr(bifrost, name) for name in tree}


def test_the_host_is_ready():
    """
    `bifrost_host` is an instance, always the same one.
    """
    assert isinstance(bifrost.bifrost_host, bifrost.BifrostHostInterface)
    assert bifrost.bifrost_host is bifrost.bifrost_host


@pytest.mark.parametrize("name", ["nope", "Session", "__wrapped__", "_HOMES_"])
def test_any_other_name_is_an_attribute_error(name):
    """
    `hasattr` and misspelt imports behave as with any module.
    """
    assert not hasattr(bifrost, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(bifrost, name)


def test_the_names_are_sorted():
    """
    One list to read, and one place to add to.
    """
    assert sorted(bifrost.__all__, key=lambda name: (name.islower(), name)) == bifrost.__all__


def test_an_exception_costs_no_openassetio():
    """
    A script that only handles errors imports nothing heavy.
    """
    code = (
        "import sys\n"
        "from bifrost import AssetException, AssetNotFoundException, Context\n"
        "print(sorted({'openassetio', 'pxr', 'lmdb', 'sqlalchemy', 'msgpack'} & set(sys.modules)))"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    ).stdout

    assert "[]\n" == output
