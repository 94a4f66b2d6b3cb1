# SPDX-License-Identifier: Apache-2.0
"""
The traps that other resolvers fell into, by number, each through the built plugin in a process of its
own. A hang is a failure: every process has a hard limit.
"""

from __future__ import annotations

import os
from pathlib import Path

from bifrost.testing.show import Show, layer

PRELUDE = """
import sys, threading
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar, Sdf, Tf, Usd
resolver = Ar.GetResolver()

def value(stage, prim="/p0"):
    return stage.GetPrimAtPath(prim).GetAttribute("v").Get()

def context(policy):
    return resolver.CreateContextFromString("bifrost", policy)

def together(count, work):
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
"""


def test_t1_resolves_holding_the_gil_and_composition_do_not_wait_for_each_other(
    show: Show, run
) -> None:
    """
    A Python thread that resolves owns the GIL; composition's threads want it: neither waits for both.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value=str(i))) for i in range(100)]
    plain = show.root("plain.usda")
    plain.write_text(layer(references=tuple(leaves)))

    lines = run(
        """
def open_it(i):
    stage = Usd.Stage.Open(sys.argv[1], context("user=u%d" % i) if i % 2 else resolver.CreateDefaultContext())
    assert value(stage, "/p7") == "7"
def resolve_all(i):
    for n in range(100):
        assert resolver.Resolve("bifrost:///assets/leaf%d.usda" % n)
together(8, lambda i: (open_it if i % 2 else resolve_all)(i))
print("ok")
""",
        plain,
    )

    assert ["ok"] == lines


def test_t1b_a_resolve_inside_a_cache_scope_does_not_lock_itself_out(show: Show, run) -> None:
    """
    The same reference resolved again and again within one scope, from several threads.
    """
    leaf = show.publish("leaf.usda", layer())

    lines = run(
        """
def work(i):
    with Ar.ResolverScopedCache():
        for _ in range(200):
            assert resolver.Resolve(sys.argv[1])
together(8, work)
print("ok")
""",
        leaf,
    )

    assert ["ok"] == lines


def test_t1c_making_resolvers_does_nothing(show: Show, run_python) -> None:
    """
    Eight constructions at once, with nothing configured that a constructor could trip over.
    """
    source = """
import sys, threading
from pxr import Ar
Ar.GetResolver().Resolve(".")
def work():
    Ar.GetResolver().CreateIdentifier("bifrost:///assets/a")
threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join(30)
assert not any(t.is_alive() for t in threads)
print("bifrost.session" in sys.modules)
"""

    assert "False\n" == run_python(source, env={"BIFROST_CACHE__TTL_S": "nonsense"}).stdout


def test_t2_eight_first_uses_at_once_open_one_cache(show: Show, run) -> None:
    """
    One owner of the LMDB environment, however many threads resolve first.
    """
    leaf = show.publish("leaf.usda", layer())

    lines = run(
        """
paths = set()
together(8, lambda i: paths.add(str(resolver.Resolve(sys.argv[1]))))
print(len(paths), bool(paths.pop()))
""",
        leaf,
    )

    assert ["1 True"] == lines


UNPRIVILEGED = 65_534


def test_t3_a_published_file_is_never_written_through_its_reference(
    show: Show, run, tmp_path: Path
) -> None:
    """
    Save fails; Export and CreateNew make other versions, or fail: its bytes stay.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    path = show.path("leaf.usda", 1)
    path.chmod(0o444)
    before = path.read_bytes()
    for folder in tmp_path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:  # pytest's, which are closed to others
            folder.chmod(mode | 0o055)
    tmp_path.chmod(0o777)
    os.system(f"chmod -R a+rwX {tmp_path}/bifrost_home")

    lines = run(
        """
import os
layer = Sdf.Layer.FindOrOpen(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(int(sys.argv[2]))  # root may write to anything: permissions hold for users
def attempt(name, work):
    try:
        print(name, bool(work()))
    except Tf.ErrorException as error:
        print(name, "refused")
layer.documentation = "changed"
attempt("save", layer.Save)
attempt("export", lambda: layer.Export(sys.argv[1]))
attempt("create", lambda: Sdf.Layer.CreateNew(sys.argv[1]))
attempt("create new", lambda: Sdf.Layer.CreateNew("bifrost:///assets/new.usda"))
""",
        leaf,
        UNPRIVILEGED,
    )

    assert before == path.read_bytes()
    assert "save refused" == lines[0]


