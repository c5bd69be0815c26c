"""What few sections give, on membranes in electron microscopy: the start, and sections that nobody has annotated.

    python benchmarks/few_sections.py em/train-volume.tif em/train-labels.tif scratch --results few_sections.jsonl
    python benchmarks/few_sections.py --results few_sections.jsonl --markdown   (only the table of what is there)

A seed draws the sections to train on from 0-20; what is left of these is what self-training learns from. Sections 24-26
are scored. All runs take as many crops of the same size, without validation: the last weights count.

- "plain U-Net": `configs/em_membrane.yaml`, random weights, and full resolution.
- "ResNet-18" and "ResNet-18 from nuclei": a U-Net like that of the built-in model, from random weights and from those
  of the built-in model, which has never seen electron microscopy; settings are planned.
- "plain U-Net, self-training" predicts the other sections, leaves out what is not confident (`data.ignore`), and trains
  on from its own weights: twice the work, so "twice the crops" stands beside it.

Scores are membrane IoU at a probability of 0.5, and V_Rand and V_info (ISBI 2012) at the threshold that is best on the
sections that are scored, as in the challenge.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
from ablations import add_result, has_result, read_results
from few_images import UNSURE, fit
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray
from volumes_em import score

from unetkit import predict_tiled
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair
from unetkit.models.segmenter import Segmenter, save_model

CONFIG = Path(__file__).parent.parent / "configs" / "em_membrane.yaml"

POOL, SCORED = 21, slice(24, 27)
"""Sections to draw from, and those that are scored."""

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
"""Probabilities of which the best is taken for V_Rand."""

CROP, BATCH = 192, 4

IGNORED = 100
"""Value of pixels in guessed masks that are left out; 255 is the inside of a neuron."""

PLAIN = [f"--config={CONFIG}", "--data.masks=null", "--data.pages=null", "--data.val_pages=null"]
METHODS = {
    "plain U-Net": PLAIN,
    "plain U-Net, twice the crops": PLAIN,
    "plain U-Net, self-training": PLAIN,
    "ResNet-18": ["--model.encoder=resnet18", "--model.depth=4"],
    "ResNet-18 from nuclei": ["--model.weights=nuclei"],
}


def write_sections(stack: Path, labels: Path, folder: Path) -> list[Pair]:
    """Write the sections that may be trained on as files of their own."""
    pairs = []
    for number, (section, truth) in enumerate(zip(tifffile.imread(stack), tifffile.imread(labels), strict=True)):
        image, mask = (folder / f"{kind}{number}.tif" for kind in ("section", "labels"))
        tifffile.imwrite(image, section)
        tifffile.imwrite(mask, truth)
        pairs.append(Pair(image.stem, image, mask))
    return pairs[:POOL]


def guess(model: Segmenter, pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """Write what a model finds in sections as their masks, with `IGNORED` where it is not confident."""
    guessed = []
    for pair in pairs:
        inside = predict_tiled(load_pair(pair)[0], model, axes="CYX", output="probabilities")
        unsure = (inside > UNSURE[0]) & (inside < UNSURE[1])
        file = folder / f"{pair.name}.tif"
        tifffile.imwrite(file, np.where(unsure, IGNORED, np.where(inside > 0.5, 255, 0)).astype(np.uint8))
        guessed.append(replace(pair, mask=file))
    return guessed


def self_train(folder: Path, train: Sequence[Pair], rest: Sequence[Pair], arguments: list[str]) -> Segmenter:
    """Train, predict the sections without masks, and train on, on all."""
    model = fit(folder, train, arguments)
    with TemporaryDirectory(dir=folder) as scratch:
        first = Path(scratch) / "first.safetensors"
        save_model(model, first)
        guessed = guess(model, rest, Path(scratch))
        return fit(folder, [*train, *guessed], [*arguments, f"--model.weights={first}", f"--data.ignore={IGNORED}"])


def run(method: str, pairs: Sequence[Pair], count: int, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Run one method; return its scores."""
    order = np.random.default_rng((2, seed)).permutation(len(pairs))
    train, rest = ([pairs[index] for index in part] for part in (order[:count], order[count:]))
    crops = options.steps * BATCH * (2 if "twice" in method else 1)
    common = [*METHODS[method], f"--data.seed={seed}", f"--seed_everything={seed}", f"--data.crop={CROP}"]
    common += [f"--data.batch_size={BATCH}", "--data.val=0", f"--data.crops_per_epoch={crops}"]
    common += ["--trainer.max_epochs=1"]
    if "self-training" in method:
        model = self_train(options.folder, train, rest, common)
    else:
        model = fit(options.folder, train, common)
    return score_model(model, tifffile.imread(options.stack)[SCORED], tifffile.imread(options.labels)[SCORED])


def score_model(model: Segmenter, sections: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return the scores of some sections (n, H, W)."""
    inside = np.stack([predict_tiled(section, model, axes="YX", output="probabilities") for section in sections])
    iou = score(inside, truth, 0.5)["membrane IoU"]
    best = max((score(inside, truth, threshold) for threshold in THRESHOLDS), key=lambda one: one["V_Rand"])
    return {"iou": iou, "v_rand": best["V_Rand"], "v_info": best["V_info"]}


def table(file: Path, steps: int) -> Iterator[list[str]]:
    """Yield a row for each number of sections and each method: means over the seeds, and V_Rand of each."""
    results = [one for one in read_results(file) if one["steps"] == steps]
    for count in sorted({one["sections"] for one in results}):
        for method in METHODS:
            runs = [one for one in results if (one["sections"], one["method"]) == (count, method)]
            if runs:
                means = [f"{mean(one[name] for one in runs):.3f}" for name in ("iou", "v_rand", "v_info")]
                yield [str(count), method, str(len(runs)), *means, " ".join(f"{one['v_rand']:.3f}" for one in runs)]


def main(args: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "stack", type=Path, nargs="?", help="the sections, a multi-page TIFF; without it nothing is run"
    )
    parser.add_argument("labels", type=Path, nargs="?", help="0 for membrane")
    parser.add_argument("folder", type=Path, nargs="?", help="where to work")
    parser.add_argument("--results", type=Path, required=True, help="file for the results, a line of JSON for each run")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 5, 20], help="training sections")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=200, help=f"batches of {BATCH} crops of {CROP} x {CROP} pixels")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args(args)
    print_machine(describe_machine())
    pairs = []
    if options.stack is not None:
        (options.folder / "sections").mkdir(parents=True, exist_ok=True)
        pairs = write_sections(options.stack, options.labels, options.folder / "sections")
    for seed in options.seeds if pairs else []:
        for count, method in product(options.counts, options.only):
            facts = {"method": method, "sections": count, "seed": seed, "steps": options.steps}
            if not has_result(options.results, **facts):
                add_result(options.results, facts | run(method, pairs, count, seed, options))
    columns = ["sections", "method", "seeds", "membrane IoU", "V_Rand", "V_info", "V_Rand of each seed"]
    print_table("Few sections", columns, list(table(options.results, options.steps)), markdown=options.markdown)


if __name__ == "__main__":
    main()
