"""Membranes in a stack of sections: does a network that sees neighbouring sections (2.5D) find them better than 2D?

    python benchmarks/volumes_em.py train-volume.tif train-labels.tif OUT --variant "2D" --variant "3: --model.planes 3"

All variants train on sections 0-20 by configs/em_membrane.yaml and a few options; sections 24-26 are scored.
Thresholds, and the best epoch, are chosen on sections 21-23. A variant that is slower gets fewer steps: what a step
takes is measured first, in seconds of the processor, on which a busy machine has little effect, and each gets as many
steps as fit in those of the first variant's. Training is by one thread.

- membrane IoU: of the pixels that are no inside of a neuron, of all sections together.
- V_Rand and V_info: as in the ISBI 2012 challenge (Arganda-Carreras et al. 2015, Front. Neuroanat. 9:142), on borders
  that are thinned: the connected parts of the inside grow over the membranes until they touch. Pixels that are membrane
  in truth are left out. Means over the sections.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import tifffile
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray
from skimage.measure import label
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import watershed

from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import load_model

CONFIG = Path(__file__).parents[1] / "configs" / "em_membrane.yaml"
PAGES = {"validation": range(21, 24), "test": range(24, 27)}
THRESHOLDS = np.linspace(0.2, 0.8, 13)
BATCH = 4

SMALLER = {
    "--model.base_channels": "12",
    "--model.depth": "3",
    "--data.crop": "128",
    "--data.batch_size": str(BATCH),
    "--data.workers": "0",
}
"""Options of all variants over the configuration, so that a run takes minutes on a processor."""

Scores = dict[str, float]


def train(stack: Path, labels: Path, folder: Path, words: list[str], crops: int, epochs: int, seed: int) -> float:
    """Train a model into a folder that is not there yet; return the seconds of the processor that it took."""
    command = [sys.executable, "-m", "unetkit", "fit", "--config", str(CONFIG)]
    command += ["--data.train", str(stack), "--data.masks", str(labels)]
    command += ["--runs", str(folder.parent), "--name", folder.name]
    command += [word for pair in SMALLER.items() for word in pair]
    command += ["--seed_everything", str(seed), "--data.seed", str(seed), "--trainer.max_epochs", str(epochs)]
    command += ["--data.crops_per_epoch", str(crops), *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def step_seconds(stack: Path, labels: Path, out: Path, variants: dict[str, list[str]], steps: int) -> dict[str, float]:
    """Return what a step of each variant takes: a run with twice the steps less one with the steps, best of two."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(2):
        for number, (name, words) in enumerate(variants.items()):
            few, many = (
                train(stack, labels, out / f"timed-{number}-{turn}-{count}", words, BATCH * count, 1, 0)
                for count in (steps, 2 * steps)
            )
            found[name].append((many - few) / steps)
    return {name: min(seconds) for name, seconds in found.items()}


def grown(inside: NDArray[np.float32], threshold: float) -> NDArray[np.int32]:
    """Return the connected parts of the inside (H, W), grown over the membranes until they touch."""
    parts = label(inside >= threshold, connectivity=1)
    return np.asarray(watershed(-inside, parts), np.int32)


def score_segments(truth: NDArray[np.int32], found: NDArray[np.int32]) -> tuple[float, float]:
    """Return V_Rand and V_info of segments (H, W), where truth (H, W) is no membrane (0)."""
    true, own = truth[truth > 0], found[truth > 0]
    split, merged = variation_of_information(true, own)  # entropy of the found given the true, and the other way
    entropies = [-float(np.sum(p * np.log2(p))) for p in (_shares(true), _shares(own))]
    shared = entropies[0] - float(merged)
    assert abs(shared - (entropies[1] - float(split))) < 1e-6
    information = 2 * shared / sum(entropies) if sum(entropies) else 1.0
    return 1 - float(adapted_rand_error(true, own)[0]), information


def _shares(segments: NDArray[np.int32]) -> NDArray[np.float64]:
    counts = np.unique(segments, return_counts=True)[1]
    return np.asarray(counts / counts.sum(), np.float64)


