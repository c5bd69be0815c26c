"""The pixels that stand for a plane, and an image whose pixels without data are its background."""

import numpy as np
import pytest
from volumes import VolumeSource, volume

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.models import sampling
from unetkit.models.sampling import ValidSource, sample_pixels


def framed(size=96, frame=20, value=255, seed=0):
    pixels = np.random.default_rng(seed).integers(10, 90, (size, size), np.uint8)
    pixels[:frame] = pixels[:, :frame] = value
    return pixels


def test_a_frame_is_left_out_of_the_sample_and_read_as_background():
    pixels = framed()
    source = ValidSource(ArraySource(pixels, "YX"))
    np.testing.assert_array_equal(np.sort(sample_pixels(source, 0)[0]), np.sort(pixels[20:, 20:].ravel()))
    whole = slice(0, 96)
    read, holes = source.read_with_holes(0, (whole, whole))
    np.testing.assert_array_equal(holes, (np.arange(96) < 20)[:, None] | (np.arange(96) < 20))
    np.testing.assert_array_equal(read[0][~holes], pixels[~holes])
    assert len(np.unique(read[0][holes])) == 1
    assert read[0][holes][0] < 90
    for rows, columns in ((slice(3, 30), slice(50, 96)), (slice(40, 96), slice(40, 96))):
        part, empty = source.read_with_holes(0, (rows, columns))
        np.testing.assert_array_equal(part, read[:, rows, columns])
        assert (empty is None) == (not holes[rows, columns].any())


def test_each_plane_has_holes_of_its_own():
    stack = np.stack([framed(), framed(frame=0), framed(value=0)])
    source = ValidSource(ArraySource(stack, "ZYX"))
    assert [source.holes(plane) is not None for plane in range(3)] == [True, False, True]


def test_the_frame_of_a_large_plane_is_found_in_its_sample(monkeypatch):
    monkeypatch.setattr(sampling, "WHOLE_PLANE_PIXELS", 1000)
    monkeypatch.setattr(sampling, "SAMPLE_GRID", 4)
    monkeypatch.setattr(sampling, "SAMPLE_WINDOW", 8)
    pixels = framed()
    source = ValidSource(ArraySource(pixels, "YX"))
    assert sample_pixels(source, 0).max() < 90
    whole = slice(0, 96)
    np.testing.assert_array_equal(source.read_with_holes(0, (whole, whole))[1], pixels == 255)


def test_a_large_volume_is_sampled_in_windows_of_slices(monkeypatch):
    monkeypatch.setattr(sampling, "WHOLE_PLANE_PIXELS", 1000)
    monkeypatch.setattr(sampling, "SAMPLE_WINDOW", 8)
    monkeypatch.setattr(sampling, "SAMPLE_SLICES", 5)
    source = VolumeSource(np.arange(20 * 64 * 96).reshape(1, 1, 20, 64, 96))
    sample = sample_pixels(source, 0)
    assert sample.shape == (1, 5 * 4 * 4 * 8 * 8)
    assert (sample.min(), sample.max()) == (0, 20 * 64 * 96 - 1)
    assert len(np.unique(sample)) == sample.size
    assert all(depth.stop - depth.start == 1 for depth, _, _ in source.windows)
    assert len({depth.start for depth, _, _ in source.windows}) == 5


def test_a_small_volume_is_its_own_sample():
    pixels = volume(2, 3, 4, 5, 6)
    np.testing.assert_array_equal(sample_pixels(VolumeSource(pixels), 1), pixels[1].reshape(3, -1))


def test_images_without_holes_are_read_as_they_are():
    pixels = framed(frame=0)
    source = ValidSource(ArraySource(pixels, "YX"))
    whole = slice(0, 96)
    np.testing.assert_array_equal(source.read(0, (whole, whole))[0], pixels)
    np.testing.assert_array_equal(sample_pixels(source, 0), pixels.reshape(1, -1))


def test_pixels_that_are_not_finite_and_no_missing_part_are_an_error():
    pixels = framed(frame=0).astype(np.float32)
    pixels[5, 5] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        ValidSource(ArraySource(pixels, "YX")).holes(0)
    pixels[:10] = np.nan
    pixels[50, 50] = np.inf
    with pytest.raises(ImageError, match="NaN or infinite"):
        ValidSource(ArraySource(pixels, "YX")).holes(0)


def test_what_lies_around_a_volume_is_its_background():
    """A brain that was cut out: nothing inside is background, and each slab is normalised as the whole is."""
    brain = np.zeros((30, 60, 60), np.uint8)
    brain[4:, 12:50, 11:49] = np.random.default_rng(0).integers(150, 250, (26, 38, 38))
    for part in (brain, brain[6:20]):
        source = ValidSource(VolumeSource(part[None, None]))
        read, holes = source.read_with_holes(0, tuple(slice(0, length) for length in part.shape))
        np.testing.assert_array_equal(read[0], part)
        assert holes is None
        assert sample_pixels(source, 0).min() == 0
