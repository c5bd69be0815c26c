"""Augmentation of a crop of a volume and its mask together, by the same table of parameters as that of planes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import albumentations as A  # noqa: N812
import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.data.resizing import magnify
from unetkit.data.transforms import Augmentation, bends, light
from unetkit.data.volumes import Spacing

EQUAL = 0.1
"""Two sizes of a voxel that differ by less than this share are the same for quarter turns."""

COARSE = 3.0
"""Distance of planes, in pixels of a plane, from which magnifying leaves the planes as they are.

nnU-Net (Isensee et al. 2021) has the same bound for what it varies in the planes alone.
"""


class VolumeTransform:
    """Varies a crop of a volume and its mask together; its result depends on its arguments only.

    Turns, slants and elastic deformations are those of a plane, the same in all planes of the crop.

    Args:
        augmentation: What to vary; `scale` is applied where crops are cut.
        channels: Number of channels of the images, any.
    """

    def __init__(self, augmentation: Augmentation, channels: int) -> None:
        self._augmentation = augmentation
        self._bends = _compose(bends(augmentation))
        self._light = _compose(light(augmentation, channels)[1:])  # without the blur

    def __call__(
        self, pixels: NDArray[np.float32], mask: NDArray[Any], rng: np.random.Generator, spacing: Spacing = None
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return a varied crop.

        Args:
            pixels: (C, d, h, w) with the image's range at 0 to 1.
            mask: (d, h, w) uint8, uint16 or int16, or (d, h, w, k) float32; sampled by nearest neighbour. Borders of
                both are reflected.
            rng: Source of all random numbers.
            spacing: Size of a voxel.

        Returns:
            New pixels and mask of the same types and sizes.
        """
        pixels, mask = self._turn(pixels, mask, rng, spacing)
        shared = random.Random(int(rng.integers(2**63)))
        volume, mask = np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), np.ascontiguousarray(mask)
        if self._bends.transforms:
            self._bends.set_random_state(rng, shared)
            moved = self._bends(volume=volume, mask3d=mask)
            volume, mask = moved["volume"].reshape(volume.shape), np.ascontiguousarray(moved["mask3d"])
        if rng.random() < self._augmentation.shift_probability:
            volume, mask = _shift_planes(volume, mask, self._augmentation.shift, rng)
        inside = np.clip(volume, 0.0, 1.0)
        outside = volume - inside
        if rng.random() < self._augmentation.blur_probability:
            inside = _blur(inside, rng.uniform(*self._augmentation.blur), spacing)
        if self._light.transforms:
            self._light.set_random_state(rng, shared)
            rows = inside.reshape(-1, *inside.shape[2:])  # what is left to do looks at each voxel alone
            inside = self._light(image=rows)["image"].reshape(volume.shape)
        lit = inside + outside
        if rng.random() < self._augmentation.missing_probability:
            lit[rng.random(len(lit)) < self._augmentation.missing] = 0
        return np.ascontiguousarray(np.moveaxis(lit, -1, 0), np.float32), mask

    def _turn(
        self, pixels: NDArray[np.float32], mask: NDArray[Any], rng: np.random.Generator, spacing: Spacing
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Mirror a crop, and turn it by quarters in the planes in which its sizes and those of its voxels agree."""
        some = self._augmentation
        chances = [some.flip if own is None else own for own in (some.flip_depth, some.flip_vertical, None)]
        for axis, draw in enumerate(rng.random(3)):
            if draw < chances[axis]:
                pixels, mask = np.flip(pixels, axis + 1), np.flip(mask, axis)
        if rng.random() >= some.rotate90:
            return pixels, mask
        for plane in ((1, 2), (0, 1), (1, 2)):
            step = 1 if _alike(mask.shape, plane, spacing) else 2 if plane == (1, 2) else 4
            quarters = step * int(rng.integers(4 // step))
            first, second = plane
            pixels = np.rot90(pixels, quarters, (first + 1, second + 1))
            mask = np.rot90(mask, quarters, plane)
        return pixels, mask


def _compose(steps: list[Any]) -> A.Compose:
    return A.Compose([step for step in steps if step.p > 0], is_check_shapes=False)


def magnified(factor: float, spacing: Spacing) -> tuple[float, float, float]:
    """Return by how much each axis is magnified: not across planes that are far from each other."""
    return (1.0 if spacing is not None and spacing[0] >= COARSE * min(spacing[1:]) else factor), factor, factor


def magnify_volume(pixels: NDArray[np.float32], factors: Sequence[float]) -> NDArray[np.float32]:
    """Return a volume (C, d, h, w) magnified about its centre, of the same size, as `magnify` does it.

    Args:
        pixels: The volume.
        factors: Of each axis; those of y and x are the same.
    """
    planes = magnify(pixels.reshape(-1, *pixels.shape[-2:]), factors[-1]).reshape(pixels.shape)
    depth = pixels.shape[1]
    places = (np.arange(depth) - (depth - 1) / 2) / factors[0] + (depth - 1) / 2
    below = np.floor(places).astype(np.int64)
    part = (places - below).astype(np.float32)[:, None, None]
    beyond = max(0, 1 - int(below[0]))  # planes before the first, and after the last, that are seen
    reflected = np.pad(np.arange(depth), beyond, mode="reflect")
    first, second = (reflected[below + step + beyond] for step in (0, 1))
    magnified_planes: NDArray[np.float32] = planes[:, first] * (1 - part) + planes[:, second] * part
    return magnified_planes


def _alike(size: tuple[int, ...], plane: tuple[int, int], spacing: Spacing) -> bool:
    """Return whether the two axes of a plane can change places; not known spacing is even in planes alone."""
    first, second = plane
    if size[first] != size[second]:
        return False
    if spacing is None:
        return plane == (1, 2)
    return abs(spacing[first] - spacing[second]) < EQUAL * max(spacing[first], spacing[second])


def _shift_planes(
    volume: NDArray[np.float32], mask: NDArray[Any], most: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Move one plane, or all planes from one on, against the others, as sections of electron microscopes lie.

    Args:
        volume: (d, h, w, C).
        mask: (d, h, w) or (d, h, w, k).
        most: Largest shift along each axis, in pixels.
        rng: Source of all random numbers.
    """
    first = int(rng.integers(len(volume)))
    last = first + 1 if rng.random() < 0.5 else len(volume)
    dy, dx = (round(shift) for shift in rng.uniform(-most, most, 2))
    rows, columns = (_reflected(length, by) for length, by in zip(volume.shape[1:3], (dy, dx), strict=True))
    volume, mask = volume.copy(), mask.copy()
    for one in (volume, mask):
        one[first:last] = one[first:last][:, rows[:, None], columns]
    return volume, mask


def _reflected(length: int, by: int) -> NDArray[np.int64]:
    """Return the places along an axis that a shift brings to 0, 1, ..., reflected at the ends."""
    return np.pad(np.arange(length), abs(by), mode="reflect")[abs(by) + by :][:length].astype(np.int64)


def _blur(volume: NDArray[np.float32], sigma: float, spacing: Spacing) -> NDArray[np.float32]:
    """Blur (d, h, w, C): by `sigma` pixels in the planes, and across them by as much of the real distance."""
    depth, height, width, channels = volume.shape
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in volume]).reshape(volume.shape)
    if spacing is None:
        return blurred
    columns = blurred.reshape(depth, -1)
    across: NDArray[np.float32] = cv2.GaussianBlur(columns, (1, 0), 1, sigmaY=sigma * spacing[2] / spacing[0])  # type: ignore[assignment]
    return across.reshape(depth, height, width, channels)