def score(inside: NDArray[np.float32], truth: NDArray[np.uint8], threshold: float) -> Scores:
    """Return the scores of sections (n, H, W): probability of the inside of a neuron, and truth above 0."""
    found, true = inside < threshold, truth == 0
    pairs = [
        score_segments(label(section > 0, connectivity=1), grown(each, threshold))
        for each, section in zip(inside, truth, strict=True)
    ]
    iou = np.count_nonzero(found & true) / np.count_nonzero(found | true)
    return {"membrane IoU": iou, "V_Rand": mean(pair[0] for pair in pairs), "V_info": mean(pair[1] for pair in pairs)}


def score_model(model: Path, stack: NDArray[np.uint8], truth: NDArray[np.uint8], pages: range) -> Scores:
    """Score a model on sections, each score at the threshold that was the best one for it on the validation sections.

    All sections of the stack are seen, as neighbours; only these are scored.
    """
    inside = predict_tiled(stack, load_model(model), axes="ZYX", output="probabilities", backend="torch", device="cpu")
    held = PAGES["validation"]
    tried = [score(inside[held], truth[held], threshold) for threshold in THRESHOLDS]
    best = {name: max(range(len(tried)), key=lambda i, name=name: tried[i][name]) for name in tried[0]}  # type: ignore[misc]
    return {name: score(inside[pages], truth[pages], THRESHOLDS[place])[name] for name, place in best.items()}


def main(args: list[str] | None = None) -> None:
    """Train, score and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", type=Path, help="the sections, a multi-page TIFF")
    parser.add_argument("labels", type=Path, help="0 for membrane")
    parser.add_argument("out", type=Path, help="a folder for the runs")
    parser.add_argument("--variant", action="append", help='"name" or "name: options of unetkit fit"; several')
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600, help="steps of the first variant")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--timed-steps", type=int, default=16, help="steps that are timed; 0 for equal steps")
    parser.add_argument("--pages", choices=PAGES, default="test", help="what is scored: test, or validation to choose")
    chosen = parser.parse_args(args)
    texts = chosen.variant or ["2D", "2.5D: --model.planes 3"]
    parts = [text.partition(":") for text in texts]
    variants = {name: shlex.split(words) for name, _, words in parts}
    chosen.out.mkdir(parents=True, exist_ok=True)
    first = next(iter(variants))
    cost = dict.fromkeys(variants, 1.0)
    if chosen.timed_steps:
        cost = step_seconds(chosen.stack, chosen.labels, chosen.out, variants, chosen.timed_steps)
    stack, truth = tifffile.imread(chosen.stack), tifffile.imread(chosen.labels)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for seed in chosen.seeds:
        for number, (name, words) in enumerate(variants.items()):
            steps = round(chosen.steps * cost[first] / cost[name] / chosen.epochs)
            folder = chosen.out / f"run-{number}-{seed}"
            seconds = train(chosen.stack, chosen.labels, folder, words, BATCH * steps, chosen.epochs, seed)
            scores = score_model(folder / "model.safetensors", stack, truth, PAGES[chosen.pages])
            results[name].append({"seed": seed, "steps": steps * chosen.epochs, "seconds": seconds, **scores})
            print(json.dumps({"variant": name, **results[name][-1]}), file=sys.stderr, flush=True)
    columns = ["variant", "s for a step", "steps", *(f"{name} (each seed)" for name in scores)]
    rows = []
    for name, runs in results.items():
        each = [(mean(run[key] for run in runs), ", ".join(f"{run[key]:.4f}" for run in runs)) for key in scores]
        cells = [f"{average:.4f} ({listed})" for average, listed in each]
        rows.append([name, f"{cost[name]:.3f}", str(runs[0]["steps"]), *cells])
    print_table(f"Sections {PAGES[chosen.pages][0]}-{PAGES[chosen.pages][-1]}", columns, rows, markdown=True)
    print_machine(describe_machine())


if __name__ == "__main__":
    main()
