# SPDX-License-Identifier: Apache-2.0
"""
What happens to the shared cache when things break: killed, full, foreign, forked, stopped.

Every value says which key it was put under and carries a digest, so that a wrong answer is known
for one. There must be none, whatever is done; misses are fine.
"""

import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import blake2b
from pathlib import Path

import lmdb
import pytest

from bifrost.tiers import shared_cache
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

LIMIT_S = 60
ROUNDS_OF_KILLING = 20

PROGRAM = """
import logging, os, resource, signal, sys, threading, time
from hashlib import blake2b
from bifrost.errors import TierError
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

folder = sys.argv[1]
warnings = []
handler = logging.Handler()
handler.emit = lambda record: warnings.append(record.getMessage())
logging.getLogger("bifrost.tiers").addHandler(handler)

def key(i):
    return b"r" + b"s" * 16 + b"asset%d" % i

def value(i, turn):
    text = b"%d/%d" % (i, turn)
    return text + b":" + blake2b(text).digest() * 4

def entries(numbers, turn):
    sequence = tier.invalidations.sequence()
    return {key(i): Entry(value(i, turn), FOREVER, 0.0, sequence) for i in numbers}

def wrong(numbers):
    found = tier.get([key(i) for i in numbers])
    return sum(not is_right(i, found[key(i)].value) for i in numbers if key(i) in found)

def is_right(i, value_found):
    text, _, digest = value_found.partition(b":")
    return text.startswith(b"%d/" % i) and digest == blake2b(text).digest() * 4

def ready():
    print("ready", flush=True)

tier = LmdbTier(folder, max_bytes=int(os.environ.get("MAX_BYTES", 8 << 20)))
"""


def key(i):
    return b"r" + b"s" * 16 + b"asset%d" % i


def value(i, turn=0):
    text = b"%d/%d" % (i, turn)
    return text + b":" + blake2b(text).digest() * 4


def is_right(i, found):
    text, _, digest = found.partition(b":")
    return text.startswith(b"%d/" % i) and digest == blake2b(text).digest() * 4


def put(tier, numbers, turn=0):
    sequence = tier.invalidations.sequence()
    tier.put({key(i): Entry(value(i, turn), FOREVER, 0.0, sequence) for i in numbers})


def found(tier, numbers):
    """Return the numbers whose entry is there. None may be wrong."""
    entries = tier.get([key(i) for i in numbers])
    there = [i for i in numbers if key(i) in entries]
    assert [] == [i for i in there if not is_right(i, entries[key(i)].value)]
    return there


def start(source, folder, **env):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + source, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def run(source, folder, **env):
    """Run a process to its end; it must end well."""
    process = start(source, folder, **env)
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, (process.returncode, out, err)
    return out.strip()


def wait_until_ready(process):
    assert process.stdout.readline() == "ready\n", process.communicate(timeout=LIMIT_S)


def root_of(folder):
    return Path(folder) / f"2-{os.geteuid()}"


def data_of(folder):
    root = root_of(folder)
    return root / (root / "CURRENT").read_text().strip() / "data.mdb"


@pytest.fixture(autouse=True)
def warnings_again(monkeypatch):
    """Each thing is told once per process: each test is a new one."""
    monkeypatch.setattr(shared_cache, "_told", set())


@pytest.fixture
def folder(tmp_path):
    """A folder with a cache of 1,000 entries in it that nobody has open."""
    folder = tmp_path / "cache"
    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        put(tier, range(1000))
    return folder


@pytest.fixture
def reopened(folder):
    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        yield tier


# Killing

WRITER = """
import random
rng = random.Random(int(os.environ["SEED"]))
ready()
for turn in range(10**9):
    tier.put(entries([rng.randrange(2000) for _ in range(rng.choice([1, 30, 300]))], turn))
    if turn % 7 == 0:
        tier.delete([key(rng.randrange(2000)) for _ in range(20)])
    if turn % 11 == 0:
        tier.invalidations.note_invalidation([b"asset%d" % rng.randrange(2000)])
    if turn % 5 == 0:
        tier.flush()
"""


