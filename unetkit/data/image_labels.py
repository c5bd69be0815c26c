"""Labels of whole images: read from a CSV, the images resized to a square (volumes to a box) and kept in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from unetkit.data.kept import TRAIN, VAL, Use, found_uses
from unetkit.data.listing import read_columns
from unetkit.data.loading import hash_pixels
from unetkit.data.statistics import common_channels, draw_sample, normalizing_values, to_channels
from unetkit.data.volumes import Spacing
from unetkit.foundation.errors import DataError
from unetkit.foundation.threads import map_in_threads
from unetkit.io.base.inner import file_of
from unetkit.io.files import open_image
from unetkit.io.views.thumbnail import read_small
from unetkit.io.views.volume import VolumeSource
from unetkit.models.normalization import Normalization
from unetkit.models.sampling import ValidSource, sample_pixels
from unetkit.models.statistics import Statistics, measure_range, measure_statistics


class LabelledItem(TypedDict):
    """A whole image and its label.

    Attributes:
        whole: (C, h, w) float32, or (C, d, h, w) of a volume, in the units of the file.
        whole_center: (C,) float32: network input is `(whole - whole_center) / whole_scale`.
        whole_scale: (C,) float32.
        label: int64: for one class 1 if it is there, else 0; for several the number of the one that is there.
    """

    whole: Tensor
    whole_center: Tensor
    whole_scale: Tensor
    label: Tensor


@dataclass(frozen=True)
class LabelledImage:
    """An image of the list, as it is kept.

    Attributes:
        path: Its file.
        label: See `LabelledItem`.
        pixels: (channels, h, w) or (channels, d, h, w) in the dtype of the file.
        sample: (channels, n) a fixed sample of the pixels of the whole image.
        statistics: Normalisation values of the whole image, (channels,).
        range: Ends of the range that augmentation works in, (channels,).
        spacing: Size of a voxel of a volume as it is kept, None where it is not known.
        foreground: None: there are no masks.
    """

    path: Path
    label: int
    pixels: NDArray[Any]
    sample: NDArray[Any]
    statistics: Statistics
    range: Statistics

    spacing: Spacing = None
    foreground: None = None

    @property
    def dtype(self) -> str:
        """Type of the pixels."""
        return str(self.pixels.dtype)


def read_labels(path: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Read a CSV with the columns image and label; paths are relative to it.

    Args:
        path: The CSV.
        classes: Names of the image classes: of one, labels are 1 (it is there) and 0; of several, labels are names.

    Raises:
        DataError: It cannot be read, a file is missing or listed twice, a label is no class.
    """
    known = ["0", "1"] if len(classes) == 1 else list(classes)
    labels: dict[Path, int] = {}
    for line, image, label in _read_rows(path):
        file_path = path.parent / image
        if file_path == path.parent or not file_of(file_path).exists():
            raise DataError(f"{file_path} (line {line} of {path}) is missing.", "Correct the path.")
        if file_path in labels:
            raise DataError(f"{file_path} is listed twice in {path}.", "Keep one of the lines.")
        if label not in known:
            raise DataError(
                f"The label '{label}' (line {line} of {path}) is not possible.", f"Use {' or '.join(known)}."
            )
        labels[file_path] = known.index(label)
    return list(labels.items())


def first_image(path: Path) -> Path:
    """Return the first image that a CSV as for `read_labels` lists.

    Raises:
        DataError: It cannot be read, or lists none.
    """
    return path.parent / _read_rows(path)[0][1]


def _read_rows(path: Path) -> list[tuple[int, str, str]]:
    """Return line number, image and label of each row."""
    remedy = "Begin it with the line 'image,label', then a path, relative to the CSV, and a label on each line."
    header, rows = read_columns(path, ("image", "label"), remedy)
    if not {"image", "label"} <= set(header):
        raise DataError(f"{path} has not the columns image and label.", remedy)
    if not rows:
        raise DataError(f"{path} lists no images.", remedy)
    return rows


def check_classes(images: Sequence[LabelledImage], classes: Sequence[str], path: Path, use: str) -> None:
    """Raise a DataError unless every label occurs among the images for a use, such as "train"."""
    known = ["0", "1"] if len(classes) == 1 else list(classes)
    missing = sorted(set(range(len(known))) - {image.label for image in images})
    if missing:
        raise DataError(
            f"No image to {use} on has the label '{known[missing[0]]}' in {path}.",
            "Label more images, or set a smaller or larger part of them aside (data.val).",
        )


