"""Segment an array that does not fit in memory, into another one on disk.

Run it as

    python examples/predict_larger_than_memory.py MODEL image.npy mask.npy

`np.load(..., mmap_mode="r")` maps the image from the disk; `predict_tiled` reads only the windows that a tile needs and
writes finished bands into the mapped mask. Zarr and dask arrays work in the same way.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

import unetkit


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path, help="(H, W) .npy file")
    parser.add_argument("mask", type=Path, help="(H, W) .npy file that is made")
    options = parser.parse_args(args)

    image = np.load(options.image, mmap_mode="r")
    mask = open_memmap(options.mask, mode="w+", dtype=np.uint8, shape=image.shape)
    unetkit.predict_tiled(image, options.model, out=mask)
    mask.flush()
    print(f"{options.mask}: {image.shape[0]} x {image.shape[1]}, {np.mean(mask[::8, ::8] > 0):.1%} foreground")


if __name__ == "__main__":
    main()