def test_killing_writers_leaves_a_sound_cache(tmp_path):
    """
    kill -9 in the middle of writing, again and again, while another process reads on.

    Every checksum is right afterwards, no answer is wrong, and numbers never go back.
    """
    rng = random.Random(1)
    newest = 0
    with LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        for turn in range(ROUNDS_OF_KILLING):
            writers = [start(WRITER, tmp_path, SEED=f"{turn}{i}") for i in range(2)]
            for writer in writers:
                wait_until_ready(writer)
            until = time.monotonic() + rng.uniform(0.0, 0.12)
            while time.monotonic() < until:
                found(tier, range(0, 2000, 7))
            for writer in writers:
                writer.kill()
                writer.communicate(timeout=LIMIT_S)
            found(tier, range(2000))
            assert newest <= tier.invalidations.sequence()
            newest = tier.invalidations.sequence()
            assert 0 == tier.verify()["damaged"]
        put(tier, range(10), turn=-1)
        tier.flush()
        assert list(range(10)) == found(tier, range(10))
        assert 0 == tier.stats()["damaged"] + tier.stats()["errors"]
        assert tier.stats()["path"].endswith("store-1")
    assert 0 < newest


def test_what_was_flushed_survives_a_kill(tmp_path):
    """Visible to others is durable against the death of a process."""
    process = start(
        "tier.put(entries(range(500), 1)); tier.flush(); ready(); time.sleep(60)", tmp_path
    )
    wait_until_ready(process)
    process.kill()
    process.communicate(timeout=LIMIT_S)

    with LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        assert list(range(500)) == found(tier, range(500))


def test_readers_that_died_do_not_use_up_the_slots(folder, reopened):
    """A killed reader's slot would keep pages from being used again, for ever."""
    data = str(data_of(folder).parent)
    source = f"import lmdb; txn = lmdb.open({data!r}).begin(); ready(); time.sleep(60)"
    for _ in range(3):
        process = start(source, folder)
        wait_until_ready(process)
        process.kill()
        process.communicate(timeout=LIMIT_S)
    found(reopened, [1])
    reopened.close()
    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        found(tier, [1])
        assert 1 >= len(tier._cache._store.environment.readers().splitlines()) - 1


def test_more_readers_than_slots_are_misses(tmp_path, monkeypatch):
    """As long as all are alive; the slots of dead ones are taken over."""
    monkeypatch.setattr("bifrost.tiers.stores._MAX_READERS", 3)
    with LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        put(tier, range(10))
        tier.flush()
        data = str(data_of(tmp_path).parent)
        source = (
            f"import lmdb; env = lmdb.open({data!r}, create=False);"
            "txns = [env.begin() for _ in range(3)]; ready(); time.sleep(60)"
        )
        reader = start(source, tmp_path)
        wait_until_ready(reader)
        assert [] == found(tier, range(10))
        assert 0 < tier.stats()["errors"]
        reader.kill()
        reader.communicate(timeout=LIMIT_S)
        assert list(range(10)) == found(tier, range(10))


# Files that are not what they should be


def used(content):
    """Return the part of the file that is in use, without the hole at its end."""
    return content.rstrip(b"\0")


