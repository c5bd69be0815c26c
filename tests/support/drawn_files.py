"""Annotation files as programs write them, made from a label image whose objects they outline exactly."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.integer[Any]]
Names = dict[int, str]


def outline(mask: NDArray[np.bool_]) -> list[shapely.Polygon]:
    """Return the outlines of the pixels of a mask, along their borders."""
    boxes = []
    for row, line in enumerate(mask):
        steps = np.flatnonzero(np.diff(np.pad(line.astype(np.int8), 1)))
        boxes += [shapely.box(start, row, stop, row + 1) for start, stop in steps.reshape(-1, 2)]
    together = shapely.union_all(boxes).simplify(0)
    return list(together.geoms) if hasattr(together, "geoms") else [together]


def objects(labels: Labels) -> list[int]:
    return [int(number) for number in np.unique(labels) if number]


def write_geojson(path: Path, labels: Labels, names: Names | None = None, **properties: Any) -> None:
    """Write a FeatureCollection as QuPath 0.5 does."""
    features = []
    for number in objects(labels):
        polygons = [[list(ring.coords) for ring in (one.exterior, *one.interiors)] for one in outline(labels == number)]
        single = len(polygons) == 1
        own = {"objectType": "annotation", **properties}
        if names:
            own["classification"] = {"name": names[number], "color": [200, 0, 0]}
        features.append(
            {
                "type": "Feature",
                "id": f"00000000-0000-0000-0000-{number:012}",
                "geometry": {
                    "type": "Polygon" if single else "MultiPolygon",
                    "coordinates": polygons[0] if single else polygons,
                },
                "properties": own,
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def write_rois(path: Path, labels: Labels, names: Names | None = None, position: int | None = None) -> None:
    """Write a zip as the ROI Manager does: traced polygons, and composites where there are holes or pieces."""
    from roifile import ROI_TYPE, ImagejRoi

    with ZipFile(path, "w") as archive:
        for number in objects(labels):
            name = f"{names[number]}-{number}" if names else f"{number:04}-0001"
            polygons = outline(labels == number)
            rings = [np.array(ring.coords) for one in polygons for ring in (one.exterior, *one.interiors)]
            roi = ImagejRoi.frompoints(rings[0][:-1].astype(int), name=name, position=position)
            roi.roitype = ROI_TYPE.TRACED
            if len(rings) > 1:
                path_of = [n for ring in rings for k, (x, y) in enumerate(ring[:-1]) for n in (min(k, 1), x, y)]
                ends = np.cumsum([3 * (len(ring) - 1) for ring in rings])
                flat = np.insert(np.array(path_of, np.float32), ends, 4)
                roi.roitype, roi.n_coordinates, roi.integer_coordinates = ROI_TYPE.RECT, 0, None
                roi.shape_roi_size, roi.multi_coordinates = len(flat), flat
            archive.writestr(f"{name}.roi", roi.tobytes())


def write_labelme(path: Path, labels: Labels, names: Names | None = None) -> None:
    """Write shapes: polygons, and masks where there are holes or pieces."""
    shapes = []
    for number in objects(labels):
        polygons = outline(labels == number)
        shape: dict[str, Any] = {"label": names[number] if names else "cell", "group_id": None, "flags": {}}
        if len(polygons) == 1 and not polygons[0].interiors:
            shape |= {"shape_type": "polygon", "points": [list(point) for point in polygons[0].exterior.coords[:-1]]}
        else:
            rows, columns = np.nonzero(labels == number)
            top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
            with BytesIO() as file:
                Image.fromarray((labels == number)[top : bottom + 1, left : right + 1]).save(file, format="PNG")
                text = base64.b64encode(file.getvalue()).decode()
            shape |= {"shape_type": "mask", "mask": text}
            shape["points"] = [[float(left), float(top)], [float(right), float(bottom)]]
        shapes.append(shape)
    height, width = labels.shape
    path.write_text(
        json.dumps(
            {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": path.with_suffix(".png").name}
            | {"imageData": None, "imageHeight": height, "imageWidth": width}
        )
    )


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs down the columns: outside, inside, outside, ..."""
    flat = mask.T.ravel().astype(np.int8)
    bounds = np.flatnonzero(np.diff(flat, prepend=0))
    return np.diff([0, *bounds, flat.size]).tolist()


def write_coco(path: Path, images: dict[str, Labels], names: dict[str, Names] | None = None) -> None:
    """Write a file for several images: polygons, and run lengths where there are holes or pieces."""
    classes = sorted({name for own in names.values() for name in own.values()}) if names else ["cell"]
    annotations = []
    for place, (stem, labels) in enumerate(images.items()):
        for number in objects(labels):
            polygons = outline(labels == number)
            segmentation: Any = [np.array(one.exterior.coords[:-1]).ravel().tolist() for one in polygons]
            if len(polygons) > 1 or polygons[0].interiors:
                segmentation = {"size": list(labels.shape), "counts": run_lengths(labels == number)}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": place + 1,
                    "category_id": classes.index(names[stem][number]) + 7 if names else 7,
                    "segmentation": segmentation,
                    "iscrowd": 0,
                    "bbox": list(shapely.union_all(polygons).bounds),
                }
            )
    entries = [
        {"id": place + 1, "file_name": f"train/{stem}.png", "height": labels.shape[0], "width": labels.shape[1]}
        for place, (stem, labels) in enumerate(images.items())
    ]
    categories = [{"id": place + 7, "name": name, "supercategory": ""} for place, name in enumerate(classes)]
    path.write_text(json.dumps({"images": entries, "annotations": annotations, "categories": categories}))
