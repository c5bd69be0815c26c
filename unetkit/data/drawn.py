"""Annotations as masks to train on: numbers of objects, from which those of their classes follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.annotations.classes import names_of, number_of, settle_names
from unetkit.annotations.formats import has_annotation_suffix, read_annotations
from unetkit.annotations.source import AnnotationSource
from unetkit.data.drawn_files import image_of
from unetkit.data.pairs import Pair
from unetkit.data.volumes import planes_of, seen_as, whole
from unetkit.io.base.contracts import Window
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.masks.meaning import Meaning
from unetkit.io.masks.rules import AsIs

KEPT_FILES = 8
"""How many annotation files are kept as they were read, for windows of images that are not in memory."""


def is_drawn(pair: Pair) -> bool:
    """Return whether the mask of an image is an annotation file."""
    return pair.mask is not None and has_annotation_suffix(pair.mask)


def name_classes(pairs: Sequence[Pair], others: Sequence[Pair] = ()) -> list[Pair]:
    """Return pairs with the names of their classes, which are those of all annotation files together.

    Args:
        pairs: The pairs.
        others: Further pairs of the same run.

    Raises:
        DataError: A file cannot be read, or there are too many classes.
    """
    drawn = [pair for pair in pairs if is_drawn(pair)]
    if not drawn:
        return list(pairs)
    found = [_names_in(*_file_of(pair)) for pair in (*drawn, *filter(is_drawn, others))]
    where = str(drawn[0].mask) if len(found) == 1 else f"{drawn[0].mask} and {len(found) - 1} more"
    names = settle_names(set().union(*found), where=where)
    return [replace(pair, classes=names) if is_drawn(pair) else pair for pair in pairs]


def read_drawn(pair: Pair, window: Window | None, meaning: Meaning | None) -> tuple[NDArray[Any], Meaning]:
    """Draw the objects of an annotation file.

    Args:
        pair: Where it is.
        window: Part of the image; all by default.
        meaning: What the values mean, as a reading of the whole decided; needed with a window.

    Returns:
        (h, w) or (d, h, w) numbers of objects, see `Meaning.labels`; and the meaning.

    Raises:
        DataError: The file cannot be read or does not fit the image.
        ImageError: The image cannot be read.
    """
    source = _open(*_file_of(pair), pair.image, pair.image_axes, pair.classes)
    if meaning is not None:
        seen = seen_as(source, pair)
        return meaning.labels(seen.read(pair.mask_plane or 0, window or whole(seen.info))), meaning
    read: list[NDArray[Any]] = []
    found = _decide(source, pair, read.append)
    return found.labels(read[0] if pair.depth is None else np.stack(read, axis=1)), found


def meaning_of_drawn(pair: Pair) -> Meaning:
    """Return what the values of drawn objects mean, as `read_drawn` does, drawing plane by plane.

    Raises:
        DataError: The file cannot be read or does not fit the image.
        ImageError: The image cannot be read.
    """
    return _decide(_open(*_file_of(pair), pair.image, pair.image_axes, pair.classes), pair, lambda _: None)


def _decide(source: AnnotationSource, pair: Pair, take: Callable[[NDArray[Any]], None]) -> Meaning:
    """Draw each plane of a pair, and return what its values mean."""
    tally, planes = source.tally(), planes_of(source.info, pair)
    for plane in planes:
        take(source.read(plane, whole(source.info), tally))
    numbers = [number_of(one, pair.classes) for one in source.objects] if pair.classes else []
    classes = np.array([0, *numbers], np.int32) if pair.classes else None
    return drawn_meaning(source, source.notes(tally, planes), classes)


def drawn_meaning(source: AnnotationSource, notes: Sequence[str], class_of: NDArray[np.int32] | None = None) -> Meaning:
    """Return what the values of drawn objects mean.

    Args:
        source: The objects.
        notes: Sentences on them.
        class_of: The number of the class of each, see `Meaning`.
    """
    taken = " ".join(notes).removesuffix(".")
    return Meaning("drawn", taken, source.info.encoding, AsIs(), ignore=source.ignore_value, class_of=class_of)


def _file_of(pair: Pair) -> tuple[Path, int, str]:
    """Return the annotation file of a pair, when it was changed, and the name of its image."""
    assert pair.mask is not None
    return pair.mask, pair.mask.stat().st_mtime_ns, image_of(pair.mask, pair.image)


@cache
def _names_in(path: Path, changed: int, image: str) -> frozenset[str]:  # noqa: ARG001  # a changed file is read again
    return frozenset(names_of(read_annotations(path, image).objects))


@lru_cache(maxsize=KEPT_FILES)
def _open(
    path: Path,
    changed: int,  # noqa: ARG001
    name: str,
    image: Path,
    axes: str | None,
    classes: tuple[str, ...],
) -> AnnotationSource:
    with closing(open_image(image, ReadOptions(axes=axes))) as opened:
        return AnnotationSource(read_annotations(path, name), opened.info, "labels", classes)
