"""Make the built-in model of nuclei: three trainings. The second shows most what the first does worst.

    python benchmarks/nuclei_model.py nuclei/train --start nuclei-4.safetensors --folder runs/nuclei

The first training takes `configs/nuclei.yaml` as it is. For the second, the images are listed once, twice or four
times, by how well the first model finds their masks, and they are varied less: how far a nucleus reaches is drawn by
other habits in each kind of image, and what tells the kinds apart are their blur and the size of their pixels. For the
third, images are enlarged until their nuclei are of a usual size, up to twice, by what the second model finds in them,
as `segment` does with the model that comes out; those that are enlarged much are listed once as they are, too. All end
with a learning rate of zero, and with settings chosen on the validation images. For the second, a choice of objects is
learnt from all training images (`choosing.py`). The model has this choice, and the mean of the weights of the second
and the third; it is written to FOLDER/nuclei.safetensors, in float16.

--start is a model file of unetkit to begin with. Without it the first training begins with random weights, and needs
more crops to be as good.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from choosing import main as choose_objects
from instances import nearest

from unetkit import load_model, predict_tiled
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.foundation.console import log_nothing
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.run.zoom import find_zoom
from unetkit.inference.tiling.options import OutputOptions, SegmentOptions, TilingOptions
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import match_channels
from unetkit.io.views.rescale import ZoomedSource
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.scoring.pixels import count_pixels, iou

CONFIG = Path(__file__).parent.parent / "configs" / "nuclei.yaml"

CROPS_PER_EPOCH = 8000

USUAL = TilingOptions()

HARD = ((0.80, 4), (0.87, 2))
"""Images whose mask is found with an IoU below the first number are listed so many times."""

EMA = "--model.ema_decay=0.999"

GENTLE = {
    "scale": "[0.75,1.33]",
    "blur_probability": 0.05,
    "noise_probability": 0.1,
    "gamma_probability": 0.2,
    "elastic_probability": 0.2,
    "rotate_probability": 0.2,
    "stain_probability": 0.3,
    "object_gain_probability": 0.15,
}
"""How images are varied in the second training, where that differs from `configs/nuclei.yaml`."""

LESS_GENTLE = GENTLE | {"scale": "[0.7,1.4]", "blur_probability": 0.1, "gamma_probability": 0.3}
"""How they are varied in the third."""

DIAMETER = 28.0
"""Pixels across a nucleus of an image that is enlarged, but for images that would be enlarged more than twice."""

SEEN_BOTH = 1.3
"""Images that are enlarged more than so are shown as they are, too: in its first pass `segment` sees them so."""


def fit(folder: Path, name: str, epochs: int, *more: str) -> Path:
    """Run `unetkit fit` and return the model that it writes to FOLDER/NAME."""
    command = [sys.executable, "-m", "unetkit", "fit", "--config", str(CONFIG), "--runs", str(folder), "--name", name]
    length = [f"--data.crops_per_epoch={CROPS_PER_EPOCH}", f"--trainer.max_epochs={epochs}", EMA]
    subprocess.run([*command, *length, *more], check=True)
    return folder / name / "model.safetensors"


def mask_iou(model: Segmenter, pair: Pair) -> float:
    """Return the IoU of the mask of an image; 1 where there is nothing to find, and nothing is found."""
    pixels, truth = load_pair(pair)
    mask = predict_tiled(match_channels(pixels, model.spec.in_channels, pair.name), model, axes="CYX", output="mask")
    return iou(count_pixels(mask > 0, truth > 0))


def write_list(path: Path, pairs: Iterable[tuple[Pair, int]]) -> None:
    """Write a CSV of images and masks, each so many times."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "mask"])
        rows.writerows((pair.image.resolve(), pair.mask and pair.mask.resolve()) for pair, n in pairs for _ in range(n))


def list_images(model_file: Path, data: Path, folder: Path) -> tuple[Path, Path]:
    """Write FOLDER/train.csv and FOLDER/val.csv: the images that a model was trained and validated on.

    Those to train on are listed as often as `HARD` says.
    """
    model = load_model(model_file)
    validated = set(model.spec.training["data"]["val_images"])
    train, val = folder / "train.csv", folder / "val.csv"
    pairs = find_pairs(data)
    times = {}
    for pair in (pair for pair in pairs if pair.name not in validated):
        found = mask_iou(model, pair)
        times[pair.name] = next((count for below, count in HARD if found < below), 1)
    count = Counter(times.values())
    print("listed " + ", ".join(f"{n} x: {images} images" for n, images in sorted(count.items())), flush=True)
    write_list(train, ((pair, times[pair.name]) for pair in pairs if pair.name in times))
    write_list(val, ((pair, 1) for pair in pairs if pair.name in validated))
    return train, val


