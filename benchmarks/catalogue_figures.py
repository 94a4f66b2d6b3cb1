# SPDX-License-Identifier: Apache-2.0
"""
What is measured of a catalogue, and how.

Each measure has a process of its own. Sides that are compared take turns within it, the order turning
round by one each time; each turn has its own thousand assets. What is read was read once before: by the
database, or by the system's cache of files.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from catalogue_data import COMMON_WORD, PRODUCTION, RARE_WORD, SHOT, TAGS, asset_id
from measure import ChildFailed

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.catalogue import assets as reading
from bifrost.catalogue.database import Database
from bifrost.catalogue.location import path_of
from bifrost.catalogue.postgresql import SCHEMA
from bifrost.catalogue.query import query
from bifrost.catalogue.sqlite import driver
from bifrost.catalogue.whole_graph import cycles
from bifrost.model.entity_reference import reference_for


class Taken(NamedTuple):
    """
    What one run took, in seconds.

    Attributes:
        wall: By the clock.
        processor: Of this thread; on SQLite that is all of the work.
    """

    wall: float
    processor: float


Samples = dict[str, list[Taken]]
"""What was taken by side; samples of one turn have the same index."""

BATCH: Final = 1_000
_RECORD: Final = (
    "a.id, v.number, a.name, a.type, v.location, v.mime_type, v.templated, v.size, v.checksum, "
    "v.created, v.created_by, v.comment, v.metadata, v.properties"
)
_NEWEST: Final = (
    "JOIN assets AS a ON a.id = asked.value "
    "JOIN versions AS v ON v.asset = a.key AND v.number = a.latest_version"
)
BARE: Final = {
    "sqlite": f"SELECT {_RECORD} FROM json_each(?) AS asked {_NEWEST}",
    "postgresql": f"SELECT {_RECORD} FROM jsonb_array_elements_text(%s::jsonb) AS asked {_NEWEST}",
}
"""What anybody would write to get the newest versions of a list of ids, with the same columns."""

EXAMPLE: Final = {
    "types": ["model", "texture"],
    "tags": {"$contains": ["character"]},
    "createdDate": {"$gt": "2025-01-01"},
    "sort": [{"field": "modifiedDate", "order": "desc"}],
    "limit": 100,
    "offset": 0,
}
"""The example of the planned API."""

TEXTS: Final = {
    "a rare word": {"$text": RARE_WORD},
    "a common word": {"$text": COMMON_WORD},
    "a word of most": {"$text": "texture"},
    "two common words": {"$text": f"{COMMON_WORD} harbour"},
}
NOTHING: Final = {
    "no such type": {"types": ["hologram"]},
    "no such tag": {"tags": "no such tag"},
    "no such text": {"$text": "xylophonist"},
    "no such name": {"name": "Nobody_Has_This_Name"},
    "no metadata like it": {"metadata.polygons": {"$gt": 1e12}},
    "of no time": {"createdDate": {"$gt": "2100-01-01"}},
}
NEVER_TOGETHER: Final = {"types": ["texture"], "metadata.polygons": {"$gt": 1000}}
"""Each of its conditions holds for many assets, and never both."""

BY_TYPE: Final = {"aggregate": {"by": "type"}}


@dataclass(frozen=True)
class Subject:
    """
    A catalogue to be measured.

    Attributes:
        database: "SQLite" or "PostgreSQL".
        graph_url: One of a million edges; None where that isn't measured.
    """

    database: str
    url: str
    size: int
    graph_url: str | None = None

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the database."""
        return self.database.lower()

    @contextmanager
    def driver(self) -> Iterator[Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]]:
        """Lend a function that runs a statement by the driver alone and fetches its rows."""
        path = path_of(self.url)
        if path is not None:
            with closing(driver().connect(path, isolation_level=None)) as connection:
                yield lambda text, values: connection.execute(text, values).fetchall()
            return
        import psycopg

        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            connection.execute(f"SET search_path TO {SCHEMA}, public")
            yield lambda text, values: connection.execute(text, values).fetchall()


def take_turns(sides: Mapping[str, Callable[[], object]], samples: Samples, turn: int) -> None:
    """Run each of *sides* once, timed, *turn* saying which is the first."""
    names = list(sides)
    first = turn % len(names)
    for name in (*names[first:], *names[:first]):
        start, processor = time.perf_counter(), time.thread_time()
        sides[name]()
        taken = Taken(time.perf_counter() - start, time.thread_time() - processor)
        samples.setdefault(name, []).append(taken)


