# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file is all found before it is published, and nothing that is not wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bifrost.publishing.drafts import Draft
from bifrost.usd.validation import (
    ALL,
    MOST_FINDINGS,
    dangling_references,
    default_prim,
    naming,
    usd_validity,
)

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
HOUSE = SAMPLES / "payload_and_udim" / "house.usda"
ASSETS = SAMPLES.parents[1] / "shared" / "data" / "usd_wg" / "full_assets"
SETTINGS = '(defaultPrim = "A"\nupAxis = "Y"\nmetersPerUnit = 1)\n'


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#usda 1.0\n" + text.replace(" }", "\n}"), encoding="utf-8")
    return path


def everything(references):
    return [True] * len(references)


def draft(path, *, name="hero", asset_type="model", **more):
    return Draft("hero", name, asset_type, str(path), **more)


def found(validator, path, *, exists=everything, **more):
    findings = validator(path, draft(path, **more), exists)
    assert all(finding.validator == validator.__name__ for finding in findings)
    return [(finding.severity, finding.code.rpartition(".")[2]) for finding in findings]


@pytest.mark.parametrize("validator", ALL.values(), ids=list(ALL))
@pytest.mark.parametrize("file", ["payload_and_udim/house.usda", "value_clips/drone.usda"])
def test_a_sound_file_has_nothing_wrong(validator, file):
    assert [] == found(validator, SAMPLES / file)


@pytest.mark.parametrize("validator", ALL.values(), ids=list(ALL))
@pytest.mark.parametrize("content", [b"", b"garbage", b"#usda 1.0\ndef", b"PXR-USDC\x00\x00"])
def test_garbage_is_an_error_and_no_exception(validator, content, tmp_path):
    for extension in ("usda", "usd", "usdc", "usdz"):
        path = tmp_path / f"a.{extension}"
        path.write_bytes(content)

        codes = found(validator, path)

        assert codes == ([] if validator is naming else [("error", "unreadable")])


