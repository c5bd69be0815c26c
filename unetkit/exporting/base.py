"""What a format of objects is. `unetkit.exporting.exporters` is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.exporting.options import ExportOptions
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo
from unetkit.objects.collector import Objects
from unetkit.objects.frame import Frame

Values = Mapping[str, NDArray[Any]]
"""Columns (N,) of N objects by name, as `unetkit.objects` measures them. Text of the column `class` is their class."""

NO_VALUES: Values = MappingProxyType({})
"""Nothing is known of objects but their pixels."""

Warn = Callable[[str], None]
"""Takes a sentence for the user."""


@dataclass(frozen=True)
class Scene:
    """Where objects lie; see `scene_of`.

    Attributes:
        name: What the label image is called. Ids of objects are made of it.
        plane_axes: Axes of the planes, for example "TZ"; "" for a single plane.
        plane_shape: Sizes along `plane_axes`.
    """

    name: str
    plane_axes: str = ""
    plane_shape: tuple[int, ...] = ()

    def position(self, plane: int) -> dict[str, int]:
        """Return where a plane lies along each axis, from 0; unnamed axes of pages count as Z.

        >>> Scene("a", "TZ", (2, 3)).position(5)
        {'T': 1, 'Z': 2}
        """
        if not self.plane_axes:
            return {}
        names = ["Z" if axis in UNNAMED_AXES else axis for axis in self.plane_axes]
        return dict(zip(names, (int(index) for index in np.unravel_index(plane, self.plane_shape)), strict=True))


def scene_of(name: str, extent: ImageInfo | Frame) -> Scene:
    """Return where the objects of an image lie; the planes of its volumes count as its planes, Z last.

    Args:
        name: What the label image is called.
        extent: Its planes or volumes.
    """
    axes, shape = extent.plane_axes, extent.plane_shape
    return Scene(name, axes, shape) if len(extent.size) == 2 else Scene(name, f"{axes}Z", (*shape, extent.size[0]))


class ObjectsWriter(Protocol):
    """Writes objects in the order in which they come."""

    def add(self, objects: Objects, values: Values = NO_VALUES) -> None:
        """Write some complete objects.

        Args:
            objects: The objects, of one plane. `open_export` gives a writer that takes those of volumes too.
            values: What is known of them.
        """


Opener = Callable[[Path, Scene, ExportOptions, Warn], AbstractContextManager[ObjectsWriter]]
"""Returns a context that gives the writer of a file, and finishes the file when it ends without an error."""


def _takes_all(_: Path, __: ExportOptions) -> None:
    """Accept all options."""


@dataclass(frozen=True)
class Exporter:
    """A format of objects.

    Attributes:
        name: What it is called.
        suffixes: Endings (lower case) of its files.
        open: Opens a file.
        check: Raises a ConfigError if options do not fit, or a package is missing.
        has_values: Whether measurements and classes are written.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Opener
    check: Callable[[Path, ExportOptions], None] = _takes_all
    has_values: bool = True
