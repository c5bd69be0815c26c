"""What is laid over an image: a mask, classes, labels of objects, probabilities, or another image."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageInfo

Kind = Literal["mask", "classes", "labels", "probabilities", "uncertainty", "image"]

MOST_CLASSES = 20
"""Numbers of 8 bits up to this are classes, if the file does not say what they are."""

MASK_VALUES = {1, 255, 65535}
"""Values of the foreground of masks, as programs write them."""

NOTED: dict[str, Kind] = {
    "labels": "labels",
    "probabilities": "probabilities",
    "uncertainty": "uncertainty",
    "attention": "uncertainty",
    "restored": "image",
}
"""Kinds by what unetkit notes in a file as its output. Its masks may hold several classes."""


def is_colour(info: ImageInfo) -> bool:
    """Return whether the three channels of an image are the colours of one picture."""
    return info.channels == 3 and info.dtype.kind in "u" and bool(info.colours or "S" in info.axes)


def kind_of(info: ImageInfo, notes: dict[str, str], sample: NDArray[Any]) -> Kind:
    """Return what is laid over an image.

    Args:
        info: The file as it is interpreted.
        notes: What unetkit has noted in it.
        sample: (C, N) values of it.

    >>> from unetkit.io.base.arrays import ArraySource
    >>> info = ArraySource(np.zeros((8, 9), np.uint8), "YX").info
    >>> [kind_of(info, {}, np.array([values])) for values in ([0, 255], [0, 1, 2], [0, 7, 90])]
    ['mask', 'classes', 'labels']
    """
    noted = NOTED.get(notes.get("output", ""))
    if noted is not None:
        return noted
    if is_colour(info):
        return "image"
    return _kind_of_fractions(sample) if sample.dtype.kind == "f" else _kind_of_numbers(info, notes, sample)


def _kind_of_fractions(sample: NDArray[Any]) -> Kind:
    finite = sample[np.isfinite(sample)]
    return "probabilities" if finite.size and finite.min() >= 0 and finite.max() <= 1 else "image"


def _kind_of_numbers(info: ImageInfo, notes: dict[str, str], sample: NDArray[Any]) -> Kind:
    values = set(np.unique(sample).tolist()) - {0}
    if info.dtype == np.bool_ or (len(values) == 1 and values <= MASK_VALUES):
        return "mask"
    few = info.dtype.itemsize == 1 and max(values, default=0) <= MOST_CLASSES
    if few or notes.get("output") in ("mask", "classes"):
        return "classes" if values else "mask"
    return "labels"
