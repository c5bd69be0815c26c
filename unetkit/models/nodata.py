"""Pixels that hold no data: NaN, the value of a border or of holes, and the even frame around a stitched picture.

They are no part of the picture, so they are left out of its statistics. A network is shown background in their place,
and they are background in the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

SENTINELS = (
    *(-999.0, -9999.0, -99999.0, -32767.0, -32768.0, -2147483647.0, -2147483648.0),
    *(float(np.finfo(np.float32).min), float(np.finfo(np.float32).max), -1e30, 1e30, 1e20, -1e38, 1e38),
)
"""Values that programs write where there is no data."""

SMALLEST_MISSING_SHARE = 0.005
"""Smallest share of a plane that NaN pixels or a frame have. A smaller share is taken for picture."""

CORNER_SIZE = 4
"""Size of a corner along each axis, in pixels. A frame that is not straight fills at least one corner."""

SMALLEST_SHARE_IN_ONE_CORNER = 0.05
"""Smallest share of a plane that a frame in a single corner has. An overexposed object may lie there too."""

SMALLEST_PICTURE = 0.25
"""Smallest share of a plane that its picture has."""

FRAME_VALUE_SHARE = 0.02
"""Largest share of a picture that has the value of its frame, but for bright frames around dark pictures."""

PICTURE_PERCENTILES = (1.0, 99.8)
"""Percentiles that bound the range of a picture."""

FRAME_MARGIN_SHARE = 0.05
"""Share of its picture's range by which the value of a frame that is not straight lies beyond that range."""

MODE_PIXELS = 2**18
"""Largest number of pixels on which the most frequent value is counted."""

Box = tuple[tuple[int, int], ...]
"""First pixel of a part, and the end, along each axis."""

Places = Sequence[NDArray[np.intp]]
"""Where pixels lie along each axis of their plane: for example their rows and their columns."""


@dataclass(frozen=True)
class NoData:
    """Which pixels of a plane hold no data.

    Attributes:
        value: Value that stands for no data. One channel with it is enough. Where pixels are unsigned, all channels
            must have it, since a dark channel may have it too.
        frame: Value of each channel of the frame around the picture.
        picture: Part of a plane with a frame that is picture for sure, whatever its values.
        nan: Whether NaN stands for no data.
        share: Share of the pixels that hold no data, in the sample in which they were found.
    """

    value: float | None = None
    frame: tuple[float, ...] | None = None
    picture: Box | None = None
    nan: bool = False
    share: float = 0.0

    def mask(self, pixels: NDArray[Any], places: Places) -> NDArray[np.bool_]:
        """Return which pixels (...) hold no data.

        Args:
            pixels: (C, ...).
            places: Where they lie in the plane.
        """
        empty = np.zeros(pixels.shape[1:], np.bool_)
        if self.nan:
            empty |= np.isnan(pixels).any(0)
        if self.value is not None:
            same = pixels == pixels.dtype.type(self.value)
            empty |= same.all(0) if pixels.dtype.kind == "u" else same.any(0)
        if self.frame is not None:
            empty |= _equal(pixels, self.frame) & ~_inside(self.picture, places)
        return empty

    def describe(self) -> str:
        """Return a remark for people."""
        kinds = []
        if self.nan:
            kinds.append("NaN")
        if self.value is not None:
            kinds.append(f"{self.value:g}, which stands for no data")
        if self.frame is not None:
            kinds.append(f"an even frame of the value {', '.join(f'{one:g}' for one in self.frame)}")
        return (
            f"{100 * self.share:.2g} % of its pixels are {', or '.join(kinds)}: they are left out of the statistics "
            "that normalise it, and are background in the result."
        )


