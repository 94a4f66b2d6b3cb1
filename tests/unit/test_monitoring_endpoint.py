# SPDX-License-Identifier: Apache-2.0
"""The endpoint serves Prometheus whatever else happens to it, and harms nobody."""

import http.client
import math
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing

import pytest
from prometheus_client import openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from bifrost.errors import ConfigurationError
from bifrost.monitoring import prometheus
from bifrost.monitoring.address import parsed
from bifrost.monitoring.families import families
from bifrost.monitoring.recorder import Recorder
from bifrost.monitoring.scraping import scrape
from bifrost.monitoring.summary import summary

LIMIT_S = 20.0
STATS = {
    "manager": {
        "round_trips": 7, "breaker": "half-open",
        "threads": {"workers": 3, "busy": 2, "waiting": 1},
        "batching": {"parts": 5, "size": 100},
    },
    "cache": {"hits": 8, "misses": 4, "elements": 12, "stale_served": 2, "revalidated": 1},
    "tiers": {
        "tiers": {
            "memory": {
                "hits": 30, "misses": 10, "entries": 4, "bytes": 2_000, "max_bytes": 9_000,
                "evictions": 1, "errors": 0, "state": "open", "path": "/secret/place",
            }
        },
    },
}  # fmt: skip
RESOLVER = {"entries": 3, "bytes": 300, "hits": 90, "misses": 10, "crossings": 2, "contexts": 1}


@pytest.fixture
def recorder():
    recorder = Recorder()
    recorder.record("resolve", 0.003, elements=10, failures=["not_found"])
    recorder.record("a \"quoted\" \\ name\nof 'two' lines", 0.5)
    return recorder


@pytest.fixture
def endpoint(recorder):
    def collected():
        return families(STATS, recorder.histograms(), RESOLVER, version="1.2.3")

    with closing(prometheus.serve(":0", collected)) as endpoint:
        yield endpoint


def get(endpoint, path="/metrics", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=LIMIT_S)
    with closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read().decode()


def samples_of(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wait_until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scrape_has_every_counter(endpoint):
    """
    As plain urllib gets it and Prometheus' own parser reads it.
    """
    with urllib.request.urlopen(endpoint.url, timeout=LIMIT_S) as response:
        found = samples_of(response.read().decode())

    def value(name, **labels):
        return found[(f"bifrost_{name}", *sorted(labels.items()))]

    assert 1 == value("build_info", version="1.2.3")
    assert 1 == value("operation_duration_seconds_count", operation="resolve")
    assert 0.003 == value("operation_duration_seconds_sum", operation="resolve")
    assert 0 == value("operation_duration_seconds_bucket", operation="resolve", le="0.0025")
    assert 1 == value("operation_duration_seconds_bucket", operation="resolve", le="0.005")
    assert 1 == value("operation_duration_seconds_bucket", operation="resolve", le="+Inf")
    assert 10 == value("operation_elements_total", operation="resolve")
    assert 1 == value("operation_failures_total", operation="resolve", code="not_found")
    assert 30 == value("cache_hits_total", tier="memory")
    assert 10 == value("cache_misses_total", tier="memory")
    assert (4, 2_000) == (
        value("cache_entries", tier="memory"),
        value("cache_bytes", tier="memory"),
    )
    assert 2 == value("cache_stale_served_total")
    assert (12, 8) == (value("cache_asked_total"), value("cache_answered_total"))
    assert (7, 100) == (value("manager_round_trips_total"), value("manager_batch_size"))
    assert (3, 2) == (value("manager_workers"), value("manager_workers_busy"))
    states = {
        state: value("breaker_state", state=state) for state in ("closed", "half-open", "open")
    }
    assert {"closed": 0, "half-open": 1, "open": 0} == states
    assert (3, 300) == (value("resolver_table_entries"), value("resolver_table_bytes"))
    assert 2 == value("resolver_table_crossings_total")
    assert found[("process_open_fds",)] > 0


def test_a_scrape_has_what_happened_since_the_last_one(endpoint, recorder):
    """
    Nothing is computed ahead.
    """
    before = summary(scrape(endpoint.url))["operations"]["resolve"]["count"]
    recorder.record("resolve", 0.1)

    assert before + 1 == summary(scrape(endpoint.url))["operations"]["resolve"]["count"]


def test_a_name_of_any_characters_is_a_label(endpoint):
    """
    Quotes, backslashes and ends of lines arrive as they were.
    """
    assert "a \"quoted\" \\ name\nof 'two' lines" in summary(scrape(endpoint.url))["operations"]


def test_openmetrics_is_served_to_who_asks_for_it(endpoint):
    """
    Its strict parser takes it.
    """
    accept = "application/openmetrics-text; version=1.0.0"
    status, content_type, text = get(endpoint, Accept=accept)
    names = {family.name for family in openmetrics_parser.text_string_to_metric_families(text)}

    assert 200 == status
    assert content_type.startswith("application/openmetrics-text")
    assert {"bifrost_operation_duration_seconds", "bifrost_cache_hits"} <= names
    assert openmetrics.exposition.CONTENT_TYPE_LATEST.split(";")[0] in content_type


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/metrics/../etc/passwd"), ("GET", "/metricsx"), ("POST", "/metrics"),
        ("PUT", "/metrics"), ("DELETE", "/metrics"), ("HEAD", "/"), ("OPTIONS", "/metrics"),
    ],
)  # fmt: skip
def test_there_is_nothing_else_to_get(endpoint, method, path):
    """
    No page, no file, nothing to change.
    """
    status, _, text = get(endpoint, path, method)

    assert 404 == status
    assert "bifrost_" not in text


