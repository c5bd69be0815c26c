"""Regions of ImageJ and Fiji: a .zip with a region for each object, as the ROI Manager opens and saves it.

An object of one ring is a traced region, as the wand makes them; one with holes or in pieces is a composite region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from unetkit.exporting.base import NO_VALUES, Exporter, ObjectsWriter, Scene, Values, Warn
from unetkit.exporting.options import ExportOptions
from unetkit.foundation.errors import ConfigError
from unetkit.objects.collector import Objects
from unetkit.objects.outlines import portions, trace_outlines

MANY = 50_000
"""Regions that the ROI Manager still opens in a time that people wait."""

LARGEST_SHORT = 60_535
"""Largest coordinate that ImageJ reads as a whole number."""

MOST_SHORT = 1 << 15
"""Most corners of a region whose corners are whole numbers in all versions of ImageJ."""

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""Steps of the path of a composite region."""


class RoiWriter:
    """Writes objects as regions.

    Args:
        file: The archive.
        scene: Where the objects lie.
        options: How they are written.
        warn: Takes sentences for the user.
    """

    def __init__(self, file: ZipFile, scene: Scene, options: ExportOptions, warn: Warn) -> None:
        self._file = file
        self._scene = scene
        self._options = options
        self._warn = warn
        self._count = 0

    def add(self, objects: Objects, values: Values = NO_VALUES) -> None:  # noqa: ARG002  # regions hold no values
        """Write some complete objects; see `unetkit.exporting.base.ObjectsWriter`."""
        place = _place(self._scene, objects.plane)
        ending = "".join(f"_{axis.lower()}{index + 1}" for axis, index in self._scene.position(objects.plane).items())
        for _, some in portions(objects):
            outlines = trace_outlines(some)
            if self._options.simplify:
                from unetkit.exporting.simplify import simplify_outlines

                outlines = simplify_outlines(outlines, self._options.simplify)
            of_objects = outlines.rings[outlines.pieces[outlines.objects]]
            rings = np.searchsorted(outlines.rings, of_objects)
            for label, (first, last) in zip(some.labels.tolist(), pairwise(rings.tolist()), strict=True):
                bounds = outlines.rings[first : last + 1].tolist()
                corners = [outlines.points[start : stop - 1] for start, stop in pairwise(bounds)]
                name = f"{label}{ending}"
                self._file.writestr(_entry(name), region(name, corners, place))
        self._count_more(len(objects))

    def _count_more(self, count: int) -> None:
        if self._count <= MANY < self._count + count:
            self._warn(
                f"{self._scene.name} has more than {MANY:,} objects, which the ROI Manager opens slowly: GeoJSON "
                "(.geojson.gz) for QuPath is the better way."
            )
        self._count += count


def region(name: str, rings: Sequence[NDArray[np.int32]], place: dict[str, Any]) -> bytes:
    """Return a region as ImageJ stores it.

    Args:
        name: Its name.
        rings: (n, 2) corners (x, y) of each ring.
        place: Where it lies in a stack: attributes of `roifile.ImagejRoi`.
    """
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    low = np.min([ring.min(axis=0) for ring in rings], axis=0)
    high = np.max([ring.max(axis=0) for ring in rings], axis=0)
    box: dict[str, Any] = {"left": int(low[0]), "top": int(low[1]), "right": int(high[0]), "bottom": int(high[1])}
    if len(rings) > 1 or len(rings[0]) >= MOST_SHORT:
        path = np.concatenate([_path(ring) for ring in rings])
        roi = ImagejRoi(
            roitype=ROI_TYPE.RECT, name=name, multi_coordinates=path, shape_roi_size=len(path), **box, **place
        )
        return roi.tobytes()
    corners: dict[str, Any] = {"n_coordinates": len(rings[0]), "integer_coordinates": rings[0] - low}
    if high.max() > LARGEST_SHORT:
        corners |= {
            "options": ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
            "subpixel_coordinates": rings[0].astype(np.float32),
        }
    return ImagejRoi(roitype=ROI_TYPE.TRACED, name=name, **corners, **box, **place).tobytes()


def _path(ring: NDArray[np.int32]) -> NDArray[np.float32]:
    steps = np.empty((len(ring), 3), np.float32)
    steps[:, 0] = LINE
    steps[0, 0] = MOVE
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(CLOSE))


def _place(scene: Scene, plane: int) -> dict[str, Any]:
    """Return where a plane lies in a stack of ImageJ, counted from 1.

    Of a stack along one axis that is one number, which ImageJ takes for Z or T as the image has it.
    """
    position = scene.position(plane)
    if not position:
        return {}
    if len(position) == 1 or not position.keys() <= {"Z", "T"}:
        return {"position": plane + 1}
    return {f"{axis.lower()}_position": index + 1 for axis, index in position.items()}


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(f"{name}.roi")  # with the date of 1980, so that the same objects give the same file
    entry.compress_type = ZIP_DEFLATED
    return entry


@contextmanager
def _open_rois(path: Path, scene: Scene, options: ExportOptions, warn: Warn) -> Iterator[ObjectsWriter]:
    with ZipFile(path, "w", compresslevel=1) as file:
        yield RoiWriter(file, scene, options, warn)


def _check_rois(path: Path, _: ExportOptions) -> None:
    try:
        import roifile  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"{path}: regions of ImageJ need the package roifile.", "Run `pip install unetkit[annotations]`."
        ) from None


IMAGEJ_ROIS = Exporter("ImageJ ROIs", (".zip",), _open_rois, _check_rois, has_values=False)
