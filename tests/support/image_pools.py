"""The images and masks of a folder as data modules hold them."""

from __future__ import annotations

from pathlib import Path

from unetkit.data.loading import Decoded
from unetkit.data.masks import MaskRecord, Masks, measure_mask
from unetkit.data.pairs import find_pairs
from unetkit.data.pool import ImagePool, ImageRecord, measure_image
from unetkit.data.store import ImageStore
from unetkit.models.normalization import Normalization


def load_pool(folder: Path, cache_bytes: int = 2**30, ignore: int | None = None) -> tuple[ImagePool, Masks]:
    """Return all images of a folder, to train on, and their masks."""
    store = ImageStore(cache_bytes)

    def measure(decoded: Decoded) -> tuple[ImageRecord, MaskRecord]:
        return measure_image(decoded, Normalization()), measure_mask(decoded)

    images, masks = zip(*store.visit(find_pairs(folder, ignore=ignore), measure), strict=True)
    return ImagePool.divided(store, images, [False] * len(images), Normalization()), Masks(store, masks)
