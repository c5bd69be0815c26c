"""The scores of a model on each validation image, and pictures of the worst and the best of them, in a run folder."""

from __future__ import annotations

import csv
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.pixels import Display, fit_size, hatch, resize, to_display
from unetkit.foundation.atomic import partial_file, partial_folder
from unetkit.foundation.errors import DataError
from unetkit.foundation.names import printable
from unetkit.report.pictures import outlined, outlined_classes
from unetkit.report.run.folder import IMAGES_FILE, PICTURES_FOLDER

MOST_WORST, MOST_BEST = 24, 4
"""Most pictures of the images with the lowest and with the highest scores."""

PICTURE_SIDE = 420
"""Longest side of a picture, in pixels."""

MOST_BYTES = 90_000
"""Most bytes of a picture, so that a page stays small; a picture of noise loses quality."""

QUALITIES = (86, 76, 66, 50, 30)
"""Qualities of JPEG, from the one that is tried first."""

MASK_SCALE = 4
"""A mask is kept at up to this multiple of the size of its picture: lines are drawn at that size."""

NAME, PICTURE = "image", "picture"
"""Columns beside the scores."""

PLAIN_ENDING = "-plain"
"""Ending of the name of a picture without lines, beside the one with them."""


class Picture(NamedTuple):
    """What is kept of an image until it is drawn.

    Attributes:
        display: (h, w, 3), as large as the picture.
        truth: (H, W) class numbers, 0 for background; None where there are no masks.
        prediction: The same.
    """

    display: Display
    truth: NDArray[Any] | None = None
    prediction: NDArray[Any] | None = None

    @classmethod
    def of(cls, pixels: NDArray[Any], truth: NDArray[Any] | None = None, prediction: Any = None) -> Picture:
        """Take what is needed of an image.

        Args:
            pixels: (C, H, W), any number type.
            truth: (H, W) class numbers, below 0 where nobody has annotated; None without masks.
            prediction: (H, W) class numbers.
        """
        size = fit_size(pixels.shape[1], pixels.shape[2], PICTURE_SIDE, PICTURE_SIDE)
        display = resize(to_display(pixels), *size)
        if truth is None:
            return cls(display)
        if (unknown := truth < 0).any():
            display = hatch(display, unknown)
        return cls(display, *(_at_most(mask, size) for mask in (np.where(unknown, 0, truth), prediction)))

    def draw(self, classes: int) -> Display:
        """Return the picture with the contours of both masks; each class has its colour if there are several."""
        if self.truth is None or self.prediction is None:
            return self.display
        size = (self.display.shape[0], self.display.shape[1])
        if classes > 1:
            return outlined_classes(self.display, self.truth, self.prediction, size, classes)
        return outlined(self.display, self.truth > 0, self.prediction > 0, size)


