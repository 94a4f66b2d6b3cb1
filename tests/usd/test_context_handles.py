# SPDX-License-Identifier: Apache-2.0
"""Contexts that strings can't carry, through the resolver and back."""

from __future__ import annotations

from bifrost.testing.show import Show, layer

PRELUDE = """
import sys
from bifrost.context import Context, policy
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar, Usd
from bifrost.usd import bridge
resolver = Ar.GetResolver()

def resolved(text):
    bound = resolver.CreateContextFromString("bifrost", text)
    with Ar.ResolverContextBinder(bound):
        return bool(resolver.Resolve(sys.argv[1]))

"""


def test_the_whole_context_arrives_where_python_answers(show: Show, run_python) -> None:
    """
    Token and all, and no text of USD's shows it.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    done = run_python(
        PRELUDE
        + """
text = policy(Context(user="ann", access_token="s3cret-token", shot=10))
print(resolved(text), resolver.CreateContextFromString("bifrost", text))
who = bridge._bridge().snapshot(text)
print(who.get("access_token"), who.get("shot"), who.get("user"))
""",
        leaf,
    )

    first, second = done.stdout.splitlines()
    assert first.startswith("True Ar.ResolverContext('bifrost(context=")
    assert "s3cret" not in first + done.stderr
    assert "s3cret-token 10 ann" == second


def test_another_processs_context_resolves_nothing_and_says_why(show: Show, run_python) -> None:
    """
    Nobody who had a token is asked for as nobody.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    done = run_python(PRELUDE + "print(resolved('context=0123456789abcdef'))", leaf)

    assert "False\n" == done.stdout
    assert "names a context of another process" in done.stderr


def test_a_token_in_the_wrong_place_is_not_repeated(run_python) -> None:
    """
    The warning names the key alone.
    """
    done = run_python(PRELUDE + "print(resolved('access_token=s3cret'))", "bifrost:///assets/a")

    assert "access_token=..." in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
