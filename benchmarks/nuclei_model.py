"""Make the built-in model of nuclei: two trainings, the second of which shows most what the first does worst.

    python benchmarks/nuclei_model.py nuclei/train --start nuclei-4.safetensors --folder runs/nuclei

The first training takes `configs/nuclei.yaml` as it is. For the second, the images are listed once, twice or four
times, by how well the first model finds their masks, and they are varied less: how far a nucleus reaches is drawn by
other habits in each kind of image, and what tells the kinds apart are their blur and the size of their pixels. Both end
with a learning rate of zero, and with settings chosen on the validation images. Then a choice of objects is learnt from
all training images (`choosing.py`). The model is written to FOLDER/nuclei.safetensors, in float16.

--start is a model file of unetkit to begin with. Without it the first training begins with random weights, and needs
more crops to be as good.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from choosing import main as choose_objects

from unetkit import load_model, predict_tiled
from unetkit.data.loading import load_pair
from unetkit.data.pairs import Pair, find_pairs
from unetkit.io.base.contracts import match_channels
from unetkit.models.segmenter import Segmenter
from unetkit.scoring.pixels import count_pixels, iou

CONFIG = Path(__file__).parent.parent / "configs" / "nuclei.yaml"

CROPS_PER_EPOCH = 8000

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


def second(train: Path, val: Path, start: Path) -> list[str]:
    """Return the options of the second training, beside its length."""
    gentle = [f"--data.augment_options.{name}={value}" for name, value in GENTLE.items()]
    images = [f"--data.train={train}", f"--data.val={val}", "--data.sampling=images", "--data.seed=1"]
    return [*images, f"--model.weights={start}", *gentle]


def main(args: Sequence[str] | None = None) -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with images/ and masks/ (instance labels)")
    parser.add_argument("--start", help="model to begin with; by default random weights")
    parser.add_argument("--folder", type=Path, default=Path("runs/nuclei"), help="folder for all that is made")
    parser.add_argument("--epochs", type=int, nargs=2, default=(40, 20), help=f"epochs of {CROPS_PER_EPOCH} crops each")
    parser.add_argument("--threshold", type=float, help="foreground probability; what the second training chooses")
    parser.add_argument("--lists", type=Path, help="only write the lists for the second training, by this first model")
    options = parser.parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.lists is not None:
        list_images(options.lists, options.data, options.folder)
        return
    start = [] if options.start is None else [f"--model.weights={options.start}"]
    first = fit(options.folder, "first", options.epochs[0], f"--data.train={options.data}", *start)
    lists = list_images(first, options.data, options.folder)
    made = fit(options.folder, "second", options.epochs[1], *second(*lists, first))
    out = options.folder / "nuclei.safetensors"
    given = [] if options.threshold is None else [f"--threshold={options.threshold}"]
    choose_objects(["--data", str(options.data), "--model", str(made), "--out", str(out), *given])


if __name__ == "__main__":
    main()
