"""One block: what its pixels tell of their objects, and later the numbers of the objects drawn into them.

A block is any rectangle of a plane, or any cuboid of a volume. It is worked on in tiles that begin at its own corner,
so its size changes time and memory, but not the labels. Nothing else of the plane or volume is needed than the pixels
of the block and the method's margin around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil, isqrt, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.assembly import Assembly
from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.faces import Faces, faces_of
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import Part, Window

LABEL_TILE = (512, 1024)
"""Height and width of the tiles in which a plane is labelled, in pixels. Such a tile fits in a processor's cache."""

VOLUME_TILE = 1 << 22
"""Voxels of the tiles in which a volume is labelled. Smaller ones have more margin than core with a distance map."""

VOLUME_STRIP = 1 << 24
"""Voxels of all tiles beside each other, so that large planes are labelled a few at a time."""

DEEPEST_TILE = 64
"""Planes of a tile at most."""

BLOCK_STEP = 1024
"""Blocks of planes begin at its multiples along each axis: they hold whole tiles, and whole chunks of most files.

Those of volumes begin where as many pixels as in its square do, see `block_step`.
"""

DEEPEST_STEP = 64
"""The same of volumes along the first axis, at most."""

MASK = 1
"""Number of classes for a mask, whose foreground is all that is not 0."""