def find_nodata(sample: NDArray[Any], places: Places, stated: float | None = None) -> NoData | None:
    """Find out which pixels of a plane or volume hold no data.

    Only planes have frames: around a brain that was cut out, or a part of a volume, the even voxels are its background.

    Args:
        sample: (C, ...) the plane, or some of its rows and columns, the outermost among them.
        places: Which rows and columns of the plane they are.
        stated: Value that the file names for no data.

    Returns:
        None where all pixels hold data, and where none does.
    """
    if sample.dtype.kind not in "iuf":
        return None
    nan = sample.dtype.kind == "f" and _share_of_nan(sample) >= SMALLEST_MISSING_SHARE
    value = _fitting(stated, sample.dtype)
    if value is None and sample.dtype.kind != "u":
        value = _sentinel(sample)
    found: NoData | None = None
    if nan or value is not None:
        found = NoData(value, nan=nan)
        empty = found.mask(sample, places)
    if not nan and len(places) == 2 and (found is None or not empty.any()):
        frame = _find_frame(sample, places)
        if frame is not None:
            found = replace(frame, value=value)
            empty = found.mask(sample, places)
    if found is None or empty.all():
        return None
    return replace(found, share=float(empty.mean()))


def _share_of_nan(sample: NDArray[Any]) -> float:
    """Return the share of pixels that are NaN in one of the channels, quickly where none is."""
    return float(np.isnan(sample).any(0).mean()) if np.isnan(sample.max()) else 0.0


