"""The neighbours of a pixel in any number of axes, diagonal ones too, each with a number: a *step*.

Steps go backwards through the neighbours in raster order, and the pixel itself is the one in the middle:

    plane    8 7 6    the number of a step and that of its opposite
             5 . 3    add up to the largest one
             2 1 0

So of several neighbours, the first in raster order has the largest step.
"""

from __future__ import annotations

from functools import cache
from itertools import product

from unetkit.postprocess.parts import stay

Part = tuple[slice, ...]
"""One slice for each axis of an array."""


@cache
def offsets(axes: int) -> tuple[tuple[int, ...], ...]:
    """Return the offset of each step, in pixels along each axis.

    >>> offsets(1)
    ((1,), (0,), (-1,))
    """
    return tuple(product((1, 0, -1), repeat=axes))


def forward(axes: int) -> tuple[tuple[int, ...], ...]:
    """Return the offsets of the neighbours that follow a pixel in raster order: each pair of neighbours once."""
    return offsets(axes)[: stay(axes)]


def shifted(offset: tuple[int, ...]) -> tuple[Part, Part]:
    """Return what selects all pixels of an array that have a neighbour at an offset, and what selects these neighbours.

    >>> shifted((1, 0))
    ((slice(None, -1, None), slice(None, None, None)), (slice(1, None, None), slice(None, None, None)))
    """
    all_, start, end = slice(None), slice(None, -1), slice(1, None)
    pairs = {0: (all_, all_), 1: (start, end), -1: (end, start)}
    here, there = zip(*(pairs[along] for along in offset), strict=True)
    return here, there
