"""The axes of what a network in training sees: planes, or volumes and how it pools them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.grid import round_up
from unetkit.models.pooling import FEWEST_VOXELS, Pooling, pooling_for
from unetkit.models.spec import ModelSpec
from unetkit.models.weight_sources import find_source

CUBE = (1.0, 1.0, 1.0)
"""Spacing (z, y, x) of volumes whose voxels have no known size."""


def first_pooling(dims: int, pooling: Sequence[Sequence[int]] | Literal["auto"], depth: int) -> Pooling:
    """Return the pooling of a network before its data are known: the given one, or all axes at each level.

    Args:
        dims: Axes of what the network sees, 2 or 3.
        pooling: Factors (z, y, x) of each level, or "auto" to choose them once the size of the voxels is known.
        depth: Number of levels.

    Raises:
        ConfigError: A pooling is given for a network of planes.
    """
    if pooling != "auto" and dims != 3:
        raise ConfigError(
            "pooling has no meaning for dims: 2, which halves both axes at each level.",
            "Leave it out, or use dims: 3.",
        )
    if dims != 3:
        return ()
    return ((2, 2, 2),) * depth if pooling == "auto" else tuple(map(tuple, pooling))


def choose_pooling(
    spec: ModelSpec,
    weights: str | None,
    voxel: Sequence[float] | None,
    crop: int | Sequence[int],
    sizes: Sequence[Sequence[int]],
) -> Pooling:
    """Choose the pooling of a network of volumes: that of the model it starts from, or what suits the voxels.

    Args:
        spec: The network.
        weights: What it starts from.
        voxel: Size of a voxel (z, y, x); None where it is not known: then as for cubes.
        crop: Sides of a crop; one number for all, which is limited to the largest volume.
        sizes: Sizes of the volumes.

    Raises:
        ConfigError: The crop cannot be halved as often as the network is deep.
    """
    start = None if weights is None else find_source(weights)
    if start is not None and start.dims == 3 and start.depth == spec.depth:
        return start.pooling
    if isinstance(crop, int):
        longest = [max(lengths) for lengths in zip(*sizes, strict=True)]
        crop = [min(crop, round_up(length, 2 * FEWEST_VOXELS)) for length in longest]
    return pooling_for(voxel or CUBE, spec.depth, crop)
