# SPDX-License-Identifier: Apache-2.0
"""
Watch what a process asks, how long it takes, and what the caches save it.

    python examples/monitoring.py

publishes a chair, asks for it a hundred times, and prints the numbers as Python has them and as Prometheus
reads them. docs/monitoring/grafana.json is a dashboard of the latter.
"""

import contextlib
import os
import tempfile
import urllib.request
from pathlib import Path

from bifrost import AssetNotFoundException, bifrost_host

CHAIR = Path(__file__).resolve().parents[1] / "usd_samples" / "versions_and_statuses" / "chair.usda"


def main() -> None:
    """Ask, and look at the numbers three ways."""
    # A free port of this machine; a studio's would be ":9090", and Prometheus would be told of it.
    url = bifrost_host.enable_monitoring(":0")
    chair = bifrost_host.register_asset("model", "Chair", CHAIR)

    # A name of your own, for what belongs together. Where OpenTelemetry is set up it is a span, too.
    with bifrost_host.trace_operation("furnish_room") as span:
        span.set_attribute("room", "library")
        for _ in range(100):
            bifrost_host.resolve_asset_path(chair)
    try:
        bifrost_host.resolve_asset_path("bifrost:///assets/Chiar")
    except AssetNotFoundException as error:
        print(f"{error.asset_uri}: did you mean {', '.join(error.suggestions)}?")

    stats = bifrost_host.get_performance_stats()
    calls = stats["resolve_asset_path"]
    print(f"calls: {calls['count']}, of which failed: {calls['failures']}")
    print(f"round trips to the manager: {stats['manager']['round_trips']}")
    print(f"slowest: {calls['max_ms']:.1f} ms, half within: {calls['p50_ms']:.3f} ms")
    print(f"furnish_room: {stats['furnish_room']['count']} time")
    for name, tier in stats["tiers"].items():
        print(f"cache {name}: {tier['hits']} hits, {tier['misses']} misses")

    print(f"\nwhat Prometheus reads from {url}:")
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    print("\n".join(line for line in lines if "failures_total{" in line or "round_trips" in line))
    bifrost_host.disable_monitoring()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bifrost-example-") as home:
        os.environ["BIFROST_HOME"] = home  # a catalogue to try things in
        with contextlib.closing(bifrost_host.session):
            main()
