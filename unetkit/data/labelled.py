"""LabelledData: images with labels and without masks, for `unetkit fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader, default_collate

from unetkit.data.base import TrainingData
from unetkit.data.dataset import CropLoader, CropSampler
from unetkit.data.image_labels import (
    LabelledImages,
    LabelledItem,
    check_classes,
    first_image,
    load_labelled,
)
from unetkit.data.sampling import count_crops
from unetkit.data.split import check_folds, check_one_fold
from unetkit.data.statistics import measure_dataset, measure_images
from unetkit.data.varied_images import VariedImages
from unetkit.models.normalization import Normalization
from unetkit.models.spec import TrainingImages


class LabelledData(TrainingData):
    """Labels of whole images, where there are no masks.

    All images are kept in memory, each resized to a square.

    Args:
        image_labels: CSV with the columns image (a path relative to the CSV) and label (1 or 0, or the name of a
            class).
        val: Share of the images of each label that is kept for validation, at least one of each; 0 for none. Images
            with the same pixels stay together.
        folds: Number of folds for cross-validation, in place of the share `val`: the images of each label are split
            into so many parts of the same size, by `seed`, and each is validated on by a model trained on the others.
        fold: The fold to validate on, counted from 0, or "all" (the default) to train a model for each in turn.
        crop: Side of the square that each image is resized to, in pixels, whatever its shape; a multiple of the
            encoder's stride (32 for depth 5). Volumes are resized to a cube, or to three numbers (z, y, x). By default
            256, for volumes 64.
        batch_size: Images in a batch.
        images_per_epoch: Images in an epoch; each is shown before any is shown again. By default as many as there are,
            but from 64 to 1000 batches.
        augment: Level of augmentation: none, light, standard or strong.
        augment_options: Single parameters of the augmentation, over those of the level; see `Augmentation`.
        normalization: How raw pixels become network input.
        workers: Processes that prepare images. By default up to 8 with a GPU, else 1 or 2; 0 for none.
        seed: Decides the validation images, and the order and variation of the others.
    """

    def __init__(
        self,
        image_labels: str,
        val: float = 0.1,
        folds: int | None = None,
        fold: int | Literal["all"] | None = None,
        crop: int | list[int] | None = None,
        batch_size: int = 8,
        images_per_epoch: int | None = None,
        augment: str = "standard",
        augment_options: dict[str, Any] | None = None,
        normalization: Normalization = Normalization(),  # noqa: B008  # frozen
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(crop, batch_size, augment, augment_options, normalization, workers, seed)
        self.image_labels = image_labels
        self.val = val
        self.folds = folds
        self.fold = "all" if folds is not None and fold is None else fold
        self.images_per_epoch = images_per_epoch
        self._labelled: LabelledImages | None = None
        self.check_least(images_per_epoch=1)
        check_folds(self.folds, self.fold, self.val, None)

    @property
    def labelled(self) -> LabelledImages:
        """The images, once `label_images` has read them."""
        assert self._labelled is not None
        return self._labelled

    def label_images(self, classes: Sequence[str], channels: int | None) -> None:
        """Read, check and measure all images, once.

        Args:
            classes: The image classes.
            channels: Channels that the network takes; None for as many as the images have.

        Raises:
            UnetkitError: The list of labels or its images cannot be used.
        """
        if self._labelled is not None:
            return
        check_one_fold(self.fold)
        path = Path(self.image_labels)
        found = load_labelled(
            path,
            classes,
            set(),
            set(),
            part=(self.fold, self.folds) if self.folds is not None and isinstance(self.fold, int) else self.val,
            seed=self.seed,
            size=self.crop_size,
            channels=channels,
            normalization=self.normalization,
            divide=lambda found: self._divide("labelled", found),
        )
        if self.val or self.folds is not None:
            check_classes(found.val, classes, path, "validate")
        self.channels = found.channels
        if self.normalization.scope == "dataset" and self.normalization.center is None:
            self.normalization = measure_dataset(found.train, self.normalization, found.channels)
        self._labelled = replace(found, normalization=self.normalization)

    def train_dataloader(self) -> CropLoader:
        """Return the loader of varied images; each item is a `LabelledItem`, collated along a new first axis."""
        images = VariedImages(self.labelled, self._images_per_epoch(), self.augmentation, self.seed)
        sampler = CropSampler(len(images))
        return CropLoader(images, batch_size=self.batch_size, sampler=sampler, **self._loading(self.workers))

    def val_dataloader(self) -> DataLoader[LabelledItem] | list[Any]:
        """Return the loader of the images to validate on, as they are; [] without validation."""
        items = [self.labelled.item(image, image.pixels.astype("float32")) for image in self.labelled.val]
        return DataLoader(items, batch_size=self.batch_size, collate_fn=default_collate) if items else []  # type: ignore[arg-type]

    def example_image(self) -> Path:
        """Return an image to try a model on: one to validate on if there are any."""
        if self._labelled is None:
            return first_image(Path(self.image_labels))
        return (self.labelled.val or self.labelled.train)[0].path

    def describe_images(self) -> TrainingImages:
        """Describe the pixels of the training images."""
        return measure_images(self.labelled.train, self.channels)

    def describe(self) -> dict[str, Any]:
        """Summarise the data as plain values for JSON: counts, kinds, settings."""
        train, val = self.labelled.train, self.labelled.val
        return {
            "image_labels": Path(self.image_labels).name,  # not its folder: models are passed on
            "train_images": len(train),
            "val_images": [image.path.name for image in val],
            **({} if self.folds is None else {"folds": self.folds, "fold": self.fold}),
            "channels": self.channels,
            "dtypes": sorted({image.dtype for image in (*train, *val)}),
            "crop": self.crop if self.dims == 2 else list(self.crop_size),
            "batch_size": self.batch_size,
            "images_per_epoch": self._images_per_epoch(),
            "augment": self.augment,
            "seed": self.seed,
        }

    def _images_per_epoch(self) -> int:
        if self.images_per_epoch is not None:
            return self.images_per_epoch
        return count_crops([1] * len(self.labelled.train), 1, self.batch_size)
