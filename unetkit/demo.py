"""`unetkit demo`: all steps on synthetic cells, then real nuclei without training; each command is printed."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

from unetkit.foundation import shell
from unetkit.foundation.atomic import make_folder
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError, UnetkitError
from unetkit.foundation.synthetic import make_cells, write_dataset, write_tiff
from unetkit.inference.array import predict_tiled
from unetkit.io.files import open_image
from unetkit.report.overview import overview_picture
from unetkit.report.pictures import labels_picture
from unetkit.scoring.table import PIXEL_SCORES
from unetkit.zoo.opening import load_model

TRAINING_IMAGES = 32
TRAINING_SIZE = 384

DEMO_SECONDS = 165.0
"""Seconds that the demo may take."""

MOSAIC_SIZES = (4096, 3072, 2048, 1024)
"""Sides of the mosaic in pixels; the largest one for which there is time is used."""

SPEED_TEST_SIDE = 512
"""Side of the piece that is segmented to measure the speed, in pixels."""

OTHER_WORK_FACTOR = 1.5
"""Time for drawing, reading, writing and scoring a pixel, as a multiple of the time for predicting it."""

TISSUE_SECONDS = 15.0
"""Seconds kept for the stained tissue at the end."""

DRAWN_SCORES = ("dice", "iou", "precision", "recall", "boundary_f1")
"""Scores in the picture."""

MARKER_FILE = ".unetkit-demo"
"""File that marks a folder as an earlier demo, which may be replaced."""

FIT_ARGUMENTS = """
    --plan false --model.encoder resnet18 --model.depth 4 --model.decoder_channels [64,32,16,16] --model.lr 0.003
    --data.val 0.15 --data.crop 128 --data.batch_size 4 --data.crops_per_epoch 160 --data.augment light
    --trainer.max_epochs 8 --minutes 1.6