def resolve(subject: Subject, turns: int) -> Samples:
    """Resolve 1,000 references to newest versions: by the driver, by our API, by OpenAssetIO."""
    rng = random.Random(subject.size)
    samples: Samples = {}
    statement, parameters = _own_statement(subject.dialect)
    with Catalogue.open(subject.url) as catalogue, subject.driver() as run:
        host = _Host(subject.url)
        for turn in range(turns):
            ids = [asset_id(index) for index in rng.sample(range(subject.size), BATCH)]
            asked, references = [(each, None) for each in ids], host.references(ids)
            bare = partial(run, BARE[subject.dialect], [json.dumps(ids)])
            _expect(len(bare()) == BATCH, "the statement finds every asset")
            sides = {
                "statement": bare,
                "own statement": partial(run, statement, parameters({"": ids})),
                "catalogue": partial(catalogue.resolve, asked),
                "manager": partial(host.resolve, references, host.all_traits),
                "manager, location": partial(host.resolve, references, host.location),
            }
            take_turns(sides, samples, turn)
        _expect(
            [record.asset_id for record in catalogue.resolve(asked)] == ids,
            "resolve keeps the order",
        )
        host.close()
    return samples


def _own_statement(dialect: str) -> tuple[str, Callable[[dict[str, list[str]]], Any]]:
    """Return the text of the catalogue's own statement, and what gives its parameters."""
    drivers = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}
    compiled = reading._RESOLVE[dialect].compile(sa.create_engine(drivers[dialect]))

    def parameters(groups: dict[str, list[str]]) -> Any:
        given = {**compiled.params, "groups": json.dumps(groups), "as_of": None}
        places = compiled.positiontup
        return given if places is None else [given[name] for name in places]

    return str(compiled), parameters


class _Host:
    """An OpenAssetIO host of our manager, without anything of Bifrost's between."""

    def __init__(self, url: str) -> None:
        from openassetio.access import ResolveAccess
        from openassetio_mediacreation.traits.content import LocatableContentTrait
        from openassetio_mediacreation.traits.identity import DisplayNameTrait
        from openassetio_mediacreation.traits.lifecycle import VersionTrait

        from bifrost.assetio import manager_from_interface
        from bifrost.manager import BifrostManagerInterface

        self._manager = manager_from_interface(BifrostManagerInterface(), {"catalogue_url": url})
        self._context = self._manager.createContext()
        self._read = ResolveAccess.kRead
        self.location = {LocatableContentTrait.kId}
        self.all_traits = {LocatableContentTrait.kId, VersionTrait.kId, DisplayNameTrait.kId}

    def references(self, ids: Sequence[str]) -> list[Any]:
        return [self._manager.createEntityReference(reference_for(each)) for each in ids]

    def resolve(self, references: list[Any], traits: set[str]) -> list[Any]:
        policy = self._manager.BatchElementErrorPolicyTag.kException
        return list(self._manager.resolve(references, traits, self._read, self._context, policy))

    def close(self) -> None:
        del self._manager


def closure(subject: Subject, turns: int) -> Samples:
    """Walk everything that a shot of 3,000 assets needs."""
    samples: Samples = {}
    with Catalogue.open(subject.url) as catalogue:
        with _statements() as count:
            reached = catalogue.closure([(SHOT, None)])
        _expect(len(count) == 1, "a closure is one statement")
        _expect(len({each for each, _ in reached}) == PRODUCTION, "a closure is a production")
        for turn in range(turns):
            take_turns({"closure": lambda: catalogue.closure([(SHOT, None)])}, samples, turn)
    return samples


