"""Find images and their masks: in folders, in stacks of pages, in a CSV list. Only headers are read here."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unetkit.data.names import KNOWN, Pairs, pair_names, split_folder
from unetkit.foundation.errors import DataError, ImageError
from unetkit.foundation.names import check_local
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import find_images, image_stem, open_image
from unetkit.io.formats import is_folder
from unetkit.io.masks.meaning import read_mask_info

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "imagestr", "raw")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "labelstr", "annotations", "segmentations", "gt", "groundtruth"),
    "ground_truth",
)
"""Names (lower case) of the folders of images and masks in a folder that has both."""

Unpaired = Literal["stop", "skip"]
"""What to do with images without a mask and masks without an image: an error, or leave them out."""

CSV_WAY = "list the pairs in a CSV with the columns image and mask, and give that"

LAYOUT = "Put the images in {0}/images and their masks, with the same names, in {0}/masks"


@dataclass(frozen=True)
class Pair:
    """One plane to train on or to score.

    Attributes:
        name: Stem of the image file; of a stack with the page, as in "stem[12]".
        image: File of the image.
        mask: File of the mask; None where images are trained on without masks.
        image_plane: Plane of the image in its file; None if the file is one plane.
        mask_plane: Plane of the mask in its file; None if the file is one plane.
        image_axes: Axes to open the image with, where its own do not fit its mask; see `open_image`.
    """

    name: str
    image: Path
    mask: Path | None
    image_plane: int | None = None
    mask_plane: int | None = None
    image_axes: str | None = None


def find_pairs(
    images: Path, masks: Path | None = None, pages: str | None = None, unpaired: Unpaired = "stop"
) -> list[Pair]:
    """Find the pairs of image and mask, and check that their sizes agree.

    Args:
        images: A folder with `images` and `masks` in it, or one that holds both, whose files pair by name (see
            `unetkit.data.names`); or a folder of images, an image or a stack, with `masks` given; or a CSV with the
            columns `image` and `mask`, whose paths are relative to it.
        masks: Folder, file or stack of the masks.
        pages: Pages of a stack to use, counted from 0, both ends included: "0-20,24". None for all.
        unpaired: What to do with images without a mask and masks without an image in folders.

    Returns:
        Pairs in the order of names and planes. An image of several planes (Z, T, pages) with a mask of as many gives a
        pair for each. With a mask of one plane, axes of the image that the file does not name are its channels.

    Raises:
        DataError: Paths that do not exist, images and masks that do not pair or differ in size, wrong pages.
        ImageError: A file that cannot be read.
    """
    check_exists(images)
    if masks is not None:
        check_exists(masks)
    _check_stack(images, pages)
    if is_folder(images):
        files, without_mask, without_image = _pair_folders(images, masks)
        if unpaired == "stop" or not files:
            _check_paired(without_mask, without_image, images, masks)
    elif images.suffix.lower() == ".csv":
        files = _read_list(images)
    elif masks is None or is_folder(masks):
        raise DataError(f"{images} is one file, but its mask is not given.", "Give the file of its masks (data.masks).")
    else:
        files = [(image_stem(images), images, masks)]
    own = [image.name for _, image, mask in files if image == mask]
    if own:
        raise DataError(f"{own[0]} is given as an image and as its own mask.", "Give the file of its mask.")
    pairs: list[Pair] = []
    sizes: list[str] = []
    for name, image, mask in files:
        found, problem = _match_planes(name, image, mask)
        pairs += found
        sizes += [problem] if problem else []
    if sizes:
        raise DataError(
            f"{_count(sizes, 'mask differs', 'masks differ')} in size from the image: {_some(sizes)}.",
            "Give masks of the same height and width as their images.",
        )
    return pairs if pages is None else [pairs[page] for page in parse_pages(pages, len(pairs), images)]


def find_unmasked(images: Path, pages: str | None = None) -> list[Pair]:
    """Find images to train on without masks.

    Args:
        images: A folder of images, a folder with a folder `images` in it, an image, or a stack.
        pages: Pages of a stack to use, as for `find_pairs`.

    Returns:
        An entry without a mask for each plane, in the order of names and planes.

    Raises:
        DataError: The path does not exist, or wrong pages.
        ImageError: A file that cannot be read, or a folder without images.
    """
    check_exists(images)
    _check_stack(images, pages)
    files = [images]
    if is_folder(images):
        files, _ = split_folder(find_images(_subfolder(images, IMAGE_FOLDERS) or images))
    planes: list[Pair] = []
    for path in files:
        name, count = image_stem(path), _read_info(path).planes
        planes += (
            [Pair(name, path, None)] if count == 1 else [Pair(f"{name}[{i}]", path, None, i) for i in range(count)]
        )
    return planes if pages is None else [planes[page] for page in parse_pages(pages, len(planes), images)]


def parse_pages(pages: str, count: int, stack: Path) -> list[int]:
    """Return the pages that "0-20,24" stands for, each once, in the order given.

    Raises:
        DataError: The text cannot be read, or a page lies outside the stack.
    """
    remedy = f"{stack} has the pages 0-{count - 1}; write for example '0-{max(count - 2, 0)},{count - 1}'."
    selected: dict[int, None] = {}
    for part in pages.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or int(last) < int(first):
            raise DataError(f"pages: '{pages}' cannot be read at '{part.strip()}'.", remedy)
        if int(last) >= count:
            raise DataError(f"pages: '{pages}' goes beyond the last page.", remedy)
        selected.update(dict.fromkeys(range(int(first), int(last) + 1)))
    return list(selected)


def check_exists(path: Path) -> None:
    """Raise a DataError if there is no such file or folder."""
    check_local(path)
    if not path.exists():
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        raise DataError(
            f"There is no file or folder {path}.",
            f"Check the path; {parent} exists, and relative paths start at {Path.cwd()}.",
        )


def _check_stack(images: Path, pages: str | None) -> None:
    if pages is not None and (is_folder(images) or images.suffix.lower() == ".csv"):
        raise DataError(
            f"pages: {pages} was given, but {images} is not a stack.",
            "Leave pages out, or give one multi-page TIFF and its stack of masks.",
        )


def find_unpaired(images: Path, masks: Path | None = None) -> list[Path]:
    """Return the images of folders without a mask, and the masks without an image."""
    if not is_folder(images):
        return []
    _, without_mask, without_image = _pair_folders(images, masks)
    return [*without_mask, *without_image]


def _pair_folders(images: Path, masks: Path | None) -> tuple[Pairs, list[Path], list[Path]]:
    """Return the pairs of folders, the images without a mask, and the masks without an image."""
    image_folder, mask_folder = _folders(images, masks)
    if image_folder.samefile(mask_folder):
        image_files, mask_files = split_folder(find_images(image_folder))
        return pair_names(image_files, mask_files)
    return pair_names(find_images(image_folder), find_images(mask_folder))


def _folders(images: Path, masks: Path | None) -> tuple[Path, Path]:
    """Return the folder of the images and the one of the masks, which may be the same."""
    of_images, of_masks = (_subfolder(images, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS))
    if masks is not None:
        if not is_folder(masks):
            raise DataError(f"{images} is a folder, but {masks} is a file.", "Give the folder of the masks.")
        return (images if of_images is None or masks.samefile(images) else of_images), masks
    if of_images is not None and of_masks is not None:
        return of_images, of_masks
    if of_images is None and of_masks is None and _holds_both(images):
        return images, images
    missing = [name for name, found in (("images", of_images), ("masks", of_masks)) if found is None]
    raise DataError(
        f"{images} has no folder {' and no folder '.join(missing)}.",
        f"{LAYOUT.format(images)}, or give the folder of the masks (data.masks).",
    )


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the folder in a folder that has the first of some names, upper or lower case."""
    found = {path.name.lower(): path for path in folder.iterdir() if is_folder(path)}
    return next((found[name] for name in names if name in found), None)


