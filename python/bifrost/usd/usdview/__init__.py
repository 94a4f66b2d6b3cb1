# SPDX-License-Identifier: Apache-2.0
"""
The `Bifrost` menu of usdview: docs/usdview.md.

`subjects`, `panels` and `switching` know the stage and no Qt; `dialogs` and `waiting` are Qt; `commands`
puts them together, and `menu` is what usdview loads.
"""
