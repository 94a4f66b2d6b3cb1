# SPDX-License-Identifier: Apache-2.0
"""The publishing engine: stages, validators, actions, idempotency, and many publishers at once."""

from __future__ import annotations

import hashlib
import multiprocessing
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue, NoSuchAsset, NoSuchVersion, Publication, VersionRecord
from bifrost.catalogue.access import Rule
from bifrost.catalogue.store import Source
from bifrost.errors import (
    AssetException,
    AssetNotFoundException,
    Code,
    ConflictException,
    InvalidQueryException,
    InvalidTraitsException,
    LocationException,
    PermissionDeniedException,
    PublishRefusedException,
    StorageException,
)
from bifrost.publishing import ActionState, Draft, Finding, Publisher
from bifrost.publishing.actions import record_relationships
from bifrost.publishing.drafts import Prepared
from bifrost.session import Session
from bifrost.settings import load

STAGES = ("draft", "validated", "registered", "post-registered")


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as catalogue:
        yield catalogue


@pytest.fixture
def publisher(catalogue):
    return plain(catalogue)


def plain(catalogue, validators=None, actions=None, **more):
    return Publisher(catalogue, validators=validators or {}, actions=actions or {}, **more)


@pytest.fixture
def draft(tmp_path):
    """Make a draft of a text file of its own."""

    def make(asset_id="rock", text="one", **more):
        path = tmp_path / "made" / f"{asset_id}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Draft(asset_id, asset_id.title(), "model", str(path), **more)

    return make


def stored(catalogue):
    """Return every file of the store, its relative path, sorted."""
    root = catalogue.store.root
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def numbers(catalogue, asset_id="rock"):
    return [version.number for version in catalogue.versions(asset_id)]


def taken(publisher, drafts, stage):
    """Return a publish that was taken as far as *stage*."""
    made = publisher.draft(drafts)
    for step in (publisher.validate, publisher.register, publisher.finish)[: STAGES.index(stage)]:
        made = step(made.id)
    return made


def error(message="wrong", **more):
    return Finding("naming", "error", "bad", message, **more)