BROKEN = {
    "empty": lambda _: b"",
    "one byte": lambda content: content[:1],
    "cut off": lambda content: content[: len(used(content)) // 3],
    "cut off by a page": lambda content: used(content)[:-4096],
    "text": lambda _: b"This is not a database.\n" * 500,
    "another program's": lambda _: b"SQLite format 3\0" + b"\0" * 8192,
    "zeros": lambda content: b"\0" * len(content),
    "no first meta page": lambda content: b"\0" * 4096 + content[4096:],
    "no second meta page": lambda content: content[:4096] + b"\0" * 4096 + content[8192:],
    "another version's": lambda content: content[:20] + b"\3" + content[21:],
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_put_aside(folder, caplog, how):
    """A new store takes its place, with one warning; the file itself is not touched."""
    data = data_of(folder)
    data.write_bytes(BROKEN[how](data.read_bytes()))
    content = data.read_bytes()
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        assert [] == found(tier, range(1000))
        assert content == data.read_bytes()
        put(tier, range(10))
        tier.flush()
        assert list(range(10)) == found(tier, range(10))

    assert 1 == len(caplog.records)
    assert "store-1 is unused" in caplog.text
    assert "store-2" == (root_of(folder) / "CURRENT").read_text().strip()


def test_a_database_of_another_program_is_put_aside(tmp_path, caplog):
    """Sound LMDB, but not ours: not a byte of it changes."""
    root = root_of(tmp_path)
    (root / "store-1").mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    with lmdb.open(str(root / "store-1"), lib_version=0) as env, env.begin(write=True) as txn:
        txn.put(b"their key", b"their value")
    (root / "CURRENT").write_text("store-1\n")
    content = (root / "store-1/data.mdb").read_bytes()
    with caplog.at_level(logging.WARNING), LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        assert {} == tier.get([b"their key"])
        assert content == (root / "store-1/data.mdb").read_bytes()

    assert 1 == len(caplog.records)


def test_flipped_bits_are_misses(folder):
    """Not one answer is wrong, each flip costs one entry, and the damage is forgotten."""
    data = data_of(folder)
    content = bytearray(data.read_bytes())
    rng = random.Random(2)
    hit = rng.sample(range(1000), 64)
    for i in hit:
        offset, bit = rng.randrange(len(value(i))), 1 << rng.randrange(8)
        place = -1  # pages out of use hold older copies
        while (place := content.find(value(i), place + 1)) >= 0:
            content[place + offset] ^= bit
    data.write_bytes(content)
    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        assert sorted(set(range(1000)) - set(hit)) == found(tier, range(1000))
        assert 64 == tier.stats()["damaged"]
        tier.flush()
        assert {"entries": 936, "damaged": 0} == tier.verify()


def test_a_damaged_page_ends_the_store(folder, caplog):
    """LMDB notices: from then on a new store answers, in the same process."""
    data = data_of(folder)
    content = bytearray(data.read_bytes())
    for page in range(8192, len(content), 4096):
        content[page + 10 : page + 12] = b"\xff\xff"  # flags that no page has
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        data.write_bytes(content)
        assert [] == found(tier, range(1000))
        put(tier, [1])
        tier.flush()
        assert [1] == found(tier, range(1000))

    assert 1 == len(caplog.records)
    assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 70_000])
def test_a_damaged_lock_file_does_no_harm(folder, content):
    """LMDB makes its lock file anew when nobody else has it open."""
    data_of(folder).with_name("lock.mdb").write_bytes(content)
    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        assert list(range(1000)) == found(tier, range(1000))
        put(tier, [1000])
        tier.flush()
        assert [1000] == found(tier, [1000])


@pytest.mark.parametrize("content", ["", "store-77\n", "../../etc\n", "\0" * 4096])
def test_a_damaged_pointer_begins_a_new_store(folder, caplog, content):
    """Nothing outside the folder is opened, and nothing old is believed."""
    (root_of(folder) / "CURRENT").write_text(content)
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        assert [] == found(tier, range(1000))
        put(tier, [1])
        tier.flush()
        assert [1] == found(tier, range(1000))

    assert 1 == len(caplog.records)


def test_a_folder_in_place_of_the_pointer_is_no_cache(folder, caplog):
    """Nothing can be put in its place: bypassed, with one warning."""
    (root_of(folder) / "CURRENT").unlink()
    (root_of(folder) / "CURRENT").mkdir()
    (root_of(folder) / "CURRENT/something").touch()
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        put(tier, [1])
        assert [] == found(tier, range(1000))
        assert "bypassed" == tier.stats()["state"]

    assert 1 == len(caplog.records)


def test_a_folder_removed_under_a_process_is_made_again(folder, reopened):
    """Somebody cleaned up; the process goes on, with an empty cache and larger numbers."""
    newest = reopened.invalidations.sequence()
    assert 1000 == len(found(reopened, range(1000)))
    shutil.rmtree(folder)
    assert [] == found(reopened, range(1000))
    put(reopened, [1])
    reopened.flush()

    assert [1] == found(reopened, range(1000))
    assert newest < reopened.invalidations.sequence()
    assert reopened.invalidations.invalidated_since(newest) is None
    number = reopened.invalidations.note_invalidation([b"asset1"])
    assert newest + 1 < number == reopened.invalidations.sequence()
    assert [] == found(reopened, [1])


