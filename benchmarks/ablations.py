"""What moves the accuracy of `unetkit fit`: one change at a time, over several seeds, scored on validation images only.

    python benchmarks/ablations.py --data nuclei/train --results ablations.jsonl --seeds 0 1 2
    python benchmarks/ablations.py --results ablations.jsonl --markdown      (only the table of what is there already)

Every run trains for the same number of crops from `configs/nuclei.yaml` with one change, on the same images, and is
scored with the averaged weights at its end, on the same validation images, those of `unetkit fit`: none is chosen by
its score. The scores are the mean Dice over images, and AP of the objects at IoU 0.5, pooled. A seed decides the random
weights and the crops. Short runs from random weights favour changes that learn fast over changes that end best:
`--weights` starts all from a model that has been trained for long. Runs whose result is in the file already are not run
again.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from measuring import describe_machine, print_machine, print_table

from unetkit import predict_tiled
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.data.split import split_fraction
from unetkit.io.base.contracts import match_channels
from unetkit.models.segmenter import Segmenter
from unetkit.scoring import instances
from unetkit.scoring.instances import InstanceCounts, match_instances
from unetkit.training.fit import run_fit
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT

CONFIG = Path(__file__).parents[1] / "configs" / "nuclei.yaml"
VALIDATED = 0.1
"""Share of the images, as in that file."""

BASE = "as it is"
CHANGES: dict[str, list[str]] = {
    BASE: [],
    "augment: light": ["--data.augment=light"],
    "augment: strong": ["--data.augment=strong"],
    "scale jitter 0.8 to 1.25": ["--data.augment_options.scale=[0.8,1.25]"],
    "no scale jitter": ["--data.augment_options.scale=[1.0,1.0]"],
    "no stain jitter": ["--data.augment_options.color_probability=0"],
    "no grey crops": ["--data.augment_options.gray_probability=0"],
    "inverted crops 0.1": ["--data.augment_options.invert_probability=0.1"],
    "no elastic deformation": ["--data.augment_options.elastic_probability=0"],
    "loss: bce": ["--model.loss=bce"],
    "loss: dice": ["--model.loss=dice"],
    "loss: lovasz": ["--model.loss=lovasz"],
    "loss: weighted_bce": ["--model.loss=weighted_bce"],
    "no averaged weights": ["--model.ema_decay=0"],
    "ema 0.998": ["--model.ema_decay=0.998"],
    "schedule: cosine": ["--model.schedule=cosine"],
    "lr 0.001": ["--model.lr=0.001"],
    "lr 0.004": ["--model.lr=0.004"],
    "batch 4, twice the steps": ["--data.batch_size=4"],
    "batch 16, half the steps": ["--data.batch_size=16"],
    "crop 128, four times the batch": ["--data.crop=128", "--data.batch_size=32", "CROPS*4"],
    "sampling: images": ["--data.sampling=images"],
    "sampling: pixels": ["--data.sampling=pixels"],
    "foreground share 0": ["--data.foreground_share=0"],
    "foreground share 0.8": ["--data.foreground_share=0.8"],
    "depth 4": ["--model.depth=4", "--model.decoder_channels=[64,32,16,16]"],
    "depth 5": ["--model.depth=5", "--model.decoder_channels=[128,64,32,16,16]"],
    "depth 4, twice the decoder": ["--model.depth=4", "--model.decoder_channels=[128,64,32,32]"],
    "bright backgrounds inverted": ["--data.normalization.bright_background=invert"],
    "bright backgrounds kept": ["--data.normalization.bright_background=keep"],
    "depth 4 and bright backgrounds inverted": [
        "--model.depth=4",
        "--model.decoder_channels=[64,32,16,16]",
        "--data.normalization.bright_background=invert",
    ],
    "encoder: resnet34": ["--model.encoder=resnet34"],
    "no instances": ["--model.instances=false"],
}
"""Name and arguments of `unetkit fit`; "CROPS*n" trains on n times as many crops."""


def run(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train once; return what it gave."""
    given = [argument for argument in CHANGES[name] if not argument.startswith("CROPS")]
    factor = next((int(argument.split("*")[1]) for argument in CHANGES[name] if argument.startswith("CROPS")), 1)
    train, val = split_fraction(find_pairs(options.data, None, None), VALIDATED, seed=0)
    with TemporaryDirectory(dir=options.folder) as folder:
        lists = [write_list(Path(folder) / f"{use}.csv", pairs) for use, pairs in (("train", train), ("val", val))]
        config = from_arguments(
            FIT,
            [
                f"--config={CONFIG}",
                f"--data.train={lists[0]}",
                f"--data.val={lists[1]}",
                f"--data.seed={seed}",
                f"--seed_everything={seed}",
                *([f"--model.weights={options.weights}"] if options.weights else []),
                f"--data.crop={options.crop}",
                f"--data.crops_per_epoch={options.crops * factor}",
                "--trainer.max_epochs=1",
                "--trainer.num_sanity_val_steps=0",  # the start is not scored, so it cannot be kept
                f"--runs={folder}",
                "--name=run",
                *(f"--{setting}" for setting in options.also),
                *given,
            ],
        )
        result = run_fit(config)
        assert isinstance(result, SegmentationResult)
        if options.keep:
            kept = Path(options.keep) / f"{name.replace(' ', '_').replace(':', '')}-{seed}.safetensors"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(result.model_file, kept)
        model = result.model
    return {
        "change": name,
        "seed": seed,
        "dice": result.dice,
        "ap": average_precision(model, val) if model.spec.instances else None,
        "steps": model.spec.training["steps"],
    }


