"""Masks that were given in place of instance labels: several objects, but no number above one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unetkit.data.objects import may_be_one_object
from unetkit.foundation.errors import DataError
from unetkit.postprocess.labels import Labels
from unetkit.scoring.given import GivenMask, OpenMask, understood
from unetkit.scoring.items import choose_items

BAND_ROWS = 512
"""Rows that are read at a time."""

MOST_FILES = 3
"""Most files that a message names."""


def check_numbered(
    masks: Sequence[tuple[GivenMask, Sequence[int]]], pages: str | None, name: str, *, volumes: bool = False
) -> None:
    """Raise a DataError if masks hold several objects under one label.

    A single object may be in two pieces. Therefore a mask among others that have numbers is refused only if it clearly
    has none: by its value, 255, or by its many pieces.

    Args:
        masks: All masks of a side, and how many labels there are in each of their chosen planes or volumes.
        pages: The chosen planes; None for all.
        name: Name of all masks together, for the message.
        volumes: Whether planes along Z are volumes.
    """
    single = [mask for mask, counts in masks if max(counts, default=0) <= 1]
    strict = len(single) < len(masks)
    pieces = [(mask.name, _most_pieces(mask, pages, strict=strict, volumes=volumes)) for mask in single]
    found = [(which, count) for which, count in pieces if count > 1]
    if not found:
        return
    others = f", and so have {len(found) - 1} more of {len(masks)} files" if len(found) > 1 else ""
    listed = ", ".join(which for which, _ in found[1:MOST_FILES])
    more = f" ({listed}, ...)" if len(found) > MOST_FILES else f" ({listed})" if listed else ""
    raise DataError(
        f"{name} looks like a mask, not instance labels: {found[0][0]} has {found[0][1]} separate objects, all with "
        f"the same number{others}{more}.",
        "Number the objects (`segment --output labels` does), or leave instances out.",
    )


def _most_pieces(given: GivenMask, pages: str | None, *, strict: bool, volumes: bool) -> int:
    """Return the most pieces that the foreground of a plane or volume has; 1 where that may be one object.

    Args:
        given: The mask.
        pages: The planes to read.
        strict: Whether two pieces are taken for one object, unless they have the value of masks.
        volumes: Whether planes along Z are volumes.
    """
    with understood(given, pages) as mask:
        most = 1
        for item in choose_items(mask.info, pages, volumes=volumes):
            count, value = _count_pieces(mask, item.planes, volumes=volumes)
            if not strict or not may_be_one_object(value, count):
                most = max(most, count)
        return most


def _count_pieces(mask: OpenMask, planes: Sequence[int], *, volumes: bool) -> tuple[int, int]:
    """Return how many parts the foreground of a plane or volume has, and its highest label; takes a byte per pixel."""
    height = mask.info.height
    bands, highest = [], 0
    for plane in planes:
        for top in range(0, height, height if volumes else BAND_ROWS):
            labels = mask.labels(plane, slice(top, min(top + (height if volumes else BAND_ROWS), height)))
            highest = max(highest, int(labels.max()))
            band = (labels > 0).view(np.uint8)[None]
            bands.append(band[:, None] if volumes else band)
    size = mask.info.size
    return Labels(bands, (len(planes), *size) if volumes else size).count, highest
