"""Which image of a TIFF file is read by default: the picture itself, not its thumbnail or label."""

from __future__ import annotations

from collections.abc import Sequence

from tifffile import TiffPageSeries

AUXILIARY_NAMES = ("label", "macro", "thumbnail", "overview", "map", "preview")
"""Names in tifffile of the pictures that accompany a slide."""

SUBFILE_REDUCED = 1
"""Bit of the tag NewSubfileType that marks a smaller version of another image."""

SUBFILE_MASK = 4
"""Bit of the tag NewSubfileType that marks the transparency mask of another image."""

OLD_SUBFILE_REDUCED = 2
"""Value of the older tag SubfileType that marks a smaller version of another image."""

OVERVIEW_FIRST_KINDS = ("scn",)
"""Kinds of files whose first image is an overview of the slide that has no name."""

LISTED_SERIES = 4
"""How many other images a remark describes."""


def choose_series(all_series: Sequence[TiffPageSeries]) -> tuple[int, str]:
    """Return the number of the series to read, and a remark on what else there is, if anything matters.

    It is the first that the file does not mark as reduced or as an addition. It is the largest one where all are
    marked, and in slides that begin with their overview.
    """
    numbers = range(len(all_series))
    pictures = [number for number in numbers if not _is_addition(all_series[number])]
    if not pictures or all_series[0].kind in OVERVIEW_FIRST_KINDS:
        chosen = max(pictures or numbers, key=lambda number: _pixels(all_series[number]))
    else:
        chosen = pictures[0]
    others = [number for number in pictures if number != chosen]
    if others:
        listed = ", ".join(f"{number}: {_describe(all_series[number])}" for number in others[:LISTED_SERIES])
        more = f" and {len(others) - LISTED_SERIES} more" if len(others) > LISTED_SERIES else ""
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
    reduced = bool(page.subfiletype & (SUBFILE_REDUCED | SUBFILE_MASK)) or (
        old is not None and old.value == OLD_SUBFILE_REDUCED
    )
    return reduced or series.name.lower().split(" ")[0] in AUXILIARY_NAMES


def _pixels(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagelength) * int(series.keyframe.imagewidth)


def _describe(series: TiffPageSeries) -> str:
    page = series.keyframe
    name = f"'{series.name}', " if series.name and not series.name.startswith("Series ") else ""
    return f"{name}{page.imagelength} x {page.imagewidth}"