def test_t4_a_scope_cache_never_carries_an_answer_into_another_context(show: Show, run) -> None:
    """
    Within one scope, another context gets its own version; and a failure is not for ever.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))

    lines = run(
        """
with Ar.ResolverScopedCache():
    for policy in ("version=1", "version=2", "version=9", "version=1"):
        with Ar.ResolverContextBinder(context(policy)):
            print(str(resolver.Resolve(sys.argv[1])).split("/")[-2:-1])
""",
        leaf,
    )

    assert ["['v1']", "['v2']", "[]", "['v1']"] == lines


def test_t5_refresh_moves_the_stage_that_was_asked_for_and_no_other(show: Show, run) -> None:
    """
    The context refreshed is the argument, though nothing is bound; the other stage stays where it was.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
first = Usd.Stage.Open(sys.argv[1])
second = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), context("user=other"))
print(value(first), value(second))
from bifrost.testing.show import Show, layer
from pathlib import Path
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="2"))
resolver.RefreshContext(first.GetPathResolverContext())
print(value(first), value(second))
resolver.RefreshContext(second.GetPathResolverContext())
print(value(first), value(second))
""",
        root,
        show.folder,
    )

    assert ["1 1", "2 1", "2 2"] == lines


def test_t5_what_a_refresh_moved_stays_moved_in_the_next_opening(show: Show, run) -> None:
    """
    Get latest, close, open again: by path, by reference, and with no context bound.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
from bifrost.testing.show import Show, layer
from pathlib import Path
stage = Usd.Stage.Open(sys.argv[1])
by_reference = Usd.Stage.Open(sys.argv[3])
print(value(stage), by_reference.GetPrimAtPath("/a").GetAttribute("v").Get())
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="2"))
resolver.RefreshContext(stage.GetPathResolverContext())
print(value(stage))
del stage, by_reference
stage = Usd.Stage.Open(sys.argv[1])
by_reference = Usd.Stage.Open(sys.argv[3])
print(value(stage), by_reference.GetPrimAtPath("/a").GetAttribute("v").Get())
""",
        root,
        show.folder,
        leaf,
    )

    assert ["1 1", "2", "2 2"] == lines


def test_t5_a_refresh_asks_for_what_the_new_versions_need(show: Show, run) -> None:
    """
    Forty layers moved, each to a version that needs another one: a handful of crossings, not forty.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(40)]
    root = show.root("root.usda", *leaves)

    lines = run(
        """
from bifrost.testing.show import Show, layer
from pathlib import Path
stage = Usd.Stage.Open(sys.argv[1])
show = Show(Path(sys.argv[2]))
for i in range(40):
    new = show.publish("new%d.usda" % i, layer(value="new"))
    text = layer(references=(new,)).replace('}\\ndef "p0"', 'def "p0"') + "}\\n"
    show.publish("leaf%d.usda" % i, text, (new,))
before = bifrost_stage.resolver_stats()["crossings"]
resolver.RefreshContext(stage.GetPathResolverContext())
print({value(stage, "/p%d/p0" % i) for i in range(40)}, bifrost_stage.resolver_stats()["crossings"] - before)
""",
        root,
        show.folder,
    )

    assert ["{'new'} 2"] == lines


def test_the_extension_of_a_packaged_file_is_its_own(run) -> None:
    """
    OpenUSD asks us for it, by its path in the package that a reference names: that is no reference.
    """
    lines = run(
        """
for inner in ("0/v#1.png", "a/B.PNG", "a?b.usda", "a.usda[b.Jpg]", "a"):
    packages = "bifrost:///assets/x.usdz", "BIFROST:///assets/x.usdz", "/x.usdz"
    print(*(resolver.GetExtension(f"{package}[{inner}]") for package in packages))
"""
    )

    assert ["png png png", "PNG PNG PNG", "usda usda usda", "Jpg Jpg Jpg", "  "] == lines


