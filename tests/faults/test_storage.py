# SPDX-License-Identifier: Apache-2.0
"""
Disks that are full or read-only, files of somebody else, and two releases on one disk.

What the cache does with broken and foreign files is in test_lmdb_faults.py, what a publish does on a
full disk in test_publish_faults.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bifrost
from bifrost.testing.processes import HostProcess
from bifrost.testing.show import layer
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

LIMIT_S = 60
HERO, OTHER = "bifrost:///assets/hero", "bifrost:///assets/other"
# What the lock file and the first pages take is what decides, in pages that are still free.
FREE_PAGES = (0, 1, 3, 5, 17, 19, 21, 32)

FILLED = """
import sys
from bifrost.errors import TierError
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

def key(i):
    return b"r" + b"s" * 16 + b"asset%d" % i

with LmdbTier(sys.argv[1], max_bytes=8 << 20) as tier:
    before = len(tier.get([key(i) for i in range(1000)]))
    sequence = tier.invalidations.sequence()
    tier.put({key(i): Entry(b"%d:" % i * 9, FOREVER, 0.0, sequence) for i in range(1000)})
    try:
        tier.flush()
        tier.invalidations.note_invalidation([b"asset1"])
    except TierError:
        pass
    found = tier.get([key(i) for i in range(1000)])
    assert all(found[key(i)].value == b"%d:" % i * 9 for i in range(1000) if key(i) in found)
    assert key(1) not in found
    print(before, len(found), tier.stats()["state"])
"""

OPENED = """
import sys
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetAttributeAtPath("/p0.v").Get())
"""


@pytest.fixture
def disk(tmp_path):
    """Mount disks of a number of bytes."""
    mounted = []

    def mount(size):
        place = tmp_path / f"disk_{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only who may mount can have a small disk")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk, pages):
    """Leave so many pages of a disk free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    os.truncate(filler, filler.stat().st_size - pages * 4096)


