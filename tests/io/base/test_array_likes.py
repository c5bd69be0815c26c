from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from scipy.sparse import csr_array

from unetkit.foundation.errors import ImageError
from unetkit.io.base.array_likes import check_array, named_axes


class Named:
    """An array with dimensions that have names, as xarray's DataArray has."""

    __module__ = "xarray.core.dataarray"

    def __init__(self, shape: tuple[int, ...], dims: tuple[str, ...]) -> None:
        self.shape, self.dtype, self.dims = shape, np.dtype(np.uint8), dims


class OnGpu:
    shape, dtype, __cuda_array_interface__ = (8, 8), np.dtype(np.uint8), {"version": 3}


class OfUnknownSize:
    """As dask's, after a selection."""

    shape, dtype = (float("nan"), 8), np.dtype(np.uint8)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (None, "None was given"),
        ("a.tif", r"'a\.tif' is text, perhaps the name of a file.*unetkit\.segment"),
        (Path("a.tif"), "name of a file"),
        (b"a.tif", "name of a file"),
        ([[1, 2], [3, 4]], r"A list is no array.*numpy\.asarray"),
        (torch.zeros(8, 8), r"tensor\.numpy\(force=True\)"),
        (zarr.open_group(zarr.storage.MemoryStore(), mode="w"), "Zarr group.*none"),
        (csr_array(np.eye(4)), r"sparse matrix.*toarray"),
        (np.ma.masked_less(np.arange(16).reshape(4, 4), 3), r"masked.*filled"),
        (OnGpu(), "memory of a GPU"),
        (OfUnknownSize(), "size and the type of the pixels of a OfUnknownSize cannot be told"),
        ({"a": 1}, "size and the type of the pixels of a dict"),
        (7, "size and the type of the pixels of a int"),
        (np.zeros((), np.uint8), r"An array of shape \(\) is not an image"),
        (np.zeros(5, np.uint8), "is not an image"),
        (np.zeros((1,) * 6, np.uint8), "is not an image"),
        (np.zeros((0, 5), np.uint8), "is empty"),
        (np.zeros((4, 4), complex), "pixels of complex128"),
        (np.zeros((4, 4), object), "pixels of object"),
        (np.full((4, 4), "a"), "pixels of <U1"),
        (np.zeros((4, 4), "M8[s]"), "pixels of datetime64"),
        (np.zeros((4, 4), [("a", "u1")]), "pixels of"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_array_of_pixels_gets_advice(array: Any, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        check_array(array)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, ">u2"])
def test_real_numbers_of_all_kinds_are_an_array(dtype: Any) -> None:
    check_array(np.zeros((4, 4), dtype))


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("c", "y", "x"), "CYX"),
        (("y", "x", "channel"), "YXC"),
        (("time", "z", "y", "x"), "TZYX"),
        (("x", "y"), "XY"),
        (("row", "col"), "YX"),
        (("band", "latitude", "longitude"), "CYX"),
        (("well", "Y", "X"), "QYX"),
        (("dim_0", "dim_1"), None),
    ],
)
def test_the_dimensions_are_those_that_the_names_say(dims: tuple[str, ...], axes: str | None) -> None:
    assert named_axes(Named((4,) * len(dims), dims)) == axes


def test_names_that_leave_a_doubt_are_refused() -> None:
    with pytest.raises(ImageError, match="called c, a, b, which does not say where Y and X are"):
        named_axes(Named((2, 4, 4), ("c", "a", "b")))


def test_an_array_without_names_has_none() -> None:
    assert named_axes(np.zeros((2, 4, 4))) is None
    assert named_axes(zarr.create_array(zarr.storage.MemoryStore(), shape=(4, 4), dtype="u1")) is None


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_of_zarr_tell_the_names_that_they_or_their_ome_zarr_have(tmp_path: Path, version: Any) -> None:
    group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=version)
    inner = group.create_group("A/1")
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, {"name": "y"}, {"name": "x"}]
    multiscales = [{"axes": axes, "datasets": [{"path": "0"}]}]
    inner.attrs.update({"ome": {"multiscales": multiscales}} if version == 3 else {"multiscales": multiscales})
    assert named_axes(inner.create_array("0", shape=(1, 2, 4, 4), dtype="u1")) == "TCYX"
    assert named_axes(inner.create_array("other", shape=(1, 2, 4, 4), dtype="u1")) is None
    if version == 3:
        array = inner.create_array("b", shape=(2, 4, 4), dtype="u1", dimension_names=["z", "y", "x"])
    else:
        array = inner.create_array("b", shape=(2, 4, 4), dtype="u1", attributes={"_ARRAY_DIMENSIONS": ["z", "y", "x"]})
    assert named_axes(array) == "ZYX"
