"""Whether two versions of unetkit give the same results to the bit: hashes of the pixels of many kinds of outputs.

    git worktree add ../before OLD_COMMIT
    PYTHONPATH=../before python benchmarks/same_results.py before.json
    python benchmarks/same_results.py after.json --compare before.json

The images are synthetic and made anew by each run; the cases go through the command line, as users go. Two epochs of a
seeded training are among them, by the losses that `metrics.csv` holds. Hashes are of pixels, not of files, as files
hold the command and the version. They hold on one machine only: another processor adds in another order.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
import zarr
from PIL import Image

import unetkit
from unetkit.cli import main

FIXED = ["--backend", "torch", "--tile", "192"]
"""Options that leave nothing to be timed, so that a result does not hang on how busy the machine is."""

CASES: dict[str, tuple[str, str, list[str]]] = {
    "grey, mask": ("grey.tif", "out.tif", FIXED),
    "grey, mask in strips": ("grey.tif", "out.tif", [*FIXED, "--layout", "strips", "--compression", "lzw"]),
    "grey, PNG": ("grey.png", "out.png", FIXED),
    "grey, probabilities": ("grey.tif", "out.tif", [*FIXED, "--output", "probabilities"]),
    "grey, labels": ("grey.tif", "out.tif", [*FIXED, "--output", "labels"]),
    "grey, labels by a watershed": ("grey.tif", "out.zarr", [*FIXED, "--output", "labels", "--split"]),
    "grey, flips and rotations": ("grey.tif", "out.tif", [*FIXED, "--tta", "--output", "probabilities"]),
    "grey, pyramid": ("grey.tif", "out.tif", [*FIXED, "--pyramid"]),
    "grey, region": ("grey.tif", "out.tif", [*FIXED, "--region", "100,50,400,333", "--output", "labels"]),
    "grey, empty tiles left out": ("grey.tif", "out.tif", [*FIXED, "--skip-empty"]),
    "grey, resampled": ("grey.tif", "out.tif", [*FIXED, "--pixel-size", "0.4"]),
    "grey, halo and batch": ("grey.tif", "out.tif", [*FIXED, "--halo", "32", "--batch", "3"]),
    "grey, bfloat16": ("grey.tif", "out.tif", [*FIXED, "--precision", "bf16"]),
    "grey, OpenVINO": ("grey.tif", "out.tif", ["--backend", "openvino", "--tile", "192"]),
    "grey, ONNX Runtime": ("grey.tif", "out.tif", ["--backend", "onnxruntime", "--tile", "192"]),
    "grey, int8": ("grey.tif", "out.tif", ["--precision", "int8", "--tile", "192"]),
    "float with holes, labels": ("holes.tif", "out.tif", [*FIXED, "--output", "labels"]),
    "stack, labels": ("stack.tif", "out.tif", [*FIXED, "--output", "labels"]),
    "stack, OME-Zarr": ("stack.tif", "out.zarr", [*FIXED, "--pyramid"]),
    "channels, one of them": ("channels.tif", "out.tif", [*FIXED, "--channels", "1"]),
    "colours": ("colours.png", "out.tif", FIXED),
    "colours, a stain": ("colours.png", "out.tif", [*FIXED, "--stain", "hematoxylin"]),
    "slide in JPEG tiles, labels": ("slide.tif", "out.tif", [*FIXED, "--output", "labels", "--pyramid"]),
    "slide, second level": ("slide.tif", "out.tif", [*FIXED, "--level", "1"]),
    "OME-Zarr, mask": ("image.zarr", "out.zarr", FIXED),
    "OME-Zarr to TIFF, probabilities": ("image.zarr", "out.tif", [*FIXED, "--output", "probabilities"]),
    "folder": ("folder", "results", [*FIXED, "--output", "labels"]),
    "trained here, mask": ("grey.tif", "out.tif", [*FIXED, "--model", "runs/seeded/model.safetensors"]),
    "two models": ("grey.tif", "out.tif", [*FIXED, "--model", "nuclei", "runs/seeded/model.safetensors"]),
}
"""Name: (input, output, options)."""

TRAINING = ["--data.train", "data", "--data.val", "0.4", "--data.crop", "96", "--data.crops_per_epoch", "16"]
TRAINING += ["--data.batch_size", "4", "--data.workers", "0", "--model.encoder", "resnet18", "--model.depth", "3"]
TRAINING += ["--model.instances", "true", "--model.in_channels", "3", "--trainer.max_epochs", "2"]
TRAINING += ["--trainer.accelerator", "cpu", "--seed_everything", "3", "--plan", "false", "--name", "seeded"]


def make_cells(height: int, width: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return discs with blurred edges on noise (uint16), and their labels; drawn here, so that they stay the same."""
    rng = np.random.default_rng(seed)
    image, labels = rng.normal(500, 30, (height, width)), np.zeros((height, width), np.uint16)
    y, x = np.mgrid[:height, :width]
    for label in range(1, height * width // 1500):
        radius = rng.uniform(7, 13)
        inside = radius - np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width))
        image += rng.uniform(1000, 4000) / (1 + np.exp(-np.clip(inside, -50, 50)))
        labels[inside > 0] = label
    return np.clip(image, 0, 65535).astype(np.uint16), labels


