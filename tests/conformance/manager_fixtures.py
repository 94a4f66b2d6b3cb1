# SPDX-License-Identifier: Apache-2.0
"""
What OpenAssetIO's API compliance suite asks our manager about.

`python -m openassetio.test.manager -f tests/conformance/manager_fixtures.py` runs it. Loading this
file makes a catalogue in a temporary folder, which goes when the process ends.

Some tests of the suite skip, because our manager has no such thing: `SKIPPED` in
`test_manager_compliance.py` lists each with its reason.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from openassetio import constants
from openassetio.trait import TraitsData
from openassetio_mediacreation.specifications.lifecycle import (
    EntityVersionsRelationshipSpecification_v1,
)
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1
from openassetio_mediacreation.traits.usage import EntityTrait_v1

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.traits.generated.specifications.relationship import (
    DependencyRelationshipSpecification_v1,
)

FOLDER = Path(tempfile.mkdtemp(prefix="bifrost-compliance-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
CATALOGUE_URL = f"sqlite:///{FOLDER / 'catalogue.sqlite'}"

HERO = "bifrost:///assets/hero"
MOODBOARD = "bifrost:///assets/moodboard"
MISSING = "bifrost:///assets/villain"
MALFORMED = "bifrost:///assets/he ro"

IS_MISSING = "the catalogue has no asset 'villain'"
IS_MALFORMED = f"an asset id has no '/' and no white space: {MALFORMED!r}"
IS_READ_ONLY = f"{HERO} is read-only: this manager is not published to through OpenAssetIO"

VALID_TRAITS = {
    EntityTrait_v1.kId,
    LocatableContentTrait_v1.kId,
    VersionTrait_v1.kId,
    DisplayNameTrait_v1.kId,
}
VERSIONS = EntityVersionsRelationshipSpecification_v1.kTraitSet
DEPENDENCIES = DependencyRelationshipSpecification_v1.kTraitSet


def _fill() -> None:
    with Catalogue.open(CATALOGUE_URL) as catalogue:
        for number in (1, 2, 3):
            catalogue.publish(
                [
                    Publication("skin", "Skin", "texture", "/show/skin.<UDIM>.exr", templated=True),
                    Publication("moodboard", "Moodboard", "note", ""),
                    Publication(
                        "hero",
                        "Hero",
                        "model",
                        f"/show/hero/v{number}.usd",
                        checksum=str(number),
                        mime_type="model/vnd.usd",
                        dependencies=(
                            Dependency("skin", None, "texture"),
                            Dependency("moodboard", "1", "note"),
                        ),
                    ),
                ]
            )


_fill()


def _version_one() -> TraitsData:
    relationship = EntityVersionsRelationshipSpecification_v1.create()
    relationship.versionTrait().setStableTag("1")
    return relationship.traitsData()


def _missing() -> dict[str, object]:
    return {"a_reference_to_a_missing_entity": MISSING, "expected_error_message": IS_MISSING}


def _malformed() -> dict[str, object]:
    return {"a_malformed_reference": MALFORMED, "expected_error_message": IS_MALFORMED}


fixtures = {
    "identifier": "org.bifrost.assetmanager",
    "settings": {"catalogue_url": CATALOGUE_URL},
    "shared": {"a_valid_reference": HERO, "an_invalid_reference": "/show/hero/v3.usd"},
    "Test_identifier": {"test_matches_fixture": {"identifier": "org.bifrost.assetmanager"}},
    "Test_displayName": {"test_matches_fixture": {"display_name": "Bifrost Asset Manager"}},
    "Test_info": {
        "test_matches_fixture": {
            "info": {constants.kInfoKey_EntityReferencesMatchPrefix: "bifrost:///assets/"}
        }
    },
    "Test_initialize": {
        "shared": {
            "some_settings_with_all_keys": {
                "catalogue_url": f"sqlite:///{FOLDER / 'another.sqlite'}",
                "lock_timeout_s": 2.5,
            },
            "some_settings_with_a_subset_of_keys": {"lock_timeout_s": 3.5},
        }
    },
    "Test_entityExists": {
        "shared": {
            "a_reference_to_an_existing_entity": HERO,
            "a_reference_to_a_nonexisting_entity": MISSING,
        },
        "test_when_querying_malformed_reference_then_malformed_reference_error_is_returned": (
            _malformed()
        ),
    },
    "Test_entityTraits": {
        "test_when_querying_malformed_reference_then_malformed_reference_error_is_returned": (
            _malformed()
        ),
        "test_when_querying_missing_reference_for_read_then_resolution_error_is_returned": (
            _missing()
        ),
        "test_when_read_only_entity_queried_for_write_then_access_error_is_returned": {
            "a_reference_to_a_readonly_entity": HERO,
            "expected_error_message": IS_READ_ONLY,
        },
        "test_when_multiple_references_for_read_then_same_number_of_returned_trait_sets": {
            "first_entity_reference": HERO,
            "first_entity_trait_set": VALID_TRAITS,
            "second_entity_reference": MOODBOARD,
            "second_entity_trait_set": VALID_TRAITS - {LocatableContentTrait_v1.kId},
        },
    },
    "Test_resolve": {
        "shared": {
            "a_reference_to_a_readable_entity": HERO,
            "a_set_of_valid_traits": VALID_TRAITS,
            "a_reference_to_a_readonly_entity": HERO,
            "the_error_string_for_a_reference_to_a_readonly_entity": IS_READ_ONLY,
            "a_reference_to_a_missing_entity": MISSING,
            "the_error_string_for_a_reference_to_a_missing_entity": IS_MISSING,
            "a_malformed_reference": MALFORMED,
            "the_error_string_for_a_malformed_reference": IS_MALFORMED,
        }
    },
    "Test_getWithRelationship_All": {
        "shared": {
            "a_reference": HERO,
            "a_relationship_trait_set": VERSIONS,
            "an_entity_trait_set_to_filter_by": {LocatableContentTrait_v1.kId},
            "expected_related_entity_references": [
                f"{HERO}?version={version}" for version in ("latest", "3", "2", "1")
            ],
        },
        "test_when_relationship_trait_set_known_and_props_set_then_filtered_refs_returned": {
            "a_relationship_traits_data_with_props": _version_one(),
            "expected_related_entity_references": [f"{HERO}?version=1"],
        },
        "test_when_result_trait_set_supplied_then_filtered_refs_returned": {
            "a_relationship_trait_set": DEPENDENCIES,
            "expected_related_entity_references": ["bifrost:///assets/skin"],
        },
        "test_when_querying_missing_reference_then_resolution_error_is_returned": _missing(),
        "test_when_querying_malformed_reference_then_malformed_reference_error_is_returned": (
            _malformed()
        ),
    },
}
