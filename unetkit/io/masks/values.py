"""The values of a mask, counted band by band, from which their meaning is decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError
from unetkit.io.base.stored import Encoding
from unetkit.io.masks.ignored import has_value

MOST_KEPT_FRACTIONS = 64
"""How many different fractions of a mask are kept; more would say nothing new."""

MOST_VALUES_WITHOUT_RAMPS = 3
"""A band with at most this many different values has no ramps that matter."""

MOST_KEPT_COLOURS = 1 << 16
"""How many different colours of a mask are kept. A picture has more, a mask never."""


class MaskValues:
    """The values of a mask, or of a band of it.

    Args:
        bands: (C, h, w) pixels as they are stored, at least one.
        encoding: How they are stored.
        name: What to call the mask in messages.
        ignore: Stored value of pixels that nobody has annotated. They count as if they were not there.

    Attributes:
        dtype: Type of the pixels.
        grey: Whether all channels but alpha are equal in visible pixels.
        values: Different values of the visible pixels, in order. In a mask in colours (`grey` is False) they are 24-bit
            codes, see `to_codes`, with 16 shades of each primary where compression changes them. If there are too many,
            only the most frequent are kept.
        counts: Number of pixels with each value.
        solid: Number of pixels with each value whose neighbours to the right and below have the same; for colours.
        complete: Whether `values` holds all values of the mask.
        whole: Whether all values are whole numbers.
        low: The lowest value.
        high: The highest value.
        steps: Number of pixels that differ from their neighbour to the right or below.
        ramps: Number of steps that follow another step in the same direction. Blurred borders have such ramps, labels
            have not.
        framed: Share of the pixels of the left and right border that are above zero.
        transparent: Number of pixels that are more transparent than opaque.
        ignored: Number of pixels that nobody has annotated.
        pixels: Number of the others.

    Raises:
        DataError: Values are not finite, or there are more channels than a mask has.
    """

    def __init__(self, bands: Iterable[NDArray[Any]], encoding: Encoding, name: str, ignore: int | None = None) -> None:
        self.grey = self.complete = self.whole = True
        self.low, self.high = float("inf"), float("-inf")
        self.steps = self.ramps = self.transparent = self.ignored = self.pixels = 0
        self._frame = self._frame_above = 0
        self._name, self._ignore = name, ignore
        self._grey_values: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self._codes: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self._solid: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        for band in bands:
            self.dtype = band.dtype
            self._add(band, encoding)
        if self.grey:
            self.values, self.counts = _merge(self._grey_values)
            self.solid = self.counts
            return
        for values, counts in self._grey_values:  # bands in which no other colour is
            grey = (_few_shades(np.stack([values] * 3), encoding), counts)
            self._codes.append(grey)
            self._solid.append(grey)
        self.values, self.counts = _merge(self._codes)
        self.solid = np.zeros(len(self.values), np.int64)
        values, counts = _merge(self._solid)
        known = np.isin(values, self.values)
        self.solid[np.searchsorted(self.values, values[known])] = counts[known]

    @property
    def ramped(self) -> float:
        """Share of the steps that belong to ramps."""
        return self.ramps / max(self.steps, 1)

    @property
    def framed(self) -> float:
        """Share of the pixels of the left and right border that are above zero."""
        return self._frame_above / max(self._frame, 1)

    def _add(self, band: NDArray[Any], encoding: Encoding) -> None:
        if not np.isfinite(band).all():
            raise DataError(f"{self._name} is a mask with NaN or infinite values.", "Use 0 for the background.")
        channels, opaque = split_alpha(to_light(band, encoding), encoding)
        ignored = has_value(channels, self._ignore)
        count = 0 if ignored is None else int(np.count_nonzero(ignored))
        self.ignored += count
        self.pixels += channels[0].size - count
        if opaque is not None:
            self.transparent += int(np.count_nonzero(~opaque if ignored is None else ~(opaque | ignored)))
        annotated = ~ignored if ignored is not None and count else None
        if annotated is not None:
            opaque = annotated if opaque is None else opaque & annotated
        equal = [channels[0] == other for other in channels[1:]]
        equal = equal if opaque is None else [same | ~opaque for same in equal]
        self.grey &= all(bool(same.all()) for same in equal)
        if not self.grey and (len(channels) != 3 or channels.dtype.kind not in "u"):
            raise DataError(
                f"{self._name} is a mask with {len(channels)} channels that differ.",
                "Save it as one channel that holds the number of each pixel's class or object.",
            )
        if not all(bool(same.all()) for same in equal):
            codes = _few_shades(channels, encoding)
            self._codes.append(_count(codes if opaque is None else codes[opaque]))
            self._limit(self._codes, MOST_KEPT_COLOURS)
            here = codes[:-1, :-1]
            self._solid.append(_count(here[(here == codes[1:, :-1]) & (here == codes[:-1, 1:])]))
        else:
            self._add_grey(channels[0], opaque, annotated)

    def _add_grey(
        self, plane: NDArray[Any], opaque: NDArray[np.bool_] | None, annotated: NDArray[np.bool_] | None
    ) -> None:
        seen = plane if opaque is None else plane[opaque]
        if seen.size:
            self.low, self.high = min(self.low, seen.min().item()), max(self.high, seen.max().item())
            if plane.dtype.kind == "f" and self.whole:
                self.whole = bool((seen == np.rint(seen)).all())
            self._grey_values.append(_count(seen))
            if len(self._grey_values[-1][0]) > MOST_VALUES_WITHOUT_RAMPS:
                self._add_steps(plane if opaque is None else np.where(opaque, plane, 0), annotated)
            if not self.whole:
                self._limit(self._grey_values, MOST_KEPT_FRACTIONS)
        border = plane[:, [0, -1]]
        border = border.ravel() if annotated is None else border[annotated[:, [0, -1]]]
        self._frame += border.size
        self._frame_above += int(np.count_nonzero(border > 0))

    def _add_steps(self, plane: NDArray[Any], annotated: NDArray[np.bool_] | None) -> None:
        after, before = slice(1, None), slice(None, -1)
        for later, earlier in ((after, before), ((slice(None), after), (slice(None), before))):
            both: Any = True if annotated is None else annotated[later] & annotated[earlier]
            for steps in ((plane[later] > plane[earlier]) & both, (plane[later] < plane[earlier]) & both):
                self.steps += int(np.count_nonzero(steps))
                self.ramps += int(np.count_nonzero(steps[later] & steps[earlier]))

    def _limit(self, found: list[tuple[NDArray[Any], NDArray[np.int64]]], most: int) -> None:
        """Keep only the most frequent values if there are too many."""
        values, counts = _merge(found)
        if len(values) > most:
            self.complete = False
            kept = np.sort(np.argsort(-counts, kind="stable")[:most])
            values, counts = values[kept], counts[kept]
        found[:] = [(values, counts)]


def _few_shades(colours: NDArray[Any], encoding: Encoding) -> NDArray[np.int32]:
    """Return the codes of colours (3, ...), with 16 shades of each where compression has changed them."""
    return to_codes(colours // 16 * 17 if encoding.lossy and colours.dtype == np.uint8 else colours)


def split_alpha(pixels: NDArray[Any], encoding: Encoding) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return pixels (C, h, w) without alpha, and where (h, w) they are more opaque than clear, if there is alpha."""
    if not encoding.alpha:
        return pixels, None
    return pixels[:-1], pixels[-1] > top_of(pixels.dtype) / 2


