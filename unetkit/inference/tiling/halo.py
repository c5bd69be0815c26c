"""Measure how much context a model needs around a tile: its effective receptive field, in mask pixels that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.inference.tiling.grid import round_up
from unetkit.models.masks import to_mask
from unetkit.models.segmenter import Segmenter

TOLERANCE = 1e-4
"""Share of mask pixels that may change."""

CANVAS = 1024
"""Size of the large context, in pixels."""

WINDOW = 512
"""Size of the windows that are compared with it; a larger tile has a smaller share of its pixels near its border."""

HALO_IMAGES = 24
"""Images that the halo is measured on at the end of a training."""

POSITIONS = 4
"""Windows along each axis."""

LARGEST = 192
"""Largest halo that is tried, in pixels."""

STEP = 1 / 255
"""A pixel that is restored, not classified, has changed if its normalised value has by more than this: one level of 8
bits, where the image's percentiles become 0 and 1."""


@dataclass(frozen=True)
class HaloMeasurement:
    """A halo and what it costs.

    Attributes:
        halo: Smallest multiple of the encoder's stride at which at most `TOLERANCE` of the mask pixels in the cores of
            512-pixel tiles change against a far larger context; the largest one tried if none does. At least the margin
            of a network that extends its windows by itself, so that no pixel that is kept sees such an extension.
        error: Share of mask pixels, or of restored pixels, that change with that halo.
    """

    halo: int
    error: float


def halo_pixels(positions: int | None = None) -> int:
    """Return how many pixels are predicted to measure a halo with so many windows along each axis."""
    return int(CANVAS**2 + (positions or POSITIONS) ** 2 * WINDOW**2)


def measure_halo(
    segmenter: Segmenter,
    images: Sequence[tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]],
    positions: int | None = None,
) -> HaloMeasurement:
    """Measure the halo of a model on images like those it is for.

    The images are normalised and laid side by side on a canvas. Windows of the canvas are predicted by themselves and
    compared, pixel by pixel, with a pass over the whole canvas. A changed pixel at distance d from the border of its
    window is one that any halo greater than d repairs, so one set of windows measures all halos.

    Args:
        segmenter: On the device to measure on; it is put into evaluation mode.
        images: Raw pixels (C, h, w) with the center (C,) and scale (C,) that normalise them.
        positions: Windows along each axis, at least 2; by default `POSITIONS`.

    Returns:
        The halo and its error.
    """
    stride = segmenter.spec.stride
    device = next(segmenter.parameters()).device
    segmenter.eval()  # in training mode batch norm would see windows and canvas differently
    canvas = torch.from_numpy(_canvas(images)).to(device)
    changed, compared = np.zeros((2, WINDOW // 2), np.int64)
    steps = (positions or POSITIONS) - 1
    offsets = [round(i * (CANVAS - WINDOW) / steps / stride) * stride for i in range(steps + 1)]
    with torch.inference_mode():
        reference = _predict(segmenter, canvas)
        for top in offsets:
            for left in offsets:
                window = (slice(top, top + WINDOW), slice(left, left + WINDOW))
                predicted = _predict(segmenter, canvas[:, *window])
                if segmenter.spec.task == "reconstruction":
                    differs = (np.abs(predicted - reference[:, *window]) > STEP).any(0)
                else:
                    differs = predicted != reference[window]
                distance = _cut_distance(top, left)
                changed += np.bincount(distance[differs], minlength=WINDOW // 2)
                compared += np.bincount(distance.ravel(), minlength=WINDOW // 2)
    shares = changed[::-1].cumsum()[::-1] / compared[::-1].cumsum()[::-1]  # of the pixels at distance d or more
    halos = range(max(stride, round_up(segmenter.spec.margin, stride)), LARGEST + 1, stride)
    errors = [float(shares[halo]) for halo in halos]
    chosen = next((i for i, error in enumerate(errors) if error <= TOLERANCE), len(errors) - 1)
    return HaloMeasurement(halos[chosen], errors[chosen])


def _canvas(images: Sequence[tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Normalise images and lay them side by side, row by row, again and again until the canvas (C, h, w) is full."""
    pieces = [
        (pixels[:, :CANVAS, :CANVAS] - center[:, None, None]) / scale[:, None, None] for pixels, center, scale in images
    ]
    canvas = np.empty((pieces[0].shape[0], CANVAS, CANVAS), np.float32)
    top, count = 0, 0
    while top < CANVAS:
        left, row_height = 0, CANVAS - top
        while left < CANVAS:
            piece = pieces[count % len(pieces)][:, :row_height, : CANVAS - left]
            if left == 0:
                row_height = piece.shape[1]
            repeats = -(-row_height // piece.shape[1])
            piece = np.tile(piece, (1, repeats, 1))[:, :row_height]
            canvas[:, top : top + row_height, left : left + piece.shape[2]] = piece
            left += piece.shape[2]
            count += 1
        top += row_height
    return canvas


def _cut_distance(top: int, left: int) -> NDArray[np.int64]:
    """Return the distance (window, window) of each pixel from where its window was cut out of the canvas, in pixels.

    A side on the canvas's border is no cut: nothing changes there, as nothing does at the border of an image.
    """
    rows, columns = _along(top), _along(left)
    return np.minimum(rows[:, None], columns[None, :])


def _along(start: int) -> NDArray[np.int64]:
    """Return the distance (window,) of each pixel from the cuts along one axis, at most half a window."""
    pixels = np.arange(WINDOW)
    before = pixels if start > 0 else np.full_like(pixels, WINDOW)
    after = pixels[::-1] if start + WINDOW < CANVAS else np.full_like(pixels, WINDOW)
    return np.minimum(np.minimum(before, after), WINDOW // 2 - 1)


def _predict(segmenter: Segmenter, normalized: torch.Tensor) -> NDArray[Any]:
    """Predict the mask (h, w) of normalised pixels (C, h, w), or restore them (C, h, w)."""
    batch = normalized[None].contiguous(memory_format=torch.channels_last)
    if segmenter.spec.task == "reconstruction":
        restored: NDArray[Any] = segmenter.network(batch)[0].float().cpu().numpy()
        return restored
    logits = segmenter.network(batch)[0, : segmenter.spec.out_channels]
    cut = float(np.log(segmenter.spec.threshold / (1 - segmenter.spec.threshold)))
    mask: NDArray[Any] = to_mask(logits, cut).cpu().numpy()
    return mask