def enlarge(pair: Pair, model: Segmenter, folder: Path) -> tuple[Pair, float]:
    """Return an image and its mask enlarged as `segment` would do it, and by how much; written where they are."""
    pixels, truth = load_pair(pair)
    ensemble = gather_models(model)
    source = ValidSource(ArraySource(match_channels(pixels, ensemble.channels, pair.name), "CYX"))
    predictor = Predictor(ensemble, USUAL, source, truth.size, kind="heights", threshold=None, log=log_nothing)
    zoom = find_zoom(source, predictor, SegmentOptions(write=OutputOptions(output="labels")))
    if zoom == 1:
        return pair, zoom
    seen = ZoomedSource(ArraySource(pixels, "CYX"), zoom)
    size = seen.info.size
    image, mask = (folder / name / f"{pair.name}.tif" for name in ("images", "masks"))
    enlarged = seen.read(0, tuple(slice(0, length) for length in size))
    tifffile.imwrite(image, enlarged, photometric="rgb" if len(enlarged) == 3 else "minisblack")
    tifffile.imwrite(mask, nearest(truth.reshape(truth.shape[-2:]), size).astype(np.uint16))
    return replace(pair, image=image, mask=mask), zoom


def enlarge_images(model_file: Path, lists: Sequence[Path], folder: Path) -> tuple[Path, Path]:
    """Write images enlarged to FOLDER/images and FOLDER/masks, and return lists of them; see `enlarge`."""
    model = load_model(model_file)
    model.spec = replace(model.spec, object_diameter=DIAMETER)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    train, val = folder / "train.csv", folder / "val.csv"
    for listed, out in zip(lists, (train, val), strict=True):
        rows: list[tuple[Pair, int]] = []
        # Images that are listed again have their line in their names.
        for pair, times in Counter(replace(pair, name=pair.image.stem) for pair in find_pairs(listed)).items():
            seen, zoom = enlarge(pair, model, folder)
            rows.append((seen, times))
            if listed == lists[0] and zoom > SEEN_BOTH:
                rows.append((pair, 1))
        write_list(out, rows)
    return train, val


def options_of(train: Path, val: Path, start: Path, varied: Mapping[str, object], seed: int) -> list[str]:
    """Return the options of the second or third training, beside its length."""
    gentle = [f"--data.augment_options.{name}={value}" for name, value in varied.items()]
    images = [f"--data.train={train}", f"--data.val={val}", "--data.sampling=images", f"--data.seed={seed}"]
    return [*images, f"--model.weights={start}", *gentle]


def average(chosen: Path, third: Path, out: Path) -> None:
    """Write the first of two models with the mean of the weights of both, and with the size of its objects.

    The mean of networks that were trained on from one another is often better than each: Wortsman et al. 2022,
    https://arxiv.org/abs/2203.05482.
    """
    model, other = load_model(chosen), load_model(third).state_dict()
    state = model.state_dict()
    mean = {name: (own + other[name]) / 2 for name, own in state.items() if own.is_floating_point()}
    model.load_state_dict(state | mean)
    model.spec = replace(model.spec, object_diameter=DIAMETER)
    save_model(model, out, torch.float16)


def main(args: Sequence[str] | None = None) -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with images/ and masks/ (instance labels)")
    parser.add_argument("--start", help="model to begin with; by default random weights")
    parser.add_argument("--folder", type=Path, default=Path("runs/nuclei"), help="folder for all that is made")
    parser.add_argument(
        "--epochs", type=int, nargs=3, default=(40, 20, 8), help=f"epochs of {CROPS_PER_EPOCH} crops each"
    )
    parser.add_argument("--threshold", type=float, help="foreground probability; what the second training chooses")
    parser.add_argument("--lists", type=Path, help="only write the lists for the second training, by this first model")
    parser.add_argument("--enlarge", type=Path, help="then also those for the third, by this second model")
    options = parser.parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.lists is not None:
        lists = list_images(options.lists, options.data, options.folder)
        if options.enlarge is not None:
            enlarge_images(options.enlarge, lists, options.folder / "enlarged")
        return
    start = [] if options.start is None else [f"--model.weights={options.start}"]
    first = fit(options.folder, "first", options.epochs[0], f"--data.train={options.data}", *start)
    lists = list_images(first, options.data, options.folder)
    second = fit(options.folder, "second", options.epochs[1], *options_of(*lists, first, GENTLE, 1))
    chosen = options.folder / "chosen.safetensors"
    given = [] if options.threshold is None else [f"--threshold={options.threshold}"]
    choose_objects(["--data", str(options.data), "--model", str(second), "--out", str(chosen), *given])
    enlarged = enlarge_images(chosen, lists, options.folder / "enlarged")
    rate = "--model.lr=0.001"
    third = fit(options.folder, "third", options.epochs[2], *options_of(*enlarged, chosen, LESS_GENTLE, 3), rate)
    average(chosen, third, options.folder / "nuclei.safetensors")


if __name__ == "__main__":
    main()