# Folders that are not ours, or closed


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_is_bypassed(folder, caplog, mode):
    """Anybody could have planted answers there."""
    root_of(folder).chmod(mode)
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        put(tier, [1])
        tier.flush() if tier.stats()["state"] == "open" else None
        assert [] == found(tier, range(1000))

    assert 1 == len(caplog.records)
    assert "chmod 700" in caplog.text


def test_a_folder_of_somebody_else_is_bypassed(folder, caplog):
    """Its owner could change answers at any time."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(root_of(folder), 12345, -1)
    with caplog.at_level(logging.WARNING), LmdbTier(folder, max_bytes=8 << 20) as tier:
        assert [] == found(tier, range(1000))

    assert 1 == len(caplog.records)
    assert "12345" in caplog.text


@pytest.fixture
def open_folder():
    """A folder that any user can get to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder)


# Root may write anywhere; so those tests become somebody else.
AS_USER = """
import fcntl, lmdb  # while the interpreter's own folders can be read
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""


def run_as_user(source, folder):
    # The setting comes before the tier is made: it looks at the user's id.
    before, made, after = PROGRAM.partition("tier = LmdbTier")
    process = subprocess.run(
        [sys.executable, "-c", before + AS_USER + made + after + source, str(folder)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout.strip()


def test_a_folder_that_can_not_be_made_is_no_cache(open_folder):
    """One warning, and everything is a miss."""
    (open_folder / "closed").mkdir(mode=0o555)
    shown = run_as_user(
        "tier.put(entries([1], 1)); print(len(tier.get([key(1)])), tier.stats()['state'])\n"
        "tier.close(); print(len(warnings))",
        open_folder / "closed/cache",
    )

    assert "0 bypassed\n1" == shown


def test_a_closed_folder_is_still_read(open_folder):
    """What is there is served; what is put, deleted or invalidated is not served any more."""
    run_as_user("tier.put(entries(range(100), 1)); tier.close()", open_folder)
    shown = run_as_user(
        """
root = os.path.join(folder, f"2-{os.geteuid()}")
for path, _, names in os.walk(root):
    for name in names:
        os.chmod(os.path.join(path, name), 0o400)
for path, _, _ in os.walk(root, topdown=False):
    os.chmod(path, 0o500)
state = tier.stats()["state"]
assert 100 == len(tier.get([key(i) for i in range(100)])) and not wrong(range(100))
before = tier.invalidations.sequence()
assert before + 1 == tier.invalidations.note_invalidation([b"asset1"])
assert [b"asset1"] == tier.invalidations.invalidated_since(before)
tier.put(entries([2], 2))
tier.delete([key(3)])
try:
    tier.flush()
except TierError:
    pass
left = set(range(100)) - {i for i in range(100) if key(i) in tier.get([key(i)])}
print(state, sorted(left), len(warnings))
""",
        open_folder,
    )

    assert "read-only [1, 2, 3] 1" == shown


def test_a_file_that_can_not_be_read_is_put_aside(open_folder):
    """The folder is ours, so a new store can be made."""
    run_as_user("tier.put(entries(range(100), 1)); tier.close()", open_folder)
    shown = run_as_user(
        """
for path, _, names in os.walk(folder):
    if "data.mdb" in names:
        os.chmod(os.path.join(path, "data.mdb"), 0)
