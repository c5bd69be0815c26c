"""Slices of DICOM as volumes: sorted along their normal, and checked to be all there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.base.space import Space
from unetkit.io.base.stored import Step
from unetkit.io.medical.affine import DIGITS, UM_PER_MM, to_affine
from unetkit.io.medical.dicom_files import Slice

SAME_PLACE_MM = 1e-3
"""Slices that are nearer to each other than this lie at one place: positions have four decimals or so."""

SAME_DIRECTION = 1e-3
"""Parts of a direction that differ by less are of one direction."""

EVEN = 0.01
"""Share of the distance between slices by which it may differ without a word."""

UNEVEN = 0.1
"""Share of it from which on slices are missing, rather than a little off."""

TILT = 0.01
"""Shift of a slice against its neighbour, as a share of their distance, that is no noise."""

FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's axes, to the left, to the back and up, to those of a `Space`."""


@dataclass(frozen=True)
class Stack:
    """A series as an array of slices.

    Attributes:
        axes: Its plane axes: "", "Z", "T", "TZ" or "Q".
        slices: The slices in C order; None for those that are missing and read as background.
        shape: Sizes along `axes`.
        pixel_size_um: Size of a pixel (y, x), if it is known.
        steps: Distances between planes, where they are known.
        space: Where it lies, if the slices have a place.
        remarks: Sentences for the user.
    """

    axes: str
    slices: tuple[Slice | None, ...]
    shape: tuple[int, ...]
    pixel_size_um: tuple[float, float] | None
    steps: tuple[Step, ...]
    space: Space | None
    remarks: tuple[str, ...]


