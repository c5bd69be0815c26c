from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import block_reduce

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import Window
from unetkit.viewing.halving import average, pick
from unetkit.viewing.levels import FileLevel, KeptLevel, Level, NotWantedError, complete
from unetkit.viewing.scratch_blocks import ScratchBlocks


def always() -> bool:
    return True


class Counted(FileLevel):
    """A level that counts how often each pixel is read."""

    def __init__(self, array: NDArray[Any], scale: float = 1.0) -> None:
        super().__init__(ArraySource(array, "CYX"), (scale, scale), lambda pixels: pixels)
        self.reads = np.zeros(array.shape[1:], int)

    def read(self, plane: int, window: Window, wanted: Any) -> NDArray[Any]:
        self.reads[window] += 1
        return super().read(plane, window, wanted)


def halved(array: NDArray[Any], times: int, *, mean: bool) -> NDArray[Any]:
    """Return what a level should be: means rounded at each step, or every second pixel."""
    for _ in range(times):
        if not mean:
            array = array[:, ::2, ::2]
            continue
        even = np.pad(array, [(0, 0), *((0, size % 2) for size in array.shape[1:])], "edge")
        array = np.floor(block_reduce(even.astype(float), (1, 2, 2), np.mean) + 0.5).astype(array.dtype)
    return array


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["uint8", "uint16", "int16", "uint32", "int32"]))
def test_halves_are_means_of_four_or_one_of_them(height: int, width: int, dtype: str) -> None:
    rng = np.random.default_rng(height * 10 + width)
    limits = np.iinfo(dtype)
    pixels = rng.integers(max(limits.min, -(2**31)), limits.max, (2, height, width), endpoint=True).astype(dtype)
    np.testing.assert_array_equal(average(pixels), halved(pixels, 1, mean=True))
    np.testing.assert_array_equal(pick(pixels), pixels[:, ::2, ::2])


def test_fractions_are_averaged_without_rounding() -> None:
    pixels = np.array([[[0.0, 0.5], [0.25, 0.25]]])
    for dtype in (np.float32, np.float64):
        assert average(pixels.astype(dtype)) == 0.25
    assert average(pixels).dtype == np.float64


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("halve", [average, pick])
def test_levels_are_the_image_halved_again_and_again_down_to_a_small_one(by_rows: bool, halve: Any) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 2301, 1203), np.uint8)
    levels = complete([Counted(image)], halve, ScratchBlocks(), by_rows=by_rows)
    assert [level.size for level in levels] == [(2301, 1203), (1151, 602), (576, 301), (288, 151)]
    for number, level in enumerate(levels):
        assert level.scale == (2**number, 2**number)
        expected = halved(image, number, mean=halve is average)
        for window in ((slice(0, level.size[0]), slice(0, level.size[1])), (slice(61, 270), slice(13, 140))):
            np.testing.assert_array_equal(level.read(0, window, always), expected[:, *window])


@pytest.mark.parametrize("by_rows", [False, True])
def test_an_overview_reads_each_pixel_once_and_not_at_all_the_next_time(by_rows: bool) -> None:
    base = Counted(np.zeros((1, 3000, 2100), np.uint8))
    levels = complete([base], average, ScratchBlocks(), by_rows=by_rows)
    coarsest = levels[-1]
    for top in range(0, coarsest.size[0], 100):  # as chunks, which do not keep to the blocks
        rows = slice(top, min(top + 100, coarsest.size[0]))
        coarsest.read(0, (rows, slice(0, coarsest.size[1])), always)
    assert (base.reads == 1).all()
    levels[-2].read(0, (slice(0, 200), slice(0, 200)), always)
    assert base.reads.max() == 1


def test_a_part_of_a_coarse_level_reads_only_what_it_is_made_of() -> None:
    base = Counted(np.zeros((1, 8192, 8192), np.uint8))
    levels = complete([base], average, ScratchBlocks(), by_rows=False)
    levels[2].read(0, (slice(300, 301), slice(1030, 1031)), always)
    assert base.reads[1024:2048, 4096:5120].all()
    assert base.reads.sum() == 1024**2


def test_the_levels_of_a_file_are_kept_and_what_is_between_them_is_made() -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 4096, 4096), np.uint8)
    sixteenth = np.full((1, 256, 256), 7, np.uint8)
    files = [Counted(image), Counted(halved(image, 2, mean=True), 4.0), Counted(sixteenth, 16.0)]
    levels = complete(files, average, ScratchBlocks(), by_rows=False)
    assert [level.scale[0] for level in levels] == [1, 2, 4, 8, 16]
    assert [levels[0], levels[2], levels[4]] == files
    everything = (slice(0, 512), slice(0, 512))
    np.testing.assert_array_equal(levels[3].read(0, everything, always), halved(image, 3, mean=True))
    assert not files[0].reads.any()


def test_nothing_more_is_read_when_nobody_waits() -> None:
    base = Counted(np.zeros((1, 4096, 4096), np.uint8))
    *_, coarsest = complete([base], average, ScratchBlocks(), by_rows=False)
    answers = iter([True] * 3)
    with pytest.raises(NotWantedError):
        coarsest.read(0, (slice(0, 512), slice(0, 512)), lambda: next(answers, False))
    assert base.reads.sum() == 3 * 1024**2 + 1024**2  # three parts, and the one that was refused
    coarsest.read(0, (slice(0, 512), slice(0, 512)), always)
    assert base.reads.max() == 2


def test_threads_that_ask_for_the_same_block_make_it_once() -> None:
    base = Counted(np.random.default_rng(0).integers(0, 9, (1, 1024, 1024), np.uint8))
    level: Level = KeptLevel(base, pick, (256, 256), ScratchBlocks())
    with ThreadPoolExecutor(8) as pool:
        for pixels in pool.map(lambda _: level.read(0, (slice(0, 512), slice(0, 512)), always), range(16)):
            np.testing.assert_array_equal(pixels, base.read(0, (slice(0, 1024),) * 2, always)[:, ::2, ::2])
    assert (base.reads == 1 + 16).all()  # once for the level, and once for each comparison
