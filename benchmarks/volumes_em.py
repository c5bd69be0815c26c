"""Membranes in a stack of sections: does a network that sees neighbouring sections (2.5D) find them better than 2D?

    python benchmarks/volumes_em.py train-volume.tif train-labels.tif OUT --planes 1 3 5

All networks train on sections 0-20 by configs/em_membrane.yaml and a few options; sections 24-26 are scored. The best
epoch, thresholds and the number of planes are chosen on sections 21-23. What a step takes is measured first, in seconds
of the processor, on which a busy machine has little effect; networks of several planes then get as many steps as take
the time of those of one plane. Training is by one thread. What is in OUT already is not trained again.

- membrane IoU: of the pixels that are no inside of a neuron, of all sections together.
- V_Rand and V_info: as in the ISBI 2012 challenge, on thinned borders, see `unetkit.scoring.regions`; means over the
  sections.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from time import process_time

import numpy as np
import tifffile
import torch
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.scoring.instances import count_overlaps
from unetkit.scoring.regions import count_regions, find_regions, thin_borders, v_info, v_rand
from unetkit.zoo.opening import load_model

CONFIG = Path(__file__).parents[1] / "configs" / "em_membrane.yaml"
PAGES = {"validation": range(21, 24), "test": range(24, 27)}
THRESHOLDS = np.linspace(0.2, 0.8, 13)
BATCH, CROP, EPOCHS = 4, 128, 4
TIMED_STEPS, TIMED_ROUNDS = 4, 5

SMALLER = {
    "--model.base_channels": "12",
    "--model.depth": "3",
    "--data.crop": str(CROP),
    "--data.batch_size": str(BATCH),
    "--data.workers": "0",
}
"""Options of all variants over the configuration, so that a run takes minutes on a processor."""

Scores = dict[str, float]


def train(stack: Path, labels: Path, folder: Path, planes: int, words: list[str], steps: int, seed: int) -> float:
    """Train a model into a folder, once; return the seconds of the processor that it took."""
    note = folder / "seconds.json"
    if note.exists():
        return float(json.loads(note.read_text())["seconds"])
    command = [sys.executable, "-m", "unetkit", "fit", "--config", str(CONFIG)]
    command += ["--data.train", str(stack), "--data.masks", str(labels)]
    command += ["--runs", str(folder.parent), "--name", folder.name, "--model.planes", str(planes)]
    command += [word for pair in SMALLER.items() for word in pair]
    command += ["--seed_everything", str(seed), "--data.seed", str(seed), "--trainer.max_epochs", str(EPOCHS)]
    command += ["--data.crops_per_epoch", str(BATCH * round(steps / EPOCHS)), *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    note.write_text(json.dumps({"seconds": seconds}))
    return seconds


def step_seconds(stack: Path, labels: Path, planes: list[int]) -> dict[int, float]:
    """Return the seconds of the processor of a step with each number of planes: the least of some rounds of each."""
    torch.set_num_threads(1)
    steppers = {number: _steps(stack, labels, number) for number in planes}
    found: dict[int, list[float]] = {number: [] for number in planes}
    for _ in range(1 + TIMED_ROUNDS):
        for number, stepper in steppers.items():
            start = process_time()
            for _ in range(TIMED_STEPS):
                next(stepper)
            found[number].append((process_time() - start) / TIMED_STEPS)
    return {number: min(seconds[1:]) for number, seconds in found.items()}


def _steps(stack: Path, labels: Path, planes: int) -> Iterator[None]:
    """Train for as many steps as are asked for, the crops included."""
    options = {name.partition(".")[2]: int(value) for name, value in SMALLER.items() if name.startswith("--model")}
    spec = ModelSpec(arch="plain_unet", batch_norm=True, planes=planes, **options)  # type: ignore[arg-type]
    data = SegmentationData(
        str(stack), str(labels), "0-20", val_pages="21-23", crop=CROP, batch_size=BATCH, augment="light", workers=0,
        crops_per_epoch=10**6, foreground_share=0,
    )  # fmt: skip
    data.see(2, planes)
    data.setup()
    data.prepare_for(1, 2, spec.stride)
    model = Segmenter(spec)
    optimizer, loss = torch.optim.AdamW(model.parameters()), torch.nn.BCEWithLogitsLoss()
    for batch in data.train_dataloader():
        pixels = model.normalizer(batch["image"], batch["center"], batch["scale"])
        optimizer.zero_grad()
        loss(model.network(pixels)[:, 0], batch["mask"].float()).backward()
        optimizer.step()
        yield


def score(inside: NDArray[np.float32], truth: NDArray[np.uint8], threshold: float) -> Scores:
    """Return the scores of sections (n, H, W): probability of the inside of a neuron, and truth above 0."""
    found, true = inside < threshold, truth == 0
    counts = []
    for own, section in zip(inside, truth, strict=True):
        regions = thin_borders(find_regions((own >= threshold).view(np.uint8)))
        counts.append(count_regions(count_overlaps(regions, find_regions(section)), alone=True))
    iou = np.count_nonzero(found & true) / np.count_nonzero(found | true)
    return {"membrane IoU": iou, "V_Rand": mean(map(v_rand, counts)), "V_info": mean(map(v_info, counts))}


def score_model(model: Path, stack: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, Scores]:
    """Score a model on the validation and the test sections, at the threshold that is best for each score on the first.

    All sections of the stack are seen, as neighbours; only these are scored.
    """
    inside = predict_tiled(stack, load_model(model), axes="ZYX", output="probabilities", backend="torch", device="cpu")
    held = PAGES["validation"]
    tried = [score(inside[held], truth[held], threshold) for threshold in THRESHOLDS]
    best = {name: THRESHOLDS[int(np.argmax([one[name] for one in tried]))] for name in tried[0]}
    return {
        kind: {name: score(inside[pages], truth[pages], threshold)[name] for name, threshold in best.items()}
        for kind, pages in PAGES.items()
    }


def main(args: list[str] | None = None) -> None:
    """Train, score and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", type=Path, help="the sections, a multi-page TIFF")
    parser.add_argument("labels", type=Path, help="0 for membrane")
    parser.add_argument("out", type=Path, help="a folder for the runs")
    parser.add_argument("--planes", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600, help="steps of a network of one plane")
    parser.add_argument(
        "--options", default="", help="more options of `unetkit fit`, for several planes, in one string"
    )
    chosen = parser.parse_args(args)
    chosen.out.mkdir(parents=True, exist_ok=True)
    timed = chosen.out / "step_seconds.json"
    if timed.exists():
        cost = {int(number): seconds for number, seconds in json.loads(timed.read_text()).items()}
    else:
        cost = step_seconds(chosen.stack, chosen.labels, chosen.planes)
        timed.write_text(json.dumps(cost))
    steps = {number: round(chosen.steps * cost[chosen.planes[0]] / cost[number]) for number in chosen.planes}
    stack, truth = tifffile.imread(chosen.stack), tifffile.imread(chosen.labels)
    results: dict[int, list[dict[str, Scores]]] = {number: [] for number in chosen.planes}
    for seed in chosen.seeds:
        for number in chosen.planes:
            folder = chosen.out / f"{number} planes, seed {seed}"
            words = shlex.split(chosen.options) if number > 1 else []
            seconds = train(chosen.stack, chosen.labels, folder, number, words, steps[number], seed)
            results[number].append(score_model(folder / "model.safetensors", stack, truth))
            told = {"planes": number, "seed": seed, "step": cost[number], "steps": steps[number], "seconds": seconds}
            print(json.dumps(told | results[number][-1]), file=sys.stderr, flush=True)
    for kind, pages in PAGES.items():
        names = results[chosen.planes[0]][0][kind]
        rows = []
        for number, runs in results.items():
            each = [[run[kind][name] for run in runs] for name in names]
            cells = [f"{mean(values):.4f} ({', '.join(f'{value:.4f}' for value in values)})" for values in each]
            rows.append([str(number), f"{cost[number]:.3f}", str(steps[number]), *cells])
        title = f"{kind}: sections {pages[0]}-{pages[-1]}, mean (each seed)"
        print_table(title, ["planes", "CPU s of a step", "steps", *names], rows, markdown=True)
    print_machine(describe_machine())


if __name__ == "__main__":
    main()
