"""Statistics of the pixels of images, alone and together: normalisation values, ranges, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.data.loading import Viewed
from unetkit.foundation.errors import ConfigError, DataError
from unetkit.models.normalization import Normalization
from unetkit.models.spec import TrainingImages
from unetkit.models.statistics import Statistics, measure_range, measure_statistics

SAMPLED_PIXELS = 4096
"""Number of pixels of each image on which the statistics of the data set are measured."""


class Measured(Protocol):
    """Facts about the pixels of an image."""

    @property
    def dtype(self) -> str:
        """Type of the pixels."""

    @property
    def range(self) -> Statistics:
        """Lower end (center) and width (scale) of the range of the values, (channels,)."""

    @property
    def sample(self) -> NDArray[Any]:
        """(channels, n) a fixed sample of its pixels."""


class MeasuredForeground(Measured, Protocol):
    """Facts about the pixels of an image and of its foreground."""

    @property
    def foreground(self) -> NDArray[Any] | None:
        """(channels, n) a fixed sample of the pixels of its foreground, where these are measured."""


def draw_sample(pixels: NDArray[Any]) -> NDArray[Any]:
    """Draw a fixed sample (C, `SAMPLED_PIXELS`) of pixels (C, n)."""
    return pixels[:, np.random.default_rng(0).integers(0, pixels.shape[1], SAMPLED_PIXELS)]


def sample_foreground(viewed: Viewed) -> NDArray[Any]:
    """Draw a fixed sample (C, n) of the pixels of the foreground of an image; n is `SAMPLED_PIXELS` or 0."""
    total = sum(int(np.count_nonzero(labels > 0)) for labels in viewed.label_slabs)
    places = np.random.default_rng(0).integers(0, max(total, 1), SAMPLED_PIXELS if total else 0)
    seen, found = 0, []
    for pixels, labels in zip(viewed.pixel_slabs, viewed.label_slabs, strict=True):
        inside = pixels[:, labels > 0]
        here = places[(places >= seen) & (places < seen + inside.shape[1])]
        found.append(inside[:, here - seen])
        seen += inside.shape[1]
    return np.concatenate(found, axis=1)


def measure_dataset(images: Sequence[MeasuredForeground], normalization: Normalization, channels: int) -> Normalization:
    """Fill in the center and scale of a data set from the fixed samples of its images, each with the same weight.

    Raises:
        ConfigError: The foreground is to be measured, and there are no masks.
    """
    samples = [image.foreground if normalization.of == "foreground" else image.sample for image in images]
    if any(sample is None for sample in samples):
        raise ConfigError("normalization.of: foreground needs masks, and there are none.", "Use of: image.")
    pixels = np.concatenate([to_channels(sample, channels) for sample in samples if sample is not None], axis=1)
    statistics = measure_statistics(pixels, normalization)
    return replace(
        normalization,
        clip=_clip(pixels, normalization) if normalization.of == "foreground" else None,
        center=tuple(float(value) for value in statistics.center),
        scale=tuple(float(value) for value in statistics.scale),
    )


def _clip(pixels: NDArray[Any], normalization: Normalization) -> tuple[tuple[float, float], ...]:
    """Return the percentiles of each channel of the foreground beyond which values are clipped."""
    ends = measure_statistics(pixels, replace(normalization, method="percentile"))
    return tuple((float(low), float(low + width)) for low, width in zip(ends.center, ends.scale, strict=True))


def measure_images(images: Sequence[Measured], channels: int) -> TrainingImages:
    """Describe the pixels of images by their fixed samples, each image with the same weight."""
    pixels = np.concatenate([to_channels(image.sample, channels) for image in images], axis=1)
    values = measure_range(pixels, Normalization(channelwise=True))
    varied = [image.sample.min(1) < image.sample.max(1) for image in images]
    contrasts = [to_channels(image.range.scale * some, channels) for image, some in zip(images, varied, strict=True)]
    return TrainingImages(
        dtypes=tuple(sorted({image.dtype for image in images})),
        low=tuple(values.center.tolist()),
        high=tuple((values.center + values.scale).tolist()),
        contrast=tuple(np.min(contrasts, axis=0).tolist()),
    )


def normalizing_values(
    own: Statistics, normalization: Normalization
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the center and scale (channels,) of an image: those of the data set where it has some, else its own."""
    if normalization.center is None or normalization.scale is None:
        return own.center, own.scale
    return np.array(normalization.center, np.float32), np.array(normalization.scale, np.float32)


def common_channels(examples: Mapping[int, str]) -> int:
    """Return the number of channels that all images can be given: grey ones are repeated.

    Args:
        examples: Name of an image for each number of channels that there is.

    Raises:
        DataError: Images of several numbers of channels other than 1.
    """
    colored = sorted(channels for channels in examples if channels > 1)
    if len(colored) > 1:
        listed = " and ".join(f"{channels} channels ({examples[channels]})" for channels in colored)
        raise DataError(
            f"The images differ in their channels: {listed}.",
            "Train on images of one kind; only grey images mix with others (they are repeated).",
        )
    return max(examples)


def to_channels(values: NDArray[Any], channels: int, planes: int = 1) -> NDArray[Any]:
    """Repeat the first axis of what belongs to a grey image, or to several planes of one."""
    return values if values.shape[0] == channels * planes else np.repeat(values, channels, axis=0)
