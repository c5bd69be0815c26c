"""Measure what a start from an autoencoder gives, against random weights, with few and with many labelled images.

FOLDER has `images` and `masks` in it. A fixed part of it is set aside to validate on; the autoencoder sees the images
of the rest, and each run the masks of some of them, which another seed chooses otherwise. Every run has the same number
of steps, and its last weights (averaged, as always) count:

    python benchmarks/pretraining.py FOLDER OUT --images 8 32 all --seeds 3 --steps 600 --pretrain-steps 3000

OUT/results.csv gets a line for each run that is done. The same command goes on from there.
"""

import argparse
import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from lightning.pytorch import seed_everything
from measuring import describe_machine, print_machine, print_table

from unetkit.data.datamodule import SegmentationData
from unetkit.data.pairs import Pair, find_pairs
from unetkit.data.split import split_fraction
from unetkit.data.unmasked import ImageData
from unetkit.models.model_file import MODEL_FILE
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.pretraining.run import SCORES, train_to_restore
from unetkit.training.run.loop import End, best_of, run_training
from unetkit.training.run.result import RunResult
from unetkit.training.run.trainer import make_trainer, quiet_lightning
from unetkit.training.segmentation.module import SegmentationModule

STARTS = ("from scratch", "from the autoencoder", "its encoder frozen")
COLUMNS = ("images", "seed", "start", "dice")
VALIDATION = 0.15


@dataclass(frozen=True)
class Budget:
    """What a run may take.

    Attributes:
        encoder: ResNet of the contracting path.
        depth: Number of times that the encoder halves the resolution.
        crop: Side of the crops in pixels.
        batch: Crops in a batch.
        lr: Highest learning rate.
        steps: Steps of the optimizer with masks.
        pretrain_steps: Steps of the autoencoder.
    """

    encoder: str
    depth: int
    crop: int
    batch: int
    lr: float
    steps: int
    pretrain_steps: int


def write_list(path: Path, pairs: Sequence[Pair]) -> str:
    """Write pairs as a CSV that `SegmentationData` reads; return its name."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "mask"))
        writer.writerows((pair.image.resolve(), pair.mask and pair.mask.resolve()) for pair in pairs)
    return str(path)


def pretrain(out: Path, pool: Sequence[Pair], budget: Budget) -> Path:
    """Train the autoencoder on the images of `pool`, unless it is there; return its file."""
    folder = out / "autoencoder"
    model = folder / MODEL_FILE
    if model.is_file():
        return model
    images = out / "images"
    images.mkdir(exist_ok=True)
    for pair in pool:
        shutil.copy(pair.image, images)
    seed_everything(0, verbose=False)
    crops = budget.batch * budget.pretrain_steps
    data = ImageData(str(images), val=0.05, crop=budget.crop, batch_size=budget.batch, crops_per_epoch=crops)
    module = PretrainModule(encoder=budget.encoder, depth=budget.depth, lr=budget.lr, residual=False)
    train_to_restore(make_trainer(folder, scores=SCORES, max_epochs=1), module, data)
    return model


def measure(out: Path, labelled: Sequence[Pair], seed: int, start: str, budget: Budget) -> float:
    """Train on some labelled images; return the mean Dice over the validation images."""
    weights = None if start == STARTS[0] else str(out / "autoencoder" / MODEL_FILE)
    data = SegmentationData(
        write_list(out / "train.csv", labelled),
        val=str(out / "val.csv"),
        crop=budget.crop,
        batch_size=budget.batch,
        crops_per_epoch=budget.batch * budget.steps,
        seed=seed,
    )
    seed_everything(seed, verbose=False)
    module = SegmentationModule(
        encoder=budget.encoder,
        depth=budget.depth,
        weights=weights,
        lr=budget.lr,
        freeze_encoder=start == STARTS[2],
    )
    folder = out / "run"
    shutil.rmtree(folder, ignore_errors=True)
    trainer = make_trainer(folder, max_epochs=1)

    def finish(end: End) -> RunResult:
        best = best_of(trainer)
        return RunResult(folder, folder / MODEL_FILE, best.best_epoch + 1, best.best_scores, end.interrupted)

    return run_training(trainer, module, data, finish, resume=False).scores["val_dice"]


def read_results(path: Path) -> dict[tuple[int, int, str], float]:
    """Return the Dice of the runs that are done by images, seed and start."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {(int(r["images"]), int(r["seed"]), r["start"]): float(r["dice"]) for r in csv.DictReader(file)}


def rows(results: dict[tuple[int, int, str], float]) -> Iterator[list[str]]:
    """Yield a row for each number of images: mean and standard deviation over the seeds for each start."""
    for images in sorted({key[0] for key in results}):
        row = [str(images)]
        for start in STARTS:
            scores = [dice for (count, _, name), dice in results.items() if (count, name) == (images, start)]
            spread = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
            row.append(f"{mean(scores):.3f}{spread}" if scores else "")
        yield row


def main(args: list[str] | None = None) -> None:
    """Run what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", nargs="+", default=["8", "32", "all"], help="numbers of labelled images")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--steps", type=int, default=600, help="steps of each run")
    parser.add_argument("--pretrain-steps", type=int, default=3000, help="steps of the autoencoder")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args(args)
    budget = Budget(
        options.encoder,
        options.depth,
        options.crop,
        options.batch,
        options.lr,
        options.steps,
        options.pretrain_steps,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    pool, val = split_fraction(find_pairs(options.folder), VALIDATION, 0)
    write_list(options.out / "val.csv", val)
    path = options.out / "results.csv"
    results = read_results(path)
    with quiet_lightning():
        pretrain(options.out, pool, budget)
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(pool))
            for number in options.images:
                count = len(pool) if number == "all" else min(int(number), len(pool))
                for start in STARTS:
                    if (count, seed, start) in results:
                        continue
                    dice = measure(options.out, [pool[i] for i in order[:count]], seed, start, budget)
                    results[count, seed, start] = dice
                    with path.open("a", newline="") as file:
                        writer = csv.writer(file)
                        if len(results) == 1:
                            writer.writerow(COLUMNS)
                        writer.writerow((count, seed, start, f"{dice:.5f}"))
    print_machine(describe_machine())
    title = f"Mean Dice over {len(val)} validation images, {options.steps} steps, {options.seeds} seeds"
    print_table(title, ("labelled images", *STARTS), list(rows(results)), markdown=options.markdown)


if __name__ == "__main__":
    main()
