"""Which mask belongs to which image, by the names of their files as programs give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

from unetkit.annotations.formats import annotation_stem, has_annotation_suffix
from unetkit.foundation.errors import DataError
from unetkit.io.base.format import ends_with
from unetkit.io.files import image_stem
from unetkit.io.formats import IMAGE_SUFFIXES

MASK_WORDS = (
    *("cp_masks", "masks", "mask", "labels", "label", "labelled", "labeled", "label_image", "seg", "segmentation"),
    *("segmented", "instances", "objects", "annotation", "annotations", "gt", "groundtruth", "ground_truth", "truth"),
    *("prediction", "pred", "probabilities"),
)
"""Words at the end (or the beginning) of a mask's name, separated from the image's name by _, -, . or a space."""

IMAGE_WORDS = ("image", "images", "img", "im", "raw", "input", "0000")
"""Such words in the name of an image; 0000 is the first channel in data sets of nnU-Net."""

ROI_WORDS = ("roiset", "rois", "roi")
"""Such words in the name of an annotation file, beside those of masks."""

KNOWN_MASK_NAMES = "NAME_mask(s), NAME_cp_masks, NAME_label(s), NAME-labelled, NAME_seg, NAME_gt, mask_NAME, label_NAME"
"""Forms of names that are recognised, for messages."""

MOST_NAMES = 5
"""Most names that are tried for a file."""

Pairs = list[tuple[str, Path, Path]]
"""Name of an image, its file, and the file of its mask."""


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    either = "|".join(sorted(map(re.escape, words), key=len, reverse=True)).replace("_", "[_-]")
    return re.compile(rf"^(?:(?:{either})[_\-. ]+(?P<after>.+)|(?P<before>.+?)[_\-. ]+(?:{either}))$", re.IGNORECASE)


_MASK, _DRAWN, _IMAGE = _pattern(MASK_WORDS), _pattern((*MASK_WORDS, *ROI_WORDS)), _pattern(IMAGE_WORDS)


def mask_names(path: Path) -> list[str]:
    """Return the names that the image of a mask, or of an annotation file, may have, the likeliest first.

    >>> mask_names(Path("cell_1_cp_masks.png")), mask_names(Path("1_RoiSet.zip"))
    (['cell_1_cp_masks', 'cell_1'], ['1_RoiSet', '1'])
    """
    if has_annotation_suffix(path):
        return _names(annotation_stem(path), _DRAWN)
    return _names(image_stem(path), _MASK)


def image_names(path: Path) -> list[str]:
    """Return the names that an image may have in the name of its mask, the likeliest first.

    >>> image_names(Path("case_7_0000.png")), image_names(Path("image_1.tif"))
    (['case_7_0000', 'case_7'], ['image_1', '1'])
    """
    return _names(image_stem(path), _IMAGE)


def any_names(path: Path) -> list[str]:
    """Return the names that the image of a prediction may have: as of a mask, or the image's own."""
    return list(dict.fromkeys([*mask_names(path), *image_names(path)]))


def _names(stem: str, pattern: re.Pattern[str]) -> list[str]:
    stem = unicodedata.normalize("NFC", stem)  # macOS may write an ü as u and dots
    found = pattern.match(stem)
    names = [stem] if found is None else [stem, found["after"] or found["before"]]
    last = names[-1]
    if ends_with(Path(last), IMAGE_SUFFIXES):  # cells.tif_mask.png
        names.append(image_stem(last))
    return names


def pair_names(
    images: Sequence[Path],
    masks: Sequence[Path],
    names_of_image: Callable[[Path], list[str]] = image_names,
) -> tuple[Pairs, list[Path], list[Path]]:
    """Pair images and masks by their names: equal names first, then without the words of masks, then of images.

    Args:
        images: Files of images.
        masks: Files of masks.
        names_of_image: The names that an image may have, the likeliest first.

    Returns:
        The pairs in the order of the images, the images without a mask, and the masks without an image.

    Raises:
        DataError: Two files stand for the same.
    """
    free_images, free_masks = dict.fromkeys(images), dict.fromkeys(masks)
    found: dict[Path, Path] = {}
    for of_image, of_mask in sorted(product(range(MOST_NAMES), repeat=2), key=sum):
        by_name = _by_name(free_masks, mask_names, of_mask)
        for name, image in _by_name(free_images, names_of_image, of_image).items():
            mask = by_name.get(name)
            if mask is not None and mask in free_masks:
                found[image] = mask
                del free_images[image], free_masks[mask]
    _check_twice(found, free_masks, mask_names)
    _check_twice({mask: image for image, mask in found.items()}, free_images, names_of_image)
    pairs = [(image_stem(image), image, found[image]) for image in images if image in found]
    return pairs, [*free_images], [*free_masks]


def split_folder(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the images and the masks of one folder that holds both: masks are named after an image that is there."""
    known = {name for path in files for name in image_names(path)}
    masks = [path for path in files if any(name in known for name in mask_names(path)[1:])]
    of_masks = {name for path in masks for name in mask_names(path)[1:]}
    masks = [path for path in masks if image_names(path)[0] not in of_masks]  # "a_seg" with "a_seg_mask" beside it
    return [path for path in files if path not in masks], masks


def _by_name(files: dict[Path, None], names: Callable[[Path], list[str]], place: int) -> dict[str, Path]:
    """Return files by their name at a place in `names`."""
    by_name: dict[str, Path] = {}
    for path, name in _named(files, names, place):
        if name in by_name:
            refuse_twice(by_name[name], path, name)
        by_name[name] = path
    return by_name


def _named(files: dict[Path, None], names: Callable[[Path], list[str]], place: int) -> Iterator[tuple[Path, str]]:
    for path in files:
        found = names(path)
        if place < len(found):
            yield path, found[place]


def _check_twice(paired: dict[Path, Path], left: dict[Path, None], names: Callable[[Path], list[str]]) -> None:
    """Raise a DataError if a file that is left has the same name as one that is paired."""
    taken = {name: other for other in paired.values() for name in names(other)[-1:]}
    for path in left:
        name = names(path)[-1]
        if name in taken:
            one, other = sorted((taken[name], path))
            refuse_twice(one, other, name)


def refuse_twice(one: Path, other: Path, name: str) -> None:
    """Raise a DataError for two files with the same name."""
    raise DataError(
        f"{one.name} and {other.name} in {one.parent} both stand for '{name}'.",
        "Keep one of them, or list the pairs in a CSV with the columns image and mask: images and masks are paired by "
        "the name before the suffix.",
    )
