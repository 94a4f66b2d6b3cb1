# SPDX-License-Identifier: Apache-2.0
"""The handlers that a request crosses on its way to a manager, each round the next."""
