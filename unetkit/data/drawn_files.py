"""Annotation files beside images: which of them there are, and the images that a file is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unetkit.annotations.formats import COCO, annotation_format, has_annotation_suffix, read_annotations
from unetkit.data.names import Pairs, any_names, image_names
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


def pair_shared(
    images: Sequence[Path], path: Path, names_of_image: Callable[[Path], list[str]] = image_names
) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair images with one file for all of them; returns what `pair_names` does.

    Args:
        images: The images.
        path: The file.
        names_of_image: The names that an image may have in the file.

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
        name = next((name for name in names_of_image(image) if name in left), None)
        if name is None:
            without.append(image)
        else:
            pairs.append((image_stem(image), image, path))
            del left[name]
    return pairs, without, [path / name for name in left]


def image_of(path: Path, image: Path) -> str:
    """Return the name that an image, or a mask of it, has in an annotation file."""
    stem = image_stem(image)
    if not ends_with(path, COCO.suffixes):  # it is quick to know
        return stem
    found = annotation_format(path)
    known = found.images(path) if found is not None and found.images is not None else ()
    return next((name for name in any_names(image) if name in known), stem)


def spans_planes(path: Path, image: str) -> bool:
    """Return whether objects of an annotation file lie in other planes than the first.

    Raises:
        DataError: The file cannot be read.
    """
    places = {one.place for one in read_annotations(path, image).objects}
    return any(position for place in places for position in (place.z, place.t, place.slice))
