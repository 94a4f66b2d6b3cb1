# SPDX-License-Identifier: Apache-2.0
"""
A running session learns that what it holds is stale, from whomever, and changes only on refresh.

Each test is a process of its own with the built plugin; who publishes is another one.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bifrost.testing import managers
from bifrost.testing.managers import Controls
from bifrost.testing.postgresql import PostgresqlServer
from bifrost.testing.redis import RedisServer
from bifrost.testing.show import Show, layer
from bifrost.usd import env

PRELUDE = """
import os, subprocess, sys, threading, time
from pathlib import Path
import bifrost.usd
bifrost.usd.warm()
from pxr import Ar, Sdf, Usd
from bifrost.session import current
from bifrost.testing.show import Show, layer
from bifrost.usd import on_stale, resolver_stats, stale
resolver = Ar.GetResolver()
folder = Path(sys.argv[1])

def value(stage, prim="/p0"):
    return stage.GetPrimAtPath(prim).GetAttribute("v").Get()

def context(policy):
    return resolver.CreateContextFromString("bifrost", policy)

def opened(root, policy):
    return Usd.Stage.Open(Sdf.Layer.FindOrOpen(str(root)), context(policy))

def elsewhere(source, **environ):
    source = (
        "import sys; from pathlib import Path; from bifrost.testing.show import Show, layer\\n"
        "show = Show(Path(sys.argv[1]))\\n" + source
    )
    subprocess.run(
        [sys.executable, "-c", source, str(folder)], env={**os.environ, **environ}, check=True, timeout=60
    )

def publish(name, value, **environ):
    elsewhere(f"show.publish({name!r}, layer(value={value!r}))", **environ)

def until(condition, limit_s=30.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)

def short(found):
    return [
        (Path(each.reference).name, Path(each.path).parent.name, Path(each.new_path).parent.name)
        for each in found
    ]

calls = []
def told():
    return sorted({Path(reference).name for references in calls for reference in references})
"""


def test_without_the_plugin_nothing_is_stale_and_openusd_stays_away(run_python) -> None:
    """
    Nor is a session made, by the question; a hook may be registered at any time.
    """
    source = """
import sys
import bifrost.usd
from bifrost.session import current_if_any
print(bifrost.usd.stale(), current_if_any(), "pxr" in sys.modules)
bifrost.usd.on_stale(print)()
print("pxr" in sys.modules)
import pxr.Usd
print(bifrost.usd.stale())
"""

    assert "[] None False\nFalse\n[]\n" == run_python(source).stdout


def test_a_publish_elsewhere_is_known_and_changes_nothing_until_the_refresh(
    show: Show, run
) -> None:
    """
    Exactly what moved, with where it was and where it would be; then, on refresh, it is there.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("other.usda", layer(value="1"))
    root = show.root("root.usda", leaf, "bifrost:///assets/other.usda", f"{leaf}?version=1")

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
print(stale())
publish("leaf.usda", "2")
[found] = stale()
print(found)
before = resolver_stats()
print(value(stage), str(resolver.GetAssetInfo(sys.argv[3], Ar.ResolvedPath("")) is not None))
with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
    print(resolver.Resolve(sys.argv[3]))
assert stage.GetPrimAtPath("/p0").GetPrimStack()[-1].layer.realPath == found.path
after = resolver_stats()
print([after[name] - before[name] for name in ("crossings", "misses", "entries")])
resolver.RefreshContext(stage.GetPathResolverContext())
print(value(stage), value(stage, "/p2"), stale())
""",
        show.folder,
        root,
        leaf,
    )

    held, new = show.path("leaf.usda", 1), show.path("leaf.usda", 2)
    assert "[]" == lines[0]
    assert (
        f"Stale(reference='{leaf}', path='{held}', new_path='{new}', reason='', policy='', "
        f"root='{root}', is_bound=True)"
    ) == lines[1]
    assert ["1 True", str(held), "[0, 0, 0]", "2 1 []"] == lines[2:]


def test_each_context_knows_its_own(show: Show, run) -> None:
    """
    Two stages, two policies: a publish moves one, a status the other, a refresh the one it is of.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    for status in ("review", "approved"):
        show.catalogue.set_status("leaf.usda", None, status)
    root = show.root("root.usda", leaf)

    lines = run(
        """
latest, approved = opened(sys.argv[2], "user=me"), opened(sys.argv[2], "version=approved")
pinned = opened(sys.argv[2], "version=1")
publish("leaf.usda", "2")
print([each.policy for each in stale()], short(stale()))
elsewhere("for stage in 'review', 'approved': show.catalogue.set_status('leaf.usda', None, stage)")
print([each.policy for each in stale()], value(latest), value(approved))
resolver.RefreshContext(approved.GetPathResolverContext())
print([each.policy for each in stale()], value(latest), value(approved))
resolver.RefreshContext(latest.GetPathResolverContext())
print(stale(), value(latest), value(approved), value(pinned))
""",
        show.folder,
        root,
    )

    assert [
        "['user=me'] [('leaf.usda', 'v1', 'v2')]",
        "['user=me', 'version=approved'] 1 1",
        "['user=me'] 1 2",
        "[] 2 2 1",
    ] == lines


