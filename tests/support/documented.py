"""The code blocks of README and docs, and what runs their lines in a folder with small files of the names in them."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import tifffile
import yaml
import zarr
from czi_files import write_czi
from dicom_files import write_series
from drawn_files import write_coco, write_geojson, write_rois
from nifti_files import affine_of, write_nifti

from unetkit.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SMALL = "--data.crop 64 --data.batch_size 2 --trainer.max_epochs 1 --trainer.devices 1"
SMALL_NETWORK = "--model.encoder resnet18 --model.depth 3 --model.decoder_channels [16,16,8] --data.crops_per_epoch 4"
SMALL_PLAIN = "--model.base_channels 4 --model.depth 3 --data.crops_per_epoch 4"
SMALL_CLASSIFIER = "--model.encoder resnet18 --model.weights null"
"""What makes a documented run small; it comes last, and so counts."""

SMALL_FOLDS = "--data.folds 2"
"""What makes a documented cross-validation small, where its folds are trained on a cluster."""

SMALL_VOLUMES = "--data.crop [16,32,32]"
"""What makes a documented training on volumes small."""

DOCUMENTED_PORT = "8786"

SHELL = ("make", "source", "python -m venv", "git clone", "cd", "pip download", "sbatch", "docker")
"""Beginnings of lines that are for the shell, and are not run; make's are checked against the Makefile."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of each code block of a page."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block: comments are left out, continued lines are joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def write_material(folder: Path, page: Path, model: Path) -> dict[str, Any]:
    """Write the files that a page names, all small; return the names that its Python blocks use."""
    rng = np.random.default_rng(0)
    cells, labels = zip(*(draw_cells(rng) for _ in range(10)), strict=True)
    for place in ("cells", "corrected", "tissue", "nuclei/test"):
        for kind in ("images", "masks"):
            (folder / place / kind).mkdir(parents=True)
        for i in range(4):
            tifffile.imwrite(folder / place / "images" / f"{i}.tif", cells[i])
            values = labels[i] % 4 if place == "tissue" else labels[i]
            tifffile.imwrite(folder / place / "masks" / f"{i}.tif", values.astype(np.uint16))
    for place in ("slides", "films", "unlabelled", "predictions", "labels", "masks"):
        (folder / place).mkdir()
    for i in range(8):
        for place in ("slides", "films", "unlabelled"):
            tifffile.imwrite(folder / place / f"{i}.tif", cells[i])
        for place in ("predictions", "labels", "masks"):
            tifffile.imwrite(folder / place / f"{i}.tif", labels[i].astype(np.uint16))
    for name, kind in (("em/train-volume.tif", cells), ("em/train-labels.tif", labels), ("volume.tif", cells)):
        (folder / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(folder / name, np.stack(kind * 3 if "em/" in name else kind).astype(np.uint8))
    for name in ("volume_labels.tif", "volume_mask.tif"):
        tifffile.imwrite(folder / name, np.stack(labels).astype(np.uint8))
    tifffile.imwrite(folder / "slide.tif", cells[0])
    tifffile.imwrite(folder / "slide.svs", cells[0], tile=(64, 64))
    tifffile.imwrite(folder / "slide_rgb.tif", np.stack([cells[0]] * 3, -1), photometric="rgb")
    for name, pixels in (("slide2", cells[0]), ("slide_truth", labels[0]), ("slide2_truth", labels[0])):
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    np.save(folder / "image.npy", cells[0])
    write_czi(folder / "slide.czi", [(cells[i], {}, (0, 500 * i), i) for i in range(2)])
    write_zarr(folder / "image.zarr", cells[0])
    (folder / "pairs.csv").write_text(
        "image,mask\n" + "".join(f"cells/images/{i}.tif,cells/masks/{i}.tif\n" for i in range(4))
    )
    (folder / "films.csv").write_text("image,label\n" + "".join(f"films/{i}.tif,{i % 2}\n" for i in range(8)))
    for name in ("cells-1", "cells-2") if "unetkit fit --data.train cells" not in page.read_text() else ():
        (folder / "runs" / name).mkdir(parents=True)
        shutil.copy(model, folder / "runs" / name / "model.safetensors")
    for name in ("configs", "examples", "benchmarks", "unetkit"):
        (folder / name).symlink_to(ROOT / name)
    write_volumes(folder, page, np.stack(cells[:3]), np.stack(labels[:3]))
    write_outlines(folder, page, labels[:4], cells[:4])
    write_models(folder, page)
    stack = np.stack(cells[:2])
    return {
        "array": cells[0],
        "stack": stack,
        "zarr_in": zarr.array(stack),
        "zarr_out": zarr.zeros(stack.shape, dtype="uint8"),
    }


def write_models(folder: Path, page: Path) -> None:
    """Write models of other programs, for pages that name them."""
    from foreign_models import Scales, write_onnx

    text = page.read_text(encoding="utf-8")
    if "net.onnx" in text:
        write_onnx(Scales(), folder / "net.onnx", (1, 1, 64, 64), (0, 2, 3))
    if "affable-shark.zip" in text:
        from bioimageio_packages import Made, write_package

        write_package(Made(Scales(), halo=12), folder / "affable-shark.zip")


def write_outlines(folder: Path, page: Path, labels: Sequence[np.ndarray], cells: Sequence[np.ndarray]) -> None:
    """Write images with outlines beside them, a file of COCO for all, and outlines of the slide, for pages on these."""
    if "rasterize" not in page.read_text(encoding="utf-8"):
        return
    names = [{int(n): ("stroma", "tumour")[int(n) % 2] for n in np.unique(one)} for one in labels]
    for kind in ("images", "annotations"):
        (folder / "outlined" / kind).mkdir(parents=True)
    for i, (one, image) in enumerate(zip(labels, cells, strict=True)):
        tifffile.imwrite(folder / "outlined" / "images" / f"{i}.tif", image)
        write_geojson(folder / "outlined" / "annotations" / f"{i}.geojson", one, names[i])
    truths = {str(i): one for i, one in enumerate(labels)}
    write_coco(folder / "outlined.json", truths, {str(i): one for i, one in enumerate(names)})
    write_geojson(folder / "slide.geojson", labels[0], names[0])
    write_rois(folder / "slide_RoiSet.zip", labels[0], names[0])


def write_volumes(folder: Path, page: Path, volume: np.ndarray, labels: np.ndarray) -> None:
    """Write volumes for the pages that are about them: stacks with masks and a scan, or those of medicine."""
    text = page.read_text(encoding="utf-8")
    if "scan.nii.gz" in text:
        write_nifti(folder / "scan.nii.gz", volume.T.astype(np.uint8), affine_of((2, 0, 1), (1, -1, 1)))
        for kind, values in (("images", volume), ("masks", labels)):
            (folder / "stacks" / kind).mkdir(parents=True)
            for i in range(3):
                pixels = np.tile(np.roll(values, 32 * i, axis=-1)[:, :64, :64], (3, 1, 1)).astype(np.uint8)
                tifffile.imwrite(folder / "stacks" / kind / f"{i}.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    if "ct organs.nii.gz" not in text:
        return
    write_nifti(folder / "head.nii.gz", volume.T.astype(np.uint8), affine_of((2, 0, 1), (1, -1, 1)))
    write_series(folder / "ct", volume.astype(np.int16), RescaleSlope=1, RescaleIntercept=-1024)
    with h5py.File(folder / "cells.h5", "w") as file:
        file["volumes/raw"], file["volumes/labels"] = volume.astype(np.uint8), labels.astype(np.uint16)


def write_zarr(path: Path, pixels: np.ndarray) -> None:
    """Write an OME-Zarr image of one level."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    root.create_array("0", data=pixels)


def draw_cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of up to 12 bright discs, 128 x 128, and their labels, numbered at random."""
    y, x = np.mgrid[:128, :128]
    labels = np.zeros((128, 128), np.uint8)
    numbers = rng.permutation(40)[:12] + 1
    for place in range(rng.integers(8, 13)):
        center = np.array([16 + 32 * (place // 4), 16 + 32 * (place % 4)]) + rng.integers(-5, 6, 2)
        labels[(y - center[0]) ** 2 + (x - center[1]) ** 2 <= rng.integers(6, 10) ** 2] = numbers[place]
    return (rng.normal(30, 5, labels.shape) + 150 * (labels > 0)).clip(0, 255).astype(np.uint8), labels


class Services:
    """What a page starts and leaves running: ended with the block.

    The scheduler of the pages, host:8786, is one on this machine.
    """

    def __init__(self) -> None:
        self._processes = ExitStack()
        self._port = 0

    def __enter__(self) -> Services:
        """Begin with none."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all, the last first."""
        self._processes.close()

    def here(self, text: str) -> str:
        """Return text with the address of the scheduler on this machine."""
        return text.replace(f"host:{DOCUMENTED_PORT}", f"127.0.0.1:{self._port}")

    def start(self, words: list[str]) -> None:
        """Start `dask scheduler` or `dask worker`, of which one is enough."""
        if words[0] == "scheduler":
            assert words[1:] == ["--port", DOCUMENTED_PORT], words
            with socket() as free:
                free.bind(("127.0.0.1", 0))
                self._port = free.getsockname()[1]
            words = ["scheduler", "--host", "127.0.0.1", "--port", str(self._port), "--dashboard-address", ":0"]
        words = shlex.split(shlex.join(words).replace("--nworkers 2", "--nworkers 1"))
        paths = [str(ROOT / "tests" / "support" / "small_halo"), str(ROOT / "tests" / "support")]
        paths += [str(ROOT), os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stderr=subprocess.DEVNULL,
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.terminate)


def run(words: list[str], services: Services) -> None:
    """Run a documented command in this folder, or check what of it can be."""
    program, *rest = map(services.here, words)
    if program == "dask":
        services.start(rest)
    elif program == "unetkit" and rest[0] == "view":
        with patch("unetkit.viewing.browser.wait", side_effect=KeyboardInterrupt):  # as Ctrl-C ends it
            assert main([*rest, "--no-browser"]) == 0, words
    elif program == "unetkit":
        assert main([*rest, *smaller(rest)]) == 0, words
    elif program == "pip" and rest[0] == "install":
        check_extras(" ".join(rest))
    elif program == "python" and rest[0].startswith("examples/"):
        with contextlib.chdir("."), patched_arguments(rest):
            runpy.run_path(str(ROOT / rest[0]), run_name="__main__")
    elif program == "python" and rest[0].startswith("benchmarks/"):
        known = set(re.findall(r'"(--[\w-]+)"', (ROOT / rest[0]).read_text(encoding="utf-8")))
        assert {word for word in rest if word.startswith("--")} <= known, words
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    else:
        assert " ".join(words).startswith(SHELL), f"nothing is known of {words}"


def smaller(words: list[str]) -> list[str]:
    """Return the options that make a training small; none for other commands."""
    if words[0] not in ("fit", "pretrain") or "--resume" in words:
        return []
    config = Path(words[words.index("--config") + 1]).stem if "--config" in words else ""
    if "--data.image_labels" in words and "--data.train" not in words:
        network = SMALL_CLASSIFIER
    else:
        network = SMALL_PLAIN if config in ("em_membrane", "unet_2015") else SMALL_NETWORK
    folds = SMALL_FOLDS if "--cluster" in words else ""
    volumes = SMALL_VOLUMES if "--model.dims" in words else ""
    return shlex.split(f"{SMALL} {network} {folds} {volumes}")


def check_extras(text: str) -> None:
    """Check that the extras that a line installs exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for names in re.findall(r"(?:unetkit|\.)\[([\w,-]+)\]", text):
        assert set(names.split(",")) <= set(extras), text


def check_config(text: str) -> None:
    """Check that a configuration in YAML has keys and values that `fit` knows, or `--cluster`, or notes on a model."""
    from unetkit.cluster.jobs import read_jobs_file
    from unetkit.training.segmentation.run import SegmentationRun
    from unetkit.training.settings.config import from_arguments
    from unetkit.training.settings.tasks import FIT
    from unetkit.zoo.notes import ModelNotes, read_notes

    config = yaml.safe_load(text)
    if config.keys() <= ModelNotes.__dataclass_fields__.keys():
        Path("model.yaml").write_text(text)
        read_notes(Path("model.onnx"))
        return
    if "system" in config:
        Path("jobs.yaml").write_text(text)
        read_jobs_file(Path("jobs.yaml"))
        return
    config.setdefault("data", {}).setdefault("train", "cells")
    Path("documented.yaml").write_text(yaml.safe_dump(config))
    words = ["--config", "documented.yaml", "--trainer.devices", "1", "--trainer.num_nodes", "1"]
    SegmentationRun(from_arguments(FIT, words))


@contextlib.contextmanager
def patched_arguments(words: list[str]) -> Iterator[None]:
    """Set the command line that a script sees."""
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before
