# SPDX-License-Identifier: Apache-2.0
"""
Rewriting Python files off the old API, formatting and comments kept.

`deciding` says what, by the places that the syntax tree gives; here it is done on libcst's tree, which
holds every blank. What comes out is looked at again before it is believed: it parses, and what was
rewritten is not found in it any more.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bifrost.errors import ConfigurationError
from bifrost.integrations.migrating.deciding import ERROR, Plan, names_imported, plan
from bifrost.integrations.migrating.finding import Source, Use
from bifrost.integrations.migrating.scanning import Trouble, read, why
from bifrost.integrations.migrating.usage import Place
from bifrost.replacing import replace_file

if TYPE_CHECKING:
    import libcst


_WRITABLE: Final = 0o222


class Rewritten(NamedTuple):
    """
    What rewriting one file comes to.

    Attributes:
        file: Its path.
        before: Its content.
        after: What its content becomes; the same where nothing is safe to change.
        left: The uses of the old API that stay, each with why.
    """

    file: str
    before: bytes
    after: bytes
    left: tuple[Use, ...]

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff."""
        before, after = (
            text.decode("utf-8", "replace").splitlines(keepends=True)
            for text in (self.before, self.after)
        )
        name = self.file.lstrip("/")
        lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def rewritten(files: Iterable[Path]) -> tuple[list[Rewritten], list[Trouble]]:
    """
    Return what rewriting *files* comes to, of those that use the old API, and what couldn't be read.

    Nothing is written. Give it all files of a project at once: what one of them imports from another is
    left alone there.

    Raises:
        ConfigurationError: libcst isn't installed.
    """
    _libcst()
    sources: dict[str, tuple[bytes, Source]] = {}
    troubles: list[Trouble] = []
    for path in files:
        try:
            content = read(path)
            sources[str(path)] = content, Source(content)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            troubles.append(Trouble(str(path), why(error)))
    imported = names_imported(source for _, source in sources.values())
    done = []
    for name, (content, source) in sources.items():
        elsewhere = imported.get(_module(name), set())
        planned = plan(source, elsewhere)
        if planned.imports or planned.left:
            try:
                done.append(_rewrite(name, content, planned, elsewhere))
            except _UncertainError as error:
                troubles.append(Trouble(name, str(error)))
    return done, troubles


def write(change: Rewritten) -> None:
    """
    Put the new content in the file's place, whole or not at all; mode and links stay.

    Raises:
        OSError: it can't be written, is read-only, or isn't any more what was looked at.
    """
    path = Path(os.path.realpath(change.file))
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _WRITABLE:  # which a file put in its place would pass over
        raise OSError("it is read-only")
    if path.read_bytes() != change.before:
        raise OSError("it changed meanwhile; run this again")
    replace_file(path, change.after, mode=mode, durable=True)


class _UncertainError(Exception):
    """What came out can't be trusted."""


def _module(name: str) -> str:
    path = Path(name)
    return path.parent.name if path.stem == "__init__" else path.stem


def _libcst() -> Any:
    try:
        import libcst
        import libcst.metadata
    except ImportError:
        raise ConfigurationError(
            "rewriting code needs libcst: pip install 'bifrost-usd[migrate]'"
        ) from None
    return libcst


def _rewrite(name: str, content: bytes, planned: Plan, elsewhere: set[str]) -> Rewritten:
    if not planned.imports:
        return Rewritten(name, content, content, planned.left)
    cst = _libcst()
    try:
        module = cst.parse_module(content)
    except cst.ParserSyntaxError as error:
        raise _UncertainError(f"libcst can't parse it: {error.message}") from None
    if module.bytes != content:
        raise _UncertainError("it would not come out of libcst as it went in")
    wrapper = cst.metadata.MetadataWrapper(module, unsafe_skip_copy=True)
    editor = _editor(planned)
    after = wrapper.visit(editor).bytes
    _check(after, planned, editor.done, elsewhere)
    return Rewritten(name, content, after, planned.left)


def _check(after: bytes, planned: Plan, done: int, elsewhere: set[str]) -> None:
    """Raise `_UncertainError` unless *after* has all of the plan in it."""
    if done != len(planned.imports) + len(planned.wraps):
        raise _UncertainError("not every place was found again; please report this")
    try:
        again = plan(Source(after), elsewhere)
    except (SyntaxError, ValueError) as error:
        raise _UncertainError(f"what came out doesn't parse: {error}; please report this") from None
    if again.imports:
        raise _UncertainError("old imports are left in what came out; please report this")


def _editor(planned: Plan) -> Any:
    """Return the transformer that carries out *planned*; it counts what it did in `done`."""
    cst = _libcst()

    class Editor(cst.CSTTransformer):  # type: ignore[misc,name-defined]
        METADATA_DEPENDENCIES = (cst.metadata.PositionProvider,)

        def __init__(self) -> None:
            super().__init__()
            self.done = 0

        def _place(self, node: libcst.CSTNode) -> Place:
            start = self.get_metadata(cst.metadata.PositionProvider, node).start
            return start.line, start.column + 1

        def leave_ImportFrom(self, original_node: Any, updated_node: Any) -> Any:  # noqa: N802
            place = self._place(original_node)
            if place not in planned.imports:
                return updated_node
            self.done += 1
            names = list(updated_node.names)
            if place == planned.error_at:
                names.insert(0, _error_alias(cst, names))
            return updated_node.with_changes(module=cst.Name("bifrost"), names=names)

        def leave_SimpleStatementLine(self, original_node: Any, updated_node: Any) -> Any:  # noqa: N802
            fallback = planned.wraps.get(self._place(original_node.body[0]))
            if fallback is None:
                return updated_node
            self.done += 1
            return _wrapped(cst, updated_node, fallback)

    return Editor()


def _error_alias(cst: Any, names: list[Any]) -> Any:
    """Return the import of the error, in front of *names*, set apart from them as they are."""
    after = cst.SimpleWhitespace(" ")
    comma = names[0].comma
    if len(names) > 1 and isinstance(comma, cst.Comma):
        after = comma.whitespace_after
        if getattr(getattr(after, "first_line", None), "comment", None) is not None:
            after = cst.SimpleWhitespace(" ")
    return cst.ImportAlias(cst.Name(ERROR), comma=cst.Comma(whitespace_after=after))


def _wrapped(cst: Any, line: Any, fallback: str) -> Any:
    """Return the statement *line* in a `try`; its comments stay with it, blank lines before it."""
    return cst.Try(
        leading_lines=line.leading_lines,
        body=cst.IndentedBlock([line.with_changes(leading_lines=())]),
        handlers=[
            cst.ExceptHandler(
                type=cst.Name(ERROR),
                body=cst.IndentedBlock([cst.parse_statement(fallback)]),
            )
        ],
    )
