# SPDX-License-Identifier: Apache-2.0
"""Caches as somebody leaves them who can write to where they lie."""

from __future__ import annotations

import time

import pytest

from bifrost.context import effective
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import _packed, _packer, subject_of
from bifrost.session import Session
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.usd.closures import Closures
from bifrost.usd.later import Later


class Poison:
    """Writes into the cache on disk of a session, with no key."""

    def key_of(self, session: Session, reference: str, kind: bytes = b"r") -> bytes:
        """Return the key under which *session* looks for an answer to *reference*."""
        return kind + session.cache.scope(effective(None).scope) + subject_of(reference)

    def entry(self, session: Session, key: bytes, value: bytes) -> None:
        """Put *value* under *key*, for ever."""
        settings = session.settings
        with LmdbTier(settings.cache_directory, max_bytes=settings.cache.disk_bytes) as tier:
            tier.put({key: Entry(value, FOREVER, time.time(), tier.invalidations.sequence())})
            tier.flush()

    def answer(self, session: Session, reference: str, path: str) -> None:
        """Say that *reference* is at *path*."""
        value = _packed(Resolution(reference, path, immutable=True, manager="other"), _packer())
        self.entry(session, self.key_of(session, reference), value)

    def closure(self, session: Session, root: str, paths: dict[str, str]) -> None:
        """Say that opening *root* asks for the references of *paths*, and where they are."""
        later = Later()
        answers = {
            ref: Resolution(ref, path, immutable=True, expires=FOREVER)
            for ref, path in paths.items()
        }
        closures = Closures(session.tiers, later)
        scope = session.cache.scope(effective(None).scope)
        closures.record(scope, root, answers, closures.tiers.sequence())
        later.run_all()
        session.tiers.flush()


@pytest.fixture
def poison() -> Poison:
    """What somebody can do who can write to a cache."""
    return Poison()