class TestStages:
    @pytest.mark.parametrize("stage", STAGES)
    def test_each_stage_can_be_seen(self, publisher, draft, stage):
        made = taken(publisher, [draft()], stage)

        assert stage == made.stage
        assert made == publisher.get(made.id)
        assert [made] == publisher.list(stage=stage)
        assert [made] == publisher.list()

    def test_the_version_is_there_with_the_third_stage_and_not_before(
        self, catalogue, publisher, draft
    ):
        found = []
        made = publisher.draft([draft()])
        found.append(catalogue.resolve([("rock", None)])[0])
        publisher.validate(made.id)
        found.append(catalogue.resolve([("rock", None)])[0])
        registered = publisher.register(made.id)
        found.append(catalogue.resolve([("rock", None)])[0])

        assert [NoSuchAsset, NoSuchAsset, VersionRecord] == [type(each) for each in found]
        assert ("bifrost:///assets/rock?version=1",) == registered.results

    def test_everything_a_draft_says_is_recorded(self, catalogue, publisher, draft):
        made = draft(
            metadata={"tags": ["grey"]},
            comment="two\nlines",
            population_masks={"base": ["/Rock/Base"]},
        )
        publisher.publish([made], user="ann")

        [version] = catalogue.versions("rock")
        asset = catalogue.found(["rock"])["rock"]
        assert ("Rock", "model", "two\nlines", "ann") == (
            version.name, version.asset_type, version.comment, version.created_by,
        )  # fmt: skip
        assert {"tags": ["grey"]} == version.metadata == asset.metadata
        assert {"base": ["/Rock/Base"]} == version.properties["populationMasks"]
        assert "text/plain" == version.mime_type
        assert ("ann", "wip") == (asset.created_by, asset.status)

    @pytest.mark.parametrize("stage", STAGES)
    def test_another_process_resumes_from_any_stage(self, catalogue, publisher, draft, stage):
        made = taken(publisher, [draft()], stage)

        resumed = plain(catalogue).resume(made.id)

        assert "post-registered" == resumed.stage
        assert [1] == numbers(catalogue)
        assert ["rock/v0001/rock.txt"] == stored(catalogue)

    @pytest.mark.parametrize("stage", ["draft", "validated"])
    def test_aborting_leaves_nothing(self, catalogue, publisher, draft, stage):
        made = taken(publisher, [draft()], stage)

        assert "aborted" == publisher.abort(made.id).stage
        assert "aborted" == publisher.abort(made.id).stage
        assert [] == stored(catalogue)
        assert [] == catalogue.assets()
        with pytest.raises(ConflictException, match="is aborted"):
            publisher.resume(made.id)

    @pytest.mark.parametrize("stage", ["registered", "post-registered"])
    def test_what_is_registered_is_not_aborted(self, catalogue, publisher, draft, stage):
        made = taken(publisher, [draft()], stage)

        with pytest.raises(ConflictException, match=f"is {stage}"):
            publisher.abort(made.id)

        assert [1] == numbers(catalogue)

    @pytest.mark.parametrize(
        ("stage", "step"),
        [
            ("draft", "register"),
            ("draft", "finish"),
            ("validated", "finish"),
            ("registered", "validate"),
            ("registered", "working_path"),
        ],
    )
    def test_a_step_out_of_order_is_a_conflict(self, publisher, draft, stage, step):
        made = taken(publisher, [draft()], stage)

        with pytest.raises(ConflictException, match=f"is {stage}; this needs") as raised:
            getattr(publisher, step)(made.id)

        assert Code.CONFLICT == raised.value.code

    def test_an_unknown_publish_is_not_found(self, publisher):
        with pytest.raises(AssetNotFoundException, match="no publish 'feed'"):
            publisher.resume("feed")

    def test_registering_twice_registers_once(self, catalogue, publisher, draft):
        made = taken(publisher, [draft()], "validated")

        first, second = publisher.register(made.id), publisher.register(made.id)

        assert first == second
        assert [1] == numbers(catalogue)

    def test_who_finishes_it_meanwhile_is_not_overwritten(self, catalogue, publisher, draft):
        """A slow process wakes up in its validator when another has done all of it, and more."""

        def slow(_path, _draft, _lookup):
            publisher.resume(made.id)
            publisher.publish([draft(text="a later one")])
            return ()

        made = publisher.draft([draft()])
        resumed = plain(catalogue, {"slow": slow}).resume(made.id)

        assert ("bifrost:///assets/rock?version=1",) == resumed.results
        assert resumed == publisher.get(made.id)
        assert [2, 1] == numbers(catalogue)

    def test_who_registers_behind_another_makes_nothing(self, catalogue, publisher, draft):
        made = taken(publisher, [draft()], "validated")
        before = catalogue.publish_of(made.id)
        publication = Prepared.from_json(before.drafts[0]).publication("")
        publisher.resume(made.id)
        publisher.publish([draft(text="a later one")])

        after = catalogue.register_publish(
            before, before._replace(stage="registered"), [publication]
        )

        assert "post-registered" == after.stage
        assert [2, 1] == numbers(catalogue)

    def test_who_aborts_it_meanwhile_wins(self, catalogue, publisher, draft):
        def slow(_path, _draft, _lookup):
            publisher.abort(made.id)
            return ()

        made = publisher.draft([draft()])
        with pytest.raises(ConflictException, match="is aborted"):
            plain(catalogue, {"slow": slow}).resume(made.id)

        assert [] == catalogue.assets()
        assert [] == stored(catalogue)


