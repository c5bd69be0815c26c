"""The values of one large object: counted where there can be few different ones, else kept in a temporary file.

An object of a whole slide has more values than fit in memory. Images of 8 and 16 bits have 65,536 different values at
most. All others are written to a file as they come, and read as often as their statistics need.
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.intensity import Statistics, from_codes, sum_type, to_codes

BLOCK_VALUES = 1 << 18
"""Values that are read at a time. Sums of fractions are made block by block, so this may change their last digit."""

DIGIT_BITS = 16
"""Bits of a value that are looked at in one reading, to find the median."""


class LargeValues(Protocol):
    """The values of one large object in one channel."""

    @property
    def pixels(self) -> int:
        """Number of values so far."""

    def add(self, values: NDArray[Any]) -> None:
        """Take the next values (P,)."""

    def describe(self) -> Statistics:
        """Return the statistics of all values, columns (1,). It takes no more values then."""


def large_values(dtype: np.dtype[Any]) -> LargeValues:
    """Return what keeps the values of an image of this type."""
    return CountedValues(dtype) if dtype.itemsize <= 2 else FiledValues(dtype)


class CountedValues:
    """Counts how often each value occurs.

    Args:
        dtype: Type of the values, of 8 or 16 bits.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._counts = np.zeros(1 << (8 * dtype.itemsize), np.int64)

    @property
    def pixels(self) -> int:
        """Number of values so far."""
        return int(self._counts.sum())

    def add(self, values: NDArray[Any]) -> None:
        """Take the next values (P,)."""
        self._counts += np.bincount(to_codes(values), minlength=len(self._counts))

    def describe(self) -> Statistics:
        """Return the statistics of all values, columns (1,)."""
        codes = np.flatnonzero(self._counts)
        values = from_codes(codes.astype(f"u{self._dtype.itemsize}"), self._dtype)
        counts = self._counts[codes]
        pixels, ends = self.pixels, np.cumsum(counts)
        wide = sum_type(values)
        total = (values.astype(wide) * counts.astype(wide)).sum()
        mean = float(total) / pixels
        deviation = values.astype(np.float64) - mean
        middle = values[np.searchsorted(ends, [(pixels - 1) // 2, pixels // 2], side="right")]
        spread = float(np.sqrt((deviation * deviation * counts).sum() / pixels))
        return _columns(total, mean, spread, float(middle.astype(np.float64).mean()), values[0], values[-1])


class FiledValues:
    """Keeps values in a temporary file.

    Args:
        dtype: Type of the values.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._file: Any = TemporaryFile(prefix="unetkit-")  # noqa: SIM115  # it is gone with this object
        self.pixels = 0

    def add(self, values: NDArray[Any]) -> None:
        """Write the next values (P,)."""
        self._file.write(np.ascontiguousarray(values).data)
        self.pixels += len(values)

    def describe(self) -> Statistics:
        """Return the statistics of all values, columns (1,), reading them a few times."""
        wide = sum_type(np.zeros(0, self._dtype))
        sums = np.array([block.astype(wide).sum() for block in self._blocks()])
        total = sums.sum()
        mean = float(total) / self.pixels
        squares = np.array([((block.astype(np.float64) - mean) ** 2).sum() for block in self._blocks()])
        ranks = (0, (self.pixels - 1) // 2, self.pixels // 2, self.pixels - 1)
        low, below, above, high = (self._value_at(rank) for rank in ranks)
        middle = (float(below) + float(above)) / 2
        return _columns(total, mean, float(np.sqrt(squares.sum() / self.pixels)), middle, low, high)

    def _blocks(self) -> Iterator[NDArray[Any]]:
        """Read all values again."""
        self._file.seek(0)
        size = BLOCK_VALUES * self._dtype.itemsize
        for block in iter(lambda: self._file.read(size), b""):
            yield np.frombuffer(block, self._dtype)

    def _value_at(self, rank: int) -> Any:
        """Return the value of a rank, 0 for the lowest: some bits of its code in each reading."""
        bits = 8 * self._dtype.itemsize
        code = 0
        for shift in range(bits - DIGIT_BITS, -1, -DIGIT_BITS):
            digits = self._count_digits(code, shift)
            digit = int(np.searchsorted(np.cumsum(digits), rank, side="right"))
            rank -= int(digits[:digit].sum())
            code = code << DIGIT_BITS | digit
        return from_codes(np.array([code], f"u{self._dtype.itemsize}"), self._dtype)[0]

    def _count_digits(self, above: int, shift: int) -> NDArray[np.int64]:
        """Return how often each digit occurs in the codes whose bits above it are given."""
        counts = np.zeros(1 << DIGIT_BITS, np.int64)
        for block in self._blocks():
            codes = to_codes(block).astype(np.uint64) >> np.uint64(shift)
            codes = codes[codes >> np.uint64(DIGIT_BITS) == np.uint64(above)]
            counts += np.bincount((codes & np.uint64((1 << DIGIT_BITS) - 1)).astype(np.intp), minlength=len(counts))
        return counts


def _columns(total: Any, mean: float, spread: float, middle: float, low: Any, high: Any) -> Statistics:
    """Return statistics as columns of one row; all are NaN where a value is, which is sorted to the end."""
    single: dict[str, Any] = {"mean": mean, "median": middle, "min": low, "max": high, "std": spread, "sum": total}
    unknown = np.isnan(high)
    return {name: np.array([np.nan if unknown else one]) for name, one in single.items()}