def test_what_came_and_what_went_is_stale_too(show: Show, run) -> None:
    """
    A reference that had nothing behind it; and one that has nothing any more, with the reason.
    """
    gone = show.publish("gone.usda", layer(value="1"))
    root = show.root("root.usda", gone, "bifrost:///assets/late.usda")

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
print(stale())
elsewhere("show.catalogue.delete('gone.usda')")
publish("late.usda", "here")
for each in stale():
    print(Path(each.reference).name, bool(each.path), bool(each.new_path), each.reason)
resolver.RefreshContext(stage.GetPathResolverContext())
print(stale(), stage.GetPrimAtPath("/p0").HasAttribute("v"))
stage.Reload()  # what OpenUSD could not open it tries again then, and not before
print(value(stage, "/p1"))
""",
        show.folder,
        root,
    )

    assert "[]" == lines[0]
    assert lines[1].startswith("gone.usda True False ")
    assert "gone.usda" in lines[1].removeprefix("gone.usda")
    assert ["late.usda False True ", "[] False", "here"] == lines[2:]


def test_what_was_touched_and_did_not_move_is_not_stale(show: Show, run) -> None:
    """
    A hook may hear of an edit of metadata; nothing would change.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
elsewhere("show.catalogue.set_metadata('leaf.usda', {'note': 'x'})")
until(lambda: told())
print(told(), stale())
""",
        show.folder,
        root,
    )

    assert ["['leaf.usda'] []"] == lines


def test_a_pinned_reference_is_never_held_against_anybody(show: Show, run) -> None:
    """
    Neither by a hook nor by `stale()`, whatever is invalidated.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    other = show.publish("other.usda", layer(value="1"))
    root = show.root("root.usda", f"{leaf}?version=1", other)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
publish("leaf.usda", "2")
current().invalidate_names(None)
until(lambda: told())
print(told(), stale())
""",
        show.folder,
        root,
    )

    assert ["['other.usda'] []"] == lines


def test_what_was_resolved_with_no_context_is_marked(show: Show, run) -> None:
    """
    The root of `Usd.Stage.Open(reference)`, for as long as nothing refreshed; however many asked.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
publish("leaf.usda", "2")
print([(each.is_bound, each.root) for each in stale()], short(stale()))
resolver.RefreshContext(stage.GetPathResolverContext())
print(stale())
print(resolver.Resolve(sys.argv[2]) == Ar.ResolvedPath(sys.argv[3]), stale())
""",
        show.folder,
        leaf,
        show.path("leaf.usda", 2),
    )

    assert ["[(False, '')] [('leaf.usda', 'v1', 'v2')]", "[]", "True []"] == lines


def test_a_context_that_is_gone_holds_nothing(show: Show, run) -> None:
    """
    A stage that was closed is nobody's business.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stages = [opened(sys.argv[2], "user=" + name) for name in ("a", "b")]
