"""The values of the pixels of objects that are not complete yet.

The values of a large object are counted: a table of its different values, which for images of 8 and 16 bits is small
whatever the object's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.intensity import Statistics, describe_tally, describe_values

LARGE_PIXELS = 1 << 20
"""Objects of at least this many pixels are measured by counting their values."""

MOST_PIXELS = 1 << 24
"""Pixels that are kept before those of large objects are counted."""

Tally = tuple[NDArray[Any], NDArray[np.int64]]
"""Different values, ascending, and how often each is."""


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
        self._large: dict[int, list[Tally]] = {}

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
                self._count(label)

    def take(self, labels: NDArray[Any]) -> tuple[NDArray[np.intp], list[Statistics]]:
        """Forget objects that are complete.

        Args:
            labels: (N,) their labels, ascending.

        Returns:
            (N,) their pixels, and for each channel the statistics of their values.
        """
        counted = np.flatnonzero(np.isin(labels, [*self._large]) | np.isin(labels, self._find_large()))
        for place in counted:
            self._count(int(labels[place]))
        owners, values = self._take_values(labels)
        pixels = np.bincount(owners, minlength=len(labels))
        found = [describe_values(owners, channel, len(labels)) for channel in values]
        for place in counted:
            tallies = self._large.pop(int(labels[place]))
            pixels[place] = tallies[0][1].sum()
            for statistics, tally in zip(found, tallies, strict=True):
                for name, one in describe_tally(*tally).items():
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

    def _count(self, label: int) -> None:
        """Count the kept values of an object, and keep the counts in their place."""
        values, left = [self._none], []
        for part in self._parts:
            own = part.labels == label
            taken, rest = part.split(own) if own.any() else (None, part)
            values += [] if taken is None else [taken.values]
            left += [rest] if len(rest.labels) else []
        self._parts = left
        counted = [_tally(channel) for channel in np.concatenate(values, axis=1)]
        known = self._large.get(label)
        self._large[label] = counted if known is None else [_merge(*pair) for pair in zip(known, counted, strict=True)]


def _tally(values: NDArray[Any]) -> Tally:
    different, counts = np.unique(values, return_counts=True)
    return different, counts.astype(np.int64)


def _merge(one: Tally, other: Tally) -> Tally:
    """Return the counts of two tallies together."""
    values, place = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([one[1], other[1]]), len(values))
    return values, counts.astype(np.int64)
