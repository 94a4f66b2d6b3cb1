# SPDX-License-Identifier: Apache-2.0
"""What must not become an asset: bad names, paths, files and metadata. Nothing is half-written."""

from __future__ import annotations

import math
import os
import socket

import pytest

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.access import Rule
from bifrost.errors import (
    AssetException,
    Code,
    InvalidReferenceException,
    InvalidTraitsException,
    LocationException,
    StorageException,
)
from bifrost.publishing import Draft, Publisher, Reading, plugins
from bifrost.publishing.names import check_new_id, id_of

MEGABYTE = "x" * 1_000_000


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as catalogue:
        yield catalogue


@pytest.fixture
def publisher(catalogue):
    return Publisher(catalogue, validators={}, actions={})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rock.txt"
    path.write_text("content")
    return path


def nothing_is_left(catalogue, publisher):
    files = [path for path in catalogue.store.root.rglob("*") if path.is_file()]
    return ([], [], []) == (catalogue.assets(), files, publisher.list())


class TestNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Rock", "Rock"),
            ("  a rock\twith\nlines ", "a_rock_with_lines"),
            ("props/rock", "props_rock"),
            ("..\\..\\rock", ".._.._rock"),
            ("e\u0301toile", "\u00e9toile"),
            ("岩", "岩"),
        ],
    )
    def test_an_id_is_made_of_a_name(self, name, expected):
        assert expected == id_of(name)
        check_new_id(expected)

    @pytest.mark.parametrize("name", ["", " ", "\t\n", None, 7, b"rock"])
    def test_an_asset_needs_a_name(self, name):
        with pytest.raises(InvalidReferenceException, match="needs a name"):
            id_of(name)

    @pytest.mark.parametrize(
        ("asset_id", "why"),
        [
            (".", "a path"),
            ("..", "a path"),
            ("e\u0301toile", "normal form C"),
            ("her\u043e", "Cyrillic and Latin"),
            ("\u0391sset", "Greek and Latin"),
            ("\u0570ello", "Armenian and Latin"),
            ("ro\u200bck", "invisible"),
            ("rock\u202etxt", "invisible"),
            ("rock\ufeff", "invisible"),
            ("ro\u00adck", "invisible"),
            ("rock\u3164", "invisible"),
            ("rock\ufe0f", "invisible"),
            ("rock\u00a0", "invisible"),
            ("rock\u2003one", "invisible"),
            ("rock\ue000", "invisible"),
            ("rock\udc80", "invisible"),
        ],
    )
    def test_an_id_is_never_taken_for_another_or_for_a_path(self, asset_id, why):
        with pytest.raises(InvalidReferenceException, match=why) as raised:
            check_new_id(asset_id)

        assert Code.MALFORMED_REFERENCE == raised.value.code

    @pytest.mark.parametrize(
        "asset_id", ["rock", "岩", "скала", "скала-岩_1", "été", "a b", "...", "$x", "r.1"]
    )
    def test_any_one_script_makes_ids(self, asset_id):
        check_new_id(asset_id)


REFERENCES = {
    "empty": "",
    "dots": "..",
    "megabyte": MEGABYTE,
    "NUL": "a\0b",
    "control": "a\nb",
    "surrogate": "a\udc80",
    "mixed scripts": "r\u043eck",
    "invisible": "ro\u200dck",
    "a number": 7,
    "none": None,
}
VALUES = {
    "no name": {"name": ""},
    "megabyte of name": {"name": MEGABYTE},
    "NUL in the name": {"name": "a\0b"},
    "control in the name": {"name": "a\x1bb"},
    "surrogate in the name": {"name": "a\udc80"},
    "name of no text": {"name": 7},
    "megabyte of type": {"asset_type": MEGABYTE},
    "NUL in the type": {"asset_type": "\0"},
    "NUL in the comment": {"comment": "a\0b"},
    "comment of no text": {"comment": None},
    "path of no text": {"path": 7},
    "media type of no text": {"mime_type": 7},
    "expected version of no number": {"expected_version": "latest"},
    "masks of no names": {"population_masks": ["/Rock"]},
    "masks of no lists": {"population_masks": {"a": 7}},
    "masks of one text": {"population_masks": {"a": "/Hero"}},
    "masks of no JSON": {"population_masks": {"a": [object()]}},
    "relationships of no JSON": {"relationships": [{"metadata": {"a": object()}}]},
    "relationships of no arguments": {"relationships": [7]},
}


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def circular():
    value = {}
    value["a"] = value
    return value