def _holds_both(folder: Path) -> bool:
    """Whether a folder holds images and masks side by side, as their names say."""
    try:
        return bool(split_folder(find_images(folder))[1])
    except ImageError:  # it has no images at all
        return False


def _check_paired(
    without_mask: Sequence[Path], without_image: Sequence[Path], images: Path, masks: Path | None
) -> None:
    """Raise a DataError if images or masks are left."""
    image_folder, mask_folder = _folders(images, masks)
    skip = "leave them out (--data.unpaired skip; --unpaired skip in `plan`)"
    if without_mask:
        names = [path.name for path in without_mask]
        left = f" Masks without an image: {_some([path.name for path in without_image])}." if without_image else ""
        raise DataError(
            f"{_count(names, 'image has', 'images have')} no mask in {mask_folder}: {_some(names)}.{left}",
            _channel_remedy(without_mask) or f"Add masks with the same names or {KNOWN}; or {CSV_WAY}; or {skip}.",
        )
    if without_image:
        names = [path.name for path in without_image]
        raise DataError(
            f"{_count(names, 'mask has', 'masks have')} no image in {image_folder}: {_some(names)}.",
            f"Add images with the same names; or {CSV_WAY}; or {skip}.",
        )


def _channel_remedy(images: Sequence[Path]) -> str:
    """Return what to do about images that are further channels, as nnU-Net numbers them; empty if they are none."""
    if all(re.search(r"_000[1-9]$", image_stem(path)) for path in images):
        return (
            "They look like further channels of nnU-Net: put the channels of an image into one file (C, height, width)."
        )
    return ""


