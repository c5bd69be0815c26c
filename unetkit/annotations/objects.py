"""What people draw: objects with outlines in pixels, a class and a place in the stack.

Coordinates are those of QuPath and ImageJ: the pixel (x, y) covers [x, x + 1] x [y, y + 1], its centre is
(x + 0.5, y + 0.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError

LARGEST_RADIUS = 2.0**20
"""Largest radius of an ellipse, in pixels."""

Rings = tuple[NDArray[np.float64], ...]
"""Rings (n, 2) of points x, y, which need not be closed. A pixel is inside where an odd number of them surrounds it."""

LARGEST_COORDINATE = 2.0**31
"""No image has pixels beyond."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Pixels as runs along rows.

    Attributes:
        rows: (n,) row of each run.
        starts: (n,) its first column.
        stops: (n,) the column after its last one.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


Part = Rings | Runs
"""A polygon with its holes, or pixels."""


@dataclass(frozen=True)
class Place:
    """Where in a stack an object lies; all of it None for every plane.

    Attributes:
        z: Position along Z, from 0.
        t: Position along T, from 0.
        slice: Position in the whole stack as ImageJ counts it, channels first, then Z, then T, from 0.
    """

    z: int | None = None
    t: int | None = None
    slice: int | None = None


EVERYWHERE = Place()


@dataclass(frozen=True, eq=False)
class Drawn:
    """An object that was drawn.

    Attributes:
        title: What to call it in messages.
        parts: What it covers: all of its parts together.
        name: Name of its class; "" where it has none.
        place: Where in a stack it lies.
        crowd: Whether it marks many objects that were not drawn one by one: its pixels are ignored where no object is.
    """

    title: str
    parts: tuple[Part, ...]
    name: str = ""
    place: Place = EVERYWHERE
    crowd: bool = False


@dataclass(frozen=True, eq=False)
class Annotations:
    """What was drawn on one image.

    Attributes:
        path: The file.
        objects: What was drawn, in the order of the file.
        size: Height and width of the image, if the file says so.
        notes: Sentences for the user on what was left out.
    """

    path: Path
    objects: Sequence[Drawn]
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = field(default=())


Reader = Callable[[Path, str], Annotations]
"""Reads what a file holds for an image, given the name of the image without its suffix.

Raises:
    DataError: It cannot be read.
"""


def ring(points: object, title: str, path: Path) -> NDArray[np.float64]:
    """Return a ring (n, 2) of x and y; further numbers of a point are left out.

    Raises:
        DataError: They are no points.
    """
    try:
        found = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise broken(path, title, "has points that are no pairs of numbers") from error
    if found.size == 0:
        return np.zeros((0, 2))
    if found.ndim != 2 or found.shape[1] < 2:
        raise broken(path, title, "has points that are no pairs of numbers")
    found = found[:, :2]
    if not (np.abs(found) < LARGEST_COORDINATE).all():  # NaN too
        raise broken(path, title, "has coordinates that are not finite, or larger than any image")
    return np.ascontiguousarray(found)


def broken(path: Path, title: str, what: str) -> DataError:
    """Return the error for an object that cannot be read."""
    return DataError(f"{path}: {title} {what}.", "Correct or remove it, and export the annotations again.")


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Runs:
    """Return the pixels whose centres lie in an ellipse.

    Args:
        centre: x and y of its centre.
        radii: Half of its width and of its height.
    """
    (x, y), (across, down) = centre, radii
    rows = np.arange(np.ceil(y - down - 0.5), np.floor(y + down - 0.5) + 1) if min(across, down) > 0 else np.zeros(0)
    half = across * np.sqrt(np.maximum(1 - ((rows + 0.5 - y) / down) ** 2, 0)) if rows.size else rows
    starts, stops = np.ceil(x - half - 0.5), np.floor(x + half - 0.5) + 1
    some = stops > starts
    return Runs(rows[some].astype(np.int64), starts[some].astype(np.int64), stops[some].astype(np.int64))


def drawn_ellipse(centre: tuple[float, float], radii: tuple[float, float], title: str, path: Path) -> Runs:
    """Return the same for an object of a file.

    Raises:
        DataError: It is larger than any image.
    """
    if not max(*map(abs, centre), *radii) < LARGEST_RADIUS:  # NaN too
        raise broken(path, title, "has coordinates that are not finite, or larger than any image")
    return ellipse(centre, radii)


def bitmap_runs(pixels: NDArray[np.bool_], top: int, left: int) -> Runs:
    """Return the runs of the pixels (h, w) that are True; the first pixel lies at `top` and `left`."""
    padded = np.zeros((pixels.shape[0], pixels.shape[1] + 2), np.int8)
    padded[:, 1:-1] = pixels
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1]
    return Runs(rows + top, starts + left, stops + left)


def without_area(path: Path, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note on objects that are left out since they have no area, by type how many; none if there are none."""
    if not counts:
        return ()
    kinds = ", ".join(f"{count} of the type {kind}" for kind, count in counts.items())
    return (f"{path.name}: objects without an area are left out ({kinds}).",)