tier.put(entries([1], 2))
tier.flush()
print(sum(key(i) in tier.get([key(i)]) for i in range(100)), tier.stats()["state"], len(warnings))
""",
        open_folder,
    )

    assert "1 open 1" == shown


# Full


def test_a_full_map_costs_entries_not_answers(tmp_path):
    """
    A reader that never ends keeps every page from being used again.

    Puts are dropped, nothing is raised, nothing is wrong; afterwards the cache works again.
    """
    with LmdbTier(tmp_path, max_bytes=1 << 20) as tier:
        put(tier, range(100))
        tier.flush()
        data = str(data_of(tmp_path).parent)
        source = f"import lmdb; txn = lmdb.open({data!r}).begin(); txn.get(b'x'); ready(); input()"
        reader = start(source, tmp_path)
        wait_until_ready(reader)
        for turn in range(20):
            put(tier, range(turn * 500, turn * 500 + 500), turn)
            tier.flush()
            found(tier, range(10_000))
        assert 0 < tier.stats()["dropped"]
        reader.communicate("\n", timeout=LIMIT_S)
        put(tier, range(200), 99)
        tier.flush()
        put(tier, range(300, 400), 99)
        tier.flush()

        assert list(range(300, 400)) == found(tier, range(300, 400))


def test_an_invalidation_gets_through_a_full_map(tmp_path):
    """Where there is no room even for that, an empty store takes the place of the full one."""
    with LmdbTier(tmp_path, max_bytes=1 << 20) as tier:
        put(tier, range(100))
        tier.flush()
        before = tier.invalidations.sequence()
        data = str(data_of(tmp_path).parent)
        source = f"import lmdb; txn = lmdb.open({data!r}).begin(); txn.get(b'x'); ready(); input()"
        reader = start(source, tmp_path)
        wait_until_ready(reader)
        for turn in range(8):
            put(tier, range(1000), turn)
            tier.flush()
            tier.invalidations.note_invalidation([b"asset%d" % i for i in range(0, 1000, 2)])
            assert [] == found(tier, range(0, 1000, 2))
        reader.communicate("\n", timeout=LIMIT_S)

        assert before < tier.invalidations.sequence()


def test_a_full_disk_costs_entries_not_answers(folder):
    """
    Writes fail beyond a size, as on a full disk: nothing is raised but by an invalidation.

    What was replaced or deleted meanwhile stays hidden, and is gone once there is room again.
    """
    shown = run(
        """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
assert 1000 == len(tier.get([key(i) for i in range(1000)]))
size = os.path.getsize(os.path.join(tier.stats()["path"], "data.mdb"))
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
tier.put(entries(range(0, 3000), 2))
tier.delete([key(1)])
tier.flush()
hidden = 1000 - sum(key(i) in tier.get([key(i)]) for i in range(1000))
try:
    tier.invalidations.note_invalidation([b"asset2"])
    print("noted")
except TierError as error:
    print("not noted")
assert not tier.get([key(1)]) and not tier.get([key(2)]) and not wrong(range(3000))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tier.put(entries(range(5000, 5100), 3))
tier.flush()
assert 100 == len(tier.get([key(i) for i in range(5000, 5100)])), tier.stats()
assert not tier.get([key(1)]) and not tier.get([key(2)]) and not wrong(range(6000))
assert tier.verify()["damaged"] == 0
print(hidden, tier.stats()["dropped"] > 0, tier.invalidations.sequence() > 0)
""",
        folder,
    )

    assert ["not noted", "1000 True True"] == shown.splitlines()


# Several processes


def test_processes_see_each_other(folder, reopened):
    """Entries after a flush, deletions after a flush, invalidations at once."""
    other = start(
        """
for line in sys.stdin:
    result = eval(line)
    tier.flush()
    print(result, flush=True)
""",
        folder,
    )

    def ask(expression):
        other.stdin.write(expression + "\n")
        other.stdin.flush()
        return other.stdout.readline().strip()

    assert "1000" == ask("len(tier.get([key(i) for i in range(2000)]))")
    ask("tier.put(entries([1500], 1))")
    assert [1500] == found(reopened, [1500])
    put(reopened, [1600])
    reopened.flush()
    assert "1" == ask("len(tier.get([key(1600)]))")
    ask("tier.delete([key(7)])")
    assert [] == found(reopened, [7])
    overtaken = reopened.invalidations.sequence()
    ask("tier.invalidations.note_invalidation([b'asset8'])")
    assert [] == found(reopened, [8])
    assert [b"asset8"] == reopened.invalidations.invalidated_since(overtaken)
    reopened.put({key(8): Entry(value(8), FOREVER, 0.0, overtaken)})
    reopened.flush()
    assert "0" == ask("len(tier.get([key(8)]))")
    reopened.delete_prefix(b"r")
    reopened.flush()
    assert "0" == ask("len(tier.get([key(i) for i in range(2000)]))")
    other.communicate(timeout=LIMIT_S)


def test_processes_follow_a_switch(folder, reopened):
    """One compacts; the others, reading and writing all the time, go on in the new store."""
    other = start(
        """
