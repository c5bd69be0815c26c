"""Arrays that users give: checks, and the names of their dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unetkit.foundation.errors import ImageError
from unetkit.io.base.axes import SPARE_AXES, name_dimensions

OTHER_NAMES = {
    **dict.fromkeys(("row", "rows", "lat", "latitude", "northing", "height"), "y"),
    **dict.fromkeys(("col", "cols", "column", "columns", "lon", "longitude", "easting", "width"), "x"),
    **dict.fromkeys(("ch", "band", "bands"), "channel"),
    **dict.fromkeys(("plane", "pln", "depth"), "z"),
    **dict.fromkeys(("samples", "rgb"), "sample"),
    **dict.fromkeys(("times", "frame", "frames"), "time"),
}
"""Names of dimensions in other programs, and the name of each here."""

PIXEL_KINDS = "buif"
"""Kinds of NumPy's dtypes that are real numbers."""


def check_array(array: Any) -> None:
    """Check that something is an array of real numbers whose size is known.

    Raises:
        ImageError: It is no such array. The remedy says how to make one of it.
    """
    advice = _advice(array)
    if advice is not None:
        raise ImageError(*advice)
    kind = type(array).__name__
    try:
        dtype = np.dtype(array.dtype)
        shape = tuple(int(size) for size in array.shape)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError(
            f"The size and the type of the pixels of a {kind} cannot be told.",
            "Give a NumPy array, for example numpy.asarray(image).",
        ) from error
    if dtype.kind not in PIXEL_KINDS:
        raise ImageError(f"The array has pixels of {dtype}.", "Give real numbers, for example the magnitude.")
    if not 2 <= len(shape) <= 5:
        raise ImageError(f"An array of shape {shape} is not an image.", "Give 2 to 5 dimensions, for example (H, W).")
    if not all(shape):
        raise ImageError(f"The array is empty (shape {shape}).", "Give an image with at least one pixel.")


def _advice(array: Any) -> tuple[str, str] | None:
    """Return problem and remedy for something that is often taken for an array; None if it is none of these."""
    kind, home = type(array).__name__, type(array).__module__.split(".")[0]
    is_group = (home, kind) == ("zarr", "Group")
    arrays = ", ".join(f"'{name}'" for name in sorted(array.array_keys())) if is_group else ""
    cases = (
        (array is None, "There is no image: None was given.", "Give an array of pixels."),
        (
            isinstance(array, str | bytes | Path),
            f"{str(array)[:200]!r} is text, perhaps the name of a file, and no array of pixels.",
            "Use unetkit.segment(image, result), or read the file first, for example with tifffile.imread.",
        ),
        (
            isinstance(array, list | tuple),
            f"A {kind} is no array of pixels.",
            "Give numpy.asarray(image), or one image after the other.",
        ),
        (home == "torch", "A tensor of PyTorch is no array of NumPy.", "Give tensor.numpy(force=True)."),
        (
            hasattr(array, "__cuda_array_interface__"),
            "The array lies in the memory of a GPU.",
            "Give a copy in NumPy, for example array.get().",
        ),
        (
            is_group,
            f"A Zarr group is no array; its arrays are: {arrays or 'none'}.",
            "Give one of its arrays, for example group['0'].",
        ),
        (hasattr(array, "toarray"), f"A {kind} is a sparse matrix.", "Give matrix.toarray()."),
        (
            isinstance(array, np.ma.MaskedArray) and bool(np.ma.is_masked(array)),
            "Some pixels of the array are masked.",
            "Say what they are to be, for example with array.filled(0).",
        ),
        (
            home == "xarray" and not hasattr(array, "dtype"),
            f"An xarray {kind} is no array.",
            "Give one of its variables, for example dataset['image'].",
        ),
    )
    return next(((problem, remedy) for holds, problem, remedy in cases if holds), None)


def named_axes(array: Any) -> str | None:
    """Return the axes of an array that names its dimensions, one letter for each; None if it does not.

    The names are xarray's `dims`, the `dimension_names` of Zarr 3, xarray's names in Zarr 2, or the axes of the
    OME-Zarr that the array belongs to.

    Raises:
        ImageError: Some dimensions have names, but it is not clear which of them are Y and X.
    """
    names, kinds = _names(array)
    if len(names) != len(array.shape) or not any(names):
        return None
    plain = [OTHER_NAMES.get(name.lower(), name) for name in names]
    axes = name_dimensions(plain, kinds)
    if {"Y", "X"} <= set(axes):
        return axes
    if set(axes) <= set(SPARE_AXES):  # names that say nothing, such as xarray's dim_0
        return None
    raise ImageError(
        f"The dimensions of the array are called {', '.join(names)}, which does not say where Y and X are.",
        "Say what they are with axes, for example axes='CYX'.",
    )


def _names(array: Any) -> tuple[list[str], Sequence[str]]:
    """Return the names of the dimensions, and their kinds where there are some."""
    home = type(array).__module__.split(".")[0]
    dims = getattr(array, "dims", None)
    if home == "xarray" and isinstance(dims, tuple):
        return [str(name) for name in dims], ()
    if home != "zarr":
        return [], ()
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if names and any(names):
        return [str(name or "") for name in names], ()
    return _ome_names(array)


def _ome_names(array: Any) -> tuple[list[str], Sequence[str]]:
    """Return the names and kinds of the axes in the OME-Zarr whose level an array of Zarr is."""
    import zarr
    from zarr.errors import ContainsArrayError, GroupNotFoundError

    folder, _, own = array.path.strip("/").rpartition("/")
    if not own:
        return [], ()
    try:
        attributes = zarr.open_group(array.store, path=folder, mode="r").attrs
    except (GroupNotFoundError, ContainsArrayError, FileNotFoundError):
        return [], ()
    described: Any = attributes.get("ome", attributes.asdict())  # before 0.5 there was no "ome" around it
    for image in described.get("multiscales", []):
        if any(level["path"] == own for level in image["datasets"]):
            axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", [])]
            return [axis["name"] for axis in axes], [axis.get("type", "") for axis in axes]
    return [], ()
