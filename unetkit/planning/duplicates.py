"""Images that are there twice: as they are, or turned, rescaled, recoloured or compressed again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unetkit.planning.agreement import ORIENTATIONS, turn
from unetkit.planning.look import Look

COPY_CORRELATION = 0.95
"""Two images are copies if their thumbnails correlate at least this much."""

MOST_COMPARED_IMAGES = 5000
"""Most images whose thumbnails are compared. In larger sets only copies equal to the bit are found: more would take
minutes."""

BLOCK_ROWS = 512
"""Number of images that are compared with all others at a time."""


def find_copies(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Find pairs of images that are the same, or nearly.

    Images that are all one value are no copies. Pages of one stack resemble each other by nature, and are copies only
    if they are the same.

    Returns:
        Pairs of positions in `looks`, the lower first, in order.
    """
    by_digest: dict[str, list[int]] = defaultdict(list)
    for index, look in enumerate(looks):
        if not look.constant:
            by_digest[look.digest].append(index)
    copies = {pair for group in by_digest.values() for pair in combinations(group, 2)}
    candidates = [index for group in by_digest.values() for index in group]
    if 1 < len(candidates) <= MOST_COMPARED_IMAGES:
        copies |= {pair for pair in _alike(looks, sorted(candidates)) if len({looks[i].pair.image for i in pair}) == 2}
    return sorted(copies)


def _alike(looks: Sequence[Look], candidates: Sequence[int]) -> set[tuple[int, int]]:
    """Return pairs whose thumbnails correlate in some orientation; each correlation is a product of unit vectors."""
    thumbnails = np.stack([looks[index].thumbnail for index in candidates])
    flat = thumbnails.reshape(len(thumbnails), -1)
    found: set[tuple[int, int]] = set()
    for orientation in ORIENTATIONS:
        turned: NDArray[np.float32] = np.stack([turn(thumbnail, orientation).ravel() for thumbnail in thumbnails])
        for start in range(0, len(flat), BLOCK_ROWS):
            rows, columns = np.nonzero(flat[start : start + BLOCK_ROWS] @ turned.T >= COPY_CORRELATION)
            found |= {
                (candidates[row + start], candidates[column])
                for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
                if row + start < column
            }
    return found