def _at_most(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[np.int16]:
    """Return a mask that is no larger than lines are drawn at."""
    height, width = (MASK_SCALE * side for side in size)
    numbers = mask.astype(np.int16)
    if mask.shape[0] <= height and mask.shape[1] <= width:
        return numbers
    shrunk: NDArray[np.int16] = cv2.resize(numbers, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int16)
    return shrunk


@dataclass(eq=False)
class _Row:
    name: str
    scores: Mapping[str, float | int | str]
    rank: float
    picture: Picture | None = None


class ValidatedImages:
    """Takes images one after the other, and keeps the pictures of the worst and the best.

    Args:
        classes: Number of classes but the background, each of which has a colour if there are several.

    Example:
        >>> images = ValidatedImages()
        >>> images.add("a", {"dice": 0.9}, 0.9, lambda: Picture.of(np.zeros((1, 8, 8))))
        >>> [row.name for row in images.rows]
        ['a']
    """

    def __init__(self, classes: int = 1) -> None:
        self.classes = classes
        self.rows: list[_Row] = []
        self._worst: list[_Row] = []
        self._best: list[_Row] = []

    def add(
        self, name: str, scores: Mapping[str, float | int | str], rank: float, picture: Callable[[], Picture]
    ) -> None:
        """Take an image.

        Args:
            name: Its name.
            scores: Its scores, and whatever else the table shows, by name; the same names for all images.
            rank: The lower, the worse.
            picture: Returns its picture; called only if it is among the worst or the best so far.
        """
        row = _Row(name, scores, rank)
        self.rows.append(row)
        for kept in (self._worst, self._best):
            insort(kept, row, key=lambda one: one.rank)
        dropped = [*self._worst[MOST_WORST:], *self._best[:-MOST_BEST]]
        del self._worst[MOST_WORST:], self._best[:-MOST_BEST]
        shown = self._shown()
        for one in dropped:
            one.picture = one.picture if one in shown else None
        if row in shown:
            row.picture = picture()

    def _shown(self) -> list[_Row]:
        """Return the rows whose pictures are kept, the worst first."""
        return list(dict.fromkeys((*self._worst, *self._best)))

    def write(self, folder: Path) -> None:
        """Write `validation.csv` and the pictures in a run folder, in the place of earlier ones.

        Raises:
            OutputError: They cannot be written.
        """
        names: dict[_Row, str] = {}
        with partial_folder(folder / PICTURES_FOLDER) as place:
            shown = [(row, row.picture) for row in self._shown() if row.picture is not None]
            for number, (row, picture) in enumerate(shown, 1):
                names[row] = f"{number:02}.jpg"
                (place / names[row]).write_bytes(encode(picture.draw(self.classes)))
                if picture.truth is not None:
                    (place / plain_name(names[row])).write_bytes(encode(picture.display))
        columns = (NAME, *self.rows[0].scores, PICTURE) if self.rows else (NAME, PICTURE)
        with (
            partial_file(folder / IMAGES_FILE) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                cells = {name: _cell(value) for name, value in row.scores.items()}
                writer.writerow({NAME: printable(row.name), **cells, PICTURE: names.get(row, "")})


def keep_apart(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return labels (H, W) as a mask in which touching objects have a gap of a pixel, so that each has its contour.

    >>> keep_apart(np.array([[1, 1, 2, 2, 0, 3]])).tolist()
    [[1, 1, 0, 1, 0, 1]]
    """
    mask = (labels > 0).astype(np.uint8)
    for axis in range(2):
        first, second = _neighbours(axis)
        before, after = labels[first], labels[second]
        mask[second][(before != after) & (before > 0) & (after > 0)] = 0
    return mask


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where all pixels but the last along an axis are, and all but the first."""
    first, last = [slice(None)] * 2, [slice(None)] * 2
    first[axis], last[axis] = slice(None, -1), slice(1, None)
    return tuple(first), tuple(last)


def encode(display: Display) -> bytes:
    """Return a picture as JPEG of at most `MOST_BYTES`, or of the lowest quality."""
    for quality in QUALITIES:
        full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # lines stay sharp
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, *full_colour]
        data = cv2.imencode(".jpg", cv2.cvtColor(display, cv2.COLOR_RGB2BGR), options)[1].tobytes()
        if len(data) <= MOST_BYTES:
            break
    return data


def plain_name(picture: str) -> str:
    """Return the name of the picture without lines.

    >>> plain_name("01.jpg")
    '01-plain.jpg'
    """
    path = Path(picture)
    return f"{path.stem}{PLAIN_ENDING}{path.suffix}"


@dataclass(frozen=True)
class ImageRow:
    """A line of `validation.csv`.

    Attributes:
        name: The image.
        values: What the other columns hold: numbers, or text.
        picture: Name of its picture in `report/`; "" if it has none.
    """

    name: str
    values: Mapping[str, float | str]
    picture: str = ""


def read_images(folder: Path) -> list[ImageRow]:
    """Read `validation.csv` of a run, in the order of the file; [] where there is none.

    Raises:
        DataError: It is damaged.
    """
    path = folder / IMAGES_FILE
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file, strict=True)
            if not {NAME, PICTURE} <= set(lines.fieldnames or ()):
                raise ValueError("it has no images")
            return list(_rows(lines))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError(
            f"{path} is damaged: the scores of single images are not shown.", "Put it back, or delete it."
        ) from error


def _rows(lines: Iterable[dict[str | Any, str | Any]]) -> Iterable[ImageRow]:
    for line in lines:
        if None in line or None in line.values():
            raise ValueError("a line has another number of columns")
        picture = line[PICTURE]
        if picture and Path(picture).name != picture:
            raise ValueError("a picture lies elsewhere")
        values = {name: _value(text) for name, text in line.items() if name not in (NAME, PICTURE)}
        yield ImageRow(line[NAME], values, picture)


def _value(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


def _cell(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))
