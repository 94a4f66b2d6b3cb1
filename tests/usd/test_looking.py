# SPDX-License-Identifier: Apache-2.0
"""One file is opened once for many looks, and what comes is found while it is looked at."""

from __future__ import annotations

import contextvars
import sys
import threading

import pytest

from bifrost import looking
from bifrost.context import ContextSnapshot
from bifrost.model.reply import Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.usd import coming

LEAF, MID = "bifrost:///assets/leaf?version=2", "bifrost:///assets/mid"


class TestLooking:
    def test_outside_everything_is_made_each_time(self) -> None:
        made = [looking.once("kind", "/a", object) for _ in range(2)]

        assert made[0] is not made[1]

    def test_inside_it_is_made_once_for_each_file_and_kind(self) -> None:
        with looking.kept():
            made = [looking.once(kind, path, object) for kind in "ab" for path in ("/x", "/y")]
            again = [looking.once(kind, path, object) for kind in "ab" for path in ("/x", "/y")]

        assert 4 == len(set(map(id, made)))
        assert made == again

    def test_what_is_large_lasts_until_another_file_is_looked_at(self) -> None:
        with looking.kept():
            first = looking.once("kind", "/x", object, lambda _: sys.maxsize)
            same = looking.once("kind", "/x", object, lambda _: sys.maxsize)
            looking.once("kind", "/y", object)
            other = looking.once("kind", "/x", object, lambda _: sys.maxsize)

        assert (True, False) == (first is same, first is other)

    def test_what_is_kept_is_so_many_bytes_together(self) -> None:
        with looking.kept():
            first, second = [looking.once("k", path, object, lambda _: 60_000_000) for path in "ab"]
            looking.once("k", "c", object)

            assert first is looking.once("k", "a", object)
            assert second is not looking.once("k", "b", object)

    @pytest.mark.parametrize("is_for_all", [True, False])
    def test_a_block_inside_is_part_of_one_that_is_for_all(self, is_for_all: bool) -> None:
        with looking.kept(is_for_all=is_for_all):
            with looking.kept():
                first = looking.once("kind", "/x", object)
            again = looking.once("kind", "/x", object)

        assert is_for_all == (first is again)

    def test_a_thread_with_a_copy_of_the_context_keeps_nothing(self) -> None:
        made = []
        with looking.kept():
            made.append(looking.once("kind", "/x", object))
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=lambda: context.run(lambda: made.append(looking.once("kind", "/x", object)))
            )
            thread.start()
            thread.join(10)

        assert made[0] is not made[1]

    def test_a_failure_is_made_again(self) -> None:
        with looking.kept():
            with pytest.raises(ZeroDivisionError):
                looking.once("kind", "/x", lambda: 1 // 0)
            assert 1 == looking.once("kind", "/x", lambda: 1)

    def test_other_threads_keep_nothing(self) -> None:
        made = []
        with looking.kept():
            made.append(looking.once("kind", "/x", object))
            thread = threading.Thread(
                target=lambda: made.append(looking.once("kind", "/x", object))
            )
            thread.start()
            thread.join(10)

        assert made[0] is not made[1]


class TestComing:
    def ask(self, references: list[str]) -> Reply:
        self.asked = references
        request = Request(Operation.RESOLVE, tuple(references), ContextSnapshot({}, ""))
        return Reply.by_reference(request, lambda each: Resolution(each, "/old"))

    def paths(self, *references: str) -> list[str]:
        return [out.path for _, out in coming.answered(references, self.ask).items()]

    def test_a_version_that_comes_is_answered_and_the_others_are_asked_for(self) -> None:
        with coming.versions({LEAF: "/new"}):
            assert ["/old", "/new"] == self.paths(MID, LEAF)
        assert [MID] == self.asked

    def test_when_it_is_over_everything_is_asked_for(self) -> None:
        with pytest.raises(KeyError), coming.versions({LEAF: "/new"}):
            raise KeyError

        assert ["/old"] == self.paths(LEAF)

    def test_where_everything_comes_nobody_is_asked(self) -> None:
        self.asked = []
        with coming.versions({LEAF: "/new"}):
            self.paths(LEAF)

        assert [] == self.asked
