"""Bands and their halves: against whole arrays, however the rows are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.writing import rechunk
from unetkit.io.writing.rechunk import cut_bands, cut_blocks, halve, level_factors, level_sizes


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


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 21), st.integers(1, 13), st.integers(1, 13)),
    depth=st.sampled_from([None, 0.4, 1.0, 3.0, 40.0]),
    dtype=st.sampled_from(["uint8", "float32"]),
    data=st.data(),
)
def test_bands_and_blocks_of_volumes_hold_all_voxels_of_all_levels(size, depth, dtype, data):
    voxel = None if depth is None else (depth, 1.0, 1.0)
    spec = OutputSpec(size, np.dtype(dtype), 2, "T", (2,), voxel, pyramid=True)
    pixels = (np.random.default_rng(0).random((2, 2, *size)) * 255).astype(dtype)
    step, band = data.draw(st.integers(1, size[0])), data.draw(st.sampled_from([2, 4, 32]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rechunk, "SMALLEST_LEVEL", 3)
        rows = (each[:, top : top + step] for each in pixels for top in range(0, size[0], step))
        bands = list(cut_bands(spec, rows, band))
        levels = collect(bands, spec, band)
        factors = level_factors(spec)
        assert len(levels) == len(factors) + 1
    for level, by in zip(levels, [*factors, (1, 1, 1)], strict=True):
        np.testing.assert_array_equal(level, pixels)
        pixels = reference_halves(pixels, by)
    whole = levels[0] * 0
    for block in cut_blocks((one for one in bands if one.level == 0), (5, 2)):
        assert block.pixels.shape[1] <= 5
        assert block.pixels.shape[2] <= 2
        whole[(block.band.plane, block.channel, *block.window)] += block.pixels
    np.testing.assert_array_equal(whole, levels[0])


def reference_halves(pixels, factors):
    """Voxel by voxel: the first of those that become one, or their mean, the last one counted twice at an odd end."""
    size = [-(-length // by) for length, by in zip(pixels.shape[2:], factors, strict=True)]
    found = np.empty((*pixels.shape[:2], *size), pixels.dtype)
    for place in np.ndindex(*size):
        parts = [np.arange(at * by, (at + 1) * by) for at, by in zip(place, factors, strict=True)]
        parts = [np.minimum(part, length - 1) for part, length in zip(parts, pixels.shape[2:], strict=True)]
        cube = pixels[:, :, *np.ix_(*parts)]
        # Added up along x, then y, then z, so that the bits are the same.
        mean = np.add.reduce(np.add.reduce(np.add.reduce(cube, -1), -1), -1) / np.prod(factors, dtype=pixels.dtype)
        found[:, :, *place] = mean if pixels.dtype.kind == "f" else cube[:, :, 0, 0, 0]
    return found


def test_depth_is_halved_once_a_voxel_is_as_wide_as_it_is_deep():
    def factors(z, y=1.0, x=1.0, size=(5000, 5000, 5000)):
        return level_factors(OutputSpec(size, np.dtype("uint8"), pixel_size_um=(z, y, x), pyramid=True))

    assert factors(1.0) == [(2, 2, 2)] * 4
    assert factors(0.2) == [(2, 2, 2)] * 4
    assert factors(4.0)[:4] == [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    assert factors(50.0, 4.0, 4.0)[:5] == [(1, 2, 2)] * 4 + [(2, 2, 2)]  # 50 x 64 is nearer to a cube than 100 x 64
    unknown = level_factors(OutputSpec((2000, 2000, 2000), np.dtype("uint8"), pyramid=True))
    assert unknown == [(2, 2, 2)] * 2


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
