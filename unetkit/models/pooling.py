"""By how much each level of a network of volumes reduces the resolution, and what follows from it.

Voxels are often longer along one axis. Such an axis is halved only when the others have caught up, and until then the
network's kernels have length 1 along it: voxels far apart are not compared as if they were neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from unetkit.foundation.errors import ConfigError

Pooling = tuple[tuple[int, ...], ...]
"""Factor, 1 or 2, along each axis at each level, the first level first."""

ANISOTROPIC = 2.0
"""Ratio to the smallest spacing from which an axis is coarse, as in nnU-Net (Isensee et al. 2021)."""

FEWEST_VOXELS = 4
"""Number of voxels along each axis of a patch that its deepest features keep, as in nnU-Net, if that is possible."""


def pooling_for(spacing: Sequence[float], depth: int, size: Sequence[int] | None = None) -> Pooling:
    """Choose by how much each level reduces the resolution along each axis.

    At each level the axes are halved whose spacing is less than twice the smallest one there. An axis with fewer than
    8 voxels of the patch, or an odd number, is halved no more; it then does not count as the smallest either.

    Args:
        spacing: Distance of voxels along each axis, in any unit: (z, y, x).
        depth: Number of levels.
        size: Voxels of a patch along each axis, if there is one: it will be a multiple of the strides.

    Returns:
        For each level the factor along each axis: for a spacing of (50, 4, 4) and depth 4
        ((1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2)).

    Raises:
        ConfigError: The patch cannot be halved so often, or a spacing is not above 0.

    Example:
        >>> pooling_for((3, 0.8, 0.8), 3)
        ((1, 2, 2), (2, 2, 2), (2, 2, 2))
    """
    if not all(step > 0 for step in spacing):
        raise ConfigError(f"A spacing of {tuple(spacing)} is not possible.", "Give numbers above 0.")
    steps, left = list(spacing), None if size is None else list(size)
    levels = []
    for _ in range(depth):
        able = range(len(steps)) if left is None else _halvable(left)
        if not able:
            raise ConfigError(
                f"A patch of {' x '.join(map(str, size or ()))} voxels cannot be halved {depth} times.",
                "Use a larger patch (data.crop), or a smaller model.depth.",
            )
        finest = min(steps[axis] for axis in able)
        level = tuple(2 if axis in able and steps[axis] < ANISOTROPIC * finest else 1 for axis in range(len(steps)))
        steps = [step * factor for step, factor in zip(steps, level, strict=True)]
        left = left and [voxels // factor for voxels, factor in zip(left, level, strict=True)]
        levels.append(level)
    return tuple(levels)


def _halvable(size: Sequence[int]) -> list[int]:
    """Return the axes that leave enough voxels when they are halved; where none does, those that leave any."""
    even = [axis for axis, voxels in enumerate(size) if voxels % 2 == 0 and voxels]
    return [axis for axis in even if size[axis] >= 2 * FEWEST_VOXELS] or even


def strides_of(pooling: Pooling, level: int | None = None) -> tuple[int, ...]:
    """Return the voxels of the input for one of the features at a level, along each axis; by default the deepest."""
    return tuple(prod(factors) for factors in zip(*pooling[:level], strict=True))


def fine_axes(pooling: Pooling, level: int) -> tuple[bool, ...]:
    """Return along which axes the features of a level are compared with their neighbours, so that kernels are long.

    These are the axes that this level or one before it halves: the voxel is about as long there as along the others.
    The deepest features, at level `len(pooling)`, are compared along all axes.

    Args:
        pooling: Of a network of volumes.
        level: 0 for the resolution of the input, 1 for what the first level gives, and so on.
    """
    if level >= len(pooling):
        return (True,) * len(pooling[0])
    return tuple(2 in factors for factors in zip(*pooling[: level + 1], strict=True))


def across(pooling: Pooling) -> int:
    """Return the axis across the planes that a network of planes would see: the one that is halved last, z of several.

    Along it the weights of a network of planes are spread.
    """
    first = [
        next((level for level, factor in enumerate(factors) if factor == 2), len(pooling))
        for factors in zip(*pooling, strict=True)
    ]
    return first.index(max(first))
