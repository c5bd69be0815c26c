"""How well volumes are segmented: networks of volumes against those of planes, tissue in MR, and fractures in CT.

    python benchmarks/volume_accuracy.py FOLDER --minutes 20
    python benchmarks/volume_accuracy.py FOLDER --parts mni --mni ../shared/data/volumes/mni --minutes 30

Each network trains for the same minutes, with what `unetkit fit` plans for them, and is scored with `unetkit evaluate`
on volumes that it never saw, all of them as volumes. What is in FOLDER already is not drawn or trained again.

- nuclei: synthetic light-sheet stacks, 2 x 0.5 x 0.5 µm. Labels of planes are joined along Z as cellpose does
  (`stitch_threshold`): an object goes on in the one of the next plane with which it has the best IoU, 0.25 at least.
- spines: synthetic CT volumes of vertebrae, 2 x 0.8 x 0.8 mm.
- mni: background, grey and white matter of the ICBM 152 template, trained on lower planes and tested on upper ones.
- fractured: whether a synthetic CT volume shows a fracture, by a class of whole volumes; the area under the ROC curve.
"""

import argparse
import csv
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import tifffile
import yaml
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray

import unetkit
from unetkit.foundation.console import log_nothing
from unetkit.io.files import open_image
from unetkit.scoring.instances import count_overlaps
from unetkit.scoring.result import Evaluation
from unetkit.synthetic import write_nuclei, write_spines, write_volume
from unetkit.training.run.result import RunResult

PARTS = ("nuclei", "spines", "mni", "fractured")

LEAST_IOU = 0.25
"""Of objects in neighbouring planes that are joined."""

TRAINED_PLANES, TESTED_PLANES = "15-104", "110-169"
"""Planes of the template."""

TISSUES = ("grey matter", "white matter")


def train(folder: Path, name: str, options: argparse.Namespace, data: dict[str, Any], model: dict[str, Any]) -> Path:
    """Train for the minutes; return the model file."""
    kept = folder / "runs" / name / "model.safetensors"
    if not kept.exists():
        groups: dict[str, dict[str, Any]] = {"data": data, "model": model, "trainer": {}}
        for setting in options.settings:
            place, value = setting.split("=", 1)
            group, key = place.split(".", 1)
            groups[group] = {key: yaml.safe_load(value), **groups[group]}
        run = unetkit.fit(
            data=groups["data"],
            model=groups["model"],
            trainer=groups["trainer"],
            minutes=options.minutes or None,
            plan=None if options.minutes or "image_labels" in data else False,
            runs=folder / "runs",
            name=name,
        )
        assert isinstance(run, RunResult)
        return run.model_file
    return kept


def segment(images: Path, result: Path, model: Path, output: str) -> None:
    """Segment a file or a folder."""
    unetkit.segment(images, result, model, output=output, overwrite=True, log=log_nothing)


def join_planes(labels: NDArray[Any]) -> NDArray[np.uint32]:
    """Return labels (Z, Y, X) of volumes from those of planes."""
    joined = np.zeros(labels.shape, np.uint32)
    count = 0
    for z, plane in enumerate(labels):
        own = np.unique(plane)[1:] if (plane == 0).any() else np.unique(plane)
        numbers = dict.fromkeys(own.tolist(), 0)
        if z:
            for label, before in _best_pairs(plane, joined[z - 1]):
                numbers[label] = before
        for label in numbers:
            if not numbers[label]:
                count += 1
                numbers[label] = count
        lookup = np.zeros(int(plane.max()) + 1, np.uint32)
        lookup[list(numbers)] = list(numbers.values())
        joined[z] = lookup[plane]
    return joined


def _best_pairs(plane: NDArray[Any], before: NDArray[Any]) -> list[tuple[int, int]]:
    """Return which label of a plane goes on with which of the plane before, each once, the best first."""
    overlaps = count_overlaps(plane, before)
    sizes = {
        side: dict(zip(*np.unique(each, return_counts=True), strict=True)) for side, each in enumerate((plane, before))
    }
    pairs = [
        (shared / (sizes[0][label] + sizes[1][other] - shared), int(label), int(other))
        for label, other, shared in overlaps.tolist()
        if label and other
    ]
    found: dict[int, int] = {}
    for iou, label, other in sorted(pairs, reverse=True):
        if iou >= LEAST_IOU and label not in found and other not in found.values():
            found[label] = other
    return list(found.items())


