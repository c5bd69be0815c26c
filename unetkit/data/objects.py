"""The objects of masks: whether they are numbered, how large they are, and what is too small to be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label

from unetkit.data.annotated import cut_objects
from unetkit.io.masks.ignored import find_ignored

FOREGROUND_VALUES = (255, 65535)
"""Usual values of the foreground in masks; no single object has one of them as its number."""

MOST_PARTS_OF_OBJECT = 2
"""Most parts that a single object may be in."""

FEWEST_OBJECTS = 20
"""Fewest objects from which the smallest size of an object is measured."""


def to_objects(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return labels (...) as uint16, which OpenCV can move; labels above 65535 are numbered anew."""
    numbers = labels
    if labels.dtype == np.int32:
        values, numbers = np.unique(np.maximum(labels, 0), return_inverse=True)
        numbers = numbers.reshape(labels.shape) + (values[0] > 0)
    objects: NDArray[np.uint16] = numbers.astype(np.uint16, copy=False)
    return objects


def number_objects(labels: NDArray[Any], *, numbered: bool) -> NDArray[Any]:
    """Return the number of the object of each pixel (...), from 1; 0 for background.

    Args:
        labels: (...).
        numbered: Whether the labels number the objects; if not, each part of the foreground is an object.

    Returns:
        uint16 for labels that number the objects, see `to_objects`, else int32.
    """
    return to_objects(labels) if numbered else find_parts(labels)[1]


def number_apart(labels: NDArray[Any], classes: int) -> NDArray[np.int32]:
    """Number the separate objects of a mask (...) from 1, with 0 for the background.

    Labels that differ are objects of foreground and background. Where there is one foreground value only, or where
    values are classes, objects are connected regions: neighbours along a row or column.

    Args:
        labels: (...) whole numbers.
        classes: Number of mask values.
    """
    values, numbers = np.unique(np.maximum(labels, 0), return_inverse=True)
    objects: NDArray[np.int32] = numbers.reshape(labels.shape).astype(np.int32) + (1 if values[0] > 0 else 0)
    foreground = values[values > 0]
    if classes == 2 and len(foreground) > 1:
        return objects
    connected = np.zeros(labels.shape, np.int32)
    for value in foreground:
        count = int(connected.max())
        parts = find_parts(labels == value, corners=False)[1]
        connected = np.where(parts > 0, parts + count, connected)
    return connected


Parts = tuple[int, NDArray[np.int32]]
"""How many connected parts a foreground has, and the number of the part of each pixel (...), from 1."""


def find_parts(labels: NDArray[Any], *, corners: bool = True) -> Parts:
    """Count and number the connected parts of the foreground (...), from 1.

    Args:
        labels: (h, w) or (d, h, w), 0 for background.
        corners: Whether pixels that only touch at a corner or an edge are connected too.
    """
    inside = labels > 0
    if labels.ndim == 2:
        count, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8 if corners else 4)
        return count - 1, parts.astype(np.int32, copy=False)
    parts, count = label(inside, generate_binary_structure(labels.ndim, labels.ndim if corners else 1))
    return count, parts


def numbers_objects(labels: NDArray[Any], parts: Parts | None = None) -> bool | None:
    """Return whether a mask (...) numbers its objects: it has several values above zero, rather than several parts.

    Args:
        labels: The mask.
        parts: Its parts, where they are known.

    Returns:
        None where that is open: the foreground is one part of one value, or there is none.
    """
    foreground = labels[labels > 0]
    if foreground.size and foreground.min() < foreground.max():
        return True
    return False if (parts or find_parts(labels))[0] > 1 else None


def may_be_one_object(value: int, parts: int) -> bool:
    """Return whether a foreground of one value in several parts may be one object, where other masks number theirs."""
    return value not in FOREGROUND_VALUES and parts <= MOST_PARTS_OF_OBJECT


def describe_plain(numbered: Mapping[str, bool | None]) -> str:
    """Return a sentence on masks that do not number their objects, and how they are read; "" where all do.

    Args:
        numbered: Whether each mask numbers its objects, by name; None where that is open.
    """
    plain = [name for name, own in numbered.items() if own is False]
    if not plain:
        return ""
    some = True in numbered.values()
    which = f"{len(plain)} of {len(numbered)} masks, such as that of {plain[0]}, do" if some else "The masks do"
    return (
        f"{which} not number their objects: each connected part of the foreground is taken for one"
        f"{' in them' if some else ''}. Objects that touch are separated if each has its own number in the masks."
    )


def measure_objects(labels: NDArray[Any], parts: Parts | None = None) -> NDArray[np.int64]:
    """Return the pixels of each object of a mask (...): of each number, or of each part without numbers.

    Objects that touch what nobody has annotated are left out: they may be larger than what is drawn of them.

    Args:
        labels: The mask.
        parts: Its parts, where they are known.
    """
    parts = parts or find_parts(labels)
    objects = labels if numbers_objects(labels, parts) else parts[1]
    numbers, sizes = np.unique(objects[objects > 0], return_counts=True)
    ignored = find_ignored(labels)
    if ignored.any():
        sizes = sizes[~np.isin(numbers, cut_objects(objects, ignored))]
    return sizes


@dataclass(frozen=True)
class SmallestObject:
    """The size of the smallest object, measured on masks.

    Attributes:
        pixels: Fewest pixels of an object; 0 if that is not known.
        objects: Number of objects that were measured.
        smaller: How many of them have fewer pixels.
    """

    pixels: int
    objects: int
    smaller: int


def find_smallest(sizes: NDArray[np.int64]) -> SmallestObject:
    """Choose the size below which a found object is taken for a speck.

    It is half of the size that 95 % of the objects have at least. An object found with an IoU of 0.5 or more has at
    least half of its pixels, so none of these is lost. At most 1 % of the objects are smaller than the size; this
    matters where cells lie beside much smaller ones.

    Args:
        sizes: (N,) pixels of each object.
    """
    if len(sizes) < FEWEST_OBJECTS:
        return SmallestObject(0, len(sizes), 0)
    common, rare = np.quantile(sizes, (0.05, 0.01), method="lower")
    pixels = int(min(common // 2, rare))
    return SmallestObject(pixels, len(sizes), int((sizes < pixels).sum()))
