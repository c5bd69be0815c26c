from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.grid import TileSpan, check_multiple, make_grid, round_up

Layout = tuple[int, int, int, int, int]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Height, width, tile, halo, stride."""
    stride = draw(st.sampled_from([1, 2, 8, 16, 32]))
    halo = draw(st.integers(0, 4)) * stride
    tile = 2 * halo + draw(st.integers(1, 6)) * stride
    return draw(st.integers(1, 40 * stride)), draw(st.integers(1, 9 * stride)), tile, halo, stride


def along_both(layout: Layout) -> list[tuple[int, int, tuple[TileSpan, ...]]]:
    """Length, window and segments along each axis."""
    height, width, tile, halo, stride = layout
    grid = make_grid(height, width, tile=tile, halo=halo, stride=stride)
    return [(height, grid.window[0], grid.rows), (width, grid.window[1], grid.columns)]


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_cores_cover_each_pixel_exactly_once_in_order(layout: Layout) -> None:
    for length, _, segments in along_both(layout):
        edges = [0, *(segment.core_stop for segment in segments)]
        assert [segment.core_start for segment in segments] == edges[:-1]
        assert edges[-1] == length
        assert all(segment.core_start < segment.core_stop for segment in segments)


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_windows_are_equal_aligned_and_inside_the_padded_image(layout: Layout) -> None:
    tile, stride = layout[2], layout[4]
    for length, window, segments in along_both(layout):
        assert window % stride == 0
        assert 0 < window <= max(tile, stride)
        for segment in segments:
            assert segment.start % stride == 0
            assert 0 <= segment.start <= segment.start + window <= round_up(length, stride)


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_every_core_has_a_full_halo_except_at_the_border(layout: Layout) -> None:
    halo, stride = layout[3], layout[4]
    for length, window, segments in along_both(layout):
        for segment in segments:
            assert segment.start <= segment.core_start
            assert segment.core_stop <= segment.start + window
            assert segment.start == 0 or segment.core_start - segment.start >= halo
            end = segment.start + window
            assert end == round_up(length, stride) or end - segment.core_stop >= halo


@settings(max_examples=100, deadline=None)
@given(layouts())
def test_iteration_goes_row_by_row(layout: Layout) -> None:
    height, width, tile, halo, stride = layout
    grid = make_grid(height, width, tile=tile, halo=halo, stride=stride)
    places = [(one.row.start, one.column.start) for one in grid]
    assert len(places) == len(grid)
    assert places == sorted(places)
    assert grid.rows[0].inner == grid.rows[0].kept  # the first window starts at the image's border


def test_one_pixel_is_one_window_of_a_stride() -> None:
    grid = make_grid(1, 1, tile=256, halo=64, stride=32)
    assert grid.window == (32, 32)
    assert [(one.row, one.column) for one in grid] == [(TileSpan(0, 0, 1), TileSpan(0, 0, 1))]


def test_an_image_slightly_larger_than_a_tile_costs_little_more_than_itself() -> None:
    grid = make_grid(520, 8, tile=512, halo=32, stride=8)
    assert len(grid) == 2
    assert grid.window[0] == 296  # (520 + 2 halos) / 2, rounded up


@pytest.mark.parametrize(
    ("size", "stride", "remedy"),
    [(100, 32, "Use 96 or 128."), (20, 32, "Use 32."), (0, 32, "Use 32."), (-64, 32, "Use 32.")],
)
def test_a_size_that_does_not_divide_names_the_nearest(size: int, stride: int, remedy: str) -> None:
    with pytest.raises(ConfigError, match=r"tile: .* is not divisible by the encoder's stride, 32") as caught:
        check_multiple("tile", size, stride)
    assert caught.value.remedy == remedy


@pytest.mark.parametrize(
    ("halo", "remedy"), [(20, "32"), (40, "32 or 64"), (-5, "multiple of the encoder's stride, 32")]
)
def test_an_impossible_halo_names_the_nearest(halo: int, remedy: str) -> None:
    with pytest.raises(ConfigError, match="halo") as caught:
        make_grid(100, 100, tile=256, halo=halo, stride=32)
    assert caught.value.remedy.endswith(f"{remedy}.")


def test_a_tile_without_a_core_names_the_smallest() -> None:
    with pytest.raises(ConfigError, match="no core left between two halos of 64") as caught:
        make_grid(100, 100, tile=128, halo=64, stride=32)
    assert "at least 160" in caught.value.remedy
