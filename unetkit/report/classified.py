"""The picture of whole images that were classified, each with what it shows and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.colors import to_hex
from numpy.typing import NDArray

from unetkit.drawing.page import Page
from unetkit.drawing.pixels import FAINT, INK, PREDICTION, fit_size, resize, shade, to_display
from unetkit.foundation.errors import DataError

MOST_ITEMS = 12
COLUMNS = 4
MARGIN, GAP, HEAD, LINE, SIDE = 32, 16, 56, 22, 372  # pixels on the page


class ClassifiedItem(NamedTuple):
    """An image and its classification by a model.

    Attributes:
        name: What to write above it.
        pixels: The image (C, H, W), any number type.
        truth: What it shows.
        predicted: What it is classified as.
        probability: Predicted probability of what it shows, 0 to 1.
    """

    name: str
    pixels: NDArray[Any]
    truth: str
    predicted: str
    probability: float


def classified_picture(path: Path, items: Sequence[ClassifiedItem]) -> None:
    """Write a picture (PNG) of the 12 images whose truth has the lowest probability, the worst first.

    Args:
        path: Where to; the folder is made if it does not exist.
        items: The images.

    Raises:
        DataError: There is nothing to show.
        OutputError: The file cannot be written.
    """
    if not items:
        raise DataError("There is no image to show.", "Give at least one.")
    shown = sorted(items, key=lambda item: item.probability)[:MOST_ITEMS]
    wrong = sum(item.truth != item.predicted for item in items)
    columns = min(COLUMNS, len(shown))
    height = SIDE + 2 * LINE + GAP
    page = Page(2 * MARGIN + max(columns, 2) * (SIDE + GAP) - GAP, HEAD + ceil(len(shown) / columns) * height + MARGIN)
    summary = f"{wrong:,} of {len(items):,} validation images classified wrongly"
    page.text(f"{summary}; the {len(shown)} that are classified worst:", MARGIN, HEAD / 2 + 2, 18)
    for place, item in enumerate(shown):
        row, column = divmod(place, columns)
        _place(page, item, MARGIN + column * (SIDE + GAP), HEAD + row * height)
    page.save(path)


def _place(page: Page, item: ClassifiedItem, left: int, top: int) -> None:
    """Place one image, with its name, what it shows and what it is classified as above."""
    letters = int(SIDE / 8)
    name = item.name if len(item.name) <= letters else f"{item.name[: letters - 1]}…"
    page.text(name, left, top + LINE / 2, 14, color=FAINT)
    right = item.truth == item.predicted
    outcome = f"{item.truth} {item.probability:.2f}" + ("" if right else f", classified as {item.predicted}")
    page.text(outcome, left, top + 1.5 * LINE, 15, color=INK if right else to_hex(shade(PREDICTION)))
    display = to_display(item.pixels)
    height, width = fit_size(display.shape[0], display.shape[1], SIDE, SIDE)
    page.image(resize(display, height, width), left + (SIDE - width) // 2, top + 2 * LINE)
