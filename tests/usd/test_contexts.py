# SPDX-License-Identifier: Apache-2.0
"""Resolver contexts: their identity, their text, and where they come from."""

from __future__ import annotations

from pathlib import Path

from bifrost.context import Context, policy
from bifrost.testing.show import Show, layer

PRELUDE = """
import sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar, Sdf, Usd
resolver = Ar.GetResolver()
def context(text):
    return resolver.CreateContextFromString("bifrost", text)
"""


def test_equal_text_is_an_equal_context_however_it_is_written(run) -> None:
    """
    Order, white space and escapes don't matter; values do.
    """
    lines = run(
        """
one = context("version=2;user=a b")
print(one == context(" user = a%20b ;; version=2 "), hash(one) == hash(context("user=a b;version=2")))
print(one == context("version=3;user=a b"), one == resolver.CreateDefaultContext())
print(one == resolver.CreateContextFromStrings([("bifrost", "user=a b;version=2")]))
"""
    )

    assert ["True True", "False False", "True"] == lines


def test_a_context_is_printable(run, tmp_path: Path) -> None:
    """
    `print`, `repr`, `str` and the debug string say policy and root, and crash nowhere.
    """
    root = tmp_path / "root.usda"
    root.write_text(layer())

    lines = run(
        """
made = context("version=2")
print(made)
print(repr(made))
print(made.GetDebugString())
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetPathResolverContext().Get()[0])
""",
        root,
    )

    assert "Ar.ResolverContext('bifrost(version=2)')" == lines[0] == lines[1]
    assert "bifrost(version=2)" == lines[2]
    assert f"bifrost(root={root})" == lines[-1]


def test_an_unknown_part_is_ignored_with_a_warning(run_python) -> None:
    """
    A typo must not silently mean something else.
    """
    done = run_python(PRELUDE + "print(context('verison=2;version=1') == context('version=1'))")

    assert "True\n" == done.stdout
    assert "verison=2" in done.stderr


def test_the_environment_gives_the_default_policy(show: Show, run) -> None:
    """
    `BIFROST_CONTEXT` is what contexts mean that nobody gave a policy, with or without one bound.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetPrimAtPath("/p0").GetAttribute("v").Get())
print(str(resolver.Resolve(sys.argv[2])).split("/")[-2])
""",
        root,
        leaf,
        env={"BIFROST_CONTEXT": "version=1"},
    )

    assert ["1", "v1"] == lines


def test_another_environment_policy_has_answers_of_its_own(show: Show, run) -> None:
    """
    With no context bound, an answer under one policy is never served under another.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))

    lines = run(
        """
import os
for policy in ("version=1", "version=2", "version=1"):
    os.environ["BIFROST_CONTEXT"] = policy
    print(str(resolver.Resolve(sys.argv[1])).split("/")[-2])
""",
        leaf,
    )

    assert ["v1", "v2", "v1"] == lines


def test_a_stage_is_of_the_environment_as_it_is_when_it_is_opened(show: Show, run) -> None:
    """
    OpenUSD opens it without Python's lock: the environment is read when its context is made.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))

    lines = run(
        """
import os
for policy, root in zip(("version=1", "version=2", "version=1"), sys.argv[1:]):
    os.environ["BIFROST_CONTEXT"] = policy
    stage = Usd.Stage.Open(root)
    print(stage.GetPrimAtPath("/p0").GetAttribute("v").Get())
""",
        *(show.root(f"root{number}.usda", leaf) for number in range(3)),
    )

    assert ["1", "2", "1"] == lines


def test_what_is_not_known_yet_is_of_the_environment_as_it_is(show: Show, run) -> None:
    """
    With no context bound and without Python's lock, as OpenUSD asks for the layer of a reference.
    """
    references = [show.publish(name, layer(value="1")) for name in ("a.usda", "b.usda")]
    for name in ("a.usda", "b.usda"):
        show.publish(name, layer(value="2"))

    lines = run(
        """
import os
for policy, reference in zip(("version=1", "version=2"), sys.argv[1:]):
    os.environ["BIFROST_CONTEXT"] = policy
    print(Sdf.Layer.FindOrOpen(reference).realPath.split("/")[-2])
""",
        *references,
    )

    assert ["v1", "v2"] == lines


