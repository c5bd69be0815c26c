"""What correcting a few images of a new kind gains: the built-in model before, and after it was trained on them.

    python benchmarks/corrections.py DATA/em --counts 5,10,20 --minutes 5 --markdown

DATA/em holds train-volume.tif and train-labels.tif: sections of neurons in an electron microscope, which the built-in
model for nuclei has never seen. Sections 0 to 20 stand for what a user corrects: their true masks, a number for each
neuron of the section, take the place of the corrections. Sections 24 to 26 are scored, and seen by no training.

The loop is that of docs/annotate.md, by the commands: segment, correct, `fit --model.weights`, segment, evaluate. With
`--fresh` the same training also begins from random weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray
from skimage.measure import label

CORRECTED, SCORED = range(21), range(24, 27)

UNETKIT = [sys.executable, "-m", "unetkit"]


def write_pages(data: Path, pages: Sequence[int], folder: Path) -> Path:
    """Write sections and the labels of their neurons as a folder of images and masks."""
    images, truth = tifffile.imread(data / "train-volume.tif"), tifffile.imread(data / "train-labels.tif")
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for page in pages:
        tifffile.imwrite(folder / "images" / f"{page:02}.tif", images[page])
        neurons: NDArray[Any] = label(truth[page] > 0, connectivity=1)
        tifffile.imwrite(folder / "masks" / f"{page:02}.tif", neurons.astype(np.uint16), compression="deflate")
    return folder


def run(*words: str | Path) -> None:
    """Run a command of unetkit."""
    done = subprocess.run([*UNETKIT, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"unetkit {' '.join(map(str, words))}:\n{done.stdout}\n{done.stderr}")


def score(model: str | Path, scored: Path, results: Path) -> dict[str, float]:
    """Segment the sections to be scored, and score them."""
    run("segment", scored / "images", results, "--model", model, "--output", "labels", "--overwrite")
    run("evaluate", results, scored / "masks", "--instances", "--json", results / "scores.json", "--overwrite")
    scores: dict[str, Any] = json.loads((results / "scores.json").read_text(encoding="utf-8"))
    objects = scores["instances"]["pooled"]
    return {"Dice": scores["mean"]["dice"], "AP@0.5": objects["ap50"], "F1@0.5": objects["f1"]}


def main(args: Sequence[str] | None = None) -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--counts", default="5,10,20", help="numbers of corrected images")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--fresh", action="store_true", help="begin from random weights too")
    parser.add_argument("--folder", type=Path, help="keep all runs and results here")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        scored = write_pages(options.data, SCORED, folder / "scored")
        rows = [["as it is", "built-in", *_cells(score("nuclei", scored, folder / "before"))]]
        for count in map(int, options.counts.split(",")):
            pages = np.unique(np.linspace(CORRECTED[0], CORRECTED[-1], count).round().astype(int))
            corrected = write_pages(options.data, pages.tolist(), folder / f"corrected-{count}")
            for start in ("nuclei", "random") if options.fresh else ("nuclei",):
                name = f"{start}-{count}"
                weights = ["--model.weights", start] if start != "random" else []
                settings: list[str | Path] = ["--data.train", corrected, "--minutes", str(options.minutes), *weights]
                run("fit", *settings, "--runs", folder / "runs", "--name", name)
                model = folder / "runs" / name / "model.safetensors"
                rows.append([f"{len(pages)} images", start, *_cells(score(model, scored, folder / f"after-{name}"))])
                print(*rows[-1], flush=True)
    print_machine(describe_machine())
    title = f"Neurons in EM sections, {options.minutes:g} minutes of training"
    print_table(title, ["corrected", "start", "Dice", "AP@0.5", "F1@0.5"], rows, markdown=options.markdown)


def _cells(scores: dict[str, float]) -> list[str]:
    return [f"{value:.3f}" for value in scores.values()]


if __name__ == "__main__":
    main()
