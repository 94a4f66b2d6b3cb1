# SPDX-License-Identifier: Apache-2.0
"""What is done in processes that are killed. Each tells what is done once it is, never before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bifrost.catalogue import Catalogue
from bifrost.publishing import Draft, Publisher
from bifrost.session import Session
from bifrost.settings import load
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

PARTS = 6
MOST_BYTES = 8 << 20


def publish(tell, folder, names, text):
    """Publish a file for each of *names*, together, and a note beside it, again and again."""
    session = Session(load())
    publisher = Publisher(
        session.catalogue,
        validators={},
        actions={"note": write_note},  # thumbnails take a hundred times as long
        on_published=session.invalidate,
    )
    for count in range(PARTS):
        drafts = []
        for name in names:
            path = Path(folder, f"{name}.txt")
            path.write_text(f"{text}.{count}")
            drafts.append(Draft(name, name, "model", str(path)))
        tell((f"{text}.{count}", publisher.publish(drafts).results))
    session.close()


def write_note(published):
    """Store something beside a version's own files: an action."""
    version = published.version
    content = f"note of {version.checksum}".encode()
    published.catalogue.put_representation(
        version.asset_id, version.number, "note", content, suffix=".txt", mime_type="text/plain"
    )


def fill(tell, references):
    """Have the caches forget everything, and filled anew, a part after the other."""
    session = Session(load())
    session.invalidate_names(None)
    step = max(1, len(references) // PARTS)
    for start in range(0, len(references), step):
        part = references[start : start + step]
        session.resolve(part)
        session.tiers.flush()
        tell(part)
    session.close()


def ask(tell, references):
    """Tell what a process that comes later is answered, and how the cache on the disk is."""
    session = Session(load())
    session.follow()
    tier = session.tiers.tier("lmdb")
    tell(dict(session.resolve(references).items()))
    tell((tier.verify(), tier.stats()))
    session.close()


def ingest(tell, directory, url, out):
    """Bring a folder into the catalogue, with a copy in *out* where there is one."""
    from bifrost.usd.ingest import ingest as run

    with Catalogue.open(url) as catalogue:
        tell(len(run(directory, catalogue, rewrite=out).published))


def migrate(tell, url):
    """Open a catalogue, which brings it up to date."""
    with Catalogue.open(url) as catalogue:
        tell(catalogue.counts())


def write_pins(tell, path, text):
    """Write pins over those that are there, again and again."""
    from bifrost.usd.pins import load as read

    pins = read(path)
    for count in range(4 * PARTS):
        dataclasses.replace(pins, by=f"{text}.{count}").save(path)
        tell(f"{text}.{count}")


def compact(tell, folder, start):
    """Put some entries, then compact, again and again."""
    with LmdbTier(folder, max_bytes=MOST_BYTES) as tier:
        for count in range(PARTS):
            numbers = range(start + 10 * count, start + 10 * count + 10)
            sequence = tier.invalidations.sequence()
            tier.put({key(i): Entry(value(i), FOREVER, 0.0, sequence) for i in numbers})
            tier.flush()
            tell(list(numbers))
            tier.compact()


def look(tell, folder, count):
    """Tell which of the first *count* entries are there and which are wrong, and how the tier is."""
    with LmdbTier(folder, max_bytes=MOST_BYTES) as tier:
        found = tier.get([key(i) for i in range(count)])
        there = [i for i in range(count) if key(i) in found]
        tell((there, [i for i in there if found[key(i)].value != value(i)]))
        tell((tier.verify(), tier.stats()))


def key(number):
    """Return a key about a subject of its own."""
    return b"r" + b"s" * 16 + b"asset%d" % number


def value(number):
    """Return what is stored under that key."""
    return b"%d:" % number * 40
