# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N999  the names are usdview's
"""
Stands in for usdview's Python package, which usd-core comes without: what its plugins may rely on.

`plugin` finds and loads containers as usdview does, by the real `Plug` and `Tf.Type`. `api` has the part
of `UsdviewApi` that a menu needs, over a real stage. `qt` is what usdview shares of Qt. Nothing is drawn.
"""
