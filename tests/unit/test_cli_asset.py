# SPDX-License-Identifier: Apache-2.0
"""`bifrost asset` prints what the host answers."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bifrost.cli.main import run
from bifrost.errors import AssetNotFoundException

HERO = "bifrost:///assets/hero"


class FakeHost:
    """A host that knows one asset."""

    def resolve_asset_path(self, uri):
        if uri != HERO:
            raise AssetNotFoundException(f"no asset {uri}", asset_uri=uri)
        return Path("/show/hero.usda")

    def get_entity_info(self, uri):
        self.resolve_asset_path(uri)
        created = datetime(2026, 1, 2, tzinfo=UTC)
        return {"name": "Hero", "versionInfo": {"created": created, "comment": "first"}}

    def managers(self):
        return [{"identifier": "org.example", "display_name": "Example", "info": {"a": 1}}]


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr("bifrost.host.BifrostHostInterface", FakeHost)


def test_resolve_prints_the_file(capsys):
    assert 0 == run(["asset", "resolve", HERO])
    assert "/show/hero.usda\n" == capsys.readouterr().out


def test_resolve_as_json(capsys):
    assert 0 == run(["asset", "resolve", "--json", HERO])
    assert {"uri": HERO, "path": "/show/hero.usda"} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["resolve", "info-uri"])
def test_no_answer_is_one_and_says_why(command, capsys):
    assert 1 == run(["asset", command, "bifrost:///assets/nobody"])
    assert ("", "bifrost: no asset bifrost:///assets/nobody\n") == capsys.readouterr()


def test_info_is_a_table_with_dotted_names(capsys):
    assert 0 == run(["asset", "info-uri", HERO])

    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())

    assert "Hero" == lines["name"]
    assert "first" == lines["versionInfo.comment"]


def test_info_as_json_keeps_its_shape(capsys):
    assert 0 == run(["asset", "info-uri", "--json", HERO])

    info = json.loads(capsys.readouterr().out)

    assert "2026-01-02 00:00:00+00:00" == info["versionInfo"]["created"]


def test_managers_are_listed(capsys):
    assert 0 == run(["asset", "managers"])
    assert "org.example  Example\n" == capsys.readouterr().out

    assert 0 == run(["asset", "managers", "--json"])
    assert "org.example" == json.loads(capsys.readouterr().out)[0]["identifier"]


def test_a_reference_is_asked_for(capsys):
    assert 2 == run(["asset", "resolve"])
