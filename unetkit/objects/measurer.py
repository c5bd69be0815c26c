"""Measures the objects of a label image whose rows are pushed to it, plane after plane or volume after volume.

What is in memory does not grow with the image: the objects that are still open, and a few rows; of volumes as many
sections (planes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Collector, LastRows, Objects
from unetkit.objects.columns import Measurements, measure_geometry, measure_volumes
from unetkit.objects.frame import Frame
from unetkit.objects.intensity import STATISTICS
from unetkit.objects.lookups import Lookup
from unetkit.objects.open_values import OpenValues
from unetkit.objects.perimeter import MARGIN, Perimeters
from unetkit.objects.ring import Rings
from unetkit.objects.runs import Runs, find_runs

MOST_PIXELS = 1 << 22
"""Pixels of a strip that are measured at a time; more rows or sections are cut."""


@dataclass(frozen=True)
class Measured:
    """Some complete objects with their measurements.

    Attributes:
        objects: The objects: all their pixels as runs.
        values: Their columns (N,) by name, in the order of `objects.labels`.
    """

    objects: Objects
    values: Measurements

    def __len__(self) -> int:
        return len(self.objects)


@dataclass(frozen=True)
class Channels:
    """What of an image is measured.

    Attributes:
        names: Name of each channel, for the columns.
        ring_px: Width of the rings around objects, in pixels; 0 for none.
    """

    names: Sequence[str] = ()
    ring_px: float = 0.0


NO_CHANNELS = Channels()
"""No intensities are measured."""


class Measurer:
    """Measures objects, from rows in order.

    Args:
        frame: The planes or volumes.
        channels: The channels of the image, if intensities are measured; those of volumes without rings.
        extras: Further columns by name, each from the labels: the class, the confidence, ... They follow the label.
        last_rows: Returns where the objects of a plane or volume end, given its number; needed where an object may be
            in several pieces. None if each is in one piece, as those of `unetkit segment` are.

    Example:
        >>> labels = np.array([[0, 3, 3], [0, 3, 3], [5, 0, 0]])
        >>> measured = list(Measurer(Frame((3, 3))).add(labels))
        >>> [(int(a), int(b)) for each in measured for a, b in zip(each.objects.labels, each.values["area_px"])]
        [(3, 4), (5, 1)]
    """

    def __init__(
        self,
        frame: Frame,
        channels: Channels = NO_CHANNELS,
        extras: Mapping[str, Lookup] | None = None,
        last_rows: Callable[[int], LastRows] | None = None,
    ) -> None:
        self._frame = frame
        self._channels = channels
        self._extras = extras or {}
        self._last_rows = last_rows
        self._plane = 0
        self._measuring: _Plane | None = None

    def add(self, labels: NDArray[Any], image: NDArray[Any] | None = None) -> Iterator[Measured]:
        """Take the next rows of a plane, or sections of a volume.

        Args:
            labels: (h, width) or (d, height, width) whole numbers, 0 for background.
            image: (C, h, width) or (C, d, height, width) the raw pixels, if there are channels.

        Yields:
            The objects that are complete now, in batches. All rows are taken only once the iterator is exhausted.
        """
        step = max(MOST_PIXELS // prod(labels.shape[1:]), 1)
        for top in range(0, len(labels), step):
            if self._measuring is None:
                last_rows = None if self._last_rows is None else self._last_rows(self._plane)
                collector = Collector(self._plane, self._frame.rows, last_rows, self._frame.section)
                self._measuring = _Plane(collector, self._frame, self._channels)
            part = None if image is None else image[:, top : top + step]
            for objects in self._measuring.add(labels[top : top + step], part):
                yield self._measure(objects)
            if self._measuring.complete:
                self._measuring = None
                self._plane += 1

    def empty(self, labels: np.dtype[Any], image: np.dtype[Any] | None = None) -> Measurements:
        """Return all columns without rows: names and types of those that `add` yields.

        Args:
            labels: Type of the labels.
            image: Type of the pixels of the image, if there is one.
        """
        size = (1,) * len(self._frame.size)
        pixels = None if image is None else np.zeros((len(self._channels.names), *size), image)
        one = Measurer(replace(self._frame, size=size), self._channels, self._extras)
        (found,) = one.add(np.ones(size, labels), pixels)
        return {name: column[:0] for name, column in found.values.items()}

    def _measure(self, objects: Objects) -> Measured:
        assert self._measuring is not None
        values: Measurements = {"label": objects.labels}
        values |= self._frame.positions(self._plane, len(objects))
        values |= {name: lookup(objects.labels) for name, lookup in self._extras.items()}
        values |= self._measuring.measure_geometry(objects, self._frame)
        values |= self._measuring.measure_intensities(objects.labels)
        return Measured(objects, values)


class _Plane:
    """One plane of which rows come: the objects whose last row, and as many below it as are needed, have come.

    Or one volume, whose objects need no row below them.
    """

    def __init__(self, collector: Collector, frame: Frame, channels: Channels) -> None:
        height = frame.rows
        self._perimeters = Perimeters(height) if len(frame.size) == 2 else None
        self._collector = collector
        self._height = height
        self._names = channels.names
        self._inside = OpenValues(len(channels.names))
        self._around = OpenValues(len(channels.names))
        self._rings = Rings(height, channels.ring_px) if channels.ring_px and channels.names else None
        margin = MARGIN if self._perimeters else 0
        self._reach = max(2 * int(channels.ring_px) if self._rings else 0, margin)  # rings lag behind by their width
        self._whole: np.dtype[Any] | None = None
        self._image: NDArray[Any] | None = None
        self._rows = 0
        self._waiting: list[Objects] = []

    @property
    def complete(self) -> bool:
        """Whether all rows have come."""
        return self._rows == self._height

    def add(self, labels: NDArray[Any], image: NDArray[Any] | None) -> Iterator[Objects]:
        """Take rows, and yield the objects that can be measured now."""
        runs, objects = self._collector.add(labels)
        self._rows += prod(labels.shape[:-1])
        if self._perimeters is not None:
            self._perimeters.add(labels)
        if image is not None:
            self._whole = image.dtype if image.dtype.kind in "iu" else None
            self._inside.add(runs.labels, runs.lengths, image[:, labels > 0])
            self._add_ring(labels, image)
        self._waiting += [] if objects is None else [objects]
        while self._waiting and (self.complete or self._bottom(self._waiting[0]) + self._reach <= self._rows):
            yield self._waiting.pop(0)

    def measure_geometry(self, objects: Objects, frame: Frame) -> Measurements:
        """Return the columns of geometry."""
        if self._perimeters is None:
            return measure_volumes(objects, frame)
        return measure_geometry(objects, self._perimeters.take(objects.labels), frame)

    def measure_intensities(self, labels: NDArray[Any]) -> Measurements:
        """Return the columns of all channels."""
        columns: Measurements = {}
        places = [(self._inside, "")] + ([] if self._rings is None else [(self._around, "ring_")])
        for values, word in places if self._names else []:
            pixels, channels = values.take(labels)
            if word:
                columns["ring_area_px"] = pixels
            for name, found in zip(self._names, channels, strict=True):
                if not word and self._whole is not None:  # no object is without pixels: whole numbers stay whole
                    found |= {end: found[end].astype(self._whole) for end in ("min", "max")}
                columns |= {f"{name}_{word}{statistic}": found[statistic] for statistic in STATISTICS}
        return columns

    def _add_ring(self, labels: NDArray[Any], image: NDArray[Any]) -> None:
        """Keep the values of the pixels of those rows of the rings that are known now."""
        if self._rings is None:
            return
        image = image if self._image is None else np.concatenate([self._image, image], axis=1)
        rings = self._rings.add(labels)
        runs: Runs = find_runs(rings)
        self._around.add(runs.labels, runs.lengths, image[:, : len(rings)][:, rings > 0])
        self._image = image[:, len(rings) :].copy()

    @staticmethod
    def _bottom(objects: Objects) -> int:
        return int(objects.runs.rows.max()) + 1
