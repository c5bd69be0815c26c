"""The contestants of `objects.py` for outlines, each as its documentation has it: labels in memory to a file.

Those that are not installed are left out: `pip install rasterio`, `pip install cellpose`, `pip install stardist`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from unetkit.exporting.base import Scene
from unetkit.exporting.exporters import open_export
from unetkit.objects.collector import Collector

STRIP = 512
"""Rows that unetkit is given at a time."""

RAYS = 32
"""Corners of a polygon of StarDist, by default."""

Labels = NDArray[np.int32]


def unetkit_geojson(labels: Labels, folder: Path) -> Path:
    """Exact outlines, without measurements."""
    return _by_unetkit(labels, folder / "unetkit.geojson")


def unetkit_rois(labels: Labels, folder: Path) -> Path:
    """Exact outlines."""
    return _by_unetkit(labels, folder / "unetkit.zip")


def _by_unetkit(labels: Labels, path: Path) -> Path:
    collector = Collector(0, len(labels))
    with open_export(path, Scene("labels"), warn=print, overwrite=True) as writer:
        for top in range(0, len(labels), STRIP):
            objects = collector.add(labels[top : top + STRIP])[1]
            if objects is not None:
                writer.add(objects)
    return path


def rasterio_geojson(labels: Labels, folder: Path) -> Path:
    """Exact outlines by GDAL; pieces of an object are features of their own."""
    from rasterio.features import shapes

    found = shapes(labels, mask=labels > 0, connectivity=4)
    return _write_json(
        folder / "rasterio.geojson",
        [{"type": "Feature", "geometry": shape, "properties": {"name": str(int(label))}} for shape, label in found],
    )


def opencv_geojson(labels: Labels, folder: Path) -> Path:
    """Outlines through the centres of pixels, without holes: a loop over objects that many scripts have."""
    features = []
    for label, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        mask = (labels[box] == label).astype(np.uint8)
        corner = (box[1].start, box[0].start)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
        rings = [[[*ring[:, 0].tolist(), ring[0, 0].tolist()]] for ring in contours]
        shape = {"type": "MultiPolygon", "coordinates": rings}
        features.append({"type": "Feature", "geometry": shape, "properties": {"name": str(label)}})
    return _write_json(folder / "opencv.geojson", features)


def _write_json(path: Path, features: list[Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def cellpose_text(labels: Labels, folder: Path) -> Path:
    """Outlines through the centres of pixels, the largest of each object, as a text file."""
    from cellpose.io import outlines_to_text
    from cellpose.utils import outlines_list

    outlines_to_text(str(folder / "cellpose"), outlines_list(labels, multiprocessing=False))
    return folder / "cellpose_cp_outlines.txt"


def cellpose_rois(labels: Labels, folder: Path) -> Path:
    """The same, as ROIs."""
    from cellpose.io import save_rois

    save_rois(labels, str(folder / "cellpose"), multiprocessing=False)
    return folder / "cellpose_rois.zip"


def stardist_rois(labels: Labels, folder: Path) -> Path:
    """ROIs of polygons of 32 corners, which StarDist has and need not find: circles here."""
    from stardist import export_imagej_rois

    y, x = (np.array([box[axis].start for box in find_objects(labels) if box is not None]) for axis in (0, 1))
    turn = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
    circles = np.stack([y[:, None] + 10 * np.sin(turn), x[:, None] + 10 * np.cos(turn)], axis=1)
    export_imagej_rois(str(folder / "stardist.zip"), circles)
    return folder / "stardist.zip"


PEERS: dict[str, Callable[[Labels, Path], Path]] = {
    "unetkit, GeoJSON": unetkit_geojson,
    "rasterio, GeoJSON": rasterio_geojson,
    "OpenCV, GeoJSON": opencv_geojson,
    "Cellpose, text": cellpose_text,
    "unetkit, ROIs": unetkit_rois,
    "Cellpose, ROIs": cellpose_rois,
    "StarDist, ROIs": stardist_rois,
}
