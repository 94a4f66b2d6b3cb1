# SPDX-License-Identifier: Apache-2.0
"""
What OpenAssetIO's API compliance suite asks our manager about.

`python -m openassetio.test.manager -f tests/conformance/manager_fixtures.py` runs it. Loading this
file fills a catalogue in a temporary folder, which goes when the process ends, or the empty one that
`BIFROST_COMPLIANCE_URL` names.

Some tests of the suite skip, because our manager has no such thing: `SKIPPED` in
`test_manager_compliance.py` lists each with its reason.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from openassetio import constants
from openassetio.trait import TraitsData
from openassetio_mediacreation.specifications.lifecycle import (
    EntityVersionsRelationshipSpecification_v1,
)

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.manager import vocabulary as v
from bifrost.publishing import Draft, Publisher
from bifrost.traits.generated.specifications.relationship import (
    DependencyRelationshipSpecification_v1,
)

FOLDER = Path(tempfile.mkdtemp(prefix="bifrost-compliance-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
CATALOGUE_URL = os.environ.get("BIFROST_COMPLIANCE_URL", f"sqlite:///{FOLDER / 'catalogue.sqlite'}")
STORE = FOLDER / "store"
SECRET = FOLDER / "secret"
SECRET.touch(mode=0o600)
SECRET.write_text("an example of a secret, long enough", encoding="ascii")

HERO = "bifrost:///assets/hero"
MOODBOARD = "bifrost:///assets/moodboard"
THUMBNAIL = f"{HERO}?representation=thumbnail"
PROP = "bifrost:///assets/prop"
NEW_PROP = "bifrost:///assets/new_prop"
MISSING = "bifrost:///assets/villain"
MALFORMED = "bifrost:///assets/he ro"

IS_MISSING = "the catalogue has no asset 'villain'"
IS_MALFORMED = f"an asset id has no '/' and no white space: {MALFORMED!r}"
IS_READ_ONLY = f"{THUMBNAIL} can't be published to: it stands for a version of {HERO}"

NOTE_TRAITS = {
    v.ENTITY,
    v.VERSION,
    v.NAME,
    v.ASSET_TYPE,
    v.VERSION_INFO,
    v.STATUS,
    v.PERMISSIONS,
}
VALID_TRAITS = NOTE_TRAITS | {v.LOCATION, v.ORIGINAL, v.FILE_INFO}
VERSIONS = EntityVersionsRelationshipSpecification_v1.kTraitSet
DEPENDENCIES = DependencyRelationshipSpecification_v1.kTraitSet


def _fill() -> str:
    """Fill the catalogue, and return a working reference."""
    with Catalogue.open(CATALOGUE_URL, store=STORE) as catalogue:
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
        catalogue.publish([Publication("prop", "Prop", "prop", "/show/prop.dat")])
        draft = Draft("prop", "Prop", "prop", "")
        return f"{PROP}?publish={Publisher(catalogue).working(draft).id}"


WORKING = _fill()
IS_WRITE_ONLY = (
    f"{WORKING} is being published: it says where to write (resolve it with kManagerDriven), and "
    f"{PROP} can be read once it is registered"
)


def _prop() -> TraitsData:
    (FOLDER / "prop.dat").write_bytes(b"prop")
    data = TraitsData({v.ENTITY})
    data.setTraitProperty(v.LOCATION, "location", (FOLDER / "prop.dat").as_uri())
    return data


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
    "settings": {"catalogue_url": CATALOGUE_URL, "store": str(STORE)},
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
                "statement_timeout_s": 5.5,
                "store": str(FOLDER / "another store"),
                "workflow": "wip > done",
                "strengths": "payload=strong",
                "tokens": "optional",
                "algorithms": "HS256",
                "key_file": str(SECRET),
                "audience": "bifrost",
                "issuer": "https://studio.example",
                "leeway_s": 5.5,
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
            "a_reference_to_a_readonly_entity": THUMBNAIL,
            "expected_error_message": IS_READ_ONLY,
        },
        "test_when_multiple_references_for_read_then_same_number_of_returned_trait_sets": {
            "first_entity_reference": HERO,
            "first_entity_trait_set": VALID_TRAITS,
            "second_entity_reference": MOODBOARD,
            "second_entity_trait_set": NOTE_TRAITS,
        },
        "test_when_multiple_references_for_write_then_same_number_of_returned_trait_sets": {
            "first_entity_reference": PROP,
            "first_entity_trait_set": {v.LOCATION},
            "second_entity_reference": NEW_PROP,
            "second_entity_trait_set": {v.LOCATION, v.NAME},
        },
        "test_when_write_only_entity_queried_for_read_then_access_error_is_returned": {
            "a_reference_to_a_writeonly_entity": WORKING,
            "expected_error_message": IS_WRITE_ONLY,
        },
    },
    "Test_resolve": {
        "shared": {
            "a_reference_to_a_readable_entity": HERO,
            "a_set_of_valid_traits": VALID_TRAITS,
            "a_reference_to_a_writeonly_entity": WORKING,
            "the_error_string_for_a_reference_to_a_writeonly_entity": IS_WRITE_ONLY,
            "a_reference_to_a_readonly_entity": THUMBNAIL,
            "the_error_string_for_a_reference_to_a_readonly_entity": IS_READ_ONLY,
            "a_reference_to_a_missing_entity": MISSING,
            "the_error_string_for_a_reference_to_a_missing_entity": IS_MISSING,
            "a_malformed_reference": MALFORMED,
            "the_error_string_for_a_malformed_reference": IS_MALFORMED,
        }
    },
    "Test_preflight": {
        "shared": {
            "a_traits_data_for_preflight": TraitsData({v.ENTITY, v.LOCATION}),
            "an_invalid_traits_data_for_preflight": TraitsData({v.ENTITY}),
            "a_reference_for_preflight": PROP,
            "a_reference_to_a_readonly_entity": THUMBNAIL,
        },
        "test_when_reference_is_read_only_then_access_error_is_returned": {
            "expected_error_message": IS_READ_ONLY
        },
        "test_when_reference_malformed_then_malformed_entity_reference_error_returned": (
            _malformed()
        ),
        "test_when_preflight_hint_invalid_then_invalid_preflight_hint_error_returned": {
            "expected_error_message": f"to publish to {PROP}, {v.LOCATION} must be given"
        },
    },
    "Test_register": {
        "shared": {
            "a_reference_to_a_writable_entity": PROP,
            "a_traitsdata_for_a_reference_to_a_writable_entity": _prop(),
            "a_reference_to_a_readonly_entity": THUMBNAIL,
            "the_error_string_for_a_reference_to_a_readonly_entity": IS_READ_ONLY,
            "a_malformed_reference": MALFORMED,
            "the_error_string_for_a_malformed_reference": IS_MALFORMED,
        }
    },
    "Test_getWithRelationship_All": {
        "shared": {
            "a_reference": HERO,
            "a_relationship_trait_set": VERSIONS,
            "an_entity_trait_set_to_filter_by": {v.LOCATION},
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
