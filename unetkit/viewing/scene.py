"""Where an image and what lies on it are shown: one space with axes, units and the size of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unetkit.io.base.contracts import ImageInfo

UNITS = {"µm": ("micrometer", "m", 1e-6), "s": ("second", "s", 1.0), "": (None, "", 1.0)}
"""Units of steps: as OME-Zarr names them, as the viewer does, and how many of the latter one is."""


@dataclass(frozen=True)
class Axis:
    """An axis of the space.

    Attributes:
        name: One letter.
        length: Pixels, or planes.
        step: Size of a pixel, or distance between planes, in `unit`.
        unit: "µm", "s" or "" where nothing is known.
    """

    name: str
    length: int
    step: float = 1.0
    unit: str = ""

    @property
    def size(self) -> float:
        """The step in the unit of the viewer: metres or seconds."""
        return self.step * UNITS[self.unit][2]


@dataclass(frozen=True)
class Scene:
    """The space of an image, and the plane in which it opens.

    Attributes:
        planes: The axes of the planes.
        y: The axis of rows.
        x: The axis of columns.
    """

    planes: tuple[Axis, ...]
    y: Axis
    x: Axis

    @property
    def first_plane(self) -> tuple[int, ...]:
        """Where it opens: in the middle of a stack along Z, where it is sharp, and at the start of everything else."""
        return tuple(axis.length // 2 if axis.name == "z" else 0 for axis in self.planes)

    @property
    def displayed(self) -> tuple[Axis, ...]:
        """The axes of the picture, and the one that the mouse wheel moves along if there is one."""
        return (self.x, self.y, *self.planes[:1])

    def plane_number(self, position: tuple[int, ...]) -> int:
        """Return the number of a plane.

        Raises:
            ValueError: There is none.
        """
        lengths = tuple(axis.length for axis in self.planes)
        return int(np.ravel_multi_index(position, lengths)) if lengths else 0

    def scale_to_fit(self, width: int, height: int) -> float:
        """Return the zoom at which the whole image fits into a window, as the viewer counts it.

        It counts the pixels of the finest of the displayed axes that one pixel of the screen is.

        Args:
            width: Width of the window in pixels of the screen.
            height: Height of the window.
        """
        finest = min(axis.size for axis in self.displayed)
        return max(self.x.length * self.x.size / width, self.y.length * self.y.size / height) / finest


def make_scene(info: ImageInfo) -> Scene:
    """Return the space of an image: in micrometres if it has a pixel size, in pixels otherwise.

    >>> from unetkit.io.base.arrays import ArraySource
    >>> scene = make_scene(ArraySource(np.zeros((5, 8, 9)), "ZYX").info)
    >>> scene.first_plane, scene.displayed[0], scene.plane_number((4,))
    ((2,), Axis(name='x', length=9, step=1.0, unit=''), 4)
    """
    steps = {step.axis: step for step in info.steps if step.size > 0 and step.unit in UNITS}
    planes = []
    for letter, length in zip(info.plane_axes, info.plane_shape, strict=True):
        step = steps.get(letter)
        known = (step.size, step.unit) if step is not None else (1.0, "")
        planes.append(Axis(letter.lower(), length, *known))
    height, width = info.pixel_size_um or (1.0, 1.0)
    unit = "µm" if info.pixel_size_um is not None else ""
    return Scene(tuple(planes), Axis("y", info.height, height, unit), Axis("x", info.width, width, unit))
