"""Open an image for models, and choose the channels that they see."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.inference.checks.domain_check import differences
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.device import cache_bytes, choose_device
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.files import open_image
from unetkit.io.views.kept_planes import keep_planes
from unetkit.io.views.neighbours import lacks_neighbours
from unetkit.models.builtin_models import builtin_folder
from unetkit.models.sampling import ValidSource, sample_pixels

NUCLEAR_CHANNEL = re.compile(
    r"dapi|hoechst|h?33342|h?33258|draq ?5|syto|to-?pro|\bnucle(us|i|ar)\b|\bdna\b|\bh2b\b|histone", re.IGNORECASE
)
"""Pattern of the names of channels that show nuclei: dyes and usual names."""

KEPT_SHARE = 0.5
"""Share of the memory for decoded pixels that keeps whole planes, for models that see neighbouring ones."""

COMPARED_PIXELS = 100_000
"""Largest number of pixels of a sample that are looked at."""

DARK_BACKGROUND_SHARE = 0.25
"""Largest share of its bright pixels that the background of a composite of fluorescence may reach."""

SMALLEST_SATURATION = 0.6
"""Smallest mean saturation of the bright pixels of such a composite, 0 being grey and 1 pure colours."""


def open_input(path: Path, ensemble: Ensemble, options: SegmentOptions, log: Callable[[str], None]) -> ValidSource:
    """Open an image. Log how it differs from the training images, and what reading it takes.

    Args:
        path: The image.
        ensemble: The models.
        options: The user's choices.
        log: Called with sentences for people.

    Raises:
        ImageError: The image cannot be read.
    """
    cached = cache_bytes(options.tiling.memory_bytes, choose_device(options.tiling.device))
    stored, chosen = open_for(path, ensemble, options.read, cached)
    source = ValidSource(stored)
    info = source.info
    for remark in (*info.remarks, *chosen):
        log(f"{info.name}: {remark}")
    if info.scratch_bytes:
        log(
            f"{info.name} is decoded once into a temporary file of {info.scratch_bytes / 1e9:.1f} GB, as its pieces or "
            "the planes that are seen together are too large for memory."
        )
    sample = sample_pixels(source, 0)
    if (holes := source.holes(0)) is not None and holes.nodata.share:
        log(f"{info.name}: {holes.nodata.describe()}")
    for remark in composite_remarks(info, sample) if is_builtin(ensemble) else ():
        log(f"{info.name}: {remark}")
    for text in dict.fromkeys(text for spec in ensemble.specs for text in differences(info, sample, spec)):
        log(f"{info.name} does not look like the training images. {text}")
    return source


def open_for(
    path: Path, ensemble: Ensemble, reading: ReadOptions, cached: int = CACHE_BYTES
) -> tuple[ImageSource, tuple[str, ...]]:
    """Open an image for models.

    An axis without a name is the channels if it has as many as the models. If the channels are no colours, the built-in
    model sees the channel whose name stands for nuclei.

    Returns:
        The image, and remarks on the channels that are taken.

    Raises:
        ImageError: The image cannot be read.
    """
    if ensemble.planes > 1:
        return _with_neighbours(path, ensemble, reading, cached)
    return _open_channels(path, ensemble, reading, cached)


def _with_neighbours(
    path: Path, ensemble: Ensemble, reading: ReadOptions, cached: int
) -> tuple[ImageSource, tuple[str, ...]]:
    """Open an image for models that see neighbouring planes, so that each plane is decoded once."""
    kept = round(cached * KEPT_SHARE)
    source, remarks = _open_channels(path, ensemble, reading, cached - kept)
    if lacks_neighbours(source.info):
        remarks = (*remarks, _alone(source.info, ensemble.planes))
    try:
        return keep_planes(source, ensemble.planes, kept), remarks
    except ImageError:
        source.close()
        raise


def _alone(info: ImageInfo, planes: int) -> str:
    """Return a remark on an image whose planes have no neighbours."""
    several = f" If one of the axes {info.axes} is depth, say so with --axes, for example --axes ZYX."
    return (
        f"The model sees {planes} neighbouring planes at once, and planes of this image have no neighbours: each is "
        f"repeated.{several if info.planes > 1 else ''}"
    )


def _open_channels(
    path: Path, ensemble: Ensemble, reading: ReadOptions, cached: int
) -> tuple[ImageSource, tuple[str, ...]]:
    """Open an image with the channels that models see, see `open_for`."""
    source = open_image(path, reading, dims=ensemble.dims, cache_bytes=cached)
    info, count = source.info, ensemble.channels
    unnamed = [i for i, axis in enumerate(info.axes) if axis in UNNAMED_AXES]
    if count > 1 and info.channels == 1 and len(unnamed) == 1 and info.shape[unnamed[0]] == count:
        source.close()
        reading = replace(reading, axes=info.axes.replace(info.axes[unnamed[0]], "C"))
        source = open_image(path, reading, dims=ensemble.dims, cache_bytes=cached)
    if not is_builtin(ensemble) or reading.channels is not None or reading.stain is not None:
        return source, ()
    info = source.info
    nuclear = [i for i, name in enumerate(info.channel_names) if NUCLEAR_CHANNEL.search(name)]
    if info.channels > 1 and len(nuclear) == 1 and not info.colours:
        source.close()
        taken = (
            f"Its channel '{info.channel_names[nuclear[0]]}' is taken, whose name stands for nuclei; --channels "
            f"chooses others. Its channels are {', '.join(info.channel_names)}."
        )
        return open_image(path, replace(reading, channels=tuple(nuclear)), cache_bytes=cached), (taken,)
    return source, _doubt(info, count)


def is_builtin(ensemble: Ensemble) -> bool:
    """Return whether all models are built in. These take grey images and colours, and no other channels."""
    return all(Path(segmenter.name).parent == builtin_folder() for segmenter in ensemble.segmenters)


def _doubt(info: ImageInfo, count: int) -> tuple[str, ...]:
    """Return a remark on channels that the models take for colours, but the file does not."""
    if info.channels != count or count == 1 or info.colours is not False:
        return ()
    example = info.channel_names[0] if info.channel_names else "0"
    names = f" ({', '.join(info.channel_names)})" if info.channel_names else ""
    return (
        f"Its {count} channels{names} are not said to be red, green and blue, but the built-in model takes them for "
        f"these. If they are fluorescence, give the one that shows the nuclei, for example --channels {example}.",
    )


def composite_remarks(info: ImageInfo, sample: NDArray[Any]) -> tuple[str, ...]:
    """Return a remark on an RGB image that looks like channels of fluorescence laid over each other.

    Args:
        info: The image.
        sample: (C, n) raw pixels of a plane.
    """
    if sample.shape[0] != 3 or not info.colours:
        return ()
    pixels = sample[:, :: -(-sample.shape[1] // COMPARED_PIXELS)].astype(np.float32)
    brightest, darkest = pixels.max(0), pixels.min(0)
    top = float(np.percentile(brightest, 99.8))
    bright = brightest > 0.5 * top
    if top <= 0 or np.median(brightest) > DARK_BACKGROUND_SHARE * top or not bright.any():
        return ()
    if float(((brightest - darkest)[bright] / brightest[bright]).mean()) < SMALLEST_SATURATION:
        return ()
    return (
        "Its strong colours on a dark background look like channels of fluorescence laid over each other. If so, give "
        "the one that shows the nuclei alone, for example --channels 2 for blue.",
    )
