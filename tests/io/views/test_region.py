"""Regions and other pixel sizes: any window is the same slice of the whole, to the bit."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.space import Space
from unetkit.io.base.stored import Step
from unetkit.io.views import rescale
from unetkit.io.views.region import RegionSource
from unetkit.io.views.rescale import RescaledSource
from unetkit.io.views.volume import VolumeSource


def source_of(array, axes="CYX", pixel_size_um=(1.0, 1.0), bad_tiles=()):
    """An image of planes, or of volumes where the pixel has three sizes."""
    source = ArraySource(array, axes)
    source.info = replace(source.info, pixel_size_um=pixel_size_um and pixel_size_um[-2:])
    source.bad_tiles = list(bad_tiles)
    if len(pixel_size_um) == 2:
        return source
    source.info = replace(source.info, steps=(Step("Z", pixel_size_um[0], "µm"),))
    return VolumeSource(source)


def whole(source):
    return tuple(slice(0, length) for length in source.info.size)


def random_pixels(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def read_all(source, plane=0):
    return source.read(plane, whole(source))


def test_a_region_is_an_image_of_its_own():
    array = random_pixels((2, 3, 40, 50), np.uint16)
    region = RegionSource(source_of(array, "ZCYX"), (5, 7, 20, 30))
    assert (region.info.height, region.info.width, region.info.planes) == (20, 30, 2)
    assert region.info.shape == (2, 3, 20, 30)
    np.testing.assert_array_equal(read_all(region, 1), array[1, :, 5:25, 7:37])
    np.testing.assert_array_equal(region.read(0, (slice(2, 4), slice(0, 30))), array[0, :, 7:9, 7:37])


def test_a_region_of_a_stack_or_a_volume_may_have_a_depth():
    array = random_pixels((2, 9, 3, 40, 50), np.uint16)
    planes = RegionSource(source_of(array, "TZCYX"), (4, 5, 7, 3, 20, 30))
    assert (planes.info.plane_shape, planes.info.size, planes.info.shape) == ((2, 3), (20, 30), (2, 3, 3, 20, 30))
    for item, (time, depth) in enumerate(np.ndindex(2, 3)):
        np.testing.assert_array_equal(read_all(planes, item), array[time, 4 + depth, :, 5:25, 7:37])
    volumes = RegionSource(source_of(array, "TZCYX", (1.0, 1.0, 1.0)), (4, 5, 7, 3, 20, 30))
    assert (volumes.info.plane_shape, volumes.info.size, volumes.info.shape) == ((2,), (3, 20, 30), (2, 3, 3, 20, 30))
    np.testing.assert_array_equal(read_all(volumes, 1), array[1, 4:7, :, 5:25, 7:37].swapaxes(0, 1))
    flat = RegionSource(source_of(array, "TZCYX", (1.0, 1.0, 1.0)), (5, 7, 20, 30))
    assert flat.info.size == (9, 20, 30)
    np.testing.assert_array_equal(read_all(flat), array[0, :, :, 5:25, 7:37].swapaxes(0, 1))


def test_a_depth_beyond_the_stack_or_without_one_is_refused():
    with pytest.raises(ImageError, match="which is 9 x 40 x 50 pixels"):
        RegionSource(source_of(np.zeros((9, 40, 50), np.uint8), "ZYX"), (7, 0, 0, 3, 10, 10))
    with pytest.raises(ImageError, match="has a z, and the image has one plane"):
        RegionSource(source_of(np.zeros((40, 50), np.uint8), "YX"), (0, 0, 0, 3, 10, 10))


def test_bad_tiles_of_planes_that_are_left_out_are_left_out():
    bad = [BadTile(item, (0, 0), (10, 10)) for item in range(6)]
    region = RegionSource(source_of(np.zeros((6, 40, 50)), "ZYX", bad_tiles=bad), (2, 5, 5, 2, 20, 30))
    assert region.bad_tiles == [BadTile(item, (0, 0), (5, 5)) for item in range(2)]


@pytest.mark.parametrize("region", [(0, 0, 41, 10), (0, 45, 10, 6), (40, 0, 1, 1), (100, 100, 5, 5)])
def test_a_region_beyond_the_image_names_its_size(region):
    with pytest.raises(ImageError, match=r"40 x 50 pixels"):
        RegionSource(source_of(np.zeros((1, 40, 50), np.uint8)), region)


def test_bad_tiles_are_those_of_the_region_in_its_own_pixels():
    bad = [BadTile(0, (0, 0), (10, 10)), BadTile(1, (0, 40), (30, 10)), BadTile(0, (30, 0), (10, 10))]
    region = RegionSource(source_of(np.zeros((2, 40, 50)), "ZYX", bad_tiles=bad), (5, 8, 20, 40))
    assert region.bad_tiles == [BadTile(0, (0, 0), (5, 2)), BadTile(1, (0, 32), (20, 8))]


@st.composite
def windows(draw, size):
    starts = [draw(st.integers(0, length - 1)) for length in size]
    return tuple(slice(at, draw(st.integers(at + 1, length))) for at, length in zip(starts, size, strict=True))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_window_is_a_slice_of_the_whole_to_the_bit(data):
    dims = data.draw(st.sampled_from([2, 3]))
    size = [data.draw(st.integers(1, {2: 60, 3: 14}[dims])) for _ in range(dims)]
    dtype = data.draw(st.sampled_from(["uint8", "int16", "uint16", "uint32", "float16", "float32", "float64"]))
    sizes = st.floats(0.1, 10) if dims == 2 else st.floats(0.4, 3)
    array = random_pixels((2, *size), dtype, data.draw(st.integers(0, 9)))
    stored = tuple(data.draw(sizes) for _ in size)
    wanted = data.draw(st.one_of(sizes, st.tuples(*(sizes for _ in size))))
    source = RescaledSource(source_of(array, "CZYX" if dims == 3 else "CYX", stored), wanted)
    everything = read_all(source)
    assert everything.dtype == array.dtype
    assert everything.shape == (2, *source.info.size)
    window = data.draw(windows(source.info.size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rescale, "PART_BYTES", data.draw(st.sampled_from([1, 100, 2**25])))
        np.testing.assert_array_equal(source.read(0, window), everything[(slice(None), *window)])


def test_reading_in_parts_changes_nothing(monkeypatch):
    array = random_pixels((3, 97, 61), np.float32)
    source = RescaledSource(source_of(array), 2.7)
    whole = read_all(source)
    monkeypatch.setattr(rescale, "PART_BYTES", 1)
    np.testing.assert_array_equal(read_all(source), whole)


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_shrinking_by_whole_numbers_is_the_mean_of_the_pixels(factor):
    array = random_pixels((2, 20 * factor, 13 * factor), np.float64)
    source = RescaledSource(source_of(array, pixel_size_um=(0.25, 0.25)), 0.25 * factor)
    expected = array.reshape(2, 20, factor, 13, factor).mean((2, 4))
    np.testing.assert_allclose(read_all(source), expected, rtol=1e-12, atol=1e-12)
    assert source.info.pixel_size_um == pytest.approx((0.25 * factor,) * 2)


def test_a_volume_shrinks_to_the_means_of_its_voxels_and_grows_linearly_between_their_centres():
    array = random_pixels((1, 6, 8, 10), np.float64)
    source = RescaledSource(source_of(array, "CZYX", (1.0, 0.5, 0.5)), (3.0, 1.0, 0.25))
    assert source.info.size == (2, 4, 20)
    assert source.info.pixel_size_um == (3.0, 1.0, 0.25)
    assert source.info.shape == (1, 2, 4, 20)
    means = array[0].reshape(2, 3, 4, 2, 10).mean((1, 3))
    centres = (np.arange(20) + 0.5) / 2 - 0.5
    expected = np.apply_along_axis(lambda row: np.interp(centres, np.arange(10), row), 2, means)
    np.testing.assert_allclose(read_all(source)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(1.0, 2.0), (1.0, 2.0, 3.0)])
def test_sizes_for_other_axes_are_refused(sizes):
    array = np.zeros((4, 4, 4), np.uint8)
    source = source_of(array, "ZYX", (1.0,) * (5 - len(sizes)))
    with pytest.raises(ConfigError, match=f"{len(sizes)} numbers, and (planes|volumes) have"):
        RescaledSource(source, sizes)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_cut_or_resampled_stays_at_its_place_in_space(data):
    size = data.draw(st.tuples(*(st.integers(2, 9) for _ in range(3))))
    affine = np.vstack([np.random.default_rng(0).normal(size=(3, 4)), [0, 0, 0, 1]])
    source = source_of(np.zeros(size, np.uint8), "ZYX", (1.0, 1.0, 1.0))
    source.info = replace(source.info, space=Space(tuple(map(tuple, affine.tolist()))))
    region = data.draw(windows(size))
    start, length = [part.start for part in region], [part.stop - part.start for part in region]
    cut = RegionSource(source, (*start, *length))
    scaled = RescaledSource(cut, data.draw(st.floats(0.3, 4)))
    first, last = np.full(3, -0.5), np.array(scaled.info.size) - 0.5  # the outer corners of the voxels stay
    for here, there in ((first, np.array(start) - 0.5), (last, np.array(start) + length - 0.5)):
        moved = np.array(scaled.info.space.affine) @ [*here[::-1], 1]
        np.testing.assert_allclose(moved, affine @ [*there[::-1], 1], atol=1e-9)
    assert cut.info.space.code == scaled.info.space.code == 1


@pytest.mark.parametrize("pixel_size", [1.37, 2.5, 6.1])
def test_shrinking_is_what_opencv_calls_area(pixel_size):
    array = random_pixels((1, 200, 300), np.float32)
    source = RescaledSource(source_of(array), pixel_size)
    expected = cv2.resize(array[0], (source.info.width, source.info.height), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(read_all(source)[0], expected, atol=1e-5)


@pytest.mark.parametrize("pixel_size", [0.9, 0.5, 0.23])
def test_enlarging_is_what_opencv_calls_linear(pixel_size):
    array = random_pixels((1, 40, 30), np.float32)
    source = RescaledSource(source_of(array), pixel_size)
    expected = cv2.resize(array[0], (source.info.width, source.info.height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(read_all(source)[0], expected, atol=1e-5)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_an_even_image_stays_even_and_its_edges_as_bright(value):
    for pixel_size in (0.3, 0.99, 1.01, 3.3, 100.0):
        source = RescaledSource(source_of(np.full((3, 50, 40), value, np.uint8)), pixel_size)
        assert (read_all(source) == value).all()


def test_the_same_pixel_size_changes_nothing():
    array = random_pixels((1, 31, 17), np.uint32)
    np.testing.assert_array_equal(read_all(RescaledSource(source_of(array), 1.0)), array)


def test_the_two_axes_have_scales_of_their_own():
    source = RescaledSource(source_of(np.zeros((1, 100, 100), np.uint8), pixel_size_um=(0.5, 2.0)), 1.0)
    assert (source.info.height, source.info.width) == (50, 200)
    assert source.info.pixel_size_um == pytest.approx((1.0, 1.0))


def test_without_a_pixel_size_nothing_can_be_resampled():
    with pytest.raises(ImageError, match="does not say how large its pixels are"):
        RescaledSource(ArraySource(np.zeros((8, 8)), "YX"), 0.5)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_bad_tiles_hold_every_pixel_that_has_a_share_in_them(data):
    size = data.draw(st.integers(1, 50))
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    array = np.ones((1, size, size))
    array[:, start:stop, start:stop] = 1000
    source = source_of(array, bad_tiles=[BadTile(0, (start, start), (stop - start, stop - start))])
    scaled = RescaledSource(source, data.draw(st.floats(0.1, 10)))
    (tile,) = scaled.bad_tiles
    outside = read_all(scaled)[0].copy()
    outside[tile.window] = 1
    np.testing.assert_allclose(outside, 1)
    assert 0 <= tile.window[0].start < tile.window[0].stop <= scaled.info.height
