"""What windows share and what they leave uncovered, against masks of the pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unetkit.io.base.windows import common, inside, overlap, sizes_of, uncovered

SIZE = 8

spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(lambda ends: slice(ends[0], sum(ends)))
windows = st.lists(spans, min_size=2, max_size=2).map(tuple)


def mask_of(window):
    mask = np.zeros((2 * SIZE, 2 * SIZE), bool)
    mask[window] = True
    return mask


@given(windows, st.lists(windows, max_size=5))
def test_what_is_uncovered_is_each_pixel_that_no_block_has_once(window, blocks):
    left = mask_of(window)
    for block in blocks:
        left &= ~mask_of(block)
    found = sum((mask_of(part).astype(int) for part in uncovered(window, blocks)), np.zeros(left.shape, int))
    np.testing.assert_array_equal(found, left)


@given(windows, windows)
def test_what_two_windows_share(one, other):
    both = mask_of(one) & mask_of(other)
    assert overlap(one, other) == both.any()
    if both.any():
        part = common(one, other)
        np.testing.assert_array_equal(mask_of(part), both)
        assert sizes_of(part) == np.ones(both.shape)[part].shape
        numbers = np.arange(both.size).reshape(both.shape)
        np.testing.assert_array_equal(numbers[one][inside(part, one)], numbers[part])
