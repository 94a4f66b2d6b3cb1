# SPDX-License-Identifier: Apache-2.0
"""
Bifrost: USD files that name assets, opened as fast as plain files.

```python
from bifrost import bifrost_host

bifrost_host.resolve_asset_path("bifrost:///assets/hero_model?version=3")
```

Importing this imports nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bifrost.cli.progress import progress_bar
    from bifrost.context import Context
    from bifrost.errors import (
        AccessModeException,
        AssetException,
        AssetNotFoundException,
        BatchCancelledException,
        BifrostError,
        CatalogueError,
        ConfigurationError,
        ConflictException,
        DeadlineExceededException,
        InvalidQueryException,
        InvalidReferenceException,
        InvalidTraitsException,
        LayerException,
        LocationException,
        ManagerMisbehavedException,
        NetworkErrorException,
        PermissionDeniedException,
        PublishRefusedException,
        StorageException,
        TierError,
        UnsupportedOperationException,
    )
    from bifrost.host import BifrostHostInterface, bifrost_host
    from bifrost.manager import BifrostManagerInterface
    from bifrost.uri_mapper import AssetUriMapper

__all__ = [
    "AccessModeException",
    "AssetException",
    "AssetNotFoundException",
    "AssetUriMapper",
    "BatchCancelledException",
    "BifrostError",
    "BifrostHostInterface",
    "BifrostManagerInterface",
    "CatalogueError",
    "ConfigurationError",
    "ConflictException",
    "Context",
    "DeadlineExceededException",
    "InvalidQueryException",
    "InvalidReferenceException",
    "InvalidTraitsException",
    "LayerException",
    "LocationException",
    "ManagerMisbehavedException",
    "NetworkErrorException",
    "PermissionDeniedException",
    "PublishRefusedException",
    "StorageException",
    "TierError",
    "UnsupportedOperationException",
    "bifrost_host",
    "progress_bar",
]

_HOMES: Final = {
    "AssetUriMapper": "uri_mapper",
    "BifrostHostInterface": "host",
    "BifrostManagerInterface": "manager",
    "Context": "context",
    "bifrost_host": "host",
    "progress_bar": "cli.progress",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"bifrost.{_HOMES.get(name, 'errors')}"), name)
    raise AttributeError(f"module 'bifrost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
