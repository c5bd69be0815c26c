"""Results put back to another grid: against the distances of centres, and each pixel once, however windows are cut."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.space import Space
from unetkit.io.base.stored import Step
from unetkit.io.views import regrid
from unetkit.io.views.band_source import BandSource
from unetkit.io.views.region import RegionSource
from unetkit.io.views.regrid import RegridSource, make_regrid
from unetkit.io.views.rescale import RescaledSource
from unetkit.io.views.volume import VolumeSource

AXES = {2: "CYX", 3: "CZYX"}


def image_of(array, pixel=(1.0, 1.0, 1.0)):
    """An image of one item (C, ...), of as many axes as the pixel has sizes."""
    dims = array.ndim - 1
    source = ArraySource(array, AXES[dims])
    source.info = replace(source.info, pixel_size_um=tuple(pixel[-2:]))
    if dims == 2:
        return source
    source.info = replace(source.info, steps=(Step("Z", pixel[-3], "µm"),))
    return VolumeSource(source)


def whole_of(size):
    return tuple(slice(0, length) for length in size)


@st.composite
def grids(draw):
    """An image, the same at another pixel size, perhaps a region of it, and what leads back."""
    dims = draw(st.sampled_from([2, 3]))
    size = tuple(draw(st.integers(1, {2: 40, 3: 11}[dims])) for _ in range(dims))
    pixel = tuple(draw(st.sampled_from([0.3, 1.0, 2.5])) for _ in size)
    image = image_of(np.random.default_rng(draw(st.integers(0, 9))).random((2, *size)), pixel)
    whole = RescaledSource(image, tuple(draw(st.sampled_from([0.3, 0.7, 1.0, 2.5, 4.0])) for _ in size))
    if draw(st.booleans()):
        return image, whole, whole, None
    start = [draw(st.integers(0, length - 1)) for length in whole.info.size]
    count = [draw(st.integers(1, length - at)) for at, length in zip(start, whole.info.size, strict=True)]
    return image, whole, RegionSource(whole, (*start, *count)), (*start, *count)


def lead_back(image, whole, read, region):
    try:
        return make_regrid(whole.info, read.info, region, image.info)
    except ConfigError:  # the region lies between the centres
        return None


@settings(deadline=None, max_examples=100)
@given(grids())
def test_each_pixel_takes_the_one_whose_centre_is_nearest(case):
    image, whole, read, region = case
    back = lead_back(*case)
    start = (0,) * len(back.size) if back and region is None else region and region[: len(region) // 2]
    for number, (full, length) in enumerate(zip(image.info.size, whole.info.size, strict=True)):
        centres = (np.arange(full) + 0.5) / full
        inside = np.ones(full, bool)
        if region is not None:
            first, count = start[number], read.info.size[number]
            inside = (centres >= first / length - 1e-9) & (centres < (first + count) / length - 1e-9)
        if back is None:
            if not inside.any():
                return
            continue
        axis = back.axes[number]
        assert np.array_equal(np.flatnonzero(inside), np.arange(*axis.second))
        places = (np.arange(read.info.size[number]) + start[number] + 0.5) / length
        distances = np.abs(centres[inside][:, None] - places)
        taken = distances[np.arange(axis.length), axis.nearest]
        np.testing.assert_allclose(taken, distances.min(1), atol=1e-9)
    assert back is not None, "a region with centres along all axes is put back"


@settings(deadline=None, max_examples=60)
@given(grids(), st.data())
def test_windows_that_cover_one_grid_cover_the_other_once(case, data):
    read, back = case[2], lead_back(*case)
    if back is None:
        return
    pixels = (read.read(0, whole_of(read.info.size)) * 255).astype(np.uint8)
    edges = [
        [0, *sorted(data.draw(st.sets(st.integers(1, length - 1), max_size=3)) if length > 1 else []), length]
        for length in read.info.size
    ]
    windows = list(product(*([slice(*ends) for ends in pairwise(each)] for each in edges)))
    found, count = np.zeros((2, *back.size), np.uint8), np.zeros(back.size, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regrid, "PART_BYTES", data.draw(st.sampled_from([1, 30, 2**25])))
        bands = (pixels[(slice(None), *window)] for window in windows)
        for _, place, part in back.bands(((0, window) for window in windows), bands):
            found[(slice(None), *place)] = part
            count[place] += 1
    assert (count == 1).all()
    nearest = pixels[:, *np.ix_(*(axis.nearest for axis in back.axes))]
    np.testing.assert_array_equal(found, nearest)
    step = data.draw(st.integers(1, read.info.size[0]))
    rows = [pixels[:, top : top + step] for top in range(0, read.info.size[0], step)]
    np.testing.assert_array_equal(
        np.concatenate(list(back.rows([*rows, *rows], 2)), 1), np.concatenate([nearest] * 2, 1)
    )
    for by, axis in enumerate(back.axes):
        assert axis.covered(slice(0, 0)) == slice(0, 0), by


@settings(deadline=None, max_examples=60)
@given(grids(), st.data())
def test_any_window_of_what_is_interpolated_is_a_slice_of_the_whole_to_the_bit(case, data):
    read, back = case[2], lead_back(*case)
    if back is None:
        return
    pixels = read.read(0, whole_of(read.info.size)).astype(np.float32)
    middle = data.draw(st.integers(0, read.info.size[0]))
    others = whole_of(read.info.size)[1:]
    places = [(0, (part, *others)) for part in (slice(0, middle), slice(middle, None)) if len(pixels[0, part])]
    places = [(item, (slice(part.start, part.stop or read.info.size[0]), *rest)) for item, (part, *rest) in places]
    source = RegridSource(BandSource(read.info, places, [pixels[:, window[0]] for _, window in places]), back)
    assert source.info.size == back.size
    everything = source.read(0, whole_of(back.size))
    starts = [data.draw(st.integers(0, length - 1)) for length in back.size]
    window = tuple(
        slice(at, data.draw(st.integers(at + 1, length))) for at, length in zip(starts, back.size, strict=True)
    )
    np.testing.assert_array_equal(source.read(0, window), everything[(slice(None), *window)])
    assert everything.min() >= pixels.min() - 1e-5
    assert everything.max() <= pixels.max() + 1e-5


@pytest.mark.parametrize("size", [(7, 9), (4, 5, 6)])
def test_the_same_grid_changes_nothing(size):
    image = image_of(np.random.default_rng(0).random((1, *size)).astype(np.float32))
    back = make_regrid(image.info, image.info, None, image.info)
    pixels = image.read(0, whole_of(size))
    assert back.size == size
    assert back.covered(whole_of(size)) == whole_of(size)
    assert back.nearest(pixels, whole_of(size), whole_of(size)) is pixels
    np.testing.assert_array_equal(RegridSource(image, back).read(0, whole_of(size)), pixels)


def test_between_centres_values_are_linear():
    image = image_of(np.random.default_rng(0).random((1, 6, 8, 40)), (2.0, 1.0, 0.5))
    whole = RescaledSource(image, (2.0, 1.0, 2.0))
    back = make_regrid(whole.info, whole.info, None, image.info)
    assert back.pixel_size_um == (2.0, 1.0, 0.5)
    coarse = whole.read(0, whole_of(whole.info.size))[0]
    centres = (np.arange(40) + 0.5) / 4 - 0.5
    expected = np.apply_along_axis(lambda row: np.interp(centres, np.arange(10), row), 2, coarse)
    found = RegridSource(whole, back).read(0, whole_of(back.size))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_level_that_dropped_last_pixels_is_not_stretched():
    image = image_of(np.zeros((1, 8, 103), np.uint8), (1.0, 1.0))
    level = image_of(np.arange(200, dtype=np.uint8).reshape(1, 8, 25), (1.0, 4.0))  # of 103 pixels 3 are left
    back = make_regrid(level.info, level.info, None, image.info)
    assert back.size == (8, 103)
    nearest = back.axes[1].nearest
    np.testing.assert_array_equal(nearest, np.minimum(np.arange(103) // 4, 24))
    shown = RegridSource(level, back).read(0, (slice(0, 8), slice(95, 103)))[0]
    assert (shown[:, 4:] == shown[:, 4:5]).all()
    assert (RegridSource(level, back).read(0, (slice(0, 8), slice(102, 103)))[0] == shown[:, 7:]).all()


def test_a_region_is_put_back_to_its_own_pixels_of_the_image():
    affine = ((2.0, 0.0, 0.0, 5.0), (0.0, 2.0, 0.0, 0.0), (0.0, 0.0, 3.0, 1.0), (0.0, 0.0, 0.0, 1.0))
    image = image_of(np.zeros((1, 6, 20, 20), np.uint8), (3.0, 2.0, 2.0))
    image.info = replace(image.info, space=Space(affine))
    whole = RescaledSource(image, (3.0, 4.0, 4.0))
    region = RegionSource(whole, (2, 1, 0, 3, 4, 10))
    back = make_regrid(whole.info, region.info, (2, 1, 0, 3, 4, 10), image.info)
    assert back.region == (2, 2, 0, 3, 8, 20)
    assert [row[3] for row in back.space.affine] == [5.0, 4.0, 7.0, 1.0]
    assert back.space.affine[0][0] == 2.0
    flat = make_regrid(whole.info, RegionSource(whole, (1, 0, 4, 10)).info, (1, 0, 4, 10), image.info)
    assert flat.region == (0, 2, 0, 6, 8, 20)


def test_a_region_between_the_pixels_of_the_image_is_refused():
    image = image_of(np.zeros((1, 4, 4), np.uint8))
    whole = RescaledSource(image, 0.2)
    with pytest.raises(ConfigError, match="No pixel of array has its centre in the region 0,0,1,1"):
        make_regrid(whole.info, RegionSource(whole, (0, 0, 1, 1)).info, (0, 0, 1, 1), image.info)
    with pytest.raises(ImageError, match="does not say how large"):
        make_regrid(whole.info, whole.info, None, ArraySource(np.zeros((4, 4)), "YX").info)
