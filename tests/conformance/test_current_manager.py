# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802, N803, PLR0917 - overrides have OpenAssetIO's names and arguments, today's and then's.
"""The manager of earlier releases: its subclasses, its arguments and its trait names, under a real host."""

import sys
import warnings
from pathlib import Path

import pytest
from openassetio import Context, constants
from openassetio.access import EntityTraitsAccess
from openassetio.errors import BatchElementError

from bifrost.catalogue import Catalogue, Publication
from bifrost.integrations.replacements import BY_NAME, MANAGER, TRAITS
from bifrost.manager import BifrostManagerInterface as ManagerOfToday
from bifrost.manager import vocabulary as v
from bifrost.manager.earlier_traits import REPLACED_BY
from bifrost.manager.interface import _actions_for

sys.path.insert(0, str(Path(__file__).parent))
from asking import host_session, manager_over, ref, resolved

OLD_TRAITS = {
    "locatableContent",
    "versionedContent",
    "defaultName",
    "defaultThumbnail",
    "managementPolicy",
}
THIS = Path(__file__)
SHOW = Path("/show/hero v2.usda")


@pytest.fixture
def url(tmp_path):
    """A catalogue with two versions of `hero`."""
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    with Catalogue.open(url) as catalogue:
        for number in (1, 2):
            path = f"/show/hero v{number}.usda"
            catalogue.publish(
                [Publication("hero", "Hero", "model", path, checksum=path, comment=f"no. {number}")]
            )
    return url


@pytest.fixture(autouse=True)
def said():
    """Every warning of the test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.fixture
def old():
    """The class by its old import path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bifrost.integrations.assetio.bifrost_manager import BifrostManagerInterface

        return BifrostManagerInterface


def messages(said):
    return [str(each.message) for each in said]


def places(said):
    return {each.filename for each in said}


def initialised(manager, url):
    manager.initialize({"catalogue_url": url}, host_session())
    return manager


# Subclasses


def test_the_old_class_is_a_manager_like_today_s(old, url):
    """
    Under a real host it answers as that does, and introduces itself as it did.
    """
    manager = manager_over(url, old())

    [data] = resolved(manager, ["hero"], {v.LOCATION, v.VERSION, v.NAME})
    [today] = resolved(manager_over(url), ["hero"], {v.LOCATION, v.VERSION, v.NAME})

    assert today == data
    assert issubclass(old, ManagerOfToday)
    assert ("org.bifrost.assetmanager", "Bifrost Asset Manager") == (
        manager.identifier(),
        manager.displayName(),
    )


def test_subclassing_and_making_one_warn_where_it_is_done(old, said):
    class Mine(old):
        """A subclass."""

    Mine()

    assert [BY_NAME[f"{MANAGER}.BifrostManagerInterface"].message] * 2 == messages(said)
    assert {str(THIS)} == places(said)
    assert said[0].lineno < said[1].lineno


def test_overrides_with_openassetio_s_arguments_are_called_by_a_real_host(old, url):
    """
    `resolve` and `info`, each with its `super()`.
    """

    class Mine(old):
        def info(self):
            return {**super().info(), "vendor": "Studio"}

        def resolve(self, references, traits, access, context, session, succeeded, failed):
            def marked(index, data):
                data.setTraitProperty("studio", "seen", True)
                succeeded(index, data)

            super().resolve(references, traits, access, context, session, marked, failed)

    manager = manager_over(url, Mine())

    found, missing = resolved(manager, ["hero", "villain"])

    assert "2" == found.getTraitProperty(v.VERSION, "stableTag")
    assert found.getTraitProperty("studio", "seen") is True
    assert BatchElementError.ErrorCode.kEntityResolutionError == missing[0]
    assert {constants.kInfoKey_EntityReferencesMatchPrefix, "vendor"} == manager.info().keys()


def test_overrides_with_the_arguments_of_then_are_called_by_a_real_host(old, url, said):
    """
    They return dictionaries; the host gets what they say in the traits that it asked for.
    """

    class Mine(old):
        def resolve(self, entityRefs, traitSet, context, hostSession):
            results = super().resolve(entityRefs, traitSet, context, hostSession)
            for result, reference in zip(results, entityRefs, strict=True):
                if "location" in result:
                    result["customInfo"] = f"about {reference.toString()}"
            return results

        def entityExists(self, entityRefs, context, hostSession):
            return [not exists for exists in super().entityExists(entityRefs, context, hostSession)]

    manager = manager_over(url, Mine())

    found, missing = resolved(manager, ["hero", "villain"], {v.LOCATION, v.VERSION, v.NAME})
    exist = [None, None]
    manager.entityExists(
        [ref("hero"), ref("villain")], Context(), exist.__setitem__, lambda *_: None
    )

    assert SHOW.as_uri() == found.getTraitProperty(v.LOCATION, "location")
    assert "2" == found.getTraitProperty(v.VERSION, "stableTag")
    assert "Hero" == found.getTraitProperty(v.NAME, "name")
    assert "about bifrost:///assets/hero" == found.getTraitProperty(
        "bifrost:earlier.Other", "customInfo"
    )
    assert BatchElementError.ErrorCode.kEntityResolutionError == missing[0]
    assert [False, True] == exist
    assert {str(THIS)} == places(said)
    assert any("resolve with the arguments of earlier releases" in each for each in messages(said))