class TestWorking:
    def test_a_file_is_written_where_it_will_be_published_from(self, catalogue, publisher):
        made = publisher.working(Draft("rock", "Rock", "model", "/anywhere/rock.txt"))
        path = publisher.working_path(made.id)
        path.write_text("written")
        (path.parent / "tex").mkdir()
        (path.parent / "tex" / "wood.txt").write_text("beside")

        publisher.write(made.id, Draft("rock", "Rock", "model", str(path)))
        publisher.resume(made.id)

        [version] = catalogue.versions("rock")
        assert hashlib.sha256(b"written").hexdigest() == version.checksum
        assert ["rock/v0001/rock.txt", "rock/v0001/tex/wood.txt"] == stored(catalogue)
        assert [("tex/wood.txt", 6)] == [
            (file["name"], file["size"]) for file in version.properties["files"]
        ]
        assert {0o444} == {
            stat.S_IMODE((catalogue.store.root / name).stat().st_mode) for name in stored(catalogue)
        }

    def test_a_file_from_elsewhere_is_copied_instead(self, catalogue, publisher, draft):
        made = publisher.working(Draft("rock", "Rock", "model", ""))

        publisher.write(made.id, draft())
        publisher.resume(made.id)

        assert ["rock/v0001/rock.txt"] == stored(catalogue)
        assert [] == list((catalogue.store.root / ".staging").iterdir())

    def test_what_is_written_while_it_is_looked_at_is_looked_at_too(self, catalogue, draft):
        looked_at = []

        def validator(path, _draft, _exist):
            looked_at.append(path.read_text())
            if len(looked_at) == 1:
                publisher.write(made.id, draft(text="again"))
            return []

        publisher = plain(catalogue, validators={"look": validator})
        made = publisher.working(Draft("rock", "Rock", "model", ""))
        publisher.write(made.id, draft(text="first"))

        done = publisher.resume(made.id)

        assert ["first", "again"] == looked_at
        assert ("bifrost:///assets/rock?version=1",) == done.results
        assert hashlib.sha256(b"again").hexdigest() == catalogue.versions("rock")[0].checksum

    def test_two_who_register_it_both_learn_its_version(self, catalogue, draft):
        def validator(_path, _draft, _exist):
            plain(catalogue).resume(made.id)
            return []

        publisher = plain(catalogue, validators={"another": validator})
        made = publisher.draft([draft()])

        assert ("bifrost:///assets/rock?version=1",) == publisher.resume(made.id).results
        assert [1] == numbers(catalogue)

    def test_nothing_written_is_refused(self, catalogue, publisher):
        made = publisher.working(Draft("rock", "Rock", "model", ""))

        with pytest.raises(PublishRefusedException, match="nothing was written yet"):
            publisher.resume(made.id)

        assert [] == catalogue.assets()

    def test_a_link_is_not_published(self, publisher, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "secret").chmod(0o600)
        made = publisher.working(Draft("rock", "Rock", "model", ""))
        path = publisher.working_path(made.id)
        path.write_text("written")
        (path.parent / "beside").symlink_to(tmp_path / "secret")

        with pytest.raises(LocationException, match="a link"):
            publisher.write(made.id, Draft("rock", "Rock", "model", str(path)))

        assert 0o600 == stat.S_IMODE((tmp_path / "secret").stat().st_mode)

    def test_a_store_that_cannot_be_written_to_says_so(self, catalogue, publisher):
        catalogue.store.root.write_text("a file in its place")

        with pytest.raises(StorageException, match="nothing was published"):
            publisher.working(Draft("rock", "Rock", "model", ""))


class TestValidators:
    def test_every_finding_of_every_validator_and_draft_comes_back(self, catalogue, draft):
        validators = {
            "naming": lambda *_: [error("one"), error("two", where="/Rock")],
            "size": lambda *_: [Finding("size", "warning", "large", "three")],
            "last": lambda *_: [Finding("last", "error", "late", "four")],
        }
        publisher = plain(catalogue, validators)

        with pytest.raises(PublishRefusedException, match="not published, 6 errors: one") as raised:
            publisher.publish([draft("a"), draft("b")])

        found = raised.value.findings
        assert ["one", "two", "three", "four"] * 2 == [finding.message for finding in found]
        assert ["a"] * 4 + ["b"] * 4 == [finding.asset_id for finding in found]
        assert Code.REFUSED == raised.value.code
        assert [] == catalogue.assets()
        assert [] == stored(catalogue)

    def test_findings_stay_with_a_publish_that_is_taken_step_by_step(self, catalogue, draft):
        publisher = plain(catalogue, {"naming": lambda *_: [error()]})
        made = publisher.validate(publisher.draft([draft()]).id)

        assert "draft" == made.stage
        assert [error(asset_id="rock")] == made.errors == publisher.get(made.id).errors
        assert "validated" == plain(catalogue).validate(made.id).stage

    def test_warnings_do_not_stop_it(self, catalogue, draft):
        warning = Finding("size", "warning", "large", "large")

        made = plain(catalogue, {"size": lambda *_: [warning]}).publish([draft()])

        assert (warning._replace(asset_id="rock"),) == made.findings
        assert [1] == numbers(catalogue)

    @pytest.mark.parametrize(
        ("validator", "message"),
        [
            (lambda *_: 1 / 0, "ZeroDivisionError"),
            (lambda *_: None, "TypeError"),
            (lambda *_: ["no finding"], "AttributeError"),
        ],
    )
    def test_one_that_breaks_has_not_agreed(self, catalogue, draft, validator, message):
        publisher = plain(catalogue, {"broken": validator, "naming": lambda *_: [error()]})

        with pytest.raises(PublishRefusedException, match=message) as raised:
            publisher.publish([draft()])

        assert [("broken", "validator_failed"), ("naming", "bad")] == [
            (finding.validator, finding.code) for finding in raised.value.findings
        ]
        assert [] == catalogue.assets()

    def test_they_see_the_staged_file_the_draft_and_the_catalogue(
        self, catalogue, publisher, draft
    ):
        publisher.publish([draft("wood")])
        asked = [
            "bifrost:///assets/wood",
            "bifrost:///assets/wood?version=2",
            "bifrost:///assets/?",
            "bifrost:///assets/none",
        ]
        seen = []

        def look(path, made, lookup):
            seen.append((path.read_text(), made.asset_id, lookup(asked), lookup([])))
            return ()

        plain(catalogue, {"look": look}).publish([draft(text="content")])

        assert [("content", "rock", [True, False, False, False], [])] == seen


