"""What few training images give, on a kind of image that the start has never seen: stained tissue.

    python benchmarks/few_images.py nuclei/train scratch --results few_images.jsonl --counts 5 20 --seeds 0 1 2
    python benchmarks/few_images.py nuclei/train scratch --results few_images.jsonl --stardist ENV/bin/python
    python benchmarks/few_images.py --results few_images.jsonl --markdown      (only the table of what is there already)

The built-in model has seen these images, so it is no fair start. In its place stands a base that is trained here, from
random weights on 250 fluorescence images alone. The images of stained tissue (colour, 256 x 320 pixels, one kind) are
divided once: 22 are scored and never trained on. Of the other 50 a seed draws those to train on; what is left of the 50
has no masks, and is what self-training learns from. Neighbouring fields of one slide may lie on both sides.

All runs take as many crops of the same size, without validation: the last weights count. What is not named is planned,
as by `unetkit fit`, but for the level of augmentation where a method names one. "self-training" predicts the images
without masks with the model of "from the base", leaves out what is not confident (`data.ignore`), and trains from the
base again: twice the work, so "twice the crops" stands beside it. StarDist has its own defaults and random weights, and
as many pixels of crops, or ten times as many; `benchmarks/few_images_stardist.py` trains it in an environment of its
own. Runs that are in the file of results are not run again.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from ablations import CONFIG, add_result, has_result, read_results, write_list
from measuring import describe_machine, print_machine, print_table
from nuclei import DARK
from numpy.typing import NDArray

from unetkit import load_model, predict_tiled
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.scoring.instances import average_precision, match_instances
from unetkit.scoring.pixels import count_pixels, dice
from unetkit.training.fit import run_fit
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT

SHAPE = (3, 256, 320)
"""Channels, height and width of the images of stained tissue."""

SCORED = 22
"""Images to score on."""

CROP, BATCH, EPOCHS = 96, 8, 2

BASE_IMAGES, BASE_CROPS = 250, 20000
"""Images and crops that the base is trained on."""

IGNORED = 65535
UNSURE = (0.2, 0.8)
"""Pixels with a foreground probability between these are left out of what self-training learns."""

SCRATCH = ["--model.encoder=resnet18"]
LEVELS = ("light", "standard", "strong")
METHODS = (
    "base, not trained on",
    "from random weights",
    "from the base",
    *(f"from the base, {level} augmentation" for level in LEVELS),
    "from the base, twice the crops",
    "from the base, self-training",
    "StarDist, from random weights",
    "StarDist, ten times the crops",
)


@dataclass(frozen=True)
class Images:
    """The images of a run.

    Attributes:
        train: With masks.
        rest: Taken as if they had no masks.
        scored: Scored on.
    """

    train: list[Pair]
    rest: list[Pair]
    scored: list[Pair]


def find_kinds(data: Path, folder: Path) -> dict[str, list[str]]:
    """Return the names of the images of both kinds; they are looked at once, and written down."""
    file = folder / "kinds.json"
    if not file.exists():
        kinds: dict[str, list[str]] = {"stained": [], "fluorescence": []}
        for pair in find_pairs(data):
            pixels = load_pair(pair)[0]
            grey = (pixels == pixels[:1]).all()
            if grey and pixels.mean() < DARK:
                kinds["fluorescence"].append(pair.name)
            elif not grey and pixels.shape == SHAPE:
                kinds["stained"].append(pair.name)
        file.write_text(json.dumps(kinds), encoding="utf-8")
    found: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def divide(data: Path, folder: Path, count: int, seed: int) -> Images:
    """Return the stained images: so many to train on, drawn by a seed, the rest of the pool, and those to score on."""
    names = set(find_kinds(data, folder)["stained"])
    pairs = [pair for pair in find_pairs(data) if pair.name in names]
    order = np.random.default_rng(0).permutation(len(pairs))
    pool = np.random.default_rng((1, seed)).permutation(order[SCORED:])
    train, rest, scored = ([pairs[index] for index in part] for part in (pool[:count], pool[count:], order[:SCORED]))
    return Images(train, rest, scored)


def fit(folder: Path, pairs: Sequence[Pair], arguments: Sequence[str]) -> Segmenter:
    """Train without validation; return the model."""
    with TemporaryDirectory(dir=folder) as runs:
        listed = write_list(Path(runs) / "train.csv", pairs)
        config = from_arguments(FIT, [*arguments, f"--data.train={listed}", f"--runs={runs}", "--data.workers=0"])
        result = run_fit(config)
        assert isinstance(result, SegmentationResult)
        return result.model


def make_base(data: Path, folder: Path) -> Path:
    """Train the base on the fluorescence images, if it is not there yet."""
    file = folder / "base.safetensors"
    if not file.exists():
        names = find_kinds(data, folder)["fluorescence"]
        chosen = set(np.random.default_rng(0).permutation(sorted(names))[:BASE_IMAGES])
        pairs = [pair for pair in find_pairs(data) if pair.name in chosen]
        settings = [f"--config={CONFIG}", f"--data.crop={CROP}", f"--data.crops_per_epoch={BASE_CROPS}"]
        model = fit(folder, pairs, [*settings, "--data.val=0", "--trainer.max_epochs=1"])
        save_model(model, file)
    return file


def guess(model: Segmenter, pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """Write what a model finds in images as their masks, with 65535 where it is not confident."""
    guessed = []
    for pair in pairs:
        pixels = load_pair(pair)[0]
        labels = predict_tiled(pixels, model, axes="CYX", output="labels").astype(np.uint16)
        probabilities = predict_tiled(pixels, model, axes="CYX", output="probabilities")
        unsure = (probabilities > UNSURE[0]) & (probabilities < UNSURE[1])
        unsure |= (probabilities >= UNSURE[1]) & (labels == 0)  # objects left out for their size or confidence
        file = folder / f"{pair.name}.tif"
        tifffile.imwrite(file, np.where(unsure, IGNORED, labels).astype(np.uint16))
        guessed.append(replace(pair, mask=file))
    return guessed


def self_train(folder: Path, images: Images, arguments: Sequence[str]) -> Segmenter:
    """Train, predict the images without masks, and train again on all."""
    model = fit(folder, images.train, arguments)
    with TemporaryDirectory(dir=folder) as masks:
        guessed = guess(model, images.rest, Path(masks))
        return fit(folder, [*images.train, *guessed], [*arguments, f"--data.ignore={IGNORED}"])


def stardist(python: Path, folder: Path, images: Images, seed: int, pixels: int) -> list[NDArray[Any]]:
    """Train StarDist on as many pixels of crops; return the labels of the images that are scored."""
    with TemporaryDirectory(dir=folder) as work:
        for use, pairs in (("train", images.train), ("scored", images.scored)):
            arrays = [load_pair(pair) for pair in pairs]
            np.savez(
                Path(work) / f"{use}.npz",
                images=np.stack([image.transpose(1, 2, 0) for image, _ in arrays]),
                labels=np.stack([labels for _, labels in arrays]),
            )
        script = Path(__file__).with_name("few_images_stardist.py")
        subprocess.run([str(python), str(script), work, "--pixels", str(pixels), "--seed", str(seed)], check=True)
        return list(np.load(Path(work) / "predicted.npz")["labels"])


def score(found: Sequence[NDArray[Any]], pairs: Sequence[Pair]) -> dict[str, float]:
    """Return AP of the objects of all images, and the mean Dice of their pixels."""
    truths = [load_pair(pair)[1] for pair in pairs]
    both = list(zip(found, truths, strict=True))
    counts = reduce(add, (match_instances(labels, truth) for labels, truth in both))
    return {
        "ap50": average_precision(counts, 0),
        "ap70": average_precision(counts, 4),
        "dice": mean(dice(count_pixels(labels > 0, truth > 0)) for labels, truth in both),
    }


def run(method: str, images: Images, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Run one method; return its scores."""
    if method.startswith("StarDist"):
        pixels = options.steps * BATCH * CROP**2 * (10 if "ten times" in method else 1)
        found = stardist(options.stardist, options.folder, images, seed, pixels)
        return score(found, images.scored)
    each = options.steps * BATCH // EPOCHS * (2 if "twice" in method else 1)
    common = [f"--data.seed={seed}", f"--seed_everything={seed}", f"--data.crop={CROP}", f"--data.batch_size={BATCH}"]
    common += ["--data.val=0", f"--data.crops_per_epoch={each}", f"--trainer.max_epochs={EPOCHS}"]
    common += [f"--data.augment={level}" for level in LEVELS if level in method]
    base = None if "random" in method else make_base(options.data, options.folder)
    common += ["--model.instances=true", *(SCRATCH if base is None else [f"--model.weights={base}"])]
    if base is not None and method.startswith("base"):
        model = load_model(base)
    elif "self-training" in method:
        model = self_train(options.folder, images, common)
    else:
        model = fit(options.folder, images.train, common)
    found = [predict_tiled(load_pair(pair)[0], model, axes="CYX", output="labels") for pair in images.scored]
    return score(found, images.scored)