@dataclass(frozen=True)
class LabelledImages:
    """The labelled images.

    Attributes:
        train: Images to train on.
        val: Images to validate on.
        channels: Channels that the network takes; grey images are repeated.
        normalization: Its center and scale are used for scope "dataset"; else each image's own.
    """

    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    channels: int
    normalization: Normalization

    def item(self, image: LabelledImage, pixels: NDArray[np.float32]) -> LabelledItem:
        """Put an image, or a variation of its pixels, into tensors."""
        center, scale = normalizing_values(image.statistics, self.normalization)
        return {
            "whole": torch.from_numpy(to_channels(pixels, self.channels)),
            "whole_center": torch.from_numpy(to_channels(center, self.channels).copy()),
            "whole_scale": torch.from_numpy(to_channels(scale, self.channels).copy()),
            "label": torch.tensor(image.label),
        }

    def val_batches(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Yield batches of the images to validate on: `LabelledItem`s, collated along a new first axis."""
        for start in range(0, len(self.val), size):
            images = self.val[start : start + size]
            yield default_collate([self.item(image, image.pixels.astype(np.float32)) for image in images])


def load_labelled(
    path: Path,
    classes: Sequence[str],
    train: Set[Path],
    val: Set[Path],
    *,
    part: float | tuple[int, int],
    seed: int,
    size: tuple[int, ...],
    channels: int | None,
    normalization: Normalization,
    divide: Callable[[Sequence[Use]], list[str]] = found_uses,
) -> LabelledImages:
    """Read all images, resized to one size, and set some aside.

    Args:
        path: The CSV, see `read_labels`.
        classes: Names of the image classes.
        train: Files, resolved, to train on.
        val: Files, resolved, to validate on.
        part: What is set aside of all others, of each label by itself: a share, 0 to 1, or a fold and the number of
            folds.
        seed: Another seed sets others aside.
        size: Pixels along each axis: (h, w), or (d, h, w) of volumes.
        channels: Channels that the network takes; None for as many as the images have.
        normalization: How to measure the images.
        divide: Takes the images that are chosen, each with its use, and returns the uses that they are to have.

    Raises:
        ImageError: A file that cannot be read.
        DataError: The CSV cannot be used, an image has several planes or other channels than 1 or `channels`, copies of
            an image have different labels, or none to train on shows one of the classes.
    """
    labels = read_labels(path, classes)
    images = map_in_threads(lambda entry: _load(entry[0], entry[1], size, normalization), labels)
    channels = channels or common_channels({image.pixels.shape[0]: image.path.name for image in images})
    unfit = [image for image in images if image.pixels.shape[0] not in (1, channels)]
    if unfit:
        raise DataError(
            f"{unfit[0].path} has {unfit[0].pixels.shape[0]} channels.", f"Label images with 1 or {channels} channels."
        )
    _check_copies(images, path)
    others = [image for image in images if image.path.resolve() not in train | val]
    aside = val | _divide(others, part, seed, path.parent, divide)
    kept = tuple(image for image in images if image.path.resolve() not in aside)
    check_classes(kept, classes, path, "train")
    held_out = tuple(image for image in images if image.path.resolve() in aside)
    return LabelledImages(kept, held_out, channels, normalization)


def _check_copies(images: Sequence[LabelledImage], path: Path) -> None:
    """Raise a DataError if images with the same pixels have different labels: one of them is wrong."""
    first: dict[str, LabelledImage] = {}
    for image in images:
        other = first.setdefault(hash_pixels(image.pixels), image)
        if other.label != image.label:
            raise DataError(
                f"{other.path} and {image.path} are the same image, but {path} gives them different labels.",
                "Correct one of the labels, or leave both images out.",
            )


def _divide(
    images: Sequence[LabelledImage],
    part: float | tuple[int, int],
    seed: int,
    root: Path,
    divide: Callable[[Sequence[Use]], list[str]],
) -> set[Path]:
    """Choose the images to set aside, names being relative to `root`, and have the choice looked over."""
    uses = dict.fromkeys((image.path.resolve() for image in images), TRAIN)
    if isinstance(part, tuple):
        for fold in range(part[1]):
            uses |= dict.fromkeys(_set_aside(images, (fold, part[1]), seed), str(fold))
    else:
        uses |= dict.fromkeys(_set_aside(images, part, seed), VAL)
    found = [
        Use(os.path.relpath(image.path, root), hash_pixels(image.pixels), uses[image.path.resolve()])
        for image in images
    ]
    held = str(part[0]) if isinstance(part, tuple) else VAL
    return {image.path.resolve() for image, use in zip(images, divide(found), strict=True) if use == held}


def _set_aside(images: Sequence[LabelledImage], part: float | tuple[int, int], seed: int) -> set[Path]:
    """Choose images, all copies of one or none; of a share above 0 at least one for each label that has several."""
    rng = np.random.default_rng(seed)
    chosen: set[Path] = set()
    for label in sorted({image.label for image in images}):
        copies: dict[str, list[Path]] = {}
        for image in images:
            if image.label == label:
                copies.setdefault(hash_pixels(image.pixels), []).append(image.path.resolve())
        different = list(copies.values())
        order = rng.permutation(len(different))
        if isinstance(part, tuple):
            held = np.array_split(order, part[1])[part[0]]
        else:
            held = order[: min(max(round(part * len(different)), part > 0), len(different) - 1)]
        chosen |= {file for index in held for file in different[index]}
    return chosen


def _load(file: Path, label: int, size: tuple[int, ...], normalization: Normalization) -> LabelledImage:
    """Read and measure one image."""
    opened = open_image(file)
    with closing(ValidSource(opened if len(size) == 2 else VolumeSource(opened))) as source:
        if source.info.planes > 1:
            what = "plane" if len(size) == 2 else "volume"
            raise DataError(f"{file} has {source.info.planes} {what}s.", f"Label images of one {what}.")
        values = sample_pixels(source, 0)
        voxel = source.info.pixel_size_um if len(size) == 3 else None
        return LabelledImage(
            path=file,
            label=label,
            pixels=read_small(source, 0, size),
            spacing=None if voxel is None else tuple(np.array(voxel) * source.info.size / np.array(size)),
            sample=draw_sample(values),
            statistics=measure_statistics(values, normalization),
            range=measure_range(values, normalization),
        )
