"""Arrays in an HDF5 file: which are images, and what their attributes say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unetkit.foundation.errors import ImageError
from unetkit.io.base.axes import guess_axes, name_dimensions
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Level, Series, pick_series
from unetkit.io.base.stored import Step

LISTED = 20
"""How many arrays of a file an error names."""

UM_PER_NM = 1e-3

PIXELS = "buif"
"""Kinds of NumPy's dtypes that are pixels."""

SIZES = (("element_size_um", 1.0), ("resolution", UM_PER_NM))
"""Attributes that hold the size of a voxel (z, y, x), and micrometres in their unit: Ilastik's and Fiji's; CREMI's."""


@dataclass(frozen=True)
class Facts:
    """What is known of an array.

    Attributes:
        axes: One letter for each dimension.
        pixel_size_um: Size of a pixel (y, x), if it is known.
        steps: Distance along Z, if it is known.
    """

    axes: str
    pixel_size_um: tuple[float, float] | None
    steps: tuple[Step, ...]


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for the time of the body.

    Raises:
        ImageError: It cannot be read.
    """
    file = open_file(path)
    try:
        yield file
    finally:
        file.close()


def open_file(path: Path, cache_bytes: int = 2**20) -> h5py.File:
    """Open a file; `cache_bytes` of decoded chunks of an array are kept by HDF5 itself.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        return h5py.File(path, "r", rdcc_nbytes=cache_bytes, locking="best-effort")
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read as HDF5, it is truncated or damaged ({error}).", "Copy or export it again."
        ) from error


def find_images(file: h5py.File) -> list[h5py.Dataset]:
    """Return the arrays in a file that may be images, in the order of their names."""
    found: list[h5py.Dataset] = []

    def visit(_: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and is_image(one):
            found.append(one)

    file.visititems(visit)
    return sorted(found, key=lambda one: str(one.name))


def is_image(one: h5py.Dataset) -> bool:
    """Return whether an array may be an image: two or more dimensions of real numbers."""
    return len(one.shape or ()) >= 2 and all(one.shape) and one.dtype.kind in PIXELS and one.dtype.itemsize <= 8


def choose(file: h5py.File, key: str, reading: ReadOptions, path: Path) -> h5py.Dataset:
    """Return the array to read.

    Args:
        file: The open file.
        key: Its name in the file; "" where none is given.
        reading: The number of the series, where there is no name.
        path: The file, for messages.

    Raises:
        ImageError: There is no such array, it is no image, or there are several and none is named.
    """
    if key:
        return _named(file, key, reading, path)
    images = find_images(file)
    if not images:
        raise ImageError(f"{path} holds no image: no array of two or more dimensions.", "Give another file.")
    if reading.series is not None:
        return images[pick_series(len(images), reading.series, lambda i: describe(images[i]), str(path))]
    if len(images) > 1:
        raise ImageError(
            f"{path} holds {len(images)} arrays: {_listed(images)}.",
            f"Name one, for example {path}:{images[0].name}.",
        )
    return images[0]


def _named(file: h5py.File, key: str, reading: ReadOptions, path: Path) -> h5py.Dataset:
    one = file.get(key)
    if isinstance(one, h5py.Group):
        inside = [each for each in find_images(file) if str(each.name).startswith(f"{key}/")]
        if len(inside) == 1:
            one = inside[0]
        elif inside:
            raise ImageError(
                f"{path}:{key} is a group of {len(inside)} arrays: {_listed(inside)}.",
                f"Name one, for example {path}:{inside[0].name}.",
            )
    if not isinstance(one, h5py.Dataset):
        images = find_images(file)
        raise ImageError(
            f"{path} has no array {key}.", f"Choose one of: {_listed(images)}." if images else "Give another file."
        )
    if not is_image(one):
        raise ImageError(
            f"{path}:{key} is no image: its shape is {one.shape}, its type {one.dtype}.",
            "Name an array of two or more dimensions of numbers.",
        )
    pick_series(1, reading.series, lambda _: describe(one), f"{path}:{key}")
    return one


def _listed(images: Sequence[h5py.Dataset]) -> str:
    more = f" and {len(images) - LISTED} more" if len(images) > LISTED else ""
    return ", ".join(f"{one.name} {one.shape} {one.dtype}" for one in images[:LISTED]) + more


def describe(one: h5py.Dataset) -> Series:
    """Return what an array is."""
    facts = read_facts(one)
    sizes = dict(zip(facts.axes, one.shape, strict=True))
    level = Level(sizes.get("Y", 1), sizes.get("X", 1), facts.pixel_size_um)
    return Series(str(one.name), facts.axes, tuple(one.shape), str(one.dtype), (level,))


def read_facts(one: h5py.Dataset) -> Facts:
    """Return the axes and the size of a voxel, from the attributes of an array.

    Axes are those of vigra and Ilastik (`axistags`), or the labels of dimensions. Else three dimensions are z, y and x,
    and others are guessed.
    """
    size = _voxel_size(one)
    axes = _tagged(one) or _labelled(one)
    if axes is None or len(axes) != one.ndim or not {"Y", "X"} <= set(axes):
        axes = guess_axes(one.shape)
        if "S" not in axes and (one.ndim == 3 or (one.ndim == 4 and size is not None)):
            axes = "CZYX"[-one.ndim :]
    if size is None:
        return Facts(axes, None, ())
    z, y, x = size
    return Facts(axes, (y, x), (Step("Z", z, "µm"),) if "Z" in axes else ())


def _tagged(one: h5py.Dataset) -> str | None:
    with suppress(KeyError, ValueError, TypeError, AttributeError):
        tags = json.loads(_text(one.attrs["axistags"]))["axes"]
        return "".join(str(tag["key"])[:1].upper() for tag in tags)
    return None


def _labelled(one: h5py.Dataset) -> str | None:
    labels = [str(dimension.label) for dimension in one.dims]
    return name_dimensions(labels) if all(labels) else None


def _voxel_size(one: h5py.Dataset) -> tuple[float, float, float] | None:
    for name, factor in SIZES:
        with suppress(KeyError, ValueError, TypeError):
            sizes = [float(f"{float(size) * factor:.9g}") for size in np.asarray(one.attrs[name]).reshape(-1)]
            if len(sizes) == 3 and all(np.isfinite(sizes)) and min(sizes) > 0:
                return sizes[0], sizes[1], sizes[2]
    return None


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
