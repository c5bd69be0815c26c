"""Learn to choose objects among watershed regions and their joins, and write it into a model file.

    python benchmarks/choosing.py --data nuclei/train --model model.safetensors --out chosen.safetensors

Candidates of the training images are learnt from: how well each agrees with the true object to which it is nearest. The
images that the model was validated on tell what is gained.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from instances import Case, label, predicted_cases, spread
from numpy.typing import NDArray
from torch import nn

from unetkit import load_model
from unetkit.data.pairs import find_pairs
from unetkit.inference.tiling.options import TilingOptions
from unetkit.models.segmenter import save_model
from unetkit.postprocess.candidates import Candidates, find_candidates
from unetkit.postprocess.choice import Choice
from unetkit.postprocess.faces import faces_of
from unetkit.postprocess.joining import Groups
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import Edges
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.scoring.instances import InstanceCounts, average_precision, match_instances, panoptic_quality

HIDDEN = 16
"""Units of the hidden layer."""

STEPS = 1500
"""Steps of Adam over all candidates at once, at `RATE`, with `DECAY` on the weights."""

RATE = 0.01
DECAY = 1e-3

SMALLEST = 10
"""Smaller candidates are not learnt from, in pixels."""

LEAST = 0.35
"""Quality up to which a candidate is no object: with an AP of a, one more object pays if it is right more often than
a / (1 + a) of the time, which is 0.42 at an AP@0.5 of 0.72 and 0.33 at an AP@0.7 of 0.5.
"""

CONFIDENCE = 0.5
"""Lowest peak of an object, as by default."""


@dataclass(frozen=True)
class Learnt:
    """Candidates of images.

    Attributes:
        features: (N, 10) see `unetkit.postprocess.candidates.FEATURES`.
        worth: (N,) what each adds to AP at 0.5 and at 0.7, 0 to 1.
    """

    features: NDArray[np.float64]
    worth: NDArray[np.float64]


def anything_goes() -> Choice:
    """Return a choice that has learnt nothing, whose method measures regions."""
    zeros = (0.0,) * 10
    return Choice(zeros, (1.0,) * 10, (zeros,), (0.0,), (0.0,), 0.0, 0.0)


def candidates_of(case: Case, threshold: float) -> tuple[Candidates, NDArray[np.int32]]:
    """Return the candidates of an image, and its regions (H, W), 0 for background, then 1 to N."""
    size = case.truth.shape[-2:]
    whole = tuple(slice(0, extent) for extent in size)
    method: Method = by_predicted_distance(0.0, choice=anything_goes())
    part = method.find(case.bands(threshold), whole)
    groups: Groups = faces_of(part, whole, size).groups
    lowest, edges = method.joining_saddle(groups.peaks), part.edges
    kept: Edges = edges[edges.saddle >= np.minimum(lowest[edges.first], lowest[edges.second])]
    return find_candidates(groups.peaks, groups.first, groups.sizes, groups.sums, kept), part.groups


def best_iou(candidates: Candidates, regions: NDArray[np.int32], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return the largest IoU (N,) of each candidate with a true object."""
    numbers, true = np.unique(truth, return_inverse=True)
    true = true.reshape(regions.shape) + (numbers[0] != 0)
    sizes = np.bincount(true.ravel())
    shared = np.zeros((len(candidates.sizes), len(sizes)), np.int64)
    np.add.at(shared, (regions[regions > 0] - 1, true[regions > 0]), 1)
    for number, (one, other) in enumerate(candidates.parts, candidates.regions):
        shared[number] = shared[one] + shared[other]
    iou = shared / (candidates.sizes[:, None] + sizes - shared)
    return np.asarray(iou[:, 1:].max(1, initial=0))


