# SPDX-License-Identifier: Apache-2.0
"""
The OpenAssetIO integration of earlier releases: its import paths, over today's core.

| import path | name |
|---|---|
| `….bifrost_host` | `BifrostHostInterface`, `bifrost_host` |
| `….bifrost_manager` | `BifrostManagerInterface` |
| `….uri_mapper` | `AssetUriMapper` |

Everything answers as it did: None instead of an exception. Each old name warns once for each line that uses
it; docs/compatibility.md says what replaces it and when it goes.
"""
