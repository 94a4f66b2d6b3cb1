# SPDX-License-Identifier: Apache-2.0
"""
What becomes of a process while its threads resolve: it ends, becomes another program, forks, spawns;
modules are loaded again; a second interpreter comes. Never a hang or a crash, and right answers after.

The manager is BAL with its simulated latency, and nothing is cached: there is always one in mid-resolve.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd import env

LEAVES = 40
LIMIT_S = 120.0

# Eight threads that resolve for ever; in Python's bindings, and through the host.
BUSY = """
import os, random, sys, threading
from bifrost.usd import stage
stage.warm()
from bifrost import BifrostError, bifrost_host
from pxr import Ar
names = ["bal:///leaf%d.usda" % i for i in range(int(sys.argv[1]))]
folder = sys.argv[2]
seed = int(sys.argv[3])
begun = threading.Barrier(9)
ending = threading.Event()
def resolved(name, rng):
    if rng.random() < 0.5:
        context = Ar.GetResolver().CreateContextFromString("bal", "user=u%d" % rng.randrange(1000))
        with Ar.ResolverContextBinder(context):
            return str(Ar.GetResolver().Resolve(name))
    try:
        return str(bifrost_host.resolve_asset_path(name))
    except BifrostError:
        return ""
def forever(index):
    rng = random.Random(seed * 100 + index)
    begun.wait()
    while True:
        name = rng.choice(names)
        found = resolved(name, rng)
        # Once the process ends, none is an answer, too; another file never is.
        right = found == os.path.join(folder, name.rpartition("/")[2])
        if not right and not (ending.is_set() and not found):
            os.write(2, b"WRONG " + name.encode())
            os._exit(3)
for index in range(8):
    threading.Thread(target=forever, args=(index,), daemon=True).start()
begun.wait()
end_at = random.Random(seed).random() * 0.2
threading.Event().wait(end_at)
ending.set()
"""
AFTERWARDS = """
from bifrost.usd import stage
stage.warm()
from bifrost import bifrost_host
from pxr import Ar
import os, sys
for name in ["bal:///leaf%d.usda" % i for i in range(5)]:
    file = os.path.join(sys.argv[2], name.rpartition("/")[2])
    assert file == str(Ar.GetResolver().Resolve(name)) == str(bifrost_host.resolve_asset_path(name))
print("resolved")
"""
ENDINGS = {
    "the main thread ends": "",
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "exec": f"os.execv(sys.executable, [sys.executable, '-c', {AFTERWARDS!r}, *sys.argv[1:]])",
    "fork": f"""
child = os.fork()
if not child:
    exec({AFTERWARDS!r})
    sys.stdout.flush()
    os._exit(0)
assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
""",
    "spawn": f"""
import subprocess
subprocess.run([sys.executable, "-c", {AFTERWARDS!r}, *sys.argv[1:]], check=True)
""",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of what `bal:///leaf<n>.usda` names."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(LEAVES):
        (folder / f"leaf{number}.usda").write_text(layer(value=str(number)))
    return folder


@pytest.fixture
def sleeping_manager(own_home: Path, tmp_path: Path, files: Path) -> dict[str, str]:
    """The environment of a process that resolves `bal:` through a BAL that sleeps 10 ms a call."""
    folder = env.description(["bal"], output=tmp_path / "plug")
    names = [file.name for file in files.iterdir()]
    return {
        "PXR_PLUGINPATH_NAME": str(folder),
        **bal.install(tmp_path, {name: files / name for name in names}, latency_ms=10),
        "BIFROST_CACHE__MEMORY_BYTES": "0",
        "BIFROST_CACHE__DISK_BYTES": "0",
        "BIFROST_MANAGER__DEADLINE_S": "100",  # a machine may be busy with other things
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_comes_to_its_end_in_mid_resolve(
    ending: str, run_python, files: Path, sleeping_manager: dict[str, str], rounds, seed: int
) -> None:
    """
    At any moment, with eight threads in the resolver; and what comes of it resolves as if it were first.
    """
    source = BUSY + ENDINGS[ending]
    expected = "resolved\n" if ending in {"exec", "fork", "spawn"} else ""
    for number in range(seed, seed + rounds(1)):
        done = run_python(
            source, LEAVES, files, number, env=sleeping_manager, check=False, limit_s=LIMIT_S
        )

        assert (0, expected) == (done.returncode, done.stdout), f"--seed {number}: {done.stderr}"


INTERRUPTED = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from bifrost.usd import stage
stage.warm()
from pxr import Ar, Usd
how, root, reference = sys.argv[1:]
resolver = Ar.GetResolver()
resolver.Resolve(".")
calls = {
    "resolve": lambda: resolver.Resolve(reference),
    "stage": lambda: Usd.Stage.Open(root),
    "context": lambda: resolver.CreateDefaultContextForAsset(root),
}
def interrupt():
    while not stage.resolver_stats()["crossings"]:
        pause.wait(0.01)
    os.kill(os.getpid(), signal.SIGINT)
pause = threading.Event()
threading.Thread(target=interrupt, daemon=True).start()
try:
    calls[how]()
    pause.wait(10)
    print("nobody heard of it")
except KeyboardInterrupt:
    print("interrupted")
print(resolver.Resolve(reference))
"""


