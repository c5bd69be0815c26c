"""Whether a mask lies on its image: the outlines in the mask against the edges in the image, moved and turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from unetkit.models.normalization import Normalization
from unetkit.models.statistics import measure_range

Floats = NDArray[np.float32]

COMPARED_SIDE = 768
"""Largest height and width that are compared, in pixels: those of the middle of the image."""

SMALLEST_SIDE = 32
"""Smallest height and width that are compared, in pixels: below, chance decides."""

EDGE_SIGMA = 1.5
"""Standard deviation, in pixels, of the blur before the edges of an image are found."""

LOCAL_SIGMA = 8.0
"""Edges are compared with their surroundings of about this many pixels, or crowded regions would suggest a shift."""

FARTHEST_SHIFT = 64
"""Largest shift that is tried along each axis, in pixels."""

ORIENTATIONS = {
    "as it is": (0, False),
    "turned by 90 degrees": (1, False),
    "turned by 180 degrees": (2, False),
    "turned by 270 degrees": (3, False),
    "mirrored left to right": (0, True),
    "transposed": (1, True),
    "mirrored top to bottom": (2, True),
    "transposed along the other diagonal": (3, True),
}
"""Number of quarter turns counterclockwise, and whether the array is mirrored left to right first."""

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Agreement:
    """How well the outlines of a mask lie on the edges of its image.

    Attributes:
        scores: Agreement for each orientation of the mask that fits the image, in standard deviations of the agreement
            over random shifts: about 0 for a mask of another image, 10 and more for one that fits.
        shift: Pixels (y, x) by which the mask would have to be moved to agree best.
        shifted: Agreement there.
    """

    scores: dict[str, float]
    shift: tuple[int, int]
    shifted: float


def measure_agreement(
    pixels: NDArray[Any], labels: NDArray[Any], ignored: NDArray[np.bool_] | None = None
) -> Agreement | None:
    """Compare a mask with its image, at every shift and in every orientation.

    Args:
        pixels: (C, H, W), raw.
        labels: (H, W), 0 for the background.
        ignored: (H, W), what nobody has annotated; by default nothing. Its border is no outline.

    Returns:
        None where there is nothing to compare: no outline, an even image, or less than 32 pixels.
    """
    height, width = labels.shape
    if min(height, width) < SMALLEST_SIDE:
        return None
    rows, columns = _middle(height), _middle(width)
    outlines = _outlines(labels[rows, columns])
    if ignored is not None and ignored.any():
        outlines[cv2.dilate(ignored[rows, columns].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = 0
    edges = _edges(pixels[:, rows, columns])
    if not outlines.any() or not edges.any():
        return None
    outlines, edges = _local(outlines), _local(edges)
    spectrum = fft.rfft2(edges) * np.conj(fft.rfft2(outlines))
    by_shift = fft.irfft2(spectrum, s=edges.shape)
    deviation = float(by_shift.std())
    if deviation == 0:
        return None
    farthest = [min(FARTHEST_SHIFT, length // 4) for length in edges.shape]
    ranges = [np.r_[-far : far + 1] for far in farthest]
    near = by_shift[np.ix_(*ranges)]
    best = np.unravel_index(int(near.argmax()), near.shape)
    square = edges.shape[0] == edges.shape[1]
    scores = {
        name: float((edges * turn(outlines, name)).sum() / deviation)
        for name, (quarters, _) in ORIENTATIONS.items()
        if square or quarters % 2 == 0
    }
    shift = int(ranges[0][best[0]]), int(ranges[1][best[1]])
    return Agreement(scores, shift, float(near.max() / deviation))


def turn(array: NDArray[Any], orientation: str) -> NDArray[Any]:
    """Return an array (H, W) in one of the `ORIENTATIONS`."""
    quarters, mirrored = ORIENTATIONS[orientation]
    return np.rot90(array[:, ::-1] if mirrored else array, quarters)


def _middle(length: int) -> slice:
    """Return the middle of an axis; what is cut off is the same on both sides, so that mirroring fits."""
    cut = max(0, (length - COMPARED_SIDE + 1) // 2)
    return slice(cut, length - cut)


def _outlines(labels: NDArray[Any]) -> Floats:
    """Mark the pixels (H, W) beside a pixel of another label."""
    marked = np.zeros(labels.shape, np.float32)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    for there, view in ((down, marked[1:]), (down, marked[:-1]), (right, marked[:, 1:]), (right, marked[:, :-1])):
        view[there] = 1
    return marked


def _edges(pixels: NDArray[Any]) -> Floats:
    """Return the strength (H, W) of the edges of an image, over all its channels, without letting few outshine all."""
    if (pixels[1:] == pixels[:1]).all():  # grey, repeated
        pixels = pixels[:1]
    total = np.zeros(pixels.shape[1:], np.float32)
    measured = measure_range(pixels, Normalization(channelwise=True))
    for channel, low, width in zip(pixels, measured.center, measured.scale, strict=True):
        unit = np.clip((channel.astype(np.float32) - low) / width, 0, 1)
        smooth = cv2.GaussianBlur(unit, (0, 0), EDGE_SIGMA)
        total += np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return np.sqrt(total)


def _local(array: Floats) -> Floats:
    """Subtract the mean of the surroundings, then of the whole."""
    rest = array - cv2.GaussianBlur(array, (0, 0), LOCAL_SIGMA)
    centred: Floats = rest - rest.mean()
    return centred
