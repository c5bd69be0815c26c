"""Planes of a Zarr without a stored chunk. They are read as the fill value."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import zarr

MOST_PLANES = 500
"""Arrays with more planes of chunks than this are not searched."""

MOST_CHUNKS = 64
"""How many chunks of a plane are looked for at most, spread over the plane."""


def absent_remarks(path: Path, array: zarr.Array[Any], axes: str) -> tuple[str, ...]:
    """Return a remark on planes without a single chunk, where others have some or all have none.

    A missing chunk alone is no fault: writers leave out chunks that hold only the fill value.

    Args:
        path: Folder of the Zarr.
        array: One level of an image in it.
        axes: Axes of the array.
    """
    sizes = array.shards or array.chunks
    counts = [-(-length // size) for length, size in zip(array.shape, sizes, strict=True)]
    others = [range(1) if axis in "YX" else range(count) for axis, count in zip(axes, counts, strict=True)]
    planes = list(product(*others))
    if len(planes) > MOST_PLANES or not path.is_dir():
        return ()
    within = _spread(counts[axes.index("Y")], counts[axes.index("X")])
    folder = path / array.path
    absent = sum(not any(_is_stored(folder, array, axes, plane, place) for place in within) for plane in planes)
    if not absent:
        return ()
    what = "None of its chunks is" if absent == len(planes) else f"No chunk of {absent} of its {len(planes)} planes is"
    return (
        f"{what} stored, so this is read as the fill value {array.fill_value}: all of it is this value, or it was "
        "not copied.",
    )


def _is_stored(folder: Path, array: zarr.Array[Any], axes: str, plane: tuple[int, ...], place: tuple[int, int]) -> bool:
    within = dict(zip("YX", place, strict=True))
    chunk = tuple(within.get(axis, number) for axis, number in zip(axes, plane, strict=True))
    return (folder / array.metadata.encode_chunk_key(chunk)).is_file()


def _spread(down: int, across: int) -> list[tuple[int, int]]:
    """Return the places of chunks in a plane, all or some that are evenly spread."""
    places = list(product(range(down), range(across)))
    return places[:: -(-len(places) // MOST_CHUNKS)]
