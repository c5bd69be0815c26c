"""Find images and their masks: in folders, in stacks of pages, in a CSV list. Only headers are read here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from unetkit.annotations.formats import has_annotation_suffix
from unetkit.data.drawn_files import image_of, spans_planes
from unetkit.data.folders import check_paired, find_unmasked_files, pair_in_folders
from unetkit.data.listing import count_of, read_pair_list, some_of
from unetkit.foundation.errors import DataError
from unetkit.foundation.names import check_local
from unetkit.foundation.threads import map_in_threads
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo
from unetkit.io.base.inner import file_of
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import image_stem, open_image
from unetkit.io.formats import is_folder
from unetkit.io.masks.color_table import ColorTable
from unetkit.io.masks.meaning import open_mask, read_mask_info
from unetkit.io.views.volume import VolumeSource

Unpaired = Literal["stop", "skip"]
"""How to handle images without a mask and masks without an image: an error, or leave them out."""


@dataclass(frozen=True)
class Pair:
    """One plane or volume to train on or to score.

    Attributes:
        name: Stem of the image file; of a stack with the page, as in "stem[12]"; of some planes of a volume with the
            first and the last, as in "stem[0-20]".
        image: File of the image.
        mask: File of the mask; None where images are trained on without masks.
        image_plane: Plane (or volume) of the image in its file; None if the file is one plane (or volume).
        mask_plane: Plane (or volume) of the mask in its file; None if the file is one plane (or volume).
        image_axes: Axes to open the image with, where its own do not fit its mask; see `open_image`.
        ignore: Value in the file of the mask of pixels that nobody has annotated; None if there are none.
        classes: Names of the classes from 1 on, where the mask is an annotation file or has named colours.
        colors: The colours of the classes, where the user named them.
        depth: First plane along Z, and the end, of a volume; None of a plane.
        part: Whether a volume is a part of the planes of its file.
        spacing: Distances of pixels where the file does not know them, see `ReadOptions`.
    """

    name: str
    image: Path
    mask: Path | None
    image_plane: int | None = None
    mask_plane: int | None = None
    image_axes: str | None = None
    ignore: int | None = None
    classes: tuple[str, ...] = ()
    colors: ColorTable | None = None
    depth: tuple[int, int] | None = None
    part: bool = False
    spacing: str | None = None

    @property
    def reading(self) -> ReadOptions:
        """How the image is opened."""
        return ReadOptions(axes=self.image_axes, spacing=self.spacing)

    @property
    def dims(self) -> Literal[2, 3]:
        """Number of axes: 2 of a plane, 3 of a volume."""
        return 2 if self.depth is None else 3

    @property
    def what(self) -> str:
        """Word for messages."""
        return "image" if self.depth is None else "volume"

    def slab(self, start: int, stop: int) -> Pair:
        """Return neighbouring planes of a volume as a volume; `start` and `stop` count in the file."""
        name = self.name[: self.name.rindex("[")] if self.part else self.name
        return replace(self, name=f"{name}[{start}-{stop - 1}]", depth=(start, stop), part=True)

    def shares_with(self, other: Pair) -> bool:
        """Return whether two pairs have pixels of the image in common."""
        if (self.image.resolve(), self.image_plane) != (other.image.resolve(), other.image_plane):
            return False
        if self.depth is None or other.depth is None:
            return True
        return self.depth[0] < other.depth[1] and other.depth[0] < self.depth[1]


def find_pairs(
    images: Path,
    masks: Path | None = None,
    pages: str | None = None,
    unpaired: Unpaired = "stop",
    ignore: int | None = None,
    colors: ColorTable | None = None,
    dims: Literal[2, 3] = 2,
    spacing: str | None = None,
) -> list[Pair]:
    """Find the pairs of image and mask, and check that their sizes agree.

    Args:
        images: A folder with `images` and `masks` in it, or one that holds both, whose files pair by name (see
            `unetkit.data.names`); or a folder of images, an image or a stack, with `masks` given; or a CSV with the
            columns `image` and `mask`, whose paths are relative to it.
        masks: Folder, file or stack of the masks; or annotation files, or one of COCO for all images.
        pages: Pages of a stack to use, counted from 0, both ends included: "0-20,24". None for all.
        unpaired: What to do with images without a mask and masks without an image in folders.
        ignore: Value in masks of pixels that nobody has annotated.
        colors: The colours of the classes in mask images.
        dims: 2 for planes, 3 for volumes.
        spacing: Distances of the pixels of images whose files do not know them.

    Returns:
        Pairs in the order of names and planes. An image of several planes (Z, T, pages) with a mask of as many gives a
        pair for each. With a mask of one plane, axes of the image that the file does not name are its channels. Of
        volumes, all planes along Z are one pair; of the pages of a stack, each run of neighbouring ones.

    Raises:
        DataError: Paths that do not exist, images and masks that do not pair or differ in size, wrong pages.
        ImageError: A file that cannot be read.
    """
    check_exists(images)
    if masks is not None:
        check_exists(masks)
    _check_stack(images, pages)
    if is_folder(images):
        files, without_mask, without_image = pair_in_folders(images, masks)
        if unpaired == "stop" or not files:
            check_paired(without_mask, without_image, images, masks)
    elif images.suffix.lower() == ".csv":
        files = read_pair_list(images)
    elif masks is None or is_folder(masks):
        raise DataError(f"{images} is one file, but its mask is not given.", "Give the file of its masks (data.masks).")
    else:
        files = [(image_stem(images), images, masks)]
    own = [image.name for _, image, mask in files if image == mask]
    if own:
        raise DataError(f"{own[0]} is given as an image and as its own mask.", "Give the file of its mask.")
    pairs: list[Pair] = []
    sizes: list[str] = []
    match = _match_planes if dims == 2 else _match_volumes
    matches = map_in_threads(lambda file: match(*file), files)
    for (_, _, mask), (found, problem) in zip(files, matches, strict=True):
        named = None if has_annotation_suffix(mask) else colors
        classes = () if named is None else named.names
        pairs += [replace(pair, ignore=ignore, classes=classes, colors=named, spacing=spacing) for pair in found]
        sizes += [problem] if problem else []
    if sizes:
        raise DataError(
            f"{count_of(sizes, 'mask differs', 'masks differ')} in size from the image: {some_of(sizes)}.",
            f"Give masks of the same {'' if dims == 2 else 'depth, '}height and width as their images.",
        )
    return pairs if pages is None else _choose(pairs, pages, images)


def find_unmasked(
    images: Path, pages: str | None = None, dims: Literal[2, 3] = 2, spacing: str | None = None
) -> list[Pair]:
    """Find images to train on without masks.

    Args:
        images: A folder of images, a folder with a folder `images` in it, an image, or a stack.
        pages: Pages of a stack to use, as for `find_pairs`.
        dims: 2 for planes, 3 for volumes.
        spacing: As for `find_pairs`.

    Returns:
        An entry without a mask for each plane, in the order of names and planes.

    Raises:
        DataError: The path does not exist, or wrong pages.
        ImageError: A file that cannot be read, or a folder without images.
    """
    check_exists(images)
    _check_stack(images, pages)
    files = find_unmasked_files(images) if is_folder(images) else [images]
    planes: list[Pair] = []
    for path, info in zip(files, map_in_threads(_read_info if dims == 2 else _volume_info, files), strict=True):
        pair = Pair(image_stem(path), path, None, spacing=spacing)
        planes += _of_planes(pair if dims == 2 else replace(pair, depth=(0, info.size[0])), info.planes)
    return planes if pages is None else _choose(planes, pages, images)


def _choose(pairs: list[Pair], pages: str, stack: Path) -> list[Pair]:
    """Return the pairs of some pages of a stack; of a volume those of each run of neighbouring pages.

    Raises:
        DataError: The pages cannot be read, or are not those of one volume.
    """
    if pairs[0].depth is None:
        return [pairs[page] for page in parse_pages(pages, len(pairs), stack)]
    if len(pairs) > 1:
        raise DataError(
            f"pages: {pages} was given, but {stack} has {len(pairs)} volumes.",
            "Leave pages out, or give a stack of one volume.",
        )
    chosen = sorted(parse_pages(pages, pairs[0].depth[1], stack))
    return [pairs[0].slab(start, stop) for start, stop in runs_of(chosen)]


def runs_of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first number and the end of each run of neighbours among rising numbers.

    >>> list(runs_of([0, 1, 2, 5, 8, 9]))
    [(0, 3), (5, 6), (8, 10)]
    """
    breaks = [place for place, (one, next_one) in enumerate(pairwise(numbers), 1) if next_one != one + 1]
    for first, last in pairwise([0, *breaks, len(numbers)]):
        yield numbers[first], numbers[last - 1] + 1


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
    if not file_of(path).exists():
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


