# SPDX-License-Identifier: Apache-2.0
"""Whether a use of an old name can be carried over as it stands, and if not, why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from bifrost.integrations.migrating.finding import (
    HOST_CLASS,
    HOST_INSTANCE,
    Source,
    method_of,
    root_name,
)
from bifrost.integrations.replacements import HOST, MANAGER, TRAITS, URI_MAPPER, Replacement

Place = tuple[int, int]
"""A line and a column, both from 1."""

_HANDED_ON: Final = "handed on: whoever gets it may rely on None where the new one raises"
_AT_ONCE: Final = "its answer is used at once, where the old one may have answered {}"
_MANAGER_CLASS: Final = f"{MANAGER}.BifrostManagerInterface"
# How many arguments earlier releases gave them, `self` aside; OpenAssetIO gives more.
_ARGUMENTS: Final = {"resolve": 4, "entityExists": 3}
_ARGUMENTS_OF_THEN: Final = "not with OpenAssetIO's arguments, which the new one has"
_METHODS_OF_THEN: Final = frozenset(("capabilities", "uninitialize"))
_CLASS: Final = "the class itself is used: the old one and the new one are two"


class Objection(NamedTuple):
    """
    Why the names of an old module stay in a file.

    Attributes:
        node: Where.
        old: The old name in full.
        why: The reason, for a person.
    """

    node: Any
    old: str
    why: str


class Usage:
    """
    How a file uses old names.

    Attributes:
        wraps: The statements that get a `try`, so far: by place, what stands for them where the call fails.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.wraps: dict[Place, str] = {}

    def objections(self, node: Any, old: str) -> Iterator[Objection]:
        """Yield what is against carrying over one use; what gets a `try` goes into `wraps`."""
        if old == HOST_CLASS:
            yield from self._host_class(node)
        elif old.startswith(f"{HOST}."):
            yield from self._host(node)
        elif old.startswith(f"{URI_MAPPER}."):
            yield from self._mapper(node, old)
        else:
            yield from self._manager(node, old)

    def of_managers(self) -> Iterator[Objection]:
        """Yield what a file that has a manager says in ways that only the old one knew."""
        yield from self._trait_objections()
        yield from self._argument_objections()

    def _trait_objections(self) -> Iterator[Objection]:
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.Constant) and node.value in TRAITS:
                yield Objection(
                    node, node.value, "a trait's old name, which the new one doesn't know"
                )

    def _argument_objections(self) -> Iterator[Objection]:
        """Yield what is written for the arguments, or the methods, that managers had."""
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.FunctionDef) and _has_arguments_of_then(node):
                yield Objection(node, _MANAGER_CLASS, f"{node.name}: {_ARGUMENTS_OF_THEN}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if len(node.args) + len(node.keywords) == _ARGUMENTS.get(node.func.attr):
                    why = f"{node.func.attr}: {_ARGUMENTS_OF_THEN}"
                    yield Objection(node, _MANAGER_CLASS, why)
            elif isinstance(node, ast.Attribute) and node.attr in _METHODS_OF_THEN:
                yield Objection(node, _MANAGER_CLASS, f"the new one has no {node.attr}")

    def _host_class(self, node: Any) -> Iterator[Objection]:
        parent = self._source.parents.get(node)
        if isinstance(parent, ast.Call) and parent.func is node:
            if parent.args or parent.keywords:
                yield Objection(node, HOST_CLASS, "the old class took no arguments")
            yield from self._host(parent)
        elif not self._is_annotation(node):
            yield Objection(node, HOST_CLASS, _CLASS)

    def _host(self, node: Any) -> Iterator[Objection]:
        parent: Any = self._source.parents.get(node)
        if isinstance(parent, ast.Attribute):
            yield from self._host_method(parent)
        elif isinstance(parent, ast.BoolOp | ast.IfExp) and self._source.meaning(parent):
            yield from self._host(parent)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            is_of_class = isinstance(self._source.parents.get(parent), ast.ClassDef)
            if is_of_class or not all(map(_is_private, targets)):
                yield Objection(node, HOST_INSTANCE, "kept where other code may reach it")
        elif not _is_tested(parent, node):
            yield Objection(node, HOST_INSTANCE, _HANDED_ON)

    def _host_method(self, attribute: ast.Attribute) -> Iterator[Objection]:
        row = method_of(HOST_CLASS, attribute.attr)
        if row is None or not isinstance(attribute.ctx, ast.Load):
            why = f"{attribute.attr} is set here" if row else "the old host has nothing so called"
            yield Objection(attribute, HOST_INSTANCE, why)
        elif row.fallback is None:
            yield Objection(attribute, row.old, row.note)
        elif row.fallback:
            yield from self._call(attribute, row)

    def _call(self, attribute: ast.Attribute, row: Replacement) -> Iterator[Objection]:
        call = self._source.parents.get(attribute)
        if not isinstance(call, ast.Call) or call.func is not attribute:
            yield Objection(attribute, row.old, _HANDED_ON)
            return
        statement: Any = self._source.parents.get(call)
        fallback = row.fallback or ""
        written = _fallback_statement(statement, fallback)
        if not written or not self._stands_alone(statement):
            yield Objection(attribute, row.old, _AT_ONCE.format(fallback))
        elif not all(map(_is_simple, [*call.args, *(each.value for each in call.keywords)])):
            yield Objection(attribute, row.old, "what it is given may itself raise")
        else:
            self.wraps[self._source.place(statement)] = written

    def _mapper(self, node: Any, old: str) -> Iterator[Objection]:
        parent = self._source.parents.get(node)
        row = method_of(old, parent.attr) if isinstance(parent, ast.Attribute) else None
        if row is None:
            yield Objection(node, old, _CLASS)
        elif not isinstance(getattr(parent, "ctx", None), ast.Load):
            yield Objection(parent, row.old, "it is set here")
        elif row.fallback is None:
            yield Objection(parent, row.old, row.note)

    def _manager(self, node: Any, old: str) -> Iterator[Objection]:
        parent = self._source.parents.get(node)
        is_base = isinstance(parent, ast.ClassDef) and node in parent.bases
        is_made = isinstance(parent, ast.Call) and parent.func is node and not parent.args
        is_asked = isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Load)
        if not (is_base or is_made or is_asked or self._is_annotation(node)):
            yield Objection(node, old, _CLASS)

    def _is_annotation(self, node: Any) -> bool:
        child, parent = node, self._source.parents.get(node)
        while isinstance(parent, ast.BinOp | ast.Subscript | ast.Tuple | ast.Attribute):
            child, parent = parent, self._source.parents.get(parent)
        return child in (getattr(parent, "annotation", None), getattr(parent, "returns", None))

    def _stands_alone(self, statement: Any) -> bool:
        """Whether no other statement, nor the head of the block, is on the statement's lines."""
        lines = {statement.lineno, statement.end_lineno}
        above = list(self._above(statement))
        if any(getattr(each, "lineno", 0) in lines for each in above):
            return False
        others = (each for each in self._statements_of_all if each not in (statement, *above))
        return not any(each.lineno in lines or each.end_lineno in lines for each in others)

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        parent = self._source.parents.get(node)
        while parent is not None:
            yield parent
            parent = self._source.parents.get(parent)

    @cached_property
    def _statements_of_all(self) -> list[ast.stmt]:
        return [each for each in ast.walk(self._source.tree) if isinstance(each, ast.stmt)]


