"""The images of a run on masks: those to train on, and those to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unetkit.data.kept import TRAIN, VAL, Use
from unetkit.data.places import Places
from unetkit.data.pool import Found, ImageRecord
from unetkit.data.split import check_apart, cut_for_folds, fold_uses, split_fraction


def find_divided(places: Places, folds: int | None, seed: int, dims: Literal[2, 3] = 2) -> tuple[Found, list[str]]:
    """Find the images to train on and those to validate on, with their masks.

    Args:
        places: Where they are.
        folds: Number of folds, which divide the images later; None without cross-validation.
        seed: Decides which images are set aside.
        dims: 2 for planes, 3 for volumes.

    Returns:
        The images, and a note where some are left out.

    Raises:
        DataError: They are missing, do not pair, or the same images are to be trained and validated on.
        ImageError: A file that cannot be read.
    """
    pairs, left_out = places.find(dims), places.left_out()
    notes = [
        f"Left out, since they have no mask or image: {len(left_out)} files, such as {path.name}."
        for path in left_out[:1]
    ]
    if folds is not None:
        return Found(cut_for_folds(pairs, folds), []), notes
    if not places.names_validation:
        return Found(*split_fraction(pairs, float(places.val or 0), seed)), notes
    val = places.find_validation(dims)
    check_apart(pairs, val)
    return Found(pairs, val, named=True), notes


def first_uses(found: Found, images: Sequence[ImageRecord], folds: int | None, seed: int) -> list[Use]:
    """Return the use of each image as in a new run: to train on or to validate on, or the fold that it belongs to.

    Args:
        found: Where the images are.
        images: The same images, once they are measured.
        folds: Number of folds; None without cross-validation.
        seed: Decides the folds.
    """
    uses = [TRAIN] * len(found.train) + [VAL] * len(found.val)
    if folds is not None:
        uses = fold_uses(found.all, [image.digest for image in images], folds, seed)
    return [Use(image.pair.name, image.digest, use) for image, use in zip(images, uses, strict=True)]
