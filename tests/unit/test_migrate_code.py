# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate code`: what it rewrites does what it did, and the rest stays and is listed."""

from __future__ import annotations

import json
import os
import stat
import textwrap
import warnings
from pathlib import Path

import pytest

from bifrost.cli.main import run

pytest.importorskip("libcst", reason="libcst is not installed: pip install 'bifrost-usd[migrate]'")

from bifrost.integrations.migrating.rewriting import Rewritten, rewritten, write

OLD = "bifrost.integrations.assetio"
HOST = f"from {OLD}.bifrost_host import bifrost_host\n"
CLASS = f"from {OLD}.bifrost_host import BifrostHostInterface\n"
MAPPER = f"from {OLD}.uri_mapper import AssetUriMapper\n"
MANAGER = f"from {OLD}.bifrost_manager import BifrostManagerInterface\n"


@pytest.fixture
def changed(tmp_path: Path):
    """Return what rewriting a file of that content comes to."""

    def changed(text: str | bytes, name: str = "code.py") -> Rewritten:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        [change], troubles = rewritten([path])
        assert [] == troubles
        return change

    return changed


BEFORE = '''\
#!/usr/bin/env python
"""What a studio's publish tool looks like."""
from bifrost.integrations.assetio.bifrost_host import (  # the host
    BifrostHostInterface as Host,   # for tests
    bifrost_host,
)
from bifrost.integrations.assetio.uri_mapper import AssetUriMapper  # noqa


def path_of( asset, version = None ):
    uri = AssetUriMapper.asset_to_uri(asset)   # floats

    # None where it isn't there
    path = bifrost_host.resolve_asset_path(uri)   # a Path
    if path is None:
        return bifrost_host.get_version(uri)

    return str( path )


class Tool:
\tdef __init__(self, host: "Host | None" = None):
\t\tself._host = host or Host()

\tdef ready(self):
\t\tself._host.initialize()
\t\treturn self._host.create_entity_reference("a")
'''
AFTER = '''\
#!/usr/bin/env python
"""What a studio's publish tool looks like."""
from bifrost import (  # the host
    BifrostError, BifrostHostInterface as Host,   # for tests
    bifrost_host,
)
from bifrost import AssetUriMapper  # noqa


def path_of( asset, version = None ):
    uri = AssetUriMapper.asset_to_uri(asset)   # floats

    # None where it isn't there
    try:
        path = bifrost_host.resolve_asset_path(uri)   # a Path
    except BifrostError:
        path = None
    if path is None:
        try:
            return bifrost_host.get_version(uri)
        except BifrostError:
            return None

    return str( path )


class Tool:
\tdef __init__(self, host: "Host | None" = None):
\t\tself._host = host or Host()

\tdef ready(self):
\t\ttry:
\t\t    self._host.initialize()
\t\texcept BifrostError:
\t\t    pass
\t\treturn self._host.create_entity_reference("a")
'''


def test_names_move_and_what_returned_none_still_does(changed) -> None:
    """Comments, blanks and quotes are where they were."""
    change = changed(BEFORE)

    assert AFTER == change.after.decode()
    assert () == change.left


def test_the_code_does_what_it_did(tmp_path: Path, own_home: Path, changed) -> None:
    """Run before and after, of an asset that is there and of one that isn't, and once more after."""
    from bifrost import session
    from bifrost.catalogue import Publication

    file = tmp_path / "hero.usda"
    file.write_text("#usda 1.0\n")
    session.current().catalogue.publish([Publication("hero", "hero", "layer", str(file))])
    change = changed(BEFORE)
    answers = []
    for text in (change.before, change.after):
        names: dict[str, object] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(text, "code.py", "exec"), names)
            asset = type("Asset", (), {})
            answers.append(
                [
                    names["path_of"](type("", (asset,), {"id": asset_id})())
                    for asset_id in ("hero", "nobody")
                ]
            )
            answers[-1].append(names["Tool"]().ready())

    assert [str(file), None, "bifrost:///assets/a"] == answers[0]
    assert answers[0] == answers[1]


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    """And leaves with 0."""
    file = tmp_path / "code.py"
    file.write_text(BEFORE)

    assert 1 == run(["migrate", "code", str(file)])
    assert BEFORE == file.read_text()
    assert 0 == run(["migrate", "code", str(file), "--write"])
    assert AFTER == file.read_text()
    assert 0 == run(["migrate", "code", str(file), "--write"])
    assert AFTER == file.read_text()
    assert 0 == run(["migrate", "scan", str(file)])


def test_a_diff_is_what_comes_out_by_default(tmp_path: Path, capsys, monkeypatch) -> None:
    """One that `patch` and `git apply` take."""
    monkeypatch.chdir(tmp_path)
    Path("code.py").write_text(MAPPER)

    assert 1 == run(["migrate", "code", "code.py"])
    expected = [
        "--- a/code.py",
        "+++ b/code.py",
        "@@ -1 +1 @@",
        f"-{MAPPER.rstrip()}",
        "+from bifrost import AssetUriMapper",
    ]
    assert expected == capsys.readouterr().out.splitlines()


