"""Augmentation of a crop with its neighbouring planes, as a network of planes sees them (2.5D), and its mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.transforms import Augmentation, Transform


class NeighbourTransform:
    """Varies a crop of several planes and the mask of the middle one; its result depends on its arguments only.

    All planes are moved and lit alike. Beside that, neighbours may be shifted against the plane in the middle or be
    missing, as sections of electron microscopes are, and their order may be turned around.

    Args:
        augmentation: What to vary; `scale` is applied where crops are cut.
        channels: Number of channels of each plane, any.
        planes: Number of planes.
    """

    def __init__(self, augmentation: Augmentation, channels: int, planes: int) -> None:
        self._augmentation = augmentation
        self._planes = planes
        self._alike = Transform(augmentation, channels, planes)

    def __call__(
        self, pixels: NDArray[np.float32], mask: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return a varied crop.

        Args:
            pixels: (planes * C, h, w) with the image's range at 0 to 1, the lowest plane first.
            mask: See `Transform`.
            rng: Source of all random numbers.

        Returns:
            New pixels and mask of the same types.
        """
        each = pixels.reshape(self._planes, -1, *pixels.shape[1:])
        options = self._augmentation
        if rng.random() < (options.flip if options.flip_depth is None else options.flip_depth):
            each = each[::-1]
        if rng.random() < options.shift_probability:
            each = _shift_neighbours(each, options.shift, rng)
        varied, mask = self._alike(each.reshape(pixels.shape), mask, rng)
        if rng.random() < options.missing_probability:
            missing = rng.random(self._planes) < options.missing
            missing[self._planes // 2] = False
            varied.reshape(self._planes, -1, *varied.shape[1:])[missing] = 0
        return varied, mask


def _shift_neighbours(planes: NDArray[np.float32], largest: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift the neighbours on one side of the middle, from one of them on, along y and x; borders are reflected."""
    middle = len(planes) // 2
    distance = int(rng.integers(1, middle + 1))
    moved = slice(0, middle - distance + 1) if rng.random() < 0.5 else slice(middle + distance, None)
    most = min(int(largest), *(length - 1 for length in planes.shape[2:]))
    by = [int(rng.integers(-most, most + 1)) for _ in range(2)]
    edges = [(max(step, 0), max(-step, 0)) for step in by]
    parts = [slice(after, after + length) for (_, after), length in zip(edges, planes.shape[2:], strict=True)]
    shifted = planes.copy()
    shifted[moved] = np.pad(planes[moved], [(0, 0), (0, 0), *edges], mode="reflect")[:, :, *parts]
    return shifted
