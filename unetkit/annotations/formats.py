"""The table of annotation files: the suffix and the content of a file decide how it is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import error as ZlibError  # noqa: N812  # it is a class

from unetkit.annotations.coco import images_of, is_coco, read_coco
from unetkit.annotations.fiji import is_roi, read_rois
from unetkit.annotations.labelme import is_labelme, read_labelme
from unetkit.annotations.objects import Annotations, Reader
from unetkit.annotations.qupath import is_geojson, read_geojson
from unetkit.foundation.errors import DataError
from unetkit.io.base.format import ends_with

START_BYTES = 2**16
"""Bytes from the start of a file that formats are recognised by."""


@dataclass(frozen=True)
class AnnotationFormat:
    """A kind of annotation file.

    Attributes:
        name: What it is called.
        suffixes: Endings (lower case) of such files.
        sniff: Whether a file is of this format, given its path and its first bytes. It raises nothing.
        read: Reads what a file holds for an image.
        images: Returns the names of the images that a file is for; None where each file is for one image.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    read: Reader
    images: Callable[[Path], list[str]] | None = None


def _as_text(sniff: Callable[[Path, str], bool]) -> Callable[[Path, bytes], bool]:
    return lambda path, start: sniff(path, start.decode("utf-8", "ignore"))


FIJI = AnnotationFormat("Fiji ROI", (".roi", ".zip"), is_roi, read_rois)
QUPATH = AnnotationFormat(
    "QuPath GeoJSON", (".geojson", ".json", ".geojson.gz", ".json.gz"), _as_text(is_geojson), read_geojson
)
LABELME = AnnotationFormat("labelme JSON", (".json",), _as_text(is_labelme), read_labelme)
COCO = AnnotationFormat("COCO JSON", (".json", ".json.gz"), _as_text(is_coco), read_coco, images_of)

FORMATS = (FIJI, QUPATH, LABELME, COCO)

SUFFIXES = tuple(sorted({suffix for one in FORMATS for suffix in one.suffixes}, key=len, reverse=True))
"""All endings, the longest first."""


def has_annotation_suffix(path: Path) -> bool:
    """Return whether a path ends as annotation files do."""
    return ends_with(path, SUFFIXES)


def annotation_format(path: Path) -> AnnotationFormat | None:
    """Return the format of an annotation file; None for any other file."""
    if not has_annotation_suffix(path) or not path.is_file():
        return None
    start = _read_start(path)
    return next((one for one in FORMATS if ends_with(path, one.suffixes) and one.sniff(path, start)), None)


def read_annotations(path: Path, image: str) -> Annotations:
    """Read what a file holds for an image.

    Args:
        path: The file.
        image: Name of the image, without its suffix.

    Raises:
        DataError: It is no annotation file, cannot be read, or holds nothing but lines and points.
    """
    found = annotation_format(path)
    if found is None:
        if not path.is_file():
            raise DataError(f"There is no annotation file {path}.", "Check its name and folder.")
        names = ", ".join(f"{one.name} ({', '.join(one.suffixes)})" for one in FORMATS)
        raise DataError(f"{path} is no annotation file that is read.", f"Give one of {names}.")
    drawn = found.read(path, image)
    if drawn.notes and not drawn.objects:  # it would become a mask of background alone
        raise DataError(
            f"Nothing that is drawn in {path} has an area. {' '.join(drawn.notes)}",
            "Draw outlines around objects; or remove what is drawn, if the image has none.",
        )
    return drawn


def annotation_stem(path: Path) -> str:
    """Return the name of an annotation file without its suffix.

    >>> annotation_stem(Path("slide.geojson.gz"))
    'slide'
    """
    name = path.name
    return next((name[: -len(suffix)] for suffix in SUFFIXES if ends_with(path, (suffix,))), path.stem)


def _read_start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path) as packed:
                return packed.read(START_BYTES)
    except (OSError, EOFError, ZlibError):
        return b""
    return start
