"""The axes of what a network in training sees: planes, or volumes and how it pools them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unetkit.foundation.errors import ConfigError


def first_pooling(
    dims: int, pooling: Sequence[Sequence[int]] | Literal["auto"], depth: int
) -> tuple[tuple[int, ...], ...]:
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