ready()
for turn in range(10**9):
    tier.put(entries(range(1000, 1100), turn))
    tier.flush()
    assert not wrong(range(1100))
    assert len(tier.get([key(i) for i in range(1000)])) == 1000
    print(tier.stats()["path"][-7:], flush=True)
""",
        folder,
    )
    wait_until_ready(other)
    for number in range(2, 6):
        reopened.compact()
        assert f"store-{number}" == data_of(folder).parent.name
        while f"store-{number}" not in other.stdout.readline():
            assert other.poll() is None, other.communicate()
        assert 1000 == len(found(reopened, range(1000)))
    other.terminate()
    assert "" == other.communicate(timeout=LIMIT_S)[1]
    assert 0 == reopened.verify()["damaged"]


def test_many_processes_begin_one_cache(tmp_path):
    """The first use of a folder by eight processes at once makes one store."""
    source = "tier.put(entries([int(os.environ['N'])], 1)); tier.close(); print(len(warnings))"
    processes = [start(source, tmp_path, N=str(i)) for i in range(8)]
    for process in processes:
        out, err = process.communicate(timeout=LIMIT_S)
        assert (0, "0") == (process.returncode, out.strip()), err

    assert ["store-1"] == [name for name in os.listdir(root_of(tmp_path)) if "store" in name]
    with LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        assert list(range(8)) == found(tier, range(8))


def test_a_process_with_a_larger_bound_is_followed(tmp_path):
    """LMDB's map is per process: when another's grows, ours follows."""
    with LmdbTier(tmp_path, max_bytes=1 << 20) as tier:
        put(tier, range(100))
        tier.flush()
        source = "tier.put(entries(range(20_000), 1)); tier.flush()"
        run(source, tmp_path, MAX_BYTES=str(64 << 20))
        assert 20_000 == len(found(tier, range(20_000)))
        put(tier, range(30_000, 30_100))
        tier.flush()

        assert list(range(30_000, 30_100)) == found(tier, range(30_000, 30_100))


def test_a_stopped_writer_stops_nobody_else(folder):
    """A process that sleeps with the write lock: reads go on, the rest fails in bounded time."""
    data = str(data_of(folder).parent)
    holder = start(
        f"import lmdb; t = lmdb.open({data!r}).begin(write=True); ready(); input()", folder
    )
    wait_until_ready(holder)
    holder.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        run(
            """
import bifrost.tiers.shared_cache as shared_cache
shared_cache._PATIENCE_S = 0.3
assert 1000 == len(tier.get([key(i) for i in range(1000)]))
tier.put(entries([1, 1500], 2))
assert tier.get([key(1500)])
for call in (tier.flush, lambda: tier.invalidations.note_invalidation([b"asset2"])):
    try:
        call()
        print("no error")
    except TierError:
        pass
assert not tier.get([key(2)])
child = os.fork()
if child == 0:
    os._exit(len(tier.get([key(1)])) + 40)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
            folder,
        )
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.communicate("\n", timeout=LIMIT_S)

    assert time.monotonic() - began < 15


# Forking


