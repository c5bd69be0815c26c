"""Pictures of images with the contours of what was predicted in them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.page import Page
from unetkit.drawing.pixels import (
    FAINT,
    HATCHED,
    PREDICTION,
    TRUTH,
    Colour,
    Display,
    class_colour,
    draw_contours,
    fit_size,
    hatch,
    pale,
    resize,
    to_display,
)
from unetkit.foundation.errors import DataError

MOST_ITEMS = 12

LINES = (("truth", TRUTH, 3.0), ("prediction", PREDICTION, 3.0))
"""Entries of the legend for the contours: word, colour, thickness of the sample."""

MARGIN, GAP, HEAD, TITLE, LEGEND_ROW = 32, 16, 56, 34, 26  # pixels on the page


class ValidationItem(NamedTuple):
    """A validation image and its segmentation.

    Attributes:
        name: What to write above it.
        pixels: The image (C, H, W), any number type.
        truth: True mask (H, W), bool or class numbers; below 0 where nobody has annotated, which is hatched.
        prediction: Predicted mask (H, W), bool or class numbers.
        dice: Dice of the prediction, 0 to 1.
    """

    name: str
    pixels: NDArray[Any]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    dice: float


ItemFields = tuple[str, NDArray[Any], NDArray[Any], NDArray[Any], float]
"""Fields of `ValidationItem` as a plain tuple."""


def validation_picture(
    path: Path,
    items: Sequence[tuple[str, NDArray[Any], NDArray[Any], NDArray[Any], float]],
    classes: Sequence[str] = (),
) -> None:
    """Write a picture (PNG, 1600 pixels wide, 800 for a single image) of validation images with contours.

    Args:
        path: Where to; the folder is made if it does not exist.
        items: Tuples like `ValidationItem`; the first 12 are shown.
        classes: Names of the classes from 1 up, which get a colour each. With fewer than two, truth and
            prediction get one each.

    Raises:
        DataError: There is nothing to show.
        OutputError: The file cannot be written.
    """
    if not items:
        raise DataError("There is no validation image to show.", "Give at least one.")
    shown = [ValidationItem(*item) for item in items[:MOST_ITEMS]]
    columns = min(ceil(len(shown) ** 0.5), 4)
    width = 800 if columns == 1 else 1600
    side = (width - 2 * MARGIN - (columns - 1) * GAP) // columns
    sizes = [fit_size(item.truth.shape[0], item.truth.shape[1], side, side) for item in shown]
    rows = [range(i, min(i + columns, len(shown))) for i in range(0, len(shown), columns)]
    heights = [TITLE + max(sizes[i][0] for i in row) + GAP for row in rows]
    names = tuple(classes) if len(classes) > 1 else ()
    entries = [*(_class_lines(names) if names else LINES)]
    if any((item.truth < 0).any() for item in shown):
        entries.append(("hatched: not annotated", HATCHED, 3.0))
    rows_of_legend = ceil(sum(56 + 10 * len(word) for word, _, _ in entries) / (width - 2 * MARGIN))
    top = HEAD + LEGEND_ROW * (rows_of_legend - 1 if names else 0)
    page = Page(width, top + sum(heights) + MARGIN - GAP)
    page.legend(MARGIN, HEAD / 2 + 6, entries, row=LEGEND_ROW)
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            _place(page, shown[i], sizes[i], MARGIN + column * (side + GAP), top, side, len(names))
        top += height
    page.save(path)


def _class_lines(names: Sequence[str]) -> list[tuple[str, Colour, float]]:
    """Return the entries of the legend for several classes."""
    lines = [(name, class_colour(number), 5.0) for number, name in enumerate(names, 1)]
    return [*lines, ("outer, pale: truth", pale(lines[0][1]), 3.0), ("inner: prediction", lines[0][1], 3.0)]


def labels_picture(path: Path, pixels: NDArray[Any], labels: NDArray[Any], title: str) -> None:
    """Write a picture (PNG, 1600 pixels wide) of an image, and beside it the same with the contour of each object.

    Args:
        path: Where to; the folder is made if it does not exist.
        pixels: The image (C, H, W), any number type.
        labels: (H, W) number of each pixel's object, 0 for background.
        title: What to write above.

    Raises:
        OutputError: The file cannot be written.
    """
    side = (1600 - 2 * MARGIN - GAP) // 2
    size = fit_size(labels.shape[0], labels.shape[1], side, side)
    page = Page(1600, HEAD + size[0] + MARGIN)
    page.text(title, MARGIN, HEAD / 2 + 6, 20)
    shown = resize(to_display(pixels), *size)
    for left, picture in ((MARGIN, shown), (MARGIN + side + GAP, draw_contours(shown, labels, PREDICTION))):
        page.image(picture, left + (side - size[1]) // 2, HEAD)
    page.save(path)


def outlined(display: Display, truth: NDArray[Any], prediction: NDArray[Any], size: tuple[int, int]) -> Display:
    """Return the image (H, W, 3) at a size (height, width) with the contours of both masks (H, W).

    The truth's lines run outside of its regions and the prediction's inside: where they agree, both can be seen.
    """
    shown = draw_contours(resize(display, *size), truth, TRUTH, outside=True)
    return draw_contours(shown, prediction, PREDICTION)


def outlined_classes(
    display: Display, truth: NDArray[Any], prediction: NDArray[Any], size: tuple[int, int], classes: int
) -> Display:
    """Return the same as `outlined` for class numbers from 1 to `classes`: each class in its colour, the truth pale."""
    shown = resize(display, *size)
    for number in range(1, classes + 1):
        colour = class_colour(number)
        shown = draw_contours(shown, truth == number, pale(colour), outside=True)
        shown = draw_contours(shown, prediction == number, colour)
    return shown


def _place(
    page: Page, item: ValidationItem, size: tuple[int, int], left: int, top: int, side: int, classes: int
) -> None:
    """Place one image in the middle of its column, with its name and Dice above."""
    score = f"Dice {item.dice:.3f}"
    letters = int(side / 9) - len(score) - 2
    name = item.name if len(item.name) <= letters else f"{item.name[: letters - 1]}…"
    page.text(name, left, top + TITLE / 2, 15, color=FAINT)
    page.text(score, left + side, top + TITLE / 2, 15, ha="right")
    display, unknown = resize(to_display(item.pixels), *size), item.truth < 0
    truth = np.where(unknown, 0, item.truth)
    display = hatch(display, unknown) if unknown.any() else display
    if classes:
        picture = outlined_classes(display, truth, item.prediction, size, classes)
    else:
        picture = outlined(display, truth, item.prediction, size)
    page.image(picture, left + (side - size[1]) // 2, top + TITLE)
