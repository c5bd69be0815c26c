"""By how much an image is enlarged or shrunk for models, so that its objects are of a size that they know.

A network finds small objects worse than large ones, and those that touch worst of all. So a model may be trained on
images that were enlarged until their objects have a usual size; and of objects that are larger than it sees far, it
finds pieces. How large the objects of an image are is measured in a first pass over parts of it. Stringer et al. 2021,
https://doi.org/10.1038/s41592-020-01018-x, scale images for Cellpose so; they predict the size of the objects from its
style.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import product
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.run.recipe import make_recipe
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions
from unetkit.io.base.contracts import ImageInfo, Window
from unetkit.io.views.region import RegionSource
from unetkit.models.sampling import ValidSource

LARGEST_ZOOM = 2.0
"""Images are not enlarged more than so, and only for labels: a mask gains too little for so much more time."""

LEAST_ZOOM, LEAST_ZOOM_OF_BRIGHT = 1.9, 1.2
"""Images that would be enlarged less than so are seen as they are; the second number is that of images whose bright
background is turned around. Photographs of stained tissue are sharp to the pixel, and gain from a little more of them;
fluorescence is mostly sampled finer than it is sharp, and only the smallest objects gain (`benchmarks/ablations.md`).
"""

SAMPLE_SIDE = 512
"""Longest side of the parts of an image in which objects are measured, in pixels."""

SAMPLE_GRID = 3
"""Most parts along each axis of a single plane; a plane of a stack has one less. Where nothing is enlarged, the middle
part is enough.
"""

SAMPLE_PLANES = 3
"""Most planes of a stack in which objects are measured."""

SUSPICIOUS = 1.3
"""Objects that are so many times as wide as those that the models know may be pieces of larger ones: these are measured
again in the shrunk image."""

GROWN = 1.25
"""Objects that are so many times as wide in the shrunk image were pieces."""

TOO_LARGE = 1.8
"""Images are shrunk if their objects, though whole, are so many times as wide as those that the models know."""

SMALLEST_ZOOM = 0.1
"""Images are not shrunk more than so."""

PASSES = 4
"""Most passes over shrunk parts, until objects grow no more."""

SMALLER = (0.5, 0.25)
"""Zooms that are tried where too few objects are found in the image as it is."""

FEWEST_OBJECTS = 3
"""With fewer objects in all parts, nothing is known of their size."""


def largest_zoom(ensemble: Ensemble, options: SegmentOptions) -> float:
    """Return by how much the images of a run may be enlarged; by how much they all are, where the user says so.

    Raises:
        ConfigError: The user says so, and the models see volumes.
    """
    zoom = options.tiling.zoom
    if zoom != "auto":
        if zoom != 1 and ensemble.dims == 3:
            raise ConfigError(f"zoom is for planes, and {ensemble.name} sees volumes.", "Give a pixel size (z,y,x).")
        return zoom
    return LARGEST_ZOOM if _is_fitted(ensemble, options) and options.write.output == "labels" else 1.0


def _is_fitted(ensemble: Ensemble, options: SegmentOptions) -> bool:
    """Return whether images are enlarged or shrunk to the size of the objects that models know."""
    given = options.tiling.zoom != "auto" or options.read.pixel_sizes or options.tiling.directions > 1
    return ensemble.object_diameter is not None and not given


def with_zoom(options: SegmentOptions, zoom: float) -> SegmentOptions:
    """Return the choices with the zoom of an image."""
    return replace(options, tiling=replace(options.tiling, zoom=zoom))


def find_zoom(source: ValidSource, predictor: Predictor, options: SegmentOptions, only: int | None = None) -> float:
    """Return how many pixels models see, along each axis, for one of an image.

    Args:
        source: The image.
        predictor: The models.
        options: The user's choices.
        only: The plane that is predicted; None for all.

    Raises:
        UnetkitError: The image cannot be read, or does not fit the models.
    """
    wanted, largest = predictor.ensemble.object_diameter, largest_zoom(predictor.ensemble, options)
    if wanted is None or not _is_fitted(predictor.ensemble, options):
        return largest

    def measure(zoom: float) -> NDArray[np.intp]:
        """Return the areas of the objects in parts of the image, in pixels as they are seen."""
        seen = source.zoomed(zoom)
        return np.concatenate(
            list(_areas(seen, predictor, options, _parts(seen.info, only, SAMPLE_GRID if largest > 1 else 1)))
        )

    is_bright = any((values.scale < 0).any() for values in predictor.measure(source, only or 0))
    return _fit(measure, wanted, largest, LEAST_ZOOM_OF_BRIGHT if is_bright else LEAST_ZOOM)


def _fit(
    measure: Callable[[float], NDArray[np.intp]],
    wanted: float,
    largest: float = LARGEST_ZOOM,
    least: float = LEAST_ZOOM_OF_BRIGHT,
) -> float:
    """Return the zoom with which objects are of a diameter.

    Args:
        measure: Returns the areas of the objects that are found with a zoom, in pixels as they are seen.
        wanted: Diameter in pixels as they are seen.
        largest: Largest zoom.
        least: Least zoom of images that are enlarged.
    """

    def diameter(areas: NDArray[np.intp], zoom: float) -> float | None:
        return 2 * sqrt(float(np.median(areas)) / pi) / zoom if len(areas) >= FEWEST_OBJECTS else None

    zoom, areas = 1.0, measure(1.0)
    if len(areas) < FEWEST_OBJECTS:  # they may be too large to be found: the zoom counts that finds most of the image
        zoom, areas = max(((one, measure(one)) for one in SMALLER), key=lambda found: found[1].sum() / found[0] ** 2)
    known = diameter(areas, zoom)
    if known is None or (zoom < 1 and known * zoom < wanted / SUSPICIOUS):
        return 1.0
    for _ in range(PASSES):
        if known * zoom <= SUSPICIOUS * wanted or zoom == SMALLEST_ZOOM:
            break
        smaller = max(round(wanted / known, 2), SMALLEST_ZOOM)
        there = diameter(measure(smaller), smaller)
        if there is None or (there < GROWN * known and known * zoom <= TOO_LARGE * wanted):
            break
        zoom, known = smaller, there
    enlarged = round(min(wanted / known, largest), 2)
    return enlarged if zoom == 1 and enlarged >= least else zoom


def _areas(
    source: ValidSource, predictor: Predictor, options: SegmentOptions, parts: Iterable[tuple[int, Window]]
) -> Iterator[NDArray[np.intp]]:
    """Yield the areas, in pixels, of the objects in parts of an image."""
    from unetkit.inference.run.labelling import make_labels  # here, since only labels need OpenCV and its memory

    labelling = predictor.alike("heights")
    write = OutputOptions(output="labels", threshold=options.write.threshold)
    look = cache(partial(labelling.look, source))
    for item, window in parts:
        start, size = zip(*((part.start, part.stop - part.start) for part in window), strict=True)
        part = RegionSource(source, (*start, *size))
        plane = replace(part.info, plane_axes="", plane_shape=())
        recipe = make_recipe(
            SegmentOptions(tiling=options.tiling, write=write), predictor.ensemble, plane, predictor.plan
        )
        bands: list[NDArray[Any]] = []
        blocks = [replace(block, item=item) for block in recipe.blocks]
        labelling.run(part, blocks, bands.extend, look=look)
        labels = np.concatenate(list(make_labels(bands, recipe).rows()), axis=1)
        areas = np.bincount(labels.ravel())
        areas[_cut(labels[0], window, source.info.size)] = areas[0] = 0
        yield areas[areas > 0]


def _cut(labels: NDArray[Any], window: Window, size: tuple[int, ...]) -> NDArray[Any]:
    """Return the labels (h, w) of what reaches beyond a window, but for the ends of the image."""
    sides = [
        labels.take(end, axis).ravel()
        for axis, (part, length) in enumerate(zip(window, size, strict=True))
        for end, is_inside in ((0, part.start > 0), (-1, part.stop < length))
        if is_inside
    ]
    return np.unique(np.concatenate(sides)) if sides else np.empty(0, labels.dtype)


def _parts(info: ImageInfo, only: int | None, most: int) -> Iterator[tuple[int, Window]]:
    """Yield the item and the window of parts that are spread evenly over an image.

    Args:
        info: The image.
        only: Its one plane that counts; None for all.
        most: Most parts along each axis of a plane.
    """
    planes = _spread(info.planes, 1, min(SAMPLE_PLANES, most)) if only is None else [only]
    along = most if len(planes) == 1 else most - 1
    starts = [_spread(length, min(SAMPLE_SIDE, length), along) for length in info.size]
    for item, *place in product(planes, *starts):
        yield (
            item,
            tuple(
                slice(start, min(start + SAMPLE_SIDE, length)) for start, length in zip(place, info.size, strict=True)
            ),
        )


def _spread(length: int, part: int, most: int) -> list[int]:
    """Return where parts of a length begin: as few as cover it, or the most that are allowed.

    >>> _spread(500, 500, 3), _spread(700, 512, 3), _spread(9000, 512, 3), _spread(9000, 512, 1)
    ([0], [0, 188], [0, 4244, 8488], [4244])
    """
    count = min(most, -(-length // part))
    if count == 1:
        return [(length - part) // 2]
    return [round(number * (length - part) / (count - 1)) for number in range(count)]
