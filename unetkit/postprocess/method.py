"""Methods that group the pixels of a tile, and decide which groups are one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.choice import Choice
from unetkit.postprocess.parts import Part, Window


class Find(Protocol):
    """Groups the pixels of a tile."""

    def __call__(self, window: NDArray[np.uint8], place: Window) -> Part:
        """Group the pixels of a tile.

        Args:
            window: (C, H, W) or (C, D, H, W): the mask, 0 for background, then the other channels. It is the tile with
                the margin around it, as far as the plane or volume goes.
            place: The tile in the window.
        """


@dataclass(frozen=True)
class Method:
    """One way to separate the objects of a mask.

    Attributes:
        find: Groups the pixels of a tile.
        margin: Pixels around a tile that decide on its groups: one number for each axis, or one for all.
        saddle: A region joins one with a higher peak if the saddle between them is at least this share of its own
            peak, 0 to 1.
        depth: A region joins one with a higher peak if its own is less than this above the saddle between them, in
            units of the distance map.
        lowest: Objects whose highest peak is lower become background, in units of the distance map.
        knows_confidence: Whether the highest peak of an object says how sure a network is of it.
        choice: Chooses objects among regions and their joins, over all saddles that `saddle` and `depth` allow; None
            where all of these are joined.
        strictness: Objects whose quality is not above this share of the choice's least one become background.
    """

    find: Find
    margin: int | tuple[int, ...]
    saddle: float = 1.0
    depth: float = 0.0
    lowest: float = 0.0
    knows_confidence: bool = False
    choice: Choice | None = None
    strictness: float = 1.0

    def margins(self, axes: int) -> tuple[int, ...]:
        """Return the margin along each of some axes."""
        return self.margin if isinstance(self.margin, tuple) else (self.margin,) * axes

    def joining_saddle(self, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return for each region, from its peak (N,), the lowest saddle over which it joins one with a higher peak."""
        joining: NDArray[np.float64] = np.minimum(self.saddle * peaks, peaks - self.depth)
        return joining
