"""Augmentation of volumes: mask and voxels move together, in the planes in which they can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.data.transforms import NO_AUGMENTATION, PRESETS, Augmentation
from unetkit.data.volume_transforms import VolumeTransform, magnified

TURNS = replace(NO_AUGMENTATION, flip=0.5, rotate90=1.0)


def vary(
    augmentation: Augmentation, pixels: NDArray[Any], mask: NDArray[Any], seed: int = 0, spacing: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    return VolumeTransform(augmentation, len(pixels))(pixels, mask, np.random.default_rng(seed), spacing)


def marked(*size: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A volume with a number in each voxel."""
    mask = np.arange(np.prod(size), dtype=np.uint8).reshape(size)
    return mask[None].astype(np.float32) / 255, mask


def orientations(size: tuple[int, int, int], spacing: Any) -> int:
    pixels, mask = marked(*size)
    found, transform = set(), VolumeTransform(TURNS, 1)
    for seed in range(400):
        varied, moved = transform(pixels, mask, np.random.default_rng(seed), spacing)
        assert varied.shape == pixels.shape
        assert np.array_equal(np.rint(varied[0] * 255), moved)
        found.add(moved.tobytes())
    return len(found)


@pytest.mark.parametrize(
    ("size", "spacing", "expected"),
    [
        ((3, 3, 3), (1.0, 1.0, 1.0), 48),  # all of a cube
        ((3, 3, 3), (5.0, 1.0, 1.0), 16),  # those of a square, and upside down
        ((3, 3, 3), None, 16),
        ((3, 3, 3), (1.0, 1.0, 2.0), 16),  # of the planes of z and y
        ((3, 3, 3), (1.0, 2.0, 3.0), 8),  # mirrored along each axis alone
        ((3, 2, 4), None, 8),
    ],
)
def test_all_turns_that_sizes_and_voxels_allow_are_made(size: Any, spacing: Any, expected: int) -> None:
    assert orientations(size, spacing) == expected


def test_each_axis_has_a_probability_of_its_own_to_be_mirrored() -> None:
    pixels, mask = marked(2, 2, 2)
    upright = replace(NO_AUGMENTATION, flip=0.0, flip_depth=1.0)
    assert np.array_equal(vary(upright, pixels, mask)[1], mask[::-1])
    upright = replace(NO_AUGMENTATION, flip=1.0, flip_depth=0.0, flip_vertical=0.0)
    assert np.array_equal(vary(upright, pixels, mask)[1], mask[:, :, ::-1])


@pytest.mark.parametrize("level", list(PRESETS))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_keeps_shapes_and_types_and_moves_the_mask_with_the_voxels(level: str, channels: int) -> None:
    mask = np.zeros((6, 32, 24), np.uint8)
    mask[:, 8:24, 6:18] = 1
    pixels = np.repeat(mask[None].astype(np.float32), channels, axis=0)
    quiet = {"noise_probability": 0, "invert_probability": 0, "missing_probability": 0, "color_probability": 0}
    for seed in range(6):
        varied, moved = vary(replace(PRESETS[level], **quiet), pixels, mask, seed, (3.0, 1.0, 1.0))
        assert (varied.shape, varied.dtype) == (pixels.shape, np.float32)
        assert (moved.shape, moved.dtype) == (mask.shape, np.uint8)
        assert ((varied[0] > 0.5) != (moved > 0)).mean() < 0.06  # the rest lies at blurred borders
        again = vary(replace(PRESETS[level], **quiet), pixels, mask, seed, (3.0, 1.0, 1.0))
        assert np.array_equal(varied, again[0])
        assert np.array_equal(moved, again[1])


def test_a_shift_moves_one_plane_or_all_from_one_on_with_their_masks() -> None:
    pixels, mask = marked(5, 7, 7)
    shifted = replace(NO_AUGMENTATION, shift=2.0, shift_probability=1.0)
    runs = set()
    for seed in range(60):
        varied, moved = vary(shifted, pixels, mask, seed)
        assert np.array_equal(np.rint(varied[0] * 255), moved)
        changed = np.flatnonzero([not np.array_equal(*planes) for planes in zip(moved, mask, strict=True)])
        if len(changed):
            assert len(changed) == 1 or changed.tolist() == list(range(changed[0], 5))
            runs.add(tuple(changed.tolist()))
    assert len(runs) > 5


def test_missing_planes_are_black_and_their_masks_stay() -> None:
    pixels, mask = np.full((1, 200, 2, 2), 0.7, np.float32), np.ones((200, 2, 2), np.uint8)
    varied, moved = vary(replace(NO_AUGMENTATION, missing=0.25, missing_probability=1.0), pixels, mask)
    missing = (varied[0] == 0).reshape(200, -1)
    assert np.array_equal(missing.any(axis=1), missing.all(axis=1))
    assert 0.15 < missing.all(axis=1).mean() < 0.35
    assert np.array_equal(moved, mask)


def test_a_blur_reaches_as_far_across_the_planes_as_within_them() -> None:
    pixels = np.zeros((1, 21, 21, 21), np.float32)
    pixels[0, 10, 10, 10] = 1
    blurred = replace(NO_AUGMENTATION, blur=(2.0, 2.0), blur_probability=1.0)
    mask = np.zeros((21, 21, 21), np.uint8)

    def widths(spacing: Any) -> list[float]:
        varied, _ = vary(blurred, pixels, mask, spacing=spacing)
        profiles = [varied[0].sum(axis=other) for other in ((1, 2), (0, 2), (0, 1))]
        return [float(np.sqrt((p * (np.arange(21) - 10) ** 2).sum() / p.sum())) for p in profiles]

    assert widths((1.0, 1.0, 1.0)) == pytest.approx([2, 2, 2], rel=0.03)
    assert widths((4.0, 1.0, 1.0)) == pytest.approx([0.5, 2, 2], rel=0.1)
    assert widths(None) == pytest.approx([0, 2, 2], rel=0.03, abs=0.01)


def test_planes_that_lie_far_apart_are_not_magnified_across() -> None:
    assert magnified(1.2, (1.0, 1.0, 1.0)) == (1.2, 1.2, 1.2)
    assert magnified(1.2, (50.0, 4.0, 4.0)) == (1.0, 1.2, 1.2)
    assert magnified(1.2, None) == (1.2, 1.2, 1.2)


def test_values_outside_the_range_keep_their_distance_from_it() -> None:
    pixels = np.full((1, 4, 8, 8), 0.5, np.float32)
    pixels[0, 2, 3, 3] = 40
    varied, _ = vary(
        replace(NO_AUGMENTATION, gamma=(2, 2), gamma_probability=1.0), pixels, np.zeros((4, 8, 8), np.uint8)
    )
    assert varied.max() == pytest.approx(40)
    assert np.median(varied) == pytest.approx(0.25, abs=0.01)
