"""Annotation files beside images: which of them there are, and the images that a file is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unetkit.annotations.formats import annotation_format, has_annotation_suffix, read_annotations
from unetkit.data.names import Pairs
from unetkit.io.base.format import ends_with
from unetkit.io.files import image_stem

SURE_SUFFIXES = (".geojson", ".geojson.gz", ".roi")
"""Endings of annotation files alone; other files may end as the others do."""


def find_drawn(folder: Path) -> list[Path]:
    """Return the annotation files of a folder, sorted by name; hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and _is_drawn(path)]


def _is_drawn(path: Path) -> bool:
    if ends_with(path, SURE_SUFFIXES):
        return path.is_file()
    return has_annotation_suffix(path) and annotation_format(path) is not None


def is_shared(path: Path) -> bool:
    """Return whether a file is for many images."""
    found = annotation_format(path)
    return found is not None and found.images is not None


def pair_shared(images: Sequence[Path], path: Path) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair images with one file for all of them; returns what `pair_names` does.

    Raises:
        DataError: The file cannot be read.
    """
    found = annotation_format(path)
    assert found is not None
    assert found.images is not None
    left = dict.fromkeys(found.images(path))
    pairs: Pairs = []
    without: list[Path] = []
    for image in images:
        name = image_stem(image)
        if name in left:
            pairs.append((name, image, path))
            del left[name]
        else:
            without.append(image)
    return pairs, without, [path / name for name in left]


def spans_planes(path: Path, image: str) -> bool:
    """Return whether objects of an annotation file lie in other planes than the first.

    Raises:
        DataError: The file cannot be read.
    """
    places = {one.place for one in read_annotations(path, image).objects}
    return any(position for place in places for position in (place.z, place.t, place.slice))
