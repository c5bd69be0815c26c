"""Three cuts through a volume, laid side by side as one plane that people can look at.

x  x  x  x   z z
y            y        the plane of y and x, to its right that of y and z, below it that of z and x
y            y
z  x  x  x
z
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAP = 2
"""Pixels between the cuts."""

MOST_PIXELS = 1200
"""Longest side of the cuts side by side, in pixels: of larger volumes every second, third, ... voxel is shown."""

MOST_LOOKED_AT = 1_000_000
"""Most voxels that are looked at to find the middle of the foreground."""

Voxel = tuple[float, ...] | None
"""Size of a voxel (z, y, x); None where it is not known, which is drawn as a cube."""


@dataclass(frozen=True)
class Cuts:
    """Where a volume is cut, and how the cuts are stretched so that they have its proportions.

    Attributes:
        point: Voxel (z, y, x) that all three cuts go through.
        places: For each axis, the voxel that is shown by each pixel along it.
    """

    point: tuple[int, ...]
    places: tuple[NDArray[np.int64], ...]

    def of(self, volume: NDArray[Any], between: float = 0) -> NDArray[Any]:
        """Return the cuts (..., height, width) of a volume (..., z, y, x).

        Args:
            volume: Pixels or labels.
            between: Value between the cuts.
        """
        z, y, x = self.point
        along_z, along_y, along_x = self.places
        front = volume[..., z, :, :][..., along_y[:, None], along_x]
        side = np.swapaxes(volume[..., :, :, x], -1, -2)[..., along_y[:, None], along_z]
        below = volume[..., :, y, :][..., along_z[:, None], along_x]
        deep, high, wide = map(len, self.places)
        laid = np.full((*volume.shape[:-3], high + GAP + deep, wide + GAP + deep), between, volume.dtype)
        laid[..., :high, :wide] = front
        laid[..., :high, wide + GAP :] = side
        laid[..., high + GAP :, :wide] = below
        return laid


def plan_cuts(size: tuple[int, ...], inside: NDArray[np.bool_] | None = None, voxel: Voxel = None) -> Cuts:
    """Choose where to cut a volume: through the foreground, as near to the middle of it as possible.

    Args:
        size: Voxels along z, y and x.
        inside: (z, y, x) the foreground; None, or none at all, to cut through the middle of the volume.
        voxel: Size of a voxel.
    """
    point = None if inside is None else _middle(inside)
    point = point or tuple(length // 2 for length in size)
    steps = (1.0,) * 3 if voxel is None else tuple(one / min(voxel) for one in voxel)
    lengths = [length * step for length, step in zip(size, steps, strict=True)]
    shown = min(1.0, MOST_PIXELS / (max(lengths[1:]) + lengths[0]))
    along = []
    for length, step in zip(size, steps, strict=True):
        count = max(ceil(length * step * shown), 1)
        along.append(((np.arange(count) + 0.5) * length / count).astype(np.int64))
    return Cuts(point, tuple(along))


def flatten(pixels: NDArray[Any], voxel: Voxel = None) -> NDArray[Any]:
    """Return an image (C, y, x) as it is, or three cuts through the middle of a volume (C, z, y, x)."""
    return pixels if pixels.ndim == 3 else plan_cuts(pixels.shape[1:], None, voxel).of(pixels, pixels.min())


def _middle(inside: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Return the voxel of the foreground that is nearest to the middle of it; None without foreground."""
    every = max(1, ceil((inside.size / MOST_LOOKED_AT) ** (1 / inside.ndim)))
    places = np.argwhere(inside[(slice(None, None, every),) * inside.ndim]) * every
    if len(places):
        return tuple(places[((places - places.mean(0)) ** 2).sum(1).argmin()].tolist())
    first = int(inside.argmax())  # too small for the sample
    place = tuple(map(int, np.unravel_index(first, inside.shape)))
    return place if inside[place] else None
