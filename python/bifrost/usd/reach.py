# SPDX-License-Identifier: Apache-2.0
"""
Every file that a root reaches: layers, textures, UDIM sets, the files of value clips.

As `bifrost.usd.dependencies` goes, through the layers and breadth by breadth, and further: what a
variable expression means under this root is evaluated, and clip templates are followed to their files.
With the selected variants only, the stage says which specs compose, and nothing else is looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pxr import Sdf, Tf, Usd

from bifrost.context import Context
from bifrost.errors import ConfigurationError
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.session import Session
from bifrost.usd import stage as plugin
from bifrost.usd.arcs import CLIP_TEMPLATE, AssetPathUse, is_expression, uses, uses_at
from bifrost.usd.contexts import for_root, in_force, resolver_context
from bifrost.usd.dependencies import Found, anchored, looked_below, walk
from bifrost.usd.file_checks import no_usd
from bifrost.usd.folder import frames_on_disk, is_uri
from bifrost.usd.inspection import layer_named
from bifrost.usd.lifetimes import outlived, used_layers
from bifrost.usd.opening import reason
from bifrost.usd.rewriting import frames

Variables = Mapping[str, Any]
Composed = Mapping[str, Iterable[Sdf.Path]]
"""For the file of each layer of a stage the paths of the prim specs that compose."""


@dataclass(frozen=True, slots=True)
class Reach:
    """
    What a root reaches.

    Attributes:
        found: The root and all the rest, by reference or absolute path, in the order it was met.
        answers: What each entity reference resolved to: `Resolution` or `Failure`.
        open_ended: (layer, asset path) of variable expressions that mean nothing under this root.
        context: What it was resolved in; None for nobody in particular.
    """

    found: dict[str, Found]
    answers: dict[str, Any]
    open_ended: list[tuple[str, str]]
    context: Context | None

    @property
    def problems(self) -> list[Found]:
        """What did not resolve, is not there or can't be read."""
        return [each for each in self.found.values() if each.problem]


