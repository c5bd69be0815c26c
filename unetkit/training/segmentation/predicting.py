"""A whole image or volume through a model in training, window by window, as `segment` does it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.console import log_nothing
from unetkit.inference.array import predict_plane, predict_tiled
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.engine.forward import Kind
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.tiling.options import Output, TilingOptions
from unetkit.io.base.arrays import ArraySource
from unetkit.io.views.volume import VolumeSource
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter

AXES = {2: "CYX", 3: "CZYX"}
"""Axes of the pixels of an item, by the number of axes that the network sees."""


def predict_item(segmenter: Segmenter, pixels: NDArray[Any], output: Output = "mask") -> NDArray[Any]:
    """Return what `segment` would make of an image or volume.

    Args:
        segmenter: The model, on the device to predict on.
        pixels: (C, ...) raw; of a model that sees neighbouring planes, (planes * C, h, w).
        output: "mask" or "labels".

    Returns:
        (...) a mask, 0 and 255 or class numbers; or labels.
    """
    device = str(next(segmenter.parameters()).device)
    spec = segmenter.spec
    if spec.planes > 1:
        stack = pixels.reshape(spec.planes, -1, *pixels.shape[1:])
        return predict_plane(stack, segmenter, spec.planes // 2, axes="ZCYX", output=output, device=device)
    found: NDArray[Any] = predict_tiled(pixels, segmenter, axes=AXES[spec.dims], output=output, device=device)
    return found


def predict_probabilities(segmenter: Segmenter, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return all that a model predicts of an image or volume, in one pass.

    Args:
        segmenter: The model, on the device to predict on.
        pixels: See `predict_item`.

    Returns:
        (channels, ...) float32, 0 to 1: probability of the foreground or of each class; of a model with instances
        probability of the foreground and distance map.
    """
    spec, ensemble = segmenter.spec, gather_models(segmenter)
    if spec.planes > 1:
        stored, item = ArraySource(pixels.reshape(spec.planes, -1, *pixels.shape[1:]), "ZCYX"), spec.planes // 2
    else:
        stored, item = ArraySource(pixels, AXES[spec.dims]), 0
    source = ValidSource(VolumeSource(stored) if spec.dims == 3 else stored)
    tiling = TilingOptions(device=str(next(segmenter.parameters()).device))
    kind: Kind = "outputs" if spec.instances else "probabilities"
    predictor = Predictor(ensemble, tiling, source, source.info.pixels, kind=kind, threshold=None, log=log_nothing)
    bands: list[NDArray[Any]] = []
    predictor.run(source, [predictor.grid(source.info).whole(item)], bands.extend)
    found: NDArray[np.float32] = np.concatenate(bands, axis=1)
    return found
