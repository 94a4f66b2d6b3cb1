# SPDX-License-Identifier: Apache-2.0
"""`AssetUriMapper` answers as earlier releases did, and never leaves its root."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bifrost.uri_mapper import AssetUriMapper

UUID = "0b2f5c1e-9a4d-4c11-8a52-5f0f6b6f2c3d"
HERO = "bifrost:///assets/hero_model"
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A storage root, with one asset of three versions, beside a folder that is none of its own."""
    monkeypatch.setattr(AssetUriMapper, "root", tmp_path / "assets")
    for number in ("v001", "v002", "v010"):
        folder = tmp_path / "assets" / "hero_model" / number
        folder.mkdir(parents=True)
        (folder / "hero.usda").touch()
    (tmp_path / "secret" / "v001").mkdir(parents=True)
    (tmp_path / "secret" / "v001" / "plan.txt").touch()
    return tmp_path / "assets"


@given(IDS)
@example("clip.##.usd")
def test_an_asset_s_reference_leads_back_to_its_id(asset_id):
    """
    `asset_to_uri` and `uri_to_asset_id` are each other's inverse, whatever the id holds.
    """
    uri = AssetUriMapper.asset_to_uri(SimpleNamespace(id=asset_id))

    assert asset_id == AssetUriMapper.uri_to_asset_id(uri)
    assert AssetUriMapper.is_valid_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        HERO,
        f"{HERO}?version=3",
        f"{HERO}/textures/skin.png",
        f"{HERO}/?x",
        f"{HERO}?version=no good",
    ],
)
def test_further_path_parts_and_the_query_are_ignored(uri):
    """
    As `uri_to_asset_id` always did.
    """
    assert "hero_model" == AssetUriMapper.uri_to_asset_id(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "hero",
        "bifrost:///assets/",
        "bifrost:///shots/a",
        "bifrost://host/assets/a",
        "bal:///assets/a",
    ],
)
def test_what_is_no_reference_has_no_asset_id(uri):
    """
    None, not an exception.
    """
    assert AssetUriMapper.uri_to_asset_id(uri) is None


@given(st.text())
def test_no_text_raises(text):
    """
    The mapper answers None for whatever it is handed.
    """
    AssetUriMapper.uri_to_asset_id(text)
    AssetUriMapper.is_valid_uri(text)
    AssetUriMapper.detect_uri_in_string(text)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/mnt/assets/asset_1/v001/a.usda", "bifrost:///assets/asset_1"),
        (Path("data/assets") / UUID / "v001", f"bifrost:///assets/{UUID}"),
        ("/assets/assets/asset_1", "bifrost:///assets/asset_1"),
        ("/mnt/assets/asset_a b", "bifrost:///assets/asset_a%20b"),
        ("/mnt/assets/hero/v001/a.usda", None),
        ("/mnt/asset_1/a.usda", None),
        ("/mnt/assets", None),
        ("", None),
    ],
)
def test_a_path_of_the_old_store_has_a_reference(path, uri):
    """
    A part `assets`, followed by a UUID or an id that starts with `asset_`.
    """
    assert uri == AssetUriMapper.path_to_uri(path)


@pytest.mark.parametrize(
    ("version", "folder"), [(None, "v010"), (2, "v002"), (1, "v001"), (3, None)]
)
def test_a_reference_leads_to_the_file_of_a_version(version, folder, root):
    """
    The highest by default, by number and not by spelling.
    """
    expected = root / "hero_model" / folder / "hero.usda" if folder else None

    assert expected == AssetUriMapper.uri_to_path(HERO, version)


def test_versions_with_nothing_in_them_have_no_file(root):
    """
    A version whose folder is empty, and a file that is called like one.
    """
    (root / "hero_model" / "v011").mkdir()
    (root / "hero_model" / "v012").touch()

    assert AssetUriMapper.uri_to_path(HERO) is None


@pytest.mark.parametrize(
    "asset_id", ["..%2Fsecret", "..", ".", "%2E%2E%2Fsecret", "hero_model%2F..%2F..%2Fsecret"]
)
def test_a_reference_never_leads_out_of_the_root(asset_id, root):
    """
    Percent-escaped separators are part of an id, not of a path.
    """
    assert AssetUriMapper.uri_to_path(f"bifrost:///assets/{asset_id}") is None


def test_an_absolute_id_never_leads_out_of_the_root(root):
    """
    Joining an absolute path to a folder forgets the folder.
    """
    escaped = str(root.parent / "secret").replace("/", "%2F")

    assert AssetUriMapper.uri_to_path(f"bifrost:///assets/{escaped}") is None


@given(IDS)
def test_any_id_has_a_file_or_none(asset_id):
    """
    None, not an exception.
    """
    AssetUriMapper.uri_to_path(AssetUriMapper.asset_to_uri(SimpleNamespace(id=asset_id)))


@pytest.mark.parametrize("asset_id", ["a" * 300, "a" * 5000])
def test_an_id_longer_than_a_file_name_has_no_file(asset_id, root):
    """
    Ids may be longer than what a file system takes.
    """
    assert AssetUriMapper.uri_to_path(f"bifrost:///assets/{asset_id}") is None


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        (f"see {HERO}?version=3, please", f"{HERO}?version=3"),
        (f"@{HERO}@", HERO),
        (f'"{HERO}" and "bifrost:///assets/b"', HERO),
        (f"<a href='{HERO}'>", HERO),
        ("nothing here", None),
        ("bifrost:///assets/", None),
    ],
)
def test_the_first_reference_in_a_text_is_found(text, uri):
    """
    Quotes and brackets round it are no part of it.
    """
    assert uri == AssetUriMapper.detect_uri_in_string(text)


@pytest.mark.parametrize(
    ("uri", "valid"),
    [
        (HERO, True),
        (f"{HERO}?version=3", True),
        ("bifrost:///assets/", False),
        (f"{HERO}/more", False),
        (f"{HERO} ", False),
        (f"{HERO}\n", False),
        (f" {HERO}", False),
        ("bifrost://assets/hero", False),
    ],
)
def test_validity_is_the_form(uri, valid):
    """
    `bifrost:///assets/<id>`, with or without a query.
    """
    assert valid is AssetUriMapper.is_valid_uri(uri)
