"""JSON of labelme: shapes with labels on one image. The image that such files may hold inside is not used."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from unetkit.annotations.json_stream import stream_json
from unetkit.annotations.objects import Annotations, Drawn, Part, bitmap_runs, broken, drawn_ellipse, ring, without_area

WITHOUT_AREA = ("point", "points", "line", "linestrip")

KEYS = re.compile(r'"(shapes"\s*:\s*\[|imageData"\s*:)')


def is_labelme(path: Path, start: str) -> bool:  # noqa: ARG001
    """Whether a file is of labelme, by its first characters."""
    return KEYS.search(start) is not None


def read_labelme(path: Path, image: str) -> Annotations:  # noqa: ARG001  # a file is of one image
    """Read the shapes of an image; those with the same `group_id` and label are one object.

    Raises:
        DataError: The file cannot be read.
    """
    found: dict[tuple[object, ...], Drawn] = {}
    left_out: Counter[str] = Counter()
    sides: dict[str, Any] = {}
    for number, (_, value) in enumerate(item for item in stream_json(path) if _is_used(item, sides)):
        shape = value if isinstance(value, Mapping) else {}
        name, group = str(shape.get("label") or ""), shape.get("group_id")
        title = f"shape {number + 1}{f' ({name})' if name else ''}"
        kind = str(shape.get("shape_type") or "polygon")
        if kind in WITHOUT_AREA:
            left_out[kind] += 1
            continue
        part = _part(path, title, kind, shape)
        key = (number,) if group is None else (name, str(group), "group")
        before = found[key].parts if key in found else ()
        found[key] = Drawn(found[key].title if before else title, (*before, part), name)
    height, width = sides.get("imageHeight"), sides.get("imageWidth")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Annotations(path, list(found.values()), size, without_area(path, left_out))


def _is_used(item: tuple[str, Any], sides: dict[str, Any]) -> bool:
    """Whether an item of the file is a shape; sizes are kept aside."""
    key, value = item
    if key in ("imageHeight", "imageWidth"):
        sides[key] = value
    return key == "shapes"


def _part(path: Path, title: str, kind: str, shape: Mapping[str, Any]) -> Part:
    points = ring(shape.get("points") or (), title, path)
    if kind == "polygon":
        return (points,)
    if kind in ("rectangle", "circle", "mask") and len(points) != 2:
        raise broken(path, title, f"is a {kind} with {len(points)} points, not 2")
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return (np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]),)
    if kind == "circle":
        centre, radius = points[0], float(np.hypot(*(points[1] - points[0])))
        return drawn_ellipse((centre[0], centre[1]), (radius, radius), title, path)
    if kind == "mask":
        left, top = np.rint(points.min(axis=0)).astype(int)
        return bitmap_runs(_decode(path, title, shape.get("mask")), int(top), int(left))
    raise broken(path, title, f"has the shape type {kind}, which is not known")


def _decode(path: Path, title: str, text: object) -> Any:
    """Return the pixels (h, w) of a mask, True inside."""
    try:
        with Image.open(BytesIO(b64decode(str(text), validate=True)), formats=("PNG",)) as image:
            return np.asarray(image.convert("L")) > 0
    except (Base64Error, UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise broken(path, title, "has a mask that is no PNG") from error