LEFT = {
    "an answer used at once": (HOST, "print(bifrost_host.resolve_asset_path(u))"),
    "an answer tested at once": (HOST, "if bifrost_host.get_version(u):\n    pass"),
    "an answer in a list": (HOST, "x = [bifrost_host.get_version(u) for u in us]"),
    "a call that calls": (HOST, "x = bifrost_host.get_version(f())"),
    "two statements on a line": (HOST, "x = 1; y = bifrost_host.get_version(x)"),
    "a block on one line": (HOST, "if 1: y = bifrost_host.get_version(x)"),
    "another shape": (HOST, "info = bifrost_host.get_entity_info(u)"),
    "other relationships": (HOST, "edges = bifrost_host.get_relationships(u)"),
    "another rule": (HOST, "ok = bifrost_host.is_valid_entity_reference(u)"),
    "handed on": (HOST, "register(bifrost_host)"),
    "returned": (HOST, "def f():\n    return bifrost_host"),
    "a method handed on": (HOST, "paths = map(bifrost_host.resolve_asset_path, us)"),
    "patched": (HOST, "bifrost_host.resolve_asset_path = fake"),
    "unknown": (HOST, "bifrost_host._private()"),
    "exported": (HOST, "__all__ = ['bifrost_host']"),
    "bound twice": (HOST, "bifrost_host = None"),
    "kept in public": (CLASS, "class A:\n    def f(self):\n        self.h = BifrostHostInterface()"),
    "kept in a class": (
        CLASS + "class A:\n    _h = BifrostHostInterface()\n",
        "    def f(self):\n        return self._h.get_version(u)",
    ),
    "reached from elsewhere": (
        CLASS + "class A:\n    def f(self):\n        self._h = BifrostHostInterface()\n",
        "def g(a):\n    return a._h.get_version(u)",
    ),
    "subclassed": (CLASS, "class A(BifrostHostInterface):\n    pass"),
    "compared": (CLASS, "isinstance(x, BifrostHostInterface)"),
    "another error": (HOST, "class BifrostError(E):\n    pass\nx = bifrost_host.get_version(u)"),
    "another tree": (MAPPER, "x = AssetUriMapper.uri_to_path(u)"),
    "a class patched": (MAPPER, "AssetUriMapper.is_valid_uri = fake"),
    "old traits": (MANAGER, "class M(BifrostManagerInterface):\n    t = {'locatableContent'}"),
    "old arguments": (
        MANAGER + "class M(BifrostManagerInterface):\n",
        "    def resolve(self, refs, traits, context, session):\n        return [{}]",
    ),
    "old arguments of super": (
        MANAGER + "class M(BifrostManagerInterface):\n    def f(self, r, t, c, s):\n",
        "        return super().resolve(r, t, c, s)",
    ),
    "an old method": (MANAGER, "BifrostManagerInterface().uninitialize()"),
    "a module": (f"from {OLD} import uri_mapper\n", "uri_mapper.AssetUriMapper.is_valid_uri(u)"),
    "a star": (f"from {OLD}.uri_mapper import *\n", ""),
    "a string": ("", f"mock.patch('{OLD}.bifrost_host.bifrost_host')"),
    "in a function": (
        f"def f(u):\n    {HOST}", "    v = bifrost_host.get_version(u)\n    return v",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", LEFT)
def test_what_is_not_safe_stays_and_is_listed(changed, why: str) -> None:
    """Not a byte of it changes, and the list says where and why."""
    change = changed("".join(LEFT[why]) + "\n")

    assert not change.is_changed
    assert change.left
    assert all(use.note for use in change.left)


def test_one_use_that_stays_keeps_the_whole_module_of_that_name(changed) -> None:
    """Two hosts in one file would be one too many; another module's names move all the same."""
    change = changed(HOST + MAPPER + "x = bifrost_host.get_version(u)\nf(bifrost_host)\n")

    assert HOST in change.after.decode()
    assert MAPPER not in change.after.decode()
    assert "get_version(u)\nf(" in change.after.decode()
    assert {1: "because of line 4", 4: change.left[1].note} == {
        use.line: use.note for use in change.left
    }


@pytest.mark.parametrize(
    "importing",
    [
        "from hosts import host\nprint(host.get_version(u))\n",
        "import hosts as h\nprint(h.host.get_version(u))\n",
        "from studio import hosts\nprint(hosts.host.get_version(u))\n",
        "import studio.hosts\nprint(studio.hosts.host.get_version(u))\n",
    ],
)
def test_what_another_file_imports_from_here_stays(tmp_path: Path, importing: str) -> None:
    """It may rely on None."""
    (tmp_path / "hosts.py").write_text(CLASS + "host = BifrostHostInterface()\n")
    user = tmp_path / "user.py"
    user.write_text(importing)

    alone, _ = rewritten([tmp_path / "hosts.py"])
    together, _ = rewritten([tmp_path / "hosts.py", user])

    assert alone[0].is_changed
    assert not together[0].is_changed
    assert "other files import it" in together[0].left[1].note


def test_a_subclassed_manager_moves(changed) -> None:
    """Where its methods have OpenAssetIO's arguments."""
    change = changed(
        MANAGER + "class Studio(BifrostManagerInterface):\n    def info(self):\n"
        "        return {**BifrostManagerInterface.info(self), 'studio': 1}\n"
        "    def resolve(self, refs, traits, access, context, session, success, error):\n"
        "        super().resolve(refs, traits, access, context, session, success, error)\n"
        "        Path().resolve()\n"
    )

    assert change.after.startswith(b"from bifrost import BifrostManagerInterface\nclass Studio(")
    assert () == change.left


def test_annotations_alone_need_no_error(changed) -> None:
    """An import for type checkers stays one."""
    block = "if TYPE_CHECKING:\n    "
    change = changed(
        f"from __future__ import annotations\n{block}{CLASS}def f(h: BifrostHostInterface): ...\n"
    )

    assert f"{block}from bifrost import BifrostHostInterface\n" in change.after.decode()


def test_an_error_that_is_imported_already_is_not_imported_again(changed) -> None:
    """Where it is ours."""
    change = changed(
        "from bifrost.errors import BifrostError\n" + HOST + "x = bifrost_host.get_version(u)\n"
    )

    assert 1 == change.after.count(b"import BifrostError")
    assert b"from bifrost import bifrost_host\n" in change.after


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_and_encodings_stay(changed, ending: str) -> None:
    """No byte but those that move."""
    text = f"# -*- coding: latin-1 -*-\n{HOST}def f(u):\n    p = bifrost_host.get_version(u)\n# é\n"

    change = changed(text.replace("\n", ending).encode("latin-1"))

    lines = change.after.decode("latin-1").split(ending)
    assert "from bifrost import BifrostError, bifrost_host" == lines[1]
    assert ["    try:", "        p = bifrost_host.get_version(u)"] == lines[3:5]
    assert ["# é", ""] == lines[-2:]
    assert change.after.count(b"\n") in (0, len(lines) - 1)


def test_a_file_is_replaced_whole_with_its_mode_and_behind_its_link(tmp_path: Path) -> None:
    """A tool stays executable, a link a link."""
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text(MAPPER)
    real.chmod(0o754)
    link.symlink_to(real)

    assert 0 == run(["migrate", "code", str(link), "--write"])

    assert link.is_symlink()
    assert "from bifrost import AssetUriMapper\n" == real.read_text()
    assert 0o754 == stat.S_IMODE(real.stat().st_mode)
    assert {"real.py", "link.py"} == {name for name in os.listdir(tmp_path) if ".py" in name}


def test_a_file_that_changed_meanwhile_is_not_written_over(changed, tmp_path: Path) -> None:
    """Whoever saved it in between keeps what they wrote."""
    change = changed(MAPPER)
    (tmp_path / "code.py").write_text("mine\n")

    with pytest.raises(OSError, match="changed meanwhile"):
        write(change)
    assert "mine\n" == (tmp_path / "code.py").read_text()


def test_a_read_only_file_stays(changed, tmp_path: Path) -> None:
    """Whoever made it so meant it, and a file put in its place would pass over that."""
    change = changed(MAPPER)
    (tmp_path / "code.py").chmod(0o444)

    assert 2 == run(["migrate", "code", str(tmp_path / "code.py"), "--write"])
    with pytest.raises(OSError, match="read-only"):
        write(change)
    assert MAPPER == (tmp_path / "code.py").read_text()


def test_what_cannot_be_read_is_trouble_and_the_rest_is_rewritten(tmp_path: Path, capsys) -> None:
    """Exit code 2, and the good file is written."""
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text("print 'old'\n")
    good.write_text(MAPPER)

    assert 2 == run(["migrate", "code", str(tmp_path), "--write", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert [str(bad)] == [each["file"] for each in told["troubles"]]
    [row] = told["files"]
    assert (str(good), True, True, []) == tuple(
        row[key] for key in ("file", "changed", "written", "left")
    )


def test_without_libcst_it_says_what_to_install(run_python, tmp_path: Path) -> None:
    """And leaves with 2: nothing was looked at."""
    (tmp_path / "code.py").write_text(MAPPER)
    script = textwrap.dedent("""
        import sys
        sys.modules["libcst"] = None
        from bifrost.cli.main import main
        main(["migrate", "code", sys.argv[1]])
    """)

    done = run_python(script, tmp_path, check=False)

    assert 2 == done.returncode
    assert "pip install 'bifrost-usd[migrate]'" in done.stderr
