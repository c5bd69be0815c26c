"""The facts of a data set: what all its images and masks are like together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from unetkit.data.loading import Viewed
from unetkit.data.objects import may_be_one_object
from unetkit.data.pairs import Pair
from unetkit.data.store import ImageStore
from unetkit.io.masks.meaning import CUT
from unetkit.planning.look import Look, look_at

Kind = Literal["binary", "instances", "classes"]

COMPARED_MASKS = 400
"""About this many masks are compared with their images: enough to know what holds for all."""

MOST_PIECES_OF_OBJECT = 1.5
"""Most connected pieces of a label, on average, if labels number objects. Labels of classes have more."""

MOST_CLASSES = 20
"""Largest label that may be the number of a class. Larger ones number objects, or are no labels."""

IGNORE_VALUE = 255
"""Value that other programs give to pixels that are neither foreground nor background."""


@dataclass(frozen=True)
class Facts:
    """Facts about a data set.

    Attributes:
        images: Number of images, or of pages of stacks.
        files: Number of files that they are in.
        channels: Largest number of channels.
        channel_kinds: The different numbers of channels.
        dtypes: The different types of the pixels.
        sides: The smallest, the middle and the largest of the images' shorter sides, in pixels.
        pixels: Pixels of all images together.
        area: Pixels of their annotated parts together, see `covered_area`.
        annotated: Share of all pixels that is annotated.
        partly: Number of images that are not annotated everywhere.
        nbytes: Bytes of all decoded images and masks.
        foreground: Share of all annotated pixels that are foreground.
        foreground_range: The 10th and 90th percentile of the share in each image.
        brighter: Share of the images in which the foreground is brighter than the background.
        brighter_inverted: The same share once images with a bright background are inverted.
        kind: What the labels are: one value for the foreground, a number for each object, or a number for each class.
        classes: Number of mask values, the background included: 2 unless `kind` is "classes".
        diameters: The 10th, 50th and 90th percentile of the objects' equivalent diameters, in pixels; zeros without
            objects.
        objects: Number of objects.
        touching: Share of the numbered objects that touch another one.
        width: Median of `Look.width_of_rarer`, in pixels; infinite where nothing has a width.
        class_names: Names of the classes, where annotations name them.
        size: Of volumes, the median of their sizes along each axis; () of planes.
        voxel: Size of their voxels (z, y, x) in micrometres, if it is known and the same in all.
    """

    images: int
    files: int
    channels: int
    channel_kinds: tuple[int, ...]
    dtypes: tuple[str, ...]
    sides: tuple[int, int, int]
    pixels: int
    area: int
    annotated: float
    partly: int
    nbytes: int
    foreground: float
    foreground_range: tuple[float, float]
    brighter: float
    brighter_inverted: float
    kind: Kind
    classes: int
    diameters: tuple[float, float, float]
    objects: int
    touching: float
    width: float
    class_names: tuple[str, ...] = ()
    size: tuple[int, ...] = ()
    voxel: tuple[float, ...] | None = None

    @property
    def of_volumes(self) -> bool:
        """Whether the images are volumes."""
        return bool(self.size)


def look_at_all(pairs: Sequence[Pair], store: ImageStore | None = None, *, classes: bool = True) -> list[Look]:
    """Look at each pair, several at a time; of many, only some masks are compared with their images.

    Args:
        pairs: Where images and masks are.
        store: Keeps them decoded, as far as it has room; by default none is kept.
        classes: Whether objects that were drawn are looked at by their classes, where there are several.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    compared = set(pairs[:: max(1, len(pairs) // COMPARED_MASKS)])

    def look(viewed: Viewed) -> Look:
        return look_at(viewed, compare=viewed.pair in compared, classes=classes)

    return (store or ImageStore()).visit(pairs, look, look)


def measure(looks: Sequence[Look]) -> Facts:
    """Summarise all looks, at least one."""
    diameters = np.concatenate([look.diameters for look in looks])
    sides = sorted(min(look.size) for look in looks)
    shares = [look.foreground for look in looks]
    sizes = [prod(look.size) for look in looks]
    drawn = [size * look.annotated for size, look in zip(sizes, looks, strict=True)]
    kind = label_kind(looks)
    labels = sum(len(look.values) for look in looks)
    contrasts = [(look.contrast, look.bright_background) for look in looks if look.contrast is not None]
    low, middle, high = np.percentile(diameters, (10, 50, 90)) if diameters.size else (0.0, 0.0, 0.0)
    least, most = np.percentile(shares, (10, 90))
    return Facts(
        images=len(looks),
        files=len({look.pair.image for look in looks}),
        channels=max(look.channels for look in looks),
        channel_kinds=tuple(sorted({look.channels for look in looks})),
        dtypes=tuple(sorted({look.dtype for look in looks})),
        sides=(sides[0], sides[len(sides) // 2], sides[-1]),
        pixels=sum(sizes),
        area=sum(look.area for look in looks),
        annotated=sum(drawn) / sum(sizes),
        partly=sum(look.annotated < 1 for look in looks),
        nbytes=sum(look.nbytes for look in looks),
        foreground=float(np.average(shares, weights=drawn)),
        foreground_range=(float(least), float(most)),
        brighter=sum(contrast > 0 for contrast, _ in contrasts) / max(len(contrasts), 1),
        brighter_inverted=sum((contrast > 0) != bright for contrast, bright in contrasts) / max(len(contrasts), 1),
        kind=kind,
        classes=_count_classes(looks) if kind == "classes" else 2,
        diameters=(float(low), float(middle), float(high)),
        objects=len(diameters),
        touching=sum(look.touching for look in looks) / labels if kind == "instances" else 0.0,
        width=float(np.median([look.width_of_rarer for look in looks])),
        class_names=looks[0].pair.classes if kind == "classes" else (),
        size=tuple(int(np.median(lengths)) for lengths in zip(*(look.size for look in looks), strict=True))
        if looks[0].pair.dims == 3
        else (),
        voxel=looks[0].voxel if len({look.voxel for look in looks}) == 1 else None,
    )


def _count_classes(looks: Sequence[Look]) -> int:
    """Return the number of classes, the background included: those that have names, and those that have pixels."""
    return 1 + max((*(look.values[-1] for look in looks if look.values), *(len(look.pair.classes) for look in looks)))


def label_kind(looks: Sequence[Look]) -> Kind:
    """Return what the labels are.

    A number of an object is one piece; a class has as many pieces as there are objects of it. Where every class is one
    piece, all masks have the same few values; numbers of objects differ. Masks of several pieces with one value do not
    count where at least as many others number their objects. What is drawn needs no guess.
    """
    drawn = {look.drawn for look in looks if look.values} - {None}
    if drawn:
        return "classes" if "classes" in drawn else "instances"
    marked = [look for look in looks if look.values and look.meaning.kind not in CUT]
    plain = [look for look in looks if look.values and not numbers_pieces(look)]
    several = [look for look in marked if len(look.values) > 1]
    if len(several) >= len(plain) and are_numbers(several):
        marked = [look for look in marked if numbers_pieces(look)]
    values = {value for look in marked for value in look.values}
    if len(values - {IGNORE_VALUE}) < 2 or (not is_class_range(values) and not are_numbers(marked)):
        return "binary"
    same = len({look.values for look in marked}) == 1 and len(marked) > 2
    if are_numbers(marked) and not (same and is_class_range(values)):
        return "instances"
    return "classes"


def numbers_pieces(look: Look) -> bool:
    """Whether a mask does more than give one value to several pieces that are not a single object."""
    return len(look.values) != 1 or look.pieces == 1 or may_be_one_object(look.values[0], look.pieces)


def is_class_range(values: set[int]) -> bool:
    """Whether labels could be numbers of classes: few and small."""
    return len(values) > 1 and max(values) <= MOST_CLASSES


def are_numbers(looks: Sequence[Look]) -> bool:
    """Whether the values of masks are numbers of objects rather than classes: about one piece each."""
    pieces, labels = sum(look.pieces for look in looks), sum(len(look.values) for look in looks)
    return pieces <= MOST_PIECES_OF_OBJECT * labels
