"""The values of the pixels of objects that are not complete yet. Those of large objects do not stay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.intensity import Statistics, describe_values
from unetkit.objects.large_values import LargeValues, large_values

LARGE_PIXELS = 1 << 20
"""Objects of at least this many pixels are large."""

MOST_PIXELS = 1 << 24
"""Pixels that are kept before those of large objects are moved out of memory."""


@dataclass(frozen=True)
class _Part:
    """Values of the pixels of some runs.

    Attributes:
        labels: (R,) label of each run.
        lengths: (R,) its pixels.
        values: (C, P) the values of all pixels, run after run.
    """

    labels: NDArray[Any]
    lengths: NDArray[np.int32]
    values: NDArray[Any]

    def split(self, chosen: NDArray[np.bool_]) -> tuple[_Part, _Part]:
        """Return the chosen runs, and the others."""
        pixels = np.repeat(chosen, self.lengths)
        return (
            _Part(self.labels[chosen], self.lengths[chosen], self.values[:, pixels]),
            _Part(self.labels[~chosen], self.lengths[~chosen], self.values[:, ~pixels]),
        )


class OpenValues:
    """Keeps values until their objects are complete.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        self._none: NDArray[Any] = np.zeros((channels, 0), np.uint8)
        self._parts: list[_Part] = []
        self._large: dict[int, list[LargeValues]] = {}

    def add(self, labels: NDArray[Any], lengths: NDArray[np.int32], values: NDArray[Any]) -> None:
        """Keep the values of some runs.

        Args:
            labels: (R,) label of each run.
            lengths: (R,) its pixels.
            values: (C, P) the values of all pixels of the runs, in their order.
        """
        self._none = values[:, :0]
        if len(labels):
            self._parts.append(_Part(labels, lengths, values))
        if sum(part.values.shape[1] for part in self._parts) > MOST_PIXELS:
            for label in self._find_large():
                self._move(int(label))

    def take(self, labels: NDArray[Any]) -> tuple[NDArray[np.intp], list[Statistics]]:
        """Forget objects that are complete.

        Args:
            labels: (N,) their labels, ascending.

        Returns:
            (N,) their pixels, and for each channel the statistics of their values.
        """
        large = np.flatnonzero(np.isin(labels, [*self._large]) | np.isin(labels, self._find_large()))
        for place in large:
            self._move(int(labels[place]))
        owners, values = self._take_values(labels)
        pixels = np.bincount(owners, minlength=len(labels))
        found = [describe_values(owners, channel, len(labels)) for channel in values]
        for place in large:
            moved = self._large.pop(int(labels[place]))
            pixels[place] = moved[0].pixels
            for statistics, channel in zip(found, moved, strict=True):
                for name, one in channel.describe().items():
                    statistics[name][place] = one[0]
        return pixels, found

    def _take_values(self, labels: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Return for each kept pixel of these objects the place of its label, and its values (C, P)."""
        owners, values, left = [], [self._none], []
        for part in self._parts:
            place = np.minimum(np.searchsorted(labels, part.labels), len(labels) - 1)
            done = labels[place] == part.labels
            taken, rest = (part, None) if done.all() else part.split(done) if done.any() else (None, part)
            if taken is not None:
                owners.append(np.repeat(place[done].astype(np.uint32), taken.lengths))
                values.append(taken.values)
            if rest is not None:
                left.append(rest)
        self._parts = left
        return np.concatenate([np.zeros(0, np.uint32), *owners]), np.concatenate(values, axis=1)

    def _find_large(self) -> NDArray[Any]:
        """Return the labels of the large objects among the kept values."""
        if sum(part.values.shape[1] for part in self._parts) < LARGE_PIXELS:
            return np.zeros(0, np.int64)
        labels, place = np.unique(np.concatenate([part.labels for part in self._parts]), return_inverse=True)
        pixels = np.bincount(place, np.concatenate([part.lengths for part in self._parts]))
        large: NDArray[Any] = labels[pixels >= LARGE_PIXELS]
        return large

    def _move(self, label: int) -> None:
        """Move the kept values of an object to where those of large ones are."""
        moved = self._large.setdefault(label, [large_values(self._none.dtype) for _ in self._none])
        left = []
        for part in self._parts:
            own = part.labels == label
            taken, rest = part.split(own) if own.any() else (None, part)
            if taken is not None:
                for kept, values in zip(moved, taken.values, strict=True):
                    kept.add(values)
            left += [rest] if len(rest.labels) else []
        self._parts = left
