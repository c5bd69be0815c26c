"""Labels of one large mask by several worker processes: ours, and others. Time, and objects that blocks cut.

    python benchmarks/label_peers.py --folder scratch --size 16384

All get the same mask (OME-Zarr's way: a Zarr array of chunks), the same blocks, and the same workers of Dask, and write
the labels to Zarr. The truth is `skimage.measure.label` of the whole mask, which takes about 17 bytes for each pixel.

- ours: blocks by themselves, joined by what they tell of their sides.
- dask-image: `dask_image.ndmeasure.label`, with its defaults (pixels that touch diagonally are two objects).
- map_overlap: `dask.array.map_overlap` with `skimage.measure.label` in each block, as recipes have it; none is joined.
- cellpose: the steps of its script for large images after the network, which join blocks by their faces; each block is
  labelled by `skimage.measure.label` in place of a network. Left out where it is not installed: `pip install cellpose`.
  The script is made for volumes: between blocks of a plane, version 4.2 found nothing to join.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import cv2
import dask.array
import numpy as np
import zarr
from distributed import Client, LocalCluster, default_client
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray
from skimage import measure

from unetkit.io.base.contracts import Window
from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.blocks import draw_block, find_block, label_blocks, margin_window
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Joined

da: Any = dask.array  # neither has types
label: Any = measure.label

PATCH = 1500
"""Height and width of the nuclei that the mask repeats, in pixels. Borders of blocks fall anywhere in it."""

SPACING = 30
"""Distance of two nuclei, in pixels."""

CHUNK = 1024
"""Height and width of the chunks of the mask."""

OVERLAP = 60
"""What blocks overlap by where they do: twice the diameter, as cellpose's script has it."""

MOST_IN_BLOCK = 1 << 20
"""Labels that a block has of its own in `by_map_overlap`."""


def make_mask(path: Path, size: int, seed: int = 0) -> None:
    """Write a mask (size, size) of nuclei, some of which touch; the patch that it repeats has no seams."""
    rng = np.random.default_rng(seed)
    patch = np.zeros((PATCH, PATCH), np.uint8)
    for y, x in product(range(0, PATCH, SPACING), repeat=2):
        centre = np.array([x, y]) + rng.integers(-6, 7, 2)
        axes, turn = rng.integers(8, 15, 2).tolist(), float(rng.integers(180))
        for shift in product((-PATCH, 0, PATCH), repeat=2):
            cv2.ellipse(patch, (centre + shift).tolist(), axes, turn, 0, 360, 1, -1)
    mask = zarr.create_array(path, shape=(size, size), chunks=(CHUNK, CHUNK), dtype="uint8")
    for top in range(0, size, CHUNK):
        rows = patch[np.arange(top, min(top + CHUNK, size)) % PATCH]
        mask[top : top + CHUNK] = rows[:, np.arange(size) % PATCH]


