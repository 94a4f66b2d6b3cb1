# SPDX-License-Identifier: Apache-2.0
"""The folder of stores: whom it lets in, what it points at, what it removes."""

import os
import stat
import struct

import lmdb
import pytest

from bifrost.tiers.store_folder import FolderError, StoreFolder, number_of, secure, unusable


@pytest.fixture
def folder(tmp_path):
    folder = StoreFolder(str(tmp_path / "cache"))
    folder.prepare()
    return folder


def make(folder, *, in_force=True):
    switching = folder.start_switch()
    name = folder.add()
    lmdb.open(folder.path(name), lib_version=0).close()
    if in_force:
        folder.put_in_force(name)
    os.close(switching)
    return name


def test_the_folder_is_ours_alone(folder):
    """Mode 0700, its parents made on the way."""
    assert 0o700 == stat.S_IMODE(os.stat(folder.root).st_mode)
    assert f"2-{os.geteuid()}" == os.path.basename(folder.root)


def test_a_folder_that_others_may_read_is_closed_to_them(folder):
    """Read permission is a slip that can be mended."""
    os.chmod(folder.root, 0o755)
    folder.prepare()

    assert 0o700 == stat.S_IMODE(os.stat(folder.root).st_mode)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_refused(folder, mode):
    """Somebody may have put anything there; a person has to look."""
    os.chmod(folder.root, mode)

    with pytest.raises(FolderError, match="chmod 700"):
        folder.prepare()


def test_a_link_or_a_file_in_place_of_the_folder_is_refused(tmp_path):
    """What is planted in a shared folder leads nowhere."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()

    for name in ("link", "file"):
        with pytest.raises(FolderError, match="not a folder"):
            secure(str(tmp_path / name))


def test_a_folder_of_somebody_else_is_refused(folder):
    """Its owner could change files under our eyes."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder.root, 12345, -1)

    with pytest.raises(FolderError, match="12345"):
        folder.prepare()


def test_the_pointer_moves_and_its_stamp_with_it(folder):
    """Everybody notices a switch by one stat."""
    assert folder.current() is None
    assert folder.stamp() is None
    first = make(folder)
    stamp = folder.stamp()
    second = make(folder)

    assert ("store-1", "store-2") == (first, second)
    assert second == folder.current()
    assert stamp != folder.stamp()


@pytest.mark.parametrize("content", [b"", b"../../etc", b"store-", b"store-x", b"\xff\0" * 500])
def test_a_damaged_pointer_points_nowhere(folder, content):
    """No name is taken from it that is not a store's."""
    make(folder)
    with open(os.path.join(folder.root, "CURRENT"), "wb") as file:
        file.write(content)

    assert folder.current() is None


def test_stores_in_use_and_in_force_are_not_removed(folder):
    """Others go, also those that were never finished."""
    used, idle = make(folder), make(folder)
    unfinished = make(folder, in_force=False)
    os.close(folder.hold(idle))
    hold = folder.hold(used)
    current = make(folder)
    folder.remove_unused()
    assert {used, current} == set(folder.stores())
    os.close(hold)
    folder.remove_unused()

    assert {current} == set(folder.stores())
    assert unfinished not in folder.stores()


def test_a_removed_store_can_not_be_held(folder):
    """Who comes too late is told so."""
    name = make(folder)
    folder.remove(name)

    assert folder.hold(name) is None


def test_switching_is_for_one_at_a_time(folder):
    """The second gives up in the end, and says who is to blame."""
    switching = folder.start_switch()
    with pytest.raises(FolderError, match="another process holds"):
        folder.start_switch(patience_s=0.0)
    os.close(switching)

    os.close(folder.start_switch(patience_s=0.0))


@pytest.mark.parametrize(
    ("name", "number"),
    [("store-1", 1), ("store-120", 120), ("store-", 0), ("store-1x", 0), ("1", 0), ("store-²", 0)],
)
def test_store_names_have_a_number(name, number):
    """Anything else is nobody's store."""
    assert number == number_of(name)


class TestUnusable:
    """What must not even be opened."""

    @pytest.fixture
    def data(self, tmp_path):
        with lmdb.open(str(tmp_path), lib_version=0) as env:
            for turn in range(5):
                with env.begin(write=True) as txn:
                    txn.put(b"%d" % turn, b"v" * 5000)
        return tmp_path / "data.mdb"

    def test_a_sound_file_is_usable(self, data):
        """As LMDB leaves it."""
        assert unusable(str(data.parent)) is None

    @pytest.mark.parametrize("keeps", [0, 100, 4096, 4200, -4096, -1])
    def test_a_cut_off_file_is_not(self, data, keeps):
        """LMDB would map it and die of SIGBUS."""
        content = data.read_bytes()
        data.write_bytes(content[:keeps])

        assert "short" in unusable(str(data.parent)) or "cut off" in unusable(str(data.parent))

    @pytest.mark.parametrize(
        ("offset", "value", "says"),
        [
            (16, b"SQLi", "not an LMDB file"),
            (4096 + 16, b"\0\0\0\0", "not an LMDB file"),
            (20, struct.pack("=I", 3), "format 3"),
            (16 + 24, struct.pack("=I", 12345), "page size"),
            (4096 + 16 + 24, struct.pack("=I", 8192), "page size"),
        ],
    )
    def test_a_foreign_or_damaged_file_is_not(self, data, offset, value, says):
        """Either meta page may be the one that LMDB trusts."""
        content = bytearray(data.read_bytes())
        content[offset : offset + len(value)] = value
        data.write_bytes(content)

        assert says in unusable(str(data.parent))

    def test_a_missing_file_is_not(self, tmp_path):
        """LMDB would make a new one."""
        assert "can't be read" in unusable(str(tmp_path))
