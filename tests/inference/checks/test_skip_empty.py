from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from volumes import VolumeSource, volume

from unetkit.inference.checks.skip_empty import Background, draw_skipped, measure_background
from unetkit.inference.tiling.grid import make_grid
from unetkit.io.base.arrays import ArraySource

RNG_SEED = 4
NOISE = 3.0
"""Standard deviation of the noise, of a dark background at 100 with cells at 160."""


def slide(dtype: Any = np.uint16) -> NDArray[Any]:
    """A dark noisy background whose upper left quarter is full of cells."""
    rng = np.random.default_rng(RNG_SEED)
    image = rng.normal(100, NOISE, (320, 320))
    y, x = np.mgrid[:160, :160]
    image[:160, :160] += 60 * ((y % 40 - 20) ** 2 + (x % 40 - 20) ** 2 < 150)
    return image.round().astype(dtype)


def background(image: NDArray[Any], axes: str = "YX", channels: int = 1) -> Background:
    return measure_background(ArraySource(image, axes), 0, channels)


MEASURED = background(slide())


def empty(size: tuple[int, int] = (96, 96), seed: int = 9) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(100, NOISE, (1, *size))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 100), width=st.integers(1, 100))
def test_noise_alone_is_nothing(seed: int, height: int, width: int) -> None:
    window = empty((height * 16, width * 16) if height * width < 40 else (96, 96), seed).round().astype(np.uint16)
    assert MEASURED.holds_nothing(window)


@settings(max_examples=100, deadline=None)
@given(y=st.integers(0, 84), x=st.integers(0, 84), bright=st.booleans())
def test_a_faint_cell_anywhere_keeps_its_tile(y: int, x: int, bright: bool) -> None:
    """It is as large as the smallest cells and its contrast is a third of the others'."""
    window = empty()
    rows, columns = np.mgrid[:96, :96]
    window[0, (rows - y - 6) ** 2 + (columns - x - 6) ** 2 <= 36] += 20 if bright else -20
    assert not MEASURED.holds_nothing(window.round().astype(np.uint16))


@settings(max_examples=60, deadline=None)
@given(y=st.integers(0, 93), x=st.integers(0, 93))
def test_a_bright_spot_of_few_pixels_keeps_its_tile(y: int, x: int) -> None:
    window = empty()
    window[0, y : y + 3, x : x + 3] += 120
    assert not MEASURED.holds_nothing(window.round().astype(np.uint16))


@settings(max_examples=60, deadline=None)
@given(y=st.integers(0, 95), x=st.integers(0, 95))
def test_without_noise_a_single_pixel_of_one_grey_level_keeps_its_tile(y: int, x: int) -> None:
    image = np.full((320, 320), 7, np.uint8)
    image[:20, :20] = 200
    window = np.full((1, 96, 96), 7, np.uint8)
    measured = background(image)
    assert measured.holds_nothing(window)
    window[0, y, x] += 1
    assert not measured.holds_nothing(window)


def test_cells_are_kept_and_the_tiles_between_are_not() -> None:
    image = slide()
    grid = make_grid((320, 320), tile=80, halo=0, stride=16)
    for tile in grid:
        window = image[None, *tile.kept]
        has_cells = all(span.core_start < 160 for span in tile.spans)
        assert MEASURED.holds_nothing(window) != has_cells


def test_a_gradient_is_not_taken_for_background() -> None:
    image = slide()
    window = (100 + np.linspace(0, 30, 96))[None, None] + np.zeros((1, 96, 1))
    assert not background(image).holds_nothing(window)


def test_an_image_that_is_full_of_cells_has_no_empty_tile() -> None:
    image = np.tile(slide()[:160, :160], (2, 2))
    measured = background(image)
    for tile in make_grid((320, 320), tile=80, halo=0, stride=16):
        assert not measured.holds_nothing(image[None, *tile.kept])