def run(source, *arguments, **variables):
    """Run a process to its end, which must be a good one; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", source, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout.strip()


def key(number):
    return b"r" + b"s" * 16 + b"asset%d" % number


# Full disks


def test_a_cache_begun_on_a_full_disk_is_none_and_ends_nobody(disk):
    """
    However few pages are free: misses, not a signal.

    LMDB maps its lock file; a page of it that the disk has no room for is SIGBUS.
    """
    place = disk("1m")
    states = set()
    for pages in FREE_PAGES:
        fill(place, pages)
        before, found, state = run(FILLED, place / "cache").split()
        assert "0" == before, pages
        assert state != "bypassed" or found == "0", pages
        states.add(state)
        shutil.rmtree(place / "cache", ignore_errors=True)
        (place / "filler").unlink()

    assert {"bypassed", "open"} == states


def test_a_cache_on_a_disk_that_has_become_full_serves_what_it_has(disk):
    """And takes more again once there is room."""
    place = disk("4m")
    assert "0 999 open" == run(FILLED, place / "cache")
    fill(place, 0)
    before, found, state = run(FILLED, place / "cache").split()
    assert ("999", "open") == (before, state)
    assert int(found) < 1000
    (place / "filler").unlink()

    assert "999 open" == run(FILLED, place / "cache").partition(" ")[2]


# Disks that can only be read


@pytest.fixture
def read_only_host(disk, tmp_path):
    """A home with a show in it that has been used, on a disk that has become read-only since."""
    home = disk("40m") / "home"
    source = tmp_path / "hero.usda"
    source.write_text(layer(value="hero"))
    with HostProcess(home) as host:
        for name in ("hero", "other"):
            host.call("register_asset", "layer", name, str(source))
        host.call("resolve_asset_path", HERO)
    root = tmp_path / "root.usda"
    root.write_text(layer(references=(HERO,)))
    yield home, root
    subprocess.run(["mount", "-o", "remount,rw", str(home.parent)], check=False)


def test_on_a_read_only_disk_what_is_cached_is_served_and_the_rest_says_why(
    read_only_host, run_python, tmp_path
):
    """A stage that was opened before opens again; nothing is published, nothing crashes."""
    home, root = read_only_host
    assert "hero" == run_python(OPENED, root, home=home).stdout.strip()
    subprocess.run(["mount", "-o", "remount,ro", str(home.parent)], check=True)
    source = tmp_path / "hero.usda"
    with HostProcess(home) as host:
        assert host.call("resolve_asset_path", HERO).endswith("hero.usda")
        for call in (
            ("resolve_asset_path", OTHER),
            ("register_version", HERO, str(source)),
            ("query_assets", {"type": "layer"}),
        ):
            told = host.call(*call)
            assert "may be written to" in told or "can't be written" in told, (call, told)
        assert "read-only" == host.call("get_cache_stats")["tiers"]["lmdb"]["state"]

    assert "hero" == run_python(OPENED, root, home=home).stdout.strip()


# Files of somebody else


def test_a_data_file_of_somebody_else_that_can_be_read_is_used_or_put_aside(tmp_path):
    """Somebody ran as root in this home: the answers are right, and new ones can be stored."""
    if os.geteuid():
        pytest.skip("only root can give a file away")
    folder = tmp_path / "cache"
    assert "0 999 open" == run(FILLED, folder)
    [data] = folder.rglob("data.mdb")
    for mode in (0o600, 0o644, 0o400):
        os.chown(data, 12345, 12345)
        data.chmod(mode)
        before, found, state = run(FILLED, folder).split()
        assert ("999", "open") == (found, state), mode
        assert before in ("0", "999"), mode


# Two releases


def test_releases_with_another_layout_of_the_cache_leave_each_other_alone(tmp_path):
    """
    The next release, with its own number of the layout, and this one, by turns in one folder.

    Each finds what it left itself, and nothing of the other.
    """
    later = tmp_path / "later" / "bifrost"
    shutil.copytree(Path(bifrost.__file__).parent, later)
    codec = later / "tiers" / "codec.py"
    text = codec.read_text()
    assert "SCHEMA: Final = 2\n" in text
    codec.write_text(text.replace("SCHEMA: Final = 2\n", "SCHEMA: Final = 3\n"))
    folder = tmp_path / "cache"
    ours = {"PYTHONPATH": str(Path(bifrost.__file__).parents[1])}
    theirs = {"PYTHONPATH": str(later.parent)}

    assert "0 999 open" == run(FILLED, folder, **ours)
    assert "0 999 open" == run(FILLED, folder, **theirs)
    assert "999 999 open" == run(FILLED, folder, **ours)
    assert "999 999 open" == run(FILLED, folder, **theirs)
    assert {f"2-{os.geteuid()}", f"3-{os.geteuid()}"} == set(os.listdir(folder))


def test_releases_that_store_other_values_in_one_layout_miss_each_others(tmp_path, monkeypatch):
    """
    The layout is the same, what is in it is not: an answer that isn't understood is asked for again.

    The catalogue is the truth; afterwards this release finds its own answers again.
    """
    source = tmp_path / "hero.txt"
    source.write_text("hero")
    home = tmp_path / "home"
    with HostProcess(home) as host:
        host.call("register_asset", "model", "hero", str(source))
        expected = host.call("resolve_asset_path", HERO)
        references = [HERO, f"{HERO}?version=1"]
        host.call("resolve_asset_paths", references)
    replace_values(home / "cache", [b"", b"\0", b"\xff" * 64, b"\x05\0\0\0/path", b"\x93\1\2\3"])
    with HostProcess(home) as host:
        before = host.call("get_performance_stats")["manager"]["round_trips"]
        assert [expected] * 2 == host.call("resolve_asset_paths", references)
        assert before < host.call("get_performance_stats")["manager"]["round_trips"]
    with HostProcess(home) as host:
        assert [expected] * 2 == host.call("resolve_asset_paths", references)
        assert 0 == host.call("get_performance_stats")["manager"]["round_trips"]


def replace_values(folder, values):
    """Put values of another release under the keys of every answer in a cache."""
    from bifrost.tiers.codec import key_of

    with LmdbTier(folder, max_bytes=8 << 20) as tier:
        tier.get([b"x"])
        store = tier._cache._store
        with store.environment.begin() as txn:
            keys = [key_of(txn.get(record)) for _, record in store.records._index(txn, b"\2#")]
        sequence = tier.invalidations.sequence()
        answers = [each for each in keys if each.startswith(b"r")]
        assert answers
        for number, each in enumerate(answers):
            value = values[number % len(values)]
            tier.put({each: Entry(value, FOREVER, 0.0, sequence)})
        tier.flush()
