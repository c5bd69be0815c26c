from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.color import hed_from_rgb, rgb_from_hed

from unetkit.data.stains import StainJitter
from unetkit.data.transforms import PRESETS

STILL = replace(PRESETS["none"], stain=0, stain_shift=0, brown=0)
WHITE = np.full(3, 240, np.float32)
ENDS = np.zeros(3, np.float32), WHITE


def _tissue(size: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels, objects and amounts of stains: nuclei of hematoxylin in eosin."""
    y, x = np.mgrid[:size, :size]
    objects = np.where((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2 < 25, y // 16 * 3 + x // 16 + 1, 0).astype(np.uint16)
    amounts = np.stack([np.where(objects, 0.5, 0.05), np.full(objects.shape, 0.15), np.zeros(objects.shape)])
    density = np.tensordot(rgb_from_hed.T, amounts, 1)
    return (240 * 10**-density).astype(np.float32), objects, amounts


def _amounts(pixels: np.ndarray) -> np.ndarray:
    return np.tensordot(hed_from_rgb.T, -np.log10(pixels / WHITE[:, None, None]), 1)


def _varied(options: object, seed: int) -> np.ndarray:
    pixels, objects, _ = _tissue()
    return StainJitter(options)(pixels, objects, ENDS, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_a_crop_is_put_together_again_as_it_was() -> None:
    np.testing.assert_allclose(_varied(STILL, 0), _tissue()[0], rtol=1e-3)


def test_each_stain_has_a_strength_and_a_shift_of_its_own_within_the_bounds() -> None:
    *_, before = _tissue()
    factors = np.stack([
        np.ptp(_amounts(_varied(replace(STILL, stain=0.2), seed))[0]) / np.ptp(before[0]) for seed in range(50)
    ])  # fmt: skip
    assert 0.8 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.2001
    moved = [_amounts(_varied(replace(STILL, stain_shift=0.04), seed)) - before for seed in range(50)]
    shifts = np.median(np.stack(moved), axis=(2, 3))
    assert 0.03 < np.abs(shifts).max() < 0.041
    assert np.linalg.matrix_rank(np.corrcoef(shifts.T), tol=0.1) == 3


def test_brown_shows_around_objects_inside_them_or_in_place_of_eosin() -> None:
    _, objects, _ = _tissue()
    inside, outside = [], []
    for seed in range(60):
        brown = _amounts(np.maximum(_varied(replace(STILL, brown=1), seed), 1))[2]
        inside.append(brown[objects > 0].mean())
        outside.append(brown[objects == 0].mean())
    ahead = np.array(inside) - np.array(outside)
    assert (ahead < -0.1).sum() >= 8
    assert (ahead > 0.1).sum() >= 8
    assert np.mean(np.maximum(inside, outside) > 0.1) > 0.75


def test_what_becomes_darker_than_the_image_is_brought_back_into_its_range() -> None:
    pixels, objects, _ = _tissue()
    ends = np.full(3, 120, np.float32), WHITE
    jitter = StainJitter(replace(STILL, stain=0.9))
    darkest = [np.percentile(jitter(pixels, objects, ends, np.random.default_rng(seed)), 1) for seed in range(20)]
    assert min(darkest) == pytest.approx(120, abs=3)


def test_a_crop_depends_on_the_generator_only() -> None:
    options = replace(PRESETS["none"], brown=0.5)
    assert all(np.array_equal(_varied(options, seed), _varied(options, seed)) for seed in range(5))