publish("leaf.usda", "2")
print(len(stale()))
stages.clear()
until(lambda: resolver_stats()["contexts"] == 0)  # OpenUSD takes stages down on threads of its own
print(stale())
""",
        show.folder,
        root,
    )

    assert ["2", "[]"] == lines


def test_nothing_invalidated_costs_no_question(show: Show, run) -> None:
    """
    The caches answer; then one question for each policy, however many references.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(60)]
    root = show.root("root.usda", *leaves)

    lines = run(
        """
stages = [opened(sys.argv[2], policy) for policy in ("user=a", "user=b")]
def asked():
    before = current().stats()["manager"]["round_trips"]
    found = stale()
    return len(found), current().stats()["manager"]["round_trips"] - before
crossings = resolver_stats()["crossings"]
print(asked(), asked())
elsewhere("for i in range(60): show.publish('leaf%d.usda' % i, layer(value='2'))")
print(asked(), asked())
print(resolver_stats()["crossings"] - crossings)
""",
        show.folder,
        root,
    )

    assert ["(0, 0) (0, 0)", "(120, 2) (120, 0)", "0"] == lines


def test_a_warm_session_that_never_asked_anybody_learns_it_too(show: Show, run) -> None:
    """
    Its answers came out of the recorded closure: nothing was being followed yet.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)
    source = "stage = Usd.Stage.Open(sys.argv[2])\n"
    run(source, show.folder, root)

    lines = run(
        source
        + """
on_stale(calls.append)
print(current().stats()["manager"]["round_trips"])
publish("leaf.usda", "2")
until(lambda: told())
print(told(), short(stale()))
""",
        show.folder,
        root,
    )

    assert ["0", "['leaf.usda'] [('leaf.usda', 'v1', 'v2')]"] == lines


@pytest.mark.parametrize("how", ["host", "catalogue", "redis"])
def test_a_hook_hears_whoever_invalidates(
    show: Show, run, tmp_path: Path, redis_server: RedisServer, how: str
) -> None:
    """
    Another process of this host, through the cache they share; another host, through the catalogue's
    log of changes; another host, through Redis. Each with the other ways closed.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("other.usda", layer(value="1"))
    root = show.root("root.usda", leaf, "bifrost:///assets/other.usda")
    away = str(tmp_path / "another_host")
    environ = {
        "BIFROST_CATALOGUE__URL": f"sqlite:///{show.catalogue.path}",
        "BIFROST_CACHE__FOLLOW_S": "0.2" if how == "catalogue" else "0",
        "BIFROST_CACHE__DISTRIBUTED_URL": redis_server.url if how == "redis" else "",
    }

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
if sys.argv[4] == "redis":
    following = current()._caching.redis
    until(lambda: following.position() is not None)
publish("leaf.usda", "2") if sys.argv[4] == "catalogue" else elsewhere(
    "show.publish('leaf.usda', layer(value='2'))\\n"
    "from bifrost.session import current\\n"
    "current().invalidate(['bifrost:///assets/leaf.usda'])\\n"
    "current().close()",
    **({} if sys.argv[4] == "host" else {"BIFROST_HOME": sys.argv[3]}),
)
until(lambda: "leaf.usda" in told())
print(value(stage), short(stale()))
""",
        show.folder,
        root,
        away,
        how,
        env=environ,
    )

    assert ["1 [('leaf.usda', 'v1', 'v2')]"] == lines


def test_another_managers_answers_are_followed_on_this_host(run, tmp_path: Path) -> None:
    """
    Nobody logs its changes, and nobody but the hook asks anything here: a process that knows says so.
    """
    controls, environ = faulty_show(tmp_path)

    lines = run(
        """
from bifrost.testing.managers import Controls
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
Controls(Path(sys.argv[3])).set(files=sys.argv[4])
print(stale())  # what nobody invalidated is believed for as long as its time to live
subprocess.run([sys.executable, "-c",
    "from bifrost.session import current; current().invalidate(['faulty:///leaf.usda']); current().close()"],
    check=True, timeout=60)
until(lambda: told())
print(told(), value(stage), [Path(each.new_path).parent.name for each in stale()])
resolver.RefreshContext(stage.GetPathResolverContext())
print(value(stage), stale())
""",
        tmp_path,
        tmp_path / "root.usda",
        controls.directory,
        tmp_path / "v2",
        env=environ,
    )

    assert ["[]", "['leaf.usda'] 1 ['v2']", "2 []"] == lines


def test_an_outage_makes_nothing_stale(run, tmp_path: Path) -> None:
    """
    Nobody knows; when the manager is back, it is known again.
    """
    controls, environ = faulty_show(tmp_path)

    lines = run(
        """
