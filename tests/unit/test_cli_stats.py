# SPDX-License-Identifier: Apache-2.0
"""`bifrost stats` prints what a process serves, or what this host keeps."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

from bifrost import session
from bifrost.cli import stats_command
from bifrost.cli.main import run
from bifrost.monitoring.families import families
from bifrost.monitoring.prometheus import serve
from bifrost.monitoring.recorder import Recorder
from bifrost.testing.clock import Clock

LIMIT_S = 30.0
# What is started in the background of a shell inherits that Ctrl-C does nothing.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from bifrost.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
WATCH = [sys.executable, "-c", INTERRUPTIBLE, "stats", "--watch", "0.1", "--endpoint"]
TIER = {"hits": 3, "misses": 1, "entries": 7, "bytes": 2_048, "max_bytes": 4_096, "evictions": 0}
COUNTERS = {
    "manager": {"round_trips": 5, "breaker": "open"},
    "tiers": {"tiers": {"memory": {**TIER, "errors": 0}}},
}


@pytest.fixture
def recorder():
    recorder = Recorder()
    for _ in range(3):
        recorder.record("resolve_asset_path", 0.004, failures=())
    recorder.record("resolve_asset_path", 0.004, failures=["not_found"])
    recorder.record("evil \x1b[2J name", 0.1)
    return recorder


@pytest.fixture
def endpoint(recorder):
    with closing(serve(":0", lambda: families(COUNTERS, recorder.histograms()))) as endpoint:
        yield endpoint


def asked(capsys, *arguments):
    code = run(["stats", *arguments])
    out, err = capsys.readouterr()
    assert (0, "") == (code, err)
    return out


def rows_of(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_a_process_is_shown_in_plain_columns(endpoint, capsys):
    """
    Operations, tiers, manager and process; what it serves can't move the cursor.
    """
    out = asked(capsys, "--endpoint", f"localhost:{endpoint.port}")
    rows = rows_of(out)

    assert ["count", "elements", "avg_duration_ms"] == rows["operation"][:3]
    resolve = rows["resolve_asset_path"]
    assert ["4", "4", "4.000"] == resolve[:3]
    assert ["75.0", "not_found=1"] == resolve[-2:]
    assert ["7", "2048", "4096", "3", "1", "75.0", "0", "0"] == rows["memory"]
    assert (["5"], ["open"]) == (rows["round_trips"], rows["breaker"])
    assert "open_fds" in rows
    assert "\x1b" not in out


def test_json_has_the_same(endpoint, capsys):
    """
    For scripts.
    """
    found = json.loads(asked(capsys, "--endpoint", endpoint.url, "--json"))

    assert 4 == found["operations"]["resolve_asset_path"]["count"]
    assert 75.0 == found["tiers"]["memory"]["hit_rate"]
    assert "open" == found["manager"]["breaker"]


def test_a_terminal_gets_a_drawn_table(endpoint, capsys, monkeypatch):
    """
    Where there is one.
    """
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert "━" in asked(capsys, "--endpoint", endpoint.url)


def test_nothing_that_listens_is_one_clear_line(capsys):
    """
    And a failed exit code.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"

    code = run(["stats", "--endpoint", endpoint])
    out, err = capsys.readouterr()

    assert (1, "") == (code, out)
    assert err.startswith(f"bifrost: http://{endpoint}/metrics: no metrics to be had")
    assert 1 == len(err.splitlines())


@pytest.mark.parametrize("endpoint", ["", "localhost", "https://x:1", "a b:1"])
def test_what_is_no_endpoint_is_refused(endpoint, capsys):
    """
    Before anybody is asked.
    """
    assert 1 == run(["stats", "--endpoint", endpoint])
    assert "expected HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_wait_that_is_none_is_wrong_usage(seconds):
    """
    Not a busy loop, nor a wait for ever.
    """
    assert 2 == run(["stats", "--watch", seconds])


def test_without_an_endpoint_it_is_what_the_host_keeps(show, capsys):
    """
    The caches' sizes and the catalogue's counts; of a process that did nothing, no hits and no calls.
    """
    show.publish("hero.usda", "#usda 1.0\n")
    rows = rows_of(asked(capsys))

    assert "max_bytes" in rows["tier"]
    assert "hits" not in rows["tier"]
    assert "lmdb" in rows
    assert ["1"] == rows["assets"]
    assert "operation" not in rows


