# SPDX-License-Identifier: Apache-2.0
"""The public face of Bifrost for Python. Each call is a few lines over its own module."""

from __future__ import annotations

from bifrost import assetio
from bifrost.host.batch_calls import BatchCalls
from bifrost.host.caching import CacheCalls
from bifrost.host.monitoring import MonitoringCalls
from bifrost.host.publishing import PublishingCalls
from bifrost.host.queries import QueryCalls
from bifrost.host.relationships import RelationshipCalls
from bifrost.host.resolving import ResolvingCalls
from bifrost.host.usd_arcs import UsdArcCalls
from bifrost.host.usd_layers import UsdLayerCalls
from bifrost.host.usd_pins import UsdPinCalls
from bifrost.host.usd_publishing import UsdPublishingCalls
from bifrost.host.usd_variants import UsdVariantCalls
from bifrost.session import Session

__all__ = ["BifrostHostInterface", "bifrost_host"]


class BifrostHostInterface(
    ResolvingCalls,
    BatchCalls,
    PublishingCalls,
    RelationshipCalls,
    QueryCalls,
    UsdLayerCalls,
    UsdArcCalls,
    UsdVariantCalls,
    UsdPinCalls,
    UsdPublishingCalls,
    CacheCalls,
    MonitoringCalls,
    assetio.HostIdentity,
):
    """
    Asks whatever manager is configured about entity references, and publishes into our own catalogue.

    It is also the OpenAssetIO host of this process: managers see its identifier and name. Any thread.

    What OpenAssetIO has no call for raises `UnsupportedOperationException` where another manager than
    our own is configured.

    Args:
        session: The session to use; None for the process's own, made from the settings when it is
            first needed.
    """

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self._session = session


bifrost_host = BifrostHostInterface()
