from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.inference.overview.block_sums import BlockSums

Lengths = st.integers(1, 23).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length)))


@settings(max_examples=40)
@given(Lengths, Lengths, st.lists(st.integers(1, 6), min_size=23, max_size=23))
def test_each_pixel_counts_in_the_block_that_it_lies_in_whatever_the_strips(
    rows: tuple[int, int], columns: tuple[int, int], heights: list[int]
) -> None:
    (height, tall), (width, wide) = rows, columns
    pixels = np.random.default_rng(height * width).integers(0, 9, (height, width))
    sums = BlockSums((height, width), (tall, wide), np.int64)
    top = 0
    for step in heights:
        if top < height:
            sums.add(top, pixels[top : top + step])
        top += step
    blocks = (np.arange(height) * tall // height)[:, None], (np.arange(width) * wide // width)[None]
    total, number = np.zeros((tall, wide)), np.zeros((tall, wide))
    np.add.at(total, np.broadcast_arrays(*blocks), pixels)
    np.add.at(number, np.broadcast_arrays(*blocks), 1)
    np.testing.assert_allclose(sums.means, total / number, rtol=1e-6)


@pytest.mark.parametrize("coarse", [(4, 6), (2, 3), (3, 6)])
def test_shares_of_a_mask_are_means(coarse: tuple[int, int]) -> None:
    mask = np.random.default_rng(1).random((4, 6)) < 0.5
    sums = BlockSums((4, 6), coarse, np.int64)
    sums.add(0, mask)
    assert sums.means.dtype == np.float32
    if coarse == (2, 3):
        np.testing.assert_allclose(sums.means, mask.reshape(2, 2, 3, 2).mean((1, 3)))
    if coarse == (4, 6):
        np.testing.assert_array_equal(sums.means, mask)
