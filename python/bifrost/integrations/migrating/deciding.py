# SPDX-License-Identifier: Apache-2.0
"""
What of a file's uses of the old API can be rewritten so that the file does what it did.

The names of one old module are rewritten together or not at all: they are one object's, and what the new
one answers must not reach code that was written for the old one. The new host raises where the old one
returned None; a call whose answer goes nowhere but into a variable or out of a function keeps its None by a
`try` round it, any other is left to people.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from bifrost.integrations.migrating.finding import (
    HOST_CLASS,
    HOST_INSTANCE,
    Source,
    Use,
    method_of,
    root_name,
)
from bifrost.integrations.replacements import (
    BY_NAME,
    HOST,
    MANAGER,
    MODULES,
    PACKAGE,
    TRAITS,
    URI_MAPPER,
    Kind,
    Replacement,
)

Place = tuple[int, int]
"""A line and a column, both from 1."""

ERROR: Final = "BifrostError"
_HANDED_ON: Final = "handed on: whoever gets it may rely on None where the new one raises"
_AT_ONCE: Final = "its answer is used at once, where the old one may have answered {}"
_MANAGER_CLASS: Final = f"{MANAGER}.BifrostManagerInterface"
# How many arguments earlier releases gave them, `self` aside; OpenAssetIO gives more.
_ARGUMENTS: Final = {"resolve": 4, "entityExists": 3}
_ARGUMENTS_OF_THEN: Final = "not with OpenAssetIO's arguments, which the new one has"
_METHODS_OF_THEN: Final = frozenset(("capabilities", "uninitialize"))
_CLASS: Final = "the class itself is used: the old one and the new one are two"


class Plan(NamedTuple):
    """
    What is to be rewritten in one file.

    Attributes:
        imports: Where the statements `from <old module> import …` are.
        wraps: The statements that get a `try`, by place: what the call returned where it failed.
        error_at: The import that brings in `BifrostError`, too; None where none has to.
        left: What stays, each with why.
    """

    imports: frozenset[Place]
    wraps: dict[Place, str]
    error_at: Place | None
    left: tuple[Use, ...]


class _Objection(NamedTuple):
    node: Any
    old: str
    why: str


def plan(source: Source, imported_elsewhere: Collection[str] = ()) -> Plan:
    """
    Return what can be rewritten in *source* without changing what it does.

    Args:
        source: The file.
        imported_elsewhere: Names that other files import from this one.
    """
    groups = [_Group(source, module, imported_elsewhere) for module in MODULES]
    left = [use for group in groups for use in group.left()]
    left += [use for use in source.uses() if not use.is_sure or use.note == "in a string"]
    left += _traits(source)
    done = [group for group in groups if not group.objections]
    wraps = {place: text for group in done for place, text in group.wraps.items()}
    imports = [place for group in done for place in group.imports]
    # One place is listed once, however many reasons there are.
    kept = {use[:2]: use for use in reversed(left)}
    return Plan(
        frozenset(imports),
        wraps,
        next((group.error_at for group in done if group.error_at), None),
        tuple(sorted(kept.values())),
    )


def names_imported(sources: Iterable[tuple[str, Source]]) -> dict[str, set[str]]:
    """Return the names that files import from each module, by the last part of the module's name."""
    found: dict[str, set[str]] = {}
    for _, source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom):
                module = (node.module or "").rpartition(".")[2]
                found.setdefault(module, set()).update(alias.name for alias in node.names)
    return found


def _traits(source: Source) -> Iterator[Use]:
    for use in source.uses():
        if use.old in TRAITS and use.is_sure:
            yield use._replace(note="a trait's name: what it is asked for in is not known here")


