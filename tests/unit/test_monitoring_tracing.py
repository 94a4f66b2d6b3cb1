# SPDX-License-Identifier: Apache-2.0
"""Spans reach a collector that listens, in the trace they belong to; without one they are nothing."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bifrost.context import Context
from bifrost.errors import AssetNotFoundException, Code, ConfigurationError
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.monitoring import tracing
from bifrost.monitoring.opentelemetry import collector_url
from bifrost.monitoring.recorder import Recorder
from bifrost.pipeline.observe import Observe, Part
from bifrost.testing.clock import Clock

LIMIT_S = 30.0
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
HERO = "bifrost:///assets/hero"


class Collector:
    """What OTLP over HTTP sends to: it keeps the spans, by name, as plain values."""

    def __init__(self):
        self.resources = []
        self.spans = []
        collector = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def take(self, path, body):
        assert path == "/v1/traces"
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(values_of(group.resource.attributes))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]

    def named(self, name):
        [found] = [span for span in self.spans if span.name == name]
        return found

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def values_of(attributes):
    return {each.key: value_of(each.value) for each in attributes}


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


@pytest.fixture
def collector():
    with closing(Collector()) as collector:
        yield collector


@contextmanager
def sent_to(collector):
    """Collect what happens inside; it has been sent when the block is left."""
    tracing.export_to(collector.url)
    try:
        yield
    finally:
        tracing.stop()


class Manager:
    """Answers with a resolution, or as it is told."""

    def __init__(self, **answers):
        self.answers = answers
        self.requests = []

    def handle(self, request):
        self.requests.append(request)
        return Reply.by_reference(
            request, lambda ref: self.answers.get(ref, Resolution(ref, "/f", manager="m"))
        )


def asked(*references, operation=Operation.RESOLVE, **context):
    return Request(operation, references, Context(**context).snapshot())


def run(code, **env):
    completed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_a_span_is_sent_with_what_was_noted_on_it(collector):
    """
    Attributes of every kind, events with their times, and who sent it.
    """
    with sent_to(collector), tracing.span("asset_processing", count=3) as span:
        span.set_attribute("asset_type", "model")
        span.set_attribute("share", 0.5)
        span.set_attribute("is_hero", True)
        span.set_attribute("tags", ["a", "b"])
        span.set_attribute("path", os.fspath("/x"))
        span.set_attribute("odd", {"a": 1})
        span.set_attribute("broken", "a\udcffb")
        span.add_event("half", done=1)

    found = collector.named("asset_processing")
    assert {
        "count": 3, "asset_type": "model", "share": 0.5, "is_hero": True, "tags": ["a", "b"],
        "path": "/x", "odd": "{'a': 1}", "broken": "a?b",
    } == values_of(found.attributes)  # fmt: skip
    assert [("half", {"done": 1})] == [(e.name, values_of(e.attributes)) for e in found.events]
    assert found.start_time_unix_nano <= found.events[0].time_unix_nano <= found.end_time_unix_nano
    assert ["bifrost"] == [each["service.name"] for each in collector.resources]


def test_the_environment_names_the_process(collector, monkeypatch):
    """
    As OpenTelemetry's own variables say.
    """
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lighting")
    with sent_to(collector), tracing.span("work"):
        pass

    assert ["lighting"] == [each["service.name"] for each in collector.resources]


def test_a_span_inside_another_is_its_child(collector):
    """
    And of the same trace; one after it is of a trace of its own.
    """
    with sent_to(collector):
        with tracing.span("outer"), tracing.span("inner"):
            pass
        with tracing.span("later"):
            pass

    outer, inner, later = map(collector.named, ("outer", "inner", "later"))
    assert (outer.trace_id, outer.span_id) == (inner.trace_id, inner.parent_span_id)
    assert b"" == later.parent_span_id
    assert outer.trace_id != later.trace_id


def test_a_traceparent_that_came_in_is_continued(collector):
    """
    W3C's header is the parent, and what goes out names the span.
    """
    with sent_to(collector), tracing.span_from(TRACEPARENT, "work"):
        out = tracing.traceparent()

    span = collector.named("work")
    assert (TRACE, PARENT) == (span.trace_id.hex(), span.parent_span_id.hex())
    assert f"00-{TRACE}-{span.span_id.hex()}-01" == out


def test_an_open_span_of_the_same_trace_is_nearer_than_the_traceparent(collector):
    """
    A call with a context, inside a call with the same one, is its child.
    """
    other = f"00-{'1' * 32}-{'2' * 16}-01"
    with sent_to(collector), tracing.span_from(TRACEPARENT, "outer"):
        with tracing.span_from(TRACEPARENT, "inner"):
            pass
        with tracing.span_from(other, "foreign"):
            pass

    assert collector.named("outer").span_id == collector.named("inner").parent_span_id
    assert "2" * 16 == collector.named("foreign").parent_span_id.hex()


@pytest.mark.parametrize(
    "traceparent", ["", "nonsense", "00-0-0-00", f"00-{'0' * 32}-{PARENT}-01", 7]
)
def test_a_malformed_traceparent_starts_a_trace(collector, traceparent):
    """
    As W3C wants it.
    """
    with sent_to(collector), tracing.span_from(traceparent, "work"):
        pass

    assert b"" == collector.named("work").parent_span_id


def test_a_process_continues_the_trace_of_its_environment(collector, monkeypatch):
    """
    A job on a farm; spans inside its first one are that one's children.
    """
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    with sent_to(collector), tracing.span("job"), tracing.span("inner"):
        pass

    job, inner = collector.named("job"), collector.named("inner")
    assert (TRACE, PARENT) == (job.trace_id.hex(), job.parent_span_id.hex())
    assert job.span_id == inner.parent_span_id


def test_what_is_not_sampled_up_there_is_not_sent(collector):
    """
    The flag in the traceparent decides.
    """
    with sent_to(collector), tracing.span_from(f"00-{TRACE}-{PARENT}-00", "work"):
        pass

    assert [] == collector.spans


def test_an_error_of_ours_is_told_and_of_others_only_its_type(collector):
    """
    Whatever other exceptions say may be a secret.
    """
    ours = AssetNotFoundException("no asset 'hero'", asset_uri=HERO, code=Code.NOT_FOUND)
    with sent_to(collector):
        for name, error in (("ours", ours), ("theirs", ValueError("token=abc.def.ghi"))):
            with pytest.raises(type(error)), tracing.span(name):
                raise error

    ours, theirs = collector.named("ours"), collector.named("theirs")
    assert (2, "no asset 'hero'") == (ours.status.code, ours.status.message)
    assert {"error.type": "not_found"} == values_of(ours.attributes)
    assert (2, "ValueError") == (theirs.status.code, theirs.status.message)
    assert b"token" not in theirs.SerializeToString()


def test_a_request_is_one_span_however_many_references_it_has(collector):
    """
    It says how many there were, what failed, which tiers answered, and when its parts were.
    """
    manager = Manager(missing=Failure(Code.NOT_FOUND, "no"), late=Failure(Code.DEADLINE, "late"))
    manager.answers["known"] = Resolution("known", "/f", manager="m", tier="memory")
    clock = Clock()
    pipeline = Observe(Part(manager, "manager", tracing, clock), Recorder(), tracing)
    request = asked(HERO, "missing", "late", "known")
    with sent_to(collector):
        reply = pipeline.handle(request)

    [span] = collector.spans
    assert "bifrost.resolve" == span.name
    assert {
        "bifrost.elements": 4, "bifrost.failures": 2, "bifrost.failures.not_found": 1,
        "bifrost.failures.deadline": 1, "bifrost.answered_by.manager": 1,
        "bifrost.answered_by.memory": 1, "bifrost.manager": ["m"],
    } == values_of(span.attributes)  # fmt: skip
    assert ["manager.begin", "manager.end"] == [event.name for event in span.events]
    assert request is reply.request


def test_no_reference_and_no_user_is_in_a_span(collector):
    """
    Nor the token that came with the request.
    """
    pipeline = Observe(Part(Manager(), "manager", tracing), Recorder(), tracing)
    with sent_to(collector):
        pipeline.handle(asked(HERO, user="ada", access_token="planted-secret"))

    [span] = collector.spans
    for secret in (HERO, "ada", "planted-secret"):
        assert secret.encode() not in span.SerializeToString()


def test_a_request_carries_its_spans_traceparent_on(collector):
    """
    In the trace that the context names; caches see the same scope, the caller's context is untouched.
    """
    manager = Manager()
    request = asked(HERO, user="ada", traceparent=TRACEPARENT)
    with sent_to(collector):
        Observe(manager, Recorder(), tracing).handle(request)

    span = collector.named("bifrost.resolve")
    assert (TRACE, PARENT) == (span.trace_id.hex(), span.parent_span_id.hex())
    [went_on] = manager.requests
    assert f"00-{TRACE}-{span.span_id.hex()}-01" == went_on.context.get("traceparent")
    assert (request.context.scope, "ada") == (went_on.context.scope, went_on.context.get("user"))
    assert TRACEPARENT == request.context.get("traceparent")


def test_a_part_that_raises_says_so(collector):
    """
    And so does its request.
    """

    class Broken:
        def handle(self, _):
            raise ConfigurationError("no such manager")

    recorder = Recorder()
    pipeline = Observe(Part(Broken(), "manager", tracing), recorder, tracing)
    with sent_to(collector), pytest.raises(ConfigurationError):
        pipeline.handle(asked(HERO, "b"))

    span = collector.named("bifrost.resolve")
    assert ["manager.begin", "manager.end", "exception"] == [event.name for event in span.events]
    assert {"ConfigurationError": 2} == recorder.stats()["resolve"]["failures"]


def test_a_request_is_counted_whether_or_not_it_is_traced():
    """
    One record, all its elements.
    """
    clock = Clock()
    recorder = Recorder()

    class Slow(Manager):
        def handle(self, request):
            clock.advance(0.25)
            return super().handle(request)

    manager = Slow(missing=Failure(Code.NOT_FOUND, "no"))
    pipeline = Observe(Part(manager, "manager", tracing), recorder, tracing, clock)
    request = asked(HERO, "missing", "a", "b")
    pipeline.handle(request)
    pipeline.handle(asked("b", operation=Operation.EXISTS))

    stats = pipeline.stats()
    assert {"resolve", "exists"} == stats.keys()
    assert (1, 4, 75.0) == tuple(stats["resolve"][k] for k in ("count", "elements", "success_rate"))
    assert pytest.approx(250.0) == stats["resolve"]["avg_duration_ms"]
    assert request is manager.requests[0]


def test_a_recorder_that_is_off_leaves_requests_alone():
    """
    No clock is read.
    """
    recorder = Recorder()
    recorder.enabled = False
    pipeline = Observe(Manager(), recorder, None, clock=None)

    assert 1 == len(pipeline.handle(asked(HERO)).outcomes)
    assert {} == pipeline.stats()


def test_without_a_collector_there_is_no_span():
    """
    Its methods do nothing; there is no traceparent to send along.
    """
    assert not tracing.is_on()
    with tracing.span("work", a=1) as span:
        span.set_attribute("a", object())
        span.add_event("b", c=object())
        tracing.event("d")
        assert tracing.traceparent() is None


def test_an_exporter_can_be_replaced_and_stopped(collector):
    """
    The same one again is no news; after the end nothing is sent.
    """
    with closing(Collector()) as other:
        assert tracing.export_to(collector.url)
        assert not tracing.export_to(collector.url)
        with tracing.span("first"):
            pass
        assert tracing.export_to(other.url)
        with tracing.span("second"):
            pass
        tracing.stop()
        tracing.stop()
        with tracing.span("third"):
            pass

        assert ["first"] == [span.name for span in collector.spans]
        assert ["second"] == [span.name for span in other.spans]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://collector/", "https://collector/v1/traces"),
        ("http://collector:4318/otlp/v1/traces", "http://collector:4318/otlp/v1/traces"),
    ],
)
def test_a_collector_is_a_url(endpoint, url):
    """
    OTLP's path is added where there is none.
    """
    assert url == collector_url(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["", "grpc://collector:4317", "http://", "http://a:b", "http://["]
)
def test_what_is_no_collector_is_refused(endpoint):
    """
    With a message that shows what was expected.
    """
    with pytest.raises(ConfigurationError, match="traces endpoint: expected"):
        tracing.export_to(endpoint)


def test_an_application_that_configured_opentelemetry_gets_our_spans_in_its_traces():
    """
    Its provider is used, from the moment it is there, and left alone by `stop`.
    """
    code = """if True:
        import json, sys
        from bifrost.monitoring import tracing
        assert not tracing.is_on()
        assert "opentelemetry" not in sys.modules
        from opentelemetry import trace
        assert not tracing.is_on() and not tracing.is_on()
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(provider)
        assert tracing.is_on()
        with trace.get_tracer("app").start_as_current_span("frame"), tracing.span("inner"):
            pass
        tracing.stop()
        with tracing.span("after"):
            pass
        print(json.dumps([[s.name, s.parent is not None] for s in spans.get_finished_spans()]))
    """
    assert [["inner", True], ["frame", False], ["after", False]] == json.loads(run(code))


def test_an_application_that_turned_the_sdk_off_gets_no_spans():
    """
    `OTEL_SDK_DISABLED` is obeyed.
    """
    code = """if True:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        from bifrost.monitoring import tracing
        assert not tracing.is_on()
    """
    run(code, OTEL_SDK_DISABLED="true")


def test_without_opentelemetry_everything_works_and_the_extra_is_named():
    """
    Its import fails; spans are nothing; only who asks for an exporter is told.
    """
    code = """if True:
        import sys
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "opentelemetry":
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Blocker())
        from bifrost.context import Context
        from bifrost.errors import ConfigurationError
        from bifrost.model.reply import Reply
        from bifrost.model.request import Operation, Request
        from bifrost.monitoring import tracing
        from bifrost.monitoring.recorder import Recorder
        from bifrost.pipeline.observe import Observe, Part
        class Manager:
            def handle(self, request):
                return Reply.by_reference(request, lambda reference: True)
        pipeline = Observe(Part(Manager(), "manager", tracing), Recorder(), tracing)
        pipeline.handle(Request(Operation.EXISTS, ("a",), Context(traceparent="x").snapshot()))
        with tracing.span("work") as span:
            span.set_attribute("a", 1)
            tracing.event("b")
        assert tracing.traceparent() is None and not tracing.is_on()
        try:
            tracing.export_to("http://localhost:4318")
        except ConfigurationError as error:
            assert "pip install 'bifrost-usd[tracing]'" in str(error)
        else:
            raise SystemExit("no error")
        assert not tracing.is_on()
    """
    run(code)


def test_many_threads_make_spans_of_their_own(collector):
    """
    No thread's span is another's parent, and none is lost.
    """

    def work(number):
        for _ in range(50):
            with tracing.span(f"outer {number}"), tracing.span(f"inner {number}"):
                pass

    with sent_to(collector):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)

    assert 800 == len(collector.spans)
    outer = {span.span_id: span.name for span in collector.spans if span.name.startswith("outer")}
    for span in collector.spans:
        if span.name.startswith("inner"):
            assert f"outer {span.name.split()[1]}" == outer[span.parent_span_id]


def test_a_forked_child_sends_its_spans(collector):
    """
    From a thread of its own, whatever the parent's was doing.
    """
    with sent_to(collector):
        with tracing.span("parent"):
            child = os.fork()
            if child == 0:
                try:
                    with tracing.span("child"):
                        pass
                    tracing.stop()
                finally:
                    os._exit(0)
        os.waitpid(child, 0)

    assert {"parent", "child"} == {span.name for span in collector.spans}
    assert collector.named("parent").span_id == collector.named("child").parent_span_id


def test_a_collector_that_hangs_or_is_down_does_not_keep_a_process():
    """
    Spans are given up; the process ends with success within seconds.
    """
    import socket

    with socket.create_server(("127.0.0.1", 0)) as hanging, socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        for server in (hanging, down):
            code = f"""if True:
                from bifrost.monitoring import tracing
                tracing.export_to("http://127.0.0.1:{server.getsockname()[1]}")
                for _ in range(3000):
                    with tracing.span("work"):
                        pass
            """
            begun = time.monotonic()
            run(code)
            assert time.monotonic() - begun < 20.0


def test_a_collector_that_is_down_delays_no_span(caplog):
    """
    Ten thousand spans at nobody: dropped, not waited for. Seconds would be minutes otherwise.
    """
    caplog.set_level(logging.CRITICAL)
    tracing.export_to("http://127.0.0.1:9")
    try:
        begun = time.monotonic()
        for _ in range(10_000):
            with tracing.span("work"):
                pass
        assert time.monotonic() - begun < 20.0
    finally:
        tracing.stop()