def table(file: Path, steps: int) -> Iterator[list[str]]:
    """Yield a row for each number of images and each method: the mean over the seeds, and AP@0.5 of each."""
    results = [one for one in read_results(file) if one["steps"] == steps]
    for count in sorted({one["images"] for one in results}):
        for method in METHODS:
            runs = [one for one in results if (one["images"], one["method"]) == (count, method)]
            if not runs:
                continue
            scores = [[one[name] for one in runs] for name in ("ap50", "ap70", "dice")]
            spread = f" ± {stdev(scores[0]):.3f}" if len(runs) > 1 else ""
            means = [f"{mean(values):.3f}" for values in scores]
            seeds = " ".join(f"{value:.3f}" for value in scores[0])
            yield [str(count), method, str(len(runs)), means[0] + spread, *means[1:], seeds]


def main(args: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="images/ and masks/ of all kinds; without it nothing is run")
    parser.add_argument("folder", type=Path, nargs="?", help="where to work; the base is kept there")
    parser.add_argument("--results", type=Path, required=True, help="file for the results, a line of JSON for each run")
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 10, 20, 50], help="training images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=200, help=f"batches of {BATCH} crops of {CROP} x {CROP} pixels")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument(
        "--stardist", type=Path, help="Python of an environment with StarDist, which is left out without it"
    )
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args(args)
    print_machine(describe_machine())
    if options.data is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds if options.data else []:
        for count in options.counts:
            images = divide(options.data, options.folder, count, seed)
            for method in options.only:
                facts = {"method": method, "images": count, "seed": seed, "steps": options.steps}
                lacking = method.startswith("StarDist") and options.stardist is None
                if lacking or ("self-training" in method and not images.rest) or has_result(options.results, **facts):
                    continue
                add_result(options.results, facts | run(method, images, seed, options))
    columns = ["images", "method", "seeds", "AP@0.5", "AP@0.7", "mean Dice", "AP@0.5 of each seed"]
    print_table("Few images", columns, list(table(options.results, options.steps)), markdown=options.markdown)


if __name__ == "__main__":
    main()
