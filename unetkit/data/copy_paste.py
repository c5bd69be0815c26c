"""Augmentation by other objects of the same image (copy-paste, Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.data.objects import number_objects

COPIED = 0.5
"""Share of the objects of the other crop that are copied."""

MOST_HIDDEN = 0.3
"""Largest share of an object that a copied one may hide."""

SOFT = 1.0
"""Standard deviation, in pixels, by which a copied object fades into what is around it."""

Crop = tuple[NDArray[np.float32], NDArray[Any]]
"""Pixels (C, h, w) in the units of the file, and labels (h, w): 0 for background, the highest value for unknown."""


def paste_objects(onto: Crop, source: Crop, rng: np.random.Generator, *, numbered: bool) -> tuple[Crop, NDArray[Any]]:
    """Copy a random half of the objects of a crop into another crop of the same image, to the same places.

    Objects that leave the other crop are not copied. Where labels number the objects, a copied one may touch others,
    and hide up to `MOST_HIDDEN` of each; where they do not, it is copied only if it touches none: the two would be one.

    Args:
        onto: The crop.
        source: The other crop, of the same size.
        rng: Source of all random numbers.
        numbered: Whether labels number the objects; if not, each part of the foreground is an object.

    Returns:
        The crop with what was copied, in new arrays, and (h, w) bool which pixels of labels were.
    """
    (pixels, labels), (others, other_labels) = onto, source
    present, objects = (_number(each, numbered=numbered) for each in (labels, other_labels))
    copied = np.zeros(int(objects.max()) + 1, bool)
    copied[np.unique(objects)] = True
    copied[0] = False
    for side in (objects[0], objects[-1], objects[:, 0], objects[:, -1]):
        copied[side] = False
    copied &= rng.random(len(copied)) < COPIED
    copied[_hiding(objects, present, numbered=numbered)] = False
    where = copied[objects]
    first_free = int(present.max()) + 1
    if not where.any() or (numbered and first_free + len(copied) > np.iinfo(labels.dtype).max):
        return onto, np.zeros(labels.shape, bool)
    opacity = cv2.GaussianBlur(where.astype(np.float32), (0, 0), SOFT)
    pasted = np.where(where, objects + first_free if numbered else other_labels, labels).astype(labels.dtype)
    return (pixels + (others - pixels) * opacity, pasted), where


def _number(labels: NDArray[Any], *, numbered: bool) -> NDArray[np.int32]:
    """Return the number of the object of each pixel; 0 also for what nobody has annotated."""
    known = np.where(labels == np.iinfo(labels.dtype).max, 0, labels)
    return number_objects(known, numbered=numbered).astype(np.int32)


def _hiding(objects: NDArray[np.int32], present: NDArray[np.int32], *, numbered: bool) -> NDArray[np.int32]:
    """Return the numbers of objects that would hide too much of one that is present."""
    if not numbered:
        near = cv2.dilate((present > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return np.unique(objects[near])
    over = (objects > 0) & (present > 0)
    both, hidden = np.unique(np.stack([objects[over], present[over]]), axis=1, return_counts=True)
    too_much: NDArray[np.int32] = both[0, hidden > MOST_HIDDEN * np.bincount(present.ravel())[both[1]]]
    return too_much
