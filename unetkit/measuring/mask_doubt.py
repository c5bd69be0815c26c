"""Label images that look like masks: one value, in several pieces."""

from __future__ import annotations

from unetkit.objects.collector import Objects
from unetkit.objects.pieces import count_pieces

MASK_VALUES = (255, 65535)
"""Usual values of the foreground in masks; no single object has one of them as its number."""

MOST_PIECES = 2
"""Most pieces that a single object may be in without a doubt."""


class MaskDoubt:
    """Looks at all objects of a label image."""

    def __init__(self) -> None:
        self._label: int | None = None
        self._several = False
        self._pieces = 0

    def add(self, objects: Objects) -> None:
        """Look at some objects."""
        first = int(objects.labels[0])
        self._several |= len(objects) > 1 or self._label not in (None, first)
        self._label = first
        if not self._several:
            self._pieces = max(self._pieces, count_pieces(objects.runs))

    @property
    def text(self) -> str:
        """What the label image has, for a sentence after its name; "" without a doubt."""
        least = 2 if self._label in MASK_VALUES else MOST_PIECES + 1
        if self._several or self._pieces < least:
            return ""
        return (
            f"has no value but 0 and {self._label}, in {self._pieces} separate pieces, like a mask: they are measured "
            "as one object. Pass --connected to number them."
        )
