# SPDX-License-Identifier: Apache-2.0
"""Reads the metrics that another process serves."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from time import monotonic
from typing import Final

from bifrost.errors import ConfigurationError
from bifrost.monitoring.address import PATH, parsed
from bifrost.monitoring.families import Sample

_PATIENCE_S: Final = 5.0
_MOST_BYTES: Final = 32 << 20
_PIECE: Final = 1 << 16


def scrape(endpoint: str) -> list[Sample]:
    """
    Return the samples that are served at *endpoint*, in their order. Within five seconds or so.

    Raises:
        ConfigurationError: nothing listens there, it is no metrics server, or prometheus_client is
            missing.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise ConfigurationError(
            "reading metrics needs prometheus_client: pip install 'bifrost-usd[metrics]'"
        ) from None
    url = parsed(endpoint).url
    text = _text(endpoint, url)
    try:
        return [
            Sample(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except Exception as error:  # whatever the parser trips over
        raise ConfigurationError(f"{url}: what is served there are no metrics: {error}") from error


def _text(endpoint: str, url: str) -> str:
    address = parsed(endpoint)
    # Plain http.client: it asks no proxy for what runs on this machine, and follows no redirects.
    connection = HTTPConnection(address.host, address.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", PATH, headers={"Accept": "text/plain; version=0.0.4"})
        response = connection.getresponse()
        if response.status != 200:
            raise ConfigurationError(
                f"{url}: answered {response.status} {response.reason}: no metrics are served there"
            )
        body = bytearray()
        until = monotonic() + _PATIENCE_S
        while piece := response.read1(_PIECE):
            body += piece
            if len(body) > _MOST_BYTES or monotonic() > until:
                raise ConfigurationError(f"{url}: too much, or too slow, to be metrics")
        return body.decode("utf-8", "replace")
    except (OSError, HTTPException, ValueError) as error:
        raise ConfigurationError(
            f"{url}: no metrics to be had: {_reason(error)}; is enable_monitoring(metrics_endpoint="
            f'"{address.host}:{address.port}") in force in the process that is meant?'
        ) from error
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__)
