"""Learning a choice of objects: candidates of images whose truth is known, and a small network that rates them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unetkit.postprocess.candidates import FEATURES, Candidates, find_candidates
from unetkit.postprocess.choice import Choice
from unetkit.postprocess.faces import faces_of
from unetkit.postprocess.method import Method
from unetkit.postprocess.predicted_distance import by_predicted_distance

HIDDEN = 16
"""Units of the hidden layer."""

STEPS = 1500
"""Steps of Adam over all candidates at once, at `RATE`, with `DECAY` on the weights."""

RATE = 0.01
DECAY = 1e-3

SMALLEST = 10
"""Smaller candidates are not learnt from, in annotated pixels."""

LEAST = 0.35
"""Quality up to which a candidate is no object: with an AP of a, one more object pays if it is right more often than
a / (1 + a) of the time, which is 0.42 at an AP@0.5 of 0.72 and 0.33 at an AP@0.7 of 0.5.
"""

WORTHLESS = 0.4
"""IoU up to which a candidate is worth nothing."""


@dataclass(frozen=True)
class Learnt:
    """Candidates with what they are worth.

    Attributes:
        features: (N, 10) see `unetkit.postprocess.candidates.FEATURES`.
        worth: (N,) what each adds to AP at 0.5 and at 0.7, 0 to 1.
    """

    features: NDArray[np.float64]
    worth: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.worth)

    @classmethod
    def of_image(
        cls, bands: NDArray[np.uint8], truth: NDArray[Any], unknown: NDArray[np.bool_] | None = None
    ) -> Learnt:
        """Collect the candidates of an image.

        What one is worth rises around an IoU of 0.5 and of 0.7, so that near misses count.

        Args:
            bands: (2, H, W) probability of the foreground and distance map, 0 outside of the mask.
            truth: (H, W) numbers of the true objects, 0 for background.
            unknown: (H, W) where nobody has annotated; None if all is annotated.
        """
        candidates, regions = find_in_image(bands)
        iou, sizes = best_iou(candidates, regions, truth, unknown)
        large = sizes >= SMALLEST
        worth = (np.clip((iou - WORTHLESS) / 0.2, 0, 1) + np.clip((iou - 0.6) / 0.2, 0, 1)) / 2
        return cls(candidates.features()[large], worth[large])

    @classmethod
    def together(cls, parts: Iterable[Learnt]) -> Learnt:
        """Put the candidates of images one after another."""
        listed = [cls(np.zeros((0, len(FEATURES))), np.zeros(0)), *parts]
        return cls(np.concatenate([one.features for one in listed]), np.concatenate([one.worth for one in listed]))

    def sample(self, most: int) -> Learnt:
        """Return at most some of the candidates, drawn at random with a fixed seed."""
        drawn = np.random.default_rng(0).permutation(len(self))[:most]
        return Learnt(self.features[drawn], self.worth[drawn])


@cache
def _measuring_method() -> Method:
    """Return a method that measures regions, by a choice that has learnt nothing."""
    zeros = (0.0,) * len(FEATURES)
    nothing = Choice(zeros, (1.0,) * len(FEATURES), (zeros,), (0.0,), (0.0,), 0.0, 0.0)
    return by_predicted_distance(0.0, choice=nothing)


def find_in_image(bands: NDArray[np.uint8]) -> tuple[Candidates, NDArray[np.int32]]:
    """Return the candidates of an image, and its regions (H, W): 0 for background, then 1 to N.

    Args:
        bands: See `Learnt.of_image`.
    """
    size, method = bands.shape[1:], _measuring_method()
    whole = tuple(slice(0, extent) for extent in size)
    part = method.find(bands, whole)
    groups, edges = faces_of(part, whole, size).groups, part.edges
    lowest = method.joining_saddle(groups.peaks)
    kept = edges[edges.saddle >= np.minimum(lowest[edges.first], lowest[edges.second])]
    return find_candidates(groups.peaks, groups.first, groups.sizes, groups.sums, kept), part.groups


def best_iou(
    candidates: Candidates, regions: NDArray[np.int32], truth: NDArray[Any], unknown: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest IoU (N,) of each candidate with a true object, and its annotated pixels (N,).

    An IoU of `WORTHLESS` or less may be given as 0: true objects that are too small for a candidate are forgotten on
    the way to larger ones, so that a cluster of many objects takes no longer than they do one by one.
    """
    known = np.ones(truth.shape, bool) if unknown is None else ~unknown
    numbers, true = np.unique(truth[known], return_inverse=True)
    extents = np.bincount(true, minlength=len(numbers)).tolist()
    pairs, counts = np.unique(regions[known].astype(np.int64) * len(numbers) + true, return_counts=True)
    shared: list[dict[int, int]] = [{} for _ in candidates.sizes]
    sizes = np.zeros(len(candidates.sizes), np.int64)
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        region, number = divmod(pair, len(numbers))
        if region:
            sizes[region - 1] += count
            if numbers[number]:
                shared[region - 1][number] = count
    iou = np.zeros(len(shared))
    for place, found in enumerate(shared):
        if place >= candidates.regions:
            one, other = candidates.parts[place - candidates.regions]
            sizes[place] = sizes[one] + sizes[other]
            for part in (shared[one], shared[other]):
                for number, count in part.items():
                    found[number] = found.get(number, 0) + count
        size = int(sizes[place])
        for number in [number for number in found if extents[number] <= WORTHLESS * size]:
            del found[number]
        iou[place] = max((count / (size + extents[number] - count) for number, count in found.items()), default=0.0)
    return iou, sizes


def fit_choice(learnt: Learnt, seed: int = 0) -> Choice:
    """Fit the network: cross-entropy with what candidates are worth."""
    center, scale = learnt.features.mean(0), learnt.features.std(0) + 1e-6
    inputs = torch.from_numpy((learnt.features - center) / scale).float()
    wanted = torch.from_numpy(learnt.worth).float()
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        torch.manual_seed(seed)
        hidden, output = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
        optimizer = torch.optim.AdamW([*hidden.parameters(), *output.parameters()], RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits = output(hidden(inputs).tanh())[:, 0]
            nn.functional.binary_cross_entropy_with_logits(logits, wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
    return Choice(
        center=_rounded(center),
        scale=_rounded(scale),
        hidden=tuple(map(_rounded, hidden.weight.detach())),
        hidden_bias=_rounded(hidden.bias.detach()),
        output=_rounded(output.weight.detach()[0]),
        output_bias=_rounded(output.bias.detach())[0],
        least=LEAST,
    )


def _rounded(values: NDArray[Any] | torch.Tensor | Sequence[float]) -> tuple[float, ...]:
    """Return numbers as a model file has them, so that a model that was just trained is the one that is read again."""
    return tuple(float(f"{float(value):.6g}") for value in values)