def typical_background(valid: NDArray[Any]) -> NDArray[Any]:
    """Return the most frequent value (C,) of each channel of pixels (C, n): the background of most pictures."""
    step = -(-valid.shape[1] // MODE_PIXELS)
    return np.array([mode(channel[::step]) for channel in valid]).astype(valid.dtype)


def mode(values: NDArray[Any]) -> float:
    """Return the median of the values in the fullest of 64 bins: exact where all values are the same."""
    counts, edges = np.histogram(values, bins=64)
    fullest = int(counts.argmax())
    return float(np.median(values[(values >= edges[fullest]) & (values <= edges[fullest + 1])]))


def _fitting(stated: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return the value that a file names, None if no pixel of its type can have it, or it is NaN."""
    if stated is None or not np.isfinite(stated):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return stated if stated == int(stated) and limits.min <= stated <= limits.max else None
    return stated if dtype.kind == "f" and abs(stated) <= float(np.finfo(dtype).max) else None


def _sentinel(sample: NDArray[Any]) -> float | None:
    """Return the lowest or the highest of pixels if it is a known value for no data, far from all others."""
    values = sample[~np.isnan(sample)] if np.isnan(sample.max()) else sample
    if not values.size:
        return None
    for extreme, sign in ((values.min(), 1.0), (values.max(), -1.0)):
        if not np.isclose(float(extreme), SENTINELS, rtol=1e-6).any():
            continue
        others = values[values != extreme].astype(np.float64) * sign
        if others.size and others.min() - float(extreme) * sign > np.ptp(others) > 0:
            return float(extreme)
    return None


def _find_frame(sample: NDArray[Any], places: Places) -> NoData | None:
    """Find the even frame around a picture, straight or ragged."""
    before = [[slice(None)] * axis for axis in range(1, sample.ndim)]
    edges = _even_values([sample[*axes, end] for axes in before for end in (0, -1)])
    straight = [(value, box, clean) for value in edges for box, clean in _find_straight(sample, value)]
    if not any(clean for _, _, clean in straight):
        ends = (slice(0, CORNER_SIZE), slice(-CORNER_SIZE, None))
        for value, corners in _even_values([sample[:, *one] for one in product(ends, repeat=len(places))]).items():
            if _is_ragged_frame(sample, value, SMALLEST_MISSING_SHARE if corners > 1 else SMALLEST_SHARE_IN_ONE_CORNER):
                return NoData(frame=value)
    for value, box, _ in sorted(straight, key=lambda one: not one[2]):
        ends_along = zip(places, box, strict=True)
        picture = tuple((int(along[start]), int(along[stop - 1]) + 1) for along, (start, stop) in ends_along)
        return NoData(frame=value, picture=picture)
    return None


def _even_values(parts: Sequence[NDArray[Any]]) -> Counter[tuple[float, ...]]:
    """Return the values of those parts (C, ...) that are even, and how many of them have each."""
    flat = [part.reshape(len(part), -1) for part in parts]
    even = [part for part in flat if (part == part[:, :1]).all() and np.isfinite(part[:, 0]).all()]
    return Counter(tuple(float(one) for one in part[:, 0]) for part in even)


def _find_straight(sample: NDArray[Any], value: tuple[float, ...]) -> Iterator[tuple[Box, bool]]:
    """Yield the picture within a frame of whole rows and columns of a value, and whether it is free of that value.

    There is none if the value is frequent in the picture, unless that is dark and the frame as bright as its brightest
    pixels. So the dark background between fluorescent objects and the bright glass around tissue are no frames.
    """
    same = _equal(sample, value)
    if same.all():
        return
    box = _bounds(~same)
    part = tuple(slice(start, stop) for start, stop in box)
    size = same[part].size / same.size
    inside = sample[:, *part].reshape(len(sample), -1)
    if 1 - size < SMALLEST_MISSING_SHARE or size < SMALLEST_PICTURE or not _varies(inside[:, ~same[part].ravel()]):
        return
    clean = bool(same[part].mean() <= FRAME_VALUE_SHARE)
    brightest = np.asarray(value)
    dark = (np.median(inside, axis=1) < (brightest + inside.min(1)) / 2) & (inside.max(1) == brightest)
    if clean or dark.all():
        yield box, clean


def _is_ragged_frame(sample: NDArray[Any], value: tuple[float, ...], least: float) -> bool:
    """Return whether pixels of a value are a frame that may be round, turned or stepped.

    A pixel of a frame has the value, and so has every pixel on a straight way from it to a border. The rest is a
    picture without gaps, and the value is beyond those of the picture. A frame has at least the share `least` of the
    plane.
    """
    same = _equal(sample, value)
    frame = _reaches_border(same)
    picture = ~frame
    if frame.mean() < least or picture.mean() < SMALLEST_PICTURE or same[picture].mean() > FRAME_VALUE_SHARE:
        return False
    inside = sample[:, picture & ~same]
    return _varies(inside) and _is_beyond(value, inside)


def _varies(pixels: NDArray[Any]) -> bool:
    """Return whether there is anything to see in pixels (C, n)."""
    return bool(pixels.size) and bool((pixels.min(1) < pixels.max(1)).any())


def _reaches_border(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels from which those that are set go on straight to a border, along one of the axes."""
    runs = np.zeros_like(same)
    for axis in range(same.ndim):
        runs |= np.logical_and.accumulate(same, axis)
        runs |= np.flip(np.logical_and.accumulate(np.flip(same, axis), axis), axis)
    return runs


def _bounds(picture: NDArray[np.bool_]) -> Box:
    axes = range(picture.ndim)
    filled = (np.flatnonzero(picture.any(tuple(other for other in axes if other != axis))) for axis in axes)
    return tuple((int(where[0]), int(where[-1]) + 1) for where in filled)


def _is_beyond(value: tuple[float, ...], inside: NDArray[Any]) -> bool:
    """Return whether a value is beyond the range of pixels (C, n) in one of the channels, by enough to spoil it."""
    low, high = np.percentile(inside, PICTURE_PERCENTILES, axis=1)
    margin = FRAME_MARGIN_SHARE * (high - low)
    return bool(((np.asarray(value) < low - margin) | (np.asarray(value) > high + margin)).any())


def _equal(pixels: NDArray[Any], value: tuple[float, ...]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = pixels[0] == pixels.dtype.type(value[0])
    for channel, one in zip(pixels[1:], value[1:], strict=True):
        same = same & (channel == pixels.dtype.type(one))
    return same


def _inside(box: Box | None, places: Places) -> NDArray[np.bool_]:
    if box is None:
        return np.zeros([len(along) for along in places], np.bool_)
    within = [(along >= start) & (along < stop) for along, (start, stop) in zip(places, box, strict=True)]
    inside: NDArray[np.bool_] = reduce(np.logical_and, np.meshgrid(*within, indexing="ij", sparse=True))
    return inside
