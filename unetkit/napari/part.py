"""A part of an array that is read only where it is sliced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Part:
    """A part of anything that can be sliced like an array (zarr, dask, memmap), as an array-like of its own.

    Args:
        array: The whole.
        index: Which part: for each axis a number, which drops the axis, or a slice with both ends.
        check: Called before each read; what it raises stops the reading.

    Attributes:
        shape: Sizes along the axes that are left.
        dtype: Type of the pixels.
    """

    def __init__(self, array: Any, index: Sequence[int | slice], check: Callable[[], None]) -> None:
        self._array = array
        self._index = tuple(index)
        self._check = check
        self.shape = tuple(at.stop - at.start for at in index if isinstance(at, slice))
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, index: Sequence[int | slice]) -> NDArray[Any]:
        """Read pixels; `index` has a number or a slice for each axis of the part."""
        self._check()
        own = iter(index)
        whole = tuple(at if isinstance(at, int) else _move(at, next(own)) for at in self._index)
        return np.asarray(self._array[whole])


def _move(place: slice, within: int | slice) -> int | slice:
    """Return where in the whole a number or slice of a part lies.

    >>> _move(slice(10, 20), slice(2, 30)), _move(slice(10, 20), 3), _move(slice(10, 20), slice(None))
    (slice(12, 20, None), 13, slice(10, 20, None))
    """
    if not isinstance(within, slice):
        return int(place.start + within)
    start, stop, _ = within.indices(place.stop - place.start)
    return slice(place.start + start, place.start + stop)
