"""Measure how much context a model needs around a tile: its effective receptive field, in mask pixels that change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.backends.base import for_axes
from unetkit.inference.tiling.canvas import fill_canvas
from unetkit.inference.tiling.grid import PerAxis, one_if_equal, per_axis, round_up
from unetkit.models.masks import to_mask
from unetkit.models.segmenter import Segmenter

HALO_TOLERANCE = 1e-4
"""Largest share of mask pixels that tiling may change."""

CANVAS_SIZE = 1024
"""Size of the large context along each axis, in pixels."""

WINDOW_SIZE = 512
"""Size of the compared windows, in pixels. In larger tiles a smaller share of the pixels is near the border."""

HALO_IMAGES = 24
"""Number of images on which the halo is measured at the end of a training."""

WINDOWS_PER_AXIS = 4
"""Number of compared windows along each axis."""

LARGEST_HALO = 192
"""Largest halo that is tried, in pixels."""

RESTORED_TOLERANCE = 1 / 255
"""Largest difference of the normalised values of a restored pixel that counts as unchanged.

It is one level of 8 bits: normalised, the image's percentiles are 0 and 1.
"""


Pixels = NDArray[Any]


@dataclass(frozen=True)
class HaloMeasurement:
    """A halo and what it costs.

    Attributes:
        halo: Smallest multiple of the encoder's stride at which at most `HALO_TOLERANCE` of the mask pixels change
            against a far larger context; the largest one tried if none does. Only the cores of tiles of 512 pixels
            count. The halo of a network that extends its windows by itself is at least its margin, so that no pixel
            that is kept sees such an extension. One number, or one for each axis where they differ.
        error: Share of mask pixels, or of restored pixels, that change with that halo.
    """

    halo: PerAxis
    error: float


def halo_pixels(positions: int | None = None) -> int:
    """Return how many pixels are predicted to measure a halo with so many windows along each axis."""
    return int(CANVAS_SIZE**2 + (positions or WINDOWS_PER_AXIS) ** 2 * WINDOW_SIZE**2)


def measure_halo(
    segmenter: Segmenter,
    images: Sequence[tuple[Pixels, NDArray[np.float32], NDArray[np.float32]]],
    positions: int | None = None,
) -> HaloMeasurement:
    """Measure the halo of a model on images like those it is for.

    The images are normalised and laid side by side on a canvas. Windows of the canvas are predicted by themselves and
    compared, pixel by pixel, with a pass over the whole canvas.

    Args:
        segmenter: On the device to measure on; it is put into evaluation mode.
        images: Raw pixels (C, ...) with the center (C,) and scale (C,) that normalise them.
        positions: Windows along each axis, at least 2; by default `WINDOWS_PER_AXIS`.

    Returns:
        The halo and its error.
    """
    segmenter.eval()  # in training mode batch norm would see windows and canvas differently
    device = next(segmenter.parameters()).device
    axes = images[0][0].ndim - 1
    pieces = []
    for pixels, center, scale in images:
        seen = np.ascontiguousarray(pixels[:, *[slice(CANVAS_SIZE)] * axes], np.float32)
        values = (torch.from_numpy(each[None]).to(device) for each in (seen, center, scale))
        pieces.append(segmenter.normalizer(*values)[0].cpu().numpy())
    canvas = torch.from_numpy(fill_canvas(pieces, (CANVAS_SIZE,) * axes)).to(device)
    with torch.inference_mode():
        return compare_windows(
            lambda part: _predict(segmenter, part),
            _are_other_values if segmenter.spec.task == "reconstruction" else np.not_equal,
            canvas,
            window=(WINDOW_SIZE,) * axes,
            stride=per_axis(segmenter.spec.stride, axes),
            margin=segmenter.spec.margin,
            positions=positions or WINDOWS_PER_AXIS,
        )


def compare_windows(
    predict: Callable[[torch.Tensor], Pixels],
    differ: Callable[[Pixels, Pixels], NDArray[np.bool_]],
    canvas: torch.Tensor,
    *,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    margin: int,
    positions: int,
) -> HaloMeasurement:
    """Measure a halo: the difference between windows that are predicted by themselves and a pass over all.

    Any halo greater than d repairs a changed pixel at distance d from the border of its window. So one set of windows
    measures all halos. Axes of one stride have one halo, as a network sees as far along each of them.

    Args:
        predict: Predicts normalised pixels (C, ...).
        differ: Returns which pixels (...) of two predictions differ.
        canvas: (C, ...) what is predicted as a whole, and in windows.
        window: Size of the windows along each axis.
        stride: Stride of the network along each axis.
        margin: Smallest halo, in pixels.
        positions: Windows along each axis, at least 2.
    """
    size = tuple(canvas.shape[1:])
    groups = sorted(set(stride))
    bins = tuple(
        1 + min((length // 2 - 1) // one for length, one in zip(window, stride, strict=True) if one == group)
        for group in groups
    )
    changed, compared = np.zeros((2, *bins), np.int64)
    reference = predict(canvas)
    for start in product(*map(_offsets, size, window, stride, [positions] * len(size))):
        place = tuple(slice(first, first + length) for first, length in zip(start, window, strict=True))
        within: Any = (..., *place)
        differs = differ(predict(canvas[:, *place]), reference[within])
        along = [_along(*ends) // one for *ends, one in zip(start, window, size, stride, strict=True)]
        strides_away = _nearest(along, stride, groups, bins)
        changed += np.bincount(strides_away[differs], minlength=changed.size).reshape(bins)
        compared += np.bincount(strides_away.ravel(), minlength=changed.size).reshape(bins)
    best = None
    for steps in _candidates(groups, bins, margin, window, stride):
        inside = tuple(slice(step, None) for step in steps)  # the pixels that are so many strides away, or more
        halo = tuple(steps[groups.index(one)] * one for one in stride)
        best = HaloMeasurement(one_if_equal(halo), int(changed[inside].sum()) / int(compared[inside].sum()))
        if best.error <= HALO_TOLERANCE:
            break
    assert best is not None
    return best


def _offsets(length: int, window: int, stride: int, positions: int) -> list[int]:
    """Return where the windows start along an axis."""
    return [round(i * (length - window) / (positions - 1) / stride) * stride for i in range(positions)]


def _along(start: int, window: int, length: int) -> NDArray[np.int64]:
    """Return the distance (window,) of each pixel of a window from its cuts along one axis, at most half a window.

    A side on the canvas's border is no cut: nothing changes there, as nothing does at the border of an image.
    """
    pixels = np.arange(window)
    before = pixels if start > 0 else np.full_like(pixels, window)
    after = pixels[::-1] if start + window < length else np.full_like(pixels, window)
    return np.minimum(np.minimum(before, after), window // 2 - 1)


def _nearest(
    along: Sequence[NDArray[np.int64]], stride: Sequence[int], groups: Sequence[int], bins: tuple[int, ...]
) -> NDArray[np.int64]:
    """Return how many strides each pixel of a window is away from its nearest cut, as the number of a bin.

    Args:
        along: The distance along each axis, in strides.
        stride: Stride along each axis.
        groups: The different strides.
        bins: Number of different distances for each of these strides. The last bin also holds all larger ones.
    """
    number = np.zeros((), np.int64)
    for group, count in zip(groups, bins, strict=True):
        distance: Any = count - 1
        for axis, (steps, one) in enumerate(zip(along, stride, strict=True)):
            if one == group:
                distance = np.minimum(distance, steps.reshape(-1, *[1] * (len(along) - axis - 1)))
        number = number * count + distance
    return np.broadcast_to(number, [len(steps) for steps in along])


def _candidates(
    groups: Sequence[int], bins: tuple[int, ...], margin: int, window: tuple[int, ...], stride: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Return the halos that are tried, in strides for each different stride: those of the smallest tiles first."""
    tried = [
        range(max(1, round_up(margin, group) // group), min(LARGEST_HALO // group, count - 1) + 1)
        for group, count in zip(groups, bins, strict=True)
    ]

    def pixels(steps: tuple[int, ...]) -> int:
        return prod(length + 2 * steps[groups.index(one)] * one for length, one in zip(window, stride, strict=True))

    return sorted(product(*tried), key=pixels)


def _are_other_values(one: Pixels, other: Pixels) -> NDArray[np.bool_]:
    """Return which of restored pixels (C, ...) differ by more than a step in one of the channels."""
    differs: NDArray[np.bool_] = (np.abs(one - other) > RESTORED_TOLERANCE).any(0)
    return differs


def _predict(segmenter: Segmenter, normalized: torch.Tensor) -> Pixels:
    """Predict the mask (...) of normalised pixels (C, ...), or restore them (C, ...)."""
    batch = normalized[None].contiguous(memory_format=for_axes(torch.channels_last, normalized.dim() - 1))
    if segmenter.spec.task == "reconstruction":
        restored: Pixels = segmenter.network(batch)[0].float().cpu().numpy()
        return restored
    logits = segmenter.network(batch)[0, : segmenter.spec.out_channels]
    cut = float(np.log(segmenter.spec.threshold / (1 - segmenter.spec.threshold)))
    mask: Pixels = to_mask(logits, cut).cpu().numpy()
    return mask
