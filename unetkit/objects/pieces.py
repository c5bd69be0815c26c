"""How many pieces an object is in."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unetkit.objects.runs import Runs


def count_pieces(runs: Runs) -> int:
    """Return into how many pieces the pixels of an object fall; pixels that touch, diagonally too, are together.

    >>> from unetkit.objects.runs import find_runs
    >>> count_pieces(find_runs(np.array([[1, 0, 0, 1], [0, 1, 0, 1]])))
    2
    """
    step = int(runs.stops.max(initial=0)) + 1  # so that rows do not touch
    row = runs.rows.astype(np.int64) * step
    first = np.searchsorted(row + runs.stops, row + step + runs.starts)
    last = np.searchsorted(row + runs.starts, row + step + runs.stops, side="right")
    touching = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(runs)), touching)
    below = np.arange(len(above)) - np.repeat(np.cumsum(touching) - touching - first, touching)
    links = coo_array((np.ones(len(above), np.bool_), (above, below)), (len(runs), len(runs)))
    return int(connected_components(links, directed=False, return_labels=False))
