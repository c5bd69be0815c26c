"""Polygons to pixels: objects are painted in their order, so that later ones win where they overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.annotations.objects import Part, Runs
from unetkit.annotations.spans import Box, Ints, Spans, edges_of, fill, find_crossings, windings

MOST_POINTS = 2**19
"""How many points of polygons are handled at a time; a polygon that has more is handled alone."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What is painted, in this order.

    Attributes:
        parts: Polygons and pixels.
        values: (parts,) the value that each paints.
        planes: (parts,) the plane that each lies in; -1 for all planes.
        boxes: (parts, 4) what each may cover, as in `Box`.
    """

    parts: Sequence[Part]
    values: Ints
    planes: Ints
    boxes: Ints

    @classmethod
    def of(cls, parts: Sequence[Part], values: Sequence[int], planes: Sequence[int]) -> Layer:
        """Return a layer, whose boxes are measured here."""
        boxes = np.array([box_of(part) for part in parts], np.int64).reshape(-1, 4)
        return cls(parts, np.array(values, np.int64), np.array(planes, np.int64), boxes)

    def choose(self, box: Box, plane: int) -> Ints:
        """Return the numbers of the parts that may have pixels in a box of a plane."""
        top, bottom, left, right = self.boxes.T
        met = (top < box.bottom) & (bottom > box.top) & (left < box.right) & (right > box.left)
        return np.flatnonzero(met & ((self.planes == plane) | (self.planes < 0)))


class Tally:
    """What was painted, over all boxes.

    Args:
        layer: What is painted.

    Attributes:
        pixels: (parts,) pixels of each part, with those that later parts cover.
        crossed: (parts,) whether a ring of it crosses itself around some pixel.
    """

    def __init__(self, layer: Layer) -> None:
        rings = [1 if isinstance(part, Runs) else len(part) for part in layer.parts]
        self.pixels = np.zeros(len(rings), np.int64)
        self.crossed = np.zeros(len(rings), np.bool_)
        self._part = np.repeat(np.arange(len(rings)), rings)
        self._first = np.cumsum(rings) - rings
        self._turns = np.zeros((len(self._part), 2), np.bool_)

    def count(self, spans: Spans) -> None:
        """Count the pixels of parts."""
        self.pixels += np.bincount(spans.owner, spans.stop - spans.start, len(self.pixels)).astype(np.int64)

    def wind(self, parts: Ints, places: Ints, winding: Ints) -> None:
        """Note how often rings wind around some pixels.

        Args:
            parts: (n,) numbers of the parts.
            places: (n,) place of the ring in its part.
            winding: (n,) how often it winds, above 0 for one direction.
        """
        rings = self._first[parts] + places
        self._turns[rings[winding > 0], 0] = True
        self._turns[rings[winding < 0], 1] = True
        self._turns[rings[np.abs(winding) > 1]] = True
        self.crossed[self._part[self._turns.all(axis=1)]] = True


def box_of(part: Part) -> Box:
    """Return a box around all pixels of a part; it may be a pixel larger on each side."""
    if isinstance(part, Runs):
        if not part.rows.size:
            return Box(0, 0, 0, 0)
        return Box(int(part.rows.min()), int(part.rows.max()) + 1, int(part.starts.min()), int(part.stops.max()))
    points = part[0] if len(part) == 1 else np.concatenate([np.zeros((0, 2)), *part])
    if not len(points):
        return Box(0, 0, 0, 0)
    (left, top), (right, bottom) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return Box(int(top), int(bottom), int(left), int(right))


def paint(canvas: NDArray[Any], layer: Layer, box: Box, plane: int, tally: Tally | None = None) -> None:
    """Paint a box of a plane.

    Args:
        canvas: (h, w) pixels of the box, which are changed.
        layer: What is painted.
        box: Where the canvas lies.
        plane: The plane.
        tally: Counts what is painted.
    """
    for parts in _batches(layer, layer.choose(box, plane)):
        for spans in _spans(layer, parts, box, tally):
            if tally is not None:
                tally.count(spans)
            _fill_runs(canvas, spans, layer.values[spans.owner], box)


def _batches(layer: Layer, chosen: Ints) -> Iterator[list[int]]:
    """Divide parts so that each batch has a bounded number of points."""
    batch: list[int] = []
    points = 0
    for number in chosen.tolist():
        part = layer.parts[number]
        size = len(part.rows) if isinstance(part, Runs) else sum(map(len, part))
        if batch and points + size > MOST_POINTS:
            yield batch
            batch, points = [], 0
        batch.append(number)
        points += size
    if batch:
        yield batch


def _spans(layer: Layer, batch: list[int], box: Box, tally: Tally | None) -> Iterator[Spans]:
    """Yield the pixels of a batch of parts in a box, some rows at a time; the parts come in their order."""
    polygons = [(number, part) for number in batch if not isinstance(part := layer.parts[number], Runs)]
    runs = [(number, part) for number in batch if isinstance(part := layer.parts[number], Runs)]
    edges = edges_of([ring for _, rings in polygons for ring in rings], box)
    counts = np.array([len(rings) for _, rings in polygons], np.int64)
    place = np.repeat(np.arange(len(polygons)), counts)
    numbers = np.array([number for number, _ in polygons], np.int64)
    for found, rows in find_crossings(edges, box):
        spans = fill(found, place, rows)
        spans = spans._replace(owner=numbers[spans.owner])
        if tally is not None:
            ring, winding = windings(found, rows)
            first = np.cumsum(counts) - counts
            tally.wind(numbers[place[ring]], ring - first[place[ring]], winding)
        yield _merge([spans, *(_clip(part, number, rows) for number, part in runs)]) if runs else spans


def _clip(runs: Runs, owner: int, box: Box) -> Spans:
    """Return the runs inside a box."""
    start, stop = np.maximum(runs.starts, box.left), np.minimum(runs.stops, box.right)
    some = (runs.rows >= box.top) & (runs.rows < box.bottom) & (stop > start)
    return Spans(np.full(np.count_nonzero(some), owner), runs.rows[some], start[some], stop[some])


def _merge(several: Sequence[Spans]) -> Spans:
    """Return spans together, in the order of their owners."""
    together = Spans(*(np.concatenate(column) for column in zip(*several, strict=True)))
    order = np.argsort(together.owner, kind="stable")
    return Spans(*(column[order] for column in together))


def _fill_runs(canvas: NDArray[Any], spans: Spans, values: Ints, box: Box) -> None:
    """Fill runs of a canvas with their values; those that overlap in their order."""
    width = box.right - box.left
    start = (spans.row - box.top) * width + spans.start - box.left
    stop = start + spans.stop - spans.start
    order = np.argsort(start, kind="stable")
    first, last = start[order], np.maximum.accumulate(stop[order])
    begins = np.append(True, first[1:] >= last[:-1])[: len(first)]  # what begins behind all before it
    alone = order[begins & np.append(begins[1:], True)[: len(first)]]
    flat = canvas.reshape(-1)
    # Runs that overlap no other are many: they are filled at once, in the order of the pixels.
    bounds = np.stack([start[alone], stop[alone]], axis=1).ravel()
    lengths = np.diff(bounds, prepend=0, append=flat.size)
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    flat[inside] = np.repeat(values[alone].astype(canvas.dtype), stop[alone] - start[alone])
    others = np.ones(len(order), np.bool_)
    others[alone] = False
    for begin, end, value in zip(start[others].tolist(), stop[others].tolist(), values[others].tolist(), strict=True):
        flat[begin:end] = value
