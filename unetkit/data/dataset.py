"""Crops to train on, and whole images to validate on, as PyTorch data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil, exp, log
from typing import Any, NotRequired, TypedDict, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from unetkit.data.annotated import as_targets, mask_of
from unetkit.data.appearance import Appearance
from unetkit.data.distance_map import make_distance_map
from unetkit.data.neighbour_transform import NeighbourTransform
from unetkit.data.objects import to_objects
from unetkit.data.pool import ImagePool, ImageRecord
from unetkit.data.resizing import resize, resize_nearest
from unetkit.data.statistics import normalizing_values, to_channels
from unetkit.data.targets import Targets
from unetkit.data.transforms import PRESETS, Augmentation, Transform
from unetkit.data.volume_transforms import VolumeTransform, magnified
from unetkit.data.weight_map import WeightMaps

Key = TypeVar("Key")

MOST_DRAWN = 8
"""How many crops are drawn at most until one holds an annotated pixel."""


class Item(TypedDict):
    """An image, or a crop of it, to train or validate on; of a volume with another axis, d, before h.

    Attributes:
        image: (C, h, w) float32, in the units of the file.
        mask: (h, w) int64 class of each pixel; `UNKNOWN` (-1) where nobody has annotated.
        center: (C,) float32: network input is `(image - center) / scale`.
        scale: (C,) float32.
        distance_map: (h, w) float32, 0 to 1, or `UNKNOWN`, see `make_distance_map`; of crops for a model for instances.
        weight: (h, w) float32, how much each pixel counts in training, where the loss takes that.
    """

    image: Tensor
    mask: Tensor
    center: Tensor
    scale: Tensor
    distance_map: NotRequired[Tensor]
    weight: NotRequired[Tensor]


class NamedItem(Item):
    """An item with the name of its image."""

    name: str


class CropDataset(Dataset[Item]):
    """Crops at random places of the images, varied; the key (epoch, index) decides everything.

    Therefore neither the number of workers nor an interruption changes the crops. Every image is visited before any
    is visited again. Images smaller than a crop are extended by reflection. Where not all of an image is annotated,
    each crop holds an annotated pixel.

    Args:
        pool: The images.
        targets: Their labels.
        indices: Indices of the images to use.
        crop: Pixels of a crop along each axis of the images.
        crops_per_epoch: Number of crops in an epoch.
        augmentation: How to vary them.
        classes: Number of mask values; for 2, every label above zero is 1.
        foreground_share: Share of the crops, 0 to 1, that are placed around a foreground position. All labels of an
            image (objects or classes) are equally likely to be the one.
        seed: Another seed gives other crops.
        distance_maps: Whether the items have distance maps, for a model for instances.
        weights: Weights of the pixels; None for items without weights.
    """

    def __init__(
        self,
        pool: ImagePool,
        targets: Targets,
        indices: Sequence[int],
        *,
        crop: Sequence[int],
        crops_per_epoch: int,
        augmentation: Augmentation,
        classes: int = 2,
        foreground_share: float,
        seed: int,
        distance_maps: bool = False,
        weights: WeightMaps | None = None,
    ) -> None:
        self._pool = pool
        self._targets = targets
        self._indices = list(indices)
        self._crop = tuple(crop)
        self._crops_per_epoch = crops_per_epoch
        self._scale_logs = log(augmentation.scale[0]), log(augmentation.scale[1])
        self._classes = classes
        self._foreground_share = foreground_share
        self._seed = seed
        self._distance_maps = distance_maps
        self._weights = weights
        self._planes: dict[int, Transform | NeighbourTransform] = {}
        self._volumes: dict[int, VolumeTransform] = {}
        self._appearance: Appearance | None = None
        if augmentation != PRESETS["none"]:
            kinds = {pool.records[index].channels for index in self._indices}
            if pool.planes > 1:
                self._planes = {kind: NeighbourTransform(augmentation, kind, pool.planes) for kind in kinds}
            elif len(crop) == 2:
                self._planes = {kind: Transform(augmentation, kind) for kind in kinds}
                self._appearance = Appearance(augmentation, pool.records)
            else:
                self._volumes = {kind: VolumeTransform(augmentation, kind) for kind in kinds}

    def __len__(self) -> int:
        """Number of crops in an epoch."""
        return self._crops_per_epoch

    def __getitem__(self, key: tuple[int, int]) -> Item:
        """Return the crop that (epoch, index) stands for."""
        epoch, index = key
        position = epoch * self._crops_per_epoch + index
        visit, place = divmod(position, len(self._indices))
        chosen = self._indices[visiting_order(self._seed, visit, len(self._indices))[place]]
        record = self._pool.records[chosen]
        rng = np.random.default_rng((self._seed, epoch, index))
        pixels, targets, weights = self._vary(chosen, record, rng)
        item = make_item(self._pool, record, pixels, mask_of(targets, self._classes))
        if self._distance_maps:
            numbered = self._targets.numbered(chosen)
            objects, ignored = targets.astype(np.uint16, copy=False), item["mask"].numpy() < 0
            distances = make_distance_map(objects, numbered=numbered, ignored=ignored, spacing=record.spacing)
            item["distance_map"] = torch.from_numpy(distances)
        if weights is not None:
            item["weight"] = torch.from_numpy(weights)
        return item

    def _vary(
        self, index: int, record: ImageRecord, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float32] | None]:
        """Return pixels (C, *crop), targets (*crop) and weights (*crop), if any, of a crop.

        Where only a part of the image is annotated, magnifying or turning the crop may move all of that out of it. Then
        another one is drawn; after some of these, one that is not varied.
        """
        partly = self._targets.annotated(index) is not None
        for _ in range(MOST_DRAWN if partly else 1):
            pixels, targets = self._cut(index, record, self._draw_sides(record, rng), rng)
            pixels, targets = resize(pixels, self._crop), resize_nearest(targets, self._crop)
            if self._appearance is not None:
                labels, numbered = self._take_apart(targets)[0], self._targets.numbered(index) and self._distance_maps
                pixels = self._appearance(index, pixels, labels, rng, numbered=numbered)
            if self._planes or self._volumes:
                each = (slice(None), *[None] * len(self._crop))
                seen = record.range.for_planes(self._pool.planes)
                low, width = seen.center[each], seen.scale[each]
                pixels -= low
                pixels /= width
                pixels, targets = self._transform(record, pixels, targets, rng)
                pixels *= width
                pixels += low
            apart = self._take_apart(targets)
            if not partly or (apart[0] != np.iinfo(apart[0].dtype).max).any():
                return pixels, *apart
        pixels, targets = self._cut(index, record, self._crop, rng)
        return pixels, *self._take_apart(targets)

    def _draw_sides(self, record: ImageRecord, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw how many pixels of the image along each axis become those of a crop."""
        factor = exp(rng.uniform(*self._scale_logs))
        factors = (factor, factor) if len(self._crop) == 2 else magnified(factor, record.spacing)
        return tuple(max(1, round(side / by)) for side, by in zip(self._crop, factors, strict=True))

    def _transform(
        self, record: ImageRecord, unit: NDArray[np.float32], targets: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Vary a crop whose pixels are in the range of its image."""
        if self._planes:
            return self._planes[record.channels](unit, targets, rng)
        return self._volumes[record.channels](unit, targets, rng, record.spacing)

    def _take_apart(self, targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Return classes or objects (...), and the weights (...), from what `_cut` returns."""
        if self._weights is None:
            return targets, None
        kind = np.uint16 if self._distance_maps else class_type(self._classes)
        return targets[..., 0].astype(kind), targets[..., 1].copy()

    def _cut(
        self, index: int, record: ImageRecord, sides: Sequence[int], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Cut the rectangle (or box) of the image that becomes the crop when it is resized.

        Returns:
            Pixels (C, *sides), and classes, or objects for distance maps, (*sides), see `mask_of`; with weights both of
            them, (*sides, 2) float32.
        """
        focus: NDArray[np.int32] | None = None
        foreground, annotated = self._targets.foreground(index), self._targets.annotated(index)
        if rng.random() < self._foreground_share and len(foreground):
            focus = foreground[rng.integers(len(foreground))]
        elif annotated is not None:
            focus = annotated[rng.integers(len(annotated))]
        starts = [
            _start(length, side, None if focus is None else int(focus[axis]), rng)
            for axis, (length, side) in enumerate(zip(record.size, sides, strict=True))
        ]
        window = tuple(
            slice(max(start, 0), min(start + side, length))
            for start, side, length in zip(starts, sides, record.size, strict=True)
        )
        pixels, labels = self._pool.read(index, window).astype(np.float32), self._targets.read(index, window)
        targets = to_object_targets(labels) if self._distance_maps else to_classes(labels, self._classes)
        if self._weights is not None:
            weights = self._weights.read(index, window, to_classes(labels, self._classes))
            targets = np.stack([targets.astype(np.float32), weights], axis=-1)
        padding = [
            (part.start - start, start + side - part.stop)
            for start, side, part in zip(starts, sides, window, strict=True)
        ]
        if any(sum(both) for both in padding):
            pixels = np.pad(pixels, [(0, 0), *padding], mode="reflect")
            targets = np.pad(targets, [*padding, (0, 0)][: targets.ndim], mode="reflect")
        return pixels, targets


class CropSampler(Sampler[tuple[int, int]]):
    """Yields the keys (epoch, index) of an epoch's crops; the training loop sets the epoch.

    Each of n processes takes every nth crop. Their batches together hold the crops of one process with a batch n times
    as large. All processes have equally many crops: where n does not divide the number, a few crops are added.

    Args:
        crops_per_epoch: Number of crops in an epoch, over all processes.
        process: Number of this process, from 0.
        processes: Number of processes.
    """

    def __init__(self, crops_per_epoch: int, process: int = 0, processes: int = 1) -> None:
        count = ceil(crops_per_epoch / processes)
        self._indices = range(process, count * processes, processes)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the keys of the epoch."""
        epoch = self._epoch
        return ((epoch, index) for index in self._indices)

    def __len__(self) -> int:
        """Number of crops of this process in an epoch."""
        return len(self._indices)


def divide(keys: Sequence[Key], process: int, processes: int) -> Sequence[Key]:
    """Return the keys of one of several processes; all of them where there are fewer keys than processes."""
    return keys[process::processes] if len(keys) >= processes else keys


class CropLoader(DataLoader[Any]):
    """Starts when the first batch is asked for.

    Lightning makes the iterator of a resumed run before it sets the sampler's epoch.
    """

    def __iter__(self) -> Any:
        """Iterate over the batches of the epoch that the sampler is at when the first one is taken."""
        yield from super().__iter__()


class WholeImageDataset(Dataset[NamedItem]):
    """Whole images, as they are.

    Args:
        pool: The images.
        targets: Their labels.
        indices: Indices of the images to use.
        classes: Number of mask values; for 2, every label above zero is 1.
    """

    def __init__(self, pool: ImagePool, targets: Targets, indices: Sequence[int], classes: int = 2) -> None:
        self._pool = pool
        self._targets = targets
        self._indices = list(indices)
        self._classes = classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self._indices)

    def __getitem__(self, index: int) -> NamedItem:
        """Return an image."""
        chosen = self._indices[index]
        record = self._pool.records[chosen]
        mask = mask_of(to_classes(self._targets.read(chosen), self._classes), self._classes)
        item = make_item(self._pool, record, self._pool.read(chosen).astype(np.float32), mask)
        return {**item, "name": record.pair.name}


def take_single(items: list[NamedItem]) -> NamedItem:
    """Return the one item of a batch as it is."""
    return items[0]


def make_item(pool: ImagePool, record: ImageRecord, pixels: NDArray[np.float32], mask: NDArray[np.int64]) -> Item:
    """Put pixels (C, ...) and classes (...) of an image into tensors, with the values that normalise it."""
    values = [to_channels(each, pool.channels) for each in normalizing_values(record.statistics, pool.normalization)]
    center, scale = (np.tile(each, pool.planes) for each in values)
    return {
        "image": torch.from_numpy(to_channels(pixels, pool.channels, pool.planes)),
        "mask": torch.from_numpy(mask),
        "center": torch.from_numpy(center),
        "scale": torch.from_numpy(scale),
    }


def to_classes(labels: NDArray[Any], classes: int) -> NDArray[Any]:
    """Turn labels into class numbers, see `class_type`; the highest value is for what nobody has annotated."""
    numbers = (labels > 0 if classes == 2 else labels).astype(class_type(classes))
    return as_targets(numbers, labels)


def class_type(classes: int) -> type[np.uint8 | np.int16]:
    """Return the type of class numbers, which has one more value: uint8 or int16 (OpenCV takes no others)."""
    return np.uint8 if classes < 256 else np.int16


def to_object_targets(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return labels as `to_objects` does, with 65535 for what nobody has annotated and for no object."""
    if labels.dtype == np.uint16 and labels.max() == np.iinfo(np.uint16).max:
        labels = labels.astype(np.int32)
    return as_targets(to_objects(labels), labels)


def _start(length: int, side: int, focus: int | None, rng: np.random.Generator) -> int:
    """Place a window of `side` on an axis of `length`; a focus falls into its middle half where the image allows.

    A window larger than the axis begins before it, by a random part of the difference.
    """
    if length <= side:
        return -int(rng.integers(side - length + 1))
    if focus is None:
        return int(rng.integers(length - side + 1))
    start = focus - round(side * rng.uniform(0.25, 0.75))
    return min(max(start, 0), length - side)


@lru_cache(maxsize=4)
def visiting_order(seed: int, visit: int, images: int) -> tuple[int, ...]:
    """Order in which the images are visited for the nth time."""
    return tuple(np.random.default_rng((seed, visit)).permutation(images).tolist())
