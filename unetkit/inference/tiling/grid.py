"""TileGrid: which window of an image each tile reads, and which part of it each tile keeps.

    window    |<-- halo -->|<------- core ------->|<-- halo -->|
    next                             |<-- halo -->|<------- core ------->|<-- halo -->|

A window is what the network sees; its core is what is kept. Cores are disjoint and cover the image exactly once. All
windows have one size, and their origins are multiples of the encoder's stride, so that pooling happens on the grid of a
pass over the whole image. At the image's border there is nothing beyond to see: the window ends there, as a pass over
the whole image does, and its core reaches the border. Only the last few pixels that bring an axis of the image to a
multiple of the stride lie outside it; the reader fills them by reflection.

An image may have any number of axes: tiles are laid along each of them by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.contracts import Window

PerAxis = int | tuple[int, ...]
"""One number that holds for all axes, or one for each."""

GRIDS = 8
"""Grids that are remembered: each block of a slide asks for the same one."""


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
    """One tile.

    Attributes:
        spans: Its place along each axis.
    """

    spans: tuple[TileSpan, ...]

    @property
    def kept(self) -> Window:
        """The core inside the image."""
        return tuple(span.kept for span in self.spans)

    @property
    def inner(self) -> Window:
        """The core inside the window."""
        return tuple(span.inner for span in self.spans)

    @property
    def pixels(self) -> int:
        """Number of pixels that are kept."""
        return prod(span.core_stop - span.core_start for span in self.spans)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one item.

    Attributes:
        size: Pixels of the item along each axis.
        window: Size of every window along each axis: multiples of the stride, at most the tile asked for.
        spans: Tiles along each axis, from the first pixel on.
    """

    size: tuple[int, ...]
    window: tuple[int, ...]
    spans: tuple[tuple[TileSpan, ...], ...]

    def __iter__(self) -> Iterator[Tile]:
        """Iterate over the tiles; the last axis changes fastest."""
        return (tile for span in self.bands for tile in self.band(span))

    def __len__(self) -> int:
        return prod(len(spans) for spans in self.spans)

    @property
    def bands(self) -> tuple[TileSpan, ...]:
        """Place of each band along the first axis."""
        return self.spans[0]

    def band(self, span: TileSpan) -> Iterator[Tile]:
        """Iterate over the tiles with one place along the first axis: together they are as wide as the item."""
        return self.whole(0).band(span)

    def whole(self, item: int) -> TileBlock:
        """Return all tiles of an item as one block."""
        return TileBlock(item, self, self.spans)

    def cut(self, item: int, tiles: Sequence[tuple[int, int]]) -> TileBlock:
        """Return some tiles of an item.

        Args:
            item: Number of the item.
            tiles: Number of the first tile, and of that after the last one, along each axis.
        """
        spans = (each[start:stop] for each, (start, stop) in zip(self.spans, tiles, strict=True))
        return TileBlock(item, self, tuple(spans))


@dataclass(frozen=True)
class TileBlock:
    """Tiles of one item that lie side by side: a rectangle of them, or a box.

    Attributes:
        item: Number of the item.
        grid: All tiles of the item.
        spans: Those of the block along each axis.
    """

    item: int
    grid: TileGrid
    spans: tuple[tuple[TileSpan, ...], ...]

    @property
    def window(self) -> Window:
        """What the cores of its tiles cover of the item."""
        return tuple(slice(spans[0].core_start, spans[-1].core_stop) for spans in self.spans)

    @property
    def pixels(self) -> int:
        """Number of pixels that it covers."""
        return prod(part.stop - part.start for part in self.window)

    @property
    def bands(self) -> tuple[TileSpan, ...]:
        """Place of each of its bands along the first axis."""
        return self.spans[0]

    def band(self, span: TileSpan) -> Iterator[Tile]:
        """Iterate over the tiles with one place along the first axis: together they are as wide as the block."""
        return (Tile((span, *rest)) for rest in product(*self.spans[1:]))


@lru_cache(GRIDS)
def make_grid(size: tuple[int, ...], *, tile: PerAxis, halo: PerAxis, stride: PerAxis) -> TileGrid:
    """Lay tiles over an item.

    The number of tiles is the smallest that covers the item; their size is then the smallest that still does, so an
    image slightly larger than a tile costs little more than the image itself.

    Args:
        size: Pixels along each axis.
        tile: Largest size of a window, a multiple of `stride`.
        halo: Context around a core, a multiple of `stride`.
        stride: Pixels of the input for one pixel of the deepest features.

    Raises:
        ConfigError: `tile` or `halo` is not a multiple of `stride`, or no core is left between the halos.
    """
    each = [per_axis(number, len(size)) for number in (tile, halo, stride)]
    for numbers in dict.fromkeys(zip(*each, strict=True)):
        check_tile(*numbers)
    axes = [_split(*numbers) for numbers in zip(size, *each, strict=True)]
    return TileGrid(size, tuple(window for window, _ in axes), tuple(spans for _, spans in axes))


def per_axis(number: PerAxis, axes: int) -> tuple[int, ...]:
    """Return one number for each axis.

    >>> per_axis(8, 2), per_axis((4, 8, 8), 3)
    ((8, 8), (4, 8, 8))

    Raises:
        ConfigError: There are other numbers than one, or one for each axis.
    """
    if isinstance(number, int):
        return (number,) * axes
    if len(number) != axes:
        raise ConfigError(
            f"{', '.join(map(str, number))} are {len(number)} numbers for {axes} axes.",
            f"Give one number, or {axes}.",
        )
    return number


def one_if_equal(numbers: tuple[int, ...]) -> PerAxis:
    """Return the number that all axes have in common, or else one for each.

    >>> one_if_equal((8, 8)), one_if_equal((4, 8, 8))
    (8, (4, 8, 8))
    """
    return numbers[0] if len(set(numbers)) == 1 else numbers


def in_words(number: PerAxis) -> str:
    """Return one number, or one for each axis, for people.

    >>> in_words(8), in_words((4, 8, 8))
    ('8', '4 x 8 x 8')
    """
    return str(number) if isinstance(number, int) else " x ".join(map(str, number))


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
    spans: list[TileSpan] = []
    core_start = 0
    while core_start < length:
        start = min(len(spans) * (size - 2 * halo), padded - size)
        core_stop = length if start + size == padded else start + size - halo
        spans.append(TileSpan(start, core_start, core_stop))
        core_start = core_stop
    return size, tuple(spans)
