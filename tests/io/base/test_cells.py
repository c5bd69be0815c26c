"""Cells of chunks and blocks, against the numbers of chunk and block of each pixel."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.io.base.cells import Cells

LENGTHS = {1: 40, 2: 14, 3: 6}
"""Longest axis of an item, by its number of axes."""


@st.composite
def items(draw):
    """Size, cuts and chunk of an item."""
    axes = draw(st.integers(1, 3))
    size = [draw(st.integers(1, LENGTHS[axes])) for _ in range(axes)]
    cuts = [[0, *sorted(draw(st.sets(st.integers(1, length - 1))))] if length > 1 else [0] for length in size]
    return size, cuts, [draw(st.integers(1, length)) for length in size]


@settings(deadline=None, max_examples=60)
@given(items())
def test_cells_are_whole_chunks_that_tile_the_item_and_name_their_blocks(item):
    size, cuts, chunk = item
    cells = Cells(size, cuts, chunk)
    numbers = list(cells.block_indices())
    assert len(numbers) == len(set(numbers)) == cells.blocks
    owner = np.full(size, -1)  # the block of each pixel
    parts = np.zeros(size, int)  # how often a pixel is in a direct window or a part of a shared cell
    direct = np.zeros(size, int)
    members = defaultdict(list)
    for number, block in enumerate(numbers):
        window = cells.block_window(block)
        assert (owner[window] == -1).all()
        owner[window] = number
        if (own := cells.direct(block)) is not None:
            assert (owner[own] == number).all()
            direct[own] += 1
        for cell, part in cells.shared_parts(block):
            assert (owner[part] == number).all()
            parts[part] += 1
            members[cell].append(block)
    assert (owner >= 0).all()
    assert (parts + direct == 1).all()

    shared = np.zeros(size, int)
    assert sorted(members) == list(cells.shared_cells())
    for cell, blocks in members.items():
        window = cells.cell_window(cell)
        shared[window] += 1
        assert blocks == cells.contributors(cell) == [numbers[number] for number in np.unique(owner[window])]
        assert len(blocks) > 1
    assert (shared + direct == 1).all()
    for corner in product(*(range(0, length, step) for length, step in zip(size, chunk, strict=True))):
        window = tuple(slice(at, at + step) for at, step in zip(corner, chunk, strict=True))
        alone = owner[window].min() == owner[window].max()
        assert (direct[window] == alone).all()


def test_two_blocks_as_wide_as_the_image_share_one_row_of_chunks():
    cells = Cells((5000, 100_000), ([0, 2500], [0]), (1024, 1024))
    (cell,) = cells.shared_cells()
    assert cells.cell_window(cell) == (slice(2048, 3072), slice(0, 100_000))
    assert cells.contributors(cell) == [(0, 0), (1, 0)]
    assert cells.direct((0, 0)) == (slice(0, 2048), slice(0, 100_000))
    assert cells.direct((1, 0)) == (slice(3072, 5000), slice(0, 100_000))
    assert cells.shared_parts((1, 0)) == [(cell, (slice(2500, 3072), slice(0, 100_000)))]


def test_blocks_smaller_than_a_chunk_share_it():
    cells = Cells((100,), ([0, 30, 60, 90],), (64,))
    assert [cells.contributors(cell) for cell in cells.shared_cells()] == [[(0,), (1,), (2,)], [(2,), (3,)]]
    assert not any(cells.direct(block) for block in cells.block_indices())


def test_many_blocks_are_looked_up_and_not_searched_for():
    cells = Cells((10**8, 10**8), (range(0, 10**8, 10_000), range(0, 10**8, 10_000)), (1024, 1024))
    assert cells.blocks == 10**8
    parts = [cells.shared_parts((5000, i)) for i in range(100)]
    assert all(len(part) >= 5 for part in parts)


@pytest.mark.parametrize("cuts", [[], [5], [0, 5, 5], [0, 20]])
def test_cuts_that_do_not_cover_the_item_are_a_fault(cuts):
    with pytest.raises(ValueError, match="do not cover 20 pixels"):
        Cells((20,), (cuts,), (8,))
