"""ImageData: images without masks, for `unetkit pretrain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from unetkit.data.base import TrainingData
from unetkit.data.dataset import CropDataset, CropLoader, CropSampler, Item, divide
from unetkit.data.kept import TRAIN, VAL, Use
from unetkit.data.pairs import find_unmasked
from unetkit.data.pool import Found, ImagePool, measure_image
from unetkit.data.sampling import Sampling, count_crops, plan_visits
from unetkit.data.split import check_apart, check_validation, split_fraction
from unetkit.data.store import ImageStore
from unetkit.data.targets import NoTargets
from unetkit.data.transforms import PRESETS, Augmentation
from unetkit.models.normalization import Normalization
from unetkit.models.spec import TrainingImages

IMAGE_SAMPLING: Sampling = "balanced"
"""Sampling of the images, see `Sampling`."""


class ImageData(TrainingData):
    """Images for `unetkit pretrain`, which takes no masks.

    Args:
        images: A folder of images, a multi-page TIFF, or an image. Of a folder with `images` and `masks` in it the
            images are taken.
        pages: Pages of a stack to use, from 0: "0-20,24". All by default.
        spacing: Distances of pixels in micrometres, for files that do not know theirs: z,y,x, or y,x, such as
            2,0.5,0.5; also with units, such as 50nm,4nm,4nm.
        val: Images to validate on: a fraction of the images (0 for none), or a folder, stack or image.
        crop: Side of the square crops, in pixels; a multiple of the encoder's stride (32 for depth 5). For volumes the
            side of a cube, which is limited to the size of the volumes, or three numbers (z, y, x). By default 256, for
            volumes 64.
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
        spacing: str | None = None,
        val: float | str = 0.1,
        crop: int | list[int] | None = None,
        batch_size: int = 8,
        crops_per_epoch: int | None = None,
        augment: str = "light",
        augment_options: dict[str, Any] | None = None,
        normalization: Normalization = Normalization(),  # noqa: B008  # frozen
        workers: int | None = None,
        cache_gb: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__(crop, batch_size, augment, augment_options, normalization, workers, seed)
        self.images = images
        self.pages = pages
        self.spacing = spacing
        self.val = val
        self.crops_per_epoch = crops_per_epoch
        self.cache_gb = cache_gb
        self._pool: ImagePool | None = None
        self.check_least(crops_per_epoch=1, cache_gb=0)
        check_validation(self.val)

    @property
    def pool(self) -> ImagePool:
        """The images; they are read if they have not been."""
        self.setup("fit")
        assert self._pool is not None
        return self._pool

    def setup(self, stage: str = "fit") -> None:
        """Find, read and measure all images, once.

        Args:
            stage: "fit", "validate", "test" or "predict", which all take the same images.

        Raises:
            DataError: The images cannot be trained on.
            ImageError: A file that cannot be read.
        """
        if self._pool is not None or stage not in ("fit", "validate", "test", "predict"):
            return
        found = self._find()
        store = ImageStore(round(self.cache_gb * 2**30))
        records = store.visit(found.all, *[lambda viewed: measure_image(viewed, self.normalization)] * 2)
        uses = [TRAIN] * len(found.train) + [VAL] * len(found.val)
        seen = [Use(record.pair.name, record.digest, use) for record, use in zip(records, uses, strict=True)]
        held = [use == VAL for use in self._divide("images", seen, named=found.named)]
        pool = ImagePool.divided(store, records, held, self.normalization)
        self.channel_names, self.pixel_size_um = pool.channel_names, pool.pixel_size_um
        self._take(pool)

    def _take(self, pool: ImagePool) -> None:
        """Keep what was read."""
        self._pool = pool
        self.channels, self.normalization = pool.channels, pool.normalization

    def prepare_for(self, channels: int, strides: int | Sequence[int]) -> None:
        """Fit the data to a model, after `setup` and before the loaders are made.

        Args:
            channels: Channels that the model takes.
            strides: Number of pixels that crops have to be a multiple of, or one for each axis.

        Raises:
            ConfigError: The crop is not a multiple of the strides.
            DataError: The images have other channels.
        """
        self.fit_crop(strides, self.pool.sizes(range(len(self.pool.records))))
        self.pool.check_channels(channels)
        self._take(self.pool.with_channels(channels))

    def train_dataloader(self) -> CropLoader:
        """Return the loader of crops; each item is an `Item`, collated along a new first axis."""
        crops = self._crops(self.pool.train, self._crops_per_epoch(), self.augmentation)
        sampler = CropSampler(len(crops), *self._processes())
        return CropLoader(crops, batch_size=self.batch_size, sampler=sampler, **self._loading(self.workers))

    def val_dataloader(self) -> DataLoader[Item] | list[Any]:
        """Return the loader of one crop of each validation image, always the same; [] without validation."""
        if not self.pool.val:
            return []
        crops = self.val_crops()
        keys = [(0, index) for index in range(len(crops))]
        return DataLoader(crops, batch_size=self.batch_size, sampler=divide(keys, *self._processes()))

    def val_crops(self) -> CropDataset:
        """Return a crop of each validation image, or of those to train on where none are set aside."""
        indices = self.pool.to_look_at
        return self._crops(indices, len(indices), PRESETS["none"])

    def example_image(self) -> Path:
        """Return an image to try a model on: one to validate on if there are any."""
        return self.pool.records[self.pool.to_look_at[0]].pair.image

    def describe_images(self) -> TrainingImages:
        """Describe the pixels of the training images."""
        return self.pool.describe_images()

    def val_digests(self) -> set[str]:
        """Return the hashes of the images to validate on."""
        return {self.pool.records[index].digest for index in self.pool.val}

    def describe(self) -> dict[str, Any]:
        """Summarise the data as plain values for JSON: counts, kinds, settings."""
        pool = self.pool
        return {
            "train": Path(self.images).name,  # not where it lies: models are passed on
            "train_images": len(pool.train),
            "val_images": [pool.records[index].pair.name for index in pool.val],
            **pool.describe(),
            "crop": self.crop if self.dims == 2 else list(self.crop_size),
            "batch_size": self.batch_size,
            "crops_per_epoch": self._crops_per_epoch(),
            "sampling": IMAGE_SAMPLING,
            "foreground_share": 0,
            "augment": self.augment,
            "seed": self.seed,
        }

    def covering(self) -> float:
        """Return how many crops cover the images to train on once."""
        return sum(self.pool.areas(self.pool.train)) / self.crop_area

    def _crops(self, indices: Sequence[int], count: int, augmentation: Augmentation) -> CropDataset:
        """Return `count` crops an epoch of some of the images."""
        pool = self.pool
        return CropDataset(
            pool,
            NoTargets(pool),
            plan_visits(indices, pool.areas(indices), self.crop_area, IMAGE_SAMPLING),
            crop=self.crop_size,
            crops_per_epoch=count,
            augmentation=augmentation,
            foreground_share=0,
            seed=self.seed,
        )

    def _crops_per_epoch(self) -> int:
        if self.crops_per_epoch is not None:
            return self.crops_per_epoch
        areas = self.pool.areas(self.pool.train)
        return count_crops(areas, self.crop_area, self.batch_size * self._processes()[1])

    def _find(self) -> Found:
        """Find the images to train on and those to validate on."""
        images = find_unmasked(Path(self.images), self.pages, self.dims, self.spacing)
        if not isinstance(self.val, str):
            return Found(*split_fraction(images, self.val, self.seed))
        val = find_unmasked(Path(self.val), dims=self.dims, spacing=self.spacing)
        check_apart(images, val)
        return Found(images, val, named=True)
