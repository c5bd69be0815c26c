"""Numbers of each image and of all: counts, densities, areas, and which images differ from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan, prod

import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.histogram import HistogramAxis, make_axis
from unetkit.inference.overview.gather import ShownImage
from unetkit.inference.overview.outliers import far_from_others
from unetkit.inference.tiling.options import Output
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.views.volume import UM
from unetkit.objects.areas import Areas
from unetkit.objects.summary import POWERS

UM_PER_MM = 1e3

PIXELS_PER_MEGAPIXEL = 1e6


@dataclass(frozen=True)
class Numbers:
    """Numbers of an image, NaN where there is none.

    Attributes:
        count: Number of objects or regions, in all planes or volumes.
        pixels: Number of pixels of all planes.
        median_px: Median area (of volumes: volume) of the objects in pixels.
        share: Share of the image that is covered, or the mean of its values, 0 to 1.
        pixel_um: Area of a pixel in µm², of volumes the volume of a voxel in µm³; None if it is not known.
        dims: 2 for objects of planes, 3 for those of volumes.
    """

    count: float
    pixels: float
    median_px: float
    share: float
    pixel_um: float | None
    dims: int = 2

    def density(self, *, in_um: bool) -> float:
        """Return the number of objects for each mm² (mm³), or for each megapixel."""
        area = (
            self.pixels * (self.pixel_um or 1) / UM_PER_MM**self.dims if in_um else self.pixels / PIXELS_PER_MEGAPIXEL
        )
        return self.count / area

    def median(self, *, in_um: bool) -> float:
        """Return the median area in µm² (µm³), or in pixels."""
        return self.median_px * (self.pixel_um or 1) if in_um else self.median_px


class Statistics:
    """Numbers of all images.

    Args:
        images: The images.
        output: Kind of their results.
        dims: 2 for objects of planes, 3 for those of volumes.

    Attributes:
        images: The images.
        output: Kind of their results.
        numbers: The numbers of each image.
        has_objects: Whether objects or regions are told apart.
        dims: See above.
    """

    def __init__(self, images: Sequence[ShownImage], output: Output, dims: int = 2) -> None:
        self.images, self.output, self.dims = images, output, dims
        self.numbers = [numbers_of(image, dims) for image in images]
        self.has_objects = any(image.found is not None and image.found.areas is not None for image in images)

    @cached_property
    def in_um(self) -> bool:
        """Whether all images with objects have a known size of their pixels, so that their areas compare in µm²."""
        return all(each.pixel_um is not None for each in self.numbers if isfinite(each.pixels))

    @property
    def area_unit(self) -> str:
        """The unit of areas or volumes that are compared between images."""
        return f"µm{POWERS[self.dims]}" if self.in_um else "pixels"

    @property
    def size_word(self) -> str:
        """What the size of an object is called."""
        return "area" if self.dims == 2 else "volume"

    @property
    def objects(self) -> int:
        """Number of objects of all images."""
        return sum(len(image.found.areas) for image in self.images if image.found and image.found.areas is not None)

    @property
    def pixels(self) -> int:
        """Pixels of all images that could be read, of all planes."""
        return sum(image.info.pixels for image in self.images if image.info is not None)

    @property
    def area_mm(self) -> float | None:
        """Area of all images in mm², of volumes in mm³; None unless the size of all pixels is known."""
        if not self.in_um:
            return None
        um = sum(each.pixels * (each.pixel_um or 0) for each in self.numbers if isfinite(each.pixels))
        return um / UM_PER_MM**self.dims

    @property
    def share(self) -> float:
        """Share of all pixels that is covered, or the mean of all values."""
        known = [each for each in self.numbers if isfinite(each.share)]
        return sum(each.share * each.pixels for each in known) / sum(each.pixels for each in known) if known else nan

    def areas(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the different areas (N,) of an image in the common unit, and how many objects have each."""
        found = self.images[number].found
        areas = Areas() if found is None or found.areas is None else found.areas
        factor = (self.numbers[number].pixel_um or 1.0) if self.in_um else 1.0
        return areas.pixels.astype(np.float64) * factor, areas.counts

    @cached_property
    def axis(self) -> HistogramAxis | None:
        """The axis of all histograms of areas; None without objects."""
        ends = [values[[0, -1]] for number in range(len(self.images)) if len(values := self.areas(number)[0])]
        if not ends:
            return None
        return make_axis(float(np.min(ends)), float(np.max(ends)))

    @cached_property
    def median_area(self) -> float:
        """Median area of all objects in the common unit, NaN if there are none."""
        parts = [self.areas(number) for number in range(len(self.images))]
        values, counts = (np.concatenate([part[i] for part in parts]) for i in range(2))
        if not counts.sum():
            return nan
        order = np.argsort(values)
        upto = np.cumsum(counts[order])
        middle = np.searchsorted(upto, [(upto[-1] - 1) // 2, upto[-1] // 2], side="right")
        return float(values[order][middle].mean())

    @cached_property
    def marks(self) -> list[list[str]]:
        """For each image what is far from the others, in words."""
        in_um = self.in_um
        if self.output == "classes":
            tests = []
        elif self.has_objects:
            densities = [each.density(in_um=in_um) for each in self.numbers]
            word = self.size_word
            tests = [(f"many objects for its {word}", f"few objects for its {word}", densities)]
            tests += [("large objects", "small objects", [each.median(in_um=in_um) for each in self.numbers])]
        else:
            tests = [("high values", "low values", [each.share for each in self.numbers])]
        words: list[list[str]] = [[] for _ in self.images]
        for high, low, values in tests:
            for said, far in zip(words, far_from_others(values), strict=True):
                if far:
                    said.append(high if far > 0 else low)
        return words


def numbers_of(image: ShownImage, dims: int = 2) -> Numbers:
    """Return the numbers of an image, whose objects are in planes (2) or volumes (3)."""
    info, found = image.info, image.found
    um = None if info is None else _pixel_um(info, dims)
    if info is None or found is None:
        return Numbers(nan, nan, nan, nan, um, dims)
    count, median = (nan, nan) if found.areas is None else (len(found.areas), found.areas.median)
    return Numbers(count, info.pixels, median, sum(found.shares), um, dims)


def _pixel_um(info: ImageInfo, dims: int) -> float | None:
    """Return the area of a pixel in µm², or the volume of a voxel in µm³: its planes lie apart along Z."""
    apart = [step.size for step in info.steps if step.axis == "Z" and step.unit == UM]
    if info.pixel_size_um is None or (dims == 3 and not apart):
        return None
    return prod(info.pixel_size_um) * (apart[0] if dims == 3 else 1)
