"""What is measured on each image and its mask. Settings and warnings are based on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label
from skimage.morphology import skeletonize

from unetkit.data.annotated import covered_area, cut_objects
from unetkit.data.loading import Viewed, hash_slabs
from unetkit.data.masks import to_class_numbers
from unetkit.data.pairs import Pair
from unetkit.io.masks.ignored import find_ignored
from unetkit.io.masks.meaning import PLAIN_NUMBERS, Meaning
from unetkit.models.normalization import Normalization
from unetkit.models.statistics import measure_statistics
from unetkit.planning.agreement import Agreement, measure_agreement

SMALLEST_OBJECT = 12
"""Fewest pixels of an object: smaller pieces are drawn by mistake."""

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
        size: Pixels along each axis: (height, width), or (depth, height, width) of a volume.
        voxel: Size of a voxel (z, y, x) of a volume in micrometres, if it is known.
        nbytes: Bytes of the decoded image and mask.
        constant: Whether all pixels of the image are the same.
        saturated: Share of the foreground (of the image, where there is none) at the top of the detector's range.
        contrast: How much brighter the foreground is than the background, in standard deviations of the image's grey
            values; None where one of the two is missing, 0 for a constant image.
        bright_background: Whether the image would be inverted, see `Normalization.bright_background`.
        annotated: Share of the mask that is annotated. What is not is neither foreground nor background.
        area: Pixels of the annotated part of the image, see `covered_area`.
        foreground: Share of what is annotated that is above zero.
        values: The different labels above zero, in order.
        diameters: Equivalent diameter of each object in pixels (of a plane of volumes): a connected piece of one label.
            Objects that touch what nobody has annotated are left out, since they may go on there.
        pieces: Number of connected pieces of one label, specks included.
        touching: Number of labels that touch another one.
        largest: Share of the image that the largest piece covers.
        holes: Number of pieces of background, without specks.
        width_of_rarer: Width of the foreground or the background, whichever is rarer: its area divided by the
            length of its skeleton, in pixels; infinite where there is none. Membranes, vessels and fibres are thin.
            Pieces that touch what nobody has annotated are left out: a stroke is as thin as the pen.
        digest: Hash of the pixels of the image, see `hash_pixels`.
        thumbnail: (32, 32) float32, the fine structure of the image: mean 0 and length 1, or 0 if it is even.
        agreement: How the mask lies on the image; None where it was not or cannot be measured.
        meaning: What the values of the mask mean.
        drawn: What the labels number where annotations or a table of colours say so; None for other masks.
    """

    pair: Pair
    dtype: str
    channels: int
    size: tuple[int, ...]
    nbytes: int
    constant: bool
    saturated: float
    contrast: float | None
    bright_background: bool
    annotated: float
    area: int
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
    drawn: Literal["instances", "classes"] | None = None
    voxel: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Name for messages: the file, or the page of a stack."""
        whole = self.pair.image_plane is None and not self.pair.part
        return self.pair.image.name if whole else self.pair.name


def look_at(viewed: Viewed, *, compare: bool = True, classes: bool = True) -> Look:
    """Measure an image or a volume and its mask.

    Of a volume too large to be looked at whole, the slab with the most foreground is. What is measured of planes, such
    as the width of structures, is that of its plane with the most foreground.

    Args:
        viewed: The two.
        compare: Whether the mask's outlines are compared with the image's edges, which takes most of the time.
        classes: Whether objects that were drawn are looked at by their classes, where there are several.
    """
    pixels, labels, annotated, area = _choose_part(viewed)
    table = viewed.meaning.class_of
    classes = classes and table is not None and len(viewed.pair.classes) > 1
    if classes and table is not None:
        labels = to_class_numbers(labels, table)
    ignored = find_ignored(labels)
    inside = labels > 0
    outside = ~(inside | ignored)
    values = np.unique(labels[inside])
    drawn = np.where(ignored, 0, labels) if ignored.any() else labels
    pieces = np.asarray(label(drawn, background=0, connectivity=labels.ndim))
    areas = np.bincount(pieces.ravel())
    whole = np.delete(areas, [0, *cut_objects(pieces, ignored)])
    areas = areas[1:]
    share = float(inside.sum() / max(labels.size - np.count_nonzero(ignored), 1))
    flat = _fullest(inside)
    plane = pixels if not flat else pixels[:, flat[0]]
    voxel = viewed.info.pixel_size_um if viewed.pair.dims == 3 else None
    return Look(
        pair=viewed.pair,
        dtype=str(viewed.info.dtype),
        channels=viewed.channels,
        size=viewed.size,
        nbytes=prod(viewed.size) * (viewed.channels * pixels.itemsize + labels.itemsize),
        constant=bool(pixels.min() == pixels.max()),
        saturated=_saturated(pixels, inside),
        contrast=_contrast(pixels, inside, outside) if 0 < share < 1 else None,
        bright_background=bool(measure_statistics(pixels, INVERTING).scale[0] < 0),
        annotated=annotated / prod(viewed.size),
        area=area,
        foreground=share,
        values=tuple(values.tolist()),
        diameters=_diameters(whole[whole >= SMALLEST_OBJECT], labels.ndim, voxel),
        pieces=len(areas),
        touching=_touching(labels) if values.size > 1 else 0,
        largest=float(areas.max() / labels.size) if areas.size else 0.0,
        holes=_holes(outside[flat]),
        width_of_rarer=_width(_whole_pieces((inside if share <= 0.5 else outside)[flat], ignored[flat])),
        digest=hash_slabs(viewed.pixel_slabs, (viewed.channels, *viewed.size)),
        thumbnail=_thumbnail(plane),
        agreement=measure_agreement(plane, labels[flat], ignored[flat]) if compare else None,
        meaning=viewed.meaning,
        drawn="classes" if classes else "instances" if viewed.meaning.kind == "drawn" else None,
        voxel=voxel,
    )


def _choose_part(viewed: Viewed) -> tuple[NDArray[Any], NDArray[Any], int, int]:
    """Return pixels (C, ...) and labels (...) of the slab with the most foreground, and of the whole what is annotated.

    Returns:
        The slab, all of what has one slab; the number of annotated pixels, and their area, see `covered_area`.
    """
    best: tuple[int, int] | None = None
    for number, part in enumerate(viewed.label_slabs):
        count = int(np.count_nonzero(part > 0))
        best = (count, number) if best is None or count > best[0] else best
    assert best is not None
    pixels, labels = (next(islice(slabs, best[1], None)) for slabs in (viewed.pixel_slabs, viewed.label_slabs))
    ignored = [find_ignored(part) for part in viewed.label_slabs]
    annotated = sum(part.size - int(np.count_nonzero(part)) for part in ignored)
    return pixels, labels, annotated, covered_area(ignored)


def _fullest(inside: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return where the plane with the most foreground is in a volume (z, y, x); () for a plane."""
    return () if inside.ndim == 2 else (int(np.count_nonzero(inside, axis=(1, 2)).argmax()),)