def _has_arguments_of_then(function: ast.FunctionDef) -> bool:
    asked = len(function.args.posonlyargs) + len(function.args.args) - 1
    return asked == _ARGUMENTS.get(function.name)


def _is_private(target: ast.AST) -> bool:
    if isinstance(target, ast.Name):
        return True
    return root_name(target).startswith("self._")


def _is_tested(parent: Any, node: ast.AST) -> bool:
    """Whether *node* is only asked whether it is there."""
    if isinstance(parent, ast.Compare):
        return all(isinstance(each, ast.Is | ast.IsNot) for each in parent.ops)
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    return getattr(parent, "test", None) is node


def _is_simple(node: ast.AST) -> bool:
    """Whether evaluating *node* calls nothing of Bifrost's."""
    parts = (
        ast.Name,
        ast.Constant,
        ast.Attribute,
        ast.JoinedStr,
        ast.FormattedValue,
        ast.expr_context,
    )
    return all(isinstance(each, parts) for each in ast.walk(node))


def _fallback_statement(statement: Any, fallback: str) -> str:
    """Return what stands for *statement* where its call fails; "" where that can't be said."""
    if isinstance(statement, ast.Return):
        return f"return {fallback}"
    if isinstance(statement, ast.Expr):
        return "pass"
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return ""
    return f"{ast.unparse(target)} = {fallback}" if _is_simple(target) else ""
