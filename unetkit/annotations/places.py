"""From the place of an object in a stack to the number of its plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unetkit.annotations.objects import EVERYWHERE, Drawn, Place
from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo

ALL_PLANES = -1


def plane_of(drawn: Drawn, info: ImageInfo, path: Path) -> int:
    """Return the number of the plane that an object lies in, or `ALL_PLANES`.

    An axis without a letter that says what it is takes the place along Z or T that no other axis takes.

    Raises:
        DataError: The image has no such plane.
    """
    place = drawn.place
    if place == EVERYWHERE:
        return ALL_PLANES
    axes, shape = info.plane_axes or UNNAMED_AXES[0], info.plane_shape or (1,)
    wanted = _along(place, axes) if place.slice is None else _of_slice(place.slice, info, axes, shape)
    if wanted is None or any(not 0 <= position < size for position, size in zip(wanted, shape, strict=True)):
        named = {"slice": place.slice, "Z": place.z, "T": place.t}
        where = ", ".join(f"{name} {number + 1}" for name, number in named.items() if number is not None)
        planes = f"{info.planes} planes (axes {info.axes})" if info.planes > 1 else "one plane"
        raise DataError(
            f"{path}: {drawn.title} lies in {where}, but {info.name} has {planes}.",
            "Give the stack that was annotated.",
        )
    return int(np.ravel_multi_index(wanted, shape))


def _of_slice(number: int, info: ImageInfo, axes: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the position along each axis of a slice as ImageJ counts them: channels first, then Z, then the others."""
    number //= info.shape[info.axes.index("C")] if "C" in info.axes else 1
    fastest_last = sorted(range(len(axes)), key=lambda axis: (axes[axis] == "Z", axis))
    positions = [0] * len(axes)
    for axis in reversed(fastest_last[1:]):
        number, positions[axis] = divmod(number, shape[axis])
    positions[fastest_last[0]] = number
    return tuple(positions)


def _along(place: Place, axes: str) -> tuple[int, ...] | None:
    """Return the position along each axis; None if no axis takes one of them."""
    left = {"Z": place.z or 0, "T": place.t or 0}
    named = {axis: left.pop(axis) for axis in axes if axis in left}
    spare = [number for number in left.values() if number]
    positions = tuple(named[axis] if axis in named else spare.pop(0) if spare else 0 for axis in axes)
    return None if spare else positions
