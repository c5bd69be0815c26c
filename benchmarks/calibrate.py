"""Calibrate a model file as `unetkit fit` does at its end: temperature, threshold and lowest confidence.

    python benchmarks/calibrate.py --data nuclei/train --model model.safetensors --out calibrated.safetensors

They are chosen on the images of the data that the model was validated on. With --halves they are chosen on a random
half of these images and scored on the other half, several times: what they gain on images that did not choose them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit import load_model
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.io.base.contracts import match_channels
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.report.calibration import CALIBRATION
from unetkit.scoring.reliability import bin_probabilities, calibration_error, log_loss
from unetkit.training.segmentation.calibration import Calibration, Trials, at_temperature, choose, try_all
from unetkit.training.segmentation.examples import Example


def read_examples(pairs: Sequence[Pair], model: Segmenter) -> Iterator[Example]:
    """Yield images with instance labels as a run has them."""
    for pair in pairs:
        pixels, truth = load_pair(pair)
        objects = truth if model.spec.instances else None
        channels = match_channels(pixels, model.spec.in_channels, pair.name)
        yield Example(channels, (truth > 0).astype(np.uint8), objects)


def print_calibration(found: Calibration) -> None:
    """Print what was chosen, and what it changed on the same images."""
    print(f"{found.images} images: temperature {found.temperature:g}")
    changed = {"threshold": found.threshold, "lowest confidence": found.min_confidence, **found.scores}
    changed |= {"log loss": found.log_loss, "calibration error": found.error}
    for name, (before, after) in changed.items():
        print(f"{name}: {before:.4f} before, {after:.4f} after")
    for name, bins in {"before": found.bins, "after": found.bins_after}.items():
        print(name, " ".join(f"{one.said:.2f}:{one.right:.2f}({one.share:.1%})" for one in bins))


def print_halves(trials: Trials, splits: int) -> None:
    """Print the mean gain on the other half of the images of what a random half of them chooses."""
    rng, gains, worse = np.random.default_rng(0), [], []
    for _ in range(splits):
        order = rng.permutation(len(trials.images))
        chosen_on, scored_on = order[: len(order) // 2], order[len(order) // 2 :]
        gain = gain_on(part(trials, scored_on), choose(part(trials, chosen_on)))
        gains.append(gain)
        worse.append({name: value < 0 for name, value in gain.items()})
    for name in gains[0]:
        values, share = [one[name] for one in gains], np.mean([one[name] for one in worse])
        print(f"{name}: gain {np.mean(values):+.4f} on the other half, worse in {share:.0%} of {splits} splits")


def part(trials: Trials, places: NDArray[np.intp]) -> Trials:
    """Return the trials of some of the images."""
    return replace(trials, images=[trials.images[place] for place in places])


def gain_on(trials: Trials, chosen: Calibration) -> dict[str, float]:
    """Return the gain of a choice on images, by the name of the score."""
    reached = [at_temperature(float(each), chosen.temperature) for each in trials.thresholds]
    after = replace(
        trials.now,
        threshold=reached.index(chosen.threshold[1]),
        confidence=int(np.searchsorted(trials.confidences, chosen.min_confidence[1])),
    )
    before, now = trials.score(trials.now), trials.score(after)
    logits, truth = trials.logits, trials.truth
    losses = [log_loss(logits, truth, each) for each in (1.0, chosen.temperature)]
    errors = [calibration_error(bin_probabilities(logits, truth, each)) for each in (1.0, chosen.temperature)]
    gains = {name: now[name] - before[name] for name in now}
    return gains | {"log loss": losses[0] - losses[1], "calibration error": errors[0] - errors[1]}


def main(args: list[str] | None = None) -> None:
    """Print what is chosen, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/ of instance labels")
    parser.add_argument("--model", required=True, help="a model file, or the name of a built-in model")
    parser.add_argument("--out", type=Path, help="the calibrated model; by default nothing is written")
    parser.add_argument("--float16", action="store_true", help="store its weights as float16")
    parser.add_argument("--halves", type=int, default=0, help="number of random halves of the images")
    options = parser.parse_args(args)
    model = load_model(options.model)
    if CALIBRATION in model.spec.training:
        raise SystemExit(f"{model.name} is calibrated already.")
    held_out = set(model.spec.training["data"]["val_images"])
    pairs = [pair for pair in find_pairs(options.data, None, None) if pair.name in held_out]
    trials = try_all(model, read_examples(pairs, model))
    found = choose(trials)
    print_calibration(found)
    if options.halves:
        print_halves(trials, options.halves)
    if options.out is not None:
        found.apply(model)
        save_model(model, options.out, torch.float16 if options.float16 else torch.float32)


if __name__ == "__main__":
    main()
