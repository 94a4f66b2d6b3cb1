# SPDX-License-Identifier: Apache-2.0
"""The host's calls are counted, timed and shown, under their own names."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bifrost import bifrost_host
from bifrost.context import Context
from bifrost.errors import AssetNotFoundException, Code, ConfigurationError
from bifrost.host import BifrostHostInterface
from bifrost.host.recording import recorded, recorded_calls
from bifrost.model.request import Operation
from bifrost.monitoring.recorder import Recorder
from bifrost.testing.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "docs" / "monitoring" / "grafana.json"
LIMIT_S = 60.0
MISSING = "bifrost:///assets/missing"


class Host:
    """Some calls that take time, by a clock of their own."""

    def __init__(self):
        self.clock = Clock()
        self.session = SimpleNamespace(recorder=Recorder(self.clock), manager_identifier="")

    @recorded
    def call(self, seconds, *, error=None, context=None):
        """Take *seconds*."""
        self.clock.advance(seconds)
        if error is not None:
            raise error
        return seconds, context

    @recorded
    async def acall(self, seconds, *, error=None):
        """Take *seconds*, and let others go first."""
        await asyncio.sleep(0)
        return self.call.__wrapped__(self, seconds, error=error)

    def stats(self, name="call"):
        return self.session.recorder.stats()[name]


@pytest.fixture
def hero(show):
    return show.publish("hero.usda", "#usda 1.0\n")


@pytest.fixture
def host(own_home):
    host = BifrostHostInterface()
    yield host
    host.disable_monitoring()
    host.session.recorder.enabled = True


def scraped(url):
    with urllib.request.urlopen(url, timeout=LIMIT_S) as response:
        return response.read().decode()


def test_a_call_that_is_recorded_answers_as_before():
    """
    Its arguments, its answer, its name and its docstring are untouched.
    """
    host = Host()
    context = Context()

    assert (0.5, context) == host.call(0.5, context=context)
    assert ("call", "Take *seconds*.") == (Host.call.__name__, Host.call.__doc__)
    assert (1, 500.0) == (host.stats()["count"], pytest.approx(host.stats()["max_ms"]))


def test_what_a_call_raises_is_counted_and_goes_on():
    """
    Under its stable code, or its class's name.
    """
    host = Host()
    ours = AssetNotFoundException("no", asset_uri=MISSING, code=Code.NOT_FOUND)
    for error in (ours, ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            host.call(0.1, error=error)
        assert error is caught.value
    host.call(0.1)

    assert {"not_found": 1, "ValueError": 1, "KeyboardInterrupt": 1} == host.stats()["failures"]
    assert 25.0 == host.stats()["success_rate"]


def test_a_coroutine_is_timed_until_its_result_is_there():
    """
    And counted once, failed or not.
    """
    host = Host()

    assert (0.25, None) == asyncio.run(host.acall(0.25))
    with pytest.raises(ValueError, match="x"):
        asyncio.run(host.acall(0.25, error=ValueError("x")))

    stats = host.stats("acall")
    assert (2, {"ValueError": 1}) == (stats["count"], stats["failures"])
    assert pytest.approx(250.0) == stats["avg_duration_ms"]


def test_a_generator_is_not_recorded():
    """
    Most of its time is its caller's.
    """
    with pytest.raises(TypeError, match="calls is a generator"):

        @recorded
        def calls(_):
            yield


def test_a_recorder_that_is_off_is_not_in_the_way():
    """
    Nothing is counted, everything is answered.
    """
    host = Host()
    host.session.recorder.enabled = False

    assert (1, None) == host.call(1)
    assert {} == host.session.recorder.stats()


def test_the_planned_example_runs_as_it_is_written(hero, monkeypatch, capsys):
    """
    The calls of the public page, with the host that everybody shares.
    """
    port = free_port()
    monkeypatch.setattr("bifrost.host.monitoring.DEFAULT_ENDPOINT", f"localhost:{port}")
    source = f"""