class TestActions:
    def test_what_nobody_gave_is_not_said_to_be_kept(self, publisher, draft):
        with pytest.raises(InvalidTraitsException, match=r"kept of asset .*expected some of"):
            publisher.publish([draft(kept=["comment"])])

    def test_they_see_the_version(self, catalogue, draft):
        seen = []
        plain(catalogue, actions={"note": seen.append}).publish([draft()], user="ann")

        [published] = seen
        assert "bifrost:///assets/rock?version=1" == published.asset_uri
        assert ("rock", 1) == published.version[:2]
        assert ("rock", "ann") == (published.draft.asset_id, published.user)

    def test_one_that_fails_is_reported_and_the_version_stands(self, catalogue, draft):
        done = []
        actions = {"broken": lambda _: 1 / 0, "fine": done.append}

        made = plain(catalogue, actions=actions).publish([draft()])

        assert "registered" == made.stage
        assert {
            "broken": ActionState(False, 2, "ZeroDivisionError: division by zero"),
            "fine": ActionState(True, 1),
        } == made.actions
        assert [1] == numbers(catalogue)
        assert 1 == len(done)

    def test_resuming_tries_again_what_failed_and_nothing_else(self, catalogue, draft):
        done = []
        broken = {"thumbnail": lambda _: 1 / 0, "fine": done.append}
        made = plain(catalogue, actions=broken).publish([draft()])

        mended = {"thumbnail": done.append, "fine": done.append}
        resumed = plain(catalogue, actions=mended).resume(made.id)

        assert "post-registered" == resumed.stage
        assert ActionState(True, 3) == resumed.actions["thumbnail"]
        assert 2 == len(done)
        assert [1] == numbers(catalogue)

    def test_those_who_hold_answers_are_told_once(self, catalogue, draft):
        told = []
        publisher = plain(catalogue, on_published=told.append)

        made = publisher.publish([draft("a"), draft("b")])
        publisher.resume(made.id)

        assert [
            [
                "bifrost:///assets/a",
                "bifrost:///assets/a?version=latest",
                "bifrost:///assets/b",
                "bifrost:///assets/b?version=latest",
            ]
        ] == told

    def test_caches_that_cannot_be_told_are_an_action_that_failed(self, catalogue, draft):
        def refuse(_references):
            raise OSError("no way to tell")

        made = plain(catalogue, on_published=refuse).publish([draft()])

        assert ActionState(False, 2, "OSError: no way to tell") == made.actions["caches"]
        assert "registered" == made.stage

    def test_a_catalogue_that_goes_away_behind_a_publish_takes_back_nothing(
        self, catalogue, catalogue_url, draft, tmp_path
    ):
        told = []
        with (
            ExitStack() as held,
            Catalogue.open(catalogue_url, store=tmp_path / "store") as other,
            Catalogue.open(
                catalogue_url, store=tmp_path / "store", lock_timeout_s=0.1
            ) as impatient,
        ):
            actions = {
                "lock": lambda _: held.enter_context(
                    other.publishing([Publication("other", "Other", "model", "")])
                )
            }
            made = plain(impatient, actions=actions, on_published=told.append).publish([draft()])
        done = plain(catalogue).resume(made.id)

        assert ("bifrost:///assets/rock?version=1",) == made.results == done.results
        assert {"lock": False, "caches": False} == {
            name: state.done for name, state in made.actions.items()
        }
        assert "locked" in made.actions["lock"].error
        assert "bifrost:///assets/rock" in told[-1]
        assert "post-registered" == done.stage
        assert [1] == numbers(catalogue)

    @pytest.mark.parametrize(("stated", "strength"), [({}, "weak"), ({"strength": "strong"}, "")])
    def test_a_shot_that_names_its_sequence_may_be_its_child(
        self, catalogue, tmp_path, stated, strength
    ):
        catalogue.publish([Publication("seq", "Seq", "sequence", "")])
        path = tmp_path / "shot.usda"
        path.write_text("#usda 1.0\n(subLayers = [@bifrost:///assets/seq@])\n")
        edge = {
            "from_uri": "bifrost:///assets/seq",
            "to_uri": "bifrost:///assets/shot",
            "relationship_type": "child",
            "metadata": stated,
        }
        publisher = plain(catalogue, actions={"relationships": record_relationships})

        shot = Draft("shot", "Shot", "shot", str(path), relationships=[edge, edge])
        state = publisher.publish([shot]).actions["relationships"]

        found = [each.strength for each in catalogue.relationships_of("seq")]
        assert (strength, bool(strength)) == ("".join(found), state.done)
        assert bool(strength) != ("close a cycle" in state.error)


