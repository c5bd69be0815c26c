"""Which image of a TIFF file is read where nobody says it: the picture itself, not its thumbnail or its label."""

from __future__ import annotations

from collections.abc import Sequence

from tifffile import TiffPageSeries

AUXILIARY = ("label", "macro", "thumbnail", "overview", "map", "preview")
"""Names, as tifffile gives them, of pictures that belong to the picture of a slide."""

REDUCED = 1
"""Bit of the tag NewSubfileType of an image that is a smaller version of another."""

MASK = 4
"""Bit of the tag NewSubfileType of an image that is the transparency mask of another."""

OLD_REDUCED = 2
"""Value of the older tag SubfileType for the same."""

OVERVIEW_FIRST = ("scn",)
"""Kinds of files that begin with an overview of the whole slide, without a name."""

LISTED = 4
"""Other images that a remark describes."""


def choose_series(all_series: Sequence[TiffPageSeries]) -> tuple[int, str]:
    """Return the number of the series to read, and a remark on what else there is, if anything matters.

    It is the first that the file does not mark as reduced or as an addition; of those that are all marked, and of
    slides that begin with their overview, the largest.
    """
    numbers = range(len(all_series))
    pictures = [number for number in numbers if not _is_addition(all_series[number])]
    if not pictures or all_series[0].kind in OVERVIEW_FIRST:
        chosen = max(pictures or numbers, key=lambda number: _pixels(all_series[number]))
    else:
        chosen = pictures[0]
    others = [number for number in pictures if number != chosen]
    if others:
        listed = ", ".join(f"{number}: {_describe(all_series[number])}" for number in others[:LISTED])
        more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
        return chosen, (
            f"It holds {len(pictures)} images, of which series {chosen} ({_describe(all_series[chosen])}) is read; "
            f"--series chooses another ({listed}{more})."
        )
    if chosen:
        return chosen, (
            f"It begins with a smaller version of its picture ({_describe(all_series[0])}), so series {chosen} "
            f"({_describe(all_series[chosen])}) is read; --series chooses another."
        )
    return chosen, ""


def _is_addition(series: TiffPageSeries) -> bool:
    page = series.keyframe
    old = page.tags.get("SubfileType")
    reduced = bool(page.subfiletype & (REDUCED | MASK)) or (old is not None and old.value == OLD_REDUCED)
    return reduced or series.name.lower().split(" ")[0] in AUXILIARY


def _pixels(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagelength) * int(series.keyframe.imagewidth)


def _describe(series: TiffPageSeries) -> str:
    page = series.keyframe
    name = f"'{series.name}', " if series.name and not series.name.startswith("Series ") else ""
    return f"{name}{page.imagelength} x {page.imagewidth}"
