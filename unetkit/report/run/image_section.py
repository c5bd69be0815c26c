"""Scores of single images on the page of a run: a table, the worst first, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from unetkit.drawing.html import embed, picture
from unetkit.drawing.pixels import Display
from unetkit.report.run.folder import PICTURES_FOLDER, RESTORED_PICTURE, VALIDATION_PICTURE
from unetkit.report.run.validated import MOST_BEST, ImageRow, plain_name
from unetkit.scoring.table import OBJECT_SCORES, PIXEL_SCORES, Score

SCORES: tuple[Score[Any], ...] = (*OBJECT_SCORES, *PIXEL_SCORES)

HEADINGS = {
    **{score.name: score.heading for score in SCORES},
    "fold": "Fold",
    "objects": "Objects",
    "true_objects": "True objects",
    "truth": "Shows",
    "predicted": "Classified as",
    "probability": "Probability of what it shows",
}
"""Headings of the columns of `validation.csv`."""

SHARES = (*(score.name for score in SCORES), "probability")
"""Columns whose numbers go from 0 to 1."""

CAPTION_SCORES = ("dice", "ap50", "f1", "truth", "predicted", "probability")
"""Columns that stand below a picture."""

WHOLE_PICTURES = {
    VALIDATION_PICTURE: "Validation images with contours of truth and prediction, or those classified worst.",
    RESTORED_PICTURE: "Crops as shown to the network, restored, and clean.",
}
"""Pictures of a run folder that show several images, and what they show."""


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        text: What stands in it.
        share: How much of it is filled, 0 to 1; None for none.
        value: What the table is sorted by.
    """

    text: str
    share: float | None
    value: float | str


@dataclass(frozen=True)
class Shown:
    """An image with a picture.

    Attributes:
        name: The image.
        scores: (heading, text) of its most important scores.
        drawn: Its picture.
        plain: The same without lines; None if there are none.
        anchor: Name of its place on the page.
        wrong: Whether it is classified as what it does not show.
    """

    name: str
    scores: tuple[tuple[str, str], ...]
    drawn: Markup
    plain: Markup | None
    anchor: str
    wrong: bool


@dataclass(frozen=True)
class ImageSection:
    """What the page shows of single images.

    Attributes:
        headings: Headings of the columns of scores.
        order: Heading of the column that the table is sorted by.
        rows: (name, cells, anchor of the picture or ""), the worst first.
        worst: The images with the lowest scores, the worst first.
        best: Those with the highest, where not all are shown.
        summary: (heading, mean, lowest, highest) of the numbers from 0 to 1.
        problems: Sentences on pictures that cannot be shown.
    """

    headings: tuple[str, ...] = ()
    order: str = ""
    rows: tuple[tuple[str, tuple[Cell, ...], str], ...] = ()
    worst: tuple[Shown, ...] = ()
    best: tuple[Shown, ...] = ()
    summary: tuple[tuple[str, float, float, float], ...] = ()
    problems: tuple[str, ...] = ()


def show_images(folder: Path, images: Sequence[ImageRow]) -> ImageSection:
    """Return what the page shows of the rows of `validation.csv`."""
    if not images:
        return ImageSection()
    columns = list(dict.fromkeys(name for row in images for name in row.values))
    numbers = {name: [value for row in images if isinstance(value := row.values.get(name), float)] for name in columns}
    shares = [name for name in columns if name in SHARES and len(numbers[name]) == len(images)]
    order = "probability" if "probability" in shares else next(iter(shares), columns[0] if columns else "")
    ranked = sorted(images, key=lambda row: _rank(row, order))
    rows, shown, problems = [], [], []
    for number, row in enumerate(ranked, 1):
        one = _show(folder, row, f"image-{number}") if row.picture else None
        if one is not None:
            shown.append(one)
        elif row.picture:
            problems.append(f"{folder / PICTURES_FOLDER / row.picture} is missing or damaged.")
        cells = tuple(_cell(name, row.values.get(name, "")) for name in columns)
        rows.append((row.name, cells, one.anchor if one else ""))
    best = MOST_BEST if len(shown) > 2 * MOST_BEST and len(shown) < len(rows) else 0
    return ImageSection(
        headings=tuple(HEADINGS.get(name, name) for name in columns),
        order=HEADINGS.get(order, order),
        rows=tuple(rows),
        worst=tuple(shown[: len(shown) - best]),
        best=tuple(reversed(shown[len(shown) - best :])),
        summary=tuple(
            (HEADINGS[name], float(np.mean(numbers[name])), min(numbers[name]), max(numbers[name])) for name in shares
        ),
        problems=tuple(problems[:3]),
    )


def _rank(row: ImageRow, order: str) -> tuple[bool, float]:
    value = row.values.get(order)
    return (not isinstance(value, float), value if isinstance(value, float) else 0.0)


def _show(folder: Path, row: ImageRow, anchor: str) -> Shown | None:
    drawn = _stored(folder / PICTURES_FOLDER / row.picture, row.name)
    if drawn is None:
        return None
    scores = [(HEADINGS[name], _cell(name, row.values[name]).text) for name in CAPTION_SCORES if name in row.values]
    wrong = row.values.get("truth") != row.values.get("predicted")
    plain = _stored(folder / PICTURES_FOLDER / plain_name(row.picture), f"{row.name}, without contours")
    return Shown(row.name, tuple(scores), drawn, plain, anchor, wrong)


def _stored(path: Path, description: str) -> Markup | None:
    """Return a picture of the run folder as it is; None if it cannot be read."""
    try:
        encoded = path.read_bytes()
    except OSError:
        return None
    decoded = _decode(encoded)
    return None if decoded is None else embed(encoded, "jpeg", decoded.shape[1], decoded.shape[0], description)


def _decode(encoded: bytes) -> Display | None:
    """Return the pixels of an encoded picture; None if it is damaged."""
    if not encoded:
        return None
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return None if decoded is None else np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def whole_pictures(folder: Path) -> list[tuple[Markup, str]]:
    """Return the pictures of a run folder that show several images, each with what it shows."""
    found = []
    for name, words in WHOLE_PICTURES.items():
        path = folder / name
        try:
            decoded = _decode(path.read_bytes()) if path.is_file() else None
        except OSError:
            decoded = None
        if decoded is not None:
            found.append((picture(decoded, words), words))
    return found


def _cell(name: str, value: float | str) -> Cell:
    if isinstance(value, str):
        return Cell(value, None, value)
    if name in SHARES:
        return Cell(f"{value:.3f}", min(max(value, 0.0), 1.0), value)
    return Cell(f"{value:,.6g}", None, value)