from bifrost.testing.managers import Controls
controls = Controls(Path(sys.argv[3]))
stage = Usd.Stage.Open(sys.argv[2])
for fault in ("raise_oserror", "none"):
    controls.set(files=sys.argv[4], fault=fault)
    current().invalidate(["faulty:///leaf.usda"])
    print([Path(each.new_path).parent.name for each in stale()], value(stage))
""",
        tmp_path,
        tmp_path / "root.usda",
        controls.directory,
        tmp_path / "v2",
        env={**environ, "BIFROST_RETRY__ATTEMPTS": "1", "BIFROST_BREAKER__FAILURES": "100"},
    )

    assert ["[] 1", "['v2'] 1"] == lines


def test_an_answer_that_was_overtaken_on_its_way_is_told(run, tmp_path: Path) -> None:
    """
    Asked for before the invalidation and held after it: the hook hears of it when it is there.
    """
    controls, environ = faulty_show(tmp_path)
    controls.set(latency_ms=1500)

    lines = run(
        """
from bifrost.testing.managers import Controls
controls = Controls(Path(sys.argv[3]))
on_stale(calls.append)
kept = context("user=me")
opening = threading.Thread(target=lambda: opened(sys.argv[2], "user=me"))
opening.start()
until(lambda: any(call.method == "resolve" for call in controls.calls()))
current().invalidate(["faulty:///leaf.usda"])
before = len(calls)
opening.join(60)
until(lambda: told())
print(before, told())
""",
        tmp_path,
        tmp_path / "root.usda",
        controls.directory,
        env=environ,
    )

    assert ["0 ['leaf.usda']"] == lines


def test_a_database_that_hangs_hangs_nobody_who_asks(own_home: Path, tmp_path: Path, run) -> None:
    """
    Nothing is stale as far as anybody knows, and that is known soon; afterwards what moved is.
    """
    with PostgresqlServer() as server:
        lines = run(
            """
import signal
root = Show(folder).root("root.usda", Show(folder).publish("leaf.usda", layer(value="1")))
stage = Usd.Stage.Open(str(root))
server = int(sys.argv[2])
def tell(number):
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for pid in (server, *map(int, children)):
        os.kill(pid, number)
publish("leaf.usda", "2")
tell(signal.SIGSTOP)
try:
    current().tiers.invalidate(None)
    for _ in range(4):
        start = time.monotonic()
        print(stale(), time.monotonic() - start < 30)
    print(sum(each.name == "bifrost-look" for each in threading.enumerate()))
finally:
    tell(signal.SIGCONT)
until(lambda: short(stale()) == [("leaf.usda", "v1", "v2")])
print(value(stage))
""",
            tmp_path / "show",
            server.pid,
            env={
                "BIFROST_CATALOGUE__URL": server.catalogue(),
                "BIFROST_MANAGER__DEADLINE_S": "2",
                "BIFROST_BREAKER__COOLDOWN_S": "1",
            },
        )

    assert [*["[] True"] * 4, "1", "1"] == lines


def test_hooks_survive_other_caches(show: Show, run) -> None:
    """
    `configure_cache` puts other tiers in place of those that were listened to.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
from bifrost import bifrost_host
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
bifrost_host.configure_cache(memory_size_mb=1, disk_cache_path=folder / "cache")
print(stale())
publish("leaf.usda", "2")
until(lambda: told())
print(told(), short(stale()))
""",
        show.folder,
        root,
    )

    assert ["[]", "['leaf.usda'] [('leaf.usda', 'v1', 'v2')]"] == lines


def test_eight_threads_ask_while_stages_open_and_others_publish(show: Show, run) -> None:
    """
    No hang, no error, and nothing named that did not move; in the end, exactly what did.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(30)]
    root = show.root("root.usda", *leaves)

    lines = run(
        """
kept = [opened(sys.argv[2], "user=u%d" % i) for i in range(4)]
end, wrong, counts = threading.Event(), [], [0] * 8
on_stale(calls.append)
def work(i):
    while not end.is_set():
        if i == 0:
            opened(sys.argv[2], "user=u%d" % (counts[i] % 9))
        elif i == 1:
            with Ar.ResolverContextBinder(context("user=u%d" % (counts[i] % 9))):
                resolver.Resolve("bifrost:///assets/leaf%d.usda" % (counts[i] % 30))
        else:
            wrong.extend(each for each in stale() if each.new_path == each.path or "v1" not in each.path)
        counts[i] += 1
threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(8)]
for thread in threads: thread.start()
until(lambda: min(counts) > 2)
elsewhere("for i in range(10): show.publish('leaf%d.usda' % i, layer(value='2'))")
until(lambda: told())
seen = list(counts)
until(lambda: all(now > then + 1 for now, then in zip(counts, seen)))
end.set()
for thread in threads: thread.join(60)
print(any(thread.is_alive() for thread in threads), wrong[:3])
mine = [each for each in stale() if each.policy == "user=u0"]
print(len(mine), {each.path.split("/")[-2] for each in mine}, [value(each) for each in kept])
""",
        show.folder,
        root,
    )

    assert ["False []", "10 {'v1'} ['1', '1', '1', '1']"] == lines


