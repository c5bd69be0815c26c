from __future__ import annotations

import numpy as np

from unetkit.data.object_gain import vary_objects


def _cells() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and objects: 9 squares of 100 on 20, and one white pixel."""
    objects = np.zeros((90, 90), np.uint16)
    for number in range(9):
        y, x = 10 + number // 3 * 30, 10 + number % 3 * 30
        objects[y : y + 12, x : x + 12] = number + 1
    pixels = np.where(objects, 100, 20).astype(np.float32)[None].repeat(2, axis=0)
    pixels[:, 0, 0] = 255
    return pixels, objects


def test_each_object_has_a_factor_of_its_own_and_the_background_stays() -> None:
    pixels, objects = _cells()
    varied = vary_objects(pixels, objects, (0.5, 2.0), np.random.default_rng(0))
    factors = np.array([(varied[0, objects == number].max() - 20) / 80 for number in range(1, 10)])
    assert len(np.unique(factors.round(3))) == 9
    assert (factors > 0.49).all()
    assert (factors < 2.01).all()
    np.testing.assert_allclose(varied[:, 2:6, 2:], 20)


def test_objects_on_a_bright_background_become_paler_or_darker() -> None:
    pixels, objects = _cells()
    dark = vary_objects(255 - pixels, objects, (0.5, 0.5), np.random.default_rng(0))
    assert np.isclose(dark[0, 46, 46], 235 - 40, atol=0.5)


def test_no_pixel_leaves_the_range_of_the_crop() -> None:
    pixels, objects = _cells()
    varied = vary_objects(pixels, objects, (9.0, 9.0), np.random.default_rng(0))
    assert varied.max() == 255
    assert varied.min() == 20


def test_a_crop_without_objects_or_without_background_stays_as_it_is() -> None:
    pixels, objects = _cells()
    for same in (np.zeros_like(objects), np.ones_like(objects)):
        np.testing.assert_allclose(vary_objects(pixels, same, (0.5, 2), np.random.default_rng(0)), pixels)
