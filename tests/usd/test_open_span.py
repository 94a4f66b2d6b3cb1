# SPDX-License-Identifier: Apache-2.0
"""Where spans are collected, an opening is one; where they are not, it is nothing."""

from __future__ import annotations

import json
from pathlib import Path

from bifrost.testing.show import Show, layer

OPEN = """
import json, sys
from bifrost.usd import warm
warm()
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
for prim in stage.Traverse():
    prim.GetAttribute("v").Get()
"""
COLLECTED = (
    """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
collected = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(collected))
trace.set_tracer_provider(provider)
"""
    + OPEN
    + """
spans = collected.get_finished_spans()
ids = {span.context.span_id: span.name for span in spans}
print(json.dumps([
    (span.name, ids.get(span.parent.span_id) if span.parent else None, dict(span.attributes))
    for span in spans
]))
"""
)


def test_an_opening_is_one_span_and_its_questions_are_parts_of_it(show: Show, run_python) -> None:
    """
    Whatever answers: the manager at first, the recorded closure the next time.
    """
    root = a_root(show)

    cold = json.loads(run_python(COLLECTED, root).stdout)
    warm = json.loads(run_python(COLLECTED, root).stdout)

    opening = ["bifrost.open", None, {"bifrost.root": str(root), "bifrost.elements": 3}]
    assert opening == cold[-1]
    assert [("bifrost.resolve", "bifrost.open")] == [
        (name, parent) for name, parent, _ in cold[:-1]
    ]
    assert [opening] == warm


def test_where_nobody_collects_opentelemetry_is_not_imported(show: Show, run_python) -> None:
    """
    A process that draws pays for no spans.
    """
    source = OPEN + 'print("opentelemetry" in sys.modules)'

    assert "False\n" == run_python(source, a_root(show)).stdout


def a_root(show: Show) -> Path:
    """A root over three layers that need one another."""
    leaf = show.publish("leaf.usda", layer(value="1"))
    middle = show.publish("middle.usda", layer(references=(leaf,)), (leaf,))
    top = show.publish("top.usda", layer(references=(middle, leaf)), (middle, leaf))
    return show.root("root.usda", leaf, middle, top)
