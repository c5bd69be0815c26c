"""Steps: the preprocessing of a network that unetkit did not build, with whole-image statistics; its postprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.models.foreign import MEASURED, ForeignSpec, Step
from unetkit.models.normalization import Normalization
from unetkit.models.normalizer import Normalizer
from unetkit.models.statistics import Statistics

SMALLEST_PROBABILITY = 1e-7
"""Probabilities this near to 0 or 1 count as these: their logarithm would be infinite."""


class StepNormalizer(Normalizer):
    """Raw pixels to network input by steps, one of which may be measured on the whole image; see `Normalizer`.

    Args:
        steps: The steps, in their order.
        planes: Planes that the network sees at once; the values of the middle one are those of all.
    """

    def __init__(self, steps: Sequence[Step], planes: int = 1) -> None:
        super().__init__(Normalization(), planes)
        measured = next((number for number, step in enumerate(steps) if step.name in MEASURED), None)
        self.measured = None if measured is None else steps[measured]
        self.before = tuple(steps[:measured] if measured is not None else ())
        self.after = tuple(steps[measured + 1 :] if measured is not None else steps)

    @property
    def stored(self) -> Statistics | None:
        """Nothing: a network of others has no statistics of training images."""
        return None

    def statistics(self, sample: NDArray[Any]) -> Statistics:
        """Return the values (planes * C,) for one image; see `Normalizer.statistics`."""
        channels = len(sample)
        if self.measured is None:
            values = Statistics(np.zeros(channels, np.float32), np.ones(channels, np.float32))
        else:
            pixels = torch.from_numpy(np.asarray(sample, np.float64).reshape(1, channels, -1))
            changed = pixels if self.measured.raw else apply_steps(pixels, self.before)
            values = _measure(changed[0].numpy(), self.measured)
        return values.for_planes(self.planes)

    def forward(self, pixels: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Normalise a batch; see `Normalizer.forward`."""
        if center.dim() == 2:
            each = (slice(None), slice(None), *[None] * (pixels.dim() - 2))
            center, scale = center[each], scale[each]
        changed = apply_steps(pixels.to(torch.float32), self.before)
        if self.measured is not None:
            changed = (changed - center) / scale
        return apply_steps(changed, self.after)


def _measure(pixels: NDArray[np.float64], step: Step) -> Statistics:
    """Return the values of a measured step on an image (C, n)."""
    groups = pixels if step.channelwise else pixels.reshape(1, -1)
    if step.name == "range":
        center, high = np.percentile(groups, (step.low, step.high), axis=1)
        scale = high - center
    else:
        center, scale = groups.mean(1), groups.std(1)
    scale = scale + step.epsilon
    scale = np.where(scale > 0, scale, 1.0)
    shape = len(pixels)
    return Statistics(
        np.broadcast_to(center, shape).astype(np.float32), np.broadcast_to(scale, shape).astype(np.float32)
    )


def apply_steps(values: Tensor, steps: Sequence[Step]) -> Tensor:
    """Apply steps, none of them measured, to values (N, C, ...)."""
    for step in steps:
        if step.name == "linear":
            values = values * _each(step.gain, values) + _each(step.offset, values)
        elif step.name == "clip":
            values = values.clamp(step.low, step.high)
        elif step.name == "truncate":
            values = values.trunc().clamp(step.low, step.high)
        elif step.name == "binarize":
            values = (values > _each(step.offset, values)).to(values.dtype)
        elif step.name == "sigmoid":
            values = values.sigmoid()
        elif step.name == "softmax":
            values = values.softmax(1)
        else:
            raise AssertionError(f"{step.name} is measured, not applied")
    return values


def _each(numbers: tuple[float, ...], values: Tensor) -> Tensor:
    """Return numbers, one for each channel or one for all, such that they go with values (N, C, ...)."""
    return torch.tensor(numbers, dtype=values.dtype, device=values.device).reshape(1, -1, *[1] * (values.dim() - 2))


def to_logits(output: Tensor, spec: ForeignSpec) -> Tensor:
    """Turn the output (N, C, ...) of a network into logits as unetkit has them.

    Returns:
        (N, 1, ...) whose sigmoid is the probability of foreground, or (N, channels, ...) whose softmax is that of each
        class; and a channel more whose sigmoid is the distance map, where there is one.
    """
    logits = _class_logits(output, spec.after, spec.channels)
    if spec.distance is None:
        return logits
    return torch.cat([logits, _class_logits(output, spec.after, (spec.distance,))], dim=1)


def _class_logits(output: Tensor, steps: Sequence[Step], channels: Sequence[int]) -> Tensor:
    """Return the logits of some channels: of one of them, of two as background and foreground, or of each class."""
    direct = steps and steps[-1].name in ("sigmoid", "softmax")
    values = apply_steps(output.float(), steps[:-1] if direct else steps)
    if direct and steps[-1].name == "sigmoid" and len(channels) == 1:
        return values[:, list(channels)]
    if direct and steps[-1].name == "softmax" and len(channels) == values.shape[1]:
        chosen = values[:, list(channels)]
    else:
        chosen = (apply_steps(values, steps[-1:]) if direct else values)[:, list(channels)]
        chosen = chosen.clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        if len(channels) == 1:
            return torch.logit(chosen)
        chosen = chosen.log()
    return chosen[:, 1:] - chosen[:, :1] if len(channels) == 2 else chosen