def label_tile(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of the tiles in which a plane or volume of a size is labelled, in pixels."""
    if len(size) == 2:
        return LABEL_TILE
    depth = min(max(VOLUME_STRIP // prod(size[1:]), 1), DEEPEST_TILE, size[0])
    side = isqrt(VOLUME_TILE // depth)
    return depth, side, side


def block_step(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return of what blocks of a plane or volume of a size are multiples along each axis: the chunks of its OME-Zarr.

    >>> block_step((5000, 5000)), block_step((500, 500, 500)), block_step((10, 5000, 5000))
    ((1024, 1024), (64, 128, 128), (16, 256, 256))
    """
    deep, side = 1, BLOCK_STEP
    while len(size) == 3 and deep < min(size[0], DEEPEST_STEP):
        deep, side = 4 * deep, side // 2
    return (*((deep,) if len(size) == 3 else ()), side, side)


def label_blocks(size: tuple[int, ...], pixels_per_block: int) -> list[Window]:
    """Cut a plane or volume into blocks of about one size, in raster order: as square as it goes, with small sides.

    Args:
        size: Pixels of the plane or volume along each axis.
        pixels_per_block: Most pixels of a block, unless those of `block_step` are more.
    """
    step = block_step(size)
    steps = [ceil(extent / length) for extent, length in zip(size, step, strict=True)]
    spans: list[list[slice]] = [[] for _ in size]
    free = pixels_per_block / prod(step)  # steps of a block along the axes that are not yet cut, multiplied
    for done, axis in enumerate(sorted(range(len(size)), key=steps.__getitem__)):
        most = min(max(int(free ** (1 / (len(size) - done))), 1), steps[axis])
        length = ceil(steps[axis] / ceil(steps[axis] / most))
        free /= length
        pixels = length * step[axis]
        spans[axis] = [slice(at, min(at + pixels, size[axis])) for at in range(0, size[axis], pixels)]
    return list(product(*spans))


def margin_window(window: Window, size: tuple[int, ...], method: Method) -> Window:
    """Return what has to be read for a block: itself and the method's margin around it, as far as there is more."""
    return tuple(
        slice(max(span.start - margin, 0), min(span.stop + margin, extent))
        for span, extent, margin in zip(window, size, method.margins(len(size)), strict=True)
    )


def find_block(
    pixels: NDArray[np.uint8],
    window: Window,
    size: tuple[int, ...],
    method: Method,
    *,
    classes: int = MASK,
    tile: tuple[int, ...] | None = None,
) -> BlockFaces:
    """Find the objects of a block, as far as the block alone tells.

    Args:
        pixels: (C, h, w) or (C, d, h, w) those of `margin_window(window, size, method)`: the mask, 0 for background,
            then the other channels that the method takes. With several classes (1, ...) class numbers, 0 for
            background.
        window: The block.
        size: Pixels of the plane or volume along each axis.
        method: How objects are separated.
        classes: Number of classes, the background included; `MASK` for a mask. Each class is labelled by itself.
        tile: Pixels of the tiles along each axis, by default `label_tile`.
    """
    return BlockFaces(tuple(_find(pixels, window, size, method, value=value, tile=tile) for value in _values(classes)))


def _find(
    pixels: NDArray[np.uint8],
    window: Window,
    size: tuple[int, ...],
    method: Method,
    *,
    value: int | None,
    tile: tuple[int, ...] | None,
) -> Faces:
    """Find the objects of one class."""
    assembly = Assembly(window, size)
    for place, part in _parts(pixels, window, size, method, value=value, tile=tile):
        assembly.add(place, faces_of(part, place, size))
    return assembly.finish(method)


def draw_block(
    pixels: NDArray[np.uint8],
    window: Window,
    size: tuple[int, ...],
    method: Method,
    numbers: NDArray[np.uint32],
    dtype: np.dtype[Any],
    *,
    classes: int = MASK,
    tile: tuple[int, ...] | None = None,
) -> NDArray[Any]:
    """Return the labels (1, h, w) or (1, d, h, w) of a block.

    Args:
        pixels: The same as for `find_block`; so are all other arguments that both have.
        window: The block.
        size: Pixels of the plane or volume along each axis.
        method: How objects are separated.
        numbers: (M,) what `Joined.numbers` gives for the block.
        dtype: Type of the labels.
        classes: Number of classes.
        tile: Pixels of the tiles along each axis, by default `label_tile`.

    Raises:
        ValueError: The numbers are those of other pixels.
    """
    labels = np.empty((1, *(span.stop - span.start for span in window)), dtype)
    done = 0
    for value in _values(classes):
        for place, part in _parts(pixels, window, size, method, value=value, tile=tile):
            own = np.zeros(len(part.peaks) + 1, dtype)
            given = numbers[done : done + len(part.peaks)]
            own[1 : 1 + len(given)] = given
            done += len(part.peaks)
            target = labels[0][_within(place, window)]
            if value in (None, 1):
                target[...] = own[part.groups]
            else:
                target += own[part.groups]
    if done != len(numbers):
        raise ValueError(f"there are {len(numbers)} numbers for {done} groups: the pixels are not those of before")
    return labels


def _values(classes: int) -> tuple[int | None, ...]:
    """Return the values that are labelled, each by itself; None for all that are not 0."""
    return (None,) if classes == MASK else tuple(range(1, classes))


def _parts(
    pixels: NDArray[np.uint8],
    window: Window,
    size: tuple[int, ...],
    method: Method,
    *,
    value: int | None,
    tile: tuple[int, ...] | None,
) -> Iterator[tuple[Window, Part]]:
    """Yield the place of each tile of a block, and its groups, in raster order."""
    around = margin_window(window, size, method)
    if pixels.shape[1:] != (expected := tuple(span.stop - span.start for span in around)):
        raise ValueError(f"a block with its margin has {expected} pixels, and {pixels.shape[1:]} are given")
    for place in _tiles(window, tile or label_tile(size)):
        read = margin_window(place, size, method)
        seen = pixels[:, *_within(read, around)]
        seen = np.ascontiguousarray(seen) if value is None else (seen == value).view(np.uint8)
        yield place, method.find(seen, _within(place, read))


def _tiles(window: Window, tile: tuple[int, ...]) -> Iterator[Window]:
    """Yield the tiles of a block in raster order."""
    spans = [
        [slice(start, min(start + length, span.stop)) for start in range(span.start, span.stop, length)]
        for span, length in zip(window, tile, strict=True)
    ]
    return product(*spans)


def _within(window: Window, outer: Window) -> Window:
    """Return the place of a window in one that holds it."""
    return tuple(
        slice(span.start - origin.start, span.stop - origin.start) for span, origin in zip(window, outer, strict=True)
    )
