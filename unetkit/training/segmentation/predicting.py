"""A whole image or volume through a model in training, window by window, as `segment` does it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from unetkit.inference.array import predict_plane, predict_tiled
from unetkit.inference.tiling.options import Output
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
