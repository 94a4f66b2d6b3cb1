# SPDX-License-Identifier: Apache-2.0
"""The command `bifrost`: thin over the public API, each command in a module of its own."""
