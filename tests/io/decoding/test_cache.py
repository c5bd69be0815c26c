"""Decoded pieces that are kept: the bound, what the latest window needs, and temporary files."""

from pathlib import Path

import numpy as np
import pytest

from unetkit.foundation.errors import ImageError
from unetkit.io.decoding.cache import SMALLEST_SCRATCH, BlockCache
from unetkit.io.decoding.scratch import ScratchArray

FULL = Path("/dev/full")


def test_the_piece_not_used_for_longest_goes_first():
    cache = BlockCache(30, "a")
    for i in range(3):
        cache.put((0, i), np.zeros(10, np.uint8))
    cache.get((0, 0))
    cache.put((0, 3), np.zeros(10, np.uint8))
    cache.trim([(0, 3)])
    assert [i for i in range(4) if cache.get((0, i)) is not None] == [0, 2, 3]


def test_what_the_latest_window_needs_stays_beyond_the_bound():
    cache = BlockCache(1, "a")
    for i in range(4):
        cache.put((0, i), np.zeros(10, np.uint8))
    cache.trim([(0, 2), (0, 3)])
    assert [i for i in range(4) if cache.get((0, i)) is not None] == [2, 3]


def test_large_pieces_are_in_temporary_files_as_long_as_their_page_is_read():
    cache = BlockCache(1, "a")
    pixels = np.arange(SMALLEST_SCRATCH + 2, dtype=np.uint16).reshape(1, -1, 2)
    for page in range(2):
        assert isinstance(cache.put((page, 0), pixels + page), ScratchArray)
    kept = cache.get((1, 0))
    assert kept is not None
    np.testing.assert_array_equal(kept[0, 5:900, 1:2], pixels[0, 5:900, 1:2] + 1)
    cache.trim([(1, 0)])
    assert cache.get((0, 0)) is None
    assert cache.get((1, 0)) is kept


def test_a_piece_that_is_all_background_takes_no_file_and_no_memory():
    cache = BlockCache(1, "a")
    endless = np.broadcast_to(np.zeros((), np.uint8), (1, 10**9, 10**9, 3))
    assert cache.put((0, 0), endless) is endless
    cache.trim([])
    assert cache.get((0, 0)) is endless


@pytest.mark.skipif(not FULL.exists(), reason="needs a disk that is full")
def test_a_temporary_file_that_cannot_grow_is_an_image_error():
    scratch = ScratchArray((10,), np.dtype(np.uint8), "a")
    with FULL.open("wb", buffering=0) as full:
        scratch._file = full
        with pytest.raises(ImageError, match="a is decoded into a temporary file"):
            scratch.append(np.zeros(10, np.uint8))
