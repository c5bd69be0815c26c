"""Rules that turn the values of a mask into labels, one for each kind of mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.io.masks.values import to_codes, to_rgb


class Rule(Protocol):
    """Turns pixels (C, h, w), without alpha, into labels (h, w)."""

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Return labels (h, w), 0 for background."""


@dataclass(frozen=True)
class AsIs:
    """The values are the labels."""

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Return the first channel."""
        first: NDArray[Any] = channels[0]
        return first.astype(np.int32) if first.dtype.kind == "f" or first.dtype.itemsize > 2 else first


@dataclass(frozen=True)
class OneLess:
    """The values count from 1 for the background: the labels are one less. 0 and less are background too."""

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Subtract 1 from the first channel."""
        lowered: NDArray[Any] = np.maximum(AsIs()(channels), 1) - 1
        return lowered


@dataclass(frozen=True)
class Above:
    """Values above a threshold are foreground, 1."""

    threshold: float

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Compare the first channel."""
        above: NDArray[np.bool_] = channels[0] > self.threshold
        return above.astype(np.uint8)


@dataclass(frozen=True)
class Only:
    """One value is foreground, 1."""

    value: int

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Compare the first channel."""
        same: NDArray[np.bool_] = channels[0] == self.value
        return same.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Renumbered:
    """Values above 0 become the numbers 1, 2, ... in their order; 0 and less are background."""

    values: NDArray[Any]

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Look up the first channel."""
        objects = self.values[self.values > 0]
        places = np.searchsorted(objects, channels[0]).astype(np.int32)
        numbers: NDArray[Any] = np.where(channels[0] > 0, places + 1, 0)
        return numbers


@dataclass(frozen=True, eq=False)
class Table:
    """Each stored number has its label."""

    labels: NDArray[Any]

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Look up the first channel."""
        found: NDArray[Any] = self.labels[channels[0]]
        return found


@dataclass(frozen=True, eq=False)
class ByCode:
    """The label of a colour is its code XOR the code of the background: the same in all masks."""

    background: int

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Compute the codes."""
        return to_codes(channels) ^ np.int32(self.background)


@dataclass(frozen=True, eq=False)
class Nearest:
    """Each pixel has the label of the nearest colour."""

    codes: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __call__(self, channels: NDArray[Any], /) -> NDArray[Any]:
        """Measure the distance to each colour."""
        pixels = to_rgb(to_codes(channels))
        best = np.zeros(channels.shape[1:], np.int32)
        least = np.full(channels.shape[1:], np.iinfo(np.int32).max, np.int32)
        for colour, label in zip(to_rgb(self.codes), self.labels, strict=True):
            distance = ((pixels - colour) ** 2).sum(axis=-1)
            nearer = distance < least
            best[nearer], least[nearer] = label, distance[nearer]
        return best
