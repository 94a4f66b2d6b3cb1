# SPDX-License-Identifier: Apache-2.0
"""
A process that forks while its threads use a catalogue in SQLite, which knows nothing of forks.

test_forks.py has what a whole session does; these are the ways in which SQLite itself loses data or hangs.
"""

import os
import sys
import threading
from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue, Publication
from bifrost.errors import CatalogueError

sys.path.insert(0, str(Path(__file__).parent))
from forked_children import ended_well, forked

THREADS = 6


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'catalogue.sqlite'}"


@pytest.fixture
def catalogue(url):
    catalogue = Catalogue.open(url)
    yield catalogue
    catalogue.close()


def publication(name):
    return Publication(name, name, "notes", f"/show/{name}.txt", name, 1)


def test_what_a_child_wrote_outlives_its_parents_connections(catalogue, url):
    """
    The last to close a file removes its log. A child that took its parent's locks for its own wrote on into
    what had been removed.
    """
    catalogue.publish([publication("before")])
    gone, written = os.pipe(), os.pipe()

    def work():
        catalogue.versions("before")
        os.write(written[1], b"x")
        os.read(gone[0], 1)
        catalogue.publish([publication("after")])

    child = forked(work)
    os.read(written[0], 1)
    catalogue.close()
    os.write(gone[1], b"x")
    assert ended_well(child)

    again = Catalogue.open(url)
    try:
        assert ["after", "before"] == sorted(each.asset_id for each in again.assets())
    finally:
        again.close()


def test_no_child_waits_for_a_thread_that_stayed_behind(catalogue, rounds):
    """
    Threads that read and write all the time, and a fork at any moment: each child reads and writes.
    """
    ended = threading.Event()

    def busy(place):
        number = 0
        while not ended.is_set():
            catalogue.assets()
            if place == 0:
                number += 1
                catalogue.publish([publication(f"busy_{number}")])

    threads = [threading.Thread(target=busy, args=[place]) for place in range(THREADS)]
    for each in threads:
        each.start()
    try:
        for number in range(rounds(20)):

            def work(number=number):
                catalogue.publish([publication(f"child_{number}")])
                assert catalogue.versions(f"child_{number}")

            assert ended_well(forked(work)), f"child {number}"
    finally:
        ended.set()
        for each in threads:
            each.join()
    published = {each.asset_id for each in catalogue.assets(limit=10_000)}
    assert {f"child_{number}" for number in range(rounds(20))} <= published


def test_a_fork_in_the_middle_of_a_write_is_told_so(catalogue):
    """
    Its connection can't be closed before, so that the child may not touch the file. The parent goes on.
    """

    def work():
        with pytest.raises(CatalogueError, match="forked while its parent used the catalogue"):
            catalogue.assets()

    with catalogue._database.write():
        assert ended_well(forked(work))
    catalogue.publish([publication("later")])
    assert catalogue.versions("later")
