"""Complete objects out of rows: an object is handed on once its last row has been seen, and forgotten then.

Of a volume it is the last section, see `unetkit.objects.runs`.

Everything that is done with objects (measurements, outlines, tables, exports) takes them from here in batches, so that
it never holds a plane. In memory are the runs of the objects that are still open.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.runs import Runs, find_runs, join_runs


@dataclass(frozen=True)
class Objects:
    """Some complete objects of one plane or volume.

    Attributes:
        plane: Number of the plane or volume.
        labels: (N,) labels of the objects, ascending.
        first: (N + 1,) where the runs of each object begin, and the number of all runs at the end.
        runs: Their runs, object after object, in raster order within each.
        section: Rows of a section of a volume, see `unetkit.objects.runs`; None in planes.
    """

    plane: int
    labels: NDArray[Any]
    first: NDArray[np.intp]
    runs: Runs
    section: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def coordinates(self) -> tuple[NDArray[np.int32], ...]:
        """(R,) where each run lies along each axis but the last: the row; or of a volume section and row in it."""
        return (self.runs.rows,) if self.section is None else np.divmod(self.runs.rows, np.int32(self.section))

    @property
    def owners(self) -> NDArray[np.intp]:
        """(R,) for each run the number of its object in this batch, from 0."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))


@dataclass(frozen=True)
class LastRows:
    """Where the objects of a plane or volume end, for label images whose objects may lie in several pieces.

    Attributes:
        labels: (N,) all its labels, ascending.
        rows: (N,) the last row of each.
    """

    labels: NDArray[Any]
    rows: NDArray[np.int32]

    def of(self, labels: NDArray[Any]) -> NDArray[np.int32]:
        """Return the last rows (M,) of labels (M,) that occur."""
        found: NDArray[np.int32] = self.rows[np.searchsorted(self.labels, labels)]
        return found


@dataclass(frozen=True)
class _Part:
    """Runs of open objects, and their different labels, ascending."""

    runs: Runs
    labels: NDArray[Any]


class Collector:
    """Collects the objects of one plane or volume from its rows.

    Args:
        plane: Its number.
        height: Its rows.
        last_rows: Where each object ends. None if every object is in one piece, diagonal neighbours connected, as those
            of `unetkit.postprocess` are: an object without a pixel in the last section so far is complete then.
        section: Rows of a section of a volume, see `unetkit.objects.runs`; None in planes.
    """

    def __init__(self, plane: int, height: int, last_rows: LastRows | None = None, section: int | None = None) -> None:
        self._plane = plane
        self._section = section
        self._height = height
        self._last_rows = last_rows
        self._open: list[_Part] = []
        self._bottom = 0

    def add(self, labels: NDArray[Any]) -> tuple[Runs, Objects | None]:
        """Take the next rows.

        Args:
            labels: (h, width), or whole sections (d, height, width) of a volume; integers, 0 for background.

        Returns:
            The runs of these rows in raster order, and the objects that are complete now, if there are any.
        """
        new = find_runs(labels, self._bottom)
        self._bottom += prod(labels.shape[:-1])
        self._open.append(_Part(new, np.unique(new.labels)))
        complete = self._take(self._find_complete(new))
        return new, _group(self._plane, join_runs(complete), self._section) if complete else None

    def _find_complete(self, new: Runs) -> NDArray[Any]:
        """Return the labels among the open ones that have no row to come, ascending."""
        labels = np.unique(np.concatenate([part.labels for part in self._open]))
        if self._bottom == self._height:
            return labels
        if self._last_rows is not None:
            return labels[self._last_rows.of(labels) < self._bottom]
        return np.setdiff1d(labels, new.labels[new.rows >= self._bottom - (self._section or 1)])

    def _take(self, complete: NDArray[Any]) -> list[Runs]:
        """Remove the runs of complete objects from the open ones, and return them in raster order."""
        taken: list[Runs] = []
        parts, self._open = self._open, []
        for part in parts:
            done = _is_in(part.labels, complete)
            if not done.any():
                self._keep(part)
                continue
            closed = _is_in(part.runs.labels, complete)
            taken.append(part.runs[closed])
            if not done.all():
                self._keep(_Part(part.runs[~closed], part.labels[~done]))
        return taken

    def _keep(self, part: _Part) -> None:
        """Keep open runs. Small parts are joined, so that there are few, and a run is copied seldom."""
        while self._open and len(self._open[-1].runs) < 2 * len(part.runs):
            last = self._open.pop()
            labels = np.unique(np.concatenate([last.labels, part.labels]))
            part = _Part(join_runs([last.runs, part.runs]), labels)
        self._open.append(part)


def _is_in(labels: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels are among the known ones, which are ascending."""
    if not len(known):
        return np.zeros(len(labels), np.bool_)
    place = np.minimum(np.searchsorted(known, labels), len(known) - 1)
    same: NDArray[np.bool_] = known[place] == labels
    return same


def _group(plane: int, runs: Runs, section: int | None) -> Objects:
    """Put the runs of each object together."""
    order = np.argsort(runs.labels, kind="stable")
    runs = runs[order]
    first = np.flatnonzero(np.append(True, runs.labels[1:] != runs.labels[:-1]))
    return Objects(plane, runs.labels[first], np.append(first, len(runs)), runs, section)
