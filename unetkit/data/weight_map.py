"""How much each pixel counts: rare classes more, and gaps between objects most (the U-Net paper, MICCAI 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import cv2
import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from unetkit.data.masks import Masks
from unetkit.data.objects import number_apart
from unetkit.data.volumes import Spacing, slabs
from unetkit.foundation.errors import ConfigError
from unetkit.foundation.threads import map_in_threads
from unetkit.io.base.contracts import Window
from unetkit.io.masks.ignored import find_ignored

REACH_SIGMAS = 4
"""Distance from an object up to which it counts, in `sigma`. Beyond it less than 1/2980 of `w0` is lost."""


@dataclass(frozen=True)
class BorderWeight:
    """The weight of gaps between objects, `w0 exp(-(d1 + d2)^2 / (2 sigma^2))`.

    Args:
        w0: Weight of a gap that has no width; 10 in the paper.
        sigma: How fast the weight falls with the width of the gap, in pixels of the images; 5 in the paper.
    """

    w0: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        if self.w0 < 0 or self.sigma <= 0:
            raise ConfigError(
                f"A border weight of w0={self.w0:g}, sigma={self.sigma:g} is not possible.",
                "Use w0 of 0 or more and sigma above 0.",
            )


class WeightMaps:
    """The weights of the pixels of training images: `w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))`.

    `w_c` balances the classes: each has the same sum over all that is annotated, and the mean is 1. The borders of
    images that the store keeps in memory are computed once, with 2 bytes for each pixel; those of the others for each
    window anew.

    Args:
        masks: The masks of all images.
        indices: The images to train on.
        classes: Number of mask values; for 2, every label above zero is foreground.
        border: How much gaps count.
        spacing: Size of a voxel of each volume for which it is known.

    Attributes:
        class_weights: (classes,) float32: w_c of each class; 0 for one that is nowhere.
    """

    def __init__(
        self,
        masks: Masks,
        indices: Sequence[int],
        classes: int,
        border: BorderWeight,
        spacing: Mapping[int, Spacing] | None = None,
    ) -> None:
        self._spacing = dict(spacing or {})
        self._masks = masks
        self._classes = classes
        self._border = border
        measured = map_in_threads(self._measure, indices)
        self._kept = {i: kept for i, (_, kept) in zip(indices, measured, strict=True) if kept is not None}
        counts = sum((counted for counted, _ in measured), np.zeros(classes))
        present = counts > 0
        self.class_weights = np.zeros(classes, np.float32)
        self.class_weights[present] = counts.sum() / (present.sum() * counts[present])

    def read(self, index: int, window: Window, classes: NDArray[Any]) -> NDArray[np.float32]:
        """Return the weights (...) of a window, 0 where nobody has annotated.

        Args:
            index: The image.
            window: Inside the image.
            classes: (...) class of each pixel there; the highest value of their type where nobody has annotated.
        """
        if index in self._kept:
            border = self._kept[index][window].astype(np.float32)
        else:
            sizes, spacing = self._masks.records[index].size, self._spacing.get(index)
            reaches = _reaches(len(sizes), self._border, spacing)
            seen = tuple(_grow(*each) for each in zip(window, reaches, sizes, strict=True))
            labels = self._masks.read(index, seen)
            inner = tuple(slice(w.start - s.start, w.stop - s.start) for w, s in zip(window, seen, strict=True))
            border = weigh_borders(number_apart(labels, self._classes), self._border, spacing)[inner]
        known = classes != np.iinfo(classes.dtype).max
        weights: NDArray[np.float32] = (self.class_weights[np.where(known, classes, 0)] + border) * known
        return weights

    def _measure(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.float16] | None]:
        """Count the pixels of each class of an image, and compute its borders if it is kept."""
        counts = np.zeros(self._classes, np.int64)
        for window in slabs(self._masks.records[index].size):
            labels = self._masks.read(index, window)
            known = labels[~find_ignored(labels)]
            counts += np.bincount(np.clip(known, 0, self._classes - 1), minlength=self._classes)
        if not self._masks.keeps(index):
            return counts, None
        labels = self._masks.read(index)
        objects = number_apart(labels, self._classes)
        return counts, weigh_borders(objects, self._border, self._spacing.get(index)).astype(np.float16)


def check_border_weight(border: BorderWeight, *, weighted: bool) -> None:
    """Raise a ConfigError if the weights of borders are set for a loss that has none."""
    if not weighted and border != BorderWeight():
        raise ConfigError(
            "data.border_weight has no meaning for a loss in which all pixels count alike.",
            "Use model.loss: weighted_bce, or leave border_weight out.",
        )


def weigh_borders(objects: NDArray[np.int32], border: BorderWeight, spacing: Spacing = None) -> NDArray[np.float32]:
    """Compute the weight of gaps, of background pixels alone.

    d1 and d2 are the distances of a pixel to the nearest and the second nearest object. Each object is looked at only
    as far as it counts, so the time grows with the area around the objects and not with their number times the image.

    Args:
        objects: (h, w) or (d, h, w) with the number of its object for each pixel, 0 for the background.
        border: w0 and sigma, which is in pixels along x.
        spacing: Size of a voxel; None for the same along all axes.

    Returns:
        (h, w) or (d, h, w), from 0 to w0.
    """
    steps, reaches = _steps(objects.ndim, spacing), _reaches(objects.ndim, border, spacing)
    nearest = np.full(objects.shape, np.inf, np.float32)
    second = nearest.copy()
    for number, box in enumerate(find_objects(objects), 1):
        if box is None:  # a number that no object has
            continue
        around = tuple(_grow(part, reach, size) for part, reach, size in zip(box, reaches, objects.shape, strict=True))
        distance = _distance(objects[around] != number, steps)
        first, next_one = nearest[around], second[around]
        np.minimum(next_one, np.maximum(first, distance), out=next_one)
        np.minimum(first, distance, out=first)
    weights: NDArray[np.float32] = border.w0 * np.exp(-((nearest + second) ** 2) / (2 * border.sigma**2))
    weights[objects > 0] = 0
    return weights


def _steps(dims: int, spacing: Spacing) -> tuple[float, ...]:
    """Return the distance of neighbours along each axis, in pixels along x."""
    return (1.0,) * dims if spacing is None else tuple(size / spacing[-1] for size in spacing)


def _reaches(dims: int, border: BorderWeight, spacing: Spacing) -> tuple[int, ...]:
    """Return how many pixels along each axis an object counts."""
    return tuple(ceil(REACH_SIGMAS * border.sigma / step) for step in _steps(dims, spacing))


def _distance(outside: NDArray[np.bool_], steps: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the exact distance of each pixel to the nearest one that is False."""
    if outside.ndim == 2:
        return np.asarray(cv2.distanceTransform(outside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    return np.asarray(edt.edt(outside, anisotropy=steps, black_border=False, parallel=1))


def _grow(part: slice, reach: int, length: int) -> slice:
    """Extend a part of an axis to both sides, within the axis."""
    return slice(max(part.start - reach, 0), min(part.stop + reach, length))