@pytest.mark.parametrize("how", ["resolve", "stage", "context"])
def test_ctrl_c_comes_through_a_resolve(
    how: str, run_python, files: Path, sleeping_manager: dict[str, str], tmp_path: Path
) -> None:
    """
    Behind the call of OpenUSD's, which knows no exceptions of Python; and nothing failed by it.
    """
    root = tmp_path / "root.usda"
    root.write_text(layer(references=("bal:///leaf0.usda",)))
    slow = bal.install(tmp_path, {"leaf0.usda": files / "leaf0.usda"}, latency_ms=2000)

    done = run_python(
        INTERRUPTED, how, root, "bal:///leaf0.usda", env={**sleeping_manager, **slow},
        limit_s=LIMIT_S,
    )  # fmt: skip

    assert ["interrupted", str(files / "leaf0.usda")] == done.stdout.splitlines()
    assert "KeyboardInterrupt" not in done.stderr


SECOND_INTERPRETER = """
import sys, threading
import _xxsubinterpreters as interpreters
from bifrost.usd import stage
stage.warm()
from bifrost import bifrost_host
from pxr import Ar
reference, plain = sys.argv[1:]
second = interpreters.create()
stop = threading.Event()
found = set()
def resolve_on():
    turn = 0
    while not stop.is_set():
        turn += 1
        context = Ar.GetResolver().CreateContextFromString("bifrost", "user=u%d" % turn)
        with Ar.ResolverContextBinder(context):
            found.add(str(Ar.GetResolver().Resolve(reference)))
threads = [threading.Thread(target=resolve_on, daemon=True) for _ in range(4)]
for thread in threads: thread.start()
interpreters.run_string(second, '''
from pxr import Ar
resolver = Ar.GetResolver()
for turn in range(20):
    context = resolver.CreateContextFromString("bifrost", "user=second%d" % turn)
    resolver.CreateDefaultContext()
    with Ar.ResolverContextBinder(context):
        print("second", repr(str(resolver.Resolve("REFERENCE"))), resolver.Resolve("PLAIN"))
    resolver.RefreshContext(context)
from bifrost import ConfigurationError, bifrost_host
try:
    bifrost_host.resolve_asset_path("REFERENCE")
except ConfigurationError as error:
    print("refused", error)
'''.replace("REFERENCE", reference).replace("PLAIN", plain))
stop.set()
for thread in threads: thread.join(20)
interpreters.destroy(second)
print("first", *found, bifrost_host.resolve_asset_path(reference))
"""


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python names its interpreters otherwise")
def test_a_second_interpreter_is_refused_and_the_first_goes_on(show: Show, run_python) -> None:
    """
    It waited for ever for the GIL that it held itself; it must not open the caches a second time either.
    """
    leaf = show.publish("leaf.usda", layer())
    path = show.path("leaf.usda", 1)

    done = run_python(SECOND_INTERPRETER, leaf, path, limit_s=LIMIT_S)

    *second, refused, first = done.stdout.splitlines()
    assert [f"second '' {path}"] * 20 == second
    assert refused.startswith("refused Bifrost works in a process's first Python interpreter only")
    assert f"first {path} {path}" == first
    assert 1 == done.stderr.count("a second Python interpreter of this process resolves")