def test_t6_a_resolved_path_is_a_file_and_the_same_bytes_each_time(show: Show, run) -> None:
    """
    Byte-stable file paths; a reference with nothing behind it resolves to nothing, not to itself.
    """
    leaf = show.publish("leaf.usda", layer())

    lines = run(
        """
bound = context("user=a")
with Ar.ResolverContextBinder(bound):
    paths = {str(resolver.Resolve(sys.argv[1])) for _ in range(50)}
print(len(paths), paths.pop() == sys.argv[2])
print(repr(str(resolver.Resolve("bifrost:///assets/nothing"))))
print(resolver.GetExtension("bifrost:///assets/leaf.usda?version=1.5"))
print(resolver.GetExtension("bifrost:///assets/x?product=a.b&version=v1") == "")
""",
        leaf,
        show.path("leaf.usda", 1),
    )

    assert ["1 True", "''", "usda", "True"] == lines


def test_t7_two_contexts_never_see_each_others_layers(show: Show, run) -> None:
    """
    Two stages of one root under two contexts, and a third whose version does not exist.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
root = Sdf.Layer.FindOrOpen(sys.argv[1])
stages = [Usd.Stage.Open(root, context(policy)) for policy in ("version=1", "version=2", "version=9")]
print([value(stage) if stage.GetPrimAtPath("/p0").HasAttribute("v") else None for stage in stages])
print(resolver.IsContextDependentPath("bifrost:///assets/x"))
""",
        root,
    )

    assert ["['1', '2', None]", "True"] == lines


def test_t8_references_are_opaque_and_relative_children_follow_the_resolved_version(
    show: Show, run
) -> None:
    """
    A reference is never path-normalised, and `./` inside a resolved layer is anchored at its file.
    """
    leaf = show.publish("leaf.usda", layer(references=("./beside.usda",)))
    show.path("leaf.usda", 1).with_name("beside.usda").write_text(layer(value="beside"))

    lines = run(
        """
print(resolver.CreateIdentifier("bifrost:///assets/../x//y?version=1", Ar.ResolvedPath("/a/b.usda")))
print(value(Usd.Stage.Open(sys.argv[1])))
""",
        leaf,
    )

    assert ["bifrost:///assets/../x//y?version=1", "beside"] == lines


def test_t9_loading_and_leaving_do_nothing_that_can_fail(show: Show, run_python) -> None:
    """
    Wrong settings, no catalogue, exit with threads resolving: the process ends by itself, with 0.
    """
    source = """
import sys, threading, time
from bifrost.usd import stage
stage.register_plugin()
from pxr import Ar
resolver = Ar.GetResolver()
resolver.Resolve(".")
resolver.CreateIdentifier("bifrost:///assets/")  # loads the plugin: OpenUSD's part of it wants Python
def forever(i):
    n = 0
    while True:
        n += 1
        resolver.Resolve("bifrost:///assets/leaf%d_%d.usda" % (i, n))
for i in range(4):
    threading.Thread(target=forever, args=(i,), daemon=True).start()
time.sleep(0.5)
print("leaving")
"""

    assert "leaving\n" == run_python(source, limit_s=60).stdout
    broken = run_python(source, limit_s=60, env={"BIFROST_CACHE__TTL_S": "nonsense"})
    assert "leaving\n" == broken.stdout
    assert "cache.ttl_s" in broken.stderr


def test_t9_leaving_waits_for_who_imports_the_bridge(run_python) -> None:
    """
    The end of a process that has just begun to resolve: a thread in the import would come back to no Python.
    """
    source = """
import sys, threading, time
from bifrost.usd import stage
stage.register_plugin()
from pxr import Ar
resolver = Ar.GetResolver()
resolver.Resolve(".")
resolver.CreateIdentifier("bifrost:///assets/")  # loads the plugin
begun = threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "bifrost.usd.bridge":
            begun.set()
            for _ in range(500):  # the GIL is let go and taken again each time
                time.sleep(0.002)
sys.meta_path.insert(0, Slow())
threading.Thread(target=resolver.Resolve, args=("bifrost:///assets/a.usda",), daemon=True).start()
assert begun.wait(60)
print("leaving")
"""

    assert "leaving\n" == run_python(source, limit_s=60).stdout


