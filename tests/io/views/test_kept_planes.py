from __future__ import annotations

from collections import Counter
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.io.base.arrays import ArraySource
from unetkit.io.views import kept_planes
from unetkit.io.views.kept_planes import KeptPlanes, keep_planes
from unetkit.io.views.neighbours import NeighbourSource

STACK = np.random.default_rng(0).integers(0, 2**16, (9, 2, 25, 31)).astype(np.uint16)


class Blocks(ArraySource):
    """A stack that notes in which of its blocks pixels were read."""

    def __init__(self, block=(4, 5)):
        super().__init__(STACK, "ZCYX")
        self.info = replace(self.info, block=block, compression="deflate")
        self.read_blocks = Counter()

    def read(self, item, window):
        rows, columns = (
            range(part.start // size, -(-part.stop // size)) for part, size in zip(window, self.info.block, strict=True)
        )
        self.read_blocks.update((item, row, column) for row in rows for column in columns)
        return super().read(item, window)


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch):
    monkeypatch.setattr(kept_planes, "CELL_SIZE", 6)


@pytest.mark.parametrize("room", [0, 10**9], ids=["in a file", "in memory"])
@given(st.lists(st.tuples(st.integers(0, 8), *[st.integers(0, 24)] * 2, *[st.integers(0, 30)] * 2), max_size=8))
def test_windows_are_those_of_the_image_in_any_order(room, places):
    source = KeptPlanes(Blocks(), 3, room)
    for item, a, b, c, d in places:
        window = slice(min(a, b), max(a, b) + 1), slice(min(c, d), max(c, d) + 1)
        np.testing.assert_array_equal(source.read(item, window), STACK[item][:, *window])
    source.close()


@pytest.mark.parametrize("room", [0, 10**9], ids=["in a file", "in memory"])
def test_each_block_is_decoded_once_when_planes_are_read_in_order_with_their_neighbours(room):
    blocks = Blocks()
    source = NeighbourSource(keep_planes(blocks, 5, room), 5, 2)
    for item in range(9):
        for top in range(0, 25, 7):
            for left in range(0, 31, 9):  # with a halo
                source.read(item, (slice(max(top - 3, 0), min(top + 10, 25)), slice(max(left - 3, 0), left + 9)))
    assert set(blocks.read_blocks.values()) == {1}
    assert len(blocks.read_blocks) == 9 * 7 * 7
    assert (source.info.scratch_bytes > 0) == (room == 0)


def test_a_plane_whose_file_decodes_it_whole_is_read_before_another_is(monkeypatch):
    monkeypatch.setattr(kept_planes, "WHOLE_BYTES", 100)
    order = []

    class Noted(Blocks):
        def read(self, item, window):
            order.append(item)
            return super().read(item, window)

    source = NeighbourSource(keep_planes(Noted((25, 31)), 3, 0), 3, 2)
    for item in range(9):
        for top in (0, 12):
            np.testing.assert_array_equal(
                source.read(item, (slice(top, top + 12), slice(0, 31)))[2:4], STACK[item, :, top : top + 12]
            )
    assert order == sorted(order)


def test_a_single_plane_and_what_is_read_without_decoding_are_not_kept():
    one = ArraySource(STACK[0], "CYX")
    assert keep_planes(one, 5, 0) is one
    plain = ArraySource(STACK, "ZCYX")
    assert keep_planes(plain, 5, 0) is plain


def test_several_threads_read_the_same_pixels():
    source, wrong = KeptPlanes(Blocks(), 3, 0), []

    def read(seed):
        for item in np.random.default_rng(seed).integers(0, 9, 40):
            if not np.array_equal(source.read(int(item), (slice(3, 20), slice(2, 30))), STACK[item, :, 3:20, 2:30]):
                wrong.append(item)

    threads = [Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
