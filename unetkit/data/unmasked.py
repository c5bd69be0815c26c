"""ImageData: images without masks, for `unetkit pretrain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import CropDataset, Item, divide
from unetkit.data.pairs import Pair, find_unmasked
from unetkit.data.split import check_apart, split_fraction
from unetkit.data.store import Record
from unetkit.data.transforms import PRESETS
from unetkit.models.spec import Normalization


class ImageData(SegmentationData):
    """Images for `unetkit pretrain`: what `SegmentationData` makes of images, where there are no masks.

    Args:
        images: A folder of images, a multi-page TIFF, or an image. Of a folder with `images` and `masks` in it the
            images are taken.
        pages: Pages of a stack to use, from 0: "0-20,24". All by default.
        val: Images to validate on: a fraction of the images (0 for none), or a folder, stack or image.
        crop: Side of the square crops, in pixels; a multiple of the encoder's stride (32 for depth 5).
        batch_size: Crops in a batch.
        crops_per_epoch: Crops in an epoch. By default as many as cover the images once, but from 64 to 1000 batches.
        augment: Level of augmentation of the image that is to be reconstructed: none, light, standard or strong.
        augment_options: Single parameters of the augmentation, over those of the level; see `Augmentation`.
        normalization: How raw pixels become network input; best as it will be in `fit`.
        workers: Processes that prepare crops. By default up to 8 with a GPU, else 1 or 2; 0 for none.
        cache_gb: Memory for decoded images, in GiB; images beyond it are read from disk for each crop.
        seed: Decides the validation images, all crops, and how they are damaged.
    """

    def __init__(
        self,
        images: str,
        pages: str | None = None,
        val: float | str = 0.1,
        crop: int = 256,
        batch_size: int = 8,
        crops_per_epoch: int | None = None,
        augment: str = "light",
        augment_options: dict[str, Any] | None = None,
        normalization: Normalization = Normalization(),  # noqa: B008  # frozen
        workers: int | None = None,
        cache_gb: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            train=images,
            pages=pages,
            val=val,
            crop=crop,
            batch_size=batch_size,
            crops_per_epoch=crops_per_epoch,
            foreground_share=0,
            augment=augment,
            augment_options=augment_options,
            normalization=normalization,
            workers=workers,
            cache_gb=cache_gb,
            seed=seed,
        )

    def val_dataloader(self) -> DataLoader[Item] | list[Any]:  # type: ignore[override]  # crops, not whole images
        """Return the loader of one crop of each validation image, always the same; [] without validation."""
        if not self._val_indices:
            return []
        crops = self.val_crops()
        keys = [(0, index) for index in range(len(crops))]
        return DataLoader(crops, batch_size=self.batch_size, sampler=divide(keys, *self._processes()))

    def val_crops(self) -> CropDataset:
        """Return a crop of each validation image, or of those to train on where none are set aside."""
        indices = self._val_indices or self._train_indices
        return self._crops(indices, len(indices), PRESETS["none"])

    def _check_masks(self, train: Sequence[Record]) -> None:
        """There are none."""

    def _find(self) -> tuple[list[Pair], list[Pair]]:
        images = find_unmasked(Path(self.train), self.pages)
        if not isinstance(self.val, str):
            return split_fraction(images, self.val, self.seed)
        val = find_unmasked(Path(self.val))
        check_apart(images, val)
        return images, val