@contextmanager
def _statements() -> Iterator[list[str]]:
    """Collect the statements that are executed meanwhile."""
    seen: list[str] = []

    def heard(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if not text.startswith("SET "):
            seen.append(text)

    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", heard)


def queries(subject: Subject, turns: int) -> Samples:
    """Ask the example, searches, what matches nothing, and a count by type."""
    asked = {
        "the example": EXAMPLE,
        **TEXTS,
        **NOTHING,
        "count by type": BY_TYPE,
    }
    samples: Samples = {}
    with _asking(subject) as ask:
        _check_answers(subject, ask)
        sides = {name: partial(ask, document) for name, document in asked.items()}
        for turn in range(turns):
            take_turns(sides, samples, turn)
    return samples


def hard_query(subject: Subject, turns: int) -> Samples:
    """Ask for what holds often and often, and never together."""
    samples: Samples = {}
    with _asking(subject) as ask:
        _expect(not ask(NEVER_TOGETHER), "nothing is found")
        for turn in range(turns):
            take_turns({"never together": partial(ask, NEVER_TOGETHER)}, samples, turn)
    return samples


Ask = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


@contextmanager
def _asking(subject: Subject) -> Iterator[Ask]:
    with closing(Database.open(subject.url)) as database:

        def ask(document: Mapping[str, Any]) -> list[dict[str, Any]]:
            with database.read() as connection:
                return query(connection, document)

        yield ask


def _check_answers(subject: Subject, ask: Ask) -> None:
    for name, document in NOTHING.items():
        _expect(not ask(document), f"{name}: nothing is found")
    for name, document in {**TEXTS, "the example": EXAMPLE}.items():
        _expect(bool(ask(document)), f"{name}: something is found")
    counted = sum(group["count"] for group in ask(BY_TYPE))
    _expect(counted >= subject.size, "a count by type counts every asset")


def publishing(subject: Subject, turns: int) -> Samples:
    """
    Publish one next version, and 1,000 at once: of new assets, the next, the next with new metadata.

    Without files. Each has three dependencies, and each asset seven values of metadata.
    """
    samples: Samples = {}
    run = f"bench_{time.time_ns():x}"
    with Catalogue.open(subject.url) as catalogue:
        single = f"{run}_single"
        catalogue.publish([publication(single, 0)])
        for turn in range(turns):
            ids = [f"{run}_{turn}_{place:04}" for place in range(BATCH)]
            batches = {
                "1,000 new assets": [publication(each, 0) for each in ids],
                "1,000 versions": [publication(each, 1, described=0) for each in ids],
                "1,000 described anew": [publication(each, 2, described=2) for each in ids],
            }
            # 1,000 versions write as much as many single ones: these come before them.
            for number in range(5):
                one = [publication(single, turn * 5 + number + 1)]
                take_turns({"one version": partial(catalogue.publish, one)}, samples, turn)
            for name, batch in batches.items():
                take_turns({name: partial(catalogue.publish, batch)}, samples, turn)
        _expect(
            {3} == {asset.latest_version for asset in catalogue.found(ids).values()},
            "each publish made a version",
        )
    return samples


def publication(target: str, number: int, *, described: int = 0) -> Publication:
    """Return what makes another version of *target*; *described* tells one description from another."""
    needs = [
        Dependency(asset_id(900 + (number * 7 + place) % 2000), None, "texture")
        for place in range(3)
    ]
    return Publication(
        target,
        target.title(),
        "model",
        f"/shows/bench/{target}/v{number:03}.usd",
        checksum=f"{number:064x}",
        size=1_000_000,
        mime_type="model/vnd.usd",
        dependencies=needs,
        created_by="bench",
        comment="another one",
        asset_metadata={
            # As others have: what is newest must not be what no query means.
            "tags": [TAGS[sum(target.encode()) % len(TAGS)], "bench"],
            "description": f"number {described}",
            "department": "modeling",
            "polygons": described,
        },
    )


def whole_graph(subject: Subject, turns: int) -> Samples:
    """Look for cycles among all edges, of every strength."""
    samples: Samples = {}
    with closing(Database.open(subject.graph_url or subject.url)) as database:

        def look() -> None:
            with database.read() as connection:
                _expect(not cycles(connection, strengths=None), "there is no cycle")

        look()
        for turn in range(turns):
            take_turns({"cycles": look}, samples, turn)
    return samples


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ChildFailed(f"expected: {what}")


MEASURES: Final = {
    each.__name__: each for each in (resolve, closure, queries, hard_query, publishing, whole_graph)
}


def measured(name: str, subject: Subject, turns: int) -> Samples:
    """
    Run a measure in a process of its own: what another one left behind would slow it down.

    Raises:
        ChildFailed: it failed, or wasn't done within ten minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps([name, asdict(subject), turns]),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"{name}: not done after ten minutes") from None
    if done.returncode:
        raise ChildFailed(f"{name}: exit code {done.returncode}: {done.stderr[-2000:]}")
    samples = json.loads(done.stdout.splitlines()[-1])
    return {side: [Taken(*each) for each in taken] for side, taken in samples.items()}


def main() -> None:
    """Run the measure that standard input names, and print its samples."""
    name, subject, turns = json.load(sys.stdin)
    print(json.dumps(MEASURES[name](Subject(**subject), turns)))


if __name__ == "__main__":
    main()