def test_the_interpreter_ends_with_a_hook_registered_and_another_running(
    show: Show, run_python
) -> None:
    """
    At once, in silence, with 0: invalidations come until the very end, and a hook waits for ever.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    for extra in ("", "on_stale(lambda references: time.sleep(3600))\n"):
        start = time.monotonic()
        done = run_python(
            PRELUDE
            + extra
            + """
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
def forever():
    while True:
        current().invalidate(["bifrost:///assets/leaf.usda"])
        stale()
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.5)
print("leaving")
""",
            show.folder,
            root,
            limit_s=60,
        )

        assert ("leaving\n", "") == (done.stdout, done.stderr)
        assert time.monotonic() - start < 30


def test_a_forked_child_asks_for_itself_and_has_no_hooks(show: Show, run) -> None:
    """
    The parent's hooks are the parent's; a child registers its own.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[2])
on_stale(calls.append)
publish("leaf.usda", "2")
until(lambda: told())
calls.clear()
child = os.fork()
if child == 0:
    ok = short(stale()) == [("leaf.usda", "v1", "v2")]
    current().invalidate([sys.argv[3]])
    time.sleep(0.5)
    ok = ok and calls == []
    on_stale(calls.append)
    current().invalidate([sys.argv[3]])
    until(lambda: told())
    os._exit(0 if ok else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
current().invalidate([sys.argv[3]])
until(lambda: told())
print(short(stale()))
""",
        show.folder,
        root,
        leaf,
    )

    assert ["0", "[('leaf.usda', 'v1', 'v2')]"] == lines


def test_contexts_that_mean_nothing_here_and_odd_references_are_no_trouble(
    own_home: Path, tmp_path: Path, run
) -> None:
    """
    What a refresh would leave as it is is not stale; whatever somebody asked with comes through.
    """
    show = Show(tmp_path / "größe ☃")
    leaf = show.publish("größe.usda", layer(value="1"))

    lines = run(
        """
bound = [context("context=0123456789abcdef"), context("user=me"), context("version=no such")]
odd = ["bifrost:///assets/a\\0b", "bifrost:///%%%", "bifrost:" + "x" * 50_000, "bifrost:///assets/ ?#"]
for each in bound:
    with Ar.ResolverContextBinder(each):
        for reference in [sys.argv[2], *odd]:
            resolver.Resolve(reference)
print(stale())
publish("größe.usda", "2")
print([(each.path == sys.argv[3], each.policy) for each in stale()])
current().invalidate([sys.argv[2], *odd])
print(len(stale()))
""",
        show.folder,
        leaf,
        show.path("größe.usda", 1),
    )

    assert ["[]", "[(True, 'user=me')]", "1"] == lines


def faulty_show(folder: Path) -> tuple[Controls, dict[str, str]]:
    """A root over one layer of another manager, in versions 1 and 2; how to move it, and the environment."""
    for number in (1, 2):
        (folder / f"v{number}").mkdir()
        (folder / f"v{number}" / "leaf.usda").write_text(layer(value=str(number)))
    (folder / "root.usda").write_text(layer(references=(f"{managers.PREFIX}leaf.usda",)))
    controls = Controls(folder / "controls")
    variables = managers.install(folder, files=folder / "v1", controls=str(controls.directory))
    plug = env.description(["faulty"], output=folder / "plug")
    return controls, {"PXR_PLUGINPATH_NAME": str(plug), **variables}
