"""The objects of masks: whether they are numbered, how large they are, and what is too small to be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

MASK_VALUES = (255, 65535)
"""Values of the foreground of masks, that no single object has as its number."""

PARTS_OF_OBJECT = 2
"""A single object may be in so many parts."""

FEWEST_OBJECTS = 20
"""Fewest objects whose smallest ones say something about those to come."""


def to_objects(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return labels (h, w) as numbers that OpenCV can move and keep apart; those above 65535 are counted anew."""
    numbers = labels
    if labels.dtype == np.int32:
        values, numbers = np.unique(np.maximum(labels, 0), return_inverse=True)
        numbers = numbers.reshape(labels.shape) + (values[0] > 0)
    objects: NDArray[np.uint16] = numbers.astype(np.uint16, copy=False)
    return objects


def number_objects(labels: NDArray[Any], *, numbered: bool) -> NDArray[Any]:
    """Return the number of the object of each pixel (h, w), from 1; 0 for background.

    Args:
        labels: (h, w).
        numbered: Whether the labels number the objects; if not, each part of the foreground is one.

    Returns:
        uint16 for labels that number the objects, see `to_objects`, else int32.
    """
    return to_objects(labels) if numbered else find_parts(labels)[1]


def number_apart(labels: NDArray[Any], classes: int) -> NDArray[np.int32]:
    """Number what lies apart in a mask (h, w) from 1, with 0 for the background.

    Labels that differ are objects of foreground and background. Where there is one foreground value only, or where
    values are classes, objects are what is connected: neighbours along a row or column.

    Args:
        labels: (h, w) whole numbers.
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
        parts = find_parts(labels == value, connectivity=4)[1]
        connected = np.where(parts > 0, parts + count, connected)
    return connected


def find_parts(labels: NDArray[Any], connectivity: Literal[4, 8] = 8) -> tuple[int, NDArray[np.int32]]:
    """Count and number the parts of the foreground (h, w), from 1; diagonal neighbours are connected too, unless 4."""
    count, parts = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=connectivity)
    return count - 1, parts.astype(np.int32, copy=False)


def numbers_objects(labels: NDArray[Any]) -> bool | None:
    """Say whether a mask (h, w) numbers its objects: there are several values above zero, rather than several parts.

    Returns:
        None where it cannot be told: the foreground is one part of one value, or there is none.
    """
    foreground = labels[labels > 0]
    if foreground.size and foreground.min() < foreground.max():
        return True
    return False if find_parts(labels)[0] > 1 else None


def may_be_one_object(value: int, parts: int) -> bool:
    """Say whether a foreground of one value, in several parts, may be one object, where other masks number theirs."""
    return value not in MASK_VALUES and parts <= PARTS_OF_OBJECT


def describe_plain(numbered: Mapping[str, bool | None]) -> str:
    """Say which masks do not number their objects, and what is done about it; empty where all do.

    Args:
        numbered: Whether each mask numbers its objects, by name; None where that cannot be told.
    """
    plain = [name for name, own in numbered.items() if own is False]
    if not plain:
        return ""
    some = True in numbered.values()
    which = f"{len(plain)} of {len(numbered)} masks, such as that of {plain[0]}, do" if some else "The masks do"
    return (
        f"{which} not number their objects: each connected part of the foreground is taken for one"
        f"{' in them' if some else ''}. Objects that touch are told apart if each has its own number in the masks."
    )


def measure_objects(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the pixels of each object of a mask (h, w): of each number, or of each part if they are not numbered."""
    objects = number_objects(labels, numbered=numbers_objects(labels) is True)
    sizes: NDArray[np.int64] = np.bincount(objects.ravel())[1:]
    return sizes[sizes > 0]


@dataclass(frozen=True)
class SmallestObject:
    """What is too small to be an object, by the objects of masks.

    Attributes:
        pixels: Whatever has fewer is none; 0 if that cannot be told.
        objects: Number of objects that were measured.
        smaller: How many of them have fewer pixels.
    """

    pixels: int
    objects: int
    smaller: int


def find_smallest(sizes: NDArray[np.int64]) -> SmallestObject:
    """Choose the size below which what a model finds is taken for a speck.

    It is half of what 95 in 100 of the objects reach: an object of which a model finds enough for an IoU of 0.5 has at
    least half of its pixels, so that none of these is lost. But it is never so large that more than 1 in 100 of the
    objects are smaller, as where cells lie beside much smaller ones.

    Args:
        sizes: (N,) pixels of each object.
    """
    if len(sizes) < FEWEST_OBJECTS:
        return SmallestObject(0, len(sizes), 0)
    common, rare = np.quantile(sizes, (0.05, 0.01), method="lower")
    pixels = int(min(common // 2, rare))
    return SmallestObject(pixels, len(sizes), int((sizes < pixels).sum()))