def _match_planes(name: str, image: Path, mask: Path) -> tuple[list[Pair], str]:
    """Pair the planes of an image with those of its mask; the second value describes sizes that differ, else ""."""
    of_image = _read_info(image)
    if has_annotation_suffix(mask):
        return _match_drawn(name, image, mask, of_image), ""
    of_mask = read_mask_info(mask)
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
    return _of_planes(Pair(name, image, mask, image_axes=axes), of_image.planes), ""


def _match_volumes(name: str, image: Path, mask: Path) -> tuple[list[Pair], str]:
    """Pair the volumes of an image with those of its mask; the second value describes sizes that differ, else ""."""
    of_image = _volume_info(image)
    pair = Pair(name, image, mask, depth=(0, of_image.size[0]))
    if has_annotation_suffix(mask):
        return _of_planes(pair, of_image.planes), ""
    with closing(VolumeSource(open_mask(mask))) as source:
        of_mask = source.info
    if of_mask.planes != of_image.planes:
        raise DataError(
            f"{image} has {_volumes(of_image)}, but {mask} has {_volumes(of_mask)}.", "Give a mask for each volume."
        )
    if of_image.size != of_mask.size:
        return [], f"{mask.name} {_sizes(of_mask)}, image {_sizes(of_image)}"
    return _of_planes(pair, of_image.planes), ""


