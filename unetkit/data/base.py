"""TrainingData: settings that all training data share, the division of the images, and notes on them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from unetkit.data.kept import SPLIT_REMEDY, KeptSplit, Use
from unetkit.data.transforms import OF_SINGLE_PLANES, OF_VOLUMES, resolve_augmentation
from unetkit.data.workers import default_workers, start_worker
from unetkit.foundation.errors import ConfigError, DataError
from unetkit.inference.tiling.grid import check_multiple, round_up
from unetkit.models.normalization import Normalization
from unetkit.models.spec import TrainingImages

DEFAULT_CROP: dict[int, int] = {2: 256, 3: 64}
"""Side of crops of planes and of volumes, in pixels, where none is given: a batch of 8 takes about the same memory."""


class TrainingData(LightningDataModule):
    """Data to train on: the network sees squares of `crop` pixels, or boxes of volumes.

    Args:
        crop: Side of the squares, in pixels; of boxes also one number for each axis (z, y, x). None for `DEFAULT_CROP`.
        batch_size: Squares in a batch, on each device.
        augment: Level of augmentation.
        augment_options: Single parameters of the augmentation, over those of the level.
        normalization: How raw pixels become network input.
        workers: Processes that prepare the squares; None for as many as suit the machine.
        seed: Decides all that is random.

    Attributes:
        channels: Channels of the images, from `setup` on.
        channel_names: Their names, if all images agree on them.
        pixel_size_um: Size of a pixel (y, x), or a voxel (z, y, x), in micrometres, if all images agree on it.
        dims: Axes of what the network sees: 2 for planes, 3 for volumes; see `see`.
        planes: Neighbouring planes that a network of planes sees.
        crop_size: Pixels of a crop along each of these axes, once `fit_crop` has limited it to the images.
    """

    def __init__(
        self,
        crop: int | list[int] | None,
        batch_size: int,
        augment: str,
        augment_options: dict[str, Any] | None,
        normalization: Normalization,
        workers: int | None,
        seed: int,
    ) -> None:
        super().__init__()
        self._open_crop = crop is None
        self.crop = DEFAULT_CROP[2] if crop is None else crop
        self.batch_size = batch_size
        self.augment = augment
        self._augment_options = augment_options or {}
        self.augmentation = resolve_augmentation(augment, augment_options)
        self.normalization = normalization
        self.workers = default_workers() if workers is None else workers
        self.seed = seed
        self.channels = 0
        self.channel_names: tuple[str, ...] = ()
        self.pixel_size_um: tuple[float, ...] | None = None
        self._kept: dict[str, KeptSplit] = {}
        self._split: dict[str, tuple[Use, ...]] = {}
        self._noted: dict[str, bool] = {}
        self.dims: Literal[2, 3] = 2
        self.planes = 1
        self.check_least(batch_size=1, workers=0, seed=0)
        if min([self.crop] if isinstance(self.crop, int) else self.crop, default=0) < 1:
            raise ConfigError(f"data.crop: {crop} is not possible.", "Use 1 or more.")
        self.crop_size = (self.crop, self.crop) if isinstance(self.crop, int) else tuple(self.crop)

    def see(self, dims: Literal[2, 3], planes: int = 1) -> None:
        """Take what the network sees at once: planes, or volumes; called before `setup`.

        Args:
            dims: 2 for planes, 3 for volumes.
            planes: Neighbouring planes of a stack that a network of planes sees.

        Raises:
            ConfigError: A setting does not fit that.
        """
        self.dims, self.planes = dims, planes
        self.crop = DEFAULT_CROP[dims] if self._open_crop else self.crop
        self.crop_size = self._sides()
        of_volumes = next((name for name in self._augment_options if name in OF_VOLUMES), None)
        if dims == 2 and planes == 1 and of_volumes is not None:
            raise ConfigError(
                f"The augmentation option {of_volumes} has no meaning for single planes.",
                "Leave it out, or train on volumes (model.dims: 3) or neighbouring planes (model.planes).",
            )
        of_planes = next((name for name in self._augment_options if name in OF_SINGLE_PLANES), None)
        if (dims == 3 or planes > 1) and of_planes is not None:
            raise ConfigError(
                f"The augmentation option {of_planes} has a meaning only for single planes.", "Leave it out."
            )

    def _sides(self) -> tuple[int, ...]:
        """Return the sides of a crop along each axis, as they are given."""
        if isinstance(self.crop, int):
            return (self.crop,) * self.dims
        if len(self.crop) == 3 == self.dims:
            return tuple(self.crop)
        if self.dims == 2:
            raise ConfigError(f"data.crop: {self.crop} is not possible for planes.", "Give one number.")
        raise ConfigError(
            f"data.crop: {self.crop} is not possible for volumes.", "Give one number, or three (z, y, x)."
        )

    def fit_crop(self, strides: int | Sequence[int], sizes: Sequence[Sequence[int]]) -> None:
        """Check the crop against the strides of the network; of volumes, one number is limited to the largest volume.

        Args:
            strides: Number of pixels that crops have to be a multiple of, or one for each axis.
            sizes: Sizes of the images.

        Raises:
            ConfigError: The crop is not a multiple of the strides.
        """
        crop = self._sides()
        strides = [strides] * self.dims if isinstance(strides, int) else strides
        if self.dims == 3 and isinstance(self.crop, int):
            longest = [max(lengths) for lengths in zip(*sizes, strict=True)]
            crop = tuple(
                min(side, round_up(length, stride)) for side, length, stride in zip(crop, longest, strides, strict=True)
            )
        for side, stride in zip(crop, strides, strict=True):
            check_multiple("crop", side, stride)
        self.crop_size = crop

    @property
    def image_size(self) -> int | tuple[int, ...]:
        """Size to which whole images are resized: the side of a square, or pixels along each axis of a volume."""
        return self.crop_size[0] if self.dims == 2 else self.crop_size

    @property
    def crop_area(self) -> int:
        """Pixels of a crop."""
        return prod(self.crop_size)

    def check_least(self, **least: int) -> None:
        """Raise a ConfigError if a setting is below the least value that is possible."""
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ConfigError(f"data.{name}: {value} is not possible.", f"Use {bound} or more.")

    def check_shares(self, *names: str) -> None:
        """Raise a ConfigError if a setting that is a share is not 0 to 1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"data.{name}: {getattr(self, name):g} is not possible.", "Use 0 to 1.")

    def note(self, *sentences: str) -> None:
        """Add notes on the images, each sentence once."""
        for sentence in sentences:
            self._noted.setdefault(sentence, False)

    def take_notes(self) -> list[str]:
        """Return the notes on the images since the last call, as sentences for the user."""
        new = [sentence for sentence, taken in self._noted.items() if not taken]
        self._noted = dict.fromkeys(self._noted, True)
        return new

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes on the images so far."""
        return tuple(self._noted)

    def keep_split(self, split: dict[str, Any]) -> None:
        """Divide the images as in a run that is resumed; called before they are read.

        Args:
            split: Result of `state_dict` of the data of that run.
        """
        self._kept = {name: KeptSplit(tuple(Use(*use) for use in uses)) for name, uses in split.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return how the images are divided: name, hash and use of each, as plain values for a checkpoint."""
        return {"split": {name: [list(use) for use in uses] for name, uses in self._split.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that training goes on with the images of the checkpoint, where they were not divided by it.

        Raises:
            DataError: They are divided in another way.
        """
        fits = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if fits and not self._kept and state_dict != self.state_dict():
            raise DataError(
                "The images are not those of the checkpoint, or not divided as they were there.", SPLIT_REMEDY
            )

    def _divide(self, kind: str, found: Sequence[Use], *, named: bool = False) -> list[str]:
        """Return the use of each image: as in the run that is resumed, else as found; note changes.

        Args:
            kind: Name of this group of images in the checkpoint.
            found: The images, divided as if the run were new.
            named: Whether the images to validate on are named, not chosen.
        """
        uses = [image.use for image in found]
        if kind in self._kept:
            uses, lines = self._kept[kind].apply(found, named=named)
            self.note(*lines)
        self._split[kind] = tuple(image._replace(use=use) for image, use in zip(found, uses, strict=True))
        return uses

    def test_dataloader(self) -> Any:
        """Return the loader of the images to validate on, for Lightning's `Trainer.test`.

        Raises:
            DataError: There are none.
        """
        loader = self.val_dataloader()
        if isinstance(loader, list):
            raise DataError("No images are set aside.", "Give some (val).")
        return loader

    def predict_dataloader(self) -> Any:
        """Return the same as `test_dataloader`, for Lightning's `Trainer.predict`."""
        return self.test_dataloader()

    def example_image(self) -> Path:
        """Return an image to try a model on: one to validate on if there are any."""
        raise NotImplementedError

    def example_mask(self) -> Path | None:
        """Return the file of the true mask of `example_image`; None if there is none of its own."""
        return None

    def describe_images(self) -> TrainingImages:
        """Describe the pixels of the training images."""
        raise NotImplementedError

    def val_digests(self) -> set[str]:
        """Return the hashes of the images with masks to validate on, see `hash_pixels`."""
        return set()

    def validation_work(self) -> float:
        """Return the pixels to validate on, as a multiple of those of an epoch; 0 where they hardly count."""
        return 0.0

    def describe(self) -> dict[str, Any]:
        """Summarise the data as plain values for JSON: counts, kinds, settings."""
        raise NotImplementedError

    def _loading(self, workers: int) -> dict[str, Any]:
        """Return the arguments of a loader for its worker processes."""
        return {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "pin_memory": torch.cuda.is_available(),
            "worker_init_fn": start_worker,
        }

    def _processes(self) -> tuple[int, int]:
        """Return the number of this process, from 0, and how many train together."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
