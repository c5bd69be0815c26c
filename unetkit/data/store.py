"""All images of a training run: each read once, checked and measured on that read, kept in memory within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.data.loading import Window, foreground_points, hash_pixels, read_labels, read_measured, read_pixels
from unetkit.data.objects import may_be_one_object, measure_objects, numbers_objects
from unetkit.data.pairs import Pair
from unetkit.foundation.errors import DataError
from unetkit.foundation.threads import map_in_threads
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.masks.meaning import CUT, PLAIN_NUMBERS, Meaning
from unetkit.models.sampling import Holes
from unetkit.models.spec import Normalization, TrainingImages
from unetkit.models.statistics import Statistics, measure_range, measure_statistics

SAMPLED_PIXELS = 4096
"""Pixels of each image that the statistics of the data set are measured on."""


class Measured(Protocol):
    """What is known of the pixels of an image."""

    @property
    def dtype(self) -> str:
        """Type of the pixels."""

    @property
    def range(self) -> Statistics:
        """Lower end (center) and width (scale) of the range of the values, (channels,)."""

    @property
    def sample(self) -> NDArray[Any]:
        """(channels, n) a fixed sample of its pixels."""


@dataclass(frozen=True)
class Record:
    """What is known of an image after its first read.

    Attributes:
        pair: Where it is.
        info: What the image's file says.
        channels: Channels of the image, alpha not counted.
        height: Pixels along Y.
        width: Pixels along X.
        statistics: Normalisation values of the whole image, (channels,).
        range: Lower end (center) and width (scale) of the range that augmentation works in, (channels,).
        sample: (channels, n) a fixed sample of its pixels.
        foreground: (n, 2) a fixed sample of foreground positions y, x.
        lowest_label: Lowest label in the mask.
        highest_label: Highest label in the mask.
        numbered: Whether the mask numbers its objects; None where it cannot be told.
        objects: (n,) pixels of each object of the mask.
        digest: Hash of the image's pixels, see `hash_pixels`.
        meaning: What the values of the mask mean.
        holes: Which of its pixels hold no data; None if all do.
    """

    pair: Pair
    info: ImageInfo
    channels: int
    height: int
    width: int
    statistics: Statistics
    range: Statistics
    sample: NDArray[Any]
    foreground: NDArray[np.int32]
    lowest_label: int
    highest_label: int
    numbered: bool | None
    objects: NDArray[np.int64]
    digest: str
    meaning: Meaning = PLAIN_NUMBERS
    holes: Holes | None = None

    @property
    def dtype(self) -> str:
        """Type of the image's pixels."""
        return str(self.info.dtype)


