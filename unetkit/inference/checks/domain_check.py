"""Check that an image looks like the training images of a model, as far as it matters to the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageInfo
from unetkit.models.spec import ModelSpec, TrainingImages
from unetkit.models.statistics import measure_range

PIXEL_SIZE_FACTOR = 1.5
"""Factor by which objects look larger or smaller than in training, from which there is a warning."""

SMALLEST_CONTRAST_SHARE = 0.25
"""Share of the contrast of the faintest training image. An image with less is almost empty."""

RANGE_MARGIN_SHARE = 0.5
"""Share of the range of the training images by which values may lie outside it."""


def differences(info: ImageInfo, sample: NDArray[Any] | None, spec: ModelSpec) -> list[str]:
    """Return how an image differs from the training images. Each text is a warning with its remedy.

    Differences that the normalisation removes do not count. Where every image is measured by itself, neither the type
    nor the range of the pixels matters; the image only must not be empty. A wrong number of channels is an error when
    the image is read, and not checked here.

    Args:
        info: The image, with the channels and the pixel size that the model is given.
        sample: (C, n) raw pixels of a plane, as `sample_pixels` reads them; None to look at the metadata only.
        spec: The model.
    """
    found = [_pixel_size(info, spec), _channel_order(info, spec)]
    if sample is not None and sample.shape[0] in (1, spec.in_channels):
        seen = spec.training_images
        found.append(_blank(sample) or (_values(info, sample, seen, spec) if seen else None))
    return [text for text in found if text]


def _pixel_size(info: ImageInfo, spec: ModelSpec) -> str | None:
    if info.pixel_size_um is None or spec.pixel_size_um is None:
        return None
    ratio = np.divide(info.pixel_size_um, spec.pixel_size_um)
    if max(ratio.max(), 1 / ratio.min()) <= PIXEL_SIZE_FACTOR:
        return None
    return (
        f"Its pixels are {_size(info.pixel_size_um)}, those of the training images {_size(spec.pixel_size_um)}: give "
        f"--pixel-size {spec.pixel_size_um[0]:.4g} to resample it."
    )


def _channel_order(info: ImageInfo, spec: ModelSpec) -> str | None:
    names = [name.casefold() for name in info.channel_names]
    wanted = [name.casefold() for name in spec.channel_names]
    if names == wanted or len(set(names)) < len(names) or sorted(names) != sorted(wanted):
        return None
    order = ",".join(str(names.index(name)) for name in wanted)
    return (
        f"Its channels are {', '.join(info.channel_names)}, those of the training images "
        f"{', '.join(spec.channel_names)}: give --channels {order} to put them in that order."
    )


def _blank(sample: NDArray[Any]) -> str | None:
    # Channel by channel: of pixels whose channels lie side by side NumPy would reduce three numbers at a time.
    blank = np.flatnonzero([channel.min() == channel.max() for channel in sample])
    if not blank.size:
        return None
    return (
        f"{_which(blank, sample.shape[0])} empty, all of one value ({sample[blank[0], 0]:g}): check that this is the "
        "right image."
    )


def _values(info: ImageInfo, sample: NDArray[Any], seen: TrainingImages, spec: ModelSpec) -> str | None:
    """Compare contrast and range, where the model takes pixels as they are or they are of one kind."""
    fixed = spec.normalization.scope == "dataset"
    values = measure_range(sample, spec.normalization)
    if fixed or str(info.dtype) in seen.dtypes:
        faint = np.flatnonzero(values.scale < SMALLEST_CONTRAST_SHARE * np.asarray(seen.contrast))
        if faint.size:
            return (
                f"{_which(faint, spec.in_channels)} almost empty: the values differ by {values.scale.min():g}, in the "
                f"faintest training image by {seen.contrast[faint[0]]:g}. Check that this is the right image."
            )
    low, high = np.asarray(seen.low), np.asarray(seen.high)
    outside = np.maximum(low - values.center, values.center + values.scale - high) > RANGE_MARGIN_SHARE * (high - low)
    if not fixed or not outside.any():
        return None
    top = values.center + values.scale
    return (
        f"Its values ({info.dtype}) go from {values.center.min():g} to {top.max():g}, those of the training images "
        f"({', '.join(seen.dtypes)}) from {low.min():g} to {high.max():g}: scale them alike, or train with "
        "data.normalization.scope: image, which adapts to each image."
    )


def _which(channels: NDArray[np.intp], count: int) -> str:
    """Name channels, as the beginning of a sentence."""
    if len(channels) == count:
        return "It is"
    numbers = ", ".join(str(channel) for channel in channels)
    return f"Channel {numbers} is" if len(channels) == 1 else f"Channels {numbers} are"


def _size(size: tuple[float, ...]) -> str:
    return f"{size[0]:.4g} x {size[1]:.4g} µm"