METADATA = {
    "NaN": {"a": math.nan},
    "infinity": {"a": [math.inf]},
    "an object": {"a": object()},
    "bytes": {"a": b"x"},
    "a set": {"a": {1, 2}},
    "too deep": deep(40),
    "much too deep": deep(5000),
    "circular": circular(),
    "too large": {"a": MEGABYTE},
    "NUL": {"a": "x\0y"},
    "NUL inside": {"a": [{"b": "\0"}]},
    "surrogate": {"a": "\udc80"},
    "a key with a dot": {"a.b": 1},
    "a key with a dollar": {"$a": 1},
    "a key that is empty": {"": 1},
    "a key that is a number": {1: 2},
    "a key inside": {"a": [{"b.c": 1}]},
    "no object": [1, 2],
    "no object either": "tags",
}


METADATA_OF_ROCK = r"^metadata of asset 'rock': "
PATHS = {
    "relative": ("rock.txt", Code.NOT_A_FILE),
    "missing": ("/nowhere/rock.txt", Code.FILE_MISSING),
    "NUL": ("/a\0b", Code.NOT_A_FILE),
    "long name": ("/" + MEGABYTE, Code.NOT_A_FILE),
    "long path": ("/" + "a/" * 15_000 + "b", Code.NOT_A_FILE),
    "no home": ("~nobody-of-this-name/rock.txt", Code.NOT_A_FILE),
    "no Unicode": ("/nowhere\udc80", Code.NOT_A_FILE),
}
RULES = {
    "no action": Rule("rock", "eat", "ann"),
    "action of no text": Rule("rock", None, "ann"),
    "no asset": Rule("", "read", "ann"),
    "star inside": Rule("ro*ck", "read", "ann"),
    "no user": Rule("rock", "read", ""),
    "NUL in the user": Rule("rock", "read", "a\0b"),
    "megabyte of user": Rule("rock", "read", MEGABYTE),
}


class TestDrafts:
    def test_a_bad_id_is_refused(self, catalogue, publisher, file, subtests):
        for what, asset_id in REFERENCES.items():
            with subtests.test(what):
                with pytest.raises(InvalidReferenceException) as raised:
                    publisher.publish([Draft(asset_id, "Rock", "model", str(file))])
                assert Code.MALFORMED_REFERENCE == raised.value.code
                assert len(raised.value.message) < 2000
                assert nothing_is_left(catalogue, publisher)

    def test_a_bad_value_is_refused(self, catalogue, publisher, file, subtests):
        for what, values in VALUES.items():
            with subtests.test(what):
                draft = Draft("rock", "Rock", "model", str(file))._replace(**values)
                with pytest.raises(InvalidTraitsException) as raised:
                    publisher.publish([draft])
                assert Code.INVALID_TRAITS == raised.value.code
                assert "'rock'" in raised.value.message
                assert len(raised.value.message) < 2000
                assert nothing_is_left(catalogue, publisher)

    def test_bad_metadata_is_refused(self, catalogue, publisher, file, subtests):
        for what, metadata in METADATA.items():
            with subtests.test(what):
                draft = Draft("rock", "Rock", "model", str(file), metadata=metadata)
                with pytest.raises(InvalidTraitsException, match=METADATA_OF_ROCK) as raised:
                    publisher.publish([draft])
                assert len(raised.value.message) < 2000
                assert nothing_is_left(catalogue, publisher)

    def test_a_user_who_can_not_be_recorded_is_refused(self, catalogue, publisher, file):
        with pytest.raises(InvalidTraitsException, match="created_by"):
            publisher.publish([Draft("rock", "Rock", "model", str(file))], user="a\0b")

        assert nothing_is_left(catalogue, publisher)

    def test_the_id_of_an_asset_that_is_there_is_not_judged_again(self, catalogue, publisher, file):
        catalogue.publish([Publication("r\u043eck", "Rock", "model", "")])

        made = publisher.publish([Draft("r\u043eck", "Rock", "model", str(file))])

        assert "post-registered" == made.stage

    def test_an_id_that_looks_like_a_path_stays_in_the_store(self, catalogue, publisher, file):
        ids = ["a/b", "../../etc", "a\\b", "CON", "a%2Fb", ".staging", "...", "~"]

        publisher.publish([Draft(asset_id, "Rock", "model", str(file)) for asset_id in ids])

        root = catalogue.store.root
        found = [path.relative_to(root) for path in root.rglob("*.txt")]
        assert {("v0001", "rock.txt")} == {path.parts[1:] for path in found}
        assert len(ids) == len(found)
        assert [] == catalogue.check()

    def test_a_long_id_has_a_folder_of_its_own(self, catalogue, publisher, file):
        ids = ["岩" * 100 + end for end in "ab"]

        publisher.publish([Draft(asset_id, "Rock", "model", str(file)) for asset_id in ids])

        assert 2 == len({path.parents[1] for path in catalogue.store.root.rglob("*.txt")})


