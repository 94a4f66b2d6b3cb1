# SPDX-License-Identifier: Apache-2.0
"""Where the files of published versions lie: staged whole, put in place at once, never mixed up."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.catalogue import store as module
from bifrost.catalogue.records import Staged
from bifrost.catalogue.store import Source, Store, folder_name, measure
from bifrost.errors import Code, LocationException, StorageException


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rock.txt"
    path.write_text("content")
    return path


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def staged(store, file, content="content"):
    file.write_text(content)
    return store.stage([Source(file, file.name)], file.name)[0]


def placed_instead(store, made, asset_id, number):
    """Place a version where something lies already, as a catalogue does."""
    with pytest.raises(FileExistsError):
        store.place(made, asset_id, number)
    store.put_back(store.folder_of(asset_id, number))
    return store.place(made, asset_id, number)


class TestStaging:
    def test_files_are_copied_in_order_below_their_names(self, store, file, tmp_path):
        other = tmp_path / "wood"
        other.write_text("w")

        made, copied = store.stage(
            [Source(file, "rock.txt"), Source(other, "tex/a/wood")], "rock.txt"
        )

        assert [
            ("rock.txt", 7, hashlib.sha256(b"content").hexdigest()),
            ("tex/a/wood", 1, hashlib.sha256(b"w").hexdigest()),
        ] == copied
        assert ["rock.txt", "tex/a/wood"] == files(made.folder)
        assert "content" == (made.folder / made.main).read_text()
        assert 0o444 == stat.S_IMODE((made.folder / "tex/a/wood").stat().st_mode)

    @pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..", "", "."])
    def test_a_name_that_leads_out_is_refused(self, store, file, name):
        with pytest.raises(LocationException, match="stays in its folder") as raised:
            store.stage([Source(file, "good"), Source(file, name)], "good")

        assert Code.NOT_A_FILE == raised.value.code
        assert [] == files(store.root)

    def test_two_files_of_one_name_are_refused(self, store, file):
        with pytest.raises(StorageException, match="File exists"):
            store.stage([Source(file, "a"), Source(file, "a")], "a")

        assert [] == files(store.root)

    def test_a_file_that_is_not_there_leaves_nothing(self, store, file, tmp_path):
        with pytest.raises(LocationException, match="not-there") as raised:
            store.stage([Source(file, "a"), Source(tmp_path / "not-there", "b")], "a")

        assert Code.FILE_MISSING == raised.value.code
        assert [] == list((store.root / module.STAGING).iterdir())

    def test_a_pipe_is_no_file_and_nobody_waits_for_it(self, store, tmp_path):
        os.mkfifo(tmp_path / "pipe")

        with pytest.raises(LocationException, match="not a file"):
            store.stage([Source(tmp_path / "pipe", "a")], "a")

    @pytest.mark.parametrize("change", ["grown", "cut", "rewritten"])
    def test_a_file_that_changes_while_it_is_copied_is_refused(
        self, store, tmp_path, change, monkeypatch
    ):
        """Somebody writes between the first chunk and the last: the reader's own thread does it."""
        path = tmp_path / "large"
        path.write_bytes(b"a" * 3000)
        os.utime(path, (0, 0))  # a file system's clock may tick as seldom as a test lasts
        monkeypatch.setattr(module, "_CHUNK", 1000)
        opened = module._opened

        def open_and_meddle(asked):
            inner = opened(asked)
            return Meddling(inner, path, change)

        monkeypatch.setattr(module, "_opened", open_and_meddle)

        with pytest.raises(LocationException, match="changed while it was read") as raised:
            store.stage([Source(path, "large")], "large")

        assert Code.CONFLICT == raised.value.code
        assert [] == files(store.root)


class Meddling:
    """A file that somebody else writes to once its first chunk was read."""

    def __init__(self, inner, path, change):
        self.inner, self.path, self.change = inner, path, change

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.inner.close()

    def fileno(self):
        return self.inner.fileno()

    def read(self, size):
        chunk = self.inner.read(size)
        if self.change == "grown":
            with self.path.open("ab") as file:
                file.write(b"b")
        elif self.change == "cut":
            os.truncate(self.path, 1500)
        elif self.change == "rewritten":
            with self.path.open("r+b") as file:
                file.write(b"b" * 3000)
        self.change = None
        return chunk


