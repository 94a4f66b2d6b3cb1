# SPDX-License-Identifier: Apache-2.0
"""Bytes by key with a lifetime. A tier knows nothing of entities or traits."""