bifrost_host.enable_monitoring(metrics_endpoint="localhost:{port}")
stats = bifrost_host.get_performance_stats()
print(f"Average resolution time: {{stats['resolve_asset_path']['avg_duration_ms']}} ms")
print(f"Success rate: {{stats['resolve_asset_path']['success_rate']}}%")
with bifrost_host.trace_operation("asset_processing") as span:
    span.set_attribute("asset_type", "model")
    bifrost_host.resolve_asset_path(asset_uri)
"""
    try:
        exec(source, {"bifrost_host": bifrost_host, "asset_uri": hero})
        assert f"localhost:{port}" in bifrost_host.enable_monitoring(f"localhost:{port}")
        assert "asset_processing" in scraped(f"http://localhost:{port}/metrics")
    finally:
        bifrost_host.disable_monitoring()

    out = capsys.readouterr().out
    assert "Average resolution time: 0.0 ms\nSuccess rate: 100.0%\n" == out


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_statistics_say_what_was_asked_and_what_came_of_it(host, hero):
    """
    By call, by operation of the pipeline, by tier.
    """
    for _ in range(3):
        host.resolve_asset_path(hero)
    with pytest.raises(AssetNotFoundException):
        host.resolve_asset_path(MISSING)

    stats = host.get_performance_stats()

    resolve = stats["resolve_asset_path"]
    assert (4, 75.0, {"not_found": 1}) == (
        resolve["count"], resolve["success_rate"], resolve["failures"],
    )  # fmt: skip
    assert resolve["avg_duration_ms"] > 0.0
    assert resolve["p50_ms"] <= resolve["p95_ms"] <= resolve["p99_ms"] <= resolve["max_ms"]
    asked = [stats[name] for name in map(str, Operation) if stats[name]["count"]]
    assert 4 == sum(each["elements"] for each in asked)
    assert {"not_found": 1} == asked[0]["failures"]
    memory = stats["tiers"]["memory"]
    assert (
        pytest.approx(100.0 * memory["hits"] / (memory["hits"] + memory["misses"]))
        == (memory["hit_rate"])
    )
    assert memory["hits"] >= 2
    assert ("closed", 2) == (stats["manager"]["breaker"], stats["manager"]["round_trips"])


def test_every_call_that_is_counted_is_a_key_before_it_is_made(host):
    """
    With zeros, and nothing that failed; so is every operation of the pipeline.
    """
    stats = host.get_performance_stats()

    wanted = {*recorded_calls(BifrostHostInterface), *map(str, Operation), "resolve_asset_path"}
    assert wanted <= stats.keys()
    for name in wanted:
        assert (0, 0.0, 100.0) == (
            stats[name]["count"], stats[name]["avg_duration_ms"], stats[name]["success_rate"],
        )  # fmt: skip


def test_statistics_tell_what_the_process_holds(host, hero):
    """
    Bytes of the caches, threads, memory. OpenUSD isn't imported to ask for its table.
    """
    host.resolve_asset_path(hero)
    resources = host.get_performance_stats()["resources"]

    assert resources["cache_bytes"] > 0
    assert resources["lmdb_map_bytes"] >= resources["lmdb_bytes"]
    assert resources["threads"] >= 1
    assert resources["resident_bytes"] > 1 << 20
    assert json.dumps(host.get_performance_stats())


def test_asking_for_statistics_starts_no_manager_and_no_openusd():
    """
    Nor does a scrape.
    """
    code = """if True:
        import sys, urllib.request
        from bifrost import bifrost_host
        bifrost_host.get_performance_stats()
        url = bifrost_host.enable_monitoring(":0")
        urllib.request.urlopen(url, timeout=30).read()
        bifrost_host.disable_monitoring()
        assert not {"pxr", "sqlalchemy", "opentelemetry"} & {name.partition(".")[0] for name in sys.modules}
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S)