class TestMeasuring:
    def test_a_file_is_measured_and_sealed(self, file):
        found = measure(file, "name", seal=True)

        assert ("name", 7, hashlib.sha256(b"content").hexdigest()) == found
        assert 0o444 == stat.S_IMODE(file.stat().st_mode)

    def test_what_is_no_file_is_refused(self, tmp_path):
        with pytest.raises(LocationException, match="not a file"):
            measure(tmp_path, "name")

        with pytest.raises(LocationException) as raised:
            measure(tmp_path / "none", "name")
        assert Code.FILE_MISSING == raised.value.code


class TestPlacing:
    def test_a_version_is_in_place_at_once_and_whole(self, store, file):
        made = staged(store, file)

        path = store.place(made, "rock", 3)

        assert store.folder_of("rock", 3) / "rock.txt" == path
        assert "content" == path.read_text()
        assert not made.folder.exists()

    def test_it_can_be_taken_back_and_placed_again(self, store, file):
        made = staged(store, file)
        store.place(made, "rock", 3)
        store.take_back(made, "rock", 3)

        assert ["rock.txt"] == files(made.folder)
        assert [] == files(store.root / "rock")
        assert "content" == store.place(made, "rock", 4).read_text()

    def test_once_it_is_settled_its_folder_holds_its_files_only(self, store, file):
        made = staged(store, file)
        store.place(made, "rock", 3)
        store.settle("rock", 3, made)
        store.settle("rock", 3, made)

        assert ["rock.txt"] == files(store.folder_of("rock", 3))

    def test_what_a_crash_left_there_goes_back_to_where_it_was_staged(self, store, file):
        crashed, made = staged(store, file, "crashed"), staged(store, file, "later")
        store.place(crashed, "rock", 3)

        path = placed_instead(store, made, "rock", 3)

        assert "later" == path.read_text()
        assert "crashed" == (crashed.folder / "rock.txt").read_text()
        assert "crashed" == store.place(crashed, "rock", 4).read_text()

    def test_a_publish_that_crashed_finds_its_own_files_in_place(self, store, file):
        made = staged(store, file)
        store.place(made, "rock", 3)

        assert "content" == placed_instead(store, made, "rock", 3).read_text()
        assert ["rock.txt"] == [name for name in files(store.root / "rock" / "v0003")
                                if not name.startswith(".")]  # fmt: skip

    def test_what_lies_there_stays_until_it_is_moved(self, store, file):
        there, made = staged(store, file, "there"), staged(store, file, "later")
        store.place(there, "rock", 3)

        with pytest.raises(FileExistsError, match="v0003"):
            store.place(made, "rock", 3)

        assert "there" == (store.folder_of("rock", 3) / "rock.txt").read_text()
        assert ["rock.txt"] == files(made.folder)

    def test_what_is_taken_back_is_ours(self, store, file):
        """Somebody may have put ours back, and placed theirs: without the lock that is possible."""
        made, theirs = staged(store, file), staged(store, file, "theirs")
        store.place(made, "rock", 3)
        placed_instead(store, theirs, "rock", 3)
        shutil.rmtree(made.folder)

        store.take_back(made, "rock", 3)

        assert "theirs" == (store.folder_of("rock", 3) / "rock.txt").read_text()

    @pytest.mark.parametrize("is_there", [False, True])
    def test_what_gave_way_comes_back_where_nothing_lies(self, store, file, is_there):
        store.place(staged(store, file, "first"), "rock", 3)
        folder = store.folder_of("rock", 3)
        origin = store.put_back(folder)
        if is_there:
            store.place(staged(store, file, "second"), "rock", 3)

        store.put_again(origin, folder)

        assert ("second" if is_there else "first") == (folder / "rock.txt").read_text()
        assert is_there == origin.exists()

    def test_what_nobody_staged_is_put_aside(self, store, file):
        folder = store.folder_of("rock", 3)
        folder.mkdir(parents=True)
        (folder / "strange").write_text("?")

        placed_instead(store, staged(store, file), "rock", 3)

        [aside] = (store.root / module.ASIDE).iterdir()
        assert aside.name.startswith("rock-v0003-")
        assert ["strange"] == files(aside)

    @pytest.mark.parametrize(
        "mark", [".staged-../../../../gone", ".staged-", ".staged-" + "g" * 32, ".staged-a%2Fb"]
    )
    def test_a_mark_leads_nowhere_else(self, store, file, mark):
        folder = store.folder_of("rock", 3)
        folder.mkdir(parents=True)
        (folder / mark.replace("/", "_")).write_text("")

        assert None is store.staged_from(folder)

    def test_a_staging_folder_that_is_gone_is_a_missing_file(self, store):
        gone = Staged(store.root / module.STAGING / ("0" * 32), "rock.txt")

        with pytest.raises(LocationException) as raised:
            store.place(gone, "rock", 1)

        assert Code.FILE_MISSING == raised.value.code

    def test_a_store_that_cannot_be_written_to_says_which_file(self, store, file):
        made = staged(store, file)
        (store.root / "rock").write_text("in the way")

        with pytest.raises(StorageException, match=r"rock.*nothing was published"):
            store.place(made, "rock", 1)

        assert ["rock.txt"] == files(made.folder)