def open_array(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open an array of Zarr, whose types are those of any array."""
    return zarr.open_array(path, mode=mode)


def create_labels(path: Path, size: tuple[int, ...], block: int, dtype: str) -> Any:
    """Create the labels; chunks are blocks, as Dask writes them."""
    return zarr.create_array(path, shape=size, chunks=(block, block), dtype=dtype)


# Ours


def find_one(path: Path, folder: Path, number: int, window: Window) -> None:
    """Find the objects of a block."""
    mask = open_array(path)
    pixels = mask[margin_window(window, mask.shape, CONNECTED)][None]
    (folder / f"{number}.faces").write_bytes(find_block(pixels, window, mask.shape, CONNECTED).to_bytes())


def join_all(size: tuple[int, ...], folder: Path, windows: Sequence[Window]) -> str:
    """Join the objects of all blocks; return the type of the labels."""
    joined = Joined(CONNECTED)
    for number, window in enumerate(windows):
        joined.add(window, size, BlockFaces.from_bytes((folder / f"{number}.faces").read_bytes()))
    for number, numbers in enumerate(joined.numbers()):
        np.save(folder / f"{number}.npy", numbers)
    return joined.numbered.dtype.name


def draw_one(path: Path, folder: Path, number: int, window: Window, out: Path) -> None:
    """Write the labels of a block."""
    mask, labels = open_array(path), open_array(out, "r+")
    pixels = mask[margin_window(window, mask.shape, CONNECTED)][None]
    numbers = np.load(folder / f"{number}.npy")
    labels[window] = draw_block(pixels, window, mask.shape, CONNECTED, numbers, labels.dtype)[0]


def by_ours(path: Path, out: Path, block: int) -> None:
    """Blocks by themselves, joined by what they tell of their sides."""
    size = open_array(path).shape
    windows = label_blocks(size, block * block)
    folder = out.with_suffix(".blocks")
    folder.mkdir()
    client = default_client()
    wait = client.gather
    wait([client.submit(find_one, path, folder, i, window, pure=False) for i, window in enumerate(windows)])
    dtype = wait(client.submit(join_all, size, folder, windows, pure=False))
    create_labels(out, size, block, dtype)
    wait([client.submit(draw_one, path, folder, i, window, out, pure=False) for i, window in enumerate(windows)])
    shutil.rmtree(folder)


# Others


def by_dask_image(path: Path, out: Path, block: int) -> None:
    """dask-image, with its defaults."""
    from dask_image.ndmeasure import label as label_blocks_of

    labels, _ = label_blocks_of(da.from_zarr(str(path), chunks=block))
    labels.to_zarr(str(out))


def label_alone(mask: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint32]:
    """Label one block; no two blocks share a number."""
    place, count = block_info[0]["chunk-location"], block_info[0]["num-chunks"]
    found = label(mask).astype(np.uint32)
    return np.where(found > 0, found + np.ravel_multi_index(place, count) * MOST_IN_BLOCK, 0).astype(np.uint32)


def by_map_overlap(path: Path, out: Path, block: int) -> None:
    """Each block by itself, with some pixels around it, and nothing is joined."""
    mask = da.from_zarr(str(path), chunks=block)
    labels = da.map_overlap(label_alone, mask, depth=OVERLAP, boundary=0, dtype=np.uint32, meta=np.empty((0, 0), "u4"))
    labels.to_zarr(str(out))


def cellpose_block(path: Path, out: Path, index: tuple[int, ...], crop: Window, block: int) -> tuple[Any, Any]:
    """Label one block in place of cellpose's network, and do what its script then does; return its faces and labels."""
    from cellpose.contrib import distributed_segmentation as script

    mask, labels = open_array(path), open_array(out, "r+")
    blocks = script.get_nblocks(mask.shape, block)
    found, crop = script.remove_overlaps(label(mask[crop]).astype(np.uint32), crop, OVERLAP, (block, block))
    found, used = script.global_segment_ids(found, index, blocks)
    labels[tuple(crop)] = found
    return script.block_faces(found), [number for number in used if number]


def by_cellpose(path: Path, out: Path, block: int) -> None:
    """The steps of cellpose's script for large images, without its network."""
    from cellpose.contrib import distributed_segmentation as script

    client = default_client()
    size = open_array(path).shape
    unjoined = out.with_suffix(".unjoined")
    create_labels(unjoined, size, block, "uint32")
    indices, crops = script.get_block_crops(size, (block, block), OVERLAP, None)
    places = zip(indices, crops, strict=True)
    told = client.gather([client.submit(cellpose_block, path, unjoined, *place, block, pure=False) for place in places])
    faces, used = zip(*told, strict=True)
    numbers = script.determine_merge_relabeling(indices, faces, np.concatenate(used).astype(int))
    labels = da.map_blocks(lambda part, table: table[part], da.from_zarr(str(unjoined)), numbers, dtype=np.uint32)
    labels.to_zarr(str(out))
    shutil.rmtree(unjoined)


@dataclass(frozen=True)
class Peer:
    """One way to label a mask by blocks.

    Attributes:
        run: Takes the mask, the path of the labels, and height and width of a block.
        connectivity: 2 where pixels that touch diagonally are one object, otherwise 1.
        module: What the workers import before the time is taken; its package may not be there.
    """

    run: Callable[[Path, Path, int], None]
    connectivity: int = 2
    module: str = "dask.array"


PEERS = {
    "ours": Peer(by_ours, module="unetkit.postprocess.joined"),
    "dask-image": Peer(by_dask_image, connectivity=1, module="dask_image.ndmeasure"),
    "map_overlap, not joined": Peer(by_map_overlap),
    "cellpose's joining": Peer(by_cellpose, module="cellpose.contrib.distributed_segmentation"),
}


# What they do to objects


def count_errors(truth: NDArray[Any], path: Path) -> dict[str, int]:
    """Return the number of objects, of those that have several labels or none, and of labels that several have.

    Args:
        truth: (H, W) the true labels.
        path: The labels.
    """
    found = open_array(path)
    pairs = []
    for top in range(0, len(truth), CHUNK):
        true, labels = truth[top : top + CHUNK].astype(np.int64), found[top : top + CHUNK].astype(np.int64)
        pairs.append(np.unique(true << 32 | labels))
    both = np.unique(np.concatenate(pairs))
    true, labels = both >> 32, both & (1 << 32) - 1
    return {
        "objects": int(true.max()),
        "labels": len(np.unique(labels[labels > 0])),
        "cut": several(true[(true > 0) & (labels > 0)]),
        "merged": several(labels[(true > 0) & (labels > 0)]),
        "missed": len(np.unique(true[(true > 0) & (labels == 0)])),
    }


def several(numbers: NDArray[np.int64]) -> int:
    """Return how many numbers are there more than once."""
    return int((np.unique(numbers, return_counts=True)[1] > 1).sum())


def load(module: str) -> None:
    """Import a module."""
    import_module(module)


def time_peer(client: Client, peer: Peer, mask: Path, out: Path, block: int) -> float:
    """Return the seconds in which a mask is labelled."""
    load(peer.module)
    client.run(load, peer.module)  # in the main thread of each worker: cellpose's script needs that
    start = perf_counter()
    peer.run(mask, out, block)
    return perf_counter() - start


def compare(folder: Path, size: int, block: int, workers: int, peers: Sequence[str] = tuple(PEERS)) -> dict[str, Any]:
    """Label a mask by all that are installed; return for each its seconds and what it did to objects.

    Args:
        folder: Where the mask and the labels are written; they are removed.
        size: Height and width of the mask, in pixels.
        block: Height and width of a block, in pixels.
        workers: Worker processes, each with one thread.
        peers: Keys of `PEERS`.
    """
    mask = folder / "mask.zarr"
    make_mask(mask, size)
    results: dict[str, Any] = {}
    present = [name for name in peers if find_spec(PEERS[name].module.partition(".")[0])]
    try:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            client.run(cv2.setNumThreads, 1)
            for name in present:
                results[name] = {"seconds": time_peer(client, PEERS[name], mask, folder / f"{name}.zarr", block)}
        pixels = open_array(mask)[:]
        for connectivity in {PEERS[name].connectivity for name in results}:
            truth = np.asarray(label(pixels, connectivity=connectivity), np.int32)
            for name in (name for name in results if PEERS[name].connectivity == connectivity):
                results[name] |= count_errors(truth, folder / f"{name}.zarr")
    finally:
        for path in (mask, *(folder / f"{name}.zarr" for name in peers)):
            shutil.rmtree(path, ignore_errors=True)
    return results


def print_results(results: dict[str, Any], size: int, *, markdown: bool) -> None:
    """Print a table."""
    columns = ["seconds", "Mpx/s", "true objects", "labels", "objects cut", "labels of several", "objects missed"]
    rows = [
        [
            name,
            f"{one['seconds']:.1f}",
            f"{size * size / one['seconds'] / 1e6:.1f}",
            *(f"{one[key]:,}" for key in ("objects", "labels", "cut", "merged", "missed")),
        ]
        for name, one in results.items()
    ]
    print_table(f"labels of a mask of {size:,} x {size:,} pixels", ["", *columns], rows, markdown=markdown)


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the mask and the labels, while it runs")
    parser.add_argument("--size", type=int, default=16_384, help="height and width of the mask")
    parser.add_argument("--block", type=int, default=4096, help="height and width of a block, a multiple of 1024")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=[*PEERS])
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    options = parser.parse_args(args)
    options.folder.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    print_machine(machine)
    results = compare(options.folder, options.size, options.block, options.workers, options.peers)
    print_results(results, options.size, markdown=options.markdown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
