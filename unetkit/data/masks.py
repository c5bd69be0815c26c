"""The masks of a run's images: their labels, and what is measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.annotations.classes import settle_names
from unetkit.data.annotated import annotated_points, covered_area, describe_annotated
from unetkit.data.loading import Viewed, foreground_points
from unetkit.data.objects import (
    FOREGROUND_VALUES,
    SmallestObject,
    find_parts,
    find_smallest,
    may_be_one_object,
    measure_objects,
    number_objects,
    numbers_objects,
)
from unetkit.data.pairs import Pair
from unetkit.data.store import ImageStore
from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import Window
from unetkit.io.masks.ignored import find_ignored, mark_ignored
from unetkit.io.masks.meaning import CUT, Meaning

MEASURED_VOXELS = 2**25
"""Most voxels of a volume whose objects are all measured; of a larger one those of a box of so many voxels are."""


@dataclass(frozen=True)
class MaskRecord:
    """Facts about a mask from its first read.

    Attributes:
        pair: Where it is.
        size: Pixels along each axis: (height, width), or (depth, height, width) of a volume.
        foreground: (n, axes) a fixed sample of foreground positions, such as y, x.
        lowest_label: Lowest label in what is annotated of the mask; 0 where nothing is.
        highest_label: Highest label there.
        numbered: Whether the mask numbers its objects; None where that is open.
        parts: Number of connected parts of the foreground.
        objects: (n,) pixels of each object of the mask that is drawn whole.
        annotated: Number of annotated pixels.
        points: (n, axes) a fixed sample of annotated positions; None where all is annotated.
        area: Pixels of the part of the image that is annotated, see `covered_area`.
        meaning: What the values of the mask mean.
    """

    pair: Pair
    size: tuple[int, ...]
    foreground: NDArray[np.int32]
    lowest_label: int
    highest_label: int
    numbered: bool | None
    parts: int
    objects: NDArray[np.int64]
    annotated: int
    points: NDArray[np.int32] | None
    area: int
    meaning: Meaning

    @property
    def annotated_share(self) -> float:
        """Share of the pixels that is annotated."""
        return self.annotated / self.pixels

    @property
    def pixels(self) -> int:
        """Number of pixels of the image."""
        return prod(self.size)


def measure_mask(viewed: Viewed) -> MaskRecord:
    """Measure a mask."""
    record = _measure(viewed, lambda labels: labels)
    known = {"drawn": True, "named": False}.get(viewed.meaning.kind)
    return record if known is None else replace(record, numbered=known)


def measure_classes(viewed: Viewed) -> MaskRecord | None:
    """Measure a mask as classes, where its labels number objects whose classes are known."""
    table = viewed.meaning.class_of
    return None if table is None else _measure(viewed, lambda labels: to_class_numbers(labels, table))


Change = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class _Changed:
    """Slabs that are changed each time that one goes through them.

    Attributes:
        slabs: The slabs as they are.
        change: What is done with each.
    """

    slabs: Iterable[NDArray[Any]]
    change: Change

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self.change, self.slabs)


def _measure(viewed: Viewed, change: Change) -> MaskRecord:
    labels = _Changed(viewed.label_slabs, change)
    known, values = 0, []
    for slab in labels:
        ignored = find_ignored(slab)
        part = slab[~ignored] if ignored.any() else slab
        known += part.size
        values += [int(part.min()), int(part.max())] if part.size else []
    foreground = foreground_points(labels)
    looked_at = change(_part_to_look_at(viewed, foreground))
    parts = find_parts(looked_at)
    return MaskRecord(
        pair=viewed.pair,
        size=viewed.size,
        foreground=foreground,
        lowest_label=min(values, default=0),
        highest_label=max(values, default=0),
        numbered=numbers_objects(looked_at, parts),
        parts=parts[0],
        objects=measure_objects(looked_at, parts),
        annotated=known,
        points=annotated_points(_Changed(labels, find_ignored)),
        area=covered_area(_Changed(labels, find_ignored)),
        meaning=viewed.meaning,
    )


def _part_to_look_at(viewed: Viewed, foreground: NDArray[np.int32]) -> NDArray[Any]:
    """Return the labels in which objects are measured: all of them, or of a large volume a box amid its foreground.

    The outermost voxels of the box are as those that nobody has annotated: objects go on there.
    """
    size = viewed.size
    if len(size) == 2 or prod(size) <= MEASURED_VOXELS:
        return viewed.read_labels(tuple(slice(0, length) for length in size))
    side = max(size)
    while prod(min(length, side) for length in size) > MEASURED_VOXELS:
        side = side * 9 // 10
    middle = np.array(size) // 2
    if len(foreground):
        median = np.median(foreground, axis=0)
        middle = foreground[np.argmin(np.abs(foreground - median).sum(axis=1))]
    window = []
    for length, centre in zip(size, middle.tolist(), strict=True):
        start = min(max(centre - side // 2, 0), max(length - side, 0))
        window.append(slice(start, min(start + side, length)))
    labels = viewed.read_labels(tuple(window))
    cut = np.zeros(labels.shape, np.bool_)
    for axis, (part, length) in enumerate(zip(window, size, strict=True)):
        along = np.moveaxis(cut, axis, 0)
        along[:1] |= part.start > 0
        along[-1:] |= part.stop < length
    return mark_ignored(labels, cut)


class Masks:
    """Targets that are masks.

    Args:
        store: Their labels.
        records: Facts about each mask.
        of_classes: Facts about each mask as classes; None for those that are not drawn. By default none is.
        tables: For each mask that is shown as classes the number of the class of each of its labels, else None.

    Attributes:
        records: The facts about each mask as it is shown, once all masks are compared, see `settle`.
    """

    def __init__(
        self,
        store: ImageStore,
        records: Sequence[MaskRecord],
        of_classes: Sequence[MaskRecord | None] = (),
        tables: Sequence[NDArray[np.int32] | None] = (),
    ) -> None:
        self._store = store
        self._of_objects, self._of_classes = records, of_classes or [None] * len(records)
        self._tables = tables or [None] * len(records)
        shown = [
            own if table is None or classes is None else classes
            for own, classes, table in zip(records, self._of_classes, self._tables, strict=True)
        ]
        self.records = settle(shown)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of what is drawn, from 1 on: one empty name where it has none; none for mask images."""
        return next((record.pair.classes for record in self._of_objects if record.pair.classes), ())

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of the mask values, that of the background first; empty unless two classes or more have names."""
        return ("background", *self.class_names) if len(self.class_names) > 1 else ()

    def as_classes(self, names: Sequence[str]) -> Masks:
        """Return the same with what is drawn shown as numbers of classes.

        Args:
            names: Names of the classes in the order of their numbers, from 1: those of `class_names`, and others.

        Raises:
            DataError: There is a class of another name.
        """
        if tuple(names) != self.class_names:
            settle_names(set(self.class_names), names)
        order = np.array([0, *(names.index(name) + 1 for name in self.class_names)], np.int32)
        tables = [
            None if record.meaning.class_of is None else order[record.meaning.class_of] for record in self._of_objects
        ]
        return Masks(self._store, self._of_objects, self._of_classes, tables)

    def for_model(self, classes: int, names: Sequence[str]) -> tuple[Masks, list[str]]:
        """Return the same as a model needs them, and a note where it knows no classes of those that have names.

        Args:
            classes: Number of mask values of the model, the background included.
            names: See `as_classes`; by default those of `class_names`.

        Raises:
            DataError: There is a class of another name.
        """
        known = self.class_names
        if not known:
            return self, []
        if classes > 2:
            return self.as_classes(names or known), []
        notes = [f"All classes are foreground: {', '.join(known)} (model.classes is 2)."] if len(known) > 1 else []
        return Masks(self._store, self._of_objects, self._of_classes), notes

    def read(self, index: int, window: Window | None = None) -> NDArray[Any]:
        """Return the labels (...) of a window, or of the whole mask; do not change them."""
        record, table = self.records[index], self._tables[index]
        labels = self._store.read_labels(record.pair, window, record.meaning)
        assert labels is not None
        return labels if table is None else to_class_numbers(labels, table)

    def keeps(self, index: int) -> bool:
        """Return whether a mask is in memory."""
        return self._store.keeps(self.records[index].pair)

    def foreground(self, index: int) -> NDArray[np.int32]:
        """Return (n, axes) a fixed sample of foreground positions, such as y, x."""
        return self.records[index].foreground

    def annotated(self, index: int) -> NDArray[np.int32] | None:
        """Return (n, axes) a fixed sample of annotated positions; None where all is annotated."""
        return self.records[index].points

    @property
    def partly(self) -> bool:
        """Whether a mask has pixels that nobody has annotated."""
        return any(record.points is not None for record in self.records)

    def annotated_share(self, indices: Sequence[int]) -> float:
        """Return the share of the pixels of some of the images that is annotated."""
        records = [self.records[index] for index in indices]
        return sum(record.annotated for record in records) / sum(record.pixels for record in records)

    def describe_annotated(self, ignore: int | None) -> list[str]:
        """Return a sentence on how much is annotated, where that is not all; see `describe_annotated`."""
        shares = [(record.annotated_share, record.pixels) for record in self.records]
        return [sentence for sentence in [describe_annotated(shares, ignore)] if sentence]

    def areas(self, indices: Sequence[int]) -> list[int]:
        """Return the pixels of the annotated part of some of the images, see `covered_area`."""
        return [self.records[index].area for index in indices]

    def smallest_object(self, indices: Sequence[int]) -> SmallestObject:
        """Return the size of the smallest object of some of the masks."""
        return find_smallest(np.concatenate([np.zeros(0, np.int64), *(self.records[i].objects for i in indices)]))

    def diameter(self, index: int) -> float | None:
        """Return the median diameter of the objects of a mask, in pixels; None where none is drawn whole."""
        record = self.records[index]
        return float(np.median(record.objects) ** (1 / len(record.size))) if len(record.objects) else None

    def numbered(self, index: int) -> bool:
        """Return whether a mask numbers its objects; True where that is open."""
        return self.records[index].numbered is not False

    def objects(self, index: int) -> NDArray[Any]:
        """Return the number of the object of each pixel (...), 0 for background and what nobody has annotated."""
        return number_objects(self.read(index), numbered=self.numbered(index))


def to_class_numbers(labels: NDArray[Any], class_of: NDArray[np.int32]) -> NDArray[Any]:
    """Return the number of the class of each label (...), by a table (labels,); what is ignored stays so."""
    ignored = find_ignored(labels)
    numbers: NDArray[np.uint8] = class_of.astype(np.uint8)[np.where(ignored, 0, labels)]
    return mark_ignored(numbers, ignored)


def settle(records: Sequence[MaskRecord]) -> list[MaskRecord]:
    """Take two parts of one value for one object where other masks number theirs, unless the value is 255 or 65535."""
    if not any(record.numbered for record in records):
        return list(records)
    return [
        replace(record, numbered=True, objects=_as_one(record))
        if record.numbered is False and may_be_one_object(record.highest_label, record.parts)
        else record
        for record in records
    ]


def _as_one(record: MaskRecord) -> NDArray[np.int64]:
    """Return the pixels of all parts of a mask as those of one object, if all of it is drawn."""
    return record.objects.sum(keepdims=True) if len(record.objects) == record.parts else record.objects[:0]


def check_foreground(records: Sequence[MaskRecord]) -> None:
    """Raise a DataError if masks have no foreground, or no background."""
    which = f"all {len(records)} masks" if len(records) > 1 else records[0].pair.mask
    partly = any(record.points is not None for record in records)
    annotated = "annotated pixel" if partly else "pixel"
    if all(record.highest_label <= 0 for record in records):
        raise DataError(
            f"Every {annotated} of {which} is background (zero).",
            "Check that these are the masks: 0 is background, any value above it foreground.",
        )
    if all(record.lowest_label > 0 for record in records):
        values = sorted({record.lowest_label for record in records})[:3]
        raise DataError(
            f"Every {annotated} of {which} is foreground (above zero; the lowest value is {values[0]}).",
            "Check that these are the masks: 0 is background, any value above it foreground."
            + (" Annotate some background too." if partly else ""),
        )


def check_whole(records: Sequence[MaskRecord]) -> None:
    """Raise a DataError if objects are only drawn in part, so that there are no distances in them to learn from."""
    if any(record.points is not None for record in records) and not any(len(record.objects) for record in records):
        raise DataError(
            "No object of the masks is drawn whole: all touch what nobody has annotated, where they may go on. Objects "
            "that touch cannot be learned from that.",
            "Draw some of them whole, with background around them, or set model.instances: false.",
        )


def check_labels(records: Sequence[MaskRecord], classes: int) -> None:
    """Raise a DataError if masks of several classes hold a number that is no class; for 2 classes all are possible."""
    if classes == 2:
        return
    highest = max(records, key=lambda record: record.highest_label)
    cut = next((record for record in records if record.meaning.kind in (*CUT, "colours")), None)
    if cut is not None and cut.highest_label > 0:
        raise DataError(
            f"{cut.pair.mask} does not hold the numbers of {classes} classes. {cut.meaning.taken}.",
            f"Save it as PNG or TIFF of one channel with the numbers 0 to {classes - 1}, or set model.classes: 2.",
        )
    lowest = min(records, key=lambda record: record.lowest_label)
    if lowest.lowest_label < 0:
        raise DataError(
            f"{lowest.pair.mask} has the value {lowest.lowest_label}.",
            f"Use the class numbers 0 to {classes - 1}, 0 for the background.",
        )
    if highest.highest_label >= classes:
        unusual = highest.highest_label in FOREGROUND_VALUES
        raise DataError(
            f"{highest.pair.mask} has the value {highest.highest_label}, but the model has {classes} classes "
            f"(0 to {classes - 1}).",
            f"Set model.classes: {highest.highest_label + 1}, or 2 if values above zero only number the objects"
            + (f"; or data.ignore: {highest.highest_label} if it marks what nobody has annotated." if unusual else "."),
        )