def test_the_environment_may_change_while_threads_resolve(show: Show, run_python) -> None:
    """
    With no context bound, on threads without Python's lock: setting a variable moves all of them.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    source = """
import os, threading
turns, ended = threading.Semaphore(0), threading.Event()
def look():
    while not ended.is_set():
        Sdf.Layer.FindOrOpen(sys.argv[1])
        turns.release()
kept = Sdf.Layer.FindOrOpen(sys.argv[1])
threads = [threading.Thread(target=look) for _ in range(2)]
for thread in threads: thread.start()
for number in range(150):
    os.environ[f"VARIABLE_{number}"] = "x" * 20
    for _ in range(20): turns.acquire()
ended.set()
for thread in threads: thread.join()
"""

    for _ in range(5):
        done = run_python(PRELUDE + source, leaf, check=False)

        assert (0, "") == (done.returncode, done.stderr)


def test_a_scheme_in_upper_case_is_the_same_scheme(show: Show, run) -> None:
    """
    Schemes have no case (RFC 3986, 3.1), and Ar routes them so.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    lines = run("print(resolver.Resolve(sys.argv[1].upper()[:7] + sys.argv[1][7:]))", leaf)

    assert [str(show.path("leaf.usda", 1))] == lines


def test_as_of_a_time_is_the_version_of_that_time(show: Show, run) -> None:
    """
    A whole show as it was, by one timestamp; before the first version there is nothing.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    first = show.catalogue.versions("leaf.usda")[0].created.isoformat()
    show.publish("leaf.usda", layer(value="2"))

    lines = run(
        """
for moment in (sys.argv[2], "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
    with Ar.ResolverContextBinder(context("as_of=" + moment)):
        print(str(resolver.Resolve(sys.argv[1])).split("/")[-2:-1])
""",
        leaf,
        first,
    )

    assert ["['v1']", "[]", "['v2']"] == lines


def test_python_writes_the_policy_that_cpp_reads(run) -> None:
    """
    `bifrost.context.policy` is canonical: C++ makes the same text of it.
    """
    made = Context(
        version="2", user="Zoë / x;y=z", current_project="p q", as_of="2026-01-01T00:00:00+01:00"
    )

    lines = run("print(context(sys.argv[1]).GetDebugString().strip())", policy(made))

    assert [f"bifrost({policy(made)})"] == lines


def test_a_forked_child_resolves_on_its_own(show: Show, run) -> None:
    """
    After use in the parent, with its threads and its cache left behind.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    other = show.publish("other.usda", layer(value="2"))

    lines = run(
        """
import os
assert resolver.Resolve(sys.argv[1])
for _ in range(5):
    child = os.fork()
    if child == 0:
        ok = bool(resolver.Resolve(sys.argv[1])) and bool(resolver.Resolve(sys.argv[2]))
        os._exit(0 if ok else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(bool(resolver.Resolve(sys.argv[2])))
""",
        leaf,
        other,
    )

    assert ["0"] * 5 + ["True"] == lines


def test_udim_and_other_templates_resolve_without_a_look_at_the_disk(show: Show, run) -> None:
    """
    `<UDIM>` stays in the resolved path, for whoever reads the tiles.
    """
    from bifrost.catalogue import Publication

    pattern = str(show.folder / "wood.<UDIM>.png")
    show.catalogue.publish(
        [Publication("wood.<UDIM>.png", "wood", "texture", pattern, checksum="x", templated=True)]
    )

    lines = run("print(resolver.Resolve('bifrost:///assets/wood.<UDIM>.png'))")

    assert [pattern] == lines


def test_ids_with_spaces_at_signs_and_umlauts_resolve(show: Show, run) -> None:
    """
    Whatever a file may be called can be published, referenced and opened.
    """
    names = [
        "a b.usda",
        "mail@home.usda",
        "größe.usda",
        "100%.usda",
        "x[1].usda",
        "q?.usda",
        "h#.usda",
    ]
    references = [show.publish(name, layer(value=str(i))) for i, name in enumerate(names)]
    root = show.root("root.usda", *references)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
print([stage.GetPrimAtPath("/p%d" % i).GetAttribute("v").Get() for i in range(7)])
""",
        root,
    )

    assert ["['0', '1', '2', '3', '4', '5', '6']"] == lines
