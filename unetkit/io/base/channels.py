"""Channels of a file, picked by number or by name."""

from __future__ import annotations

from collections.abc import Sequence

from unetkit.foundation.errors import ImageError, closest
from unetkit.io.base.arrays import check_channels
from unetkit.io.base.read_options import Channels

COLOURS = (["red", "green", "blue"], ["r", "g", "b"])
"""Names of the three channels of an RGB picture, in lower case."""


def name_colours(names: Sequence[str]) -> bool:
    """Return whether channels of these names are the colours of one picture.

    >>> name_colours(["Red", "Green", "Blue"]), name_colours(["DAPI", "GFP", "RFP"])
    (True, False)
    """
    return [name.strip().casefold() for name in names] in COLOURS


def pick_channels(
    wanted: Channels | None, names: Sequence[str], total: int, axes: str, name: str
) -> tuple[int, ...] | None:
    """Return the numbers of the wanted channels in the wanted order; None for all channels.

    Args:
        wanted: Numbers, or names in any case. A number beyond the last channel may be a name, such as "488".
        names: Names of all channels; empty if the file gives none.
        total: Number of channels.
        axes: Axes of the image, for messages.
        name: Path of the file, for messages.

    Raises:
        ImageError: The file has no such channel; the remedy names the closest.

    >>> pick_channels(("gfp", 0), ("DAPI", "GFP"), 2, "CYX", "cells.tif")
    (1, 0)
    """
    if wanted is None:
        return None
    numbers = {known.strip().casefold(): number for number, known in reversed(list(enumerate(names)))}
    picked = []
    for one in wanted:
        if isinstance(one, int) and (one < total or str(one) not in numbers):
            check_channels([one], total, axes, name)
            picked.append(one)
            continue
        number = numbers.get(str(one).casefold())
        if number is None:
            raise _unknown(str(one), names, total, name)
        picked.append(number)
    return tuple(picked)


def _unknown(wanted: str, names: Sequence[str], total: int, name: str) -> ImageError:
    if not names:
        return ImageError(
            f"{name} does not name its channels, so there is none called '{wanted}'.",
            f"Give their numbers: it has {total}, and the first is number 0.",
        )
    known = {known.casefold(): known for known in names}
    near = closest(wanted.casefold(), known)
    listed = ", ".join(f"{number}: {known}" for number, known in enumerate(names))
    for folded, spelled in known.items():
        near = near.replace(f"'{folded}'", f"'{spelled}'")
    hint = near if near.startswith("Did") else "Choose one of these."
    return ImageError(f"{name} has no channel '{wanted}', but {listed}.", hint)
