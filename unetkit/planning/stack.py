"""What the planes of stacks are to each other: how far apart they are, and how much neighbours have in common."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pairs import Pair
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo, ImageSource
from unetkit.io.files import open_image
from unetkit.io.views.volume import UM, VolumeSource

COMPARED_STACKS = 3
"""Most stacks in which planes are compared."""

COMPARED_PLANES = 8
"""Most planes of a stack that are compared with those after them, spread over all."""

COMPARED_SIDE = 512
"""Largest height and width that are compared, in pixels: those of the middle of the planes."""

LAGS = (1, 2, 4, 8, 16, 32)
"""Distances within a plane, in pixels, at which it is compared with itself."""


@dataclass(frozen=True)
class Stack:
    """Stacks whose planes lie along an axis that the files call Z.

    Attributes:
        volumes: Number of volumes with masks.
        size: The median of their sizes (z, y, x).
        voxel: Size of a voxel (z, y, x) in micrometres, if it is known and the same in all.
        likeness: Correlation of neighbouring planes, -1 to 1.
        next_likeness: Correlation of planes with another one between them.
        anisotropy: Distance of planes as a multiple of the size of a pixel: by the files, or by how far within a plane
            pixels are as alike as between planes.
    """

    volumes: int
    size: tuple[int, ...]
    voxel: tuple[float, ...] | None
    likeness: float
    next_likeness: float
    anisotropy: float


def find_stacks(pairs: Sequence[Pair]) -> Stack | None:
    """Look at the stacks among planes to train on; None where some files are no stacks along Z, or have one plane.

    Args:
        pairs: The planes.

    Raises:
        ImageError: A file that cannot be read.
    """
    if not pairs or any(pair.image_plane is None for pair in pairs):
        return None
    infos: list[ImageInfo] = []
    alike: list[tuple[float, float]] = []
    within: list[NDArray[np.float64]] = []
    for number, (image, reading) in enumerate(dict.fromkeys((pair.image, pair.reading) for pair in pairs)):
        with closing(open_image(image, reading)) as source:
            if not _has_depth(source.info):
                return None
            volume = VolumeSource(source)
            infos.append(volume.info)
            if number < COMPARED_STACKS:
                alike.append(_compare_planes(volume))
                within.append(_compare_within(volume))
    one, two = np.mean(alike, axis=0).tolist()
    size = tuple(int(np.median(lengths)) for lengths in zip(*(info.size for info in infos), strict=True))
    voxels = {info.pixel_size_um for info in infos}
    voxel = voxels.pop() if len(voxels) == 1 else None
    thick = _lag_of(np.mean(within, axis=0), one) if voxel is None else voxel[0] / (voxel[1] * voxel[2]) ** 0.5
    return Stack(sum(info.planes for info in infos), size, voxel, one, two, thick)


def _has_depth(info: ImageInfo) -> bool:
    """Whether the planes of an image lie along Z: an axis has that name, or there is one alone and it is a distance."""
    steps = [step for step in info.steps if step.axis in info.plane_axes and step.unit == UM]
    return "Z" in info.plane_axes or (len(info.plane_axes) == 1 and info.plane_axes in UNNAMED_AXES and bool(steps))


def _middle(source: ImageSource, depth: int) -> NDArray[np.float64]:
    """Return the middle of a plane of the first volume, in grey."""
    starts = [max(0, (length - COMPARED_SIDE) // 2) for length in source.info.size[1:]]
    inside = [
        slice(start, min(start + COMPARED_SIDE, length))
        for start, length in zip(starts, source.info.size[1:], strict=True)
    ]
    grey: NDArray[np.float64] = source.read(0, (slice(depth, depth + 1), *inside)).mean(axis=(0, 1), dtype=np.float64)
    return grey


def _compare_planes(source: ImageSource) -> tuple[float, float]:
    """Return the mean correlation of planes with the next one, and with that after it."""
    depth = source.info.size[0]
    chosen = np.unique(np.linspace(0, max(depth - 3, 0), COMPARED_PLANES).round().astype(int)).tolist()
    found = []
    for first in chosen:
        planes = [_middle(source, min(first + step, depth - 1)) for step in range(3)]
        found.append((_correlation(planes[0], planes[1]), _correlation(planes[0], planes[2])))
    one, two = np.mean(found, axis=0).tolist()
    return one, two


def _compare_within(source: ImageSource) -> NDArray[np.float64]:
    """Return the correlation of the middle plane with itself, moved by each of `LAGS` along x."""
    plane = _middle(source, source.info.size[0] // 2)
    return np.array([_correlation(plane[:, lag:], plane[:, :-lag]) if lag < plane.shape[1] else 0.0 for lag in LAGS])


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Pearson's correlation; 0 where one of the two is even."""
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / length if length else 0.0


def _lag_of(within: NDArray[np.float64], likeness: float) -> float:
    """Return the distance within a plane at which it is as alike as neighbouring planes are, in pixels."""
    if likeness >= within[0]:
        return 1.0
    for (near, far), (high, low) in zip(pairwise(LAGS), pairwise(within), strict=True):
        if high >= likeness >= low and high > low:
            return float(near + (far - near) * (high - likeness) / (high - low))
    return float(next(islice(reversed(LAGS), 1)))