def _diameters(sizes: NDArray[Any], axes: int, voxel: tuple[float, ...] | None) -> NDArray[np.float32]:
    """Return the diameters of discs, or of spheres in pixels of their planes, of so many pixels."""
    if axes == 2:
        return (2 * np.sqrt(sizes / np.pi)).astype(np.float32)
    thick = 1.0 if voxel is None else voxel[0] / (voxel[1] * voxel[2]) ** 0.5
    return np.cbrt(6 * sizes * thick / np.pi).astype(np.float32)


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


def _contrast(pixels: NDArray[Any], inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float:
    grey = pixels.mean(axis=0, dtype=np.float32)
    return float((grey[inside].mean() - grey[outside].mean()) / (grey.std() or 1))


def _touching(labels: NDArray[Any]) -> int:
    """Count the labels of which a pixel has a neighbour, diagonal ones included, of another label above zero."""
    found = []
    for step in product((0, 1, -1), repeat=labels.ndim):
        if next((one for one in step if one), -1) < 0:  # the opposite direction is the same pairs
            continue
        ahead, behind = (
            labels[tuple({0: slice(None), 1: slice(1, None), -1: slice(None, -1)}[sign * one] for one in step)]
            for sign in (1, -1)
        )
        differ = (ahead != behind) & (ahead > 0) & (behind > 0)
        found += [ahead[differ], behind[differ]]
    return len(np.unique(np.concatenate(found)))


def _holes(outside: NDArray[np.bool_]) -> int:
    """Count the pieces of background that are no specks."""
    statistics = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)[2]
    return int(np.count_nonzero(statistics[1:, cv2.CC_STAT_AREA] >= SMALLEST_OBJECT))


def _whole_pieces(region: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a region without its pieces that touch what nobody has annotated."""
    if not ignored.any():
        return region
    pieces = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)[1]
    return region & ~np.isin(pieces, cut_objects(pieces, ignored))


def _width(region: NDArray[np.bool_]) -> float:
    """Return the area of a region divided by the length of its skeleton; a disc has hardly any skeleton."""
    length = np.count_nonzero(skeletonize(region))
    return float(np.count_nonzero(region) / length) if length else float("inf")


def _thumbnail(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the fine structure of a small version of the image, as a unit vector."""
    grey = pixels.mean(axis=0, dtype=np.float32)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    fine = small - cv2.GaussianBlur(small, (0, 0), THUMBNAIL / 8)
    fine -= fine.mean()
    length = float(np.linalg.norm(fine))
    even: NDArray[np.float32] = np.zeros_like(fine)
    return fine / np.float32(length) if length > 0 else even