def reach(
    root: str,
    session: Session,
    *,
    context: Context | None = None,
    selected_variants: bool = False,
) -> Reach:
    """
    Return what *root*, a file or an entity reference, reaches. One question for each level of layers.

    What plain paths lead to outside the allowed roots is a problem, and isn't looked at. In all variants,
    payloads and inactive prims; with *selected_variants* what the stage composes, for
    which the plugin is needed.

    Raises:
        BifrostError: *root* can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    if selected_variants:
        plugin.warm()
    with contextlib.suppress(ConfigurationError):  # layers can be read without it
        plugin.register_plugin()
    return _Reaching(session, in_force(context)).reach(root, selected_variants=selected_variants)


def asset_path_names(layer: Sdf.Layer, path: str, variables: Variables) -> list[str]:
    """
    Return what an asset path of *layer* means: a reference or an absolute path; for a variable
    expression nothing where *variables* leave it open.
    """
    if is_expression(path):
        path = _evaluated(path, {**layer.expressionVariables, **variables})
    return [anchored(path, layer)] if path else []


def frames_of(layer: Sdf.Layer, template: str) -> list[str]:
    """Return the asset paths of the files that a clip template of *layer* stands for."""
    if is_uri(template):
        derived = [frames(each) or [] for each in _clip_sets(layer, template)]
        return list(dict.fromkeys(frame.path for each in derived for frame in each))
    place = anchored(template, layer)
    directory = template.rpartition("/")[0]
    found = frames_on_disk(place)
    return ["/".join(filter(None, (directory, each.rpartition("/")[2]))) for each in found]


@dataclass(slots=True)
class _Reaching:
    session: Session
    context: Context | None
    answers: dict[str, Any] = field(default_factory=dict)
    open_ended: dict[tuple[str, str], None] = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    composed: Composed = field(default_factory=dict)

    def reach(self, root: str, *, selected_variants: bool) -> Reach:
        layer = self._root_layer(root)
        self.context = for_root(self.context, layer.realPath)
        self.variables = dict(layer.expressionVariables)
        if selected_variants:
            with looked_below(layer):
                self.composed = _composed(layer, self.context)
        roots = self.session.allowed_roots
        found = walk([root], self._answer, self._read, roots.rule() if roots else None)
        names = {each.reference: each for each in found}
        return Reach(names, self.answers, list(self.open_ended), self.context)

    def _answer(self, references: Iterable[str]) -> dict[str, Any]:
        asked = [each for each in references if each not in self.answers]
        self.answers.update(self.session.resolve(asked, self.context).items())
        return {each: self.answers[each] for each in references}

    def _root_layer(self, root: str) -> Sdf.Layer:
        path = root
        if is_uri(root):
            outcome = self._answer([root])[root]
            if isinstance(outcome, Failure):
                raise outcome.exception(root)
            path = outcome.path
        return layer_named(path, root)

    def _read(self, layer: Sdf.Layer) -> dict[str, str]:
        named: dict[str, str] = {}
        for use in sorted(set(self._uses(layer))):
            paths = frames_of(layer, use.path) if use.is_template else [use.path]
            for path in filter(None, paths):
                names = asset_path_names(layer, path, self.variables)
                named.update((name, str(use.kind)) for name in names if name not in named)
                if not names:
                    self.open_ended[layer.realPath, path] = None
        return named

    def _uses(self, layer: Sdf.Layer) -> Iterator[AssetPathUse]:
        prims = self.composed.get(layer.realPath)
        if prims is None:  # in all variants; or no part of composition, as the layers of clips
            yield from uses(layer)
            return
        yield from uses_at(layer, Sdf.Path.absoluteRootPath)
        for path in prims:
            yield from uses_at(layer, path)
            for spec in layer.GetPrimAtPath(path).properties:
                yield from uses_at(layer, spec.path)


def _composed(layer: Sdf.Layer, context: Context | None) -> dict[str, set[Sdf.Path]]:
    """Return the prim specs that compose when *layer* is opened as a stage with all its payloads."""
    bound = [] if context is None else [resolver_context(context, layer.realPath)]
    try:
        with Usd.StageCacheContext(Usd.BlockStageCaches):
            stage = Usd.Stage.Open(layer, *bound, Usd.Stage.LoadAll)
    except (Tf.ErrorException, UnicodeError) as error:
        raise no_usd(layer.identifier, reason(error)) from error
    layers = used_layers(stage)
    outlived(stage, *layers)
    composed: dict[str, set[Sdf.Path]] = {each.realPath: set() for each in layers}
    for top in (stage.GetPseudoRoot(), *stage.GetPrototypes()):
        for prim in Usd.PrimRange.AllPrims(top):
            for spec in prim.GetPrimStack():
                _add_with_ancestors(composed[spec.layer.realPath], spec.path)
    return composed


def _add_with_ancestors(paths: set[Sdf.Path], path: Sdf.Path) -> None:
    """Add *path* and what it is in: what a referenced prim's ancestors bring composes, too."""
    while path not in paths and path != Sdf.Path.absoluteRootPath:
        paths.add(path)
        path = path.GetParentPath()


def _evaluated(expression: str, variables: Variables) -> str:
    value = Sdf.VariableExpression(expression).Evaluate(dict(variables)).value
    return value if isinstance(value, str) else ""


def _clip_sets(layer: Sdf.Layer, template: str) -> Iterator[Mapping[str, Any]]:
    """Yield the clip sets of *layer* that have this template."""
    paths: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    for prim in filter(
        None, map(layer.GetPrimAtPath, (p for p in paths if not p.IsPropertyPath()))
    ):
        clips = prim.GetInfo("clips") if prim.HasInfo("clips") else {}
        for clip_set in clips.values():
            if isinstance(clip_set, Mapping) and clip_set.get(CLIP_TEMPLATE) == template:
                yield clip_set


def resolved(reached: Reach) -> dict[str, Resolution]:
    """Return what each entity reference that resolved leads to."""
    return {ref: out for ref, out in reached.answers.items() if isinstance(out, Resolution)}