class _Group:
    """The names of one old module in one file."""

    def __init__(self, source: Source, module: str, imported_elsewhere: Collection[str]) -> None:
        self._source, self._module = source, module
        self._elsewhere = imported_elsewhere
        self.wraps: dict[Place, str] = {}
        self._statements = [
            node
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.module == module and not node.level
        ]
        self.objections = list(self._objections())
        self.error_at = None if self.objections else self._error_at()

    @property
    def imports(self) -> list[Place]:
        """Where the import statements are that are rewritten."""
        return [self._source.place(node) for node in self._statements]

    def left(self) -> Iterator[Use]:
        """Yield what stays: what is in the way, and the imports because of it."""
        for node, old, why in self.objections:
            row = BY_NAME.get(old)
            yield Use(*self._source.place(node), old, row.new if row else "bifrost", why)
        if self.objections:
            places = {self._source.place(node) for node, _, _ in self.objections}
            lines = ", ".join(str(line) for line in sorted({line for line, _ in places}))
            for node in self._statements:
                yield Use(
                    *self._source.place(node), self._module, "bifrost", f"because of line {lines}"
                )

    def _objections(self) -> Iterator[_Objection]:
        yield from self._import_objections()
        yield from self._name_objections()
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                old = self._source.meaning(node)
                if self._is_mine(old) and not self._is_method(node):
                    yield from self._in_use(node, old)
        if self._module == MANAGER and self._statements:
            yield from self._trait_objections()
            yield from self._argument_objections()
        if self.wraps:
            yield from self._error_objections()

    def _is_mine(self, old: str) -> bool:
        row = BY_NAME.get(old)
        return row is not None and old.startswith(f"{self._module}.")

    def _is_method(self, node: ast.AST) -> bool:
        return BY_NAME[self._source.meaning(node)].kind is Kind.METHOD

    def _import_objections(self) -> Iterator[_Objection]:
        for node in self._statements:
            for alias in node.names:
                full = f"{self._module}.{alias.name}"
                if full not in BY_NAME:
                    yield _Objection(node, full, "nothing of the old API is called so")
        for each in ast.walk(self._source.tree):
            if isinstance(each, ast.Import | ast.ImportFrom):
                for full in self._modules_in(each):
                    yield _Objection(each, full, "the module is imported, not what is in it")

    def _modules_in(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name == self._module)
            if self._module == HOST:
                yield from (alias.name for alias in node.names if alias.name == PACKAGE)
        elif node.module == PACKAGE and not node.level:
            fulls = [f"{PACKAGE}.{alias.name}" for alias in node.names]
            strays = (full for full in fulls if full not in MODULES and self._module == HOST)
            yield from (full for full in fulls if full == self._module)
            yield from strays

    def _name_objections(self) -> Iterator[_Objection]:
        exported = set(_exported(self._source.tree)) | set(self._elsewhere)
        for name, bindings in self._source.bindings.items():
            old = next((each.old for each in bindings if self._is_mine(each.old)), "")
            if not old:
                continue
            if not self._source.bound_once(name):
                other = next(each.node for each in bindings if each.old != old)
                yield _Objection(other, old, f"{name} is bound to something else, too")
            elif self._module == HOST and name in exported:
                yield _Objection(bindings[0].node, old, f"{name}: other files import it from here")

    def _trait_objections(self) -> Iterator[_Objection]:
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.Constant) and node.value in TRAITS:
                yield _Objection(
                    node, node.value, "a trait's old name, which the new one doesn't know"
                )

    def _argument_objections(self) -> Iterator[_Objection]:
        """Yield what is written for the arguments, or the methods, that managers had."""
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.FunctionDef) and _has_arguments_of_then(node):
                yield _Objection(node, _MANAGER_CLASS, f"{node.name}: {_ARGUMENTS_OF_THEN}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if len(node.args) + len(node.keywords) == _ARGUMENTS.get(node.func.attr):
                    why = f"{node.func.attr}: {_ARGUMENTS_OF_THEN}"
                    yield _Objection(node, _MANAGER_CLASS, why)
            elif isinstance(node, ast.Attribute) and node.attr in _METHODS_OF_THEN:
                yield _Objection(node, _MANAGER_CLASS, f"the new one has no {node.attr}")

    def _error_objections(self) -> Iterator[_Objection]:
        known = self._source.bindings.get(ERROR, ())
        for each in known:
            if not _is_our_error(each.node) or not self._is_top(each.node):
                yield _Objection(each.node, HOST_CLASS, f"{ERROR} is something else here")
        if not known and not any(map(self._is_top, self._statements)):
            why = f"{ERROR} is needed, and this import is not the module's own"
            yield from (_Objection(each, HOST_CLASS, why) for each in self._statements[:1])

    def _error_at(self) -> Place | None:
        if not self.wraps or self._source.bindings.get(ERROR):
            return None
        return next(self._source.place(each) for each in self._statements if self._is_top(each))

    def _is_top(self, node: ast.AST) -> bool:
        return isinstance(self._source.parents.get(node), ast.Module)

    # How names are used

    def _in_use(self, node: Any, old: str) -> Iterator[_Objection]:
        if self._module == HOST and old == HOST_CLASS:
            yield from self._host_class(node)
        elif self._module == HOST:
            yield from self._host(node)
        elif self._module == URI_MAPPER:
            yield from self._mapper(node, old)
        else:
            yield from self._manager(node, old)

    def _host_class(self, node: Any) -> Iterator[_Objection]:
        parent = self._source.parents.get(node)
        if isinstance(parent, ast.Call) and parent.func is node:
            if parent.args or parent.keywords:
                yield _Objection(node, HOST_CLASS, "the old class took no arguments")
            yield from self._host(parent)
        elif not self._is_annotation(node):
            yield _Objection(node, HOST_CLASS, _CLASS)

    def _host(self, node: Any) -> Iterator[_Objection]:
        parent: Any = self._source.parents.get(node)
        if isinstance(parent, ast.Attribute):
            yield from self._host_method(parent)
        elif isinstance(parent, ast.BoolOp | ast.IfExp) and self._source.meaning(parent):
            yield from self._host(parent)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            if not all(map(_is_private, targets)):
                yield _Objection(node, HOST_INSTANCE, "kept where other code may reach it")
        elif not _is_tested(parent, node):
            yield _Objection(node, HOST_INSTANCE, _HANDED_ON)

    def _host_method(self, attribute: ast.Attribute) -> Iterator[_Objection]:
        row = method_of(HOST_CLASS, attribute.attr)
        if row is None or not isinstance(attribute.ctx, ast.Load):
            why = f"{attribute.attr} is set here" if row else "the old host has nothing so called"
            yield _Objection(attribute, HOST_INSTANCE, why)
        elif row.fallback is None:
            yield _Objection(attribute, row.old, row.note)
        elif row.fallback:
            yield from self._call(attribute, row)

    def _call(self, attribute: ast.Attribute, row: Replacement) -> Iterator[_Objection]:
        call = self._source.parents.get(attribute)
        if not isinstance(call, ast.Call) or call.func is not attribute:
            yield _Objection(attribute, row.old, _HANDED_ON)
            return
        statement: Any = self._source.parents.get(call)
        fallback = row.fallback or ""
        written = _fallback_statement(statement, fallback)
        if not written or not self._stands_alone(statement):
            yield _Objection(attribute, row.old, _AT_ONCE.format(fallback))
        elif not all(map(_is_simple, [*call.args, *(each.value for each in call.keywords)])):
            yield _Objection(attribute, row.old, "what it is given may itself raise")
        else:
            self.wraps[self._source.place(statement)] = written

    def _mapper(self, node: Any, old: str) -> Iterator[_Objection]:
        parent = self._source.parents.get(node)
        row = method_of(old, parent.attr) if isinstance(parent, ast.Attribute) else None
        if row is None:
            yield _Objection(node, old, _CLASS)
        elif not isinstance(getattr(parent, "ctx", None), ast.Load):
            yield _Objection(parent, row.old, "it is set here")
        elif row.fallback is None:
            yield _Objection(parent, row.old, row.note)

    def _manager(self, node: Any, old: str) -> Iterator[_Objection]:
        parent = self._source.parents.get(node)
        is_base = isinstance(parent, ast.ClassDef) and node in parent.bases
        is_made = isinstance(parent, ast.Call) and parent.func is node and not parent.args
        is_asked = isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Load)
        if not (is_base or is_made or is_asked or self._is_annotation(node)):
            yield _Objection(node, old, _CLASS)

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


def _exported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
                yield from (
                    each.value
                    for each in ast.walk(node)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                )


def _has_arguments_of_then(function: ast.FunctionDef) -> bool:
    asked = len(function.args.posonlyargs) + len(function.args.args) - 1
    return asked == _ARGUMENTS.get(function.name)


def _is_our_error(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module in ("bifrost", "bifrost.errors")


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
