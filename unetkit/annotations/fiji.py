"""Regions of ImageJ and Fiji: a `.roi`, or the `.zip` of them that the ROI Manager saves."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import numpy as np

from unetkit.annotations.objects import (
    Annotations,
    Drawn,
    Part,
    Place,
    Rings,
    broken,
    drawn_ellipse,
    ring,
    without_area,
)
from unetkit.foundation.errors import ConfigError, DataError

if TYPE_CHECKING:
    from roifile import ImagejRoi

MAGIC = b"Iout"

MADE_UP_NAMES = re.compile(r"[\d\W_]*|F\d+-C\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Names that programs give: numbers of ImageJ, and those of roifile."""

NUMBER_AT_END = re.compile(r"[\W_]*\d+$")

LARGEST_ROI = 2**28
"""Most bytes of a region."""

ARC_POINTS = 16
"""Points of each round corner of a rectangle."""


def is_roi(path: Path, start: bytes) -> bool:
    """Whether a file is a region, or a zip that holds some."""
    if start.startswith(MAGIC):
        return True
    if not start.startswith(b"PK"):
        return False
    try:
        with ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (BadZipFile, OSError):
        return False


def read_rois(path: Path, image: str) -> Annotations:  # noqa: ARG001  # a file is of one image
    """Read the regions of an image.

    The class of a region is its group, if some region of the file has one; else its name without the number at the end.

    Raises:
        DataError: The file cannot be read.
        ConfigError: The package roifile is missing.
    """
    try:
        from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi
    except ImportError as error:
        raise ConfigError(
            f"{path}: regions of ImageJ need the package roifile.", "Run `pip install unetkit[annotations]`."
        ) from error
    with_area = {ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED}
    no_regions = {ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE}
    rois: list[tuple[str, ImagejRoi]] = []
    left_out: Counter[str] = Counter()
    for entry, data in _entries(path):
        try:
            roi = ImagejRoi.frombytes(data)
        except (ValueError, struct.error, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise broken(path, f"the region {entry}", f"cannot be read ({error})") from error
        if roi.subtype in no_regions or (roi.roitype not in with_area and not roi.composite):
            kind = roi.subtype if roi.subtype in no_regions else roi.roitype
            left_out[kind.name.lower()] += 1
        else:
            rois.append((roi.name or Path(entry).stem, roi))
    grouped = any(roi.group for _, roi in rois)
    objects = [_drawn(path, name, roi, grouped=grouped) for name, roi in rois]
    return Annotations(path, objects, notes=without_area(path, left_out))


def class_of_name(name: str) -> str:
    """Return the class that the name of a region stands for, "" if a program made it up.

    >>> class_of_name("tumour-12"), class_of_name("0012-0345")
    ('tumour', '')
    """
    if MADE_UP_NAMES.fullmatch(name):
        return ""
    return NUMBER_AT_END.sub("", name) or name


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each region of a file."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                file.seek(0)
                yield path.name, file.read(LARGEST_ROI)
                return
        with ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(".roi") and not name.startswith("__MACOSX/"):
                    with archive.open(name) as entry:
                        yield name, entry.read(LARGEST_ROI)
    except (BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Save the regions again in Fiji.") from error


def _drawn(path: Path, name: str, roi: ImagejRoi, *, grouped: bool) -> Drawn:
    title = f"the region {name}"
    group = f"group {roi.group}" if roi.group else ""
    place = Place(
        z=roi.z_position - 1 if roi.z_position > 0 else None,
        t=roi.t_position - 1 if roi.t_position > 0 else None,
        slice=roi.position - 1 if roi.position > 0 and not (roi.z_position > 0 or roi.t_position > 0) else None,
    )
    return Drawn(title, (_part(path, title, roi),), group if grouped else class_of_name(name), place)


def _part(path: Path, title: str, roi: ImagejRoi) -> Part:
    from roifile import ROI_TYPE

    if roi.composite:
        try:
            return tuple(ring(points, title, path) for points in roi.coordinates(multi=True))
        except (NotImplementedError, RuntimeError, IndexError, OverflowError, ValueError) as error:
            raise broken(path, title, f"has an outline that cannot be read ({error})") from error
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        left, top, width, height = _bounds(roi)
        if roi.roitype == ROI_TYPE.OVAL:
            return drawn_ellipse((left + width / 2, top + height / 2), (width / 2, height / 2), title, path)
        return _rectangle(left, top, width, height, roi.rounded_rect_arc_size)
    return (ring(roi.coordinates(), title, path),)


def _bounds(roi: ImagejRoi) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a rectangle or an oval."""
    if roi.subpixelrect:
        return float(roi.xd), float(roi.yd), float(roi.widthd), float(roi.heightd)
    return float(roi.left), float(roi.top), float(roi.right - roi.left), float(roi.bottom - roi.top)


def _rectangle(left: float, top: float, width: float, height: float, arc: float) -> Rings:
    """Return a rectangle whose corners are quarters of circles with the diameter `arc`."""
    across, down = min(arc, width) / 2, min(arc, height) / 2
    angles = np.linspace(0, np.pi / 2, ARC_POINTS) if arc else np.zeros(1)
    quarter = np.stack([1 - np.cos(angles), 1 - np.sin(angles)], axis=1) * (across, down)
    upper = np.concatenate([quarter, (width, 0) + quarter[::-1] * (-1, 1)])
    corners = np.concatenate([upper, ((0, height) + upper * (1, -1))[::-1]])
    return (corners + np.array([left, top]),)
