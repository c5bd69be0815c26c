from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from unetkit.data.resizing import magnify
from unetkit.data.transforms import PRESETS, Augmentation, Transform, resolve_augmentation
from unetkit.foundation.errors import ConfigError

NONE = PRESETS["none"]
GEOMETRY = replace(NONE, flip=0.5, rotate90=1, rotate_probability=1, elastic_probability=1)


def _crop(channels: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = rng.random((channels, size, size), dtype=np.float32)
    return pixels, (pixels[0] > 0.5).astype(np.uint8)


def _blobs(size: int = 128) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return ((np.sin(x / 9) + np.cos(y / 13 + x / 40)) > 0.2).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_any_number_of_channels_keeps_shape_and_type(preset: str, channels: int) -> None:
    pixels, mask = _crop(channels)
    transform = Transform(PRESETS[preset], channels)
    for seed in range(10):
        new, new_mask = transform(pixels, mask, np.random.default_rng(seed))
        assert new.shape == pixels.shape
        assert new.dtype == np.float32
        assert new.flags.c_contiguous
        assert np.isfinite(new).all()
        assert new_mask.dtype == mask.dtype
        assert set(np.unique(new_mask)) <= {0, 1}


def test_none_changes_nothing() -> None:
    pixels, mask = _crop(3)
    new, new_mask = Transform(NONE, 3)(pixels * 3 - 1, mask, np.random.default_rng(0))
    np.testing.assert_allclose(new, pixels * 3 - 1, atol=1e-6)
    assert np.array_equal(new_mask, mask)


def test_result_depends_on_the_generator_only() -> None:
    pixels, mask = _crop(3)
    first, second = Transform(PRESETS["strong"], 3), Transform(PRESETS["strong"], 3)
    for seed in range(5):
        second(pixels, mask, np.random.default_rng(99))
        for a, b in zip(*(t(pixels, mask, np.random.default_rng(seed)) for t in (first, second)), strict=True):
            assert np.array_equal(a, b)


def test_mask_follows_the_image_exactly_through_flips_and_turns() -> None:
    mask = _blobs()
    transform = Transform(replace(NONE, flip=0.5, rotate90=1), 1)
    seen = set()
    for seed in range(60):
        pixels, moved = transform(mask[None].astype(np.float32), mask, np.random.default_rng(seed))
        assert np.array_equal(pixels[0], moved)
        seen.add(moved.tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_mask_follows_the_image_through_rotation_and_elastic_deformation(dtype: type) -> None:
    mask = _blobs().astype(dtype)
    transform = Transform(GEOMETRY, 2)
    for seed in range(10):
        pixels, moved = transform(np.stack([mask, mask]).astype(np.float32), mask, np.random.default_rng(seed))
        assert ((pixels[1] > 0.5) != moved).mean() < 0.02
        assert (moved != mask).mean() > 0.05


def test_elastic_displacement_is_that_in_pixels_and_even_to_the_border() -> None:
    y, x = np.mgrid[:96, :96].astype(np.float32)
    transform = Transform(replace(NONE, elastic_probability=1, elastic_displacement=3.0), 2)
    ramps = np.stack([y, x])
    shifts = np.stack([
        transform(ramps, np.zeros((96, 96), np.uint8), np.random.default_rng(seed))[0] - ramps for seed in range(100)
    ])[:, :, 12:-12, 12:-12]  # reflection bends the ramps at the borders  # fmt: skip
    assert 2.0 < shifts.std() < 3.2


def test_each_change_happens_as_often_as_its_probability_and_independently() -> None:
    mask = np.zeros((16, 16), np.uint8)
    gradient = np.linspace(0, 0.5, 16, dtype=np.float32) * np.ones((3, 16, 1), np.float32)
    both = Transform(replace(NONE, invert_probability=0.5, noise_probability=0.5), 3)
    results = [both(gradient, mask, np.random.default_rng(seed))[0] for seed in range(400)]
    inverted = np.array([result[0].mean() > 0.5 for result in results])
    noisy = np.array([result[0].std(axis=0).max() > 1e-5 for result in results])
    assert 0.42 < inverted.mean() < 0.58
    assert 0.42 < noisy.mean() < 0.58
    assert 0.17 < (inverted & noisy).mean() < 0.33


def test_what_lies_outside_the_range_is_not_clipped() -> None:
    pixels, mask = _crop(1)
    pixels[0, 30, 30], pixels[0, 10, 10] = 40.0, -7.0
    light = replace(PRESETS["strong"], flip=0, rotate90=0, rotate_probability=0, elastic_probability=0)
    for seed in range(20):
        new, _ = Transform(replace(light, invert_probability=0), 1)(pixels, mask, np.random.default_rng(seed))
        assert 39 <= new[0, 30, 30] <= 40
        assert -7 <= new[0, 10, 10] <= -6
    new, _ = Transform(replace(NONE, invert_probability=1), 1)(pixels, mask, np.random.default_rng(0))
    np.testing.assert_allclose(new, 1 - pixels)


def test_colors_change_in_images_of_3_channels_only() -> None:
    color = replace(NONE, color_probability=1, hue=90, saturation=1)
    for channels, changes in ((1, False), (2, False), (3, True), (4, False)):
        pixels, mask = _crop(channels)
        new, _ = Transform(color, channels)(pixels, mask, np.random.default_rng(0))
        assert np.allclose(new, pixels, atol=1e-6) != changes


def test_images_of_3_channels_become_grey_as_often_as_asked_for() -> None:
    pixels, mask = _crop(3)
    grey = Transform(replace(PRESETS["strong"], gray_probability=0.5), 3)
    spreads = [np.ptp(grey(pixels, mask, np.random.default_rng(seed))[0], axis=0).max() for seed in range(200)]
    assert 0.4 < np.mean(np.array(spreads) == 0) < 0.6
    brightness = Transform(replace(NONE, gray_probability=1), 3)(pixels, mask, np.random.default_rng(0))[0]
    np.testing.assert_allclose(brightness[1], np.tensordot([0.299, 0.587, 0.114], pixels, 1), atol=1e-3)
    single = Transform(replace(NONE, gray_probability=1), 1)(pixels[:1], mask, np.random.default_rng(0))[0]
    np.testing.assert_allclose(single, pixels[:1], atol=1e-6)


def test_transform_can_be_sent_to_a_worker() -> None:
    pixels, mask = _crop(2)
    transform = Transform(PRESETS["strong"], 2)
    copy = pickle.loads(pickle.dumps(transform))
    for seed in range(3):
        a, b = (t(pixels, mask, np.random.default_rng(seed))[0] for t in (transform, copy))
        assert np.array_equal(a, b)


def test_options_replace_those_of_the_preset() -> None:
    options = {"scale": [0.5, 2], "noise_probability": 0}
    assert resolve_augmentation("light", options) == replace(PRESETS["light"], scale=(0.5, 2), noise_probability=0)
    assert resolve_augmentation("standard") == Augmentation()


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("standart", {}, r"no augmentation 'standart'\. Did you mean 'standard'\?"),
        ("heavy-duty", {}, r"Choose one of light, none, standard, strong\."),
        ("none", {"elastic_space": 3}, r"no augmentation option 'elastic_space'\. Did you mean 'elastic_spacing'\?"),
        ("none", {"flip": 2}, r"flip: 2 is not possible\. Use a number from 0 to 1\."),
        ("none", {"flip": "yes"}, r"flip: yes is not possible"),
        ("none", {"scale": 2}, r"scale: 2 is not possible\. Use two numbers, the lower first, between 0.1 and 10\."),
        ("none", {"scale": [2, 1]}, r"scale: \(2, 1\) is not possible"),
        ("none", {"noise": [0, 3]}, r"between 0 and 1\."),
        ("none", {"rotate_degrees": 400}, r"Use a number from 0 to 180\."),
        ("none", {"stain_probability": 2}, r"stain_probability: 2 is not possible"),
        ("none", {"object_gain": 2}, r"Use two numbers, the lower first, between 0.1 and 10\."),
    ],
)
def test_options_that_have_no_meaning(preset: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_augmentation(preset, options)


def test_every_parameter_is_documented() -> None:
    assert all(f"{field.name}: " in (Augmentation.__doc__ or "") for field in fields(Augmentation))


def test_import_asks_no_server() -> None:
    code = (
        "import urllib.request as u\n"
        "def fail(*a, **k): raise SystemExit('network')\n"
        "u.urlopen = fail; u.OpenerDirector.open = fail\n"
        "import unetkit.data.transforms, sys; sys.exit('torch' if 'lightning' in sys.modules else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_slant_turns_vertical_lines_by_its_degrees_and_leaves_horizontal_ones() -> None:
    y, x = np.mgrid[:96, :96].astype(np.float32)
    transform = Transform(replace(NONE, shear_probability=1, shear_degrees=20), 2)
    angles = []
    for seed in range(60):
        new, _ = transform(np.stack([y, x]), np.zeros((96, 96), np.uint8), np.random.default_rng(seed))
        inside = new[:, 40:56, 40:56]
        np.testing.assert_allclose(inside[0], y[40:56, 40:56], atol=1e-2)
        angles.append(np.degrees(np.arctan(np.gradient(inside[1], axis=0).mean())))
    assert 15 < np.max(angles) < 20.5
    assert -20.5 < np.min(angles) < -15


def test_a_slanted_mask_follows_its_image() -> None:
    mask = _blobs()
    transform = Transform(replace(NONE, shear_probability=1, shear_degrees=20), 1)
    pixels, moved = transform(mask[None].astype(np.float32), mask, np.random.default_rng(0))
    assert ((pixels[0] > 0.5) != moved).mean() < 0.02
    assert (moved != mask).mean() > 0.02


def test_images_need_not_be_turned_upside_down_to_be_mirrored() -> None:
    pixels, mask = _crop(1)
    transform = Transform(replace(NONE, flip=0.5, flip_vertical=0), 1)
    seen = {transform(pixels, mask, np.random.default_rng(seed))[0].tobytes() for seed in range(20)}
    assert seen == {pixels.tobytes(), pixels[:, :, ::-1].tobytes()}


def test_magnified_images_keep_their_size_and_their_centre() -> None:
    y, x = np.mgrid[:41, :61].astype(np.float32)
    ramps = np.stack([y - 20, x - 30])
    np.testing.assert_allclose(magnify(ramps, 2.0), ramps / 2, atol=0.02)
    np.testing.assert_allclose(magnify(ramps, 0.8)[:, 8:-8, 8:-8], ramps[:, 8:-8, 8:-8] / 0.8, atol=0.05)
