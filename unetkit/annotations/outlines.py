"""Checks that outlines lie on the image that they are said to be of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unetkit.annotations.objects import Annotations, Drawn
from unetkit.annotations.spans import Ints
from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageInfo


def check_size(annotations: Annotations, image: ImageInfo) -> None:
    """Raise a DataError if the annotations are of an image of another size."""
    size = annotations.size
    if size is not None and size != image.size:
        raise DataError(
            f"{annotations.path} is of an image of {size[0]} x {size[1]} pixels, but {image.name} has "
            f"{image.height} x {image.width}.",
            "Give the image that was annotated, at its full resolution.",
        )


def check_outlines(drawn: Sequence[Drawn], boxes: Ints, owners: Ints, image: ImageInfo, path: Path) -> list[str]:
    """Compare outlines with the size of the image.

    Args:
        drawn: The objects.
        boxes: (parts, 4) see `Layer`.
        owners: (parts,) place of the object of each part.
        image: Description of the image.
        path: The file, for messages.

    Returns:
        A note on objects that are cut at the border; none if there are none.

    Raises:
        DataError: An object lies outside the image.
    """
    top, bottom, left, right = boxes.T
    some = (bottom > top) & (right > left)
    height, width = image.size
    outside = some & ((bottom <= 0) | (right <= 0) | (top >= height) | (left >= width))
    inside = np.bincount(owners, some & ~outside, len(drawn)) > 0
    lost = np.flatnonzero((np.bincount(owners, outside, len(drawn)) > 0) & ~inside)
    if lost.size:
        place = int(np.flatnonzero(outside & (owners == lost[0]))[0])
        others = f", and so do {lost.size - 1} more of {len(drawn)}" if lost.size > 1 else ""
        raise DataError(
            f"{path}: {drawn[lost[0]].title} lies outside of the image (x {left[place]} to {right[place]}, y "
            f"{top[place]} to {bottom[place]}; {image.name} is {width} wide and {height} high){others}.",
            "Check that the annotations are of this image, in pixels of its full resolution; or remove the object.",
        )
    cut = some & ((top < 0) | (left < 0) | (bottom > height) | (right > width))
    titles = [drawn[place].title for place in np.flatnonzero(np.bincount(owners, cut, len(drawn)) > 0).tolist()]
    return note_on(path, titles, "objects reach over the border of the image: they are cut there")


def note_on(path: Path, titles: Sequence[str], what: str) -> list[str]:
    """Return a sentence on objects with the name of the first; none if there are no objects."""
    more = f" and {len(titles) - 1:,} more" if len(titles) > 1 else ""
    return [f"{path.name}: {what} ({titles[0]}{more})."] if titles else []
