"""Pixels that nobody has annotated: how labels mark them.

In a file they have a value of their own: the one that the user names, or that the format has for them
(`Encoding.ignored`). In labels (h, w), which `Meaning.labels` returns, they are `IGNORED`, whatever the file had.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -(2**31)
"""Label of a pixel that nobody has annotated: the lowest int32, which is the label of no object and no class."""


def find_ignored(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels (h, w) are of pixels that nobody has annotated."""
    if labels.dtype.kind == "u":  # the smallest type that holds the labels: it has no room for `IGNORED`
        return np.zeros(labels.shape, np.bool_)
    ignored: NDArray[np.bool_] = labels == IGNORED
    return ignored


def mark_ignored(labels: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return labels (h, w) that are `IGNORED` where nobody has annotated; None stands for nowhere.

    >>> mark_ignored(np.array([[0, 3]], np.uint8), np.array([[True, False]])).tolist()
    [[-2147483648, 3]]
    """
    if ignored is None or not ignored.any():
        return labels
    return np.where(ignored, np.int32(IGNORED), labels.astype(np.int32))


def has_value(channels: NDArray[Any], value: int | None) -> NDArray[np.bool_] | None:
    """Return which pixels (h, w) of stored channels (C, h, w) all have a value; None where no pixel can."""
    if value is None:
        return None
    found: NDArray[np.bool_] = (channels == value).all(axis=0)
    return found
