# SPDX-License-Identifier: Apache-2.0
"""
What layers say of clip templates, and whose words may be about the same template.

USD composes a clip set key by key: a stronger layer may say no more than another end for a template that
stands in a weaker one. Of a template that was written out into its files that end would say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pxr import Sdf

from bifrost.usd.arcs import CLIP_TEMPLATE
from bifrost.usd.layer_stacks import LayerStacks


class TemplateOpinion(NamedTuple):
    """
    What one prim of a layer says of the template of one clip set.

    Attributes:
        clip_set: The set's name.
        prim: The prim's path, without variants.
        template: The template, or "" where only the others of its keys are there.
        has_offset: Whether it has an active offset, which counts for a stronger template that has none.
    """

    clip_set: str
    prim: str
    template: str
    has_offset: bool


def template_opinions(layer: Sdf.Layer) -> list[TemplateOpinion]:
    """Return what *layer* says of clip templates, in all its prims and variants."""
    found: list[TemplateOpinion] = []

    def look(path: Sdf.Path) -> None:
        prim = None if path.IsPropertyPath() else layer.GetPrimAtPath(path)
        if prim is not None and prim.HasInfo("clips"):
            found.extend(_said(str(path.StripAllVariantSelections()), prim.GetInfo("clips")))

    layer.Traverse(Sdf.Path.absoluteRootPath, look)
    return found


def _said(prim: str, clips: object) -> Iterator[TemplateOpinion]:
    # A layer may hold anything there.
    for name, clip_set in clips.items() if isinstance(clips, Mapping) else ():
        if isinstance(clip_set, Mapping) and any(key.startswith("template") for key in clip_set):
            template = clip_set.get(CLIP_TEMPLATE)
            text = template if isinstance(template, str) else ""
            yield TemplateOpinion(name, prim, text, "templateActiveOffset" in clip_set)


def templates_alone(
    layer: str, opinions: Mapping[str, list[TemplateOpinion]], stacks: LayerStacks
) -> dict[str, bool]:
    """Return the templates of *layer*, and of each whether nothing else may be about its clip set."""
    alone: dict[str, bool] = {}
    said = opinions.get(layer, ())
    for own in (each for each in said if each.template):
        others = _about(own, layer, opinions, stacks)
        alone[own.template] = alone.get(own.template, True) and not any(others)
    return alone


def _about(
    own: TemplateOpinion,
    layer: str,
    opinions: Mapping[str, list[TemplateOpinion]],
    stacks: LayerStacks,
) -> Iterator[TemplateOpinion]:
    """Yield what else may be about the same clip set; by its name, for arcs give prims other paths."""
    together, stronger, weaker = (
        ask(layer) & opinions.keys() for ask in (stacks.together, stacks.stronger, stacks.weaker)
    )
    for name in sorted(together | stronger | weaker):
        for other in opinions[name]:
            if other is own or other.clip_set != own.clip_set:
                continue
            if name in together:
                # A prim has one path there, unless it is a class, or one that others refer to.
                is_it = other.prim == own.prim or not other.template
            else:
                is_it = name in stronger or other.has_offset
            if is_it:
                yield other
