# SPDX-License-Identifier: Apache-2.0
"""
A file opened as a stage for a look at it, without a trace in the process that looks.

The root layer is read from the disk, beside any layer of the same file that the process has open
and perhaps edited; no stage cache of the caller's gets to see the stage. Layers that it names are
shared as everywhere in USD.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Iterator
from typing import Final

from pxr import Pcp, Sdf, Tf, Usd

from bifrost import looking
from bifrost.errors import ConfigurationError
from bifrost.usd import stage as plugin
from bifrost.usd import survey
from bifrost.usd.file_checks import check, glance, no_usd
from bifrost.usd.lifetimes import outlived, used_layers

# File format arguments are part of a layer's identity, and no format knows this one: the same file
# becomes a layer of our own, anchored where the file is. An anonymous layer would be anchored nowhere.
# Each look has another number, or a second one would see the first one's layer of a file that changed.
_OURS: Final = "bifrost-look"
_OUR_ARGUMENTS: Final = re.compile(f":SDF_FORMAT_ARGS:{_OURS}=[0-9]+")
_looks: Final = itertools.count(1)
# What they are beside their files isn't known: of more, none is kept.
_FEW_LAYERS: Final = 10
_TOO_MUCH: Final = sys.maxsize


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Usd.Stage]:
    """
    Open the stage of a file with all its payloads; it is gone when the caller lets go of it.

    Entity references in it resolve as everywhere in this process, where the plugin is installed.

    Raises:
        LocationException: there is no such file.
        LayerException: it is no file that USD can read; the message says why. Also for what
            USD raises in the body of the `with`.
    """
    stage = looking.once("stage", path, lambda: _stage(path), _weight)
    try:
        yield stage
    except (Tf.ErrorException, UnicodeDecodeError) as error:  # damage that shows up late
        raise no_usd(path, reason(error)) from error


def _stage(path: str | os.PathLike[str]) -> Usd.Stage:
    from bifrost.usd.dependencies import looked_below  # needs this module

    layer = root_layer(path)
    try:
        with looked_below(layer), Usd.StageCacheContext(Usd.BlockStageCaches):
            stage = Usd.Stage.Open(layer, Usd.Stage.LoadAll)
            return outlived(stage, *used_layers(stage))
    except (Tf.ErrorException, UnicodeDecodeError) as error:
        raise no_usd(path, reason(error)) from error


def _weight(stage: Usd.Stage) -> int:
    layers = stage.GetUsedLayers(includeClipLayers=False)
    return sum(map(_size, layers)) if len(layers) <= _FEW_LAYERS else _TOO_MUCH


def _size(layer: Sdf.Layer) -> int:
    """Return how many bytes the file of *layer* has; 0 for one that is none of its own."""
    with contextlib.suppress(OSError):
        return os.stat(layer.realPath).st_size  # noqa: PTH116  "" is no file, as a Path it is one
    return 0


def root_layer(path: str | os.PathLike[str]) -> Sdf.Layer:
    """
    Return a file's own layer as it is on the disk, apart from what the process has of it.

    Raises:
        LocationException: there is no such file.
        LayerException: it is no file that USD can read; the message says why.
    """
    return looking.once("layer", path, lambda: _root_layer(path), _size)


def _root_layer(path: str | os.PathLike[str]) -> Sdf.Layer:
    check(path)
    with contextlib.suppress(ConfigurationError):
        plugin.register_plugin()
    # Not `Path.resolve`: USD leaves links alone.
    return _read(os.path.abspath(path), path, {_OURS: str(next(_looks))})  # noqa: PTH100


def shared_layer(path: str) -> Sdf.Layer:
    """
    Return the layer of the file *path*, as this process has it.

    Raises:
        LocationException: there is no such file.
        LayerException: it is no file that USD can read; the message says why.
    """
    check(path)
    return _read(path, path, {})


def layer_below(path: str) -> Sdf.Layer:
    """
    Return the layer of the file *path*, as this process has it; for the many that lie under a root.

    As `shared_layer`, and without a trial of binary files.

    Raises:
        LocationException: there is no such file.
        LayerException: it is no file that USD can read; the message says why.
    """
    glance(path)
    return _read(path, path, {})


def _read(path: str, shown: str | os.PathLike[str], arguments: dict[str, str]) -> Sdf.Layer:
    try:
        layer = Sdf.Layer.FindOrOpen(path, arguments)
    except (Tf.ErrorException, UnicodeError) as error:
        raise no_usd(shown, reason(error)) from error
    if layer is None:
        raise no_usd(shown, "USD gives no reason")
    return layer


def reason(error: Exception) -> str:
    """Return in a line why USD could not do something, whatever bytes it quotes."""
    return plain(survey.reason(error))


def composition_problems(stage: Usd.Stage) -> list[str]:
    """Return in a line each what did not compose, each once, in no process's own order."""
    return sorted({reason(error) for error in stage.GetCompositionErrors()})


def plain(text: str) -> str:
    """Return what USD says about a stage of `opened`, with its root's file as everybody knows it."""
    return _OUR_ARGUMENTS.sub("", text)


def unresolved(stage: Usd.Stage) -> list[str]:
    """Return the asset paths of sublayers, references and payloads that opened nothing, sorted."""
    kinds = Pcp.ErrorInvalidAssetPath | Pcp.ErrorInvalidSublayerPath
    found = {
        # The path is only in the text: these errors have no such attribute in Python.
        str(error).partition("@")[2].partition("@")[0] or str(error)
        for error in stage.GetCompositionErrors()
        if isinstance(error, kinds)
    }
    return sorted(found)