class ImageStore:
    """Images and their labels by index.

    Args:
        pairs: The images.
        normalization: How to measure them.
        cache_bytes: Decoded images are kept in memory up to this size; the others are read from disk for each use.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """

    def __init__(self, pairs: Sequence[Pair], normalization: Normalization, cache_bytes: int) -> None:
        self._normalization = normalization
        self._free = cache_bytes
        lock = Lock()  # local: a store travels to worker processes, a lock cannot
        self._kept: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
        self.records = _settle(map_in_threads(lambda i: self._load(i, pairs[i], lock), range(len(pairs))))

    def read(self, index: int, window: Window | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return raw pixels (C, h, w) and labels (h, w) of a window, or of the whole image; do not change them."""
        if index not in self._kept:
            record = self.records[index]
            pixels, _ = read_pixels(record.pair, window, record.holes)
            labels, _ = read_labels(record.pair, window, record.meaning)
            return pixels, np.zeros(pixels.shape[1:], np.uint8) if labels is None else labels
        pixels, labels = self._kept[index]
        return (pixels, labels) if window is None else (pixels[:, *window], labels[window])

    def keeps(self, index: int) -> bool:
        """Return whether an image is in memory."""
        return index in self._kept

    def _load(self, index: int, pair: Pair, lock: Lock) -> Record:
        pixels, info, sample = read_measured(pair)
        found, meaning = read_labels(pair)
        labels = np.zeros(pixels.shape[1:], np.uint8) if found is None else found
        with lock:
            if (size := pixels.nbytes + labels.nbytes) <= self._free:
                self._free -= size
                self._kept[index] = pixels, labels
        measured = sample.pixels
        chosen = np.random.default_rng(0).integers(0, measured.shape[1], SAMPLED_PIXELS)
        return Record(
            pair=pair,
            info=info,
            channels=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            statistics=measure_statistics(measured, self._normalization),
            range=measure_range(measured, self._normalization),
            sample=measured[:, chosen],
            foreground=foreground_points(labels),
            lowest_label=int(labels.min()),
            highest_label=int(labels.max()),
            numbered=numbers_objects(labels),
            objects=measure_objects(labels),
            digest=hash_pixels(pixels),
            meaning=meaning,
            holes=sample.holes,
        )


def _settle(records: list[Record]) -> list[Record]:
    """Where masks number their objects, take one value in two parts for one object, unless it is the value of masks."""
    if not any(record.numbered for record in records):
        return records
    return [
        replace(record, numbered=True, objects=record.objects.sum(keepdims=True))
        if record.numbered is False and may_be_one_object(record.highest_label, len(record.objects))
        else record
        for record in records
    ]


def check_channels(records: Sequence[Record], channels: int) -> None:
    """Raise a DataError if an image has other channels than the model takes; grey ones are repeated."""
    unfit = next((record for record in records if record.channels not in (1, channels)), None)
    if unfit is not None:
        raise DataError(
            f"The model takes {channels} channel{'s' * (channels > 1)}, but {unfit.pair.image} has {unfit.channels}.",
            f"Set model.in_channels: {unfit.channels} or auto.",
        )


def check_foreground(records: Sequence[Record]) -> None:
    """Raise a DataError if the masks have no foreground, or no background."""
    which = f"all {len(records)} masks" if len(records) > 1 else records[0].pair.mask
    if all(record.highest_label <= 0 for record in records):
        raise DataError(
            f"Every pixel of {which} is background (zero).",
            "Check that these are the masks: 0 is background, any value above it foreground.",
        )
    if all(record.lowest_label > 0 for record in records):
        values = sorted({record.lowest_label for record in records})[:3]
        raise DataError(
            f"Every pixel of {which} is foreground (above zero; the lowest value is {values[0]}).",
            "Check that these are the masks: 0 is background, any value above it foreground.",
        )


def common_channels(examples: Mapping[int, str]) -> int:
    """Return the number of channels that all images can be given: grey ones are repeated.

    Args:
        examples: Name of an image for each number of channels that there is.

    Raises:
        DataError: Images of several numbers of channels other than 1.
    """
    colored = sorted(channels for channels in examples if channels > 1)
    if len(colored) > 1:
        listed = " and ".join(f"{channels} channels ({examples[channels]})" for channels in colored)
        raise DataError(
            f"The images differ in their channels: {listed}.",
            "Train on images of one kind; only grey images mix with others (they are repeated).",
        )
    return max(examples)


def common_pixel_size(records: Sequence[Record]) -> tuple[float, float] | None:
    """Return the pixel size that all files give, within 1 percent; None if one differs or does not say."""
    sizes = [record.info.pixel_size_um for record in records]
    first = sizes[0]
    if first is None or any(size is None or not np.allclose(size, first, rtol=0.01) for size in sizes):
        return None
    return first


def check_labels(records: Sequence[Record], classes: int) -> None:
    """Raise a DataError if masks of several classes hold a number that is no class; for 2 classes anything goes."""
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
        raise DataError(
            f"{highest.pair.mask} has the value {highest.highest_label}, but the model has {classes} classes "
            f"(0 to {classes - 1}).",
            f"Set model.classes: {highest.highest_label + 1}, or 2 if values above zero only number the objects.",
        )


def measure_dataset(images: Sequence[Measured], normalization: Normalization, channels: int) -> Normalization:
    """Fill in the center and scale of a data set from the fixed samples of its images, each image weighing the same."""
    pixels = np.concatenate([to_channels(image.sample, channels) for image in images], axis=1)
    statistics = measure_statistics(pixels, normalization)
    return replace(
        normalization,
        center=tuple(float(value) for value in statistics.center),
        scale=tuple(float(value) for value in statistics.scale),
    )


def measure_images(images: Sequence[Measured], channels: int) -> TrainingImages:
    """Say what the pixels of images are like, from their fixed samples, each image weighing the same."""
    pixels = np.concatenate([to_channels(image.sample, channels) for image in images], axis=1)
    values = measure_range(pixels, Normalization(channelwise=True))
    varied = [image.sample.min(1) < image.sample.max(1) for image in images]
    contrasts = [to_channels(image.range.scale * some, channels) for image, some in zip(images, varied, strict=True)]
    return TrainingImages(
        dtypes=tuple(sorted({image.dtype for image in images})),
        low=tuple(values.center.tolist()),
        high=tuple((values.center + values.scale).tolist()),
        contrast=tuple(np.min(contrasts, axis=0).tolist()),
    )


def to_channels(values: NDArray[Any], channels: int) -> NDArray[Any]:
    """Repeat the first axis of what belongs to a grey image."""
    return values if values.shape[0] == channels else np.repeat(values, channels, axis=0)
