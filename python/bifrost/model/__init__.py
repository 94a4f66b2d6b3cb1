# SPDX-License-Identifier: Apache-2.0
"""Bifrost's nouns. Standard library only, so that everything may import them."""
