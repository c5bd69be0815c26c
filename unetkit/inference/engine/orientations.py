"""The orientations in which a window is predicted with test-time augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from torch import Tensor

from unetkit.models.trimmed import Kept


@dataclass(frozen=True)
class Orientation:
    """A window turned within the plane of its last two axes, then mirrored.

    Attributes:
        turns: Quarter turns.
        mirrored: Axes that are mirrored then, counted from the last: -1 is the last.
    """

    turns: int = 0
    mirrored: tuple[int, ...] = ()

    def apply(self, windows: Tensor) -> Tensor:
        """Return windows (N, C, ...) in this orientation."""
        turned = torch.rot90(windows, self.turns, (-2, -1)) if self.turns else windows
        return turned.flip(self.mirrored) if self.mirrored else turned

    def undo(self, predicted: Tensor) -> Tensor:
        """Return predictions (N, classes, ...) for such windows in the orientation of the original windows."""
        straight = predicted.flip(self.mirrored) if self.mirrored else predicted
        return torch.rot90(straight, -self.turns, (-2, -1)) if self.turns else straight

    def place(self, kept: Kept, window: Sequence[int]) -> Kept:
        """Return where the kept part of a window of this size lies after `apply`."""
        parts, sizes = list(kept), list(window)
        for _ in range(self.turns):
            parts[-2:] = _mirror(parts[-1], sizes[-1]), parts[-2]
            sizes[-2:] = sizes[-1], sizes[-2]
        for axis in self.mirrored:
            parts[axis] = _mirror(parts[axis], sizes[axis])
        return tuple(parts)


@cache
def orientations(axes: int) -> tuple[Orientation, ...]:
    """Return all orientations of a window with so many axes: 8 of a plane, 16 of a volume.

    The last two axes are turned and mirrored, the others are mirrored.

    >>> [len(orientations(axes)) for axes in (1, 2, 3)]
    [2, 8, 16]
    """
    found: list[Orientation] = []
    for *before, last in product((False, True), repeat=max(axes - 1, 1)):
        mirrored = tuple(axis - axes for axis, mirror in enumerate(before) if mirror) + ((-1,) if last else ())
        found += [Orientation(turns, mirrored) for turns in range(4 if axes > 1 else 1)]
    return tuple(found)


def _mirror(part: slice, length: int) -> slice:
    return slice(length - part.stop, length - part.start)
