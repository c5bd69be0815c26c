"""Which pixels hold no data: NaN, known values, and even frames; and what is none of them."""

import numpy as np
import pytest

from unetkit.models.nodata import find_nodata, mode, typical_background

SIZE = 64
Y, X = np.mgrid[:SIZE, :SIZE]
DISC = (Y - 32) ** 2 + (X - 32) ** 2 < 30**2
DIAMOND = abs(Y - 32) + abs(X - 32) < 40
STEPS = ~(((Y < 20) & (X < 32)) | ((Y > 50) & (X > 32)))
STRAIGHT = (Y >= 10) & (Y < 60) & (X >= 3)


def objects(background=20, noise=3.0, channels=1):
    """Return bright discs on a noisy background, (channels, SIZE, SIZE) uint8."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(background, noise, (channels, SIZE, SIZE))
    for y, x in ((16, 20), (40, 44), (44, 20)):
        pixels[:, (Y - y) ** 2 + (X - x) ** 2 < 36] += 120
    return pixels.clip(0, 255).astype(np.uint8)


def find(pixels, stated=None):
    lines = [np.arange(size) for size in pixels.shape[1:]]
    found = find_nodata(pixels, lines, stated)
    return None if found is None else found.mask(pixels, lines)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("picture", [DISC, DIAMOND, STEPS, STRAIGHT])
def test_an_even_frame_beyond_the_picture_holds_no_data_whatever_its_shape(picture, value, channels):
    pixels = objects(60, channels=channels)
    pixels[:, ~picture] = value
    np.testing.assert_array_equal(find(pixels), ~picture)


@pytest.mark.parametrize("value", [20, 140])
def test_a_straight_frame_may_have_a_value_of_the_picture(value):
    pixels = objects(noise=30)
    pixels[:, ~STRAIGHT] = value
    np.testing.assert_array_equal(find(pixels), ~STRAIGHT)


def test_a_bright_straight_frame_is_told_from_overexposed_objects():
    pixels = objects()
    pixels[pixels > 100] = 255
    pixels[:, ~STRAIGHT] = 255
    np.testing.assert_array_equal(find(pixels), ~STRAIGHT)


@pytest.mark.parametrize("background", [0, 255])
def test_the_background_between_objects_is_no_frame(background):
    pixels = np.full((1, SIZE, SIZE), background, np.uint8)
    full = objects()
    pixels[full > 100] = full[full > 100]
    assert find(pixels) is None


def test_an_overexposed_object_in_a_corner_is_no_frame():
    pixels = objects()
    pixels[:, :9, :9] = 255
    assert find(pixels) is None
    pixels[:, :20, :20] = 255  # a missing tile
    np.testing.assert_array_equal(find(pixels), (pixels == 255)[0])


def test_blurred_objects_on_black_are_no_picture_in_a_frame():
    pixels = (200 * np.exp(-((Y - 32) ** 2 + (X - 32) ** 2) / 300.0)).astype(np.uint8)[None]
    assert pixels[0, 0, 0] == 0
    assert find(pixels) is None


@pytest.mark.parametrize("pixels", [objects(), np.zeros((1, 8, 8), np.uint8), np.where(STRAIGHT, 255, 0)[None]])
def test_plain_pictures_even_ones_and_those_of_two_values_have_no_holes(pixels):
    assert find(pixels) is None


@pytest.mark.parametrize("value", [-9999, -32768, np.float32(-3.4028235e38), 1e20])
def test_known_values_far_from_all_others_hold_no_data_wherever_they_are(value):
    pixels = objects().astype(np.float32)
    pixels[:, 20:30, 5:50] = value
    np.testing.assert_array_equal(find(pixels), (pixels == np.float32(value))[0])


def test_a_known_value_among_the_others_is_data():
    pixels = np.random.default_rng(0).normal(-999, 500, (1, SIZE, SIZE)).round().astype(np.int16)
    pixels[0, :5, :5] = -32768 if pixels.min() == -32768 else pixels.min()
    assert find(pixels) is None


def test_a_large_part_of_nan_holds_no_data_and_a_lone_nan_is_left():
    pixels = objects().astype(np.float32)
    pixels[:, ~STEPS] = np.nan
    np.testing.assert_array_equal(find(pixels), ~STEPS)
    lone = objects().astype(np.float32)
    lone[0, 5, 5] = np.nan
    assert find(lone) is None
    assert find(np.full((1, SIZE, SIZE), np.nan, np.float32)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_the_value_that_a_file_names_holds_no_data(dtype):
    pixels = objects(40).astype(dtype)
    pixels[:, 30:33, 10:50] = 7
    np.testing.assert_array_equal(find(pixels, 7.0), (pixels == 7)[0])
    assert find(objects(40), -9999.0) is None  # which uint8 cannot hold


def test_the_remark_names_the_share_and_the_value():
    pixels = objects().astype(np.float32)
    pixels[:, : SIZE // 4] = -9999
    text = find_nodata(pixels, [np.arange(SIZE)] * 2).describe()
    assert text.startswith("25 % of its pixels are -9999")
    assert "background in the result" in text


def test_volumes_have_no_frames_but_values_that_stand_for_no_data():
    noise = np.random.default_rng(0).integers(30, 90, (1, 20, 24, 28)).astype(np.int16)
    framed = noise.copy()
    framed[:, :4] = framed[..., -5:] = 200
    assert find(framed) is None
    framed[framed == 200] = -9999
    np.testing.assert_array_equal(find(framed), framed[0] == -9999)


def test_the_background_is_the_most_frequent_value():
    pixels = objects()[0]
    assert abs(float(typical_background(pixels.reshape(1, -1))[0]) - 20) <= 3
    assert mode(np.array([5, 5, 5, 9])) == 5
