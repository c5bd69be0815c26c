"""Labels of one large volume in one process: ours in strips of planes, and others on the whole. Time, memory, objects.

    python benchmarks/label_volumes.py --folder scratch --size 512

All get the same mask (a Zarr array in chunks) and write their labels to Zarr; each runs in a process of its own. Voxels
that touch, diagonally too, are one object, but for dask-image, which has its defaults.

- ours: `unetkit.postprocess.labels.Labels`, which reads the mask twice.
- ours, split: the same with the watershed of the distance to the background.
- connected-components-3d and scipy: on the whole mask in memory.
- dask-image: `dask_image.ndmeasure.label` on the chunks. Left out where it is not installed, as the first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zarr
from measuring import describe_machine, measure_process, print_machine, print_table, report
from numpy.typing import NDArray

CHUNK = 64
"""Sides of the chunks, in voxels."""

PATCH = 128
"""Sides of the patch of blobs that the mask repeats, in voxels; it has no seams."""


def make_mask(path: Path, size: int) -> None:
    """Write a mask (size, size, size) of blobs, some of which touch."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(PATCH,) * 3)
    patch = gaussian_filter(noise, 3, mode="wrap")
    mask = (patch > 1.1 * patch.std()).astype(np.uint8)
    place = np.arange(size) % PATCH
    array = zarr.create_array(path, shape=(size,) * 3, chunks=(CHUNK,) * 3, dtype="uint8")
    for top in range(0, size, CHUNK):
        array[top : top + CHUNK] = mask[np.ix_(place[top : top + CHUNK], place, place)]


class Strips:
    """The mask in strips of planes, which can be read again and again."""

    def __init__(self, mask: Any) -> None:
        self._mask = mask

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the strips (1, d, height, width)."""
        for top in range(0, self._mask.shape[0], CHUNK):
            yield self._mask[top : top + CHUNK][None]


def write(out: Path, parts: Iterator[NDArray[Any]], size: tuple[int, ...], dtype: Any) -> None:
    """Write labels (d, height, width) that follow each other, a row of chunks at a time."""
    labels = zarr.create_array(out, shape=size, chunks=(CHUNK,) * 3, dtype=dtype)
    top, held = 0, list[NDArray[Any]]()
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= CHUNK or top + sum(map(len, held)) == size[0]:
            rows = np.concatenate(held)
            labels[top : top + len(rows)] = rows
            top, held = top + len(rows), []


def by_ours(mask: Any, out: Path, *, split: bool = False) -> int:
    """Label strip by strip."""
    from unetkit.postprocess.components import CONNECTED
    from unetkit.postprocess.labels import Labels
    from unetkit.postprocess.split_by_distance import by_distance

    labels = Labels(Strips(mask), mask.shape, method=by_distance((1.0, 1.0, 1.0)) if split else CONNECTED)
    write(out, (rows[0] for rows in labels.rows()), mask.shape, labels.dtype)
    return labels.count


def by_ours_split(mask: Any, out: Path) -> int:
    """The same with the watershed."""
    return by_ours(mask, out, split=True)


def by_cc3d(mask: Any, out: Path) -> int:
    """connected-components-3d on the whole mask."""
    import cc3d

    labels, count = cc3d.connected_components(mask[:], connectivity=26, return_N=True)
    write(out, iter([labels]), mask.shape, labels.dtype)
    return int(count)


def by_scipy(mask: Any, out: Path) -> int:
    """Scipy on the whole mask."""
    from scipy.ndimage import label

    labels, count = label(mask[:], np.ones((3, 3, 3)))
    write(out, iter([labels]), mask.shape, labels.dtype)
    return int(count)


def by_dask_image(mask: Any, out: Path) -> int:
    """dask-image on chunks."""
    import dask.array as da
    from dask_image.ndmeasure import label

    labels, count = label(da.from_zarr(mask, chunks=(2 * CHUNK,) * 3))
    labels.astype(np.uint32).rechunk((CHUNK,) * 3).to_zarr(str(out))
    return int(count)


PEERS: dict[str, tuple[Callable[[Any, Path], int], str]] = {
    "ours": (by_ours, "unetkit"),
    "ours, split": (by_ours_split, "unetkit"),
    "connected-components-3d": (by_cc3d, "cc3d"),
    "scipy": (by_scipy, "scipy"),
    "dask-image": (by_dask_image, "dask_image"),
}
"""How a mask is labelled, and the module that it needs."""


def run_one(name: str, folder: Path) -> None:
    """Label the mask in this process, and report time, memory and objects."""
    mask: Any = zarr.open_array(folder / "mask.zarr", mode="r")
    begun = perf_counter()
    objects = PEERS[name][0](mask, folder / "labels.zarr")
    report({"seconds": perf_counter() - begun, "objects": objects})


def compare(folder: Path, size: int, peers: Sequence[str]) -> dict[str, Any]:
    """Label a mask by all that are installed; return what each took.

    Args:
        folder: Where the mask and the labels are written; they are removed.
        size: Voxels of the mask along each axis.
        peers: Keys of `PEERS`.
    """
    results: dict[str, Any] = {}
    try:
        make_mask(folder / "mask.zarr", size)
        for name in (name for name in peers if find_spec(PEERS[name][1])):
            results[name] = measure_process([sys.executable, __file__, "--folder", str(folder), "--run", name])
            shutil.rmtree(folder / "labels.zarr", ignore_errors=True)
    finally:
        shutil.rmtree(folder / "mask.zarr", ignore_errors=True)
    return results


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the mask and the labels, while it runs")
    parser.add_argument("--size", type=int, default=512, help="voxels along each axis")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=[*PEERS])
    parser.add_argument("--run", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    options = parser.parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.run:
        run_one(options.run, options.folder)
        return
    machine = describe_machine()
    print_machine(machine)
    results = compare(options.folder, options.size, options.peers)
    rows = [
        [name, *(("", "", "", one["error"]) if "error" in one else _cells(one, options.size))]
        for name, one in results.items()
    ]
    columns = ["", "seconds", "Mvoxels/s", "peak MB", "objects"]
    print_table(f"labels of a mask of {options.size}^3 voxels", columns, rows, markdown=options.markdown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1), encoding="utf-8")


def _cells(one: dict[str, Any], size: int) -> tuple[str, ...]:
    speed = size**3 / one["seconds"] / 1e6
    return f"{one['seconds']:.1f}", f"{speed:.1f}", f"{one['peak_rss'] / 1e6:,.0f}", f"{one['objects']:,}"


if __name__ == "__main__":
    main()