def test_nothing_secret_is_served(endpoint):
    """
    Paths and states of the counters stay here; the server doesn't tell what it is made of.
    """
    with urllib.request.urlopen(endpoint.url, timeout=LIMIT_S) as response:
        text = response.read().decode()
        server = response.headers["Server"]

    assert "/secret/place" not in text
    assert "Python" not in server


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:9090", "localhost", 9090),
        (":0", "127.0.0.1", 0),
        ("9090", "127.0.0.1", 9090),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:9090", "::1", 9090),
        ("http://farm-7:9090/metrics", "farm-7", 9090),
        ("http://farm-7:9090/", "farm-7", 9090),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text, host, port):
    """
    Without a host it is the loopback interface.
    """
    assert (host, port) == parsed(text)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "localhost:", "localhost:http", "localhost:-1", "localhost:65536", "::1:9090",
     "https://localhost:9090", "user@host:9090", "a b:9090", "host:٣", "host:" + "9" * 5_000, "bücher:1"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text):
    """
    With a message that shows what was expected.
    """
    with pytest.raises(ConfigurationError, match="metrics endpoint: expected"):
        parsed(text)


def test_the_url_names_a_host_that_clients_can_ask():
    """
    "Everywhere" is no place to ask.
    """
    assert "http://localhost:9090/metrics" == parsed("0.0.0.0:9090").url
    assert "http://[::1]:9090/metrics" == parsed("[::1]:9090").url


def test_metrics_are_served_on_the_loopback_interface_unless_told_otherwise(endpoint):
    """
    The socket itself says so.
    """
    assert "127.0.0.1" == endpoint._server.socket.getsockname()[0]


def test_a_taken_port_is_a_clear_error(endpoint):
    """
    It names the port and the way out.
    """
    with pytest.raises(
        ConfigurationError, match=f"{endpoint.port}: Address already in use.*port 0"
    ):
        prometheus.serve(f":{endpoint.port}", list)


def test_a_host_that_is_not_there_is_a_clear_error():
    """
    So is an address of another machine.
    """
    with pytest.raises(ConfigurationError, match=r"can't be served at 192\.0\.2\.1:9090"):
        prometheus.serve("192.0.2.1:9090", list)


def test_a_closed_endpoint_frees_its_port_and_its_thread(endpoint):
    """
    Closing twice is as good; the port can be used again.
    """
    endpoint.close()
    endpoint.close()

    with closing(prometheus.serve(f":{endpoint.port}", list)) as again:
        assert 200 == get(again)[0]
    assert [] == [t.name for t in threading.enumerate() if t.name == "bifrost-metrics"]


def test_counters_that_can_t_be_had_are_an_error_of_the_scrape_alone():
    """
    Prometheus is told, and the next scrape is tried again.
    """
    troubles = [RuntimeError("the tiers are on fire: token=abc")]

    def collected():
        if troubles:
            raise troubles.pop()
        return []

    with closing(prometheus.serve(":0", collected)) as endpoint:
        status, _, text = get(endpoint)
        assert (500, False) == (status, "token" in text)
        assert 200 == get(endpoint)[0]


def test_many_clients_are_served_and_too_many_turned_away(endpoint):
    """
    Forty at once: each is answered or told to come back, no thread is left.
    """
    statuses = []

    def scraped():
        try:
            statuses.append(get(endpoint)[0])
        except (OSError, http.client.HTTPException):
            statuses.append(0)  # turned away before it had asked

    clients = [threading.Thread(target=scraped) for _ in range(40)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(LIMIT_S)

    assert 40 == len(statuses)
    assert {200} <= set(statuses) <= {200, 503, 0}
    assert 200 == get(endpoint)[0]
    wait_until(lambda: not endpoint._server._visits)


def test_clients_who_say_nothing_take_no_more_than_their_places(endpoint, monkeypatch):
    """
    Those beyond the eighth are turned away; all are cut off in time, and Prometheus is served again.
    """
    silent = [
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=LIMIT_S) for _ in range(30)
    ]
    try:
        wait_until(lambda: len(endpoint._server._visits) == 8)
        threads = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(threads) <= 8
        monkeypatch.setattr(prometheus, "_VISIT_S", 0.1)
        wait_until(lambda: not endpoint._server._visits)
        assert 200 == get(endpoint)[0]
    finally:
        for each in silent:
            each.close()


def test_a_client_that_trickles_is_cut_off(endpoint, monkeypatch):
    """
    A byte now and then keeps no place for ever.
    """
    monkeypatch.setattr(prometheus, "_VISIT_S", 0.5)
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=LIMIT_S) as client:
        wait_until(lambda: not sends(client, b"G"))

    wait_until(lambda: not endpoint._server._visits)