def in_child(check):
    """Return the exit code of a forked child: *check*'s result, or 99 when it raises."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = check()
        finally:
            os._exit(code)
    until = time.monotonic() + LIMIT_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)


def test_a_forked_child_has_a_cache_of_its_own(folder, reopened):
    """It reads, writes and invalidates; the parent goes on as if nothing had happened."""
    assert 1000 == len(found(reopened, range(1000)))
    put(reopened, range(2000, 2010))
    reopened.delete([key(5)])

    def child():
        assert 999 == len(found(reopened, range(1000)))
        put(reopened, range(3000, 3010))
        reopened.invalidations.note_invalidation([b"asset6"])
        reopened.close()
        return 7

    assert 7 == in_child(child)
    assert list(range(2000, 2010)) == found(reopened, range(2000, 2010))
    assert list(range(3000, 3010)) == found(reopened, range(3000, 3010))
    assert [] == found(reopened, [5, 6])
    reopened.flush()
    assert list(range(2000, 2010)) == found(reopened, range(2000, 2010))
    assert 0 == reopened.verify()["damaged"]


def test_forking_among_busy_threads_hangs_nobody(folder, reopened):
    """Threads read and write while the main one forks: each child finds a cache that works."""
    ends = threading.Event()
    errors = []

    def work(thread):
        try:
            for turn in range(10**9):
                if ends.is_set():
                    return
                put(reopened, range(thread * 100, thread * 100 + 50), turn)
                found(reopened, range(1000))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    def child():
        assert found(reopened, range(500, 1000))
        put(reopened, [4000 + os.getpid() % 1000])
        reopened.flush()
        return 7

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [7] * 15 == [in_child(child) for _ in range(15)]
    finally:
        ends.set()
        for thread in threads:
            thread.join(LIMIT_S)
    assert [] == errors
    assert 0 == reopened.verify()["damaged"]


def test_a_child_of_a_child_works(folder, reopened):
    """Pools fork from forks."""
    found(reopened, [1])

    def child():
        put(reopened, [5000])
        return in_child(lambda: len(found(reopened, range(1000))) == 1000 and 7)

    assert 7 == in_child(child)


# The end of a process


def test_what_waits_is_written_at_exit(tmp_path):
    """A script that never closes anything loses nothing."""
    run("tier.put(entries(range(100), 1))", tmp_path)

    with LmdbTier(tmp_path, max_bytes=8 << 20) as tier:
        assert list(range(100)) == found(tier, range(100))


def test_an_exit_with_busy_threads_ends(tmp_path):
    """Daemon threads that go on using the cache during the interpreter's end crash nothing."""
    run(
        """
def work():
    for turn in range(10**9):
        tier.put(entries(range(50), turn))
        tier.get([key(i) for i in range(100)])
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
""",
        tmp_path,
    )


def test_an_hour_in_the_life(folder, reopened):
    """Everything at once, by seed: the entries that are found are those of a plain dictionary."""
    rng = random.Random(3)
    newest = dict.fromkeys(range(1000), 0)
    for turn in range(1, 150):
        match rng.randrange(8):
            case 0 | 1 | 2:
                numbers = rng.sample(range(1500), 40)
                put(reopened, numbers, turn)
                newest.update(dict.fromkeys(numbers, turn))
            case 3:
                numbers = rng.sample(range(1500), 40)
                reopened.delete([key(i) for i in numbers])
                newest = {i: t for i, t in newest.items() if i not in numbers}
            case 4:
                numbers = rng.sample(range(1500), 5)
                reopened.invalidations.note_invalidation([b"asset%d" % i for i in numbers])
                newest = {i: t for i, t in newest.items() if i not in numbers}
            case 5:
                prefix = b"asset%d" % rng.randrange(10, 100)
                reopened.delete_prefix(b"r" + b"s" * 16 + prefix)
                newest = {
                    i: t for i, t in newest.items() if not (b"asset%d" % i).startswith(prefix)
                }
            case 6:
                reopened.flush()
                if turn % 3 == 0:
                    reopened.compact()
            case 7:
                assert 0 == reopened.verify()["damaged"]
        entries = reopened.get([key(i) for i in range(1500)])
        assert {key(i): value(i, t) for i, t in newest.items()} == {
            k: e.value for k, e in entries.items()
        }


def test_files_stay_ours_alone(folder, reopened):
    """Also those of later stores."""
    reopened.compact()
    put(reopened, [1])
    reopened.flush()

    for path in root_of(folder).rglob("*"):
        assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o077


def test_closing_is_bounded_when_a_commit_hangs(folder, reopened, monkeypatch):
    """And what can't be closed is left to the end of the process."""
    monkeypatch.setattr("bifrost.tiers.lmdb._PATIENCE_S", 0.2)
    gate = threading.Event()
    cache = reopened._cache if found(reopened, [1]) else None
    monkeypatch.setattr(cache, "_apply", lambda *_: gate.wait(20) and 0)
    put(reopened, [1])
    time.sleep(0.1)
    began = time.monotonic()
    reopened.close()
    gate.set()

    assert time.monotonic() - began < 5
