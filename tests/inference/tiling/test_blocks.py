from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.inference.tiling import blocks
from unetkit.inference.tiling.blocks import cut_item, largest_cross_section
from unetkit.inference.tiling.grid import make_grid


def test_a_plane_is_one_block():
    grid = make_grid((5000, 100_000), tile=1024, halo=64, stride=32)
    assert cut_item(grid, 3, 1) == [grid.whole(3)]
    assert largest_cross_section(grid, 1) == 100_000


@given(
    size=st.tuples(*[st.integers(1, 90)] * 3),
    tile=st.sampled_from([(16, 24, 24), (12, 16, 32)]),
    band=st.sampled_from([1, 300, 5_000, 10**9]),
    value=st.integers(1, 9),
)
def test_blocks_of_a_volume_cover_it_once_and_are_small(size, tile, band, value):
    grid = make_grid(size, tile=tile, halo=(4, 4, 4), stride=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BAND_BYTES", band)
        found = cut_item(grid, 0, value)
        section = largest_cross_section(grid, value)
    seen = np.zeros(size, int)
    for block in found:
        assert len(block.bands) == 1
        seen[block.window] += 1
        _, *others = block.window
        depth = max(span.core_stop - span.core_start for span in grid.bands)
        across = prod(part.stop - part.start for part in others)
        assert across <= section
        assert across * depth * value <= band or prod(map(len, block.spans)) == 1
    assert (seen == 1).all()
    starts = [block.window[0].start for block in found]
    assert starts == sorted(starts)


def test_a_volume_that_fits_has_bands_as_wide_as_itself():
    grid = make_grid((200, 100, 100), tile=64, halo=8, stride=8)
    assert [block.window[1:] for block in cut_item(grid, 0, 1)] == [(slice(0, 100), slice(0, 100))] * len(grid.bands)
