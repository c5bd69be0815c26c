"""Show that the peak memory of `unetkit segment` is set by the tile, not by the image.

    python benchmarks/memory.py --folder scratch

Makes files of 4096 x 4096 to 32768 x 32768 pixels, one after the other, segments each in a process of its own and
deletes it: up to 5 GB of disk at a time. A cheap network (a ResNet-18 U-Net of depth 3 with random weights) goes over
all sizes; resnet34 at the default tile, and both networks with --memory, only over the smallest.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from measuring import describe_machine, measure_process, print_machine, print_table, write_repeated
from numpy.typing import NDArray

from unetkit.foundation.synthetic import make_cells
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

GB = 10**9
SIZES = (4096, 8192, 16384, 32768)
PATCH = 2048
DEFAULT_BOUND = 2.0
"""GB that resnet34 at the default tile may take."""

SEGMENT = """
import sys
from time import perf_counter
sys.path.insert(0, sys.argv.pop(1))
from measuring import report
from unetkit.cli import main
start = perf_counter()
code = main(sys.argv[1:])
if not code:
    report({"seconds": perf_counter() - start})
sys.exit(code)
"""
"""`unetkit segment` as the command line runs it, and at the end its peak memory."""

LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
from measuring import report
from unetkit import load_model
load_model(sys.argv[2])
report({})
"""
"""The libraries and a model, before the first pixel: what no tile size can lower."""


@cache
def cells() -> NDArray[np.float32]:
    """Return the image (h, w), 0 to 1, that all files repeat."""
    counts, _ = make_cells(PATCH, PATCH, seed=0)
    return counts.astype(np.float32) / np.float32(counts.max())


@dataclass(frozen=True)
class Kind:
    """A kind of file: what can make a reader hold more than it needs.

    Attributes:
        name: What the table calls it.
        dtype: Of the pixels.
        channels: 1 or 3.
        compression: Deflate, or none.
        rows_per_strip: Strips instead of tiles.
    """

    name: str
    dtype: str = "uint8"
    channels: int = 1
    compression: Literal["zlib"] | None = None
    rows_per_strip: int | None = None

    def write(self, path: Path, size: int) -> None:
        """Write a file of cells."""
        pixels: NDArray[Any] = (cells() * np.iinfo(self.dtype).max).astype(self.dtype)
        if self.channels > 1:
            pixels = np.stack([pixels, pixels[::-1], pixels[:, ::-1]], -1)
        write_repeated(path, pixels, size, compression=self.compression, rows_per_strip=self.rows_per_strip)


KINDS = {
    "grey8": Kind("uint8 grey, tiles"),
    "grey16": Kind("uint16 grey, deflate tiles", "uint16", compression="zlib"),
    "rgb": Kind("uint8 RGB, deflate tiles", channels=3, compression="zlib"),
    "strips": Kind("uint8 grey, strips of 16 rows", rows_per_strip=16),
    "deflate-strips": Kind("uint16 grey, deflate strips of 64 rows", "uint16", compression="zlib", rows_per_strip=64),
}

CHEAP = {"encoder": "resnet18", "depth": 3, "decoder_channels": (32, 16, 8), "halo": 32}
NETWORKS: dict[str, dict[str, Any]] = {"cheap": CHEAP, "resnet34": {"encoder": "resnet34"}}


def make_model(folder: Path, network: str, channels: int) -> Path:
    """Write a model file with random weights."""
    path = folder / f"{network}-{channels}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_model(Segmenter(ModelSpec(in_channels=channels, **NETWORKS[network])), path)
    return path


def measure(folder: Path, kind: Kind, size: int, network: str, extra: list[str]) -> dict[str, Any]:
    """Make a file, segment it, delete it; return the peak memory, or why it failed."""
    image, mask = folder / "image.tif", folder / "mask.tif"
    model = make_model(folder, network, kind.channels)
    kind.write(image, size)
    try:
        command = ["segment", str(image), str(mask), "--model", str(model), "--overwrite", *extra]
        measured = measure_process([sys.executable, "-c", SEGMENT, str(Path(__file__).parent), *command])
    finally:
        image.unlink()
        mask.unlink(missing_ok=True)
    row = {"kind": kind.name, "size": size, "network": network, "options": " ".join(extra), **measured}
    print(row, file=sys.stderr, flush=True)
    return row


