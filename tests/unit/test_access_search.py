# SPDX-License-Identifier: Apache-2.0
"""Which asset an id means to somebody who works on a project, and what it is called there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.catalogue import Catalogue, NoSuchAsset, NoSuchVersion, Publication, Refused
from bifrost.catalogue.access import Rule
from bifrost.context import Context, from_policy, policy
from bifrost.errors import InvalidTraitsException
from bifrost.model.projects import also_meant, candidates, projects_of


@pytest.fixture
def catalogue(catalogue_url):
    """`hero` and `rock` for everybody, a `hero` of project x, and a `rock` of x and of y."""
    with Catalogue.open(catalogue_url) as opened:
        for number in (1, 2):
            opened.publish([version_of(name, str(number)) for name in ("hero", "rock")])
        names = {"displayNames": {"de": "Held", "de-AT": "Held aus Wien", "fr": ""}}
        opened.publish([version_of(name) for name in ("x:hero", "x:rock", "y:rock")])
        opened.set_metadata("x:hero", names)
        opened.set_metadata("rock", {"displayNames": {"de": "Fels", "ja": "岩", "de-CH": ["Fels"]}})
        yield opened


def version_of(asset_id, checksum="1"):
    return Publication(
        asset_id, asset_id.title(), "model", f"/show/{asset_id}.{checksum}", checksum
    )


def meant(catalogue, projects, *ids, **options):
    asked = [(asset_id, None) for asset_id in ids]
    return [each.asset_id for each in catalogue.resolve(asked, projects=projects, **options)]


class TestSearch:
    @pytest.mark.parametrize(
        ("projects", "expected"),
        [
            ((), ["hero", "rock"]),
            (("x",), ["x:hero", "x:rock"]),
            (("y",), ["hero", "y:rock"]),
            (("y", "x"), ["x:hero", "y:rock"]),
            (("z",), ["hero", "rock"]),
            (("a b", "\0", "\ud800", "x"), ["x:hero", "x:rock"]),
        ],
    )
    def test_a_projects_own_asset_comes_before_the_shared_one(self, catalogue, projects, expected):
        """
        In the order of the projects.
        """
        assert expected == meant(catalogue, projects, "hero", "rock")

    def test_an_id_that_names_a_project_names_that_asset(self, catalogue):
        """
        Whoever asks.
        """
        assert ["x:rock", "y:rock"] == meant(catalogue, ("y",), "x:rock", "y:rock")

    def test_what_is_nowhere_is_not_found_as_it_was_asked_for(self, catalogue):
        """
        And not as a project's.
        """
        assert [NoSuchAsset("none")] == catalogue.resolve([("none", None)], projects=("x", "y"))

    def test_a_projects_asset_hides_the_shared_ones_versions(self, catalogue):
        """
        Version 2 of the shared hero is no version of the project's.
        """
        [found] = catalogue.resolve([("hero", "2")], projects=("x",))

        assert isinstance(found, NoSuchVersion)
        assert ("x:hero", "2", 1) == (found.asset_id, found.version, found.newest)

    def test_batches_keep_their_order(self, catalogue):
        """
        Duplicates, versions and all.
        """
        asked = [("rock", "1"), ("hero", None), ("none", None), ("rock", None), ("rock", "1")]

        found = catalogue.resolve(asked, projects=("y",))

        assert ["y:rock", "hero", "none", "y:rock", "y:rock"] == [each.asset_id for each in found]

    def test_who_may_not_read_the_projects_is_not_given_the_shared_one(self, catalogue):
        """
        Somebody else's file in its place would be a wrong answer, and no refusal.
        """
        catalogue.allow([Rule("x:*", "read", "ann")])

        found = catalogue.resolve([("hero", None), ("none", None)], projects=("x",), user="ben")

        assert [Refused("x:hero", "read", "ben"), NoSuchAsset("none")] == found

    def test_one_statement_whatever_is_searched(self, catalogue):
        """
        Its text doesn't depend on how many projects there are.
        """
        import sqlalchemy as sa

        seen = []
        with catalogue._database.read() as connection:
            engine = connection.engine
        sa.event.listen(
            engine, "before_cursor_execute", lambda c, cursor, statement, *_: seen.append(statement)
        )
        for projects in ((), ("x",), tuple("abcdefgh")):
            catalogue.resolve([("hero", None), ("rock", "1")] * 100, projects=projects)

        selects = [each for each in seen if "versions" in each]
        assert 3 == len(selects)
        assert 1 == len(set(selects))


class TestProjects:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, ()),
            ("", ()),
            (" , ", ()),
            ("x", ("x",)),
            ("x, y,x", ("x", "y")),
            (["x", " y "], ("x", "y")),
            (("x", "", None), ("x",)),
            (5, ("5",)),
        ],
    )
    def test_projects_are_a_text_or_several(self, value, expected):
        assert expected == projects_of(value)

    def test_there_is_an_end_to_them(self):
        with pytest.raises(ValueError, match="at most 16 projects, got 17"):
            projects_of([f"p{number}" for number in range(17)])

    def test_a_context_with_too_many_is_one_of_our_errors(self):
        context = Context(current_project=",".join(map(str, range(17))))

        for read in (Context.snapshot, policy):
            with pytest.raises(InvalidTraitsException, match="at most 16 projects, got 17"):
                read(context)
        with pytest.raises(ValueError, match="at most 16 projects, got 17"):
            from_policy("project=" + "%2C".join(map(str, range(17))))

    @given(st.text(), st.lists(st.text(min_size=1), max_size=4))
    def test_the_last_candidate_is_the_id_itself(self, asset_id, projects):
        found = candidates(asset_id, projects)

        assert asset_id == found[-1]
        assert len(found) == (1 if ":" in asset_id else len(projects) + 1)

    def test_what_changes_a_projects_asset_changes_what_the_id_means(self):
        assert ("hero", "b:c", None, None, "x") == tuple(
            map(also_meant, ("x:hero", "a:b:c", "hero", "x:", ":x"))
        )


class TestDisplayNames:
    @pytest.mark.parametrize(
        ("locale", "expected"),
        [
            ("de", {"x:hero": "Held", "rock": "Fels"}),
            ("de-AT", {"x:hero": "Held aus Wien", "rock": "Fels"}),
            ("de_at.UTF-8", {"x:hero": "Held aus Wien", "rock": "Fels"}),
            ("de-CH", {"x:hero": "Held", "rock": "Fels"}),
            ("ja-JP", {"rock": "岩"}),
            ("fr", {}),
            ("en-US", {}),
            ("", {}),
            ("%", {}),
        ],
    )
    def test_a_name_follows_the_locale(self, catalogue, locale, expected):
        """
        The nearest that there is; else nothing, and the asset's own name holds.
        """
        ids = ["x:hero", "rock", "hero", "none", "\0"]

        assert expected == catalogue.display_names(ids, locale)