class TestPaths:
    def refused(self, publisher, path, **more):
        with pytest.raises(AssetException) as raised:
            publisher.publish([Draft("rock", "Rock", "model", str(path), **more)])
        return raised.value

    def test_a_bad_path_is_refused(self, catalogue, publisher, subtests):
        for what, (path, code) in PATHS.items():
            for in_place in (False, True):
                with subtests.test(what, in_place=in_place):
                    error = self.refused(publisher, path, in_place=in_place)
                    assert (LocationException, code) == (type(error), error.code)
                    assert len(error.message) < 2000
                    assert nothing_is_left(catalogue, publisher)

    def test_what_is_no_file_is_refused(self, catalogue, publisher, tmp_path, subtests):
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe")
        # The path of a socket has at most 108 bytes.
        folder, listening = os.open(tmp_path, os.O_RDONLY), socket.socket(socket.AF_UNIX)
        listening.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        listening.close()
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        kinds = {
            "folder": Code.NOT_A_FILE,
            "pipe": Code.NOT_A_FILE,
            "socket": Code.NOT_A_FILE,
            "/dev/null": Code.NOT_A_FILE,
            "dangling": Code.FILE_MISSING,
            "loop": Code.FILE_MISSING,
        }
        for kind, code in kinds.items():
            for in_place in (False, True):
                with subtests.test(kind, in_place=in_place):
                    error = self.refused(publisher, tmp_path / kind, in_place=in_place)
                    assert (LocationException, code) == (type(error), error.code)
                    assert nothing_is_left(catalogue, publisher)

    def test_a_link_is_published_as_what_it_leads_to(self, catalogue, publisher, file, tmp_path):
        (tmp_path / "link.txt").symlink_to(file)

        publisher.publish([Draft("rock", "Rock", "model", str(tmp_path / "link.txt"))])

        found = catalogue.store.folder_of("rock", 1) / "link.txt"
        assert not found.is_symlink()
        assert "content" == found.read_text()

    def test_a_file_name_that_is_no_unicode_is_refused(
        self, catalogue, publisher, tmp_path, subtests
    ):
        path = os.path.join(os.fsencode(tmp_path), b"rock\x80.txt")
        with open(path, "w") as made:
            made.write("content")

        for in_place in (False, True):
            with subtests.test(in_place=in_place):
                error = self.refused(publisher, os.fsdecode(path), in_place=in_place)
                assert (LocationException, Code.NOT_A_FILE) == (type(error), error.code)
                assert nothing_is_left(catalogue, publisher)

    def test_a_readers_name_that_leads_out_is_refused(
        self, catalogue, publisher, file, monkeypatch, subtests
    ):
        for name in ("../out.txt", "/out.txt", "a/../../out.txt", ""):
            files = [(file, "rock.txt"), (file, name)]
            monkeypatch.setattr(plugins, "readers", lambda found=files: reads(found))
            with subtests.test(name):
                error = self.refused(publisher, file)
                assert (LocationException, Code.NOT_A_FILE) == (type(error), error.code)
                assert nothing_is_left(catalogue, publisher)

    def test_a_reader_that_breaks_is_a_finding(self, catalogue, publisher, file, monkeypatch):
        monkeypatch.setattr(plugins, "readers", lambda: {".txt": lambda *_: 1 / 0})

        error = self.refused(publisher, file)

        assert ["reading"] == [finding.validator for finding in error.findings]
        assert "rock.txt: division by zero" in error.message
        assert [] == catalogue.assets()

    def test_a_store_in_a_files_place_says_so(self, catalogue, publisher, file):
        catalogue.store.root.write_text("a file")

        error = self.refused(publisher, file)

        assert (StorageException, Code.STORAGE) == (type(error), error.code)
        assert [] == catalogue.assets() + publisher.list()


def reads(files):
    return {".txt": lambda *_: Reading(files)}


def test_bad_metadata_leaves_the_old(catalogue, subtests):
    catalogue.publish([Publication("rock", "Rock", "model", "")])
    catalogue.set_metadata("rock", {"a": 1})
    before = catalogue.change_number()

    for what, metadata in METADATA.items():
        with subtests.test(what):
            with pytest.raises(InvalidTraitsException, match=METADATA_OF_ROCK):
                catalogue.set_metadata("rock", metadata)
            assert {"a": 1} == catalogue.found(["rock"])["rock"].metadata
            assert before == catalogue.change_number()


def test_a_rule_that_can_not_be_is_refused(catalogue, subtests):
    for what, rule in RULES.items():
        with subtests.test(what):
            with pytest.raises(InvalidTraitsException):
                catalogue.allow([Rule("good", "read", "ann"), rule])
            assert [] == catalogue.rules()
