"""Statistics of the raw values of pixels, inside objects or in rings around them.

Every statistic is made of the sorted values of an object, so none depends on the order in which pixels came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "median", "min", "max", "std", "sum")
"""Names of the statistics, in the order of their columns."""

Statistics = dict[str, NDArray[Any]]
"""A column for each of `STATISTICS`. The sum has 64 bits, of the kind of the values; the others are float64."""


def describe_values(owners: NDArray[np.uint32], values: NDArray[Any], count: int) -> Statistics:
    """Return the statistics of the values of each object.

    Args:
        owners: (P,) number of the object of each pixel, below `count`.
        values: (P,) value of each pixel.
        count: Number of objects.

    Returns:
        (count,) columns. The sum of no pixels is 0, and their other statistics are NaN.
    """
    pixels = np.bincount(owners, minlength=count)
    present = np.flatnonzero(pixels)
    found = _describe_present(pixels[present], sort_by_owner(owners, values))
    whole: Statistics = {}
    for name, one in found.items():
        whole[name] = np.zeros(count, one.dtype) if name == "sum" else np.full(count, np.nan)
        whole[name][present] = one
    return whole


def _describe_present(pixels: NDArray[np.intp], ordered: NDArray[Any]) -> Statistics:
    """Return the statistics (N,) of objects that have pixels.

    Args:
        pixels: (N,) number of pixels of each object.
        ordered: (P,) their values, object after object, ascending in each.
    """
    wide = sum_type(ordered)
    if not len(pixels):
        return {name: np.zeros(0, wide if name == "sum" else np.float64) for name in STATISTICS}
    last = np.cumsum(pixels)
    first = last - pixels
    total = np.add.reduceat(ordered.astype(wide), first)
    mean = total / pixels
    low, high = ordered[first], ordered[last - 1]
    middle = (ordered[first + (pixels - 1) // 2].astype(np.float64) + ordered[first + pixels // 2]) / 2
    deviation = ordered - np.repeat(mean, pixels)
    deviation *= deviation
    found = {
        "mean": mean,
        "median": middle,
        "min": low,
        "max": high,
        "std": np.sqrt(np.add.reduceat(deviation, first) / pixels),
        "sum": total,
    }
    if ordered.dtype.kind == "f" and np.isnan(high).any():  # NaN is sorted to the end
        found = {name: np.where(np.isnan(high), np.nan, one) for name, one in found.items()}
    return found


def sum_type(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of sums: whole numbers of 64 bits are exact."""
    return np.dtype({"f": np.float64, "u": np.uint64}.get(values.dtype.kind, np.int64))


def sort_by_owner(owners: NDArray[np.uint32], values: NDArray[Any]) -> NDArray[Any]:
    """Return values object after object, ascending in each, NaN last.

    Owner and value are packed into one whole number, and these are sorted, which is many times faster than sorting by
    two keys.
    """
    bits = 8 * values.dtype.itemsize
    if bits == 64:
        in_order: NDArray[Any] = values[np.lexsort((values, owners))]
        return in_order
    codes = to_codes(values)
    wide = np.uint32 if bits + int(owners.max(initial=0)).bit_length() <= 32 else np.uint64
    keys: NDArray[Any] = np.left_shift(owners.astype(wide), wide(bits)) | codes
    keys.sort()
    return from_codes(keys.astype(codes.dtype), values.dtype)


def to_codes(values: NDArray[Any]) -> NDArray[Any]:
    """Return unsigned numbers of the same size in the order of the values; NaN is the highest."""
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "u":
        return values
    codes: NDArray[Any] = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    top = codes.dtype.type(1 << (bits - 1))
    if kind == "i":
        flipped: NDArray[Any] = codes ^ top
        return flipped
    flipped = np.where(codes & top, ~codes, codes | top)
    return np.where(np.isnan(values), ~codes.dtype.type(0), flipped)


def from_codes(codes: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of such numbers."""
    if dtype.kind == "u":
        return codes
    top = codes.dtype.type(1 << (8 * dtype.itemsize - 1))
    bits: NDArray[Any] = codes ^ top if dtype.kind == "i" else np.where(codes & top, codes ^ top, ~codes)
    return bits.view(dtype)
