"""Whole images to train on, varied: alone, or each beside a crop."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unetkit.data.appearance import Appearance
from unetkit.data.dataset import CropDataset, visiting_order
from unetkit.data.image_labels import LabelledImage, LabelledImages, LabelledItem
from unetkit.data.resizing import magnify
from unetkit.data.transforms import PRESETS, Augmentation, Transform
from unetkit.data.volume_transforms import VolumeTransform, magnified, magnify_volume


class VariedImages(Dataset[LabelledItem]):
    """Whole images to train on, varied; the key (epoch, index) decides everything.

    Args:
        labelled: The labelled images; each to train on is visited before any is visited again.
        count: Number of them in an epoch.
        augmentation: How to vary them.
        seed: Another seed gives another order.
    """

    def __init__(self, labelled: LabelledImages, count: int, augmentation: Augmentation, seed: int) -> None:
        self._labelled = labelled
        self._count = count
        self._seed = seed
        kinds = {image.pixels.shape[0] for image in labelled.train} if augmentation != PRESETS["none"] else set()
        self._planes = {kind: Transform(augmentation, kind) for kind in kinds}
        self._volumes = {kind: VolumeTransform(augmentation, kind) for kind in kinds}
        self._appearance = Appearance(augmentation, labelled.train)
        self._scale_logs = (log(augmentation.scale[0]), log(augmentation.scale[1]))

    def __len__(self) -> int:
        """Number of images in an epoch."""
        return self._count

    def __getitem__(self, key: tuple[int, int]) -> LabelledItem:
        """Return the image that (epoch, index) stands for."""
        epoch, index = key
        images = self._labelled.train
        visit, place = divmod(epoch * self._count + index, len(images))
        chosen = visiting_order(self._seed, visit, len(images))[place]
        image = images[chosen]
        pixels = image.pixels.astype(np.float32)
        if self._planes:
            each = (slice(None), *[None] * (pixels.ndim - 1))
            low, width = image.range.center[each], image.range.scale[each]
            rng = np.random.default_rng((self._seed, epoch, index, 1))
            if pixels.ndim == 3:
                pixels = self._appearance(chosen, pixels, np.zeros(pixels.shape[1:], np.uint8), rng, numbered=True)
            pixels = self._vary(image, (pixels - low) / width, rng) * width + low
        return self._labelled.item(image, pixels)

    def _vary(self, image: LabelledImage, unit: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Vary an image whose pixels are in its range."""
        factor = exp(rng.uniform(*self._scale_logs)) if any(self._scale_logs) else 1.0
        mask = np.zeros(unit.shape[1:], np.uint8)
        if unit.ndim == 3:
            unit = unit if factor == 1 else magnify(unit, factor)
            return self._planes[len(unit)](unit, mask, rng)[0]
        unit = unit if factor == 1 else magnify_volume(unit, magnified(factor, image.spacing))
        return self._volumes[len(unit)](unit, mask, rng, image.spacing)[0]


class LabelledCrops(Dataset[Any]):
    """Crops, each with one whole image beside it; the key (epoch, index) decides everything.

    Args:
        crops: The crops.
        images: As many whole images.
    """

    def __init__(self, crops: CropDataset, images: VariedImages) -> None:
        self._crops = crops
        self._images = images

    def __len__(self) -> int:
        """Number of crops in an epoch."""
        return len(self._crops)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return the crop and the whole image that (epoch, index) stands for: an `Item` and a `LabelledItem`."""
        return {**self._crops[key], **self._images[key]}
