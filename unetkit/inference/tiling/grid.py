"""TileGrid: which window of an image each tile reads, and which part of it each tile keeps.

    window    |<-- halo -->|<------- core ------->|<-- halo -->|
    next                             |<-- halo -->|<------- core ------->|<-- halo -->|

A window is what the network sees; its core is what is kept. Cores are disjoint and cover the image exactly once. All
windows have one size, and their origins are multiples of the encoder's stride, so that pooling happens on the grid of a
pass over the whole image. At the image's border there is nothing beyond to see: the window ends there, as a pass over
the whole image does, and its core reaches the border. Only the last few rows and columns that bring the image to a
multiple of the stride lie outside it; the reader fills them by reflection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class TileSpan:
    """One tile along one axis, in pixels of the image.

    Attributes:
        start: First pixel of the window.
        core_start: First pixel that is kept.
        core_stop: End of the pixels that are kept.
    """

    start: int
    core_start: int
    core_stop: int

    @property
    def kept(self) -> slice:
        """The core inside the image."""
        return slice(self.core_start, self.core_stop)

    @property
    def inner(self) -> slice:
        """The core inside the window."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


@dataclass(frozen=True)
class Tile:
    """One tile: its place along both axes."""

    row: TileSpan
    column: TileSpan

    @property
    def inner(self) -> tuple[slice, slice]:
        """The rows and columns of the core inside the window."""
        return self.row.inner, self.column.inner


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one plane.

    Attributes:
        height: Pixels of the plane along Y.
        width: Pixels of the plane along X.
        window: Size (y, x) of every window, multiples of the stride, at most the tile asked for.
        rows: Tiles along Y, from the top.
        columns: Tiles along X, from the left.
    """

    height: int
    width: int
    window: tuple[int, int]
    rows: tuple[TileSpan, ...]
    columns: tuple[TileSpan, ...]

    def __iter__(self) -> Iterator[Tile]:
        """Iterate over the tiles row by row."""
        return (Tile(row, column) for row in self.rows for column in self.columns)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def make_grid(height: int, width: int, *, tile: int, halo: int, stride: int) -> TileGrid:
    """Lay tiles over a plane.

    The number of tiles is the smallest that covers the plane; their size is then the smallest that still does, so an
    image slightly larger than a tile costs little more than the image itself.

    Args:
        height: Pixels along Y.
        width: Pixels along X.
        tile: Largest size of a window along each axis, a multiple of `stride`.
        halo: Context around a core, a multiple of `stride`.
        stride: Pixels of the input for one pixel of the deepest features.

    Raises:
        ConfigError: `tile` or `halo` is not a multiple of `stride`, or no core is left between the halos.
    """
    check_tile(tile, halo, stride)
    window_height, rows = _split(height, tile, halo, stride)
    window_width, columns = _split(width, tile, halo, stride)
    return TileGrid(height, width, (window_height, window_width), rows, columns)


def check_tile(tile: int, halo: int, stride: int) -> None:
    """Raise a ConfigError with possible values unless tiles of this size and halo can be laid; see `make_grid`."""
    check_multiple("tile", tile, stride)
    if halo < 0:
        raise ConfigError(f"halo: {halo} is below 0.", f"Use a multiple of the encoder's stride, {stride}.")
    if halo:
        check_multiple("halo", halo, stride)
    if tile <= 2 * halo:
        raise ConfigError(
            f"A tile of {tile} has no core left between two halos of {halo}.",
            f"Use a tile of at least {2 * halo + stride}, better {8 * max(halo, stride)}, or a smaller halo.",
        )


def check_multiple(name: str, size: int, stride: int) -> None:
    """Raise a ConfigError that names the nearest sizes unless `size` is a positive multiple of `stride`."""
    if size % stride == 0 and size > 0:
        return
    below, above = size // stride * stride, (size // stride + 1) * stride
    nearest = f"{below} or {above}" if below > 0 else f"{stride}"
    raise ConfigError(f"{name}: {size} is not divisible by the encoder's stride, {stride}.", f"Use {nearest}.")


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return -(-length // multiple) * multiple


def _split(length: int, tile: int, halo: int, stride: int) -> tuple[int, tuple[TileSpan, ...]]:
    """Lay tiles along one axis; return the size of their windows and the tiles."""
    padded = round_up(length, stride)
    if padded <= tile:
        return padded, (TileSpan(0, 0, length),)
    count = -(-(padded - 2 * halo) // (tile - 2 * halo))
    size = round_up(-(-(padded + 2 * halo * (count - 1)) // count), stride)
    segments: list[TileSpan] = []
    core_start = 0
    while core_start < length:
        start = min(len(segments) * (size - 2 * halo), padded - size)
        core_stop = length if start + size == padded else start + size - halo
        segments.append(TileSpan(start, core_start, core_stop))
        core_start = core_stop
    return size, tuple(segments)