def test_a_colour_image_with_a_bright_background_is_known_by_all_its_channels() -> None:
    rng = np.random.default_rng(RNG_SEED)
    image = rng.normal(235, 2, (320, 320, 3))
    image[:120, :200] -= np.array([60, 110, 40]) + rng.normal(0, 15, (120, 200, 3))
    image = image.clip(0, 255).astype(np.uint8)
    measured = background(image, "YXS", 3)
    clean = image[200:296, 200:296].transpose(2, 0, 1)
    assert measured.holds_nothing(clean)
    assert not measured.holds_nothing(image[:96, :96].transpose(2, 0, 1))
    for channel in range(3):
        stained = clean.copy()
        stained[channel, 30:50, 40:60] -= 25
        assert not measured.holds_nothing(stained)


def test_grey_counts_for_all_channels_of_a_model() -> None:
    measured = background(slide(), channels=3)
    assert measured.level.shape == (3,)
    assert measured.holds_nothing(np.repeat(empty(), 3, axis=0).round())


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (300, 17)])
def test_images_of_any_size_have_a_background(size: tuple[int, int]) -> None:
    image = np.full(size, 5, np.uint8)
    assert background(image).holds_nothing(image[None])


def test_a_single_value_of_another_type_is_no_hindrance() -> None:
    for dtype in (np.bool_, np.int16, np.float32, np.float64, np.uint64):
        image = np.zeros((64, 64), dtype)
        assert background(image).holds_nothing(image[None])
        image[40, 20] = 1
        assert not background(np.zeros((64, 64), dtype)).holds_nothing(image[None])


def test_skipped_tiles_are_red_in_the_picture(tmp_path: Path) -> None:
    image = slide(np.uint8)
    tiles = list(make_grid((320, 320), tile=80, halo=0, stride=16))
    path = tmp_path / "skipped.png"
    draw_skipped(path, ArraySource(image, "YX"), [(0, tiles[-1]), (1, tiles[0])])
    picture = np.asarray(Image.open(path)).astype(int)
    assert picture.shape == (320, 320, 3)
    red = picture[..., 0] > picture[..., 1]
    assert red[240:, 240:].all()
    assert not red[:240].any()
    assert [one.name for one in tmp_path.iterdir()] == ["skipped.png"]


def test_the_part_of_a_volume_without_objects_is_empty() -> None:
    pixels = np.random.default_rng(RNG_SEED).normal(100, 3, (1, 1, 48, 96, 96))
    pixels[..., 20:36, 50:80, 10:40] += 60
    source = VolumeSource(pixels.round().astype(np.uint16))
    measured = measure_background(source, 0, 1)
    for tile in make_grid(source.info.size, tile=(16, 48, 48), halo=0, stride=16):
        whole = tile.kept
        has_object = whole[0].stop > 20 and whole[0].start < 36 and whole[1].stop > 50 and whole[2].start < 40
        assert measured.holds_nothing(source.read(0, whole)) != has_object


def test_skipped_tiles_of_the_first_slice_of_a_volume_are_red(tmp_path: Path) -> None:
    tiles = list(make_grid((32, 64, 96), tile=16, halo=0, stride=16))
    draw_skipped(tmp_path / "skipped.png", VolumeSource(volume(1, 2, 32, 64, 96)), [(0, tiles[7]), (0, tiles[-1])])
    picture = np.asarray(Image.open(tmp_path / "skipped.png")).astype(int)
    assert picture.shape == (64, 96, 3)
    red = np.zeros((64, 96), bool)
    red[16:32, 16:32] = True
    np.testing.assert_array_equal(picture[..., 0] > picture[..., 1], red)


def test_the_picture_of_a_large_image_is_small(tmp_path: Path) -> None:
    draw_skipped(tmp_path / "large.png", ArraySource(np.zeros((40, 5000), np.uint8), "YX"), [])
    assert max(Image.open(tmp_path / "large.png").size) <= 1024
