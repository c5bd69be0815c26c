"""A model whose normalisation is known before any image is seen: its values go into the model itself."""

from __future__ import annotations

from dataclasses import replace

from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics


def with_values(segmenter: Segmenter, values: Statistics) -> Segmenter:
    """Return the model with fixed values in place of those of each image; it shares the weights.

    Args:
        segmenter: The model.
        values: (in_channels,) what normalises every image from now on.
    """
    own = segmenter.spec.normalization
    fixed = Normalization(
        "percentile" if own.window is not None else own.method,
        "dataset",
        own.low,
        own.high,
        own.channelwise,
        center=tuple(float(value) for value in values.center),
        scale=tuple(float(value) for value in values.scale),
    )
    changed = Segmenter(replace(segmenter.spec, normalization=fixed), segmenter.network).eval()
    changed.name = segmenter.name
    return changed
