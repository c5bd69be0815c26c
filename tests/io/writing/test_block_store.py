"""Blocks in any order become rows in order."""

import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.writing import block_store as module
from unetkit.io.writing.block_store import BlockStore


def blocks_of(size, cuts):
    """Return windows that cover an item of a size, cut at some places along each axis."""
    windows = [()]
    for length, places in zip(size, cuts, strict=True):
        edges = [0, *sorted({place for place in places if 0 < place < length}), length]
        windows = [(*window, slice(a, b)) for window in windows for a, b in pairwise(edges)]
    return windows


def rows_of(store, spec):
    """Return what a store gives back: (items, channels, one size for each axis)."""
    rows = np.concatenate(list(store.rows()), axis=1)
    parts = rows.reshape(spec.channels, spec.planes, *spec.size)
    return parts.swapaxes(0, 1)


@pytest.mark.parametrize("size", [(1, 1), (700, 40), (13, 9, 11), (5, 6, 7, 3)])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "float32"), (2, "uint16")])
def test_rows_are_those_of_the_blocks_for_any_number_of_axes(tmp_path, monkeypatch, size, channels, dtype):
    monkeypatch.setattr(module, "STRIP_BYTES", 3 * channels * int(np.prod(size[1:])) * np.dtype(dtype).itemsize)
    spec = OutputSpec(size, np.dtype(dtype), channels, "Z", (2,))
    rng = np.random.default_rng(0)
    pixels = (rng.random((2, channels, *size)) * 255).astype(dtype)
    store = BlockStore(tmp_path / "out", spec)
    places = [rng.integers(0, length + 1, 3).tolist() for length in size]
    todo = [(item, window) for item in range(2) for window in blocks_of(size, places)]
    for number in rng.permutation(len(todo)):
        item, window = todo[number]
        store.put(item, window, pixels[(item, slice(None), *window)])
    strips = list(store.rows())
    assert all(strip.shape[1] <= 3 for strip in strips)
    np.testing.assert_array_equal(rows_of(store, spec), pixels)
    store.close()


@given(st.data())
def test_irregular_blocks_are_put_together(tmp_path_factory, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    spec = OutputSpec((height, width), np.dtype("uint16"))
    pixels = np.arange(height * width, dtype=np.uint16).reshape(1, height, width)
    columns = blocks_of((width,), [data.draw(st.lists(st.integers(1, 40), max_size=4))])
    windows = [
        (rows, column)
        for (column,) in columns
        for (rows,) in blocks_of((height,), [data.draw(st.lists(st.integers(1, 40), max_size=4))])
    ]
    store = BlockStore(tmp_path_factory.getbasetemp() / "out", spec)
    for window in data.draw(st.permutations(windows)):
        store.put(0, window, pixels[(slice(None), *window)])
    np.testing.assert_array_equal(rows_of(store, spec)[0], pixels)
    store.close()


def test_what_is_missing_or_there_twice_is_a_fault(tmp_path):
    spec = OutputSpec((20, 30), np.dtype("uint8"))
    store = BlockStore(tmp_path / "out", spec)
    store.put(0, (slice(0, 20), slice(0, 20)), np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(ValueError, match="200 pixels of rows 0 to 20 of item 0 were never written"):
        list(store.rows())
    with pytest.raises(ValueError, match="was written before"):
        store.put(0, (slice(10, 20), slice(19, 30)), np.zeros((1, 10, 11), np.uint8))


@pytest.mark.parametrize(
    ("item", "window", "shape", "dtype"),
    [
        (1, (slice(0, 20), slice(0, 30)), (1, 20, 30), "uint8"),
        (0, (slice(0, 21), slice(0, 30)), (1, 21, 30), "uint8"),
        (0, (slice(0, 20),), (1, 20), "uint8"),
        (0, (slice(0, 20), slice(30, 30)), (1, 20, 0), "uint8"),
        (0, (slice(0, 20), slice(0, 30)), (1, 20, 29), "uint8"),
        (0, (slice(0, 20), slice(0, 30)), (2, 20, 30), "uint8"),
        (0, (slice(0, 20), slice(0, 30)), (1, 20, 30), "float32"),
    ],
)
def test_a_block_that_does_not_fit_is_a_fault(tmp_path, item, window, shape, dtype):
    store = BlockStore(tmp_path / "out", OutputSpec((20, 30), np.dtype("uint8")))
    with pytest.raises(ValueError, match="block"):
        store.put(item, window, np.zeros(shape, dtype))


def test_the_file_is_compressed_and_has_no_name(tmp_path):
    store = BlockStore(tmp_path / "out", OutputSpec((2000, 2000), np.dtype("uint8")))
    store.put(0, (slice(0, 2000), slice(0, 2000)), np.zeros((1, 2000, 2000), np.uint8))
    assert store._end < 100_000
    if os.name == "posix":
        assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_and_a_full_disk_are_errors_of_the_output(tmp_path):
    with pytest.raises(OutputError, match="out cannot be written"):
        BlockStore(tmp_path / "missing" / "out", OutputSpec((2, 3), np.dtype("uint8")))
    store = BlockStore(tmp_path / "out", OutputSpec((2, 3), np.dtype("uint8")))

    class Full:
        def seek(self, place):
            raise OSError(28, "No space left on device")

    store._file = Full()
    with pytest.raises(OutputError, match="out cannot be written: No space left"):
        store.put(0, (slice(0, 2), slice(0, 3)), np.zeros((1, 2, 3), np.uint8))
