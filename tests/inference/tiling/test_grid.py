from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.grid import (
    TileGrid,
    TileSpan,
    check_multiple,
    make_grid,
    one_if_equal,
    per_axis,
    round_up,
)


@dataclass(frozen=True)
class Layout:
    """What a grid is made of: one number for each axis."""

    size: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    stride: tuple[int, ...]

    def grid(self) -> TileGrid:
        return make_grid(self.size, tile=self.tile, halo=self.halo, stride=self.stride)


@st.composite
def layouts(draw: st.DrawFn, strides: int = 40) -> Layout:
    """Layouts of 1 to 3 axes, each of at most so many strides."""
    axes = draw(st.integers(1, 3))
    stride = [draw(st.sampled_from([1, 2, 8, 16, 32])) for _ in range(axes)]
    halo = [draw(st.integers(0, 4)) * one for one in stride]
    tile = [2 * beside + draw(st.integers(1, 6)) * one for beside, one in zip(halo, stride, strict=True)]
    size = [draw(st.integers(1, strides * one)) for one in stride]
    return Layout(tuple(size), tuple(tile), tuple(halo), tuple(stride))


def along_each(layout: Layout) -> list[tuple[int, int, tuple[TileSpan, ...]]]:
    """Length, window and spans along each axis."""
    grid = layout.grid()
    return list(zip(layout.size, grid.window, grid.spans, strict=True))


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_cores_cover_each_pixel_of_an_axis_exactly_once_in_order(layout: Layout) -> None:
    for length, _, spans in along_each(layout):
        edges = [0, *(span.core_stop for span in spans)]
        assert [span.core_start for span in spans] == edges[:-1]
        assert edges[-1] == length
        assert all(span.core_start < span.core_stop for span in spans)


@settings(max_examples=60, deadline=None)
@given(layouts(strides=2))
def test_tiles_cover_each_pixel_exactly_once(layout: Layout) -> None:
    times = np.zeros(layout.size, np.uint8)
    for tile in layout.grid():
        assert times[tile.kept].size == tile.pixels
        times[tile.kept] += 1
    assert (times == 1).all()


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_windows_are_equal_aligned_and_inside_the_padded_image(layout: Layout) -> None:
    for (length, window, spans), tile, stride in zip(along_each(layout), layout.tile, layout.stride, strict=True):
        assert window % stride == 0
        assert 0 < window <= max(tile, stride)
        for span in spans:
            assert span.start % stride == 0
            assert 0 <= span.start <= span.start + window <= round_up(length, stride)


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_every_core_has_a_full_halo_except_at_the_border(layout: Layout) -> None:
    for (length, window, spans), halo, stride in zip(along_each(layout), layout.halo, layout.stride, strict=True):
        for span in spans:
            assert span.start <= span.core_start
            assert span.core_stop <= span.start + window
            assert span.start == 0 or span.core_start - span.start >= halo
            end = span.start + window
            assert end == round_up(length, stride) or end - span.core_stop >= halo


@settings(max_examples=100, deadline=None)
@given(layouts(strides=9))
def test_iteration_goes_band_by_band_the_last_axis_fastest(layout: Layout) -> None:
    grid = layout.grid()
    places = [tuple(span.start for span in tile.spans) for tile in grid]
    assert len(places) == len(grid)
    assert places == sorted(places)
    assert [tile for span in grid.bands for tile in grid.band(span)] == list(grid)
    first = next(iter(grid))
    assert first.inner == first.kept  # the first window starts at the image's border


def test_one_number_holds_for_all_axes() -> None:
    size = (100, 90, 70)
    same = make_grid(size, tile=(48,) * 3, halo=(8,) * 3, stride=(8,) * 3)
    assert make_grid(size, tile=48, halo=8, stride=8) == same
    assert make_grid(size, tile=(16, 48, 48), halo=(0, 8, 8), stride=(1, 8, 8)).spans[1:] == same.spans[1:]


def test_numbers_for_other_axes_are_refused() -> None:
    with pytest.raises(ConfigError, match="8, 8 are 2 numbers for 3 axes"):
        make_grid((10, 10, 10), tile=32, halo=(8, 8), stride=8)


def test_numbers_that_all_axes_have_in_common_are_one() -> None:
    for numbers in ((8,), (8, 8), (4, 8, 8)):
        assert per_axis(one_if_equal(numbers), len(numbers)) == numbers
    assert one_if_equal((8, 8)) == 8


def test_one_pixel_is_one_window_of_a_stride() -> None:
    grid = make_grid((1, 1), tile=256, halo=64, stride=32)
    assert grid.window == (32, 32)
    assert [tile.spans for tile in grid] == [(TileSpan(0, 0, 1), TileSpan(0, 0, 1))]


def test_an_image_slightly_larger_than_a_tile_costs_little_more_than_itself() -> None:
    grid = make_grid((520, 8), tile=512, halo=32, stride=8)
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
        make_grid((100, 100), tile=256, halo=halo, stride=32)
    assert caught.value.remedy.endswith(f"{remedy}.")


def test_a_tile_without_a_core_names_the_smallest() -> None:
    with pytest.raises(ConfigError, match="no core left between two halos of 64") as caught:
        make_grid((100, 100), tile=128, halo=64, stride=32)
    assert "at least 160" in caught.value.remedy


def test_one_axis_that_cannot_be_tiled_is_enough_for_an_error() -> None:
    with pytest.raises(ConfigError, match="tile: 6 is not divisible by the encoder's stride, 4"):
        make_grid((10, 100, 100), tile=(6, 64, 64), halo=(0, 16, 16), stride=(4, 16, 16))
