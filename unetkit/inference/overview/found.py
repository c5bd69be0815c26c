"""What a result holds: one pass over its file, in strips, gives areas, shares, and a coarse picture of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.foundation.threads import read_ahead
from unetkit.inference.overview.block_sums import BlockSums
from unetkit.inference.tiling.options import Output
from unetkit.io.base.contracts import Extent, ImageInfo
from unetkit.io.base.read_options import WHOLE
from unetkit.io.files import read_notes
from unetkit.objects.areas import Areas
from unetkit.objects.collector import Collector
from unetkit.objects.label_file import open_by_strips, strips_of
from unetkit.postprocess.region_areas import region_areas

Strips = Iterable[tuple[int, int, NDArray[Any]]]
"""(number of the plane, first row, pixels (C, h, width)), in order."""


@dataclass(frozen=True)
class Kind:
    """How the pixels of a result are to be understood.

    Attributes:
        output: Kind of the result.
        class_names: Names of the classes but the background, where there are several.
        channel: The channel of an attention map that is looked at.
        last: The largest label of each class, for labels of several classes.
    """

    output: Output
    class_names: tuple[str, ...] = ()
    channel: int = 0
    last: tuple[int, ...] = ()

    @property
    def has_edges(self) -> bool:
        """Whether there are regions with an outline, and not a map of values."""
        return self.output in ("mask", "labels")

    def shares(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """Return for each class where it is (h, width), or how probable; for maps their values."""
        if self.output == "labels" and self.last:
            before = (0, *self.last)
            return [(pixels[0] > low) & (pixels[0] <= high) for low, high in zip(before, self.last, strict=False)]
        if self.output == "mask" and self.class_names:
            return [pixels[0] == number for number in range(1, len(self.class_names) + 1)]
        if self.has_edges:
            return [pixels[0] > 0]
        if self.output == "probabilities" and self.class_names:
            return list(pixels[1:])
        return [pixels[self.channel]]

    def doubts(self, pixels: NDArray[Any]) -> NDArray[Any] | None:
        """Return how unsure the models were of each pixel (h, width), 0 to 1; None where that is not known."""
        if self.output == "uncertainty":
            entropies: NDArray[Any] = pixels[0]
            return entropies
        if self.output != "probabilities":
            return None
        surest: NDArray[Any] = pixels.max(0) if self.class_names else np.maximum(pixels[0], 1 - pixels[0])
        return 1 - surest


@dataclass(frozen=True)
class Coarse:
    """A plane of a result at the size of a thumbnail.

    Attributes:
        shares: (K, h, w) share of each pixel that each class covers, or the mean of its values.
        edges: (h, w) share of each pixel that is an edge between objects or to the background; None for maps.
        doubts: (h, w) how unsure the models were; None where that is not known.
        shrink: Pixels of the result for one of these, along a side.
    """

    shares: NDArray[np.float32]
    edges: NDArray[np.float32] | None
    doubts: NDArray[np.float32] | None
    shrink: float


@dataclass(frozen=True)
class Found:
    """What was found in an image, in all its planes.

    Attributes:
        shares: Share of all pixels that each class covers, or the mean of its values.
        areas: Areas of the objects or regions, volumes in volumes; None where they are not told apart.
        by_class: Number of objects of each class, where there are several.
        class_names: Names of the classes, where there are several.
    """

    shares: tuple[float, ...]
    areas: Areas | None
    by_class: dict[str, int] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


def look_at(
    result: Path, kind: Kind, extent: Extent, coarse: tuple[int, int], plane: int, depth: int | None = None
) -> tuple[Found, Coarse]:
    """Read a result.

    Args:
        result: The file.
        kind: What its pixels are.
        extent: The sizes of the planes of its image.
        coarse: (height, width) of the coarse picture.
        plane: Number of the plane that is drawn.
        depth: Planes of a volume, whose objects go through planes; None where planes are images of their own.

    Raises:
        ImageError: It cannot be read, or is no such result of this image.
    """
    with closing(open_by_strips(result, WHOLE, as_stored=True, deep=depth is not None)) as source:
        info = source.info
        _check(info, kind, extent)
        watcher = _Watcher(info, kind, coarse, plane)
        strips = watcher.watch(_read(source))
        areas: Areas | None = None
        if kind.output == "labels":
            areas = label_areas(strips, info.height) if depth is None else label_volumes(strips)
        elif kind.output == "mask" and not kind.class_names:
            areas = Areas()
            bands: Iterable[NDArray[Any]] = (pixels for _, _, pixels in strips)
            size = info.size if depth is None else (depth, *info.size)
            for found in region_areas(bands if depth is None else whole_planes(bands, info.height), size):
                areas.add(found)
        else:
            for _ in strips:
                pass
    counts = np.diff((0, *kind.last)).tolist() if kind.output == "labels" else []
    by_class = dict(zip(kind.class_names, counts, strict=False))
    names = kind.class_names if len(watcher.shares) > 1 else ()
    return Found(watcher.shares, areas, by_class, names), watcher.coarse


def _check(info: ImageInfo, kind: Kind, extent: Extent) -> None:
    """Raise an ImageError unless a file can be such a result: one of another command may have been there before."""
    sizes = (info.planes, info.height, info.width) == (extent.planes, extent.height, extent.width)
    types = {"mask": "u", "labels": "u"}.get(kind.output, "f")
    channels = info.channels == 1 if kind.has_edges else info.channels > max(kind.channel, len(kind.class_names))
    if not (sizes and info.dtype.kind == types and channels and (kind.output != "mask" or info.dtype.itemsize == 1)):
        raise ImageError(f"{info.name} does not hold the {kind.output} of its image.", "Make it anew with --overwrite.")


def label_areas(strips: Strips, height: int) -> Areas:
    """Return the areas of the objects of labels, each counted in each plane."""
    areas = Areas()
    for plane, top, pixels in strips:
        if top == 0:
            collector = Collector(plane, height)
        _, objects = collector.add(pixels[0])
        if objects is not None and len(objects):
            areas.add(np.add.reduceat(objects.runs.lengths, objects.first[:-1], dtype=np.int64))
    return areas


def label_volumes(strips: Strips) -> Areas:
    """Return the volumes of the objects of labels; no number is that of two objects."""
    counts = np.zeros(1, np.int64)
    for _, _, pixels in strips:
        found = np.bincount(pixels.ravel(), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    areas = Areas()
    areas.add(counts[1:][counts[1:] > 0])
    return areas


def whole_planes(bands: Iterable[NDArray[Any]], height: int) -> Iterator[NDArray[Any]]:
    """Yield the planes (C, 1, height, width) of a volume from bands (C, h, width) of them."""
    held: list[NDArray[Any]] = []
    for band in bands:
        held.append(band)
        if sum(part.shape[1] for part in held) == height:
            yield np.concatenate(held, axis=1)[:, None]
            held = []


def last_labels(result: Path, class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the largest label of each class, from what is noted in the file; empty where that is not known."""
    text, last = read_notes(result).get("object_classes", ""), [0]
    for name in class_names:
        found = re.match(rf"{re.escape(name)} (?:none|\d+-(\d+))(?:, |$)", text)
        if found is None:
            return ()
        last.append(int(found[1]) if found[1] else last[-1])
        text = text[found.end() :]
    return tuple(last[1:])


