"""Time and memory of what is made of objects: a label image of a gigapixel with a million objects, beside others.

    python benchmarks/objects.py --folder scratch
    python benchmarks/objects.py --folder scratch --objects 10000 100000 1000000 --tasks table intensities geojson

Label images are made by a seed, and kept in the folder. Each task runs in a process of its own, whose peak memory is
told. Others get a crop in this process: scikit-image measures all properties that the table has, and the programs of
`outline_peers.py` write outlines.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from measuring import describe_machine, measure_unetkit, print_machine, print_table
from numpy.typing import NDArray
from outline_peers import PEERS
from skimage.measure import regionprops_table

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink, open_image

STAMPS = 512
"""Number of different outlines."""

NOISE = 64
"""Grey values of the noise in the image."""

PROPERTIES = (
    *("label", "area", "bbox", "centroid", "equivalent_diameter_area", "perimeter", "axis_major_length"),
    *("axis_minor_length", "eccentricity", "solidity", "orientation"),
)
VALUES = ("intensity_mean", "intensity_median", "intensity_min", "intensity_max", "intensity_std")


@dataclass(frozen=True)
class Field:
    """Objects on a jittered grid.

    Attributes:
        size: Height and width of the image, in pixels.
        objects: Number of objects.
        diameter: Mean diameter of an object, in pixels.
        seed: Seed of all that is random.
    """

    size: int
    objects: int
    diameter: int
    seed: int = 0

    def labels(self, folder: Path) -> Path:
        """Return the label image, a tiled TIFF of uint32, which is made if it is not there."""
        path = folder / f"labels-{self.size}-{self.objects}-{self.diameter}-{self.seed}.tif"
        if not path.exists():
            spec = OutputSpec((self.size, self.size), np.dtype(np.uint32), pixel_size_um=(0.25, 0.25))
            create_sink(path, spec).write(self.strips())
        return path

    def image(self, folder: Path) -> Path:
        """Return an image of the labels, uncompressed uint16: bright objects, and noise."""
        path = self.labels(folder)
        image = path.with_name(path.name.replace("labels", "image"))
        if not image.exists():
            rng = np.random.default_rng(self.seed)
            spec = OutputSpec((self.size, self.size), np.dtype(np.uint16), compression="none", layout="tiles")
            create_sink(image, spec).write(
                (200 + 800 * (strip > 0) + rng.integers(0, NOISE, strip.shape, np.uint16)).astype(np.uint16)
                for strip in self.strips()
            )
        return image

    def strips(self) -> Iterator[NDArray[np.uint32]]:
        """Yield labels (1, h, size) from top to bottom. Neighbours may touch; the later one is in front."""
        rng = np.random.default_rng(self.seed)
        stamps = [draw_blob(self.diameter * rng.uniform(0.7, 1.3), rng) for _ in range(STAMPS)]
        cells = int(np.ceil(np.sqrt(self.objects)))
        step = self.size / cells
        margin = max(max(stamp.shape) for stamp in stamps)
        start = -margin  # row of the plane that the canvas begins with
        canvas = np.zeros((0, self.size + 2 * margin), np.uint32)
        for row in range(cells):
            bottom = self.size if row == cells - 1 else int((row + 1) * step)
            more = bottom + margin - start - len(canvas)
            canvas = np.concatenate([canvas, np.zeros((more, canvas.shape[1]), np.uint32)])
            for column in range(min(cells, self.objects - row * cells)):
                stamp = stamps[rng.integers(STAMPS)]
                jitter = rng.uniform(-0.15, 0.15, 2) * min(step, 2 * self.diameter)
                y = int((row + 0.5) * step + jitter[0] - stamp.shape[0] / 2) - start
                x = int((column + 0.5) * step + jitter[1] - stamp.shape[1] / 2) + margin
                place = canvas[y : y + stamp.shape[0], x : x + stamp.shape[1]]
                np.copyto(place, row * cells + column + 1, where=stamp)
            final = self.size if row == cells - 1 else bottom - margin
            if final > 0:
                yield canvas[None, max(start, 0) - start : final - start, margin:-margin]
                canvas, start = canvas[final - start :], final


def draw_blob(diameter: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw an ellipse with a wavy outline."""
    half = int(diameter)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.5)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    radius, turn = np.hypot(along / stretch, across * stretch), np.arctan2(across, along)
    waves = sum(rng.normal(0, 0.12 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
    inside: NDArray[np.bool_] = radius < diameter / 2 * (1 + waves)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


Command = Callable[[Field, Path], list[str]]

TASKS: dict[str, Command] = {
    "table": lambda field, folder: ["measure", str(field.labels(folder)), str(folder / "table.csv")],
    "parquet": lambda field, folder: ["measure", str(field.labels(folder)), str(folder / "table.parquet")],
    "intensities": lambda field, folder: [
        *("measure", str(field.labels(folder)), str(field.image(folder)), str(folder / "table.csv"))
    ],
    "rings": lambda field, folder: [
        *("measure", str(field.labels(folder)), str(field.image(folder)), str(folder / "table.csv"), "--ring", "10")
    ],
    "geojson": lambda field, folder: ["export", str(field.labels(folder)), str(folder / "objects.geojson.gz")],
    "outlines": lambda field, folder: [
        *("export", str(field.labels(folder)), str(folder / "outlines.geojson.gz"), "--no-measurements")
    ],
    "rois": lambda field, folder: ["export", str(field.labels(folder)), str(folder / "rois.zip")],
}
"""What is made, by its name: the words after `unetkit`. Outputs go into the folder, and are replaced."""


def run_task(task: str, field: Field, folder: Path) -> dict[str, Any]:
    """Run one task in a process of its own."""
    words = [*TASKS[task](field, folder), "--overwrite"]
    found = measure_unetkit(*words)
    return {"task": task, "size": field.size, "objects": field.objects, **found}


def run_skimage(field: Field, folder: Path, crop: int, *, values: bool) -> dict[str, Any]:
    """Measure a crop with scikit-image, and scale its time to the whole image."""
    corner = slice(0, min(crop, field.size))
    labels = read_corner(field.labels(folder), corner).astype(np.int64)
    crops = [labels, *([read_corner(field.image(folder), corner)] if values else [])]
    start, cpu = perf_counter(), process_time()
    properties = (*PROPERTIES, *(VALUES if values else ()))
    table = regionprops_table(*crops, properties=properties)  # type: ignore[misc]
    scale = field.objects / len(table["label"])
    return {
        "task": f"scikit-image, {'intensities' if values else 'table'} (of {len(table['label'])}, scaled)",
        "size": field.size,
        "objects": field.objects,
        "seconds": (perf_counter() - start) * scale,
        "cpu": (process_time() - cpu) * scale,
    }


def run_peers(field: Field, folder: Path, crop: int) -> list[dict[str, Any]]:
    """Write the outlines of a crop with each program that is installed, and scale its time to the whole image."""
    corner = slice(0, min(crop, field.size))
    labels = read_corner(field.labels(folder), corner).astype(np.int32)
    count = len(np.unique(labels)) - 1
    rows = []
    for name, write in PEERS.items():
        row = {"task": f"{name} (of {count}, scaled)", "size": field.size, "objects": field.objects}
        start, cpu = perf_counter(), process_time()
        try:
            write(labels, folder)
        except ImportError as error:
            rows.append(row | {"error": f"not installed: {error.name}"})
            continue
        scale = field.objects / count
        rows.append(row | {"seconds": (perf_counter() - start) * scale, "cpu": (process_time() - cpu) * scale})
    return rows


def read_corner(path: Path, corner: slice) -> NDArray[Any]:
    """Read the upper left corner of an image of one channel."""
    with closing(open_image(path, as_stored=True)) as source:
        pixels: NDArray[Any] = source.read(0, (corner, corner))[0]
        return pixels


def show(rows: list[dict[str, Any]], *, markdown: bool) -> None:
    """Print the results."""
    cells = [
        [
            row["task"],
            f"{row['size'] ** 2 / 1e9:.3g}",
            f"{row['objects']:,}",
            f"{row['seconds']:.1f}" if "seconds" in row else row["error"],
            f"{row['cpu']:.1f}" if "cpu" in row else "",
            f"{row['peak_rss'] / 1e9:.2f}" if "peak_rss" in row else "",
        ]
        for row in rows
    ]
    columns = ["task", "gigapixels", "objects", "seconds", "CPU seconds", "peak GB"]
    print_table("Objects of label images", columns, cells, markdown=markdown)


def parse(args: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where to make and keep the files")
    parser.add_argument("--size", type=int, default=32768, help="height and width in pixels")
    parser.add_argument("--objects", type=int, nargs="+", default=[1_000_000], help="numbers of objects")
    parser.add_argument("--diameter", type=int, default=24, help="mean diameter of an object in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["table"])
    parser.add_argument("--crop", type=int, default=4096, help="side of what scikit-image measures; 0 for not at all")
    parser.add_argument("--peers", type=int, default=0, help="side of what other programs outline; 0 for not at all")
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(args)
    machine = describe_machine()
    print_machine(machine)
    options.folder.mkdir(parents=True, exist_ok=True)
    fields = [Field(options.size, number, options.diameter, options.seed) for number in options.objects]
    rows = [run_task(task, field, options.folder) for field in fields for task in options.tasks]
    if options.crop:
        for values in (False, True)[: 1 + bool({"intensities", "rings"} & {*options.tasks})]:
            rows.append(run_skimage(fields[-1], options.folder, options.crop, values=values))
    if options.peers:
        rows += run_peers(fields[-1], options.folder, options.peers)
    show(rows, markdown=options.markdown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
