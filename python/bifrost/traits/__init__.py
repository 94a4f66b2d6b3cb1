# SPDX-License-Identifier: Apache-2.0
"""
Bifrost's own OpenAssetIO traits and specifications.

`traits.yml` defines and documents them, `generated/` is what openassetio-traitgen makes of it
(`bifrost.traits.generated.traits.locale`, `….specifications.relationship` and so on). This package
imports none of it, so that it can be regenerated whatever state it is in.
"""
