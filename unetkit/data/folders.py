"""Folders of images and masks: which of them holds what, and which of their files belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from unetkit.annotations.formats import has_annotation_suffix
from unetkit.data.drawn_files import find_drawn, is_shared, pair_shared
from unetkit.data.listing import count_of, some_of
from unetkit.data.names import KNOWN_MASK_NAMES, Pairs, image_names, pair_names, split_folder
from unetkit.foundation.errors import DataError, ImageError
from unetkit.io.files import find_images, image_stem
from unetkit.io.foreign import CELLPOSE, CELLPOSE_REMEDY
from unetkit.io.formats import is_folder

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "imagestr", "raw")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "labelstr", "annotations", "segmentations", "gt", "groundtruth"),
    "ground_truth",
)
"""Names (lower case) of the folders of images and masks in a folder that has both."""

CSV_REMEDY = "list the pairs in a CSV with the columns image and mask, and give that"

LAYOUT_REMEDY = "Put the images in {0}/images and their masks, with the same names, in {0}/masks"


def pair_folders(
    images: Path, masks: Path, names_of_image: Callable[[Path], list[str]] = image_names
) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair the images in two folders by their names; see `pair_names`.

    Raises:
        DataError: Two files stand for the same.
        ImageError: A folder has no images.
    """
    return pair_names(find_images(images), find_images(masks), names_of_image)


def pair_files(
    images: Sequence[Path], masks: Sequence[Path], names_of_image: Callable[[Path], list[str]] = image_names
) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair images with masks by their names, or with the one annotation file that is for many images.

    Args:
        images: The images.
        masks: The masks, or annotation files.
        names_of_image: The names that an image may have, the likeliest first.

    Returns:
        The pairs, the images without a mask, and the masks without an image; see `pair_names`.

    Raises:
        DataError: Two files stand for the same, or there are more such annotation files than one.
    """
    shared = [path for path in masks if has_annotation_suffix(path) and is_shared(path)]
    if len(shared) == len(masks) == 1:
        return pair_shared(images, shared[0], names_of_image)
    if shared:
        raise DataError(
            f"{shared[0].parent} has {len(masks)} annotation files, and {shared[0].name} is for many images.",
            "Give that file itself, or a folder with one annotation file for each image.",
        )
    return pair_names(images, masks, names_of_image)


def find_masks(folder: Path) -> list[Path]:
    """Return the masks in a folder; where there are none, its annotation files.

    Raises:
        ImageError: The folder has neither.
    """
    try:
        return find_images(folder)
    except ImageError:
        drawn = find_drawn(folder) if folder.is_dir() else []
        if not drawn:
            raise
        return drawn


def pair_in_folders(images: Path, masks: Path | None) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair the files of what is given to train on, see `find_pairs`; returns what `pair_files` does."""
    image_folder, mask_folder = _folders(images, masks)
    if not is_folder(mask_folder):
        return pair_files(find_images(image_folder), [mask_folder])
    if image_folder.samefile(mask_folder):
        found, beside = split_folder(find_images(image_folder))
        return pair_files(found, beside or find_drawn(image_folder))
    return pair_files(find_images(image_folder), find_masks(mask_folder))


def find_unmasked_files(folder: Path) -> list[Path]:
    """Return the images of a folder, or of the folder of images in it; masks that lie beside them are left out."""
    return split_folder(find_images(_subfolder(folder, IMAGE_FOLDERS) or folder))[0]


def find_unpaired(images: Path, masks: Path | None = None) -> list[Path]:
    """Return the images of folders without a mask, and the masks without an image."""
    if not is_folder(images):
        return []
    _, without_mask, without_image = pair_in_folders(images, masks)
    return [*without_mask, *without_image]


def _folders(images: Path, masks: Path | None) -> tuple[Path, Path]:
    """Return the folder of the images and the one of the masks, which may be the same; or a file for all images."""
    of_images, of_masks = (_subfolder(images, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS))
    if masks is not None:
        if not is_folder(masks) and not is_shared(masks):
            raise DataError(
                f"{images} is a folder, but {masks} is a file.",
                "Give the folder of the masks, or a COCO file for all images.",
            )
        return (images if of_images is None or masks.samefile(images) else of_images), masks
    if of_images is not None and of_masks is not None:
        return of_images, of_masks
    if of_images is not None and of_masks is None and find_drawn(of_images):
        return of_images, of_images
    if of_images is None and of_masks is None and _holds_both(images):
        return images, images
    pickled = next(iter(sorted((of_images or images).glob(f"*{CELLPOSE}"))), None)
    if of_masks is None and pickled is not None:
        raise DataError(
            f"{images} has no masks but {pickled.name}, which is a pickle: it can run code when it is read.",
            CELLPOSE_REMEDY,
        )
    missing = [name for name, found in (("images", of_images), ("masks", of_masks)) if found is None]
    raise DataError(
        f"{images} has no folder {' and no folder '.join(missing)}.",
        f"{LAYOUT_REMEDY.format(images)}, or give the folder of the masks (data.masks).",
    )


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the folder in a folder that has the first of some names, upper or lower case."""
    found = {path.name.lower(): path for path in folder.iterdir() if is_folder(path)}
    return next((found[name] for name in names if name in found), None)


def _holds_both(folder: Path) -> bool:
    """Whether a folder holds images and masks side by side, as their names say, or annotation files beside images."""
    try:
        return bool(split_folder(find_images(folder))[1] or find_drawn(folder))
    except ImageError:  # it has no images at all
        return False


def check_paired(without_mask: Sequence[Path], without_image: Sequence[Path], images: Path, masks: Path | None) -> None:
    """Raise a DataError if images or masks are left."""
    image_folder, mask_folder = _folders(images, masks)
    skip = "leave them out (--data.unpaired skip; --unpaired skip in `plan`)"
    if without_mask:
        names = [path.name for path in without_mask]
        left = f" Masks without an image: {some_of([path.name for path in without_image])}." if without_image else ""
        raise DataError(
            f"{count_of(names, 'image has', 'images have')} no mask in {mask_folder}: {some_of(names)}.{left}",
            _channel_remedy(without_mask)
            or f"Add masks with the same names or {KNOWN_MASK_NAMES}; or {CSV_REMEDY}; or {skip}.",
        )
    if without_image:
        names = [path.name for path in without_image]
        raise DataError(
            f"{count_of(names, 'mask has', 'masks have')} no image in {image_folder}: {some_of(names)}.",
            f"Add images with the same names; or {CSV_REMEDY}; or {skip}.",
        )


def _channel_remedy(images: Sequence[Path]) -> str:
    """Return what to do about images that are further channels, as nnU-Net numbers them; empty if they are none."""
    if all(re.search(r"_000[1-9]$", image_stem(path)) for path in images):
        return (
            "They look like further channels of nnU-Net: put the channels of an image into one file (C, height, width)."
        )
    return ""