def to_light(pixels: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
    """Return pixels as they are, but cyan, magenta, yellow and black (4, h, w) as red, green and blue."""
    if not encoding.inks:
        return pixels
    top = top_of(pixels.dtype)
    black = (top - pixels[3].astype(np.float64)) / top
    return np.stack([np.rint((top - ink) * black).astype(pixels.dtype) for ink in pixels[:3].astype(np.float64)])


def to_codes(colours: NDArray[Any]) -> NDArray[np.int32]:
    """Return the 24-bit codes of colours (3, ...) of 8 or 16 bits: red, green and blue in 8 bits each."""
    red, green, blue = (colours >> 8 if colours.dtype.itemsize > 1 else colours).astype(np.int32)
    codes: NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return codes


def to_rgb(codes: NDArray[Any]) -> NDArray[np.int32]:
    """Return the colours (n, 3) that codes (n,) stand for."""
    return np.stack([(codes >> shift) & 255 for shift in (16, 8, 0)], axis=-1).astype(np.int32)


def top_of(dtype: np.dtype[Any]) -> float:
    """Return the value of white and of opaque: the highest of a type of integers, 1 for fractions."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different values in order, and how often each occurs."""
    if values.dtype in (np.uint8, np.uint16):
        frequency = np.bincount(values.ravel())
        found = np.flatnonzero(frequency)
        return found.astype(values.dtype), frequency[found].astype(np.int64)
    found, counts = np.unique(values, return_counts=True)
    return found, counts.astype(np.int64)


def _merge(found: list[tuple[NDArray[Any], NDArray[np.int64]]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Add up the counts of equal values."""
    if len(found) == 1:
        return found[0]
    if not found:
        return np.zeros(0, np.uint8), np.zeros(0, np.int64)
    values, places = np.unique(np.concatenate([values for values, _ in found]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, places, np.concatenate([counts for _, counts in found]))
    return values, counts
