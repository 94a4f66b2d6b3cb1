# SPDX-License-Identifier: Apache-2.0
"""The import paths of earlier releases, and what moves code and files off them."""