def _of_planes(pair: Pair, planes: int) -> list[Pair]:
    """Return a pair for each plane, or each volume."""
    if planes == 1:
        return [pair]
    masked = pair.mask is not None
    return [
        replace(pair, name=f"{pair.name}[{plane}]", image_plane=plane, mask_plane=plane if masked else None)
        for plane in range(planes)
    ]


def _match_drawn(name: str, image: Path, mask: Path, info: ImageInfo) -> list[Pair]:
    """Pair the planes of an image with what is drawn on them; it is drawn on one plane unless objects lie in others."""
    axes = _training_axes(info, (info.height, info.width))
    if axes is not None and not spans_planes(mask, image_of(mask, image)):
        return _of_planes(Pair(name, image, mask, image_axes=axes), _read_info(image, axes).planes)
    return _of_planes(Pair(name, image, mask), info.planes)


def _training_axes(info: ImageInfo, size: tuple[int, int]) -> str | None:
    """Return the axes of an image whose mask is one plane of `size`, if they are not those that it was read with.

    The mask decides where the file does not: further axes without a name are channels, first or last.
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


def _volume_info(path: Path) -> ImageInfo:
    with closing(open_image(path)) as source:
        return VolumeSource(source).info


def _volumes(info: ImageInfo) -> str:
    return f"{info.planes} volumes (axes {info.axes})" if info.planes > 1 else "one volume"


def _sizes(info: ImageInfo) -> str:
    return " x ".join(map(str, info.size))


def _planes(info: ImageInfo) -> str:
    return f"{info.planes} planes (axes {info.axes})" if info.planes > 1 else "one plane"