@pytest.mark.parametrize("validator", ALL.values(), ids=list(ALL))
def test_a_file_that_is_no_usd_is_not_looked_into(validator, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture either")

    assert [] == found(validator, tmp_path / "a.png")


def test_a_validator_that_fails_says_so():
    [finding] = naming(HOUSE, None, everything)

    assert ("error", "failed") == (finding.severity, finding.code)


def test_the_validators_of_usd_are_run(tmp_path):
    text = 'def Xform "A" { rel material:binding = </A/M>\ndef Material "M" { }\n}\n'

    assert [("error", "MissingMaterialBindingAPI")] == found(
        usd_validity, written(tmp_path / "a.usda", SETTINGS + text)
    )


def test_a_finding_says_where(tmp_path):
    text = 'def Xform "A" { rel material:binding = </A/M>\ndef Material "M" { }\n}\n'
    path = written(tmp_path / "a.usda", SETTINGS + text)

    [finding] = usd_validity(path, draft(path), everything)

    assert "/A" == finding.where


def test_a_unit_and_an_up_axis_are_wished_for(tmp_path):
    solid = written(tmp_path / "b.usda", '(defaultPrim = "A")\ndef Cube "A" { }\n')
    codes = {"MissingMetersPerUnitMetadata", "MissingUpAxisMetadata"}

    assert {("warning", code) for code in codes} == set(found(usd_validity, solid))


def test_a_format_that_this_usd_lacks_is_no_error(tmp_path):
    (tmp_path / "a.mtlx").write_text("<materialx/>")
    text = SETTINGS + 'def Xform "A" (references = @./a.mtlx@) { }\n'

    assert [("warning", "unknown-format")] == found(
        usd_validity, written(tmp_path / "a.usda", text)
    )


def test_references_that_open_nothing_are_said_once(tmp_path):
    text = SETTINGS + 'def Xform "A" (references = [@./gone.usda@, @bifrost:///assets/x@]) { }\n'
    path = written(tmp_path / "a.usda", text)

    assert [] == found(usd_validity, path)
    assert [("error", "missing")] == found(dangling_references, path)


DANGLING = """(subLayers = [@./gone.usda@, @bifrost:///assets/gone@, @bifrost:///assets/hero?version=2@])
def "A" (
    assetInfo = {
        asset identifier = @./called.usda@
    }
)
{
    asset above = @../above.usda@
    asset here = @./here.png@
    asset bad = @bifrost:///assets/a b@
    asset other = @other:///thing@
    asset expression = @`"${X}"`@
    asset tiles = @./tex.<UDIM>.png@
}
"""


def test_every_path_that_leads_nowhere_is_found_at_once(tmp_path):
    written(tmp_path / "above.usda", "")
    path = written(tmp_path / "asset" / "a.usda", DANGLING)
    (path.parent / "here.png").write_bytes(b"x")

    codes = found(dangling_references, path, exists=lambda refs: ["hero" in ref for ref in refs])

    assert sorted(
        [
            ("error", "missing"),  # the sublayer
            ("error", "missing"),  # the tiles
            ("warning", "missing"),  # what only describes
            ("error", "escapes"),
            ("error", "malformed-reference"),
            ("error", "unknown-asset"),
            ("warning", "foreign-reference"),
            ("warning", "expression"),
        ]
    ) == sorted(codes)


def test_a_path_out_of_the_folder_is_told_what_to_do(tmp_path):
    written(tmp_path / "above.usda", "")
    path = written(tmp_path / "asset" / "a.usda", "(subLayers = [@../above.usda@])\n")

    [finding] = dangling_references(path, draft(path), everything)

    assert "publish that file as an asset of its own" in finding.message
    assert ("a.usda", "error") == (finding.where, finding.severity)


def test_a_file_that_stays_may_name_what_is_around_it(tmp_path):
    written(tmp_path / "above.usda", "")
    text = "(subLayers = [@../above.usda@, @../gone.usda@])\n"
    path = written(tmp_path / "asset" / "a.usda", text)

    assert [("error", "missing")] == found(dangling_references, path, in_place=True)


def test_an_absolute_path_is_an_error_only_where_it_leads_nowhere(tmp_path):
    other = written(tmp_path / "other.usda", "")
    text = f"(subLayers = [@{other}@, @{other}x@])\n"

    codes = found(dangling_references, written(tmp_path / "asset" / "a.usda", text))

    assert [("error", "missing"), ("warning", "absolute")] == sorted(codes)


def test_the_catalogue_is_asked_once_for_all(tmp_path):
    asked = []
    names = ", ".join(f"@bifrost:///assets/a{number}@" for number in range(50))

    found(
        dangling_references,
        written(tmp_path / "a.usda", f"(subLayers = [{names}])\n"),
        exists=lambda refs: asked.append(len(refs)) or [True] * len(refs),
    )

    assert [50] == asked


def test_findings_without_end_are_cut(tmp_path):
    names = ", ".join(f"@./gone{number}.usda@" for number in range(2 * MOST_FINDINGS))
    path = written(tmp_path / "a.usda", f"(subLayers = [{names}])\n")

    codes = found(dangling_references, path)

    assert MOST_FINDINGS + 1 == len(codes)
    assert ("warning", "more") == codes[-1]


@pytest.mark.parametrize(
    ("text", "asset_type", "expected"),
    [
        ('(defaultPrim = "A")\ndef "A" { }\n', "model", []),
        ('def "A" { }\n', "model", [("error", "no-default-prim")]),
        ('def "A" { }\n', "animation", [("warning", "no-default-prim")]),
        ('(defaultPrim = "B")\ndef "A" { }\n', "model", [("error", "default-prim-missing")]),
        ("", "model", [("error", "no-default-prim")]),
        ('def Material "M" { }\n', "model", [("warning", "no-default-prim")]),
        ('def Scope "S" { }\n', "model", [("error", "no-default-prim")]),
    ],
)
def test_a_default_prim_is_there(tmp_path, text, asset_type, expected):
    path = written(tmp_path / "a.usda", text)

    assert expected == found(default_prim, path, asset_type=asset_type)


def test_a_missing_default_prim_is_told_how_to_set(tmp_path):
    path = written(tmp_path / "a.usda", 'class "C" { }\ndef "A" { }\n')

    [finding] = default_prim(path, draft(path), everything)

    assert 'set defaultPrim = "A"' in finding.message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hero_01.low-res", []),
        ("Grüße", []),
        ("日本", []),
        ("two words", []),
        ("", [("error", "asset-name")]),
        (" hero", [("error", "asset-name")]),
        ("../hero", [("error", "asset-name")]),
        ("a/b", [("error", "asset-name")]),
        ("a\nb", [("error", "asset-name")]),
        ("x" * 200, [("error", "asset-name")]),
        ("h\u0435ro", [("warning", "look-alikes")]),
        ("ﬁre", [("warning", "unicode-form")]),
    ],
)
def test_an_asset_has_a_name_that_works(name, expected):
    assert expected == found(naming, HOUSE, name=name)


def test_a_studio_has_a_rule_of_its_own():
    rule = re.compile("[a-z]{4}")

    codes = [
        [
            finding.code
            for finding in naming(HOUSE, draft(HOUSE, name=name), everything, pattern=rule)
        ]
        for name in ("hero", "heroes")
    ]

    assert [[], ["asset-name"]] == codes


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a.png", []),
        ("tex.<UDIM>.png", []),
        ("a", [("warning", "no-extension")]),
        ("a.PNG", [("warning", "extension-case")]),
        ("a[b].png", [("error", "file-name")]),
        ("a b.png", [("warning", "file-name")]),
    ],
)
def test_a_file_has_a_name_that_works(tmp_path, file, expected):
    assert expected == found(naming, tmp_path / file)


def test_prim_names_that_older_usd_cannot_read_are_told(tmp_path):
    path = written(tmp_path / "a.usda", 'def "A" { def "Ünï" { }\n}\n')

    [finding] = naming(path, draft(path), everything)

    assert ("warning", "prim-name", "/A/Ünï") == (finding.severity, finding.code, finding.where)


def test_a_draft_without_a_file_has_a_name_all_the_same():
    findings = naming(Path(), draft("", name="a/b"), everything)

    assert ["asset-name"] == [finding.code for finding in findings]


def test_a_chess_piece_may_be_published():
    path = ASSETS / "OpenChessSet" / "assets" / "Bishop" / "Bishop.usd"
    if not path.exists():
        pytest.skip(f"the USD Working Group's assets are not at {ASSETS}")

    severities = {severity for validator in ALL.values() for severity, _ in found(validator, path)}

    assert {"warning"} == severities
