"""Names of axes: each dimension of an image has a letter of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from unetkit.io.base.contracts import UNNAMED_AXES, OutputSpec
from unetkit.io.base.stored import Step

ITEM_AXES = "ZYX"
"""Letters of the axes of an item: the last two of a plane, all of a volume."""

SPARE_AXES = "QIUVWKJN"
"""Letters for axes that have no name or share one."""


def name_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return the axes of a TIFF series. Each has a letter of its own; channels that are stored last are recognised.

    >>> name_axes("QQYX", (2, 3, 64, 64))
    'QIYX'
    >>> name_axes("QYX", (512, 512, 3))
    'YXS'
    """
    if len(axes) == 3 and axes[0] in UNNAMED_AXES and axes[1:] == "YX" and 1 < shape[2] <= 16 <= min(shape[:2]) // 4:
        return "YXS"  # a NumPy array (Y, X, C) that was written without a word about its axes
    named = ""
    for axis in axes:
        named += axis if axis not in named else next(spare for spare in SPARE_AXES if spare not in axes + named)
    return named


def name_dimensions(names: Sequence[str], types: Sequence[str] = ()) -> str:
    """Return the axes of a Zarr array whose dimensions have names and, in OME-Zarr, types.

    >>> name_dimensions(["t", "channel", "y", "x"]), name_dimensions(["angle", "y", "x"], ["", "space", "space"])
    ('TCYX', 'QYX')
    """
    axes = ""
    for i, name in enumerate(names):
        letter = (
            name[:1].upper() if name.lower() in KNOWN_DIMENSIONS else AXES_BY_TYPE.get(types[i] if types else "", "Q")
        )
        axes += letter if letter not in axes else next(spare for spare in SPARE_AXES if spare not in axes)
    return axes


def guess_axes(shape: tuple[int, ...]) -> str:
    """Return the axes of an array about which nothing is known: the last two are Y and X, unless they are Y, X and S.

    >>> guess_axes((5, 64, 64)), guess_axes((64, 64, 3))
    ('QYX', 'YXS')
    """
    unnamed = len(shape) - 2
    return name_axes("Q" * unnamed + "YX", shape) if unnamed >= 0 else "YX"


KNOWN_DIMENSIONS = frozenset(("t", "time", "c", "channel", "channels", "s", "sample", "z", "y", "x"))
"""Names of dimensions whose first letter names the axis."""

AXES_BY_TYPE = {"time": "T", "channel": "C"}
"""Letters of axes by their type in OME-Zarr. An axis of the type "space" has its letter from its name."""


def ome_axes(plane_axes: str, plane_shape: tuple[int, ...], dims: int = 2) -> tuple[str, tuple[int, ...]]:
    """Return the plane axes as OME names them, and their sizes. OME knows T and Z only.

    Args:
        plane_axes: The axes that are no axes of an item.
        plane_shape: Sizes along them.
        dims: Axes of an item; a volume has Z itself.

    >>> ome_axes("TZ", (3, 5)), ome_axes("Q", (7,)), ome_axes("TPZ", (2, 3, 4)), ome_axes("Q", (7,), 3)
    (('TZ', (3, 5)), ('Z', (7,)), ('Z', (24,)), ('T', (7,)))
    """
    known = "ZT" if dims == 2 else "T"
    if len(plane_axes) > len(known):
        return known[0], (prod(plane_shape),)
    free = iter(axis for axis in known if axis not in plane_axes)
    return "".join(axis if axis in known else next(free) for axis in plane_axes), plane_shape


def kept_steps(spec: OutputSpec) -> tuple[Step, ...]:
    """Return the steps along those axes that are stored under their own name, see `ome_axes`."""
    dims = len(spec.size)
    flattened = ome_axes(spec.plane_axes, spec.plane_shape, dims)[1] != spec.plane_shape
    others = "" if flattened else spec.plane_axes
    return tuple(step for step in spec.steps if step.axis in ITEM_AXES[-dims:] or step.axis in others)
