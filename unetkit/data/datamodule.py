"""SegmentationData: from a folder of images and masks to the batches that training takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from unetkit.data.base import TrainingData
from unetkit.data.dataset import CropDataset, CropLoader, CropSampler, NamedItem, WholeImageDataset, divide, take_single
from unetkit.data.heights import Heights
from unetkit.data.image_labels import LabelledCrops, LabelledImages, VariedImages, load_labelled
from unetkit.data.kept import TRAIN, VAL, Use
from unetkit.data.objects import SmallestObject, describe_plain, find_parts, find_smallest, to_objects
from unetkit.data.pairs import Pair, Unpaired
from unetkit.data.places import Places
from unetkit.data.sampling import Sampling, count_crops, plan_visits
from unetkit.data.split import check_apart, check_folds, check_one_fold, fold_uses, split_fraction
from unetkit.data.store import (
    ImageStore,
    Record,
    check_channels,
    check_foreground,
    check_labels,
    common_channels,
    common_pixel_size,
    measure_dataset,
    measure_images,
)
from unetkit.data.transforms import Augmentation
from unetkit.data.weight_map import BorderWeight, WeightMaps, check_border_weight
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.grid import check_multiple
from unetkit.io.masks.meaning import say_taken
from unetkit.models.spec import Normalization, TrainingImages


class SegmentationData(TrainingData):
    """Images and masks for `unetkit fit`.

    Images and masks can be TIFF, PNG or JPEG, 8-bit, 16-bit or float, of any sizes. An alpha channel is dropped; where
    grey and colour images mix, the grey ones are repeated. In masks 0 is background; any other value is foreground, or
    the number of the class when the model has more than 2 classes, or of the object when it tells instances apart.
    Masks in colours, in JPEG or with blurred borders are read as what they look like, and it is said how.

    Args:
        train: A folder with `images` and `masks` in it (files pair by name: cell.tif with cell.tif, cell_mask.png or
            cell_cp_masks.png), a folder of images and masks side by side, a folder of images, a multi-page TIFF or an
            image (with `masks`), or a CSV with the columns image and mask.
        masks: Folder, stack or file of the masks, where `train` does not have them.
        pages: Pages of the stack `train` to use, from 0: "0-20,24". All by default.
        val: Images to validate on: a fraction of the images of `train` (0 for none), or any of the forms of `train`. Of
            a stack, the fraction is a run of neighbouring pages, since pages side by side are almost the same.
        val_masks: Masks of `val`.
        val_pages: Pages of the stack to validate on; of `val`, or of `train` where `val` is a fraction.
        unpaired: What to do with images without a mask and masks without an image: "stop" is an error, "skip" leaves
            them out.
        folds: Number of folds for cross-validation, in place of the fraction `val`: the images of `train` are split
            into so many parts of the same size, by `seed`, and each is validated on by a model trained on the others.
            Of a stack, each fold is a run of neighbouring pages; images with the same pixels share a fold.
        fold: The fold to validate on, counted from 0, or "all" (the default) to train a model for each in turn.
        crop: Side of the square crops, in pixels; a multiple of the encoder's stride (32 for depth 5).
        batch_size: Crops in a batch, on each device.
        crops_per_epoch: Crops in an epoch. By default as many as cover the training images once, but from 64 to 1000
            batches.
        sampling: What is equally likely to be shown: "images", "pixels", or "balanced" between the two: an image of the
            size of 4 crops is then shown twice as often as one of the size of a crop.
        foreground_share: Share of the crops, 0 to 1, placed around a random object (or class) of their image; the
            others are placed evenly.
        augment: Level of augmentation: none, light, standard or strong.
        augment_options: Single parameters of the augmentation, over those of the level; see `Augmentation`.
        image_labels: CSV with labels of whole images, to train model.image_classes beside the masks: the columns image
            (a path relative to the CSV) and label (1 or 0, or the name of a class). Images without masks may be among
            them. Each is resized to `crop` x `crop`, whatever its shape.
        normalization: How raw pixels become network input.
        border_weight: How much gaps between objects count, with the loss weighted_bce.
        workers: Processes that prepare crops. By default up to 8 with a GPU, else 1 or 2; 0 for none.
        cache_gb: Memory for decoded images, in GiB; images beyond it are read from disk for each crop.
        seed: Decides the validation images, the folds and all crops.
    """

    def __init__(
        self,
        train: str,
        masks: str | None = None,
        pages: str | None = None,
        val: float | str = 0.1,
        val_masks: str | None = None,
        val_pages: str | None = None,
        unpaired: Unpaired = "stop",
        folds: int | None = None,
        fold: int | Literal["all"] | None = None,
        crop: int = 256,
        batch_size: int = 8,
        crops_per_epoch: int | None = None,
        sampling: Sampling = "balanced",
        foreground_share: float = 0.5,
        augment: str = "standard",
        augment_options: dict[str, Any] | None = None,
        image_labels: str | None = None,
        normalization: Normalization = Normalization(),  # noqa: B008  # frozen
        border_weight: BorderWeight = BorderWeight(),  # noqa: B008  # frozen
        workers: int | None = None,
        cache_gb: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__(crop, batch_size, augment, augment_options, normalization, workers, seed)
        self.train = train
        self.masks = masks
        self.pages = pages
        self.val = val
        self.val_masks = val_masks
        self.val_pages = val_pages
        self.unpaired = unpaired
        self.folds = folds
        self.fold = "all" if folds is not None and fold is None else fold
        self.crops_per_epoch = crops_per_epoch
        self.sampling = sampling
        self.foreground_share = foreground_share
        self.image_labels = image_labels
        self.border_weight = border_weight
        self.cache_gb = cache_gb
        self._places = Places(train, masks, pages, val, val_masks, val_pages, unpaired)
        self.classes = 2
        self.heights: Heights | None = None
        self._store: ImageStore | None = None
        self._weights: WeightMaps | None = None
        self._train_indices: list[int] = []
        self._val_indices: list[int] = []
        self.labelled: LabelledImages | None = None
        self._check_settings()

    def setup(self, stage: str = "fit") -> None:
        """Find, read, check and measure all images, once.

        Args:
            stage: "fit", "validate", "test" or "predict", which all take the same images.

        Raises:
            DataError: The images and masks cannot be trained on.
            ImageError: A file that cannot be read.
        """
        if self._store is not None or stage not in ("fit", "validate", "test", "predict"):
            return
        check_one_fold(self.fold)
        train, val = self._find()
        store = ImageStore([*train, *val], self.normalization, round(self.cache_gb * 2**30))
        self._divide_records(store.records, len(train))
        self._check_masks([store.records[index] for index in self._train_indices])
        self._say(*say_taken([(record.pair.name, record.meaning) for record in store.records], "mask"))
        self._store = store
        self._set_channels(common_channels({record.channels: record.pair.image.name for record in store.records}))
        names = {r.info.channel_names for r in store.records if r.channels == self.channels}
        self.channel_names = names.pop() if len(names) == 1 else ()
        self.pixel_size_um = common_pixel_size(store.records)

    def _divide_records(self, records: Sequence[Record], train: int) -> None:
        """Choose the images to validate on; without folds, those after the first `train`."""
        uses = [TRAIN] * train + [VAL] * (len(records) - train)
        if self.folds is not None:
            uses = fold_uses([r.pair for r in records], [r.digest for r in records], self.folds, self.seed)
        found = [Use(record.pair.name, record.digest, use) for record, use in zip(records, uses, strict=True)]
        uses = self._divide("images", found, named=self._places.names_validation)
        held = VAL if self.folds is None else str(self.fold)
        self._train_indices = [index for index, use in enumerate(uses) if use != held]
        self._val_indices = [index for index, use in enumerate(uses) if use == held]

    def prepare_for(
        self, channels: int, classes: int, stride: int, *, heights: bool = False, weighted: bool = False
    ) -> None:
        """Fit the data to a model, after `setup` and before the loaders are made.

        Args:
            channels: Channels that the model takes.
            classes: Number of mask values, the background included.
            stride: Number of pixels that crops have to be a multiple of.
            heights: Whether each crop comes with the heights of its pixels, for a model that tells instances apart.
            weighted: Whether each crop comes with the weights of its pixels.

        Raises:
            ConfigError: The crop is not a multiple of the stride.
            DataError: The images have other channels, or masks have values that are no class.
        """
        check_multiple("crop", self.crop, stride)
        records = self._loaded().records
        check_channels(records, channels)
        check_labels(records, classes)
        self.classes = classes
        self.heights = self._heights() if heights else None
        self._set_channels(channels)
        check_border_weight(self.border_weight, weighted=weighted)
        if weighted and self._weights is None:
            self._weights = WeightMaps(self._loaded(), self._train_indices, classes, self.border_weight)

    def label_images(self, classes: Sequence[str]) -> None:
        """Read the labelled images, after `prepare_for`.

        Images with masks are trained or validated on as their masks are. Of the others the same fraction (or fold) is
        set aside; none where the images to validate on are given.

        Args:
            classes: The image classes.

        Raises:
            UnetkitError: There is no list of labels, or it or its images cannot be used.
        """
        if self.image_labels is None:
            raise ConfigError("model.image_classes has no meaning without labels.", "Give them (data.image_labels).")
        files = [record.pair.image.resolve() for record in self._loaded().records]
        train, val = ({files[index] for index in indices} for indices in (self._train_indices, self._val_indices))
        fraction = 0.0 if self._places.names_validation else float(self.val)
        self.labelled = load_labelled(
            Path(self.image_labels),
            classes,
            train,
            val,
            part=(self.fold, self.folds) if self.folds is not None and isinstance(self.fold, int) else fraction,
            seed=self.seed,
            side=self.crop,
            channels=self.channels,
            normalization=self.normalization,
            divide=lambda found: self._divide("labelled", found),
        )

    def train_dataloader(self) -> CropLoader:
        """Return the loader of crops; each item is an `Item`, collated along a new first axis."""
        crops = self._crops(self._train_indices, self._crops_per_epoch(), self.augmentation)
        labelled, how = self.labelled, (self.augmentation, self.seed)
        return CropLoader(
            crops if labelled is None else LabelledCrops(crops, VariedImages(labelled, len(crops), *how)),
            batch_size=self.batch_size,
            sampler=CropSampler(len(crops), *self._processes()),
            **self.loading(self.workers),
        )

    def val_dataloader(self) -> DataLoader[NamedItem] | list[Any]:
        """Return the loader of whole images, one `NamedItem` at a time and not collated; [] without validation.

        Several processes divide the images. Where there are fewer images than processes each takes all of them, which
        leaves the mean scores as they are.
        """
        if not self._val_indices:
            return []
        return DataLoader(
            self.val_items(),
            sampler=divide(range(len(self._val_indices)), *self._processes()),
            batch_size=1,
            collate_fn=take_single,
            **self.loading(min(self.workers, 1)),
        )

    def val_items(self) -> WholeImageDataset:
        """Return the validation images, or those to train on where none are set aside."""
        store = self._loaded()
        return WholeImageDataset(
            store,
            self._val_indices or self._train_indices,
            channels=self.channels,
            classes=self.classes,
            normalization=self.normalization,
        )

    def val_objects(self) -> Iterator[tuple[NamedItem, NDArray[Any]]]:
        """Yield each validation image with its objects (h, w), those that the model is to find: 0 for background."""
        assert self.heights is not None
        images = self.val_items()
        for place, index in enumerate(self._val_indices):
            labels = to_objects(self._loaded().read(index)[1])
            yield images[place], find_parts(labels)[1] if self._loaded().records[index].numbered is False else labels

    def example_image(self) -> Path:
        """Return an image to try a model on: one to validate on if there are any."""
        if self.fold == "all":
            return self._find()[0][0].image
        return self._loaded().records[(self._val_indices or self._train_indices)[0]].pair.image

    def describe_images(self) -> TrainingImages:
        """Say what the pixels of the images to train on are like."""
        records = self._loaded().records
        train = [records[index] for index in self._train_indices]
        return replace(measure_images(train, self.channels), digests=tuple(record.digest for record in train))

    def val_digests(self) -> set[str]:
        """Return the hashes of the images to validate on."""
        return {self._loaded().records[index].digest for index in self._val_indices}

    def smallest_object(self) -> SmallestObject:
        """Say what is too small to be an object, by the masks to train on; unknown where there are several classes."""
        records = self._loaded().records
        indices = self._train_indices if self.classes == 2 else []
        return find_smallest(np.concatenate([np.zeros(0, np.int64), *(records[index].objects for index in indices)]))

    def describe(self) -> dict[str, Any]:
        """Summarise the data as plain values that go to JSON: counts, kinds, settings."""
        records = self._loaded().records
        return {
            "train": Path(self.train).name,  # not where it lies: models are passed on
            "train_images": len(self._train_indices),
            "val_images": [records[index].pair.name for index in self._val_indices],
            **({} if self.folds is None else {"folds": self.folds, "fold": self.fold}),
            "channels": self.channels,
            "dtypes": sorted({str(record.info.dtype) for record in records}),
            "smallest_image": min((record.height, record.width) for record in records),
            "largest_image": max((record.height, record.width) for record in records),
            "pixel_size_um": self.pixel_size_um,
            "crop": self.crop,
            "batch_size": self.batch_size,
            "crops_per_epoch": self._crops_per_epoch(),
            "sampling": self.sampling,
            "foreground_share": self.foreground_share,
            "augment": self.augment,
            "seed": self.seed,
        }

    def covering(self) -> float:
        """Return how many crops cover the images to train on once."""
        return sum(height * width for height, width in self._sizes(self._train_indices)) / self.crop**2

    def _crops(self, indices: Sequence[int], count: int, augmentation: Augmentation) -> CropDataset:
        """Return `count` crops an epoch of some of the images."""
        store = self._loaded()
        return CropDataset(
            store,
            plan_visits(indices, self._sizes(indices), self.crop, self.sampling),
            crop=self.crop,
            crops_per_epoch=count,
            augmentation=augmentation,
            channels=self.channels,
            classes=self.classes,
            normalization=self.normalization,
            foreground_share=self.foreground_share,
            seed=self.seed,
            heights=self.heights,
            weights=self._weights,
        )

    def _sizes(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Return the height and width of some of the images."""
        records = self._loaded().records
        return [(records[index].height, records[index].width) for index in indices]

    def _check_settings(self) -> None:
        self.check_least(crops_per_epoch=1, cache_gb=0)
        if not 0 <= self.foreground_share <= 1:
            raise ConfigError(f"data.foreground_share: {self.foreground_share:g} is not possible.", "Use 0 to 1.")
        check_folds(self.folds, self.fold, self.val, self.val_pages)

    def _check_masks(self, train: Sequence[Record]) -> None:
        check_foreground(train)

    def _find(self) -> tuple[list[Pair], list[Pair]]:
        """Find the pairs to train on and those to validate on."""
        pairs = self._places.find()
        left_out = self._places.left_out()
        if left_out:
            self._say(f"Left out, since they have no mask or image: {len(left_out)} files, such as {left_out[0].name}.")
        if self.folds is not None:
            return pairs, []
        if not self._places.names_validation:
            return split_fraction(pairs, float(self.val), self.seed)
        val = self._places.find_validation()
        check_apart(pairs, val)
        return pairs, val

    def _loaded(self) -> ImageStore:
        if self._store is None:
            self.setup("fit")
        assert self._store is not None
        return self._store

    def _set_channels(self, channels: int) -> None:
        self.channels = channels
        given = self.normalization.center
        if self.normalization.scope == "dataset" and (given is None or len(given) != channels):
            records = self._loaded().records
            train = [records[index] for index in self._train_indices]
            self.normalization = measure_dataset(train, self.normalization, channels)

    def _heights(self) -> Heights:
        records = self._loaded().records
        note = describe_plain({records[i].pair.name: records[i].numbered for i in self._train_indices})
        self._say(*([note] if note else []))
        return Heights()

    def _say(self, *sentences: str) -> None:
        """Print sentences, in the first process."""
        for sentence in sentences if self._processes()[0] == 0 else ():
            log(sentence)

    def _crops_per_epoch(self) -> int:
        if self.crops_per_epoch is not None:
            return self.crops_per_epoch
        return count_crops(self._sizes(self._train_indices), self.crop, self.batch_size * self._processes()[1])