def make_images(folder: Path) -> None:
    """Write the images of all cases."""
    image, _ = make_cells(700, 640, 1)
    calibrated: dict[str, Any] = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "grey.tif", image, tile=(128, 128), compression="zlib", **calibrated)
    eight = np.clip(image / image.max() * 255, 0, 255).astype(np.uint8)
    Image.fromarray(eight).save(folder / "grey.png")
    holes = image.astype(np.float32)
    holes[:, 600:] = np.nan
    tifffile.imwrite(folder / "holes.tif", holes)
    planes = np.stack([make_cells(300, 280, seed)[0] for seed in range(3)])
    tifffile.imwrite(folder / "stack.tif", planes, metadata={"axes": "ZYX"}, ome=True)
    tifffile.imwrite(folder / "channels.tif", planes, metadata={"axes": "CYX"}, ome=True, compression="lzw")
    colours = np.stack([255 - eight // 2, 255 - eight, 255 - eight // 3], axis=-1)
    Image.fromarray(colours).save(folder / "colours.png")
    with tifffile.TiffWriter(folder / "slide.tif", bigtiff=True) as file:
        options: dict[str, Any] = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"}
        file.write(colours, subifds=1, **options)
        file.write(colours[::2, ::2], subfiletype=1, **options)
    array = zarr.create_array(folder / "image.zarr", shape=image.shape, chunks=(100, 130), dtype=image.dtype)
    array[:] = image
    (folder / "folder").mkdir()
    for seed in range(2):
        tifffile.imwrite(folder / "folder" / f"{seed}.tif", make_cells(200, 220, seed)[0])
    for part in ("images", "masks"):
        (folder / "data" / part).mkdir(parents=True)
    for seed in range(10, 16):
        image, labels = make_cells(160, 160, seed)
        tifffile.imwrite(folder / "data" / "images" / f"{seed}.tif", image)
        tifffile.imwrite(folder / "data" / "masks" / f"{seed}.tif", labels)


def digest(path: Path) -> str:
    """Return a hash of the pixels of an output: of all its levels, or of all files of a folder."""
    total = hashlib.sha256()
    for array in read_arrays(path):
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def read_arrays(path: Path) -> list[np.ndarray[Any, Any]]:
    """Return all arrays of pixels in an output."""
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="r")
        return [np.asarray(array) for _, array in sorted(group.arrays())]
    if path.is_dir():
        return [array for file in sorted(path.iterdir()) for array in read_arrays(file)]
    if path.suffix == ".png":
        return [np.asarray(Image.open(path))]
    with tifffile.TiffFile(path) as file:
        return [level.asarray() for series in file.series for level in series.levels]


def run(arguments: list[str]) -> None:
    """Run a command of unetkit in this process, silently."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(arguments)
    if status:
        raise SystemExit(f"unetkit {' '.join(arguments)}\n{said.getvalue()}")


def killed_and_resumed(target: Path) -> str:
    """Return the hash of an output of which the making was killed once, and gone on with."""
    command = ["segment", "grey.tif", str(target), "--backend", "torch", "--tile", "192", "--tta", "--output", "labels"]
    process = subprocess.Popen([sys.executable, "-m", "unetkit", *command], stderr=subprocess.DEVNULL)
    while process.poll() is None and not Path(f"{target.name}.unfinished").exists():
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if target.exists():
        raise SystemExit("The output was whole before the command was killed: nothing was resumed.")
    run([*command, "--resume"])
    return digest(target)


def losses(run_folder: Path) -> str:
    """Return the training losses and scores of a run, as they are written in its table."""
    with (run_folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return json.dumps([{key: row[key] for key in row if "second" not in key and "time" not in key} for row in rows])


def collect() -> dict[str, str]:
    """Make all images, run all cases, and return a hash for each."""
    make_images(Path())
    run(["fit", *TRAINING])
    results = {"two epochs of training": losses(Path("runs/seeded"))}
    for number, (name, (source, output, options)) in enumerate(CASES.items()):
        target = Path(f"{number}-{output}")
        run(["segment", source, str(target), *options])
        results[name] = digest(target)
        print(f"{results[name]}  {name}", flush=True)
    results["killed and resumed"] = killed_and_resumed(Path("resumed.tif"))
    array = tifffile.imread("grey.tif")
    mask = unetkit.predict_tiled(array, unetkit.load_model("nuclei"), tile=192, backend="torch")
    results["predict_tiled"] = hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest()[:16]
    return results


def same_results() -> int:
    """Read the command line, run all cases, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="JSON file that gets the hashes")
    parser.add_argument("--compare", type=Path, help="JSON file of another version")
    arguments = parser.parse_args()
    result = arguments.result.absolute()
    earlier = json.loads(arguments.compare.read_text()) if arguments.compare else {}
    home = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            results = collect()
        finally:
            os.chdir(home)
    result.write_text(json.dumps(results, indent=1))
    different = [name for name in earlier if results.get(name) != earlier[name]]
    print(f"{unetkit.__file__}: {len(results)} results", *(f"different: {name}" for name in different), sep="\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(same_results())
