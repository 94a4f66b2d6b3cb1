# SPDX-License-Identifier: Apache-2.0
"""The syntax of our references: what is one, what is wrong with what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.model.entity_reference import (
    PREFIX,
    AssetReference,
    is_asset_reference,
    parse,
    reference_for,
    without_format_args,
)

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100)
VERSIONS = st.one_of(
    st.none(),
    st.integers(0, 10**18 - 1).map(str),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
)


@given(IDS, VERSIONS)
def test_a_reference_leads_back_to_what_it_was_made_of(asset_id, version):
    """
    Any text may be an id: separators, white space, percent signs, every script.
    """
    reference = reference_for(asset_id, version)

    assert AssetReference(asset_id, version) == parse(reference)
    assert reference == str(parse(reference))


@given(IDS, VERSIONS)
def test_usd_reads_a_reference_as_one_asset_path(asset_id, version):
    """
    `@` ends an asset path in a text layer, `[` begins one inside a package.
    """
    reference = reference_for(asset_id, version)

    assert not set('@[]"\\ \n') & set(reference)
    assert "/" not in reference.removeprefix(PREFIX)


@given(IDS, VERSIONS)
def test_format_arguments_come_off_again(asset_id, version):
    """
    What USD appended is taken off, and no part of the id with it (T13).
    """
    reference = reference_for(asset_id, version)

    assert reference == without_format_args(f"{reference}:SDF_FORMAT_ARGS:a=b&c=d")
    assert reference == without_format_args(reference)


def test_an_id_that_looks_like_format_arguments_is_kept():
    """
    The marker in an id must not read as the marker (T13).
    """
    reference = reference_for("a:SDF_FORMAT_ARGS:b")

    assert "a:SDF_FORMAT_ARGS:b" == parse(without_format_args(reference)).asset_id


@given(st.one_of(st.text(), st.text().map(PREFIX.__add__)))
def test_any_other_text_is_a_value_error(text):
    """
    Nothing else escapes, and what is parsed has one canonical spelling.
    """
    try:
        parsed = parse(text)
    except ValueError:
        return
    assert parsed == parse(str(parsed))


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("", "expected bifrost:///assets/<id>"),
        ("/mnt/show/hero.usda", "expected bifrost:///assets/<id>"),
        ("bifrost://assets/hero", "expected bifrost:///assets/<id>"),
        ("BIFROST:///assets/hero", "expected bifrost:///assets/<id>"),
        ("bifrost:///assets/", "no asset id"),
        ("bifrost:///assets/?version=3", "no asset id"),
        ("bifrost:///assets/a/b", "no '/'"),
        ("bifrost:///assets/../b", "no '/'"),
        ("bifrost:///assets/a b", "white space"),
        ("bifrost:///assets/a\n", "white space"),
        ("bifrost:///assets/a\u2003b", "white space"),
        ("bifrost:///assets/100%", "escapes nothing"),
        ("bifrost:///assets/a%2", "escapes nothing"),
        ("bifrost:///assets/a%zz", "escapes nothing"),
        ("bifrost:///assets/a%ff", "no UTF-8"),
        ("bifrost:///assets/\udcff", "no UTF-8"),
        ("bifrost:///assets/a%00b", "control character"),
        ("bifrost:///assets/a\x7fb", "control character"),
        ("bifrost:///assets/" + "a" * 513, "512 bytes"),
        ("bifrost:///assets/" + "ü" * 257, "512 bytes"),
        ("bifrost:///assets/a?version=3#top", "fragment"),
        ("bifrost:///assets/a?", "the query is"),
        ("bifrost:///assets/a?version=", "the query is"),
        ("bifrost:///assets/a?version=-1", "the query is"),
        ("bifrost:///assets/a?version=1.5", "the query is"),
        ("bifrost:///assets/a?version=٣", "the query is"),
        ("bifrost:///assets/a?version=3&version=4", "the query is"),
        ("bifrost:///assets/a?v=3", "the query is"),
        ("bifrost:///assets/a?version=3?version=4", "the query is"),
    ],
)
def test_a_malformed_reference_is_refused_with_the_reason(reference, reason):
    """
    The reason goes into the warning that an artist reads.
    """
    with pytest.raises(ValueError, match=reason):
        parse(reference)


def test_a_message_shows_no_more_than_a_line_can_hold():
    """
    Megabytes of garbage make one readable warning.
    """
    with pytest.raises(ValueError, match="expected") as caught:
        parse("x" * 1_000_000)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("bifrost:///assets/hero", AssetReference("hero")),
        ("bifrost:///assets/hero?version=3", AssetReference("hero", "3")),
        ("bifrost:///assets/hero?version=003", AssetReference("hero", "3")),
        ("bifrost:///assets/hero?version=latest", AssetReference("hero", "latest")),
        ("bifrost:///assets/hero?version=for_review.2", AssetReference("hero", "for_review.2")),
        ("bifrost:///assets/tex.<UDIM>.png", AssetReference("tex.<UDIM>.png")),
        ("bifrost:///assets/a%20b%40c%2Fd", AssetReference("a b@c/d")),
        ("bifrost:///assets/h%C3%A9ros", AssetReference("héros")),
        ("bifrost:///assets/héros", AssetReference("héros")),
        ("bifrost:///assets/clip.##.usd", AssetReference("clip.##.usd")),
    ],
)
def test_well_formed_references(reference, expected):
    """
    Ids are decoded, version numbers lose their zeros.
    """
    assert expected == parse(reference)


def test_templates_stay_readable_for_usd():
    """
    USD looks for these in the authored path, so that they must not be escaped.
    """
    assert "bifrost:///assets/tex.<UDIM>.png" == reference_for("tex.<UDIM>.png")
    assert "bifrost:///assets/clip.##.usd" == reference_for("clip.##.usd")


@pytest.mark.parametrize(
    ("version", "pinned"),
    [("3", True), ("0", True), ("latest", False), ("approved", False), (None, False)],
)
def test_only_a_number_is_for_ever(version, pinned):
    """
    Statuses and `latest` float.
    """
    assert pinned is AssetReference("hero", version).is_pinned


@pytest.mark.parametrize(
    ("text", "ours"),
    [(PREFIX, True), (f"{PREFIX}a/b", True), ("bifrost:", False), ("bal:///a", False)],
)
def test_ours_is_told_by_the_prefix(text, ours):
    """
    It may still be malformed: then we say so, and not somebody else.
    """
    assert ours is is_asset_reference(text)
