"""Verify that tiling leaves no seams: random tiles predicted again with far more context, compared pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.grid import PerAxis, Tile, TileGrid, TileSpan, in_words, one_if_equal, per_axis, round_up
from unetkit.inference.tiling.windows import read_window
from unetkit.io.base.contracts import ImageSource
from unetkit.models.masks import to_mask
from unetkit.models.trimmed import Kept

CONTEXT_HALOS = 4
"""Far context on each side, in halos."""

CONTEXT_STRIDES = 8
"""Smallest far context on each side, in strides, so that a halo of 0 is compared with something, too."""

PredictWindow = Callable[[NDArray[Any], int, Kept], NDArray[np.float32]]
"""Raw pixels (C, ...), the number of their plane and the part to keep, to probabilities (classes, *kept), 0 to 1."""

AXIS_NAMES = "zyx"
"""Names of the axes of an item, for messages."""


@dataclass(frozen=True)
class Seams:
    """Differences between tiles and passes with far more context.

    Attributes:
        regions: Tiles that were compared.
        pixels: Pixels in their cores.
        changed: Pixels of the mask that differ.
        largest_difference: Largest difference of two probabilities of the same pixel and class, 0 to 1.
        worst: Plane of that pixel, and its place along each axis.
        halo: Context that a tile has, in pixels.
        context: Context that it was compared with, in pixels; less only where the image ends.
    """

    regions: int
    pixels: int
    changed: int
    largest_difference: float
    worst: tuple[int, ...]
    halo: PerAxis
    context: PerAxis

    @property
    def changed_share(self) -> float:
        """Share of the mask pixels that differ, 0 to 1."""
        return self.changed / self.pixels if self.pixels else 0.0

    def summary(self) -> str:
        """Return the result in a sentence."""
        if not self.regions:
            return "The image is a single tile: there are no seams."
        plane, *pixel = self.worst
        names = zip(AXIS_NAMES[-len(pixel) :], pixel, strict=True)
        place = ", ".join(f"{name} {number}" for name, number in names) + (f" of plane {plane}" if plane else "")
        where = f" (at {place})" if self.largest_difference else ""
        return (
            f"{self.changed:,} of {self.pixels:,} mask pixels ({self.changed_share * 10_000:.2g} in 10,000) in "
            f"{self.regions} tiles differ from a pass with {in_words(self.context)} instead of {in_words(self.halo)} "
            f"pixels of context, probabilities by at most {self.largest_difference:.2g}{where}."
        )


def verify_seams(
    source: ImageSource,
    predict_window: PredictWindow,
    grid: TileGrid,
    threshold: float,
    *,
    channels: int,
    stride: PerAxis,
    regions: int = 8,
    largest: PerAxis | None = None,
    seed: int = 0,
) -> Seams:
    """Compare random tiles with predictions in which the network sees much more of the image around them.

    A tile at a seam is more likely to be drawn the more of its sides are seams. Each is predicted in its own window, as
    the engine does; its core is then predicted again, in blocks whose windows have several times the halo on each side.

    Args:
        source: The image.
        predict_window: Predicts windows of any size that is a multiple of `stride`.
        grid: The tiles of each plane.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground, if there is one class.
        channels: Number of channels that the model takes.
        stride: Stride of the encoder, in pixels; one number, or one for each axis.
        regions: Tiles to compare; all, if there are fewer.
        largest: Largest window along each axis, in pixels: what bounds the memory. By default twice the
            grid's, with room for the context at least.
        seed: Seed of the choice of tiles.

    Raises:
        ConfigError: `largest` leaves no more context than the tiles have.
        ImageError: The image cannot be read.
    """
    halo, strides = _halo(grid), per_axis(stride, len(grid.size))
    most = default_largest(grid, strides) if largest is None else per_axis(largest, len(grid.size))
    context, block = plan_windows(most, halo, strides)
    result = Seams(0, 0, 0, 0.0, (0, *(0 for _ in grid.size)), one_if_equal(halo), one_if_equal(context))
    for plane, tile in _draw(grid, source.info.planes, regions, np.random.default_rng(seed)):
        core = predict_window(read_window(source, plane, tile, grid, channels), plane, tile.inner)
        result = replace(result, regions=result.regions + 1)
        for far in _far_tiles(tile, context, block):
            far_grid = replace(grid, window=_window(far, grid, context, strides))
            same = predict_window(read_window(source, plane, far, far_grid, channels), plane, far.inner)
            starts = tuple(span.core_start for span in far.spans)
            within = [
                slice(span.core_start - own.core_start, span.core_stop - own.core_start)
                for span, own in zip(far.spans, tile.spans, strict=True)
            ]
            result = _compare(result, core[:, *within], same, threshold, (plane, *starts))
    return result


def default_largest(grid: TileGrid, strides: tuple[int, ...]) -> tuple[int, ...]:
    """Return the largest window along each axis, in pixels: twice as long as a tile, or little more.

    A volume of it has eight times a tile's memory, a plane four times.
    """
    sides = (max(grid.window),) * 2 if len(grid.size) == 2 else grid.window
    return tuple(max(2 * side, 3 * CONTEXT_STRIDES * step) for side, step in zip(sides, strides, strict=True))


def _compare(
    so_far: Seams,
    tiled: NDArray[np.float32],
    wide: NDArray[np.float32],
    threshold: float,
    origin: tuple[int, ...],
) -> Seams:
    """Add a block (classes, ...) to the result; `origin` is its plane and its first pixel."""
    difference = np.abs(tiled.astype(np.float32) - wide.astype(np.float32)).max(0)
    place = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
    worse = float(difference[place]) > so_far.largest_difference
    worst = (origin[0], *(first + i for first, i in zip(origin[1:], place, strict=True)))
    return replace(
        so_far,
        pixels=so_far.pixels + difference.size,
        changed=so_far.changed + int(np.count_nonzero(to_mask(tiled, threshold) != to_mask(wide, threshold))),
        largest_difference=float(difference[place]) if worse else so_far.largest_difference,
        worst=worst if worse else so_far.worst,
    )


def _halo(grid: TileGrid) -> tuple[int, ...]:
    """Return the halos of a grid: the first window goes on for it beyond its core, unless it is the only one."""
    axes = zip(grid.window, grid.spans, strict=True)
    halos = tuple(window - spans[0].core_stop if len(spans) > 1 else 0 for window, spans in axes)
    return (max(halos),) * 2 if len(halos) == 2 else halos


def plan_windows(
    largest: tuple[int, ...], halo: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return along each axis the context and the size of the blocks that make windows of at most `largest`.

    Both are multiples of the stride. A quarter of the window at least is block: with less the same pixels would be
    predicted again and again.

    Raises:
        ConfigError: There is no room for more context than the halo.
    """
    context, block = zip(*map(_plan_axis, largest, halo, stride), strict=True)
    return context, block