def test_an_operation_of_your_own_is_timed(host):
    """
    Its failures, too; they go on.
    """
    with host.trace_operation("asset_processing") as span:
        span.set_attribute("asset_type", "model")
        span.add_event("half")
    with pytest.raises(ZeroDivisionError), host.trace_operation("asset_processing"):
        _ = 1 / 0

    stats = host.get_performance_stats()["asset_processing"]
    assert (2, 50.0, {"ZeroDivisionError": 1}) == (
        stats["count"], stats["success_rate"], stats["failures"],
    )  # fmt: skip


def test_the_endpoint_is_served_until_it_is_turned_off(host, hero):
    """
    The same endpoint again changes nothing; another one moves it.
    """
    first = host.enable_monitoring(":0")
    assert first == host.enable_monitoring(":0")
    host.resolve_asset_path(hero)
    assert 'operation="resolve_asset_path"' in scraped(first)

    port = free_port()
    second = host.enable_monitoring(f"localhost:{port}")
    assert f"http://localhost:{port}/metrics" == second
    assert 'operation="resolve_asset_path"' in scraped(second)
    with pytest.raises(OSError, match="refused"):
        scraped(first)

    host.disable_monitoring()
    host.disable_monitoring()
    with pytest.raises(OSError, match="refused"):
        scraped(second)


def test_turned_off_nothing_is_counted_and_turned_on_it_goes_on(host, hero):
    """
    What was counted stays.
    """
    host.resolve_asset_path(hero)
    host.disable_monitoring()
    host.resolve_asset_path(hero)
    assert 1 == host.get_performance_stats()["resolve_asset_path"]["count"]

    host.enable_monitoring(":0")
    host.resolve_asset_path(hero)
    assert 2 == host.get_performance_stats()["resolve_asset_path"]["count"]