RELOADED = """
import importlib, sys, threading
from bifrost.usd import stage
stage.warm()
from bifrost import bifrost_host
from pxr import Ar
how, *pairs = sys.argv[1:]
pairs = list(zip(pairs[::2], pairs[1::2]))
def resolve_all(host, user):
    context = Ar.GetResolver().CreateContextFromString("bifrost", "user=" + user)
    for reference, path in pairs:
        assert path == str(host.resolve_asset_path(reference))
        with Ar.ResolverContextBinder(context):
            assert path == str(Ar.GetResolver().Resolve(reference))
resolve_all(bifrost_host, "before")
own = sorted(name for name in sys.modules if name.partition(".")[0] == "bifrost")
if how == "imported anew":
    for name in own:
        del sys.modules[name]
else:
    importlib.reload(importlib.import_module(how))
import bifrost
for host in bifrost_host, bifrost.bifrost_host:
    resolve_all(host, "after")
    host.invalidate_cache(everything=True)
    resolve_all(host, "later")
try:
    bifrost.bifrost_host.resolve_asset_path("bifrost:///assets/nothing")
except bifrost.AssetNotFoundException:
    print("resolved")
"""


@pytest.mark.parametrize(
    "how",
    [
        "bifrost", "bifrost.errors", "bifrost.session.process", "bifrost.tiers.lmdb",
        "bifrost.usd.bridge", "imported anew",
    ],
)  # fmt: skip
def test_modules_that_are_loaded_again_resolve_as_before(how: str, show: Show, run_python) -> None:
    """
    One of them, as people do in a script editor, or the package: hosts of before and after both answer.
    """
    leaves = [show.publish(f"leaf{number}.usda", layer()) for number in range(3)]
    pairs = [
        part for n, leaf in enumerate(leaves) for part in (leaf, show.path(f"leaf{n}.usda", 1))
    ]

    done = run_python(RELOADED, how, *pairs, limit_s=LIMIT_S)

    assert "resolved\n" == done.stdout
    # Two copies of the package share no cache on disk; one that is loaded again keeps what is open.
    assert ("imported anew" == how) == ("already open in this process" in done.stderr)


CLOSED = """
import os, sys, threading, time
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load
class Slow(threading.Thread):
    def run(self):
        super().run()
        time.sleep(0.1)  # as on a machine that has other things to do
threading.Thread = Slow
before = set(threading.enumerate())
begun = set()
for _ in range(3):
    session = Session(load({**os.environ, "BIFROST_CACHE__FOLLOW_S": "0.01"}))
    host = BifrostHostInterface(session)
    host.configure_cache(ttl_seconds=0, revalidate_seconds=1000)
    for _ in range(2):
        host.resolve_asset_paths(sys.argv[1:])
        host.query_assets({"limit": 1})
    host.invalidate_cache(everything=True)
    begun |= {each.name for each in set(threading.enumerate()) - before}
    session.close()
    left = set(threading.enumerate()) - before
    assert not left, left
print(*sorted(begun))
"""


def test_a_session_that_is_closed_leaves_no_thread(show: Show, run_python) -> None:
    """
    Of those that ask the manager and the catalogue, ask again for what expired, and follow changes.
    """
    leaves = [show.publish(f"leaf{number}.usda", layer()) for number in range(3)]

    done = run_python(CLOSED, *leaves, limit_s=LIMIT_S)

    begun = set(done.stdout.split())
    assert {"bifrost-follow", "bifrost-look", "bifrost-manager", "bifrost-revalidation"} <= begun
