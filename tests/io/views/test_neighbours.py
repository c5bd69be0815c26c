from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.errors import ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile
from unetkit.io.views.neighbours import NeighbourSource

SIZES = {"T": 2, "Z": 4, "Q": 4, "C": 3, "Y": 5, "X": 6}


@given(
    st.sampled_from(["ZYX", "QYX", "TZYX", "ZTYX", "ZCYX", "TZYXC", "YX", "TYX"]),
    st.sampled_from([1, 3, 5, 7, 11]),
    st.integers(0, 7),
    st.data(),
)
def test_it_is_the_stack_shifted_along_z_with_its_ends_repeated(axes, planes, item, data):
    shape = [SIZES[axis] for axis in axes]
    stack = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    source = NeighbourSource(ArraySource(stack, axes), planes, 3)
    item %= source.info.planes
    depth = "Z" if "Z" in axes else "Q" if "Q" in axes else None
    shifted = []
    for by in range(-(planes // 2), planes // 2 + 1):
        moved = stack
        if depth is not None:
            along = axes.index(depth)
            moved = stack.take(np.clip(np.arange(shape[along]) + by, 0, shape[along] - 1), along)
        colours = ArraySource(moved, axes).read(item, (slice(0, 5), slice(0, 6)))
        shifted.append(np.broadcast_to(colours, (3, 5, 6)))
    expected = np.concatenate(shifted)
    top, left = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 5))
    window = slice(top, data.draw(st.integers(top + 1, 5))), slice(left, data.draw(st.integers(left + 1, 6)))
    assert source.info.channels == len(expected) == planes * 3
    np.testing.assert_array_equal(source.read(item, window), expected[:, *window])


def test_a_plane_is_read_once_though_it_is_repeated():
    read = []

    class Counted(ArraySource):
        def read(self, item, window):
            read.append(item)
            return super().read(item, window)

    NeighbourSource(Counted(np.zeros((4, 5, 6)), "ZYX"), 5, 1).read(0, (slice(0, 5), slice(0, 6)))
    assert read == [0, 1, 2]


def test_what_cannot_be_decoded_in_a_plane_counts_for_all_planes_that_see_it():
    source = ArraySource(np.zeros((6, 5, 6)), "ZYX")
    source.bad_tiles.append(BadTile(1, (0, 0), (2, 3)))
    seen = NeighbourSource(source, 5, 1)
    assert {tile.item for tile in seen.bad_tiles} == {0, 1, 2, 3}
    assert {(tile.start, tile.size) for tile in seen.bad_tiles} == {((0, 0), (2, 3))}


def test_planes_of_other_channels_are_an_error():
    source = NeighbourSource(ArraySource(np.zeros((4, 3, 5, 6)), "ZCYX"), 3, 1)
    with pytest.raises(ImageError, match="has 3 channels, but the model takes 1"):
        source.read(0, (slice(0, 5), slice(0, 6)))
