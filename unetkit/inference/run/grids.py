"""The grid of an output: the pixels of the image, where it is resampled for the models."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.inputs import open_for
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.read_options import ReadOptions, parse_region
from unetkit.io.views.regrid import Regrid, make_regrid


def find_regrid(path: Path, ensemble: Ensemble, options: SegmentOptions, info: ImageInfo) -> Regrid | None:
    """Return how the results of an image are put back to its pixels; None where they stay as the models see them.

    Args:
        path: The image.
        ensemble: The models.
        options: The user's choices.
        info: The image as it was read for the models.

    Raises:
        UnetkitError: The image cannot be read, or a region of it holds no pixel.
    """
    reading = options.read
    grid = options.write.output_grid or ("input" if ensemble.dims == 3 else "model")
    if not reading.pixel_sizes or grid == "model":
        return None
    stored = _info(path, ensemble, replace(reading, pixel_size=None, region=None))
    whole = info if reading.region is None else _info(path, ensemble, replace(reading, region=None))
    return make_regrid(whole, info, parse_region(reading.region), stored)


def output_reading(path: Path, ensemble: Ensemble, options: SegmentOptions) -> ReadOptions:
    """Return how an image is read in the pixels of its output.

    Raises:
        UnetkitError: See `find_regrid`.
    """
    back = (
        find_regrid(path, ensemble, options, _info(path, ensemble, options.read)) if options.read.pixel_sizes else None
    )
    return options.read if back is None else replace(options.read, pixel_size=None, region=back.region)


def _info(path: Path, ensemble: Ensemble, reading: ReadOptions) -> ImageInfo:
    with closing(open_for(path, ensemble, reading)[0]) as source:
        return source.info
