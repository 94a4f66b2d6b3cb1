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
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from bifrost.integrations.migrating.finding import (
    HOST_CLASS,
    Source,
    Use,
)
from bifrost.integrations.migrating.usage import Objection, Place, Usage
from bifrost.integrations.replacements import (
    BY_NAME,
    HOST,
    MANAGER,
    MODULES,
    PACKAGE,
    TRAITS,
    Kind,
)

ERROR: Final = "BifrostError"


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


def names_imported(sources: Iterable[Source]) -> dict[str, set[str]]:
    """
    Return the names that files take from each module, by the last part of the module's name.

    Also those that are attributes of something so called: `import hosts`, and then `hosts.host`.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        called: dict[str, str] = {}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                called.update((alias.asname or alias.name, alias.name) for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                module = (node.module or "").rpartition(".")[2]
                found[module].update(alias.name for alias in node.names)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute):
                name = _last_name(node.value)
                found[called.get(name, name).rpartition(".")[2]].add(node.attr)
    return found


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _traits(source: Source) -> Iterator[Use]:
    for use in source.uses():
        if use.old in TRAITS and use.is_sure:
            yield use._replace(note="a trait's name: what it is asked for in is not known here")


class _Group:
    """The names of one old module in one file."""

    def __init__(self, source: Source, module: str, imported_elsewhere: Collection[str]) -> None:
        self._source, self._module = source, module
        self._elsewhere = imported_elsewhere
        self._usage = Usage(source)
        self._statements = [
            node
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.module == module and not node.level
        ]
        self.objections = list(self._objections())
        self.error_at = None if self.objections else self._error_at()

    @property
    def wraps(self) -> dict[Place, str]:
        """The statements that get a `try`, as in `Plan`."""
        return self._usage.wraps

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

    def _objections(self) -> Iterator[Objection]:
        yield from self._import_objections()
        yield from self._name_objections()
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                old = self._source.meaning(node)
                if self._is_mine(old) and not self._is_method(node):
                    yield from self._usage.objections(node, old)
        if self._module == MANAGER and self._statements:
            yield from self._usage.of_managers()
        if self._usage.wraps:
            yield from self._error_objections()

    def _is_mine(self, old: str) -> bool:
        row = BY_NAME.get(old)
        return row is not None and old.startswith(f"{self._module}.")

    def _is_method(self, node: ast.AST) -> bool:
        return BY_NAME[self._source.meaning(node)].kind is Kind.METHOD

    def _import_objections(self) -> Iterator[Objection]:
        for node in self._statements:
            for alias in node.names:
                full = f"{self._module}.{alias.name}"
                if full not in BY_NAME:
                    yield Objection(node, full, "nothing of the old API is called so")
        for each in ast.walk(self._source.tree):
            if isinstance(each, ast.Import | ast.ImportFrom):
                for full in self._modules_in(each):
                    yield Objection(each, full, "the module is imported, not what is in it")

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

    def _name_objections(self) -> Iterator[Objection]:
        exported = set(_exported(self._source.tree)) | set(self._elsewhere)
        for name, bindings in self._source.bindings.items():
            old = next((each.old for each in bindings if self._is_mine(each.old)), "")
            if not old:
                continue
            if not self._source.bound_once(name):
                other = next(each.node for each in bindings if each.old != old)
                yield Objection(other, old, f"{name} is bound to something else, too")
            elif self._module == HOST and name in exported:
                yield Objection(bindings[0].node, old, f"{name}: other files import it from here")
            elif name.startswith("self."):
                yield from self._reached(name.removeprefix("self."), old)

    def _reached(self, attribute: str, old: str) -> Iterator[Objection]:
        """Yield where an attribute of `self` is reached by another name than that."""
        for node in ast.walk(self._source.tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr == attribute
                and not (isinstance(node.value, ast.Name) and node.value.id == "self")
            ):
                yield Objection(node, old, f"{attribute} of what is not known here")

    def _error_objections(self) -> Iterator[Objection]:
        known = self._source.bindings.get(ERROR, ())
        for each in known:
            if not _is_our_error(each.node) or not self._is_top(each.node):
                yield Objection(each.node, HOST_CLASS, f"{ERROR} is something else here")
        if not known and not any(map(self._is_top, self._statements)):
            why = f"{ERROR} is needed, and this import is not the module's own"
            yield from (Objection(each, HOST_CLASS, why) for each in self._statements[:1])

    def _error_at(self) -> Place | None:
        if not self._usage.wraps or self._source.bindings.get(ERROR):
            return None
        return next(self._source.place(each) for each in self._statements if self._is_top(each))

    def _is_top(self, node: ast.AST) -> bool:
        return isinstance(self._source.parents.get(node), ast.Module)


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


def _is_our_error(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module in ("bifrost", "bifrost.errors")