class _Watcher:
    """Takes note of strips that pass by."""

    def __init__(self, info: ImageInfo, kind: Kind, coarse: tuple[int, int], plane: int) -> None:
        self._info, self._kind, self._plane = info, kind, plane
        self._size, self._grid = (info.height, info.width), coarse
        self._totals: list[float] = []
        self._sums: list[BlockSums] = []
        self._edges = BlockSums(self._size, coarse, np.int64)
        self._doubts = BlockSums(self._size, coarse, np.float64)
        self._knows_doubts = False
        self._above: NDArray[Any] | None = None

    def watch(self, strips: Strips) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield the strips."""
        for plane, top, pixels in strips:
            shares = self._kind.shares(pixels)
            self._totals = self._totals or [0.0] * len(shares)
            for i, share in enumerate(shares):
                self._totals[i] += _total(share)
            if plane == self._plane:
                self._draw(top, pixels, shares)
            yield plane, top, pixels

    def _draw(self, top: int, pixels: NDArray[Any], shares: Sequence[NDArray[Any]]) -> None:
        dtype = np.int64 if self._kind.has_edges else np.float64
        self._sums = self._sums or [BlockSums(self._size, self._grid, dtype) for _ in shares]
        for sums, share in zip(self._sums, shares, strict=True):
            sums.add(top, share)
        if self._kind.has_edges:
            self._edges.add(top, find_edges(pixels[0], self._above))
            self._above = pixels[0, -1].copy()
        if (doubts := self._kind.doubts(pixels)) is not None:
            self._knows_doubts = True
            self._doubts.add(top, doubts)

    @property
    def shares(self) -> tuple[float, ...]:
        """See `Found`."""
        return tuple(total / self._info.pixels for total in self._totals)

    @property
    def coarse(self) -> Coarse:
        """The drawn plane."""
        shrink = float(np.sqrt(np.prod(self._size) / np.prod(self._grid)))
        return Coarse(
            np.stack([sums.means for sums in self._sums]),
            self._edges.means if self._kind.has_edges else None,
            self._doubts.means if self._knows_doubts else None,
            shrink,
        )


def _total(share: NDArray[Any]) -> float:
    return float(np.count_nonzero(share) if share.dtype == np.bool_ else share.sum(dtype=np.float64))


def find_edges(labels: NDArray[Any], above: NDArray[Any] | None) -> NDArray[np.bool_]:
    """Return which pixels (h, width) differ from their left or upper neighbour: lines of one pixel around objects.

    Args:
        labels: (h, width) rows.
        above: (width,) the row above them; None at the top of a plane.
    """
    edges = np.zeros(labels.shape, np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=edges[:, 1:])
    edges[1:] |= labels[1:] != labels[:-1]
    if above is not None:
        edges[0] |= labels[0] != above
    return edges


def _read(source: Any) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield the strips of a file, which a thread reads ahead."""
    info = source.info
    columns = slice(0, info.width)
    yield from read_ahead(
        (plane, rows.start, source.read(plane, (rows, columns)))
        for plane in range(info.planes)
        for rows in strips_of(info)
    )