def learn_from(cases: Iterable[Case], threshold: float) -> Learnt:
    """Collect candidates. What one is worth rises around an IoU of 0.5 and of 0.7, so that near misses count."""
    features, worth = [np.zeros((0, 10))], [np.zeros(0)]
    for case in cases:
        candidates, regions = candidates_of(case, threshold)
        large = candidates.sizes >= SMALLEST
        iou = best_iou(candidates, regions, case.truth.reshape(regions.shape))[large]
        features.append(candidates.features()[large])
        worth.append((np.clip((iou - 0.4) / 0.2, 0, 1) + np.clip((iou - 0.6) / 0.2, 0, 1)) / 2)
    return Learnt(np.concatenate(features), np.concatenate(worth))


def fit(learnt: Learnt, seed: int = 0) -> Choice:
    """Fit the network: cross-entropy with what candidates are worth."""
    torch.manual_seed(seed)
    center, scale = learnt.features.mean(0), learnt.features.std(0) + 1e-6
    inputs = torch.from_numpy((learnt.features - center) / scale).float()
    wanted = torch.from_numpy(learnt.worth).float()
    hidden, output = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    optimizer = torch.optim.AdamW([*hidden.parameters(), *output.parameters()], RATE, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(output(hidden(inputs).tanh())[:, 0], wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()

    def numbers(values: NDArray[Any] | torch.Tensor) -> tuple[float, ...]:
        return tuple(float(f"{value:.6g}") for value in values.tolist())

    return Choice(
        center=numbers(center),
        scale=numbers(scale),
        hidden=tuple(map(numbers, hidden.weight.detach())),
        hidden_bias=numbers(hidden.bias.detach()),
        output=numbers(output.weight.detach()[0]),
        output_bias=float(f"{output.bias.item():.6g}"),
        least=LEAST,
    )


def count(cases: Sequence[Case], threshold: float, smallest: int, choice: Choice | None) -> list[InstanceCounts]:
    """Count what is found in each image."""
    method = by_predicted_distance(CONFIDENCE, choice=choice)
    return [
        match_instances(labels, case.truth.reshape(labels.shape))
        for case in cases
        for labels in [label(case.bands(threshold), method, smallest)]
    ]


def describe(counts: Sequence[InstanceCounts]) -> str:
    """Return AP at 0.5 and at 0.7, and PQ."""
    total = sum(counts, InstanceCounts())
    values = (average_precision(total, 0), average_precision(total, 4), panoptic_quality(total))
    return "AP@0.5 {:.4f}, AP@0.7 {:.4f}, PQ {:.4f}".format(*values)


def learn(train: Iterable[Case], validation: Sequence[Case], threshold: float, smallest: int) -> Choice:
    """Learn from training images, and print what is gained on those of the validation."""
    print(f"joined up to a fixed depth: {describe(count(validation, threshold, smallest, None))}", flush=True)
    learnt = learn_from(train, threshold)
    print(f"{len(learnt.worth)} candidates", flush=True)
    choice = fit(learnt)
    print(f"chosen: {describe(count(validation, threshold, smallest, choice))}", flush=True)
    return choice


def main(args: Sequence[str] | None = None) -> None:
    """Write a model with a choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/ of instance labels")
    parser.add_argument("--model", type=Path, required=True, help="a model with instances")
    parser.add_argument("--out", type=Path, required=True, help="file of the model with the choice")
    parser.add_argument("--threshold", type=float, help="foreground probability; the model's by default")
    parser.add_argument("--limit", type=int, help="so many of the training images, spread over all")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(args)
    model = load_model(options.model)
    held_out = set(model.spec.training["data"]["val_images"])
    pairs = find_pairs(options.data, None, None)
    train = spread([pair for pair in pairs if pair.name not in held_out], options.limit)
    validation = [pair for pair in pairs if pair.name in held_out]
    tiling = TilingOptions(device=options.device)
    threshold = options.threshold or model.spec.threshold
    choice = learn(
        predicted_cases(train, model, tiling),
        list(predicted_cases(validation, model, tiling)),
        threshold,
        model.spec.smallest_object,
    )
    model.spec = replace(model.spec, threshold=threshold, choice=choice)
    save_model(model, options.out, torch.float16)


if __name__ == "__main__":
    main()
