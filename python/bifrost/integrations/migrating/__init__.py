# SPDX-License-Identifier: Apache-2.0
"""
What moves code and files of earlier releases onto this one.

`finding` knows every use of the old API in one file, `scanning` looks through folders, `rewriting` changes
what is safe to change, `assets` takes an old storage tree into the catalogue.
"""
