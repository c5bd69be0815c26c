"""Fields of a large image by which people can judge its result: the densest, the emptiest, the least sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.inference.overview.found import Coarse

FIELD = 512
"""Height and width of a field, in pixels of the image."""


@dataclass(frozen=True)
class ShownField:
    """A field and the reason to look at it.

    Attributes:
        title: What is special about it.
        window: Its rows and columns in the image.
    """

    title: str
    window: tuple[slice, slice]


def choose_fields(coarse: Coarse, display: NDArray[np.uint8], size: tuple[int, int]) -> list[ShownField]:
    """Return the densest field, a usual one, the emptiest, and the least sure one where that is known.

    Fields are squares of `FIELD` pixels, or as large as the image. Of equally empty ones the one with most structure is
    taken: there something may have been missed.

    Args:
        coarse: The result at the size of a thumbnail.
        display: (h, w, 3) the image at the same size.
        size: (height, width) of the image.
    """
    density = coarse.shares.sum(0)
    cells = [min(max(round(FIELD * few / many), 1), few) for few, many in zip(density.shape, size, strict=True)]
    shares = _field_means(density, cells)
    structure = _field_means(np.abs(cv2.Laplacian(display.mean(2, dtype=np.float32), cv2.CV_32F)), cells)
    least = shares <= shares.min() + 1e-6
    usual = np.abs(shares - shares[shares > 1e-6].mean()) if (shares > 1e-6).any() else shares
    chosen = [("Densest", _centred(density, cells).argmax()), ("Usual", usual.argmin())]
    chosen.append(("Emptiest, with most structure in the image", np.where(least, structure, -1).argmax()))
    if coarse.doubts is not None:
        chosen.insert(0, ("Least sure", _centred(coarse.doubts, cells).argmax()))
    if shares.max() - shares.min() < 1e-6:  # nothing was found, or everything
        chosen = [each for each in chosen if not each[0].startswith(("Densest", "Usual"))]
    places = {title: np.unravel_index(int(index), shares.shape) for title, index in chosen}
    return [ShownField(title, _window(place, density.shape, size)) for title, place in places.items()]


def _field_means(values: NDArray[np.float32], cells: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean of each field of `cells` pixels, by its first row and column."""
    height, width = cells
    upto = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = upto[height:, width:] - upto[:-height, width:] - upto[height:, :-width] + upto[:-height, :-width]
    means: NDArray[np.float64] = total / (height * width)
    return means


def _centred(values: NDArray[np.float32], cells: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean of each field; of nearly equal ones that is highest whose middle has more."""
    means = _field_means(values, cells)
    inner = [max(length // 2, 1) for length in cells]
    top, left = ((length - less) // 2 for length, less in zip(cells, inner, strict=True))
    middle = _field_means(values, inner)[top : top + len(means), left : left + means.shape[1]]
    return means + 0.05 * middle


def _window(place: Sequence[Any], coarse: Sequence[int], size: Sequence[int]) -> tuple[slice, slice]:
    """Return the pixels of the image of a field that begins at a coarse place."""
    parts = []
    for at, few, many in zip(place, coarse, size, strict=True):
        length = min(FIELD, many)
        first = min(int(at) * many // few, many - length)
        parts.append(slice(first, first + length))
    return parts[0], parts[1]
