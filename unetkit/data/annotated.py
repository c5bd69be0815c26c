"""What of an image is annotated: where crops may be placed, how much it is, and which objects are drawn whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from unetkit.foundation.errors import DataError
from unetkit.io.masks.ignored import find_ignored

UNKNOWN = -1
"""Class, or value of a distance map, of a pixel of which nobody has said what it is."""

ANNOTATED_POINTS = 4096
"""Number of annotated positions that are kept for each image that is not annotated everywhere."""

CELLS = {2: 64, 3: 32}
"""Side, in pixels, of the squares (or cubes) by which the annotated part of an image (or a volume) is measured."""

AROUND = np.ones((3, 3), np.uint8)
"""Structuring element of a pixel and its 8 neighbours."""


def annotated_points(ignored: Iterable[NDArray[np.bool_]]) -> NDArray[np.int32] | None:
    """Draw a fixed sample (n, axes) of annotated positions, such as y, x, evenly; None where all is annotated.

    Args:
        ignored: What nobody has annotated, in slabs (...) that follow each other along the first axis; they are gone
            through twice.
    """
    counts = [(slab.size, slab.size - np.count_nonzero(slab)) for slab in ignored]
    total = sum(annotated for _, annotated in counts)
    if total == sum(size for size, _ in counts):
        return None
    places = np.arange(total)
    if total > ANNOTATED_POINTS:
        places = np.random.default_rng(0).integers(0, total, ANNOTATED_POINTS)
    found, seen, start = [], 0, 0
    drawn: list[NDArray[np.intp]] = []
    for slab in ignored:
        positions = np.flatnonzero(~slab)
        inside = np.flatnonzero((places >= seen) & (places < seen + len(positions)))
        points = np.stack(np.unravel_index(positions[places[inside] - seen], slab.shape), axis=1).astype(np.int32)
        points[:, 0] += start
        found.append(points)
        drawn.append(inside)
        seen, start = seen + len(positions), start + len(slab)
    result: NDArray[np.int32] = np.concatenate(found)[np.argsort(np.concatenate(drawn))]
    return result


def covered_area(ignored: Iterable[NDArray[np.bool_]]) -> int:
    """Return the pixels of an image in squares (or cubes) with a side of `CELLS` that hold an annotated pixel.

    Crops around a few strokes see more than the strokes, and nothing of an image far from them.

    Args:
        ignored: What nobody has annotated, in slabs (...) that follow each other along the first axis.
    """
    held: dict[int, NDArray[np.bool_]] = {}
    rest: tuple[int, ...] = ()
    start, cell = 0, 0
    for slab in ignored:
        rest, cell = slab.shape[1:], CELLS[slab.ndim]
        annotated = ~slab
        for axis, length in enumerate(rest, 1):
            annotated = np.logical_or.reduceat(annotated, np.arange(0, length, cell), axis=axis)
        cuts = [start, *range((start // cell + 1) * cell, start + len(slab), cell), start + len(slab)]
        for first, stop in pairwise(cuts):
            some = np.asarray(annotated[first - start : stop - start].any(axis=0))
            held[first // cell] = some | held.get(first // cell, np.False_)
        start += len(slab)
    lengths = [np.minimum(cell, length - np.arange(0, length, cell)) for length in (start, *rest)]
    pixels = reduce(np.multiply.outer, lengths)
    return int((np.stack([held[place] for place in sorted(held)]) * pixels).sum())


def cut_objects(objects: NDArray[Any], ignored: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the numbers, 0 left out, of the objects (...) that touch what nobody has annotated, diagonally too.

    They may go on there, so neither their size nor their outline is known.
    """
    if ignored.ndim == 2:
        near = cv2.dilate(ignored.astype(np.uint8), AROUND) > 0
    else:
        near = binary_dilation(ignored, np.ones((3,) * ignored.ndim, np.bool_))
    touched = np.unique(objects[near])
    return touched[touched > 0]


def mask_of(targets: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return the class of each pixel (...), `UNKNOWN` where nobody has annotated.

    Args:
        targets: Classes or numbers of objects of an unsigned or signed type, whose highest value stands for what nobody
            has annotated.
        classes: Number of classes; for 2, each value above zero is 1.
    """
    mask = (targets > 0 if classes == 2 else targets).astype(np.int64)
    mask[targets == np.iinfo(targets.dtype).max] = UNKNOWN
    return mask


def as_targets(numbers: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Return numbers (...) with the highest value of their type where labels say that nobody has annotated."""
    ignored = find_ignored(labels)
    if not ignored.any():
        return numbers
    targets: NDArray[Any] = np.where(ignored, np.iinfo(numbers.dtype).max, numbers).astype(numbers.dtype)
    return targets


def check_annotated(shares: Sequence[tuple[str, float]]) -> None:
    """Raise a DataError if nothing of an image is annotated.

    Args:
        shares: Name of each image, and the share of its pixels that is annotated.
    """
    bare = [name for name, share in shares if share == 0]
    if bare:
        more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
        raise DataError(
            f"No pixel of {', '.join(bare[:3])}{more} is annotated: all of the mask has the value for that.",
            "Annotate something there, or remove the image and its mask.",
        )


def describe_annotated(shares: Sequence[tuple[float, int]], ignore: int | None) -> str:
    """Return a sentence on how much of some images is annotated; "" where all is and nothing else was to be expected.

    Args:
        shares: Share of the pixels of each image that is annotated, and its pixels.
        ignore: Value that marks what nobody has annotated, if one was given.
    """
    partly = [(share, size) for share, size in shares if share < 1]
    if not partly:
        return (
            "" if ignore is None else f"No pixel of the masks has the value {ignore} (data.ignore): all is annotated."
        )
    share = sum(share * size for share, size in partly) / sum(size for _, size in partly)
    others = len(shares) - len(partly)
    whole = f"; {others} more {'is' if others == 1 else 'are'} annotated everywhere" if others else ""
    images = "image is" if len(partly) == 1 else "images are"
    return f"{100 * share:.3g} % of the pixels of {len(partly)} {images} annotated{whole}."