def compare_depths(part: str, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Return the rows of nuclei or spines: a network of planes and one of volumes."""
    nuclei = part == "nuclei"
    draw, tolerance = (write_nuclei, "1um") if nuclei else (write_spines, "1mm")
    for use, count, seed in (("train", options.train, 0), ("test", options.test, 1000)):
        if not (folder / use).exists():
            draw(folder / use, count, options.size, seed, suffix=".tif")
    rows = []
    for dims in (2, 3):
        name = f"{dims}D"
        model = train(folder, name, options, {"train": str(folder / "train")}, {"dims": dims, "instances": nuclei})
        result = folder / f"result-{name}"
        segment(folder / "test" / "images", result, model, "labels" if nuclei else "mask")
        if nuclei and dims == 2:
            for path in sorted(result.glob("*.tif")):
                write_volume(path, join_planes(tifffile.imread(path)), (2.0, 0.5, 0.5))
        scores = unetkit.evaluate(result, folder / "test" / "masks", dims=3, tolerance=tolerance, instances=nuclei)
        rows.append([f"{part}, {name}", *_cells(scores)])
    return rows


def _cells(scores: Evaluation) -> list[str]:
    objects = scores.instances
    means = [f"{scores.mean[name]:.3f}" for name in ("dice", "surface_dice", "hd95", "assd")]
    return [*means, f"{objects.pooled.ap50:.3f}" if objects is not None else ""]


def mni(folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Return the rows of tissues."""
    folder.mkdir(parents=True, exist_ok=True)
    image, truth, result = options.mni / "t1.nii.gz", folder / "tissue.nii.gz", folder / "result.nii.gz"
    if not truth.exists():
        write_tissue(options.mni, truth)
    data = {"train": str(image), "masks": str(truth), "pages": TRAINED_PLANES}
    model = train(folder, "mni", options, data, {"dims": 3, "classes": 1 + len(TISSUES)})
    segment(image, result, model, "mask")
    with closing(open_image(image)) as source, closing(open_image(result)) as segmented:
        same = source.info.space is not None and segmented.info.space == source.info.space
    scores = unetkit.evaluate(result, truth, classes=3, pages=TESTED_PLANES, tolerance="1mm")
    return [
        [f"{tissue}{'' if same else ', in another space'}", *_cells(scores.of_class(number))]
        for number, tissue in enumerate(TISSUES, 1)
    ]


def write_tissue(template: Path, truth: Path) -> None:
    """Write the most probable of background, grey and white matter as 0, 1 and 2."""
    from nibabel.nifti1 import Nifti1Image

    images = [Nifti1Image.from_filename(str(template / f"{name}.nii.gz")) for name in ("gm", "wm")]
    grey, white = (np.asarray(image.dataobj, np.float32) for image in images)
    classes = np.argmax(np.stack([255 - grey - white, grey, white]), axis=0).astype(np.uint8)
    Nifti1Image(classes, images[0].affine).to_filename(str(truth))  # type: ignore[no-untyped-call]


def fractured(folder: Path, options: argparse.Namespace) -> float:
    """Return the area under the ROC curve on held-out volumes."""
    for use, count, seed in (("train", options.labelled, 0), ("test", options.labelled // 2, 1000)):
        if not (folder / use).exists():
            write_spines(folder / use, count, options.size, seed, suffix=".tif")
    data = {"image_labels": str(folder / "train" / "labels.csv")}
    model = train(folder, "fractured", options, data, {"dims": 3, "image_classes": ["fractured"]})
    segment(folder / "test" / "images", folder / "classes.csv", model, "classes")
    with (folder / "classes.csv").open(newline="", encoding="utf-8") as file:
        found = {Path(line["image"]).name: float(line["fractured"]) for line in csv.DictReader(file)}
    with (folder / "test" / "labels.csv").open(newline="", encoding="utf-8") as file:
        truth = {Path(line["image"]).name: line["label"] == "1" for line in csv.DictReader(file)}
    return area([found[name] for name in truth], list(truth.values()))


def area(values: Sequence[float], truth: Sequence[bool]) -> float:
    """Return the share of pairs of a true and a false one that their values put in order: the area under the curve.

    >>> area([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    0.875
    """
    pairs = [
        (yes, no)
        for yes, right in zip(values, truth, strict=True)
        if right
        for no, wrong in zip(values, truth, strict=True)
        if not wrong
    ]
    return mean((yes > no) + 0.5 * (yes == no) for yes, no in pairs)


def main(args: Sequence[str] | None = None) -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--minutes",
        type=float,
        default=20,
        help="of training, for each network; 0 for --settings alone, nothing planned",
    )
    parser.add_argument("--settings", nargs="+", default=[], help="of all trainings, such as model.encoder=resnet18")
    parser.add_argument("--size", default="48,128,128", help="voxels of synthetic volumes along z,y,x")
    parser.add_argument("--train", type=int, default=8, help="volumes to train on")
    parser.add_argument("--test", type=int, default=4, help="volumes to test on")
    parser.add_argument(
        "--labelled", type=int, default=120, help="volumes with a class to train on; half as many to test"
    )
    parser.add_argument("--mni", type=Path, default=Path("../shared/data/volumes/mni"), help="folder of the template")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(args)
    options.size = tuple(int(number) for number in options.size.split(","))
    print_machine(describe_machine())
    columns = ("", "Dice", "surface Dice", "HD95", "ASSD", "AP@0.5")
    for part in options.parts:
        folder = options.folder / part
        if part == "fractured":
            rows = [["fractured or not", f"{fractured(folder, options):.3f}"]]
            print_table("Classes of whole volumes", ("", "AUC"), rows, markdown=options.markdown)
            continue
        rows = mni(folder, options) if part == "mni" else compare_depths(part, folder, options)
        title = {"nuclei": "µm, within 1 µm", "spines": "mm, within 1 mm", "mni": "mm, within 1 mm"}[part]
        print_table(f"{part} ({title})", columns, rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