def write_list(path: Path, pairs: Sequence[Pair]) -> Path:
    """Write a list of images and masks that `fit` takes."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "mask"])
        rows.writerows((pair.image.resolve(), pair.mask.resolve()) for pair in pairs if pair.mask is not None)
    return path


def average_precision(model: Segmenter, pairs: Sequence[Pair]) -> float:
    """Return AP at IoU 0.5 over the objects of all these images."""
    counts = InstanceCounts()
    for pair in pairs:
        pixels, truth = load_pair(pair)
        pixels = match_channels(pixels, model.spec.in_channels, pair.name)
        counts += match_instances(predict_tiled(pixels, model, axes="CYX", output="labels"), truth)
    return instances.average_precision(counts, 0)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return what earlier calls wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def has_result(path: Path, **facts: Any) -> bool:
    """Return whether there is a result with these facts, which need not be run again."""
    return any(facts.items() <= one.items() for one in read_results(path))


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result, as a line of JSON behind those that there are."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def table(results: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield a row for each change: mean and spread of both scores, and how far from the base, seed by seed."""
    base = {one["seed"]: one for one in results if one["change"] == BASE}
    for name in dict.fromkeys(one["change"] for one in results):
        runs = [one for one in results if one["change"] == name]
        row = [name, str(len(runs))]
        for score in ("dice", "ap"):
            values = [one[score] for one in runs if one[score] is not None]
            against = [one for one in runs if one[score] is not None and one["seed"] in base and name != BASE]
            gains = [one[score] - base[one["seed"]][score] for one in against]
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            row.append(f"{mean(values):.4f}{spread}" if values else "")
            row.append(f"{mean(gains):+.4f} ({' '.join(f'{gain:+.3f}' for gain in gains)})" if gains else "")
        yield row


def main(args: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images and masks; without it nothing is run")
    parser.add_argument("--results", type=Path, required=True, help="file for the results, a line of JSON for each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--crops", type=int, default=2400, help="in each run")
    parser.add_argument("--crop", type=int, default=256, help="side of a crop; 128 gives four times the steps")
    parser.add_argument("--also", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs, as for `fit`")
    parser.add_argument("--weights", type=Path, help="model to start all runs from, instead of random weights")
    parser.add_argument("--keep", type=Path, help="folder to keep the models in")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args(args)
    print_machine(describe_machine())
    for seed in options.seeds if options.data else []:
        for name in options.only:
            if not has_result(options.results, change=name, seed=seed):
                add_result(options.results, run(name, seed, options))
    columns = ["change", "runs", "mean Dice", "gain (each seed)", "AP@0.5", "gain (each seed)"]
    print_table("Ablations", columns, list(table(read_results(options.results))), markdown=options.markdown)


if __name__ == "__main__":
    main()