def measure_start(folder: Path, network: str) -> dict[str, Any]:
    """Return the peak memory of a process that loads a model and does nothing with it."""
    model = make_model(folder, network, 1)
    measured = measure_process([sys.executable, "-c", LOAD, str(Path(__file__).parent), str(model)])
    return {"network": network, **measured}


def gigabytes(row: dict[str, Any], bound: float | None = None) -> str:
    """Return a peak as text, with whether it is under a bound."""
    if "error" in row:
        return f"failed: {row['error'][:60]}"
    peak = row["peak_rss"] / GB
    return f"{peak:.2f}" if bound is None else f"{peak:.2f} ({'yes' if peak < bound else 'NO'})"


def spread(rows: list[dict[str, Any]]) -> str:
    """Return the largest peak over the smallest."""
    peaks = [row["peak_rss"] for row in rows if "peak_rss" in row]
    return f"{max(peaks) / min(peaks):.3f}" if len(peaks) > 1 else ""


def show_sizes(rows: list[dict[str, Any]], markdown: bool) -> None:
    """Print a row for each kind of file, a column for each size."""
    sizes, kinds = (list(dict.fromkeys(row[key] for row in rows)) for key in ("size", "kind"))
    by_kind = [[row for row in rows if row["kind"] == kind] for kind in kinds]
    table = [[kind, *map(gigabytes, of_kind), spread(of_kind)] for kind, of_kind in zip(kinds, by_kind, strict=True)]
    print_table(
        "Peak memory in GB, a cheap network",
        ["file", *(f"{size} x {size}" for size in sizes), "max / min"],
        table,
        markdown=markdown,
    )


def show_bounds(rows: list[dict[str, Any]], markdown: bool) -> None:
    """Print each peak with the bound that it has to be under."""
    table = [
        [f"{row['network']}, {row['kind']}", row["options"], f"{row['bound']:g}", gigabytes(row, row["bound"])]
        for row in rows
    ]
    size = rows[0]["size"]
    columns = ["network, file", "options", "bound", "peak (under it?)"]
    print_table(f"Peak memory in GB, {size} x {size} pixels", columns, table, markdown=markdown)


def parse(args: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="heights and widths, multiples of 512")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--memory", type=float, default=1.0, help="bound to ask for with --memory, in GB; 0 for none")
    parser.add_argument("--option", action="append", default=[], help="passed on, such as --option=--backend=torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-resnet34", action="store_true", help="only the cheap network")
    parser.add_argument("--folder", type=Path, help="where to make the files; by default a temporary folder")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(args)
    machine = describe_machine()
    print_machine(machine)
    kinds, sizes = [KINDS[name] for name in options.kinds], sorted(options.sizes)
    common = ["--device", options.device, *options.option]
    networks = ["cheap"] if options.no_resnet34 else ["cheap", "resnet34"]
    cases = [(network, common, DEFAULT_BOUND) for network in networks[1:]]
    if options.memory:
        asked = [*common, "--memory", f"{options.memory:g}GB"]
        cases += [(network, asked, options.memory) for network in networks]
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        starts = [measure_start(folder, network) for network in networks]
        by_size = [measure(folder, kind, size, "cheap", common) for kind in kinds for size in sizes]
        bounded = [
            {**measure(folder, kind, sizes[0], network, extra), "bound": bound}
            for network, extra, bound in cases
            for kind in kinds
        ]
    for start in starts:
        print(f"Before the first pixel: {gigabytes(start)} GB for the libraries and the model, {start['network']}.")
    show_sizes(by_size, options.markdown)
    if bounded:
        show_bounds(bounded, options.markdown)
    if options.json:
        result = {"machine": machine, "starts": starts, "by_size": by_size, "bounded": bounded}
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
