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

from unetkit.backends.base import device_of, for_axes
from unetkit.inference.tiling.canvas import fill_canvas
from unetkit.inference.tiling.grid import PerAxis, one_if_equal, round_up
from unetkit.models.masks import to_mask
from unetkit.models.segmenter import Segmenter

HALO_TOLERANCE = 1e-4
"""Largest share of mask pixels that tiling may change."""

CANVAS_SIZE = 1024
"""Size of the large context along each axis of a plane, in pixels."""

WINDOW_SIZE = 512
"""Size of the compared windows along each axis of a plane, in pixels. In larger tiles a smaller share of the pixels is
near the border."""

HALO_IMAGES = 24
"""Number of images on which the halo is measured at the end of a training."""

WINDOWS_PER_AXIS = 4
"""Number of compared windows along each axis of a plane, and of all compared windows of a volume."""

VOLUME_CANVAS, VOLUME_WINDOW = 160, 96
"""Sizes of canvas and windows along each axis of a volume, in voxels. Where a network's strides differ, so do the
sizes, and canvas and windows have about as many voxels."""

LEAST_SHARE = 4
"""A volume's sizes along an axis are at least those of a stride this many times smaller than the largest one: a network
sees along axes that it does not reduce, too."""

LEAST_STRIDES = 3
"""Least size of a window, in strides of the network."""

LARGEST_HALO = 192
"""Largest halo that is tried, in pixels."""

LEAST_COMPARED = 0.03
"""Least share of the pixels of the windows that a halo leaves to compare: of fewer, nothing may differ by chance."""

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


@dataclass(frozen=True)
class Comparison:
    """What is predicted to measure a halo.

    Attributes:
        canvas: Size of the canvas along each axis.
        window: Size of the windows along each axis.
        positions: Windows along each axis.
        windows: Windows that are compared, of all these.
    """

    canvas: tuple[int, ...]
    window: tuple[int, ...]
    positions: int
    windows: int

    @property
    def pixels(self) -> int:
        """Pixels that are predicted."""
        return prod(self.canvas) + self.windows * prod(self.window)


def plan_comparison(strides: tuple[int, ...], positions: int | None = None) -> Comparison:
    """Choose what is predicted to measure the halo of a network.

    Args:
        strides: Its stride along each axis.
        positions: Windows along each axis of a plane, or all windows of a volume, which then lie in its corners; at
            least 2, by default `WINDOWS_PER_AXIS`.

    Example:
        >>> plan_comparison((32, 32)).window, plan_comparison((16, 16, 16)).window, plan_comparison((1, 16, 16)).window
        ((512, 512), (96, 96, 96), (38, 160, 160))
    """
    positions = positions or WINDOWS_PER_AXIS
    axes = len(strides)
    if axes == 2:
        return Comparison((CANVAS_SIZE,) * axes, (WINDOW_SIZE,) * axes, positions, positions**axes)
    seen = [max(stride, max(strides) / LEAST_SHARE) for stride in strides]
    unit = VOLUME_WINDOW / prod(seen) ** (1 / axes)
    steps = [max(round(unit * one / stride), LEAST_STRIDES) for one, stride in zip(seen, strides, strict=True)]
    around = [max(round(count * VOLUME_CANVAS / VOLUME_WINDOW), count + 1) for count in steps]
    canvas, window = (
        tuple(count * stride for count, stride in zip(counts, strides, strict=True)) for counts in (around, steps)
    )
    return Comparison(canvas, window, 2, min(positions, 2**axes))


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
        positions: How many windows, see `plan_comparison`.

    Returns:
        The halo and its error.
    """
    segmenter.eval()  # in training mode batch norm would see windows and canvas differently
    device = device_of(segmenter.network)
    compared = plan_comparison(segmenter.spec.strides, positions)
    pieces = []
    for pixels, center, scale in images:
        seen = np.ascontiguousarray(pixels[:, *map(slice, compared.canvas)], np.float32)
        values = (torch.from_numpy(each[None]).to(device) for each in (seen, center, scale))
        pieces.append(segmenter.normalizer(*values)[0].cpu().numpy())
    canvas = torch.from_numpy(fill_canvas(pieces, compared.canvas)).to(device)
    with torch.inference_mode():
        return compare_windows(
            lambda part: _predict(segmenter, part),
            _are_other_values if segmenter.spec.task == "reconstruction" else np.not_equal,
            canvas,
            window=compared.window,
            stride=segmenter.spec.strides,
            margin=segmenter.spec.margin,
            positions=compared.positions,
            windows=compared.windows,
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
    windows: int | None = None,
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
        positions: Windows along each axis, at least 2. Two windows touch the canvas's border, so each has one cut along
            an axis, and pixels up to the whole window away from it are compared.
        windows: Windows that are compared, spread over all these; all of them by default.
    """
    size = tuple(canvas.shape[1:])
    groups = sorted(set(stride))
    farthest = [length - 1 if positions == 2 else length // 2 - 1 for length in window]
    bins = tuple(
        1 + min(most // one for most, one in zip(farthest, stride, strict=True) if one == group) for group in groups
    )
    changed, compared = np.zeros((2, *bins), np.int64)
    reference = predict(canvas)
    starts = list(product(*map(_offsets, size, window, stride, [positions] * len(size))))
    for number in np.linspace(0, len(starts) - 1, windows or len(starts)).round().astype(int):
        start = starts[number]
        place = tuple(slice(first, first + length) for first, length in zip(start, window, strict=True))
        within: Any = (..., *place)
        differs = differ(predict(canvas[:, *place]), reference[within])
        along = [_along(*ends) // one for *ends, one in zip(start, window, size, farthest, stride, strict=True)]
        strides_away = _nearest(along, stride, groups, bins)
        changed += np.bincount(strides_away[differs], minlength=changed.size).reshape(bins)
        compared += np.bincount(strides_away.ravel(), minlength=changed.size).reshape(bins)
    best = None
    for steps in _candidates(groups, bins, margin, window, stride):
        inside = tuple(slice(step, None) for step in steps)  # the pixels that are so many strides away, or more
        if best is not None and compared[inside].sum() < LEAST_COMPARED * compared.sum():
            continue
        halo = tuple(steps[groups.index(one)] * one for one in stride)
        best = HaloMeasurement(one_if_equal(halo), int(changed[inside].sum()) / int(compared[inside].sum()))
        if best.error <= HALO_TOLERANCE:
            break
    assert best is not None
    return best


def _offsets(length: int, window: int, stride: int, positions: int) -> list[int]:
    """Return where the windows start along an axis."""
    return [round(i * (length - window) / (positions - 1) / stride) * stride for i in range(positions)]


def _along(start: int, window: int, length: int, farthest: int) -> NDArray[np.int64]:
    """Return the distance (window,) of each pixel of a window from its cuts along one axis, at most `farthest`.

    A side on the canvas's border is no cut: nothing changes there, as nothing does at the border of an image.
    """
    pixels = np.arange(window)
    before = pixels if start > 0 else np.full_like(pixels, window)
    after = pixels[::-1] if start + window < length else np.full_like(pixels, window)
    return np.minimum(np.minimum(before, after), farthest)


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
