# SPDX-License-Identifier: Apache-2.0
"""
What moves settings, code and files of earlier releases onto this one.

`finding` knows every use of the old API in one file and `scanning` looks through folders; `usage` and
`deciding` say what is safe to change, `rewriting` changes it. `tree` reads an old storage tree, `assets`
takes it into the catalogue. `settings` writes settings anew. Stages are moved by `bifrost.usd.migrating`.
"""
