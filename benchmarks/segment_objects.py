"""What labels, a table and outlines cost beside a mask: `segment` with each, in turn.

    python benchmarks/mosaic.py DATA/nuclei/test mosaic --size 4096
    python benchmarks/segment_objects.py mosaic/image.tif --rounds 5

Each run is a process of its own, file to file. A rate counts from start to end of the process; ratios are those of one
round, and their median is shown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from measuring import describe_machine, measure_unetkit, print_machine, print_table

from unetkit.io.files import open_image

OUTPUTS = {
    "mask": ["--output", "mask"],
    "labels": ["--output", "labels"],
    "labels, table": ["--output", "labels", "--table", "table.csv"],
    "labels, outlines": ["--output", "labels", "--geojson", "objects.geojson.gz"],
    "labels, table, outlines": ["--output", "labels", "--table", "table.csv", "--geojson", "objects.geojson.gz"],
}
"""Options of each output. Names of files are those in a folder of their own."""


def run(image: Path, output: str, more: Sequence[str]) -> dict[str, Any]:
    """Segment once; return the seconds of the whole process and its peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [str(Path(scratch) / word) if "." in word else word for word in OUTPUTS[output]]
        command = ["segment", str(image), str(Path(scratch) / "result.tif"), *words, *more]
        start = perf_counter()
        found = measure_unetkit(*command)
        return {"seconds": perf_counter() - start, "peak_rss": found["peak_rss"]}


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--backend", default="torch", help="the same one in all runs, so that they can be compared")
    parser.add_argument("--tile", default="512")
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    options = parser.parse_args(args)
    more = ["--model", options.model, "--backend", options.backend, "--tile", options.tile, "--zoom", "1"]
    machine = describe_machine()
    print_machine(machine)
    with closing(open_image(options.image)) as source:
        megapixels = source.info.pixels / 1e6
    rounds = [{output: run(options.image, output, more) for output in OUTPUTS} for _ in range(options.rounds)]
    rows = []
    for output in OUTPUTS:
        rate = median(megapixels / one[output]["seconds"] for one in rounds)
        shares = sorted(one["mask"]["seconds"] / one[output]["seconds"] for one in rounds)
        peak = max(one[output]["peak_rss"] for one in rounds) / 2**20
        share = f"{median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})"
        rows.append([output, f"{rate:.2f}", share, f"{peak:.0f}"])
    title = f"{megapixels:.1f} megapixels, {' '.join(more)}"
    print_table(title, ["output", "Mpx/s", "x mask", "peak MiB"], rows, markdown=options.markdown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rounds": rounds}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
