"""Learn to choose objects among watershed regions and their joins, and write it into a model file.

    python benchmarks/choosing.py --data nuclei/train --model model.safetensors --out chosen.safetensors

Candidates of the training images are learnt from: how well each agrees with the true object to which it is nearest. The
images that the model was validated on tell what is gained.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from instances import Case, predicted_cases, spread

from unetkit import load_model
from unetkit.data.pairs import find_pairs
from unetkit.inference.tiling.options import TilingOptions
from unetkit.models.segmenter import save_model
from unetkit.postprocess.choice import Choice
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.report.choice import CHOICE
from unetkit.scoring.instances import InstanceCounts, average_precision, panoptic_quality
from unetkit.training.segmentation.learning_choice import Learnt, fit_choice

CONFIDENCE = 0.5
"""Lowest peak of an object, as by default. A higher one leaves out what a quality would keep."""


def count(cases: Sequence[Case], threshold: float, smallest: int, choice: Choice | None) -> list[InstanceCounts]:
    """Count what is found in each image."""
    method = by_predicted_distance(CONFIDENCE, choice=choice)
    return [case.count(threshold, method, smallest) for case in cases]


def describe(counts: Sequence[InstanceCounts]) -> str:
    """Return AP at 0.5 and at 0.7, and PQ."""
    total = sum(counts, InstanceCounts())
    values = (average_precision(total, 0), average_precision(total, 4), panoptic_quality(total))
    return "AP@0.5 {:.4f}, AP@0.7 {:.4f}, PQ {:.4f}".format(*values)


def learn(train: Iterable[Case], validation: Sequence[Case], threshold: float, smallest: int) -> Choice:
    """Learn from training images, and print what is gained on those of the validation."""
    print(f"joined up to a fixed depth: {describe(count(validation, threshold, smallest, None))}", flush=True)
    learnt = Learnt.together(
        Learnt.of_image(case.bands(threshold), case.truth.reshape(case.heights.shape)) for case in train
    )
    print(f"{len(learnt)} candidates", flush=True)
    choice = fit_choice(learnt)
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
    training = {key: value for key, value in model.spec.training.items() if key != CHOICE}  # of the choice before
    model.spec = replace(model.spec, threshold=threshold, min_confidence=CONFIDENCE, choice=choice, training=training)
    save_model(model, options.out, torch.float16)


if __name__ == "__main__":
    main()
