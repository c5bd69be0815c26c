from __future__ import annotations

import numpy as np
import pytest

from unetkit.data.neighbour_transform import NeighbourTransform
from unetkit.data.transforms import resolve_augmentation

PIXELS = np.random.default_rng(0).random((32, 32)).astype(np.float32)
MASK = (PIXELS > 0.5).astype(np.uint8)
STRONG = {"shift_probability": 0.0, "missing_probability": 0.0, "noise_probability": 0.0}
COLOURS = np.random.default_rng(1).random((3, 32, 32)).astype(np.float32)


def vary(pixels, channels, planes, seed=0, preset="none", **options):
    transform = NeighbourTransform(resolve_augmentation(preset, options), channels, planes)
    return transform(pixels, MASK, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("plane", [PIXELS[None], COLOURS], ids=["grey", "colours"])
def test_all_planes_are_moved_and_lit_alike(seed, plane):
    channels = len(plane)
    varied, _ = vary(np.tile(plane, (3, 1, 1)), channels, 3, seed, "strong", **STRONG)
    for part in varied.reshape(3, channels, 32, 32)[1:]:
        np.testing.assert_allclose(part, varied[:channels], atol=1e-6)
    assert not np.allclose(varied[:channels], plane)


def test_a_plane_and_its_mask_move_together():
    stack = np.stack([PIXELS, MASK.astype(np.float32), PIXELS])
    varied, mask = vary(stack, 1, 3, preset="none", flip=1.0, rotate90=1.0)
    np.testing.assert_array_equal(varied[1], mask)


def test_the_order_of_planes_is_turned_around():
    stack = np.stack([np.full((32, 32), value, np.float32) for value in (0.1, 0.5, 0.9)])
    varied, _ = vary(stack, 1, 3, flip_depth=1.0)
    np.testing.assert_array_equal(varied, stack[::-1])
    np.testing.assert_array_equal(vary(stack, 1, 3)[0], stack)


@pytest.mark.parametrize("seed", range(8))
def test_neighbours_on_one_side_are_shifted_and_the_middle_stays(seed):
    stack = np.tile(PIXELS, (5, 1, 1))
    varied, mask = vary(stack, 1, 5, seed, shift_probability=1.0, shift=3)
    np.testing.assert_array_equal(varied[2], PIXELS)
    np.testing.assert_array_equal(mask, MASK)
    same = [np.array_equal(plane, PIXELS) for plane in varied]
    assert all(same[:3]) or all(same[2:])
    padded = np.pad(PIXELS, 3, mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, (32, 32)).reshape(-1, 32, 32)
    for plane in varied:
        assert any(np.array_equal(plane, view) for view in views)


def test_missing_neighbours_are_black_and_the_middle_is_never_missing():
    stack = np.tile(COLOURS, (5, 1, 1))
    varied, _ = vary(stack, 3, 5, missing_probability=1.0, missing=1.0)
    assert not varied[:6].any()
    assert not varied[9:].any()
    np.testing.assert_array_equal(varied[6:9], COLOURS)