def _plan_axis(largest: int, halo: int, stride: int) -> tuple[int, int]:
    room = (largest - max(stride, largest // 4)) // 2 // stride * stride
    context = min(max(CONTEXT_HALOS * halo, CONTEXT_STRIDES * stride), room)
    if context <= halo:
        smallest = round_up(8 * (halo + stride) // 3 + stride, stride)
        raise ConfigError(
            f"Windows of at most {largest} pixels have no more context than the halo of {halo} gives.",
            f"Allow windows of {smallest} pixels, or use a smaller halo.",
        )
    return context, (largest - 2 * context) // stride * stride


def _draw(grid: TileGrid, planes: int, count: int, rng: np.random.Generator) -> list[tuple[int, Tile]]:
    """Choose tiles that have seams, in the order of the image: the source then decodes each part of a file once."""
    tiles = list(grid)
    sides = np.array([sum(map(_inner_sides, tile.spans, grid.size)) for tile in tiles])
    some_planes = rng.choice(planes, min(planes, count), replace=False)
    weights = np.tile(sides, len(some_planes)).astype(float)
    if not weights.any():
        return []
    number = min(count, int(np.count_nonzero(weights)))
    chosen = rng.choice(len(weights), number, replace=False, p=weights / weights.sum())
    places = sorted((int(some_planes[i // len(tiles)]), int(i % len(tiles))) for i in chosen)
    return [(plane, tiles[i]) for plane, i in places]


def _inner_sides(span: TileSpan, length: int) -> int:
    return int(span.core_start > 0) + int(span.core_stop < length)


def _far_tiles(tile: Tile, context: tuple[int, ...], block: tuple[int, ...]) -> Iterator[Tile]:
    """Cut the core of a tile into blocks, each the core of a tile with `context` before it."""
    return map(Tile, product(*map(_blocks, tile.spans, context, block)))


def _blocks(span: TileSpan, context: int, block: int) -> Iterator[TileSpan]:
    for start in range(span.core_start, span.core_stop, block):
        yield TileSpan(max(0, start - context), start, min(start + block, span.core_stop))


def _window(far: Tile, grid: TileGrid, context: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of a far tile's window, which ends `context` after its core or where the image ends."""
    axes = zip(far.spans, grid.size, context, strides, strict=True)
    return tuple(round_up(min(span.core_stop + more, end), step) - span.start for span, end, more, step in axes)
