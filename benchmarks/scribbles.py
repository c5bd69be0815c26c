"""Train on a few strokes in three images, and on the same images drawn fully: what is lost?

    python benchmarks/scribbles.py DATA OUT --kind stained

DATA holds images/ and masks/ (instance labels). Three images of a kind get strokes as a person draws them: inside some
nuclei, and in the background. All else is 255, which `data.ignore` names. Both trainings start from random weights,
since the built-in model has seen these images, and take the same number of steps, so that a busy machine changes
nothing. They are scored on images of the same kind that neither has seen.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray

from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.inference.array import predict_tiled
from unetkit.report.pictures import validation_picture
from unetkit.scoring.evaluation import evaluate
from unetkit.zoo.opening import load_model

IGNORED = 255
TRAINED, SCORED = 3, 20
STROKES = 12
"""Nuclei of an image that get a stroke, at most."""

BACKGROUND_SHARE = 0.015
"""Share of an image that strokes in the background take."""

CROP, EPOCHS = 128, 12

PEN = 3
"""Width of a stroke in pixels."""


def kind_of(pixels: NDArray[np.uint8]) -> str:
    """Return what an image (C, H, W) looks like: fluorescence is grey and dark, stained is neither."""
    grey, dark = np.ptp(pixels, axis=0).mean() < 8, pixels.mean() < 128
    return {(True, True): "fluorescence", (False, False): "stained"}.get((bool(grey), bool(dark)), "other")


def scribble(labels: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw strokes on an image whose objects (H, W) are known: 1 in objects, 0 in the background, else 255."""
    mask = np.full(labels.shape, IGNORED, np.uint8)
    distance = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 5)
    free = distance > 1  # people keep off an edge, but every second stroke is beside a nucleus
    starts = [free, free & (distance < 2 * PEN)]
    for number in count():
        mask[stroke(starts[number % 2], rng, 40) & free] = 0
        if (mask == 0).mean() >= BACKGROUND_SHARE:
            break
    numbers = rng.permutation(np.unique(labels[labels > 0]))[:STROKES]
    for number in numbers:
        inside = cv2.erode((labels == number).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if inside.any():
            mask[stroke(inside, rng, 20) & inside] = 1
    return mask


def stroke(region: NDArray[np.bool_], rng: np.random.Generator, length: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of a bent stroke of about a length, through a random pixel of a region."""
    y, x = rng.choice(np.argwhere(region))
    angle, points = rng.uniform(0, 2 * np.pi), [(float(x), float(y))]
    for _ in range(8):
        angle += rng.normal(0, 0.4)
        x, y = points[-1][0] + length / 8 * np.cos(angle), points[-1][1] + length / 8 * np.sin(angle)
        points.append((x, y))
    drawn = np.zeros(region.shape, np.uint8)
    cv2.polylines(drawn, [np.rint(points).astype(np.int32)], False, 1, PEN)
    return drawn > 0


def choose(data: Path, kind: str, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Return images of a kind and of the most frequent size: some to train on, others to score on."""
    found = [(pair, load_pair(pair)[0]) for pair in find_pairs(data)]
    alike = [(pair, pixels.shape) for pair, pixels in found if kind_of(pixels) == kind]
    shapes = [shape for _, shape in alike]
    usual = max(set(shapes), key=shapes.count)
    pairs = [pair for pair, shape in alike if shape == usual]
    order = np.random.default_rng(seed).permutation(len(pairs))[: TRAINED + SCORED]
    return [pairs[index] for index in order[:TRAINED]], [pairs[index] for index in order[TRAINED:]]


def write(folder: Path, pairs: list[Pair], masks: Sequence[NDArray[Any]]) -> None:
    """Write a data set of some images with other masks."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for pair, mask in zip(pairs, masks, strict=True):
        (folder / "images" / pair.image.name).write_bytes(pair.image.read_bytes())
        tifffile.imwrite(folder / "masks" / f"{pair.name}.tif", mask)


def unetkit(*words: str | Path) -> None:
    """Run a command of unetkit."""
    subprocess.run([sys.executable, "-m", "unetkit", *map(str, words)], check=True)


def main() -> None:
    """Train twice, score twice, print a table, draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--kind", choices=["fluorescence", "stained"], default="stained")
    parser.add_argument("--crops", type=int, default=2400, help="crops to train on: 3 minutes on two idle cores")
    parser.add_argument("--seed", type=int, default=0, help="which images, and which strokes")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    trained, scored = choose(args.data, args.kind, args.seed)
    rng = np.random.default_rng(args.seed)
    labels = [load_pair(pair)[1] for pair in trained]
    strokes = [scribble(each, rng) for each in labels]
    write(args.out / "strokes", trained, strokes)
    write(args.out / "drawn", trained, [(each > 0).astype(np.uint8) for each in labels])
    write(args.out / "scored", scored, [load_pair(pair)[1] for pair in scored])
    rows = []
    for name in ("strokes", "drawn"):
        run = ["--runs", args.out, "--name", f"run-{name}", "--model.encoder", "resnet18", "--data.val", 0]
        run += ["--data.crop", CROP, "--trainer.max_epochs", EPOCHS, "--data.crops_per_epoch", args.crops // EPOCHS]
        unetkit("fit", "--data.train", args.out / name, "--data.ignore", str(IGNORED), *run)
        model = args.out / f"run-{name}" / "model.safetensors"
        found = args.out / f"labels-{name}"
        unetkit("segment", args.out / "scored" / "images", found, "--model", model, "--output", "labels")
        result = evaluate(found, args.out / "scored" / "masks", instances=True)
        assert result.instances is not None
        drawn = np.mean([(mask != IGNORED).mean() for mask in strokes]) if name == "strokes" else 1.0
        rows.append([name, f"{drawn:.1%}", f"{result.mean.dice:.3f}", f"{result.pooled.dice:.3f}"])
        rows[-1] += [f"{result.instances.mean.ap50:.3f}", f"{result.instances.pooled.f1:.3f}"]
        draw(args.out / f"{name}.png", scored, model)
    print_machine(describe_machine())
    title = f"{TRAINED} images ({args.kind}), {args.crops} crops each, scored on {len(scored)} others"
    columns = ["masks", "annotated", "mean Dice", "pooled Dice", "mean AP 0.5", "pooled F1"]
    print_table(title, columns, rows, markdown=args.markdown)


def draw(path: Path, pairs: list[Pair], file: Path) -> None:
    """Draw images with the contours of truth and prediction."""
    model, items = load_model(file), []
    for pair in pairs[:9]:
        pixels, labels = load_pair(pair)
        mask = predict_tiled(pixels, model, axes="CYX") > 0
        items.append((pair.name[:12], pixels, labels > 0, mask, evaluate(mask, labels > 0).mean.dice))
    validation_picture(path, items)


if __name__ == "__main__":
    main()
