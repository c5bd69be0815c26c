"""Runs: pixels of one label that follow each other in a row. An object is a list of runs, far fewer than its pixels.

The rows of a volume are those of its sections, section after section; a *section* is what lies at one place along its
first axis. A section of a plane is a single row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Runs of labels in one plane or volume.

    Attributes:
        labels: (N,) label of each run, above 0, in the type of the label image.
        rows: (N,) int32, the row.
        starts: (N,) int32, the first column.
        stops: (N,) int32, the column after the last.
    """

    labels: NDArray[Any]
    rows: NDArray[np.int32]
    starts: NDArray[np.int32]
    stops: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Runs:
        return Runs(self.labels[chosen], self.rows[chosen], self.starts[chosen], self.stops[chosen])

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(N,) pixels of each run."""
        return self.stops - self.starts


def find_runs(labels: NDArray[Any], top: int = 0) -> Runs:
    """Return the runs of rows of a label image in raster order.

    Args:
        labels: (h, width), or (d, height, width) of a volume; integers, 0 for background.
        top: Number of the first of these rows in the plane or volume.

    >>> runs = find_runs(np.array([[7, 7, 0, 2], [2, 2, 2, 2]]), top=5)
    >>> list(zip(runs.labels.tolist(), runs.rows.tolist(), runs.starts.tolist(), runs.stops.tolist()))
    [(7, 5, 0, 2), (2, 5, 3, 4), (2, 6, 0, 4)]
    """
    width = labels.shape[-1]
    flat = np.ascontiguousarray(labels).ravel()
    begins = np.empty(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[::width] = True
    starts = np.flatnonzero(begins)
    stops = np.append(starts[1:], flat.size)
    values = flat[starts]
    inside = values > 0
    starts, stops, values = starts[inside], stops[inside], values[inside]
    rows = starts // width
    left = rows * width
    return Runs(
        values,
        (rows + top).astype(np.int32),
        (starts - left).astype(np.int32),
        (stops - left).astype(np.int32),
    )


def join_runs(parts: Sequence[Runs]) -> Runs:
    """Put the runs of at least one part one after another."""
    if len(parts) == 1:
        return parts[0]
    return Runs(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.stops for part in parts]),
    )