def test_an_endpoint_that_can_t_be_had_leaves_things_as_they_were(host):
    """
    The metrics that are served are served on; no traces are sent.
    """
    url = host.enable_monitoring(":0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="Address already in use"):
            host.enable_monitoring(f":{port}", traces_endpoint="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="traces endpoint"):
        host.enable_monitoring(":0", traces_endpoint="grpc://x")

    from bifrost.monitoring import tracing

    assert not tracing.is_on()
    assert "bifrost_build_info" in scraped(url)


def test_many_threads_turn_it_on_and_off(host):
    """
    There is one endpoint in the end, or none; no thread and no port is left.
    """

    def turn(number):
        for _ in range(10):
            host.enable_monitoring(":0")
            if number % 2:
                host.disable_monitoring()

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    host.disable_monitoring()

    assert [] == [t.name for t in threading.enumerate() if t.name == "bifrost-metrics"]


def test_a_forked_child_serves_when_it_says_so(host):
    """
    It inherits no endpoint, and the parent's goes on.
    """
    url = host.enable_monitoring(":0")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        own = ""
        try:
            own = host.enable_monitoring(":0")
            os.write(write, b"served" if "bifrost_build_info" in scraped(own) else b"empty")
            host.disable_monitoring()
        finally:
            os._exit(0 if own and own != url else 1)
    _, status = os.waitpid(child, 0)
    os.close(write)
    with closing(os.fdopen(read, "rb")) as told:
        assert b"served" == told.read()

    assert 0 == os.waitstatus_to_exitcode(status)
    assert "bifrost_build_info" in scraped(url)


def test_a_forked_child_counts_from_zero(host, hero):
    """
    What the parent did is the parent's.
    """
    host.resolve_asset_path(hero)
    child = os.fork()
    if child == 0:
        count = -1
        try:
            host.resolve_asset_path(hero)
            count = host.get_performance_stats()["resolve_asset_path"]["count"]
        finally:
            os._exit(0 if count == 1 else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)


def test_a_call_belongs_to_the_trace_of_its_context(hero):
    """
    The one it is given, or the active one; the pipeline's span is inside the call's.
    """
    code = """if True:
        import json, sys
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        spans = InMemorySpanExporter()
        trace.set_tracer_provider(TracerProvider())
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
        from bifrost import Context, bifrost_host
        parent = Context(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        bifrost_host.resolve_asset_path(sys.argv[1], context=parent)
        with parent.active():
            bifrost_host.resolve_asset_path(sys.argv[1])
        with bifrost_host.trace_operation("work", context=parent):
            pass
        names = {span.context.span_id: span.name for span in spans.get_finished_spans()}
        print(json.dumps([
            [span.name, f"{span.context.trace_id:032x}", names.get(span.parent.span_id, "came in")]
            for span in spans.get_finished_spans()
        ]))
    """
    output = subprocess.run(
        [sys.executable, "-c", code, hero],
        check=True,
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )
    found = json.loads(output.stdout.splitlines()[-1])

    pipeline, call = found[0][0], "bifrost.resolve_asset_path"
    assert pipeline in {"bifrost.resolve", "bifrost.locate"}
    assert [
        (pipeline, call), (call, "came in"), (pipeline, call), (call, "came in"), ("work", "came in"),
    ] == [(name, parent) for name, _, parent in found]  # fmt: skip
    assert {"0af7651916cd43dd8448eb211c80319c"} == {trace for _, trace, _ in found}


def test_no_reference_user_or_token_is_in_the_metrics(host, hero):
    """
    Whatever was asked, and however it failed.
    """
    context = Context(
        user="ada-lovelace", access_token="planted.secret.token", current_project="p-7"
    )
    url = host.enable_monitoring(":0")
    for reference in (hero, MISSING, "bifrost:///assets/%", "not a reference"):
        with suppress(Exception):  # whatever it is, it is counted
            host.resolve_asset_path(reference, context=context)
    text = scraped(url)

    for secret in ("hero", "missing", "not a reference", "ada-lovelace", "planted", "p-7"):
        assert secret not in text


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def promql(board):
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def test_every_panel_of_the_dashboard_shows_what_is_served(hero, run_python):
    """
    Each metric that its queries name is on the live endpoint of a process that uses USD, with a value.
    """
    code = """if True:
        import sys, urllib.request
        from bifrost.usd import stage
        stage.warm()
        from bifrost import bifrost_host
        bifrost_host.resolve_asset_path(sys.argv[1])
        try:
            bifrost_host.resolve_asset_path("bifrost:///assets/missing")
        except Exception:
            pass
        url = bifrost_host.enable_monitoring(":0")
        print(urllib.request.urlopen(url, timeout=30).read().decode())
    """
    text = run_python(code, hero).stdout
    served = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = list(promql(board))

    assert len(queries) > 20
    for title, query in queries:
        names = re.findall(r"\b(?:bifrost|process)_\w+", query)
        assert names, title
        assert set(names) <= served, title


def test_the_dashboard_is_well_formed():
    """
    Panels have their own ids and places, a data source that can be chosen, and say what they show.
    """
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = list(panels(board))
    places = set()

    assert len(found) == len({panel["id"] for panel in found})
    assert {"datasource", "instance"} == {each["name"] for each in board["templating"]["list"]}
    for panel in found:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert "${datasource}" == panel["datasource"]["uid"], panel["title"]
            for target in panel["targets"]:
                assert target["expr"].count("(") == target["expr"].count(")"), panel["title"]


def test_every_metric_is_on_its_page():
    """
    And the page names none that isn't there.
    """
    from bifrost.monitoring import families

    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(bifrost_[a-z_]+)`", page))
    made = {"bifrost_build_info", "bifrost_breaker_state", "bifrost_operation_duration_seconds"}
    made |= {"bifrost_operation_elements_total", "bifrost_operation_failures_total"}
    for table in (
        families._TIER, families._CACHE, families._MANAGER, families._BATCHING,
        families._THREADS, families._CONNECTIONS, families._RESOLVER,
    ):  # fmt: skip
        for metric in table:
            made.add(f"bifrost_{metric.name}{'_total' if metric.kind == 'counter' else ''}")

    assert made == documented
