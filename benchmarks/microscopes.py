"""Time and peak memory of reading a large CZI by windows, beside the same pixels as a tiled TIFF.

    python benchmarks/microscopes.py --folder scratch

Writes a mosaic of 20,000 x 20,000 pixels of 16 bits, in tiles of 1024 pixels, as CZI and as TIFF, each with and without
compression; reads each in a process of its own by windows of 1024 pixels with a halo of 64, row by row as `segment`
does, from four threads; and runs `unetkit segment --dry-run` on it. 3 GB of disk.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
from measuring import describe_machine, measure_process, measure_unetkit, print_machine, print_table
from numpy.typing import NDArray

from unetkit.foundation.synthetic import make_cells

TILE = 1024

READ = """
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
sys.path.insert(0, sys.argv[1])
from measuring import report
from unetkit.io.files import open_image
start = perf_counter()
source = open_image(sys.argv[2])
first = None
def window(place):
    return tuple(slice(max(0, at - 64), min(size, at + 1024 + 64)) for at, size in zip(place, source.info.size))
places = [(y, x) for y in range(0, source.info.height, 1024) for x in range(0, source.info.width, 1024)]
source.read(0, window(places[0]))
first = perf_counter() - start
with ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda place: int(source.read(0, window(place)).sum()), places))
source.close()
report({"seconds": perf_counter() - start, "first": first, "total": total})
"""


def tiles(size: int) -> Iterator[tuple[int, int, NDArray[np.uint16]]]:
    """Yield the first row and column, and the pixels, of each tile of cells; those of a row differ from each other."""
    counts, _ = make_cells(2 * TILE, 2 * TILE, seed=0)
    cells = (counts.astype(np.float32) / counts.max() * 4000).astype(np.uint16)
    for number, y in enumerate(range(0, size, TILE)):
        for x in range(0, size, TILE):
            top, left = (37 * number + y) % TILE, (x // TILE * 91) % TILE
            yield y, x, np.ascontiguousarray(cells[top : top + min(TILE, size - y), left : left + min(TILE, size - x)])


def write_czi(path: Path, size: int, compression: str) -> None:
    """Write a CZI by Zeiss' library."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path), compression_options=compression) as writer:
        for y, x, pixels in tiles(size):
            writer.write(pixels, location=(x, y))
        writer.write_metadata("mosaic", scale_x=2.5e-7, scale_y=2.5e-7)


def write_tiff(path: Path, size: int, compression: str | None) -> None:
    """Write a tiled TIFF."""

    def whole() -> Iterator[NDArray[np.uint16]]:
        for _, _, pixels in tiles(size):
            yield np.pad(pixels, [(0, TILE - length) for length in pixels.shape])

    tifffile.imwrite(path, whole(), shape=(size, size), dtype=np.uint16, tile=(TILE, TILE), compression=compression)


KINDS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "CZI": (".czi", lambda path, size: write_czi(path, size, "uncompressed:")),
    "CZI, zstd": (".czi", lambda path, size: write_czi(path, size, "zstd1:ExplicitLevel=2")),
    "TIFF": (".tif", lambda path, size: write_tiff(path, size, None)),
    "TIFF, zstd": (".tif", lambda path, size: write_tiff(path, size, "zstd")),
}


def main(args: list[str] | None = None) -> None:
    """Measure all kinds and print a table."""
    import sys

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the files are written for a while")
    parser.add_argument("--size", type=int, default=20_000, help="height and width in pixels")
    parser.add_argument("--markdown", action="store_true", help="print a table for a page")
    options = parser.parse_args(args)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    rows, sums = [], set()
    for name, (suffix, write) in KINDS.items():
        with TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / f"mosaic{suffix}"
            write(path, options.size)
            read = measure_process([sys.executable, "-c", READ, str(Path(__file__).parent), str(path)])
            dry = measure_unetkit("segment", str(path), str(Path(folder) / "mask.tif"), "--dry-run", "--tile", "1024")
            if "error" in read or "error" in dry:
                raise SystemExit(f"{name}: {read.get('error') or dry['error']}")
            sums.add(read["total"])
            speed = options.size**2 / 1e6 / read["seconds"]
            row = [name, f"{path.stat().st_size / 1e6:.0f} MB", f"{read['first']:.2f} s", f"{read['seconds']:.1f} s"]
            row += [f"{speed:.0f}", f"{read['peak_rss'] / 1e6:.0f} MB"]
            row += [f"{dry['seconds']:.1f} s", f"{dry['peak_rss'] / 1e6:.0f} MB"]
            rows.append(row)
    assert len(sums) == 1, "the kinds have other pixels"
    columns = ["file", "size", "first window", "all windows", "Mpx/s", "peak", "dry run", "its peak"]
    print_machine(describe_machine())
    print_table(f"{options.size} x {options.size} pixels of 16 bits", columns, rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