def group(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return the slices of each series, sorted by the numbers of the series. A file of several frames is one alone."""
    found: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for one in slices:
        found[one.series, one.instance if one.frames > 1 else ""].append(one)
    return sorted(found.values(), key=lambda series: (series[0].series_number, series[0].series, series[0].instance))


def stack(slices: Sequence[Slice], name: str, on_bad_tile: OnBadTile) -> Stack:
    """Return the slices of a series as one array.

    Args:
        slices: The slices, in any order.
        name: Path of the image, for messages.
        on_bad_tile: "background" reads slices that are missing as background.

    Raises:
        ImageError: Slices are missing or doubled, or differ in what all slices of a volume share.
    """
    slices, remarks = _without_copies(slices)
    _check_alike(slices, name)
    first = slices[0]
    if first.at_detector:
        remarks = (*remarks, "Its pixel size is that on the detector: the body in front of it is smaller.")
    size = _pixel_size(first)
    if len(slices) == 1 and first.position is None:
        return Stack("", (first,), (), size, (), None, remarks)
    if any(one.position is None or one.orientation is None for one in slices):
        return _without_places(slices, size, remarks)
    return _volume(slices, name, on_bad_tile, remarks)


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Return the slices without files that are there twice, and a remark if there are some."""
    once = list({(one.instance, one.frame): one for one in slices}.values())
    copies = len(slices) - len(once)
    if not copies:
        return once, ()
    return once, (f"{copies} of its files {'is a copy' if copies == 1 else 'are copies'} of others, and left out.",)


def _check_alike(slices: Sequence[Slice], name: str) -> None:
    """Raise an ImageError unless all slices have one size, one kind of pixels, one spacing and one orientation."""
    first = slices[0]
    for one in slices[1:]:
        parts = (
            ("sizes", first.size, one.size),
            ("kinds of pixels", _pixels(first), _pixels(one)),
            ("pixel spacings", _rounded(first.spacing), _rounded(one.spacing)),
            ("orientations", _rounded(first.orientation), _rounded(one.orientation)),
        )
        for what, mine, other in parts:
            same = mine == other or (
                what == "orientations"
                and mine is not None
                and other is not None
                and np.allclose(mine, other, atol=SAME_DIRECTION)
            )
            if not same:
                raise ImageError(
                    f"{name} has slices of different {what} in one series: {mine} in {first.path.name} and {other} in "
                    f"{one.path.name}.",
                    "Put the slices of one volume into a folder of their own.",
                )


def _pixels(one: Slice) -> str:
    kind = f"{'int' if one.signed else 'uint'}{one.allocated}"
    return f"{one.photometric} {kind}" + (f" x {one.samples}" if one.samples > 1 else "")


def _rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(round(one, 4) + 0.0 for one in numbers)


def _pixel_size(one: Slice) -> tuple[float, float] | None:
    if one.spacing is None or len(one.spacing) != 2 or min(one.spacing) <= 0:
        return None
    return _short(one.spacing[0] * UM_PER_MM), _short(one.spacing[1] * UM_PER_MM)


def _short(size: float) -> float:
    return float(f"{size:.{DIGITS}g}")


def _without_places(slices: list[Slice], size: tuple[float, float] | None, remarks: tuple[str, ...]) -> Stack:
    """Return slices without a place in the order of their numbers: a film, or who knows."""
    ordered = sorted(slices, key=lambda one: one.order)
    seconds = ordered[0].frame_seconds
    axis = "Q" if seconds is None else "T"
    steps = () if not seconds else (Step("T", seconds, "s"),)
    if seconds is None:
        remarks = (*remarks, "Its slices do not say where they lie: they are in the order of their numbers.")
    return Stack(axis, tuple(ordered), (len(ordered),), size, steps, None, remarks)


def _volume(slices: list[Slice], name: str, on_bad_tile: OnBadTile, remarks: tuple[str, ...]) -> Stack:
    """Return slices that have a place as a volume, or as several that follow each other in time."""
    directions = np.array(slices[0].orientation).reshape(2, 3)
    normal = np.cross(*directions)
    places = _at_one_place(slices, normal)
    times = _times(places, name)
    depths = [depth for depth, _ in places]
    positions = np.array([found[0].position for _, found in places])
    full, gaps = _filled(depths, [found[0].path.name for _, found in places], name, on_bad_tile)
    if gaps:
        remarks = (*remarks, f"{gaps} slices are missing, and read as background.")
    if times > 1:
        remarks = (*remarks, f"It has {times} slices at each place: they are volumes that follow each other (T).")
    step = positions[-1] - positions[0]
    count = len(full)
    step = step / (count - 1) if count > 1 else normal
    between = abs(float(step @ normal))
    if count > 1:
        remarks = (*remarks, *_evenness(depths, between), *_tilt(step, normal, between))
    spacing = slices[0].spacing or (1.0, 1.0)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = directions[0] * spacing[1], directions[1] * spacing[0]
    lps[:3, 2], lps[:3, 3] = step, positions[0]
    ordered = [None if at is None else places[at][1][time] for time in range(times) for at in full]
    steps = (Step("Z", _short(between * UM_PER_MM), "µm"),) if count > 1 else ()
    axes, shape = ("TZ", (times, count)) if times > 1 else ("Z", (count,))
    space = Space(to_affine(FROM_LPS @ lps))
    return Stack(axes, tuple(ordered), shape, _pixel_size(slices[0]), steps, space, remarks)


def _at_one_place(slices: Sequence[Slice], normal: NDArray[np.float64]) -> list[tuple[float, list[Slice]]]:
    """Return the slices at each place along the normal, from its start to its end, those at one place by their order.

    Args:
        slices: Slices with a position.
        normal: Where they lie along.
    """
    found: list[tuple[float, list[Slice]]] = []
    for depth, one in sorted(((float(np.array(one.position) @ normal), one) for one in slices), key=lambda one: one[0]):
        if found and depth - found[-1][0] < SAME_PLACE_MM:
            found[-1][1].append(one)
        else:
            found.append((depth, [one]))
    return [(depth, sorted(there, key=lambda one: one.order)) for depth, there in found]


def _times(places: Sequence[tuple[float, list[Slice]]], name: str) -> int:
    """Return how many slices lie at each place, if it is the same everywhere."""
    counts = [len(there) for _, there in places]
    if min(counts) == max(counts):
        return counts[0]
    usual = int(np.median(counts))
    at = next(i for i, count in enumerate(counts) if count != usual)
    depth, there = places[at]
    files = ", ".join(one.path.name for one in there[:3])
    raise ImageError(
        f"{name} has {counts[at]} slices at {depth:.2f} mm along its normal ({files}), and {usual} at most other "
        "places.",
        "Put the slices of one volume, each once, into a folder of their own.",
    )


def _filled(
    depths: Sequence[float], files: Sequence[str], name: str, on_bad_tile: OnBadTile
) -> tuple[list[int | None], int]:
    """Return the number of each place of an even volume, None for a missing one; and how many are missing.

    Raises:
        ImageError: Some are missing, and bad parts are to stop.
    """
    if len(depths) < 3:
        return list(range(len(depths))), 0
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    full: list[int | None] = [0]
    for at, gap in enumerate(gaps):
        missing = round(gap / usual) - 1 if gap > usual * (1 + UNEVEN) else 0
        whole = abs(gap - usual * (missing + 1)) <= usual * UNEVEN
        if not whole or (missing and on_bad_tile == "stop"):
            there = (
                f"{missing} {'slice is' if missing == 1 else 'slices are'} missing" if missing else "slices are uneven"
            )
            raise ImageError(
                f"{name}: {there} between {files[at]} and {files[at + 1]}, which are {gap:.2f} mm apart (at "
                f"{depths[at]:.2f} mm along the normal); others are {usual:.2f} mm apart.",
                "Copy the series again"
                + (", or pass --on-bad-tile background to read what is missing as background." if whole else "."),
            )
        full += [None] * missing
        full.append(at + 1)
    return full, full.count(None)


def _evenness(depths: Sequence[float], between: float) -> tuple[str, ...]:
    """Return a remark if slices are not quite as far apart as others."""
    gaps = np.diff(depths)
    single = gaps[gaps < between * (1 + 2 * UNEVEN)]
    if not single.size or np.abs(single - between).max() <= between * EVEN:
        return ()
    return (f"Its slices are {single.min():.3g} to {single.max():.3g} mm apart: {between:.3g} mm is taken for all.",)


def _tilt(step: NDArray[np.float64], normal: NDArray[np.float64], between: float) -> tuple[str, ...]:
    """Return a remark if slices are shifted against each other."""
    shift = float(np.linalg.norm(step - (step @ normal) * normal))
    if shift <= between * TILT:
        return ()
    angle = np.degrees(np.arctan2(shift, between))
    return (
        f"Its slices are shifted against each other, as with a gantry tilted by {angle:.1f}°: they are not upright.",
    )