class TestAdding:
    def test_content_is_there_whole_and_read_only(self, store):
        path = store.add("rock", 1, "thumbnail.png", b"png")

        assert b"png" == path.read_bytes()
        assert 0o444 == stat.S_IMODE(path.stat().st_mode)
        assert ["thumbnail.png"] == files(path.parent)

    def test_the_same_again_is_fine(self, store):
        store.add("rock", 1, "thumbnail.png", b"png")

        assert b"png" == store.add("rock", 1, "thumbnail.png", b"png").read_bytes()

    def test_removing_an_asset_looks_at_what_lies_there_and_not_at_every_number(self, store, file):
        """An earlier release's version numbers may be dates; counting up to one would take hours."""
        newest = 20_250_131_120_000
        store.place(staged(store, file), "rock", newest)
        store.place(staged(store, file), "rock", newest + 1)

        store.remove("rock", newest)

        assert [f"rock/v{newest + 1}/rock.txt"] == [
            name for name in files(store.root) if name.endswith("rock.txt")
        ]

    def test_removing_an_asset_removes_its_versions_only(self, store, file):
        for asset_id, number in (("rock", 1), ("rock", 2), ("stone", 1)):
            store.place(staged(store, file), asset_id, number)

        store.remove("rock", 2)
        store.remove("never", 2)

        assert not (store.root / "rock").exists()
        assert "content" == (store.folder_of("stone", 1) / "rock.txt").read_text()


class TestFolderNames:
    @pytest.mark.parametrize(
        ("asset_id", "name"),
        [
            ("rock", "rock"),
            ("prop/rock", "prop%2Frock"),
            ("..", "%2E%2E"),
            (".staging", "%2Estaging"),
            ("rock.", "rock%2E"),
            ("a b", "a%20b"),
            ("a\\b:c", "a%5Cb%3Ac"),
            ("岩", "%E5%B2%A9"),
            ("r.1", "r.1"),
        ],
    )
    def test_what_file_systems_mind_is_escaped(self, asset_id, name):
        assert name == folder_name(asset_id)

    def test_a_long_id_keeps_its_beginning_and_gets_a_digest(self):
        names = {folder_name("a" * 500 + end) for end in "xyz"}

        assert 3 == len(names)
        assert all(len(name) == 200 and name.startswith("aaa") for name in names)

    @given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
    def test_two_ids_never_share_a_folder(self, one, other):
        try:
            names = folder_name(one), folder_name(other)
        except UnicodeEncodeError:  # no id has a lone surrogate
            return

        assert (one == other) == (names[0] == names[1])
        assert all(
            "/" not in name and name[0] != "." and name[-1] != "." and len(name) <= 200
            for name in names
        )
