"""What a mask means: how its stored pixels become labels, with 0 for background. This is decided here only.

A mask means what it looks like:

- Black is background and white is foreground, whichever numbers stand for them.
- Numbers are labels.
- Blurred values are cut at half.
- A shape on a transparent layer is the mask.

Where there is a doubt, the meaning has a sentence that says what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.files import open_image
from unetkit.io.masks.colours import is_plain_palette, read_colours, read_palette
from unetkit.io.masks.ignored import has_value, mark_ignored
from unetkit.io.masks.rules import Above, AsIs, OneLess, Only, Renumbered, Rule
from unetkit.io.masks.values import MaskValues, split_alpha, to_light, top_of

Kind = Literal[
    "numbers",
    "probabilities",
    "logits",
    "blurred",
    "compressed",
    "layer",
    "transparent",
    "palette",
    "colours",
    "white",
    "negative",
    "renumbered",
    "full",
    "drawn",
    "named",
    "unlabelled",
]
"""Kinds of masks: plain numbers, or one of the kinds with a doubt."""

CUT: tuple[Kind, ...] = ("probabilities", "logits", "blurred", "compressed")
"""Kinds whose values are cut at a threshold, since they are no numbers of classes or objects."""

LEAST_RAMPED_SHARE = 0.05
"""Least share of steps in ramps of a blurred mask. Labels of 466 images of nuclei have 0.01 at most."""

MOST_CLASSES = 20
"""Values up to this may be numbers of nested classes, whose borders have ramps too."""

LEAST_BLURRED_VALUES = 3
"""Least number of different values above zero of a blurred mask."""

PLAIN_SHARE = 0.9
"""Values of at least this share of the highest one are foreground without doubt."""

LEAST_FRAMED_SHARE = 0.95
"""Least share of the left and right border that a background covers."""

BLURRED_TEXT = "The mask has values in between, as resizing and compression leave them"

BAND_PIXELS = 2**22
"""How many pixels are looked at at a time."""


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the values of a mask mean, the same in all its windows.

    Attributes:
        kind: Kind of the mask.
        taken: What was chosen where there was a doubt, a sentence without its full stop; empty for plain numbers.
        encoding: How the mask is stored.
        rule: How its values become labels.
        shape: Whether the alpha channel is the mask.
        ignore: Stored value of pixels that nobody has annotated; None if there are none.
        class_of: (labels,) the number of the class of each label, where labels number objects whose classes are known.
    """

    kind: Kind
    taken: str
    encoding: Encoding
    rule: Rule
    shape: bool = False
    ignore: int | None = None
    class_of: NDArray[np.int32] | None = None

    def labels(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return labels (h, w) of pixels (C, h, w) as they are stored: 0 for background.

        Their type is the smallest of uint8, uint16 and int32 that holds them. Pixels that nobody has annotated are
        `IGNORED`; labels with such pixels are int32.
        """
        channels, opaque = split_alpha(to_light(pixels, self.encoding), self.encoding)
        ignored = has_value(channels, self.ignore)
        if self.shape and opaque is not None:
            return mark_ignored(opaque.astype(np.uint8), ignored)
        labels = self.rule(channels)
        return mark_ignored(_smallest(labels if opaque is None else np.where(opaque, labels, 0)), ignored)

    def values(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the values (h, w) that a user's threshold cuts: the first channel of pixels (C, h, w)."""
        first: NDArray[Any] = to_light(pixels, self.encoding)[0]
        return first


PLAIN_NUMBERS = Meaning("numbers", "", AS_SEEN, AsIs())
"""What most masks mean: their values are the labels."""


def open_mask(path: str | Path, axes: str | None = None) -> ImageSource:
    """Open a mask as it is stored, see `open_image`."""
    return open_image(path, ReadOptions(axes=axes), as_stored=True)


def read_mask_info(path: str | Path) -> ImageInfo:
    """Return the description of a mask's file."""
    with closing(open_mask(path)) as source:
        return source.info


def decide_file(source: ImageSource, planes: Iterable[int], ignore: int | None = None) -> Meaning:
    """Decide what the values of some planes of a mask mean, reading them in bands.

    Args:
        source: The mask, as it is stored.
        planes: The planes.
        ignore: Value of pixels that nobody has annotated, see `decide`.

    Raises:
        DataError: They mean nothing.
        ImageError: The file cannot be read.
    """
    info = source.info
    step = max(BAND_PIXELS // info.width, 1)
    columns = slice(0, info.width)
    bands = (
        source.read(plane, (slice(top, min(top + step, info.height)), columns))
        for plane in planes
        for top in range(0, info.height, step)
    )
    return decide(bands, info, ignore)


def decide(bands: Iterable[NDArray[Any]], info: ImageInfo, ignore: int | None = None) -> Meaning:
    """Decide what the values of a mask mean.

    Args:
        bands: Pixels (C, h, w) of the mask as they are stored, at least one band.
        info: Description of the mask.
        ignore: Stored value of pixels that nobody has annotated; None if there are none. A pixel of several channels
            has it in all of them, alpha not counted. Formats that have a value of their own for such pixels keep that.
            Where it is 0, as programs have it in which people draw strokes, 1 is background.

    Raises:
        DataError: Values are NaN or infinite, there are as many colours as in a picture, or compression has changed the
            values, so that none can be told from the others.
    """
    encoding, name = info.encoding, info.name
    value = ignore if encoding.ignored is None else encoding.ignored
    if value is not None and encoding.lossy:
        raise DataError(
            f"{name} is compressed as JPEG, which changes values: {value} does not mark what nobody has annotated.",
            "Save the mask as PNG or TIFF.",
        )
    found = MaskValues(bands, encoding, name, value)
    if value == 0:
        return _decide_unlabelled(found, info)
    meaning = _decide_found(found, info) if found.pixels else Meaning("numbers", "", encoding, AsIs())
    return replace(meaning, ignore=value) if found.ignored else meaning


def _decide_unlabelled(found: MaskValues, info: ImageInfo) -> Meaning:
    """Decide what the values of a mask mean in which 0 is what nobody has annotated."""
    palette = info.encoding.palette and not is_plain_palette(info.encoding.palette)
    if palette or not found.grey or not found.whole or (found.pixels and not 0 < found.low <= found.high < 2**31):
        raise DataError(
            f"{info.name} cannot be read with 0 for what nobody has annotated, which takes plain numbers above 0.",
            "Save it as one channel of whole numbers, without a palette: 0 for what nobody has annotated, 1 for "
            "background, and 2, 3, ... for the rest.",
        )
    taken = "0 is what nobody has annotated, so 1 is background, and 2, 3, ... are the labels 1, 2, ..."
    return Meaning("unlabelled", taken, info.encoding, OneLess(), ignore=0)


def _decide_found(found: MaskValues, info: ImageInfo) -> Meaning:
    """Decide what the annotated pixels mean."""
    encoding = info.encoding
    if 0 < found.transparent < found.pixels and len(found.values) <= 1:
        taken = "The mask is a shape on a transparent layer: what is opaque is foreground"
        return Meaning("layer", taken, encoding, AsIs(), shape=True)
    meaning = _decide_visible(found, info)
    if found.transparent and not meaning.taken:
        which = "All" if found.transparent == found.pixels else "Some"
        taken = f"{which} of the mask is transparent, which is taken for background"
        return Meaning("transparent", taken, encoding, meaning.rule)
    return meaning


def _decide_visible(found: MaskValues, info: ImageInfo) -> Meaning:
    """Decide what the visible pixels mean."""
    encoding = info.encoding
    if encoding.palette and not is_plain_palette(encoding.palette):
        taken, rule = read_palette(encoding.palette, found.values)
        return Meaning("palette", taken, encoding, rule)
    if not found.grey:
        taken, colours = read_colours(found, info.name, lossy=encoding.lossy)
        return Meaning("colours", taken, encoding, colours)
    if encoding.lossy:
        return _cut("compressed", "JPEG changes the values around each edge", found.high / 2, encoding)
    if not found.whole:
        return _decide_fractions(found, encoding)
    if _is_blurred(found):
        return _decide_blurred(found, encoding)
    return _decide_whole(found, info)


def _decide_whole(found: MaskValues, info: ImageInfo) -> Meaning:
    """Decide what whole numbers mean."""
    encoding, values = info.encoding, set(found.values[:3].tolist())
    if encoding.white_is_zero and (found.high > 0 or encoding.bilevel):
        return _decide_white(found, info)
    if values == {-1, 0}:
        return Meaning("negative", "The mask has no values but 0 and -1: -1 is foreground", encoding, Only(-1))
    if found.high >= 2**31 or found.low <= -(2**31):  # the lowest int32 is `IGNORED`
        taken = f"Labels up to {int(found.high)} are numbered anew, from 1 on in each image"
        return Meaning("renumbered", taken, encoding, Renumbered(found.values))
    everywhere = found.low > 0 and not found.transparent and not found.ignored  # a few strokes may well be all above 0
    if everywhere and len(found.values) == 2 and found.high > MOST_CLASSES:
        why = f"The mask has two values and no 0, {found.low} and {found.high}"
        return _cut("blurred", why, (found.low + found.high) / 2, encoding)
    if everywhere:
        return Meaning("full", "No pixel of the mask is 0, so all of it is foreground", encoding, AsIs())
    return Meaning("numbers", "", encoding, AsIs())


def _decide_white(found: MaskValues, info: ImageInfo) -> Meaning:
    """Decide what whole numbers mean where the file says that 0 is white."""
    encoding, top = info.encoding, int(top_of(found.dtype))
    says = "The file says that 0 is white (MinIsWhite)"
    if not encoding.bilevel and set(found.values[:3].tolist()) not in ({0, top}, {top}):
        return Meaning("white", f"{says}: its numbers are labels all the same, 0 for background", encoding, AsIs())
    if info.format == "ImageJ TIFF":
        taken = f"{says}, as ImageJ does for masks with an inverted lookup table: {top} is foreground, as in ImageJ"
        return Meaning("white", taken, encoding, AsIs())
    if encoding.bilevel and encoding.tifffile and not _looks_inverted(found):
        taken = f"{says}, as tifffile does for all arrays of True and False: True is foreground"
        return Meaning("white", taken, encoding, AsIs())
    return Meaning("white", f"{says}: what is seen as white is foreground", encoding, Only(0))


def _decide_fractions(found: MaskValues, encoding: Encoding) -> Meaning:
    """Decide what values with fractions mean."""
    if found.low == 0 and len(found.values) == 2:  # one value for foreground, whatever it is
        return Meaning("numbers", "", encoding, Above(0.0))
    if found.low < 0:
        return _cut("logits", "Values below and above 0 are taken for the raw output of a network", 0.0, encoding)
    if found.high <= 1:
        return _cut("probabilities", "Values from 0 to 1 are taken for probabilities", 0.5, encoding)
    return _cut("blurred", BLURRED_TEXT, found.high / 2, encoding)


def _decide_blurred(found: MaskValues, encoding: Encoding) -> Meaning:
    """Decide between a mask with blurred borders and probabilities, in whole numbers."""
    foreground = found.counts[found.values > 0].sum()
    plain = found.counts[found.values >= PLAIN_SHARE * found.high].sum()
    if 2 * plain >= foreground:
        return _cut("blurred", BLURRED_TEXT, found.high / 2, encoding)
    top = 255 if found.high < 256 else top_of(found.dtype)
    why = f"Values that change little by little are taken for probabilities, {top:.0f} for 1"
    return _cut("probabilities", why, top / 2, encoding)


def _is_blurred(found: MaskValues) -> bool:
    """Return whether whole values are no numbers, since they go up and down in ramps."""
    enough = found.low >= 0 and found.high > MOST_CLASSES and np.count_nonzero(found.values) >= LEAST_BLURRED_VALUES
    return bool(enough and found.ramped >= LEAST_RAMPED_SHARE)


def _looks_inverted(found: MaskValues) -> bool:
    """Return whether values above zero surround a smaller part of the mask, as background does."""
    above = found.counts[found.values > 0].sum() / found.pixels
    return bool(found.framed >= LEAST_FRAMED_SHARE and 0.5 < above < found.framed)


def _cut(kind: Kind, why: str, above: float, encoding: Encoding) -> Meaning:
    return Meaning(kind, f"{why}: foreground is above the threshold {above:g}", encoding, Above(above))


def say_taken(meanings: Mapping[str, Meaning] | Sequence[tuple[str, Meaning]], what: str) -> list[str]:
    """Return a sentence for each kind of doubt: what was chosen, in how many masks, and the name of one.

    Args:
        meanings: Names of masks, and the meaning of each.
        what: Word for one of them, such as "mask".
    """
    pairs = list(meanings.items() if isinstance(meanings, Mapping) else meanings)
    sentences = []
    for kind in dict.fromkeys(meaning.kind for _, meaning in pairs if meaning.taken):
        alike = [(name, meaning) for name, meaning in pairs if meaning.kind == kind and meaning.taken]
        name, first = alike[0]
        where = name if len(pairs) == 1 else f"{len(alike)} of {len(pairs)} {what}s, such as {name}"
        sentences.append(f"{first.taken} ({where}).")
    return sentences


def _smallest(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in the smallest of uint8, uint16 and int32 that holds them."""
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    dtype = next((kind for kind in (np.uint8, np.uint16) if low >= 0 and high <= np.iinfo(kind).max), np.int32)
    return labels.astype(dtype, copy=False)
