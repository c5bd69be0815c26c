"""Find tiles that are surely empty: as even as the background of their image, at low resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unetkit.foundation.atomic import partial_file
from unetkit.inference.tiling.grid import Tile
from unetkit.io.base.contracts import ImageSource, match_channels
from unetkit.models.nodata import mode
from unetkit.models.sampling import sample_windows

BLOCK_SIZE = 16
"""Size along each axis of a pixel of the low-resolution image, in pixels: less than the smallest object of interest."""

BLOCK_CONTRAST_SHARE = 0.05
"""Share of the image's contrast by which the mean of a block has to differ from the background."""

BLOCK_NOISE_RATIO = 2.0
"""Factor by which the standard deviation of a block has to exceed that of the background's blocks."""

PICTURE_SIZE = 1024
"""Largest side of the picture of the skipped tiles, in pixels."""


@dataclass(frozen=True)
class Background:
    """The background of a plane.

    Attributes:
        level: (C,) its mean.
        tolerance: (C,) how far the mean of a block of background may be from it.
        noise: (C,) the largest standard deviation of a block of background.
    """

    level: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    noise: NDArray[np.float64]

    def holds_nothing(self, window: NDArray[Any]) -> bool:
        """Return whether every block of a window (C, ...) is background: one that differs is enough to keep it."""
        means, deviations = _reduce(window)
        channel = (slice(None), *[None] * (means.ndim - 1))
        even = np.abs(means - self.level[channel]) <= self.tolerance[channel]
        return bool((even & (deviations <= self.noise[channel])).all())


def measure_background(source: ImageSource, plane: int, channels: int) -> Background:
    """Measure the background of a plane: the most frequent brightness of its blocks, on a sample of windows."""
    reduced = [_reduce(match_channels(window, channels, source.info.name)) for window in sample_windows(source, plane)]
    means = np.concatenate([mean.reshape(channels, -1) for mean, _ in reduced], axis=1)
    deviations = np.concatenate([deviation.reshape(channels, -1) for _, deviation in reduced], axis=1)
    low, high = np.percentile(means, (0.5, 99.5), axis=1)
    tolerance = BLOCK_CONTRAST_SHARE * (high - low)
    level = np.array([mode(values) for values in means])
    near = (np.abs(means - level[:, None]) <= tolerance[:, None]).all(axis=0)
    noise = BLOCK_NOISE_RATIO * np.median(deviations[:, near], axis=1) if near.any() else np.zeros(channels)
    return Background(level, tolerance, noise)


def draw_skipped(path: Path, source: ImageSource, skipped: list[tuple[int, Tile]]) -> None:
    """Write a small picture of the first plane (of a volume its first slice), the tiles that were skipped in red.

    Args:
        path: A PNG file; it is replaced.
        source: The image.
        skipped: Plane and place of each tile that was skipped.
    """
    height, width = source.info.height, source.info.width
    step = max(-(-max(height, width) // PICTURE_SIZE), 1)
    rows = [_read_sparse(source, top, step, width) for top in range(0, height, step)]
    grey = np.stack(rows).astype(np.float32)
    low, high = np.percentile(grey, (1, 99.8))
    picture = np.repeat((np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255)[:, :, None], 3, axis=2)
    for plane, tile in skipped:
        *before, rows_kept, columns_kept = tile.kept
        if plane == 0 and all(part.start == 0 for part in before):
            kept = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in (rows_kept, columns_kept))
            picture[kept] = picture[kept] * 0.6 + np.array([100, 0, 0])
    with partial_file(path) as partial:
        Image.fromarray(picture.astype(np.uint8)).save(partial, format="PNG")


def _read_sparse(source: ImageSource, row: int, step: int, width: int) -> NDArray[Any]:
    """Return every `step`-th pixel (n,) of a row, the mean of its channels."""
    first_slice = [slice(0, 1)] * (len(source.info.size) - 2)
    pixels = source.read(0, (*first_slice, slice(row, row + 1), slice(0, width)))
    sparse: NDArray[Any] = pixels.reshape(len(pixels), width)[:, ::step].mean(axis=0)
    return sparse


def _reduce(window: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of the blocks (C, ...) of a window; parts of blocks count too."""
    pixels = window.astype(np.float32)
    edge = [(0, 0), *((0, -length % BLOCK_SIZE) for length in window.shape[1:])]
    padded = np.pad(pixels, edge, mode="edge")
    blocks = padded.reshape(
        len(padded), *(part for length in padded.shape[1:] for part in (length // BLOCK_SIZE, BLOCK_SIZE))
    )
    within = tuple(range(2, blocks.ndim, 2))
    return blocks.mean(axis=within), blocks.std(axis=within)
