"""SegmentationData: from a folder of images and masks to the batches that training takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from unetkit.data.annotated import check_annotated
from unetkit.data.base import TrainingData
from unetkit.data.dataset import CropDataset, CropLoader, CropSampler, NamedItem, WholeImageDataset, divide, take_single
from unetkit.data.finding import find_divided, first_uses
from unetkit.data.image_labels import LabelledImages, load_labelled
from unetkit.data.kept import VAL
from unetkit.data.loading import Viewed
from unetkit.data.looks import plan_balanced
from unetkit.data.masks import (
    MaskRecord,
    Masks,
    check_foreground,
    check_labels,
    check_whole,
    measure_classes,
    measure_mask,
)
from unetkit.data.objects import SmallestObject, describe_plain
from unetkit.data.pairs import Unpaired
from unetkit.data.places import Places
from unetkit.data.pool import Found, ImagePool, ImageRecord, measure_image
from unetkit.data.sampling import Sampling, count_crops
from unetkit.data.split import check_folds, check_one_fold
from unetkit.data.store import ImageStore
from unetkit.data.varied_images import LabelledCrops, VariedImages
from unetkit.data.weight_map import BorderWeight, WeightMaps, check_border_weight
from unetkit.foundation.errors import ConfigError
from unetkit.io.masks.meaning import say_taken
from unetkit.models.normalization import Normalization
from unetkit.models.spec import TrainingImages


class SegmentationData(TrainingData):
    """Images and masks for `unetkit fit`.

    Images and masks can be TIFF, PNG or JPEG, 8-bit, 16-bit or float, of any sizes. An alpha channel is dropped; where
    grey and colour images mix, the grey ones are repeated. In masks 0 is background; any other value is foreground, or
    the number of the class when the model has more than 2 classes, or of the object when it learns instances.
    Masks in colours, in JPEG or with blurred borders are read as what they look like, and a note says how.

    Args:
        train: A folder with `images` and `masks` in it (files pair by name: cell.tif with cell.tif, cell_mask.png or
            cell_cp_masks.png), a folder of images and masks side by side, a folder of images, a multi-page TIFF or an
            image (with `masks`), or a CSV with the columns image and mask.
        masks: Folder, stack or file of the masks, where `train` does not have them. Annotation files of QuPath
            (GeoJSON), Fiji (ROI), labelme or COCO take the place of masks, wherever they lie.
        pages: Pages of the stack `train` to use, from 0: "0-20,24". All by default.
        val: Images to validate on: a fraction of the images of `train` (0 for none), or any of the forms of `train`. Of
            a stack, the fraction is a run of neighbouring pages, since pages side by side are almost the same.
        val_masks: Masks of `val`.
        val_pages: Pages of the stack to validate on; of `val`, or of `train` where `val` is a fraction.
        unpaired: Images without a mask and masks without an image: "stop" is an error, "skip" leaves them out.
        ignore: Value in the masks of pixels that nobody has annotated, for example 255, or -1 in masks with signed
            values. They are neither trained on nor scored. In masks with a palette it is a number of the palette. With
            0, as where strokes are drawn in napari or ilastik, 1 is background, and 2, 3, ... are the rest.
        colors: Colours of the classes in masks in colours or with a palette, for example {tumour: "#ff0000"}, in the
            order of their numbers; or a .csv (columns name and color), .json or .yaml with them. Black is background
            unless it has a name, and the name ignore marks what nobody has annotated.
        spacing: Distances of pixels (z,y,x) in µm or with units, such as 50nm,4nm,4nm, for files that do not know them.
        folds: Number of folds for cross-validation, in place of the fraction `val`: the images of `train` are split
            into so many parts of the same size, by `seed`, and each is validated on by a model trained on the others.
            Of a stack, each fold is a run of neighbouring pages; images with the same pixels share a fold.
        fold: The fold to validate on, counted from 0, or "all" (the default) to train a model for each in turn.
        crop: Side of the square crops, in pixels, a multiple of the encoder's stride (32 for depth 5); 256 by default.
            For volumes the side of a cube, limited to their size, or three numbers (z, y, x); 64 by default.
        batch_size: Crops in a batch, on each device.
        crops_per_epoch: Crops in an epoch. By default as many as cover the images once, but from 64 to 1000 batches.
        sampling: What is equally likely to be shown: "images", "pixels", or "balanced" between the two: an image of the
            size of 4 crops is then shown twice as often as one of the size of a crop.
        balance_looks: How much more often images of a rare look (background, colours, size of the objects) are shown:
            0 not at all, 1 until each look has as many crops, but no image over 4 times for one of the most common.
        foreground_share: Share of the crops, 0 to 1, placed around a random object (or class); others lie evenly.
        augment: Level of augmentation: none, light, standard or strong.
        augment_options: Single parameters of the augmentation, over those of the level; see `Augmentation`.
        image_labels: CSV with labels of whole images, to train model.image_classes beside the masks: the columns image
            (a path relative to the CSV) and label (1 or 0, or the name of a class). Images without masks may be among
            them. Each is resized to the size of a crop, whatever its shape.
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
        ignore: int | None = None,
        colors: dict[str, Any] | str | None = None,
        spacing: str | None = None,
        folds: int | None = None,
        fold: int | Literal["all"] | None = None,
        crop: int | list[int] | None = None,
        batch_size: int = 8,
        crops_per_epoch: int | None = None,
        sampling: Sampling = "balanced",
        balance_looks: float = 0.0,
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
        self.ignore = ignore
        self.colors = colors
        self.spacing = spacing
        self.folds = folds
        self.fold = "all" if folds is not None and fold is None else fold
        self.crops_per_epoch = crops_per_epoch
        self.sampling = sampling
        self.balance_looks = balance_looks
        self.foreground_share = foreground_share
        self.image_labels = image_labels
        self.border_weight = border_weight
        self.cache_gb = cache_gb
        self._places = Places(train, masks, pages, val, val_masks, val_pages, unpaired, ignore, colors, spacing)
        self.classes = 2
        self.labelled: LabelledImages | None = None
        self._labelled_for: tuple[tuple[str, ...], int] | None = None
        self._store = ImageStore()
        self._loaded: tuple[ImagePool, Masks] | None = None
        self._weights: WeightMaps | None = None
        self._distance_maps = False
        self.check_least(crops_per_epoch=1, cache_gb=0)
        self.check_shares("foreground_share", "balance_looks")
        check_folds(self.folds, self.fold, self.val, self.val_pages)

    @property
    def pool(self) -> ImagePool:
        """The images; they are read if they have not been."""
        self.setup("fit")
        assert self._loaded is not None
        return self._loaded[0]

    @property
    def targets(self) -> Masks:
        """Their masks."""
        self.setup("fit")
        assert self._loaded is not None
        return self._loaded[1]

    def use_store(self, store: ImageStore) -> None:
        """Use the images that a store has decoded already; called before `setup`."""
        self._store = store

    def setup(self, stage: str = "fit") -> None:
        """Find, read, check and measure all images, once.

        Args:
            stage: "fit", "validate", "test" or "predict", which all take the same images.

        Raises:
            DataError: The images and masks cannot be trained on.
            ImageError: A file that cannot be read.
        """
        if self._loaded is not None or stage not in ("fit", "validate", "test", "predict"):
            return
        check_one_fold(self.fold)
        found, notes = find_divided(self._places, self.folds, self.seed, self.dims)
        self.note(*notes)
        self._store.resize(round(self.cache_gb * 2**30))

        def measure(viewed: Viewed) -> tuple[ImageRecord, MaskRecord, MaskRecord | None]:
            return measure_image(viewed, self.normalization), measure_mask(viewed), measure_classes(viewed)

        images, of_masks, of_classes = zip(*self._store.visit(found.all, measure, measure), strict=True)
        masks = Masks(self._store, of_masks, of_classes)
        check_annotated([(record.pair.name, record.annotated_share) for record in masks.records])
        held = self._hold_out(found, images)
        check_foreground([record for record, val in zip(masks.records, held, strict=True) if not val])
        self.note(*say_taken([(record.pair.name, record.meaning) for record in masks.records], "mask"))
        self.note(*masks.describe_annotated(self.ignore))
        pool = ImagePool.divided(self._store, images, held, self.normalization)
        self.channel_names, self.pixel_size_um = pool.channel_names, pool.pixel_size_um
        self._take(pool, masks)

    def _hold_out(self, found: Found, images: Sequence[ImageRecord]) -> list[bool]:
        """Return whether each image is one to validate on."""
        uses = self._divide("images", first_uses(found, images, self.folds, self.seed), named=found.named)
        return [use == (VAL if self.folds is None else str(self.fold)) for use in uses]

    def _take(self, pool: ImagePool, masks: Masks) -> None:
        """Keep what was read."""
        self._loaded = pool, masks
        self.channels, self.normalization = pool.channels, pool.normalization

    def prepare_for(
        self,
        channels: int,
        classes: int,
        strides: int | Sequence[int],
        *,
        class_names: Sequence[str] = (),
        distance_maps: bool = False,
        weighted: bool = False,
    ) -> None:
        """Fit the data to a model, after `setup` and before the loaders are made.

        Args:
            channels: Channels that the model takes.
            classes: Number of mask values, the background included.
            strides: Number of pixels that crops have to be a multiple of, or one for each axis.
            class_names: Names of the mask values, that of the background first; by default those that were drawn.
            distance_maps: Whether each crop comes with its distance map, for a model for instances.
            weighted: Whether each crop comes with the weights of its pixels.

        Raises:
            ConfigError: The crop is not a multiple of the strides.
            DataError: The images have other channels, masks have values that are no class, or no object is drawn whole.
        """
        pool, masks = self.pool, self.targets
        self.fit_crop(strides, pool.sizes(range(len(pool.records))))
        pool.check_channels(channels)
        masks, notes = masks.for_model(classes, class_names[1:])
        self.note(*notes)
        check_labels(masks.records, classes)
        self.classes, self._distance_maps = classes, distance_maps
        if distance_maps:
            check_whole([masks.records[i] for i in pool.train])
            plain = describe_plain({masks.records[i].pair.name: masks.records[i].numbered for i in pool.train})
            self.note(*([plain] if plain else []))
        pool = pool.with_channels(channels).with_neighbours(self.planes)
        self._take(pool, masks)
        self.note(*([] if pool.neighbours is None else pool.neighbours.remarks), *self._visits()[1])
        check_border_weight(self.border_weight, weighted=weighted)
        if not weighted:
            self._weights = None
        elif self._weights is None:
            spacings = {i: pool.records[i].spacing for i in pool.train}
            self._weights = WeightMaps(masks, pool.train, classes, self.border_weight, spacings)

    def label_images(self, classes: Sequence[str]) -> None:
        """Read the labelled images, after `prepare_for`; once for the same classes and channels.

        Images with masks are trained or validated on as their masks are. Of the others the same fraction (or fold) is
        set aside; none where the images to validate on are given.

        Args:
            classes: The image classes.

        Raises:
            UnetkitError: There is no list of labels, or it or its images cannot be used.
        """
        if self.image_labels is None:
            raise ConfigError("model.image_classes has no meaning without labels.", "Give them (data.image_labels).")
        if self._labelled_for == (tuple(classes), self.channels):
            return
        files = [record.pair.image.resolve() for record in self.pool.records]
        train, val = ({files[index] for index in indices} for indices in (self.pool.train, self.pool.val))
        fraction = 0.0 if self._places.names_validation else float(self.val)
        self.labelled = load_labelled(
            Path(self.image_labels),
            classes,
            train,
            val,
            part=(self.fold, self.folds) if self.folds is not None and isinstance(self.fold, int) else fraction,
            seed=self.seed,
            size=self.crop_size,
            channels=self.channels,
            normalization=self.normalization,
            divide=lambda found: self._divide("labelled", found),
        )
        self._labelled_for = tuple(classes), self.channels

    def train_dataloader(self) -> CropLoader:
        """Return the loader of crops; each item is an `Item`, collated along a new first axis."""
        crops, labelled, how = self._crops(), self.labelled, (self.augmentation, self.seed)
        return CropLoader(
            crops if labelled is None else LabelledCrops(crops, VariedImages(labelled, len(crops), *how)),
            batch_size=self.batch_size,
            sampler=CropSampler(len(crops), *self._processes()),
            **self._loading(self.workers),
        )

    def val_dataloader(self) -> DataLoader[NamedItem] | list[Any]:
        """Return the loader of whole images, one `NamedItem` at a time and not collated; [] without validation.

        Several processes divide the images. Where there are fewer images than processes each takes all of them, which
        leaves the mean scores as they are.
        """
        if not self.pool.val:
            return []
        return DataLoader(
            self.val_items(),
            sampler=divide(range(len(self.pool.val)), *self._processes()),
            batch_size=1,
            collate_fn=take_single,
            **self._loading(min(self.workers, 1)),
        )

    def val_items(self) -> WholeImageDataset:
        """Return the validation images, or those to train on where none are set aside."""
        return WholeImageDataset(self.pool, self.targets, self.pool.to_look_at, self.classes)

    def example_image(self) -> Path:
        """Return an image to try a model on: one to validate on if there are any."""
        if self.fold == "all":
            return find_divided(self._places, self.folds, self.seed, self.dims)[0].train[0].image
        return self.pool.records[self.pool.to_look_at[0]].pair.image

    def example_mask(self) -> Path | None:
        """Return the file of the true mask of `example_image`; None of a part of a stack, or for annotations."""
        if self.fold == "all":
            return None
        pair = self.pool.records[self.pool.to_look_at[0]].pair
        alone = pair.image_plane is None and pair.mask_plane is None and not pair.part
        return pair.mask if alone and not pair.classes else None

    def describe_images(self) -> TrainingImages:
        """Describe the pixels of the training images."""
        return self.pool.describe_images()

    def val_digests(self) -> set[str]:
        """Return the hashes of the images to validate on."""
        return {self.pool.records[index].digest for index in self.pool.val}

    def smallest_object(self) -> SmallestObject:
        """Return the size of the smallest object in the training masks; unknown where there are several classes."""
        return self.targets.smallest_object(self.pool.train if self.classes == 2 else [])

    def describe(self) -> dict[str, Any]:
        """Summarise the data as plain values for JSON: counts, kinds, settings."""
        pool = self.pool
        return {
            "train": Path(self.train).name,  # not its folder: models are passed on
            "train_images": len(pool.train),
            "val_images": [pool.records[index].pair.name for index in pool.val],
            **({} if self.folds is None else {"folds": self.folds, "fold": self.fold}),
            **pool.describe(),
            **({} if self.ignore is None else {"ignore": self.ignore}),
            **({"annotated": round(self.targets.annotated_share(pool.train), 6)} if self.targets.partly else {}),
            "crop": self.crop if self.dims == 2 else list(self.crop_size),
            "batch_size": self.batch_size,
            "crops_per_epoch": self._crops_per_epoch(),
            "sampling": self.sampling,
            **({"balance_looks": self.balance_looks} if self.balance_looks else {}),
            "foreground_share": self.foreground_share,
            "augment": self.augment,
            "seed": self.seed,
        }

    def covering(self) -> float:
        """Return how many crops cover the annotated part of the images to train on once."""
        return sum(self.targets.areas(self.pool.train)) / self.crop_area

    def validation_work(self) -> float:
        """Return the pixels to validate on, as a multiple of those of an epoch."""
        return sum(self.pool.areas(self.pool.val)) / (self._crops_per_epoch() * self.crop_area)

    def _visits(self) -> tuple[list[int], list[str]]:
        """Return the images of one pass, some several times, and a note on their looks, if any."""
        return plan_balanced(self.pool, self.targets, self.crop_area, self.sampling, self.balance_looks)

    def _crops(self) -> CropDataset:
        """Return the crops of an epoch."""
        return CropDataset(
            self.pool,
            self.targets,
            self._visits()[0],
            crop=self.crop_size,
            crops_per_epoch=self._crops_per_epoch(),
            augmentation=self.augmentation,
            classes=self.classes,
            foreground_share=self.foreground_share,
            seed=self.seed,
            distance_maps=self._distance_maps,
            weights=self._weights,
        )

    def _crops_per_epoch(self) -> int:
        areas = self.targets.areas(self.pool.train)
        return self.crops_per_epoch or count_crops(areas, self.crop_area, self.batch_size * self._processes()[1])
