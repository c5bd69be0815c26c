"""How a file encodes its values, and how far apart its planes are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Encoding:
    """How stored values stand for what is seen. Masks are read as they are stored, and need it.

    Attributes:
        palette: Red, green, blue and alpha of each number, 8 bits each; empty without a palette.
        alpha: Whether the last channel is alpha.
        white_is_zero: Whether the file says that 0 is white and the highest value black.
        lossy: Whether JPEG compression has changed the values.
        inks: Whether the channels are cyan, magenta, yellow and black.
        bilevel: Whether a pixel is one bit.
        tifffile: Whether tifffile wrote it. tifffile marks 0 as white in every array of True and False.
        ignored: Value of pixels of a mask that nobody has annotated, where its format has such pixels; None if not.
    """

    palette: bytes = b""
    alpha: bool = False
    white_is_zero: bool = False
    lossy: bool = False
    inks: bool = False
    bilevel: bool = False
    tifffile: bool = False
    ignored: int | None = None


AS_SEEN = Encoding()
"""Values that stand for themselves."""


@dataclass(frozen=True)
class Step:
    """How far neighbours along an axis are apart.

    Attributes:
        axis: Letter of the axis.
        size: In the unit.
        unit: "µm", "s", or "" if the file gives a size without a unit.
    """

    axis: str
    size: float
    unit: str

    def __str__(self) -> str:
        return f"{self.axis} {self.size:g} {self.unit or '(no unit)'}"
