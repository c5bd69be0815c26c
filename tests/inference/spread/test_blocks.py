from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.inference.spread.blocks import cut_blocks
from unetkit.inference.tiling.grid import make_grid


@given(
    st.lists(st.integers(1, 300), min_size=2, max_size=3),
    st.integers(1, 100_000),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 300),
)
@settings(deadline=None, max_examples=60)
def test_blocks_cover_each_item_exactly_once(size: list[int], pixels: int, items: int, batch: int, unit: int) -> None:
    grid = make_grid(tuple(size), tile=48, halo=8, stride=8)
    blocks = cut_blocks(grid, items, pixels, batch, [unit] * len(size))
    counts = np.zeros((items, *size), np.uint8)
    places = [place for task in blocks.tasks() for place in task]
    for place in places:
        counts[place.item, *blocks.window(place)] += 1
    assert (counts == 1).all()
    assert len(places) == len(blocks)
    if batch == 1 and blocks.each > 1:  # a block is more than was asked for only where a tile is
        tile = 40**2 * 32 ** (len(size) - 2)
        assert all(blocks.block(place).pixels <= max(4 * pixels, 8 * tile) for place in places)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ((100_000, 100_000), (512, 512), "even"),  # thin blocks would decode a slide three times
        ((40_000, 40_000), (16, 40_000), "rows"),  # of strips, each block decodes whole ones
        ((40_000, 3_000), (256, 256), "rows"),  # no block is longer than the image
    ],
)
def test_blocks_have_the_shape_that_reads_least(size: tuple[int, int], unit: tuple[int, int], expected: str) -> None:
    grid = make_grid(size, tile=512, halo=96, stride=32)
    blocks = cut_blocks(grid, 1, 1 << 24, 1, unit)
    sides = [part.stop - part.start for part in blocks.window(list(blocks.of_item(0))[blocks.each // 2])]
    assert prod(sides) <= 1.2 * (1 << 24)
    if expected == "even":
        assert max(sides) < 1.5 * min(sides)
    else:
        assert sides[1] > 10_000 or sides[1] == size[1]
