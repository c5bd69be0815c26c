"""A part of an array reads what NumPy's slices do, and no more."""

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from unetkit.napari.part import Part

PIXELS = np.arange(3 * 5 * 7 * 4).reshape(3, 5, 7, 4)


def nothing() -> None:
    pass


@given(st.data())
def test_a_part_is_sliced_like_the_array(data: st.DataObject) -> None:
    def slices(size: int) -> st.SearchStrategy[slice]:
        ends = st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted)
        return ends.map(lambda both: slice(*both))

    index = [data.draw(st.integers(0, size - 1) | slices(size)) for size in PIXELS.shape]
    part = Part(PIXELS, index, nothing)
    expected = PIXELS[tuple(index)]
    assert part.shape == expected.shape
    assert part.dtype == expected.dtype
    own = [data.draw(st.integers(0, size - 1) | slices(size)) if size else slice(None) for size in expected.shape]
    np.testing.assert_array_equal(part[own], expected[tuple(own)])


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_arrays_are_parts_too(kind: str) -> None:
    whole = dask.array.from_array(PIXELS) if kind == "dask" else zarr.array(PIXELS)
    part = Part(whole, (1, slice(1, 4), slice(0, 7), slice(0, 3)), nothing)
    read = part[slice(0, 2), slice(2, 5), slice(0, 3)]
    assert type(read) is np.ndarray
    np.testing.assert_array_equal(read, PIXELS[1, 1:3, 2:5, :3])


def test_each_read_asks_whether_it_may() -> None:
    def refuse() -> None:
        raise InterruptedError

    part = Part(PIXELS, [slice(0, size) for size in PIXELS.shape], refuse)
    with pytest.raises(InterruptedError):
        part[0, slice(0, 1), slice(0, 1), slice(0, 1)]
