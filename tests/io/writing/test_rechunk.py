"""Bands and their halves: against whole arrays, however the rows are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.writing.rechunk import cut_bands, halve, level_sizes


def collect(bands, spec, height):
    """Put bands together again, checking that each level comes from top to bottom, plane after plane."""
    levels = [np.zeros((spec.planes, spec.channels, *size), spec.dtype) for size in level_sizes(spec)]
    places = [(0, 0)] * len(levels)
    for band in bands:
        whole = levels[band.level].shape[2]
        assert (band.plane, band.top) == places[band.level]
        stop = band.top + band.pixels.shape[1]
        assert stop == min(band.top + height, whole)
        levels[band.level][band.plane, :, band.top : stop] = band.pixels
        places[band.level] = (band.plane, stop) if stop < whole else (band.plane + 1, 0)
    assert places == [(spec.planes, 0)] * len(levels)
    return levels


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 1400),
    width=st.sampled_from([1, 3, 514]),
    planes=st.integers(1, 2),
    band=st.sampled_from([2, 64, 512]),
    pyramid=st.booleans(),
    dtype=st.sampled_from(["uint8", "float32"]),
    data=st.data(),
)
def test_bands_of_all_levels_hold_all_rows(height, width, planes, band, pyramid, dtype, data):
    spec = OutputSpec((height, width), np.dtype(dtype), 2, "Z", (planes,), pyramid=pyramid)
    pixels = (np.random.default_rng(height).random((planes, 2, height, width)) * 255).astype(dtype)
    step = data.draw(st.integers(1, height))
    rows = (plane[:, top : top + step] for plane in pixels for top in range(0, height, step))
    levels = collect(cut_bands(spec, rows, band), spec, band)
    for level in levels:
        np.testing.assert_array_equal(level, pixels)
        pixels = halve(pixels)


def test_halves_are_corners_or_means():
    labels = np.arange(15).reshape(3, 5)
    np.testing.assert_array_equal(halve(labels), [[0, 2, 4], [10, 12, 14]])
    np.testing.assert_array_equal(halve(labels.astype(np.float32)), [[3, 5, 6.5], [10.5, 12.5, 14]])
    assert halve(labels.astype(np.float16)).dtype == np.float16
    np.testing.assert_array_equal(halve(np.full((1, 1), 0.3, np.float32)), np.full((1, 1), 0.3, np.float32))


def test_masks_keep_their_share_of_foreground():
    mask = (np.random.default_rng(0).random((1, 1024, 1024)) < 0.2).astype(np.uint8) * 255
    for _ in range(3):
        mask = halve(mask)
    assert (mask > 0).mean() == pytest.approx(0.2, abs=0.02)


def test_there_is_one_level_unless_a_pyramid_is_wanted():
    spec = OutputSpec((100_000, 3), np.dtype("uint8"))
    assert level_sizes(spec) == [(100_000, 3)]
    sizes = level_sizes(OutputSpec((100_000, 3), np.dtype("uint8"), pyramid=True))
    assert sizes[:3] == [(100_000, 3), (50_000, 2), (25_000, 1)]
    assert sizes[-1] == (391, 1)


@pytest.mark.parametrize("height", [0, 100, 1500])
def test_too_few_or_too_many_rows_are_a_fault(height):
    spec = OutputSpec((1000, 20), np.dtype("uint8"))
    with pytest.raises(ValueError, match="rows"):
        list(cut_bands(spec, (np.zeros((1, 1, 20), np.uint8) for _ in range(height)), 512))
