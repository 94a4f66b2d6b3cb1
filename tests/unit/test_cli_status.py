# SPDX-License-Identifier: Apache-2.0
"""`bifrost asset status` prints and moves where a version stands."""

from __future__ import annotations

import json

import pytest

from bifrost import session
from bifrost.catalogue import Publication
from bifrost.cli.main import run

HERO = "bifrost:///assets/hero"


@pytest.fixture(autouse=True)
def catalogue(own_home, catalogue_url, monkeypatch):
    """A hero of two versions."""
    monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
    catalogue = session.current().catalogue
    for number in "12":
        catalogue.publish([Publication("hero", "Hero", "model", "", number)])
    return catalogue


def printed(capsys, *arguments, code=0):
    assert code == run(["asset", "status", *arguments])
    return capsys.readouterr()


def test_a_version_that_nobody_moved_is_at_the_first_stage(capsys):
    assert "wip; may go to: review\n" == printed(capsys, HERO).out


def test_the_newest_version_is_moved_and_says_how_it_came_there(capsys):
    printed(capsys, HERO, "--set", "review", "--reason", "for dailies")
    out = printed(capsys, HERO, "--set", "approved").out.splitlines()

    assert "approved; may go to: review, retired" == out[0]
    assert "wip > review" in out[1]
    assert "review > approved" in out[2]
    assert out[1].endswith(" because for dailies")
    assert "wip; may go to: review\n" == printed(capsys, HERO + "?version=1").out


def test_json_has_all_of_it(capsys):
    told = json.loads(printed(capsys, HERO + "?version=1", "--set", "review", "--json").out)

    assert ("review", ["approved", "rejected", "wip"]) == (told["status"], sorted(told["moves"]))
    [move] = told["history"]
    assert ("wip", "review", "") == (move["before"], move["status"], move["reason"])
    assert move["at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((HERO, "--set", "approved"), "approved"),
        ((HERO, "--set", "nowhere"), "nowhere"),
        ((HERO + "?version=7",), "version"),
        (("bifrost:///assets/nobody",), "nobody"),
        (("hero.usda",), "hero.usda"),
    ],
)
def test_what_can_not_be_is_one_and_says_why(capsys, arguments, reason):
    told = printed(capsys, *arguments, code=1)

    assert "" == told.out
    assert reason in told.err
    assert "Traceback" not in told.err


def test_a_reason_without_a_move_is_a_mistake(capsys):
    assert "--set says where" in printed(capsys, HERO, "--reason", "late", code=2).err
