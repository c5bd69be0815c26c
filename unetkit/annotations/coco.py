"""JSON of COCO: one file for the objects of many images, as polygons or as run-length masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from unetkit.annotations.json_stream import stream_json
from unetkit.annotations.objects import Annotations, Drawn, Part, bitmap_runs, broken, ring, without_area
from unetkit.foundation.errors import DataError
from unetkit.io.files import image_stem

LISTS = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')

CONTINUED = 0x20
"""Bit of a character of compressed run lengths: another one follows."""


def is_coco(path: Path, start: str) -> bool:  # noqa: ARG001
    """Whether a file is of COCO, by its first characters."""
    return LISTS.search(start) is not None


def images_of(path: Path) -> list[str]:
    """Return the names of the images of a COCO file, without their suffixes."""
    return list(_read(path, path.stat().st_mtime_ns))


def read_coco(path: Path, image: str) -> Annotations:
    """Read the objects of one image, found by the stem of its `file_name`.

    Raises:
        DataError: The file cannot be read or does not name the image.
    """
    found = _read(path, path.stat().st_mtime_ns)
    if image not in found:
        names = ", ".join(list(found)[:3]) or "none"
        raise DataError(
            f"{path} has no image '{image}' among its {len(found)} ({names}{', ...' if len(found) > 3 else ''}).",
            "Give images with the names that the file has (file_name), or export the annotations again.",
        )
    return found[image]


@lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> dict[str, Annotations]:  # noqa: ARG001  # a changed file is read again
    """Return what was drawn on each image, by its stem; kept, since it is asked for image by image."""
    images: dict[str, Mapping[str, Any]] = {}
    classes: dict[str, str] = {}
    objects: dict[str, list[tuple[str, Drawn]]] = {}
    left_out: dict[str, Counter[str]] = {}
    for key, value in stream_json(path):
        if key not in ("images", "categories", "annotations"):
            continue
        if not isinstance(value, Mapping):
            raise broken(path, f"an entry of {key}", "is no object")
        image = str(value.get("image_id"))
        if key == "images":
            images[str(value.get("id"))] = value
        elif key == "categories":
            classes[str(value.get("id"))] = str(value.get("name", value.get("id")))
        elif not value.get("segmentation"):
            left_out.setdefault(image, Counter())["box" if value.get("bbox") else "keypoints"] += 1
        else:
            objects.setdefault(image, []).append((str(value.get("category_id")), _read_object(path, value)))
    unknown = objects.keys() - images.keys()
    if unknown:
        raise DataError(
            f"{path} has annotations of the image {min(unknown)}, which is not among its images.",
            "Export the annotations again.",
        )
    found: dict[str, Annotations] = {}
    for number, entry in images.items():
        stem = image_stem(PurePosixPath(str(entry.get("file_name", number)).replace("\\", "/")).name)
        stem = normalize("NFC", stem)  # as names of files are compared
        if stem in found:
            raise DataError(f"{path} names two images '{stem}'.", "Split it into a file for each folder.")
        height, width = entry.get("height"), entry.get("width")
        size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        drawn = [_with_class(one, classes.get(category, "")) for category, one in objects.get(number, ())]
        found[stem] = Annotations(path, drawn, size, without_area(path, left_out.get(number, {})))
    return found


def _with_class(drawn: Drawn, name: str) -> Drawn:
    return replace(drawn, name=name, title=f"{drawn.title}{f' ({name})' if name else ''}")


def _read_object(path: Path, given: Mapping[str, Any]) -> Drawn:
    """Return an object, whose class is not known yet."""
    title, segmentation = f"annotation {given.get('id')}", given["segmentation"]
    parts: tuple[Part, ...]
    if isinstance(segmentation, Mapping):
        parts = (_read_runs(path, title, segmentation),)
    elif isinstance(segmentation, list):
        rings = [_ring(path, title, numbers) for numbers in segmentation]
        parts = tuple((one,) for one in rings)
    else:
        raise broken(path, title, "has a segmentation that is neither polygons nor run lengths")
    return Drawn(title, parts, crowd=bool(given.get("iscrowd")))


def _ring(path: Path, title: str, numbers: Any) -> NDArray[np.float64]:
    if not isinstance(numbers, list) or len(numbers) % 2:
        raise broken(path, title, "has a polygon that is no list of x, y, x, y, ...")
    return ring([numbers[place : place + 2] for place in range(0, len(numbers), 2)], title, path)


def _read_runs(path: Path, title: str, given: Mapping[str, Any]) -> Part:
    """Return the pixels of run lengths, which go down the columns: outside, inside, outside, ..."""
    counts = given.get("counts")
    try:
        height, width = (int(side) for side in given["size"])
        lengths = _unpack(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
        fits = lengths.ndim == 1 and bool((lengths >= 0).all()) and int(lengths.sum()) == height * width
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        fits = False
    if not fits:
        raise broken(path, title, "has run lengths that do not fill its size")
    bounds = np.cumsum(lengths)
    starts, stops = bounds[0 : len(bounds) - 1 : 2], bounds[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return bitmap_runs(np.zeros((0, 0), np.bool_), 0, 0)
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    steps = np.zeros((right - left) * height + 1, np.int8)  # only the columns of the object, not the whole image
    steps[starts - left * height] = 1
    steps[stops - left * height] = -1
    inside = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
    return bitmap_runs(inside.reshape(right - left, height).T, 0, left)


def _unpack(text: str) -> NDArray[np.int64]:
    """Return the run lengths of COCO's compressed form.

    Each number is in characters of 5 bits, the lowest first, and the sixth bit says that another character follows.
    From the fourth number on it is the difference to the number two before (`rleToString` of COCO's maskApi.c).
    """
    lengths: list[int] = []
    number = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & CONTINUED:
            continue
        if bits & 0x10:
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = shift = 0
    return np.array(lengths, np.int64)
