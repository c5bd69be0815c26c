"""The picture of a large image, its segmentation, the errors in it, and how the model learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.ticker import FormatStrFormatter, MaxNLocator
from numpy.typing import NDArray

from unetkit.drawing.page import Page
from unetkit.drawing.pixels import (
    FAINT,
    PREDICTION,
    TRUTH,
    Display,
    blend,
    fit_size,
    resize,
    resize_mask,
    shade,
    to_display,
)
from unetkit.report.pictures import LINES, outlined
from unetkit.scoring.pixels import Mask, count_pixels, dice

MARGIN, HEAD, FOOT, GUTTER = 40, 92, 76, 36  # pixels on the page
CROP_SIDE = 276  # side of a crop on the page: three with a line of text above each are as high as the large image
TITLE_HEIGHT, PAIR_GAP, ROW_GAP = 30, 8, 14
IMAGE_SIDE = 3 * (TITLE_HEIGHT + CROP_SIDE) + 2 * ROW_GAP
PANEL_WIDTH = 380
ZOOM = 1.5

LEGEND_SAMPLE = 14.0  # thickness of a patch of colour in a legend
ERRORS = (("wrongly found", PREDICTION, LEGEND_SAMPLE), ("missed", TRUTH, LEGEND_SAMPLE))


@dataclass(frozen=True)
class Crop:
    """A square window of the image that is shown enlarged.

    Attributes:
        word: Why it is shown, in a word or two.
        y: Its first row.
        x: Its first column.
    """

    word: str
    y: int
    x: int

    def window(self, side: int) -> tuple[slice, slice]:
        """Return its rows and columns."""
        return slice(self.y, self.y + side), slice(self.x, self.x + side)


def overview_picture(
    path: Path,
    image: NDArray[Any],
    prediction: NDArray[Any],
    truth: NDArray[Any],
    curve: Sequence[tuple[int, float]] | None,
    headline: str,
    details: Mapping[str, str],
) -> None:
    """Write a picture (PNG, 2000 pixels wide) of a large image and its segmentation.

    Args:
        path: Where to; the folder is made if it does not exist.
        image: (H, W) or (C, H, W), any number type.
        prediction: Predicted mask (H, W); above zero is foreground.
        truth: True mask (H, W); above zero is foreground.
        curve: Validation Dice at training steps, if there is one.
        headline: The result in one sentence of up to 100 letters.
        details: Up to 12 short names and values to list beside the image, for example {"Dice": "0.953"}.

    Raises:
        OutputError: The file cannot be written.
    """
    pixels = image if image.ndim == 3 else image[None]
    predicted, true = prediction > 0, truth > 0
    side = min(int(CROP_SIDE / ZOOM), *true.shape)
    crops = choose_crops(predicted, true, side)
    page = Page(2 * MARGIN + IMAGE_SIDE + 2 * CROP_SIDE + PAIR_GAP + PANEL_WIDTH + 2 * GUTTER, HEAD + IMAGE_SIDE + FOOT)
    page.text(headline, MARGIN, HEAD / 2 + 4, 30, weight="bold")
    foot = HEAD + IMAGE_SIDE + FOOT / 2 - 4
    _place_whole(page, pixels, predicted, crops, side)
    page.legend(MARGIN + IMAGE_SIDE // 2, foot, [("prediction, over the right half", PREDICTION, LEGEND_SAMPLE)])
    left = MARGIN + IMAGE_SIDE + GUTTER
    for i, crop in enumerate(crops):
        window = crop.window(side)
        top = HEAD + i * (TITLE_HEIGHT + CROP_SIDE + ROW_GAP)
        score = dice(count_pixels(predicted[window], true[window]))
        page.text(f"{i + 1}   {crop.word}", left, top + TITLE_HEIGHT / 2 - 3, 16, color=FAINT)
        page.text(f"Dice {score:.3f}", left + 2 * CROP_SIDE + PAIR_GAP, top + TITLE_HEIGHT / 2 - 3, 16, ha="right")
        display = to_display(pixels[:, window[0], window[1]])
        page.image(resize(display, CROP_SIDE, CROP_SIDE), left, top + TITLE_HEIGHT)
        page.image(
            _with_errors(display, predicted[window], true[window]), left + CROP_SIDE + PAIR_GAP, top + TITLE_HEIGHT
        )
    page.legend(left, foot, [*LINES, *ERRORS])
    left += 2 * CROP_SIDE + PAIR_GAP + GUTTER
    end = _place_details(page, details, left)
    if curve:
        _place_curve(page, curve, left, end + 40)
    page.save(path)


def choose_crops(prediction: Mask, truth: Mask, side: int) -> list[Crop]:
    """Return up to three different windows: a typical one, the fullest, and the one with the most wrong pixels.

    Args:
        prediction: (H, W).
        truth: (H, W).
        side: Height and width of the windows, at most those of the image.
    """
    height, width = truth.shape
    corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    windows = [Crop("", y, x).window(side) for y, x in corners]
    full = np.argsort([-np.count_nonzero(truth[window]) for window in windows], kind="stable")
    wrong = np.argsort([-np.count_nonzero(truth[window] ^ prediction[window]) for window in windows], kind="stable")
    middle = np.roll(full, -(len(full) // 3))  # above the median: empty windows show nothing
    chosen: dict[int, str] = {}
    for word, order in (("most errors", wrong), ("most crowded", full), ("typical", middle)):
        free = [int(i) for i in order if int(i) not in chosen]
        if free:
            chosen[free[0]] = word
    return [Crop(word, *corners[i]) for i, word in reversed(chosen.items())]


def _place_whole(page: Page, pixels: NDArray[Any], prediction: Mask, crops: Sequence[Crop], side: int) -> None:
    """Place the whole image with the mask laid over its right half, and numbered boxes around the crops."""
    height, width = prediction.shape
    size = fit_size(height, width, IMAGE_SIDE, IMAGE_SIDE)
    shown = resize(to_display(pixels), *size)
    cover = cv2.resize(prediction.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA) * 0.6
    cover[:, : size[1] // 2] = 0
    page.image(blend(shown, PREDICTION, cover), MARGIN, HEAD)
    scale = size[0] / height
    for i, crop in enumerate(crops):
        left, top = MARGIN + crop.x * scale, HEAD + crop.y * scale
        page.box(left, top, side * scale, side * scale)
        above = top - HEAD > 26
        page.badge(str(i + 1), left, top - 12 if above else top + 12)


def _with_errors(display: Display, prediction: Mask, truth: Mask) -> Display:
    """Return a crop, enlarged, with both contours and the errors tinted."""
    size = (CROP_SIDE, CROP_SIDE)
    wide_prediction, wide_truth = resize_mask(prediction, *size), resize_mask(truth, *size)
    shown = blend(resize(display, *size), PREDICTION, (wide_prediction & ~wide_truth) * 0.6)
    shown = blend(shown, TRUTH, (wide_truth & ~wide_prediction) * 0.6)
    return outlined(shown, truth, prediction, size)


def _place_details(page: Page, details: Mapping[str, str], left: float) -> float:
    """List the details and return where the list ends."""
    top = HEAD + TITLE_HEIGHT / 2 - 3.0
    for name, value in details.items():
        page.text(name, left, top, 18, color=FAINT)
        page.text(value, left + PANEL_WIDTH, top, 18, ha="right")
        top += 34
    return top


def _place_curve(page: Page, curve: Sequence[tuple[int, float]], left: float, top: float) -> None:
    """Plot the validation Dice over the training steps, down to the bottom of the image."""
    steps, scores = zip(*curve, strict=True)
    page.text("Validation Dice while training", left, top, 18, color=FAINT)
    top += 28
    axes = page.axes(left + 44, top, PANEL_WIDTH - 44, HEAD + IMAGE_SIDE - 24 - top)
    axes.plot(steps, scores, color=shade(PREDICTION), linewidth=2, marker="o", markersize=4)
    axes.set_ylim(max(min(scores) - 0.03, 0), 1)
    axes.set_xlim(0, max(steps) * 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.2f"))
    page.text("step", left + PANEL_WIDTH, HEAD + IMAGE_SIDE + 14, 14, color=FAINT, ha="right")
