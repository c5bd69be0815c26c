"""How masks are compared, as a user chose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import each_size, parse_pixel_size
from unetkit.scoring.lengths import PIXELS, Length, parse_length


@dataclass(frozen=True)
class Settings:
    """How masks are compared.

    Attributes:
        threshold: A pixel of the prediction above it is foreground; None to decide by the meaning of its values. For
            two classes only.
        invert: Score the background instead, for example membranes that are drawn as 0. For two classes only.
        classes: Number of classes, background included. With more than 2, values of both masks are class numbers.
        tolerance: Distance at which boundaries and surfaces are taken to agree: a number in pixels, or such as "1mm".
        pages: Pages (planes) of stacks to score, counted from 0, both ends included: "24-26,30"; None for all.
        instances: Both sides are instance labels, whose objects are matched and scored too.
        ignore: Value in true masks of pixels that nobody has annotated, which are not scored; None if there are none.
        dims: 3 to score stacks as volumes, 2 as planes; None to let the files say it.
        pixel_size_um: Size of a pixel, in place of what the files say.
        boundaries: Regions between borders are compared too, as neurons between membranes.

    Raises:
        ConfigError: A value has no meaning, or does not go with the others.
    """

    threshold: float | None = None
    invert: bool = False
    classes: int = 2
    tolerance: float | str = 2.0
    pages: str | None = None
    instances: bool = False
    ignore: int | None = None
    dims: int | None = None
    pixel_size_um: str | float | Sequence[float] | None = None
    boundaries: bool = False

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"classes is {self.classes}.", "Count the background too: give 2 or more.")
        if self.classes > 2 and (self.invert or self.threshold is not None):
            raise ConfigError(
                f"threshold and invert have no meaning for {self.classes} classes, whose masks hold class numbers.",
                "Leave them out, or leave classes at 2.",
            )
        if self.instances and (self.classes > 2 or self.invert or self.threshold is not None):
            raise ConfigError(
                "threshold, invert and classes have no meaning for instances, whose labels number the objects.",
                "Leave them out, or leave instances out.",
            )
        if self.boundaries and self.classes > 2:
            raise ConfigError(
                f"boundaries have no meaning for {self.classes} classes.",
                "Leave classes at 2: V_Rand and V_info compare regions and the borders between them.",
            )
        if self.dims not in (None, 2, 3):
            raise ConfigError(f"dims is {self.dims}.", "Give 2 for planes or 3 for volumes.")
        parse_length(self.tolerance)
        parse_pixel_size(self.pixel_size_um)

    @property
    def reach(self) -> Length:
        """The tolerance with its unit."""
        return parse_length(self.tolerance)

    @property
    def sides_um(self) -> tuple[float, ...] | None:
        """Size of a pixel that the user gave: of all axes, (y, x) or (z, y, x)."""
        return each_size(parse_pixel_size(self.pixel_size_um)) or None

    @property
    def within(self) -> str:
        """The tolerance as headings name it."""
        return str(self.reach) if self.reach.unit != PIXELS else f"{self.reach.size:g} {PIXELS}"