class TestIdempotency:
    def test_the_same_publish_sent_twice_makes_one_version(self, catalogue, publisher, draft):
        first = publisher.publish([draft()], idempotency_key="k")
        second = publisher.publish([draft(text="whatever is there now")], idempotency_key="k")

        assert first == second
        assert [1] == numbers(catalogue)

    @pytest.mark.parametrize("stage", STAGES)
    def test_a_key_is_of_its_assets_only(self, catalogue, publisher, draft, stage):
        made = publisher.draft([draft()], idempotency_key="k")
        for step in (publisher.validate, publisher.register, publisher.finish)[
            : STAGES.index(stage)
        ]:
            step(made.id)

        with pytest.raises(ConflictException, match="'k' is that of a publish of 'rock'"):
            publisher.publish([draft("other")], idempotency_key="k")

        assert {} == catalogue.found(["other"])
        assert stage == publisher.get(made.id).stage

    @pytest.mark.parametrize("key", [b"k", "\udc80", ["k"], 10**400, "k" * 100_000])
    def test_a_key_is_a_line_of_text(self, publisher, draft, key):
        with pytest.raises(InvalidTraitsException, match="idempotency_key"):
            publisher.publish([draft()], idempotency_key=key)

    def test_who_may_not_publish_an_asset_learns_nothing_by_its_key(
        self, catalogue, publisher, draft
    ):
        publisher.publish([draft()], idempotency_key="k", user="ann")
        catalogue.allow([Rule("rock", "publish", "ann")])

        with pytest.raises(PermissionDeniedException):
            publisher.publish([draft()], idempotency_key="k", user="bob")

        assert 1 == len(publisher.publish([draft()], idempotency_key="k", user="ann").results)

    def test_two_keys_are_two_publishes(self, catalogue, publisher, draft):
        publisher.publish([draft()], idempotency_key="k")
        publisher.publish([draft(text="two")], idempotency_key="l")

        assert [2, 1] == numbers(catalogue)

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"limit": -1}, "limit: expected a number from 0"),
            ({"limit": "5"}, "limit: expected a whole number"),
            ({"stage": "drafts"}, "stage: .*did you mean 'draft'"),
            ({"stage": 3}, "stage: "),
        ],
    )
    def test_what_can_not_be_listed_is_refused(self, publisher, draft, asked, reason):
        publisher.publish([draft()])

        with pytest.raises(InvalidQueryException, match=reason):
            publisher.list(**asked)

    def test_a_publish_that_stopped_is_taken_on_by_its_key(self, catalogue, publisher, draft):
        made = publisher.draft([draft()], idempotency_key="k")

        done = publisher.publish([draft()], idempotency_key="k")

        assert (made.id, "post-registered") == (done.id, done.stage)
        assert ["rock/v0001/rock.txt"] == stored(catalogue)

    def test_the_key_of_a_refused_publish_may_be_used_again(self, catalogue, publisher, draft):
        strict = plain(catalogue, {"naming": lambda *_: [error()]})
        with pytest.raises(PublishRefusedException):
            strict.publish([draft()], idempotency_key="k")

        assert "post-registered" == publisher.publish([draft()], idempotency_key="k").stage

    def test_threads_at_once_make_one_version(self, catalogue, publisher, draft):
        made, ready = draft(), threading.Barrier(4)

        def send(_):
            ready.wait()
            return publisher.publish([made], idempotency_key="k")

        with ThreadPoolExecutor(4) as threads:
            done = list(threads.map(send, range(4)))

        assert [1] == numbers(catalogue)
        assert {("bifrost:///assets/rock?version=1",)} == {each.results for each in done}
        assert ["rock/v0001/rock.txt"] == stored(catalogue)

    def test_processes_at_once_make_one_version(self, catalogue_url, catalogue, draft):
        job = (catalogue_url, str(catalogue.store.root), draft())
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(2) as processes:
            done = processes.map(_publish_with_key, [job, job], chunksize=1)

        assert [("bifrost:///assets/rock?version=1",)] * 2 == done
        assert [1] == numbers(catalogue)
        assert ["rock/v0001/rock.txt"] == stored(catalogue)