def test_the_arguments_of_then_return_what_they_returned(old, url):
    """
    A dictionary for each reference, an empty one where there is no answer.
    """
    manager = initialised(old(), url)

    found, other, missing, malformed = manager.resolve(
        [ref("hero"), ref("hero?version=1"), ref("villain"), ref("he ro")],
        sorted(OLD_TRAITS),
        Context(),
        None,
    )

    assert (str(SHOW), "2", "Hero") == (found["location"], found["version"], found["name"])
    assert "no. 1" == other["versionInfo"]["comment"]
    assert {"created", "createdBy", "comment"} == found["versionInfo"].keys()
    assert (
        dict.fromkeys(("canUpdate", "canDelete", "canModifyRelationships"), True)
        == found["managementPolicy"]
    )
    assert "thumbnail" not in found
    assert [{}, {}] == [missing, malformed]
    assert [{"location": str(SHOW)}] == manager.resolve(
        [ref("hero")], ["locatableContent"], None, None
    )
    assert [True, False] == manager.entityExists([ref("hero"), ref("villain")], None, None)


def test_what_else_the_old_class_had_is_there(old, url):
    manager = initialised(old(), url)

    assert all(manager.capabilities().values())
    assert manager.uninitialize() is True
    assert [True] == manager.entityExists([ref("hero")], None, None)


def test_today_s_class_takes_no_arguments_of_then(url):
    """
    The old ones are the old import path's alone.
    """
    with pytest.raises(TypeError):
        initialised(ManagerOfToday(), url).resolve([ref("hero")], set(), Context(), None)


# Trait names


def test_every_old_trait_has_a_trait_of_today():
    """
    The same in the table of names and in the manager.
    """
    assert set(TRAITS) == OLD_TRAITS
    assert {name: each.new for name, each in TRAITS.items()} == REPLACED_BY


def test_a_host_may_ask_for_old_traits(url, said):
    """
    Of the plugin's own manager too, beside those of today; each warns once for each line.
    """
    manager = manager_over(url)

    for _ in range(2):
        [data] = resolved(manager, ["hero"], OLD_TRAITS | {v.VERSION})

    assert str(SHOW) == data.getTraitProperty("locatableContent", "location")
    assert "2" == data.getTraitProperty("versionedContent", "version")
    assert "no. 2" == data.getTraitProperty("versionedContent", "comment")
    assert "Hero" == data.getTraitProperty("defaultName", "name")
    assert data.getTraitProperty("managementPolicy", "canDelete") is True
    assert not data.hasTrait("defaultThumbnail")
    assert "2" == data.getTraitProperty(v.VERSION, "stableTag")
    assert sorted(TRAITS[name].message for name in OLD_TRAITS) == sorted(messages(said))


def test_old_traits_of_what_is_missing_are_its_error(url):
    [outcome] = resolved(manager_over(url), ["villain"], {"locatableContent"})

    assert BatchElementError.ErrorCode.kEntityResolutionError == outcome[0]


def test_traits_of_today_warn_of_nothing(url, said):
    resolved(manager_over(url), ["hero"], {v.LOCATION, v.VERSION, v.NAME, v.PERMISSIONS})

    assert [] == messages(said)


def test_an_entity_s_traits_are_those_of_today(url):
    """
    Old names are understood, not offered.
    """
    manager, traits = manager_over(url), []
    manager.entityTraits(
        [ref("hero")],
        EntityTraitsAccess.kRead,
        manager.createContext(),
        lambda _, found: traits.append(found),
        lambda *_: None,
    )

    assert set() == OLD_TRAITS & traits[0]


def test_an_old_trait_needs_the_permissions_of_the_trait_of_today():
    """
    `resolve` for the file, `read` for everything else.
    """
    assert ("resolve",) == _actions_for({"locatableContent"}) == _actions_for({v.LOCATION})
    for name in OLD_TRAITS - {"locatableContent"}:
        assert ("resolve", "read") == _actions_for({name})