def _read_list(path: Path) -> list[tuple[str, Path, Path]]:
    """Read a CSV of pairs; names are the stems, with the line's number where a stem comes twice."""
    remedy = "Begin it with the line 'image,mask', then one pair of paths, relative to the CSV, on each line."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = list(reader.fieldnames or ())
            if not {"image", "mask"} <= set(header):
                raise DataError(f"{path} has the columns {', '.join(header) or 'none'}, not image and mask.", remedy)
            rows = [(reader.line_num, row["image"] or "", row["mask"] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV ({error}).", remedy) from error
    if not rows:
        raise DataError(f"{path} lists no pairs.", remedy)
    files = [(line, path.parent / image.strip(), path.parent / mask.strip()) for line, image, mask in rows]
    missing = [f"{file} (line {line})" for line, *both in files for file in both if not file.is_file()]
    if missing:
        raise DataError(
            f"{_count(missing, 'file', 'files')} listed in {path} {'is' if len(missing) == 1 else 'are'} missing: "
            f"{_some(missing)}.",
            "Correct the paths; they are relative to the CSV.",
        )
    stems = [image_stem(image) for _, image, _ in files]
    count = Counter(stems)
    return [
        (stem if count[stem] == 1 else f"{stem} (line {line})", image, mask)
        for stem, (line, image, mask) in zip(stems, files, strict=True)
    ]


def _match_planes(name: str, image: Path, mask: Path) -> tuple[list[Pair], str]:
    """Pair the planes of an image with those of its mask; the second value says how their sizes differ, if they do."""
    of_image, of_mask = _read_info(image), read_mask_info(mask)
    axes = None
    if of_mask.planes == 1:
        axes = _training_axes(of_image, (of_mask.height, of_mask.width))
        if axes is not None:
            of_image = _read_info(image, axes)
    if of_image.planes != of_mask.planes:
        raise DataError(
            f"{image} has {_planes(of_image)}, but {mask} has {_planes(of_mask)}.",
            "Give a mask for each plane, or one plane of each.",
        )
    if (of_image.height, of_image.width) != (of_mask.height, of_mask.width):
        return [], f"{mask.name} {of_mask.height} x {of_mask.width}, image {of_image.height} x {of_image.width}"
    if of_image.planes == 1:
        return [Pair(name, image, mask, image_axes=axes)], ""
    return [Pair(f"{name}[{plane}]", image, mask, plane, plane) for plane in range(of_image.planes)], ""


def _training_axes(info: ImageInfo, size: tuple[int, int]) -> str | None:
    """Return the axes of an image whose mask is one plane of `size`, if they are not those that it was read with.

    What the file does not say, the mask does: further axes without a name are channels, first or last.
    """
    unnamed = [axis for axis in info.plane_axes if axis in UNNAMED_AXES]
    letters = [letter for letter in "CS" if letter not in info.axes]
    if not unnamed or len(unnamed) < len(info.plane_axes) or len(unnamed) > len(letters):
        return None
    if (info.height, info.width) != size and len(info.axes) == 3 and info.shape[:2] == size:
        return "YXC"
    axes = info.axes
    for axis, letter in zip(unnamed, letters, strict=False):
        axes = axes.replace(axis, letter)
    return axes


def _read_info(path: Path, axes: str | None = None) -> ImageInfo:
    source = open_image(path, ReadOptions(axes=axes))
    try:
        return source.info
    finally:
        source.close()


def _planes(info: ImageInfo) -> str:
    return f"{info.planes} planes (axes {info.axes})" if info.planes > 1 else "one plane"


def _count(items: Sequence[str], one: str, many: str) -> str:
    return f"{len(items)} {one if len(items) == 1 else many}"


def _some(items: Sequence[str], most: int = 3) -> str:
    """List the first few items, and say how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