class TestManyAtOnce:
    def test_threads_that_race_for_an_asset_get_numbers_in_a_row(self, catalogue, publisher, draft):
        ready = threading.Barrier(2)
        made = [draft("rock", "a"), draft("other", "b")._replace(asset_id="rock")]

        def race(each):
            ready.wait()
            return publisher.publish([each]).results[0]

        with ThreadPoolExecutor(2) as threads:
            done = list(threads.map(race, made))

        assert {f"bifrost:///assets/rock?version={n}" for n in (1, 2)} == set(done)

    def test_eight_processes_lose_no_version_and_none_is_there_twice(
        self, catalogue_url, catalogue, tmp_path
    ):
        store = str(catalogue.store.root)
        jobs = [(catalogue_url, store, str(tmp_path), process) for process in range(8)]
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(8) as processes:
            made = processes.map(_publish_twenty, jobs, chunksize=1)

        count = 8 * 20
        assert list(range(1, count + 1)) == sorted(number for each in made for number, _ in each)
        versions = {version.number: version for version in catalogue.versions("rock")}
        assert list(range(count, 0, -1)) == list(versions)
        for each in made:
            assert each == sorted(each)  # each process's own in the order that it made them
            for number, text in each:
                path = catalogue.store.folder_of("rock", number) / "rock.txt"
                assert text == path.read_text()
                assert hashlib.sha256(text.encode()).hexdigest() == versions[number].checksum
        assert [] == catalogue.check()


class TestSeveralAssets:
    def test_they_are_published_together_in_their_order(self, publisher, draft):
        later = draft("c", "two")._replace(asset_id="a")

        assert (
            "bifrost:///assets/a?version=1",
            "bifrost:///assets/b?version=1",
            "bifrost:///assets/a?version=2",
        ) == publisher.publish([draft("a"), draft("b"), later]).results

    def test_nothing_at_all_is_a_publish_too(self, catalogue, publisher):
        assert () == publisher.publish([]).results

    @pytest.mark.parametrize(
        "fault", ["missing", "refused", "stale", "unreadable name", "forbidden"]
    )
    def test_one_bad_draft_and_nothing_is_published(self, catalogue, publisher, draft, fault):
        good, bad = draft("good"), draft("bad")
        validators = {}
        match fault:
            case "missing":
                bad = bad._replace(path=bad.path + ".not")
            case "refused":
                validators["v"] = lambda _path, made, _: [error()] * (made.asset_id == "bad")
            case "stale":
                bad = bad._replace(expected_version=3)
            case "unreadable name":
                bad = bad._replace(name="a\0b")
            case "forbidden":
                catalogue.allow([Rule("bad", "publish", "ann")])

        with pytest.raises(AssetException) as raised:
            plain(catalogue, validators).publish([good, bad], user="ben")

        assert Code.UNKNOWN != raised.value.code
        assert [] == catalogue.assets()
        assert [] == stored(catalogue)
        assert [] == publisher.list(stage="draft") + publisher.list(stage="validated")

    def test_a_store_that_fails_halfway_takes_back_what_is_in_place(
        self, catalogue, publisher, draft
    ):
        made = taken(publisher, [draft("good"), draft("bad")], "validated")
        (catalogue.store.root / "bad").write_text("a file where the asset's folder should be")

        with pytest.raises(StorageException, match="nothing was published"):
            publisher.resume(made.id)
        assert [] == catalogue.assets()
        assert [] == list((catalogue.store.root / "good").iterdir())
        (catalogue.store.root / "bad").unlink()

        assert 2 == len(publisher.resume(made.id).results)
        assert ["bad/v0001/bad.txt", "good/v0001/good.txt"] == stored(catalogue)


