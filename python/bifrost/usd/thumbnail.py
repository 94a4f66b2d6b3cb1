# SPDX-License-Identifier: Apache-2.0
"""
Thumbnails: a PNG of any file, at any size.

Generators are asked in order, and the first that makes something is taken: those that packages
register as entry points of the group `bifrost.thumbnails`, by name, and then ours, for picture
files and for USD geometry. Where none can, it is a card (`card.py`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bifrost.usd import card as cards
from bifrost.usd.file_checks import is_usd
from bifrost.usd.folder import UDIM
from bifrost.usd.opening import opened
from bifrost.usd.picture import picture

if TYPE_CHECKING:
    from PIL.Image import Image

GROUP: Final = "bifrost.thumbnails"

Generator = Callable[[Path, str, int, int], "Image | bytes | None"]
"""
Called with the file, the asset's type, and the width and height wanted in pixels. Returns a picture
of any size, a file's content that Pillow can read, or None for a file that is not its business. What
it raises is logged, and the next one is asked.
"""

_SMALLEST, _LARGEST = 16, 4096
_MOST_PIXELS: Final = 120_000_000
_LIGHT, _SHADE = (222, 225, 230), (176, 181, 190)
_logger = logging.getLogger("bifrost")


def thumbnail(
    path: str | os.PathLike[str],
    *,
    name: str,
    asset_type: str,
    width: int = 512,
    height: int = 512,
    generators: Sequence[Generator] | None = None,
) -> bytes:
    """
    Return a PNG of a file. The same file, name, type and size make the same bytes. Never raises.

    Args:
        path: The file; with `<UDIM>` in its name the first tile is shown.
        name: The asset's name, for a card.
        asset_type: The asset's type.
        width: In pixels, from 16 to 4096; what is beyond is taken as the nearest.
        height: Likewise.
        generators: Instead of those registered and ours.
    """
    width, height = _bounded(width), _bounded(height)
    file = Path(_first_tile(os.fspath(path)))
    for generator in all_generators() if generators is None else generators:
        try:
            made = generator(file, asset_type, width, height)
            if made is not None:
                return _png(_sized(_read(made), width, height))
        except Exception as error:  # noqa: BLE001  plug-ins, and files that are whatever they are
            _logger.warning("no thumbnail of %s by %s: %s", file, _named(generator), error)
    return card_of(file, name, asset_type, width, height)


def card_of(
    path: str | os.PathLike[str], name: str, asset_type: str, width: int, height: int
) -> bytes:
    """Return the PNG of a file's card, with the outline of its geometry if it has any."""
    outline = None
    with contextlib.suppress(Exception):  # a card without an outline then
        if is_usd(path):
            with opened(path) as stage:
                outline = cards.silhouette(stage, width / height / cards.TEXT_AT)
    return _png(cards.card(name, asset_type, width, height, outline))


def all_generators() -> list[Generator]:
    """Return the registered generators, by name, and then ours."""
    return [*registered(), picture_file, geometry]


@cache
def registered() -> tuple[Generator, ...]:
    """Return the generators that packages register, by name; one that can't be imported is logged."""
    return tuple(_loaded())


def picture_file(path: Path, asset_type: str, width: int, height: int) -> Image | None:
    """Make a picture file's thumbnail: the picture, smaller."""
    del asset_type
    from PIL import Image, ImageOps, UnidentifiedImageError

    if is_usd(path) or not path.is_file():
        return None
    try:
        with Image.open(path) as found:
            if found.width * found.height > _MOST_PIXELS:
                return None
            found.draft("RGB", (2 * width, 2 * height))  # JPEG: decode small
            upright = ImageOps.exif_transpose(found)
            return _within(_eight_bit(upright), width, height)
    except UnidentifiedImageError:
        return None


def geometry(path: Path, asset_type: str, width: int, height: int) -> Image | None:
    """Make a USD file's thumbnail: a picture of its geometry."""
    del asset_type
    if not is_usd(path):
        return None
    with opened(path) as stage:
        return picture(stage, width, height)


def _bounded(size: float) -> int:
    return int(min(_LARGEST, max(_SMALLEST, size)))


def _loaded() -> Iterator[Generator]:
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            yield entry.load()
        except Exception as error:  # noqa: BLE001  somebody else's package
            _logger.warning("the thumbnail generator %s can't be loaded: %s", entry.name, error)


def _read(made: Image | bytes) -> Image:
    from PIL import Image

    if not isinstance(made, bytes | bytearray):
        return made
    with Image.open(io.BytesIO(made)) as found:
        found.load()
        return found.copy()


def _sized(made: Image, width: int, height: int) -> Image:
    """Return a picture in the middle of our backdrop, as large as fits."""
    made = _within(_eight_bit(made), width, height)
    whole = cards.backdrop(width, height, _LIGHT, _SHADE)
    place = ((width - made.width) // 2, (height - made.height) // 2)
    if made.mode == "RGBA":
        whole.paste(made, place, made)
    else:
        whole.paste(made, place)
    return whole


def _within(made: Image, width: int, height: int) -> Image:
    from PIL import Image

    scale = min(width / made.width, height / made.height)
    size = (max(1, round(made.width * scale)), max(1, round(made.height * scale)))
    if size == made.size:
        return made
    # A texture of a few pixels is shown as the pixels that it has.
    smooth = Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS
    return made.resize(size, smooth)


def _eight_bit(made: Image) -> Image:
    """Return a picture as RGB or RGBA, its brightest as white where it counts in more than bytes."""
    if made.mode in ("RGB", "RGBA"):
        return made
    if made.mode.startswith(("I", "F")):
        made = made.convert("F")
        low, high = (float(end) for end in made.getextrema())  # type: ignore[arg-type]
        scale = 255 / (high - low) if high > low else 0.0
        return made.point(lambda value: value * scale - low * scale).convert("L").convert("RGB")
    transparent = "A" in made.mode or "transparency" in made.info
    return made.convert("RGBA" if transparent else "RGB")


def _png(made: Image) -> bytes:
    buffer = io.BytesIO()
    made.convert("RGB").save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def _first_tile(path: str) -> str:
    if UDIM not in path:
        return path
    directory, base = os.path.split(path)
    pattern = re.compile(re.escape(base).replace(re.escape(UDIM), "1[0-9]{3}"))
    try:
        names = sorted(filter(pattern.fullmatch, os.listdir(directory or ".")))  # noqa: PTH208
    except (OSError, ValueError):
        return path
    return os.path.join(directory, names[0]) if names else path  # noqa: PTH118


def _named(generator: object) -> str:
    return str(getattr(generator, "__qualname__", generator))


def names(generators: Iterable[Generator]) -> list[str]:
    """Return what generators are called, for `bifrost doctor`."""
    return [_named(generator) for generator in generators]