def test_a_catalogue_that_is_not_there_is_not_made(own_home, capsys):
    """
    Looking changes nothing.
    """
    rows = rows_of(asked(capsys))

    assert ["0"] == rows["assets"]
    assert not (own_home / "data").exists()


def test_a_catalogue_that_can_t_be_read_is_said_so(own_home, capsys):
    """
    What the caches hold is shown nevertheless.
    """
    file = own_home / "data" / "catalogue.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 100)

    out = asked(capsys)

    assert "trouble" in out
    assert "lmdb" in out


def test_no_manager_is_started_to_look(own_home):
    """
    Nor OpenUSD.
    """
    code = """if True:
        import sys
        from bifrost.cli.main import run
        assert run(["stats", "--json"]) == 0
        assert not {"pxr", "openassetio"} & {name.partition(".")[0] for name in sys.modules}
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S, capture_output=True)


def test_watching_counts_calls_per_second():
    """
    From one reading to the next; the first has no rate.
    """
    clock = Clock()
    counts = iter([{"a": 10}, {"a": 30, "b": 8}, {"a": 5}])

    def read():
        return {"operations": {name: {"count": number} for name, number in next(counts).items()}}

    readings = stats_command._readings(read, 4.0, clock, clock.advance)
    first, second, third = (next(readings)["operations"] for _ in range(3))

    assert {"a": {"count": 10}} == first
    assert {"a": 5.0, "b": 2.0} == {name: row["per_second"] for name, row in second.items()}
    assert 0 == third["a"]["per_second"]  # it was started anew


def test_watching_prints_again_until_it_is_interrupted(endpoint):
    """
    One line of JSON each time, flushed; Ctrl-C ends it without a traceback.
    """
    process = watching("--json", endpoint=endpoint)
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(2)
    _, err = process.communicate(timeout=LIMIT_S)

    assert [4] * 3 == [line["operations"]["resolve_asset_path"]["count"] for line in lines]
    assert math.isfinite(lines[-1]["operations"]["resolve_asset_path"]["per_second"])
    assert (130, "") == (process.returncode, err.strip())


def test_watching_a_process_that_ends_is_a_clear_error(endpoint):
    """
    What was printed stays.
    """
    process = watching(endpoint=endpoint)
    assert process.stdout.readline().startswith("operation")
    endpoint.close()
    out, err = process.stdout.read(), process.stderr.read()

    assert "resolve_asset_path" in out
    assert "no metrics to be had" in err
    assert 1 == process.wait(LIMIT_S)


def watching(*arguments, endpoint):
    return subprocess.Popen(
        [*WATCH, endpoint.url, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _shown(terminal, deadline):
    """Return some of what is shown on *terminal*, nothing once nobody shows anything on it any more."""
    ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
    try:
        return os.read(terminal, 65_536) if ready else b""
    except OSError:  # EIO: the other end is closed
        return b""


def test_watching_on_a_terminal_redraws(endpoint):
    """
    On the terminal's other screen, which is left as it was.
    """
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*WATCH, endpoint.url],
        stdout=child,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "60"},
    )
    os.close(child)
    seen = b""
    deadline = time.monotonic() + LIMIT_S
    is_interrupted = False
    # To the end, like a terminal: who writes to one that nobody reads waits.
    while some := _shown(parent, deadline):
        seen += some
        if not is_interrupted and seen.count(b"resolve_asset_path") >= 2:
            process.send_signal(signal.SIGINT)
            is_interrupted = True
    process.wait(timeout=LIMIT_S)
    os.close(parent)

    assert seen.count(b"resolve_asset_path") >= 2
    assert b"\x1b[?1049h" in seen
    assert 130 == process.returncode


def test_another_manager_has_no_catalogue_to_count(capsys, monkeypatch, tmp_path):
    """
    The caches are shown all the same.
    """
    config = tmp_path / "manager.toml"
    config.write_text('[manager]\nidentifier = "some.other"\n')
    monkeypatch.setenv("OPENASSETIO_DEFAULT_CONFIG", str(config))
    session.use(None)

    rows = rows_of(asked(capsys))

    assert "lmdb" in rows
    assert "assets" not in rows