def test_t10_one_thread_asks_for_what_eight_threads_miss(show: Show, run) -> None:
    """
    Concurrent misses for one reference share a flight: one question, eight equal answers.
    """
    leaf = show.publish("leaf.usda", layer())

    lines = run(
        """
from bifrost.session import current
paths = set()
together(8, lambda i: paths.add(str(resolver.Resolve(sys.argv[1]))))
print(len(paths), current().stats()["manager"]["round_trips"], bifrost_stage.resolver_stats()["crossings"])
""",
        leaf,
    )

    assert ["1 1 1"] == lines


def test_t11_an_open_asks_for_everything_at_once(show: Show, run) -> None:
    """
    Two hundred layers cost a handful of questions, not one each.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value=str(i))) for i in range(200)]
    top = show.publish("top.usda", layer(references=tuple(leaves)), needs=tuple(leaves))
    root = show.root("root.usda", top)

    lines = run(
        """
from bifrost.session import current
stage = Usd.Stage.Open(sys.argv[1])
assert stage.GetPrimAtPath("/p0/p199") or True
print(current().stats()["manager"]["round_trips"], bifrost_stage.resolver_stats()["misses"])
""",
        root,
    )

    assert ["2 0"] == lines


def test_t12_timestamps_are_the_files_and_an_immutable_version_never_moves(show: Show, run) -> None:
    """
    A floating reference has its file's time; a version keeps the one it was resolved with.
    """
    leaf = show.publish("leaf.usda", layer())
    os.utime(show.path("leaf.usda", 1), (1000, 1000))

    lines = run(
        """
import os
floating, pinned = sys.argv[1], sys.argv[1] + "?version=1"
path = resolver.Resolve(floating)
resolver.Resolve(pinned)
def times():
    return [resolver.GetModificationTimestamp(ref, path).GetTime() for ref in (floating, pinned)]
print(times())
os.utime(str(path), (2000, 2000))
print(times())
""",
        leaf,
    )

    assert ["[1000.0, 1000.0]", "[2000.0, 1000.0]"] == lines


def test_t13_format_arguments_are_kept_in_identifiers_and_kept_from_managers(
    show: Show, run
) -> None:
    """
    `:SDF_FORMAT_ARGS:` stays in what USD calls the layer; the manager never sees it.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    lines = run(
        """
identifier = Sdf.Layer.CreateIdentifier(sys.argv[1], {"how": "x"})
print(":SDF_FORMAT_ARGS:" in resolver.CreateIdentifier(identifier))
print(str(resolver.Resolve(identifier)) == str(resolver.Resolve(sys.argv[1])) != "")
layer = Sdf.Layer.FindOrOpen(sys.argv[1], {"how": "x"})
print(layer.identifier == identifier, bifrost_stage.resolver_stats()["crossings"])
""",
        leaf,
    )

    assert ["True", "True", "True 1"] == lines


def test_t14_a_token_is_never_shown(show: Show, run, own_home: Path) -> None:
    """
    A planted token is in no output and in no file of the cache.
    """
    leaf = show.publish("leaf.usda", layer())
    token = "planted-token-4711"

    lines = run(
        """
from bifrost import Context, bifrost_host
context = Context(access_token=sys.argv[2], user="someone")
print(context, context.snapshot(), bifrost_host.resolve_asset_path(sys.argv[1], context=context).name)
try:
    bifrost_host.resolve_asset_path("bifrost:///assets/none", context=context)
except Exception as error:
    print(repr(error), error.details)
""",
        leaf,
        token,
        env={"TF_DEBUG": "BIFROST_RESOLVE BIFROST_BRIDGE BIFROST_CONTEXT"},
    )

    assert token not in "\n".join(lines)
    files = [path for path in own_home.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]