"""
"""Arguments for a model in about a minute on two processor cores. A slow machine stops after fewer epochs."""


def run_demo(folder: Path, seed: int, overwrite: bool, run: Callable[[list[str]], int]) -> None:
    """Make cells, train, segment, score and draw; then segment stained tissue with the built-in model.

    On a slow machine training ends earlier, and the mosaic is smaller.

    Args:
        folder: Folder for all files.
        seed: Seed of the synthetic cells.
        overwrite: Whether an earlier demo in `folder` is replaced.
        run: Runs a command line and returns its exit code; each is printed first.

    Raises:
        OutputError: `folder` holds something else, or is an earlier demo and `overwrite` is not set.
        UnetkitError: One of the commands failed.
    """
    start = monotonic()
    _prepare(folder, overwrite)
    log(f"Drawing {TRAINING_IMAGES} images of synthetic cells to train on.")
    cells, mosaic, truth, mask = (folder / name for name in ("cells", "mosaic.tif", "truth.tif", "mask.tif"))
    model, scores = folder / "run" / "model.safetensors", folder / "scores.json"
    write_dataset(cells, TRAINING_IMAGES, TRAINING_SIZE, seed)
    _run(["fit", "--data.train", str(cells), *FIT_ARGUMENTS.split(), "--runs", str(folder), "--name", "run"], run)
    size = choose_size(_speed(model, seed), DEMO_SECONDS - TISSUE_SECONDS - (monotonic() - start))
    log(f"\nDrawing an image of {size} x {size} pixels that the model never saw.")
    image, labels = make_cells(size, size, np.random.default_rng((seed, TRAINING_IMAGES)))
    write_tiff(mosaic, image)
    write_tiff(truth, labels)
    commands = (
        ["segment", str(mosaic), str(mask), "--model", str(model)],
        ["evaluate", str(mask), str(truth), "--json", str(scores)],
    )
    for command in commands:
        _run(command, run)
    minutes, seconds = divmod(round(monotonic() - start), 60)
    picture = folder / "overview.png"
    _draw(picture, image, labels, mask, folder / "run" / "metrics.csv", scores, f"{minutes} min {seconds:02} s")
    nuclei = folder / "nuclei.png"
    _segment_tissue(folder, nuclei, run)
    log(f"\nDone. Look at {picture} (made in {minutes} min {seconds:02} s) and {nuclei}")


def choose_size(speed: float, seconds: float) -> int:
    """Return the side of the largest mosaic for which there is time.

    Args:
        speed: Seconds for predicting a pixel.
        seconds: Time that there is.
    """
    return next(
        (size for size in MOSAIC_SIZES if size**2 * speed * (1 + OTHER_WORK_FACTOR) <= seconds), MOSAIC_SIZES[-1]
    )


def _speed(model: Path, seed: int) -> float:
    """Return the seconds for predicting a pixel with a model."""
    network = load_model(model)
    piece = make_cells(SPEED_TEST_SIDE, SPEED_TEST_SIDE, seed)[0]
    predict_tiled(piece, network)  # a warm-up, which does not count
    start = monotonic()
    predict_tiled(piece, network)
    return (monotonic() - start) / SPEED_TEST_SIDE**2


def _run(command: list[str], run: Callable[[list[str]], int]) -> None:
    """Print a command and run it.

    Raises:
        UnetkitError: It failed.
    """
    log(f"\n$ unetkit {shell.join(command)}")
    code = run(command)
    if code == 130:
        raise KeyboardInterrupt  # stopped on purpose: no fault to explain
    if code != 0:
        raise UnetkitError(f"The command `unetkit {command[0]}` failed.", "Its message above says why.")


def _segment_tissue(folder: Path, picture: Path, run: Callable[[list[str]], int]) -> None:
    """Number the nuclei of a stained tissue section, which scikit-image brings along, and draw them."""
    tissue, labels = folder / "tissue.tif", folder / "tissue_labels.tif"
    pixels = immunohistochemistry()
    tifffile.imwrite(tissue, pixels, photometric="rgb")
    log("\nA real image and no training: stained tissue of a colon (immunohistochemistry, from scikit-image).")
    _run(["segment", str(tissue), str(labels), "--output", "labels", "--stain", "hematoxylin"], run)
    numbers = tifffile.imread(labels)
    title = f"{numbers.max()} objects, found by their hematoxylin, the blue stain, between the glands and in them"
    labels_picture(picture, pixels.transpose(2, 0, 1), numbers, title)


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make an empty folder for the demo."""
    if folder.exists():
        if not (folder / MARKER_FILE).is_file():
            raise OutputError(f"{folder} exists already and is no earlier demo.", "Choose another --folder.")
        if not overwrite:
            raise OutputError(f"{folder} holds an earlier demo.", "Pass --overwrite or choose another --folder.")
        shutil.rmtree(folder)
    make_folder(folder, remedy="Choose another --folder.")
    (folder / MARKER_FILE).touch()


def _draw(
    path: Path, image: NDArray[Any], labels: NDArray[Any], mask: Path, metrics: Path, scores: Path, duration: str
) -> None:
    """Draw the mosaic with its mask, the learning curve and the scores."""
    source = open_image(mask)
    predicted = source.read(0, (slice(0, image.shape[0]), slice(0, image.shape[1])))[0]
    source.close()
    with metrics.open(newline="", encoding="utf-8") as file:
        curve = [(int(row["step"]), float(row["val_dice"])) for row in csv.DictReader(file) if row["val_dice"]]
    pooled = json.loads(scores.read_text(encoding="utf-8"))["pooled"]
    overview_picture(
        path,
        image,
        predicted,
        labels,
        curve,
        f"{image.size / 1e6:.1f} megapixels that the model never saw: Dice {pooled['dice']:.3f}",
        {
            **{
                score.heading_within("2 px"): f"{pooled[score.name]:.4f}"
                for score in PIXEL_SCORES
                if score.name in DRAWN_SCORES
            },
            "Cells": f"{labels.max():,}",
            "Trained on": f"{TRAINING_IMAGES} images",
            "All in all": duration,
        },
    )
