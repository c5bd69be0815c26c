"""What is measured on each image and its mask: everything that settings and warnings rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label
from skimage.morphology import skeletonize

from unetkit.data.loading import Decoded, hash_pixels
from unetkit.data.pairs import Pair
from unetkit.io.masks.meaning import PLAIN_NUMBERS, Meaning
from unetkit.models.spec import Normalization
from unetkit.models.statistics import measure_statistics
from unetkit.planning.agreement import Agreement, measure_agreement

SMALLEST_OBJECT = 12
"""Pieces of fewer pixels are no objects, but slips of the pen."""

THUMBNAIL = 32
"""Height and width of the thumbnails that are compared to find copies, in pixels."""

INVERTING = Normalization(bright_background="invert")


@dataclass(frozen=True)
class Look:
    """One image and its mask.

    Attributes:
        pair: Where they are.
        dtype: Type of the pixels.
        channels: Number of channels.
        height: In pixels.
        width: In pixels.
        nbytes: Bytes of the decoded image and mask.
        constant: Whether all pixels of the image are the same.
        saturated: Share of the foreground (of the image, where there is none) at the top of the detector's range.
        contrast: How much brighter the foreground is than the background, in standard deviations of the image's grey
            values; None where one of the two is missing, 0 for a constant image.
        bright_background: Whether it would be turned around, see `Normalization.bright_background`.
        foreground: Share of the mask above zero.
        values: The different labels above zero, in order.
        diameters: Equivalent diameter of each object in pixels: a connected piece of one label.
        pieces: Number of connected pieces of one label, specks included.
        touching: Number of labels that touch another one.
        largest: Share of the image that the largest piece covers.
        holes: Number of pieces of background.
        width_of_rarer: Width of the foreground or the background, whichever is rarer: its area by the length of its middle
            line, in pixels; infinite where there is none. Thin are membranes between cells, vessels, fibres.
        digest: Hash of the pixels of the image, see `hash_pixels`.
        thumbnail: (32, 32) float32, the fine structure of the image: mean 0 and length 1, or 0 if it is even.
        agreement: How the mask lies on the image; None where that cannot be told.
        meaning: What the values of the mask mean.
    """

    pair: Pair
    dtype: str
    channels: int
    height: int
    width: int
    nbytes: int
    constant: bool
    saturated: float
    contrast: float | None
    bright_background: bool
    foreground: float
    values: tuple[int, ...]
    diameters: NDArray[np.float32]
    pieces: int
    touching: int
    largest: float
    holes: int
    width_of_rarer: float
    digest: str
    thumbnail: NDArray[np.float32]
    agreement: Agreement | None
    meaning: Meaning = PLAIN_NUMBERS

    @property
    def name(self) -> str:
        """What to call it: its file, or its page of a stack."""
        return self.pair.image.name if self.pair.image_plane is None else self.pair.name


def look_at(decoded: Decoded, *, compare: bool = True) -> Look:
    """Measure an image and its mask.

    Args:
        decoded: The two.
        compare: Whether the mask's outlines are compared with the image's edges, which takes most of the time.
    """
    pixels, labels = decoded.pixels, decoded.labels_or_background
    inside = labels > 0
    values = np.unique(labels[inside])
    pieces = np.asarray(label(labels, background=0, connectivity=2))  # type: ignore[no-untyped-call]
    areas = np.bincount(pieces.ravel())[1:]
    share = float(inside.mean())
    return Look(
        pair=decoded.pair,
        dtype=str(decoded.info.dtype),
        channels=pixels.shape[0],
        height=labels.shape[0],
        width=labels.shape[1],
        nbytes=pixels.nbytes + labels.nbytes,
        constant=bool(pixels.min() == pixels.max()),
        saturated=_saturated(pixels, inside),
        contrast=_contrast(pixels, inside) if 0 < share < 1 else None,
        bright_background=bool(measure_statistics(pixels, INVERTING).scale[0] < 0),
        foreground=share,
        values=tuple(values.tolist()),
        diameters=(2 * np.sqrt(areas[areas >= SMALLEST_OBJECT] / np.pi)).astype(np.float32),
        pieces=len(areas),
        touching=_touching(labels) if values.size > 1 else 0,
        largest=float(areas.max() / labels.size) if areas.size else 0.0,
        holes=_holes(inside),
        width_of_rarer=_width(inside if share <= 0.5 else ~inside),
        digest=hash_pixels(pixels),
        thumbnail=_thumbnail(pixels),
        agreement=measure_agreement(pixels, labels) if compare else None,
        meaning=decoded.meaning,
    )


def _saturated(pixels: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    """Return the share of the foreground at the top of the range: of 8, 10, 12, 14 or 16 bits, in all channels."""
    if pixels.dtype.kind != "u":
        return 0.0
    highest = int(pixels.max())
    top = next((2**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits), None)
    if highest != top:
        return 0.0
    full = (pixels == top).all(axis=0)
    return float(full[inside].mean() if inside.any() else full.mean())


def _contrast(pixels: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    grey = pixels.mean(axis=0, dtype=np.float32)
    return float((grey[inside].mean() - grey[~inside].mean()) / (grey.std() or 1))


def _touching(labels: NDArray[Any]) -> int:
    """Count the labels of which a pixel has a neighbour, diagonal ones included, of another label above zero."""
    found = []
    below, above = (slice(1, None), slice(None, -1))
    for one, other in (
        (labels[below], labels[above]),
        (labels[:, below], labels[:, above]),
        (labels[below, below], labels[above, above]),
        (labels[below, above], labels[above, below]),
    ):
        differ = (one != other) & (one > 0) & (other > 0)
        found += [one[differ], other[differ]]
    return len(np.unique(np.concatenate(found)))


def _holes(inside: NDArray[np.bool_]) -> int:
    """Count the pieces of background that are no specks."""
    statistics = cv2.connectedComponentsWithStats((~inside).astype(np.uint8), connectivity=4)[2]
    return int(np.count_nonzero(statistics[1:, cv2.CC_STAT_AREA] >= SMALLEST_OBJECT))


def _width(region: NDArray[np.bool_]) -> float:
    """Return the area of a region by the length of its skeleton, which a disc hardly has."""
    length = np.count_nonzero(skeletonize(region))  # type: ignore[no-untyped-call]
    return float(np.count_nonzero(region) / length) if length else float("inf")


def _thumbnail(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return what is left of a small version of the image without its coarse light and shade, as a unit vector."""
    grey = pixels.mean(axis=0, dtype=np.float32)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    fine = small - cv2.GaussianBlur(small, (0, 0), THUMBNAIL / 8)
    fine -= fine.mean()
    length = float(np.linalg.norm(fine))
    even: NDArray[np.float32] = np.zeros_like(fine)
    return fine / np.float32(length) if length > 0 else even