class TestFiles:
    def test_checksum_and_size_are_the_files(self, catalogue, publisher, draft):
        publisher.publish([draft(text="content")])

        [version] = catalogue.versions("rock")
        assert (7, hashlib.sha256(b"content").hexdigest()) == (version.size, version.checksum)
        assert (catalogue.store.folder_of("rock", 1) / "rock.txt").as_uri() == version.location

    def test_a_published_file_is_read_only_and_stays_as_it_was(self, catalogue, publisher, draft):
        publisher.publish([draft(text="one")])
        draft(text="two")

        path = catalogue.store.folder_of("rock", 1) / "rock.txt"
        assert "one" == path.read_text()
        assert 0o444 == stat.S_IMODE(path.stat().st_mode)

    def test_the_same_content_again_makes_no_version(self, catalogue, publisher, draft):
        publisher.publish([draft(metadata={"a": 1})])
        again = publisher.publish([draft(metadata={"b": 2})])

        assert ("bifrost:///assets/rock?version=1",) == again.results
        assert [1] == numbers(catalogue)
        assert {"a": 1, "b": 2} == catalogue.found(["rock"])["rock"].metadata
        assert ["rock/v0001/rock.txt"] == stored(catalogue)

    def test_content_that_comes_back_is_a_new_version(self, catalogue, publisher, draft):
        for text in ("one", "two", "one"):
            publisher.publish([draft(text=text)])

        assert [3, 2, 1] == numbers(catalogue)

    def test_a_version_without_a_file_is_one(self, catalogue, publisher):
        made = publisher.publish([Draft("idea", "Idea", "concept", "")])

        assert ("bifrost:///assets/idea?version=1",) == made.results
        assert "" == catalogue.versions("idea")[0].location
        assert [] == stored(catalogue)

    def test_in_place_the_file_stays_where_it_lies(self, catalogue, publisher, draft):
        made = draft(in_place=True)
        publisher.publish([made])

        [version] = catalogue.versions("rock")
        assert version.location.endswith("/made/rock.txt")
        assert hashlib.sha256(b"one").hexdigest() == version.checksum
        assert [] == stored(catalogue)

    @pytest.mark.parametrize("in_place", [False, True])
    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("wood.<UDIM>.exr", ["wood.1001.exr", "wood.1012.exr"]),
            ("wood<UVTILE0>.exr", ["wood_u0_v0.exr", "wood_u1_v0.exr"]),
            ("wood.%04d.exr", ["wood.0001.exr", "wood.0002.exr"]),
            ("wood.####.exr", ["wood.0001.exr", "wood.0002.exr"]),
        ],
    )
    def test_a_pattern_publishes_the_set(
        self, catalogue, publisher, tmp_path, pattern, names, in_place
    ):
        folder = tmp_path / "set"
        folder.mkdir()
        for name in [*names, "wood.exr", "wood.1001.exr.bak", "stone.1001.exr"]:
            (folder / name).write_text(name)

        publisher.publish(
            [
                Draft(
                    "wood", "Wood", "texture", str(folder / pattern),
                    templated=True, in_place=in_place,
                )
            ]
        )  # fmt: skip

        [version] = catalogue.versions("wood")
        assert version.templated
        assert names == [file["name"] for file in version.properties["files"]]
        assert sum(map(len, names)) == version.size
        assert [] == catalogue.check()
        if not in_place:
            assert [f"wood/v0001/{name}" for name in names] == stored(catalogue)

    def test_a_set_with_one_other_file_is_a_new_version(self, catalogue, publisher, tmp_path):
        made = Draft("wood", "Wood", "texture", str(tmp_path / "w.<UDIM>.exr"), templated=True)
        (tmp_path / "w.1001.exr").write_text("one")
        publisher.publish([made])
        publisher.publish([made])
        (tmp_path / "w.1002.exr").write_text("two")
        publisher.publish([made])

        assert [2, 1] == numbers(catalogue, "wood")

    def test_a_pattern_that_nothing_fits_is_a_missing_file(self, publisher, tmp_path):
        made = Draft("wood", "Wood", "texture", str(tmp_path / "w.<UDIM>.exr"), templated=True)

        with pytest.raises(LocationException, match="no file fits this pattern") as raised:
            publisher.publish([made])

        assert Code.FILE_MISSING == raised.value.code


class TestExpectedVersion:
    def test_the_expected_one_is_published_upon(self, catalogue, publisher, draft):
        publisher.publish([draft(expected_version=0)])
        publisher.publish([draft(text="two", expected_version=1)])

        assert [2, 1] == numbers(catalogue)

    @pytest.mark.parametrize("expected", [0, 2, 99])
    def test_any_other_is_a_conflict(self, catalogue, publisher, draft, expected):
        publisher.publish([draft()])

        with pytest.raises(ConflictException, match=f"at version 1, not at {expected}") as raised:
            publisher.publish([draft(text="two", expected_version=expected)])

        assert {"expected_version": expected, "newest_version": 1} == raised.value.details
        assert ["rock/v0001/rock.txt"] == stored(catalogue)

    def test_of_two_who_expect_the_same_one_is_told(self, catalogue, publisher, draft):
        first = taken(publisher, [draft(expected_version=0)], "validated")
        second = taken(publisher, [draft(text="two", expected_version=0)], "validated")
        publisher.resume(first.id)

        with pytest.raises(ConflictException, match="somebody published in between"):
            publisher.resume(second.id)

        assert [1] == numbers(catalogue)


class TestAccess:
    def test_who_may_not_publish_is_stopped_before_a_file_is_copied(
        self, catalogue, publisher, draft
    ):
        catalogue.allow([Rule("rock", "publish", "ann")])

        with pytest.raises(PermissionDeniedException) as raised:
            publisher.draft([draft()], user="ben")

        assert "publish" == raised.value.required_permission
        assert not catalogue.store.root.exists()
        assert "post-registered" == publisher.publish([draft()], user="ann").stage

    def test_a_right_that_was_taken_away_meanwhile_counts(self, catalogue, publisher, draft):
        made = publisher.draft([draft()], user="ben")
        catalogue.allow([Rule("*", "publish", "ann")])

        with pytest.raises(PermissionDeniedException):
            publisher.resume(made.id)

        assert [] == catalogue.assets()


