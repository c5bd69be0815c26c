"""The images of a run, those to validate on among them, and the statistics of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.loading import Viewed, hash_slabs
from unetkit.data.neighbours import Neighbours
from unetkit.data.pairs import Pair
from unetkit.data.statistics import common_channels, draw_sample, measure_dataset, measure_images, sample_foreground
from unetkit.data.store import ImageStore
from unetkit.data.volumes import Spacing
from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageInfo, Window
from unetkit.models.normalization import Normalization
from unetkit.models.sampling import Holes
from unetkit.models.spec import TrainingImages
from unetkit.models.statistics import Statistics, measure_range, measure_statistics


@dataclass(frozen=True)
class Found:
    """The images that were found.

    Attributes:
        train: Images to train on.
        val: Images to validate on.
        named: Whether the images to validate on are named, rather than chosen.
    """

    train: Sequence[Pair]
    val: Sequence[Pair]
    named: bool = False

    @property
    def all(self) -> list[Pair]:
        """All of them, those to train on first."""
        return [*self.train, *self.val]


@dataclass(frozen=True)
class ImageRecord:
    """Facts about an image from its first read.

    Attributes:
        pair: Where it is.
        info: Facts from the image's file.
        channels: Channels of the image, alpha not counted.
        size: Pixels along each axis: (height, width), or (depth, height, width) of a volume.
        statistics: Normalisation values of the whole image, (channels,).
        range: Lower end (center) and width (scale) of the range that augmentation works in, (channels,).
        sample: (channels, n) a fixed sample of its pixels.
        digest: Hash of the image's pixels, see `hash_pixels`.
        holes: Which of its pixels hold no data; None if all do.
        foreground: (channels, n) a fixed sample of the pixels of its foreground; None where they are not measured.
    """

    pair: Pair
    info: ImageInfo
    channels: int
    size: tuple[int, ...]
    statistics: Statistics
    range: Statistics
    sample: NDArray[Any]
    digest: str
    holes: Holes | None = None
    foreground: NDArray[Any] | None = None

    @property
    def dtype(self) -> str:
        """Type of the image's pixels."""
        return str(self.info.dtype)

    @property
    def spacing(self) -> Spacing:
        """Size of a voxel; None of a plane, and where it is not known."""
        return self.info.pixel_size_um if len(self.size) == 3 else None

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return prod(self.size)


def measure_image(viewed: Viewed, normalization: Normalization) -> ImageRecord:
    """Measure an image for its normalisation."""
    sample = viewed.sample
    return ImageRecord(
        pair=viewed.pair,
        info=viewed.info,
        channels=viewed.channels,
        size=viewed.size,
        statistics=measure_statistics(sample.pixels, normalization),
        range=measure_range(sample.pixels, normalization),
        sample=draw_sample(sample.pixels),
        digest=hash_slabs(viewed.pixel_slabs, (viewed.channels, *viewed.size)),
        holes=sample.holes,
        foreground=sample_foreground(viewed) if normalization.of == "foreground" and viewed.pair.mask else None,
    )


@dataclass(frozen=True, eq=False)
class ImagePool:
    """The images of a run, by index.

    Attributes:
        store: Their pixels.
        records: Facts about each.
        train: Indices of the images to train on.
        val: Indices of the images to validate on.
        channels: Channels that all images are given: grey ones are repeated.
        normalization: How raw pixels become network input; center and scale are those of the images to train on where
            the data set is normalised as one.
        neighbours: The planes around each image, for a network that sees several at once.
    """

    store: ImageStore
    records: Sequence[ImageRecord]
    train: Sequence[int]
    val: Sequence[int]
    channels: int
    normalization: Normalization
    neighbours: Neighbours | None = None

    @classmethod
    def divided(
        cls,
        store: ImageStore,
        records: Sequence[ImageRecord],
        val: Sequence[bool],
        normalization: Normalization,
    ) -> ImagePool:
        """Return the images divided into those to train on and those to validate on.

        Raises:
            DataError: Images of several numbers of channels other than 1.
        """
        train = [index for index, held in enumerate(val) if not held]
        held_out = [index for index, held in enumerate(val) if held]
        channels = common_channels({record.channels: record.pair.image.name for record in records})
        return cls(store, records, train, held_out, 0, normalization).with_channels(channels)

    def with_channels(self, channels: int) -> ImagePool:
        """Return the same images for a network with this number of channels."""
        normalization = self.normalization
        if normalization.scope == "dataset" and (normalization.center is None or len(normalization.center) != channels):
            normalization = measure_dataset(self.to_train_on, normalization, channels)
        return replace(self, channels=channels, normalization=normalization)

    def with_neighbours(self, planes: int) -> ImagePool:
        """Return the same images for a network that sees so many planes at once.

        Raises:
            ImageError: A plane of a stack that cannot be read.
        """
        if planes == self.planes:
            return self
        around = None if planes == 1 else Neighbours.find(self.store, self.records, planes)
        return replace(self, neighbours=around)

    @property
    def planes(self) -> int:
        """How many planes the network sees at once."""
        return 1 if self.neighbours is None else self.neighbours.planes

    @property
    def to_train_on(self) -> list[ImageRecord]:
        """The images to train on."""
        return [self.records[index] for index in self.train]

    @property
    def to_look_at(self) -> Sequence[int]:
        """Indices of the images to validate on, or of those to train on where none are set aside."""
        return self.val or self.train

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, if all images agree on them."""
        names = {record.info.channel_names for record in self.records if record.channels == self.channels}
        return names.pop() if len(names) == 1 else ()

    @property
    def pixel_size_um(self) -> tuple[float, ...] | None:
        """Size of a pixel (y, x), or a voxel (z, y, x), that all files give, within 1 percent; None if one differs."""
        sizes = [record.info.pixel_size_um for record in self.records]
        first = sizes[0]
        if first is None or any(size is None or not np.allclose(size, first, rtol=0.01) for size in sizes):
            return None
        return first

    def read(self, index: int, window: Window | None = None) -> NDArray[Any]:
        """Return raw pixels (C, ...) of a window, or of the whole image, with its neighbours; do not change them."""
        if self.neighbours is not None:
            return self.neighbours.read(index, window)
        record = self.records[index]
        return self.store.read_pixels(record.pair, window, record.holes)

    def areas(self, indices: Sequence[int]) -> list[int]:
        """Return the pixels of some of the images."""
        return [self.records[index].pixels for index in indices]

    def sizes(self, indices: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the pixels along each axis of some of the images."""
        return [self.records[index].size for index in indices]

    def check_channels(self, channels: int) -> None:
        """Raise a DataError if an image has other channels than the model takes; grey ones are repeated."""
        unfit = next((record for record in self.records if record.channels not in (1, channels)), None)
        if unfit is not None:
            raise DataError(
                f"The model takes {channels} channel{'s' * (channels > 1)}, but {unfit.pair.image} has "
                f"{unfit.channels}.",
                f"Set model.in_channels: {unfit.channels} or auto.",
            )

    def describe_images(self) -> TrainingImages:
        """Describe the pixels of the training images."""
        train = self.to_train_on
        return replace(measure_images(train, self.channels), digests=tuple(record.digest for record in train))

    def describe(self) -> dict[str, Any]:
        """Summarise the images as plain values for JSON."""
        sizes = self.sizes(range(len(self.records)))
        return {
            "channels": self.channels,
            "dtypes": sorted({record.dtype for record in self.records}),
            "smallest_image": min(sizes),
            "largest_image": max(sizes),
            "pixel_size_um": self.pixel_size_um,
        }
