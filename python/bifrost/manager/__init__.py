# SPDX-License-Identifier: Apache-2.0
"""
Our OpenAssetIO manager: it translates questions for the catalogue, and its answers back.

As OpenAssetIO asks (`managerApi.ManagerInterface.resolve`): what concerns one element goes to the
error callback of that element; what concerns the batch (the catalogue is locked, a locale that
makes no sense) is raised. Callbacks are called outside every `try`: a host's may raise, and its
exception must reach the host.
"""

from bifrost.manager.interface import DISPLAY_NAME, BifrostManagerInterface

__all__ = ["DISPLAY_NAME", "BifrostManagerInterface"]