class TestEverythingShipped:
    """With the readers, validators and actions that Bifrost brings."""

    @pytest.fixture
    def usd(self, tmp_path):
        def make(name, body, **more):
            path = tmp_path / f"{name}.usda"
            says = f'defaultPrim = "{name.title()}"; metersPerUnit = 1; upAxis = "Y"'
            path.write_text(f"#usda 1.0\n({says})\n{body}\n")
            return Draft(name, name.title(), "model", str(path), **more)

        return make

    def test_a_layer_is_read_checked_pictured_and_its_needs_recorded(self, catalogue, usd):
        publisher = Publisher(catalogue)
        publisher.publish([usd("wood", 'def Sphere "Wood" {}')])
        rock = usd("rock", 'def Xform "Rock" (references = @bifrost:///assets/wood@) {}')

        made = publisher.publish([rock])

        assert ("post-registered", []) == (made.stage, made.errors)
        assert {"relationships", "thumbnail", "preview"} <= set(made.actions)
        [version] = catalogue.versions("rock")
        assert ["wood"] == [each.asset_id for each in catalogue.dependencies("rock", 1)]
        assert "/Rock" == version.properties["usd"]["default_prim"]
        assert "model/vnd.usda" == version.mime_type
        found = catalogue.representations([("rock", 1)])["rock", 1]
        assert {"thumbnail", "preview"} <= set(found)
        assert [] == catalogue.check()

    @pytest.mark.parametrize(
        ("body", "validator"),
        [
            ('def Xform "Rock" (references = @bifrost:///assets/none@) {}', "dangling_references"),
            ('def Xform "Other" {}', "default_prim"),
            ("this is no layer", "reading"),
        ],
    )
    def test_what_is_wrong_with_a_layer_stops_it(self, catalogue, usd, body, validator):
        with pytest.raises(PublishRefusedException) as raised:
            Publisher(catalogue).publish([usd("rock", body)])

        assert validator in {finding.validator for finding in raised.value.findings}
        assert [] == catalogue.assets()
        assert [] == stored(catalogue)


class TestSession:
    def test_caches_forget_what_a_publish_supersedes(
        self, catalogue_url, draft, monkeypatch, tmp_path
    ):
        monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
        monkeypatch.setenv("BIFROST_CATALOGUE__STORE", str(tmp_path / "store"))
        session = Session(load())
        publisher = plain(session.catalogue, on_published=session.invalidate)
        asked = ["bifrost:///assets/rock", "bifrost:///assets/rock?version=latest"]

        def versions():
            return [getattr(found, "version", None) for found in session.resolve(asked).outcomes]

        try:
            assert [None, None] == versions()
            publisher.publish([draft()])
            assert ["1", "1"] == versions()
            publisher.publish([draft(text="two")])
            assert ["2", "2"] == versions()
        finally:
            session.close()


def test_nothing_of_it_resolves_when_the_version_is_asked_for_by_the_next_number(
    catalogue, publisher, draft
):
    publisher.publish([draft()])
    taken(publisher, [draft(text="two")], "validated")

    [found] = catalogue.resolve([("rock", "2")])

    assert isinstance(found, NoSuchVersion)


def _publish_with_key(job):
    url, store, draft = job
    with Catalogue.open(url, store=Path(store)) as catalogue:
        return plain(catalogue).publish([draft], idempotency_key="k").results


def _publish_twenty(job):
    url, store, folder, process = job
    path = Path(folder) / f"process_{process}" / "rock.txt"
    path.parent.mkdir()
    made = []
    with Catalogue.open(url, store=Path(store), lock_timeout_s=60) as catalogue:
        publisher = plain(catalogue)
        for turn in range(20):
            text = f"{process}.{turn}"
            path.write_text(text)
            if turn % 5 == 0:  # through all stages, which is four transactions
                done = publisher.publish([Draft("rock", "Rock", "model", str(path))])
                made.append((int(done.results[0].rpartition("=")[2]), text))
            else:
                staged, [copied] = catalogue.store.stage([Source(path, path.name)], path.name)
                [version] = catalogue.publish(
                    [Publication("rock", "Rock", "model", "", copied.checksum, copied.size,
                                 staged=staged)]
                )  # fmt: skip
                made.append((version.number, text))
    return made