def sends(client, data):
    try:
        client.sendall(data)
    except OSError:
        return False
    return True


def test_garbage_is_answered_or_cut_off(endpoint, capfd):
    """
    And leaves no traceback on stderr.
    """
    for garbage in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"G" * 100_000 + b"\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=LIMIT_S) as client:
            try:
                client.sendall(garbage)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65_536):
                    pass
            except OSError:
                pass

    assert 200 == get(endpoint)[0]
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_leaves_before_the_answer_harms_nobody(endpoint, capfd):
    """
    A hundred of them.
    """
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=LIMIT_S) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    wait_until(lambda: not endpoint._server._visits)
    assert 200 == get(endpoint)[0]
    assert "Traceback" not in capfd.readouterr().err


def test_descriptors_come_back(endpoint):
    """
    Two hundred scrapes, as many file descriptors after as before.
    """
    get(endpoint)
    wait_until(lambda: not endpoint._server._visits)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        assert 200 == get(endpoint)[0]
    wait_until(lambda: not endpoint._server._visits)

    assert before >= len(os.listdir("/proc/self/fd"))


def test_a_forked_child_holds_no_port(endpoint):
    """
    When the parent closes it, it is free, though the child lives.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        endpoint.after_fork()
        endpoint.close()
        os.read(read, 1)
        os._exit(0)
    try:
        assert 200 == get(endpoint)[0]
        endpoint.close()
        wait_until(lambda: is_refused(endpoint.port))
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def is_refused(port):
    with socket.socket() as client:
        client.settimeout(LIMIT_S)
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_a_process_that_serves_ends_at_once():
    """
    No thread of the server keeps it, not even one with a client.
    """
    code = """if True:
        import socket
        from bifrost.monitoring.prometheus import serve
        endpoint = serve(":0", list)
        client = socket.create_connection(("127.0.0.1", endpoint.port))
        while not endpoint._server._visits:
            pass
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S)


def test_without_prometheus_client_the_extra_is_named():
    """
    The message says what to install.
    """
    code = """if True:
        import sys
        sys.modules["prometheus_client"] = None
        from bifrost.errors import ConfigurationError
        from bifrost.monitoring.prometheus import serve
        from bifrost.monitoring.scraping import scrape
        for call in (lambda: serve(":0", list), lambda: scrape(":1")):
            try:
                call()
            except ConfigurationError as error:
                assert "pip install 'bifrost-usd[metrics]'" in str(error)
            else:
                raise SystemExit("no error")
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S)


def test_a_summary_says_what_the_samples_say(endpoint):
    """
    Percentages are computed, whole numbers are whole.
    """
    found = summary(scrape(endpoint.url))

    assert "1.2.3" == found["version"]
    assert 75.0 == found["tiers"]["memory"]["hit_rate"]
    assert ("half-open", 7) == (found["manager"]["breaker"], found["manager"]["round_trips"])
    assert {"asked": 12, "answered": 8, "stale_served": 2, "revalidated": 1} == found["cache"]
    assert 90 == found["resolver"]["table_hits"]
    resolve = found["operations"]["resolve"]
    assert (1, 10, 90.0) == (resolve["count"], resolve["elements"], resolve["success_rate"])
    assert 2.5 < resolve["p50_ms"] <= 5.0
    assert {"not_found": 1} == resolve["failures"]


def test_samples_of_anybody_are_summed_up_without_complaint():
    """
    Values that are no numbers, buckets out of order, labels that are missing.
    """
    from bifrost.monitoring.families import Sample

    duration = "bifrost_operation_duration_seconds"
    found = summary(
        [
            Sample("up", {}, 1.0),
            Sample(f"{duration}_count", {}, math.nan),
            Sample(f"{duration}_bucket", {"operation": "x", "le": "ten"}, 3.0),
            Sample(f"{duration}_bucket", {"operation": "x", "le": "1.0"}, 5.0),
            Sample("bifrost_cache_hits_total", {"tier": "memory"}, math.inf),
            Sample("bifrost_operation_failures_total", {"operation": "x"}, 2.0),
        ]
    )

    assert {"", "x"} == found["operations"].keys()


def test_nothing_that_listens_is_a_clear_error():
    """
    It says what to do in the process that is meant.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConfigurationError, match=f"{port}/metrics.*refused.*enable_monitoring"):
        scrape(f"localhost:{port}")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "answered 404"),
        (b"HTTP/1.0 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "answered 302"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>hello, {world", "no metrics"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no metrics to be had"),
        (b"", "no metrics to be had"),
    ],
)
def test_another_server_is_a_clear_error(answer, message):
    """
    Whatever it says.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answered():
            client, _ = server.accept()
            with client:
                client.recv(65_536)
                client.sendall(answer)

        thread = threading.Thread(target=answered)
        thread.start()
        with pytest.raises(ConfigurationError, match=message):
            scrape(f":{server.getsockname()[1]}")
        thread.join(LIMIT_S)
