# SPDX-License-Identifier: Apache-2.0
"""
Every use of the old API in one Python file, by its syntax tree.

Nothing is imported and nothing is run. What a name stands for is followed through imports, `name = Class()`,
annotations and private attributes of `self`, over the whole file and not scope by scope: a name that the file
also uses for something else is never taken for sure.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from bifrost.integrations.replacements import (
    BY_NAME,
    HOST,
    MODULES,
    PACKAGE,
    TABLE,
    TRAITS,
    Kind,
    Replacement,
    member,
)

HOST_CLASS: Final = f"{HOST}.BifrostHostInterface"
HOST_INSTANCE: Final = f"{HOST}.bifrost_host"

_OLD_PATH: Final = re.compile(re.escape(PACKAGE) + r"(?:\.[A-Za-z_]\w*)*")
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
_ROUNDS: Final = 4
_NAMING: Final = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.ExceptHandler, ast.MatchAs, ast.MatchStar),
)
# No method of anything else is called so.
_TELLING: Final = frozenset(
    each.name
    for each in TABLE
    if each.kind is Kind.METHOD
    and each.old.startswith(HOST)
    and each.name not in ("initialize", "get_version", "get_relationships")
)


class Use(NamedTuple):
    """
    One use of an old name.

    Attributes:
        line: Where it starts, from 1.
        column: From 1, in characters.
        old: The old name in full.
        new: What replaces it, or "".
        note: What is different then, or why nobody can be sure; or "".
        is_sure: Whether it is a use at all.
    """

    line: int
    column: int
    old: str
    new: str
    note: str = ""
    is_sure: bool = True


class Bound(NamedTuple):
    """
    What a name is bound to at one place.

    Attributes:
        node: The place.
        old: The old name in full that it stands for there, "" for anything else.
    """

    node: ast.AST
    old: str


class Source:
    """
    One file's syntax tree, and what its names stand for.

    Attributes:
        tree: The tree.

    Args:
        text: The file's content. A declared encoding is honoured.

    Raises:
        SyntaxError: it is no Python of this release.
        ValueError: it holds a null byte.
    """

    def __init__(self, text: bytes) -> None:
        self.tree = ast.parse(text)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text).readline)
        self._lines = _LINE_ENDS.split(text.decode(encoding))
        self.parents = {
            child: parent
            for parent in ast.walk(self.tree)
            for child in ast.iter_child_nodes(parent)
        }
        self.bindings: dict[str, list[Bound]] = defaultdict(list)
        self._dotted: set[str] = set()
        # Again and again: a name may stand for another that is bound further down.
        for _ in range(_ROUNDS):
            self.bindings = self._bound()

    def uses(self) -> list[Use]:
        """Return every use of an old name, in the file's order; those that aren't sure among them."""
        found = {use[:3]: use for use in self._uses()}
        return sorted(found.values())

    def is_old(self) -> bool:
        """Whether the file imports or names an old module."""
        return bool(self._imports) or any(True for _ in self._paths())

    def place(self, node: Any) -> tuple[int, int]:
        """Return the line and the column of *node*, from 1, in characters."""
        line = self._lines[node.lineno - 1] if node.lineno <= len(self._lines) else ""
        # The parser counts bytes of UTF-8, whatever the file's encoding.
        before = line.encode()[: node.col_offset]
        return node.lineno, len(before.decode(errors="replace")) + 1

    def meaning(self, node: ast.AST | None) -> str:
        """Return the old name in full that an expression stands for, or ""; of a host: the class's."""
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            called = self.meaning(node.func)
            return HOST_INSTANCE if called == HOST_CLASS else ""
        if isinstance(node, ast.BoolOp):
            return self._common(node.values)
        if isinstance(node, ast.IfExp):
            return self._common((node.body, node.orelse))
        return ""

    def bound_once(self, name: str) -> bool:
        """Whether every binding of *name* in the file stands for the same old name."""
        return len({bound.old for bound in self.bindings.get(name, ())}) == 1

    def _common(self, nodes: Any) -> str:
        meanings = {self.meaning(node) for node in nodes}
        return meanings.pop() if len(meanings) == 1 else ""

    def _named(self, name: str) -> str:
        return next((bound.old for bound in self.bindings.get(name, ()) if bound.old), "")

    def _attribute(self, node: ast.Attribute) -> str:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._named(f"self.{node.attr}")
        dotted = _dotted(node)
        if dotted in MODULES and any(dotted == each for each in self._dotted):
            return dotted
        of = self.meaning(node.value)
        if of == PACKAGE or of in MODULES:
            full = f"{of}.{node.attr}"
            return full if full in MODULES or full in BY_NAME else ""
        method = method_of(of, node.attr)
        return method.old if method else ""

    # What names stand for

    def _bound(self) -> dict[str, list[Bound]]:
        found: dict[str, list[Bound]] = defaultdict(list)
        for node in ast.walk(self.tree):
            for name, old in self._binds(node):
                found[name].append(Bound(node, old))
        return found

    def _binds(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from self._import(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            yield from self._assigned(node)
        elif isinstance(node, ast.arg):
            yield node.arg, self._annotated(node.annotation, None)
        elif isinstance(node, ast.Name):
            is_assigned = isinstance(
                self.parents.get(node), ast.Assign | ast.AnnAssign | ast.NamedExpr
            )
            if not isinstance(node.ctx, ast.Load) and not is_assigned:
                yield node.id, ""
        elif isinstance(node, _NAMING) and node.name:
            yield node.name, ""

    def _assigned(
        self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr
    ) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.AnnAssign):
            yield from self._target(node.target, self._annotated(node.annotation, node.value))
            return
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from self._target(target, self.meaning(node.value))

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                full = f"{node.module}.{alias.name}" if not node.level else ""
                is_old = full in BY_NAME or full in MODULES or full == PACKAGE
                yield alias.asname or alias.name, full if is_old else ""
            elif alias.asname:
                is_old = alias.name in MODULES or alias.name == PACKAGE
                yield alias.asname, alias.name if is_old else ""
            elif alias.name in MODULES:
                self._dotted.add(alias.name)
            else:
                yield alias.name.partition(".")[0], ""

    def _target(self, target: ast.AST, old: str) -> Iterator[tuple[str, str]]:
        if isinstance(target, ast.Name):
            yield target.id, old
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            if target.value.id == "self":
                yield f"self.{target.attr}", old
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                yield from self._target(each, "")
        elif isinstance(target, ast.Starred):
            yield from self._target(target.value, "")

    def _annotated(self, annotation: ast.AST | None, value: ast.AST | None) -> str:
        if value is not None and (old := self.meaning(value)):
            return old
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return ""
        if isinstance(annotation, ast.BinOp):  # X | None
            sides = [self._annotated(each, None) for each in (annotation.left, annotation.right)]
            return next(filter(None, sides), "")
        if isinstance(annotation, ast.Subscript):  # Optional[X]
            name = _dotted(annotation.value).rpartition(".")[2]
            return self._annotated(annotation.slice, None) if name == "Optional" else ""
        return HOST_INSTANCE if self.meaning(annotation) == HOST_CLASS else ""

    # Uses

    def _uses(self) -> Iterator[Use]:
        yield from self._imports
        yield from self._paths()
        is_old = self.is_old()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield from self._use(node)
            elif isinstance(node, ast.Constant) and node.value in TRAITS:
                note = "" if is_old else "perhaps: nothing else in this file is of the old API"
                yield self._made(node, TRAITS[node.value], note=note, is_sure=is_old)

    @cached_property
    def _imports(self) -> list[Use]:
        return [
            use
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for use in self._imported(node)
        ]

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[Use]:
        for alias in node.names:
            full = alias.name
            if isinstance(node, ast.ImportFrom):
                full = "" if node.level else f"{node.module}.{alias.name}"
            if full in BY_NAME:
                yield self._made(alias, BY_NAME[full])
            elif full == PACKAGE or full.startswith(f"{PACKAGE}."):
                # Modules, `*`, and what was never there.
                yield Use(*self.place(alias), full, "bifrost", "import the names from bifrost")

    def _paths(self) -> Iterator[Use]:
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if isinstance(self.parents.get(node), ast.Expr):  # a docstring
                continue
            for match in _OLD_PATH.finditer(node.value):
                row = BY_NAME.get(match[0])
                yield Use(*self.place(node), match[0], row.new if row else "bifrost", "in a string")

    def _use(self, node: ast.Name | ast.Attribute) -> Iterator[Use]:
        old = self.meaning(node)
        parent = self.parents.get(node)
        if old in BY_NAME:
            # `host.method` is one use, of the method.
            if not (isinstance(parent, ast.Attribute) and self.meaning(parent) in BY_NAME):
                yield self._made(node, BY_NAME[old], **self._certainty(node))
        elif not old and isinstance(node, ast.Attribute) and node.attr in _TELLING:
            row = member(HOST_CLASS, node.attr)
            if row is not None and self._is_unknown(node.value):
                note = "perhaps: what it is called on is not known here"
                yield self._made(node, row, note=note, is_sure=False)

    def _certainty(self, node: ast.Name | ast.Attribute) -> dict[str, Any]:
        root = root_name(node)
        if root and root in self.bindings and not self.bound_once(root):
            return {"note": f"perhaps: {root} is bound to something else, too", "is_sure": False}
        return {}

    def _is_unknown(self, node: ast.AST) -> bool:
        """Whether *node* may be an old host: not what this file takes from the new API."""
        root = root_name(node)
        bound = self.bindings.get(root, ())
        return not bound or not all(_is_import(each.node) for each in bound)

    def _made(self, node: ast.AST, row: Replacement, note: str = "", is_sure: bool = True) -> Use:
        return Use(*self.place(node), row.old, row.new, note or row.note, is_sure)


def method_of(old: str, name: str) -> Replacement | None:
    """Return what replaces the method *name* of what the old name *old* stands for."""
    return member(HOST_CLASS if old == HOST_INSTANCE else old, name) if old else None


def root_name(node: ast.AST) -> str:
    """Return the name that an expression like `a.b.c` starts with, `self._a` for attributes of self."""
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node.value, ast.Name) and node.value.id == "self":
            return f"self.{node.attr}"
        else:
            node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)
