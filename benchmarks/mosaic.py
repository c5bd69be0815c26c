"""Lay a folder of images side by side into one large image, and their masks into its truth.

FOLDER/images and FOLDER/masks become OUT/image.tif and OUT/truth.tif:

    python benchmarks/mosaic.py FOLDER OUT --size 8192

Each image is stretched between its own 0.1 and 99.9 percentiles to 8 bits, as slide scanners do, and flipped at random
each time that it comes up; colours are kept and grey is repeated. The same seed gives the same mosaic.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unetkit.data.loading import load_pair
from unetkit.data.pairs import find_pairs
from unetkit.io.base.contracts import match_channels

CHANNELS = 3


def stretch(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels (C, H, W) as uint8 between their percentiles."""
    low, high = np.percentile(pixels, (0.1, 99.9))
    stretched: NDArray[np.uint8] = np.clip((pixels - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return stretched


def make_mosaic(folder: Path, size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image (H, W, 3) uint8 and its mask (H, W) uint8, filled shelf by shelf."""
    pieces = []
    for pair in find_pairs(folder, None, None):
        pixels, labels = load_pair(pair)
        pieces.append((stretch(match_channels(pixels, CHANNELS, pair.name)), labels > 0))
    pieces.sort(key=lambda piece: piece[1].shape[0])  # images of one height make straight shelves
    image, truth = np.zeros((size, size, CHANNELS), np.uint8), np.zeros((size, size), np.uint8)
    rng = np.random.default_rng(seed)
    top = count = 0
    while top < size:
        height = pieces[count % len(pieces)][1].shape[0]
        left = 0
        while left < size:
            pixels, mask = pieces[count % len(pieces)]
            flips = tuple(slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(2))
            pixels, mask = pixels[:, *flips], mask[flips]
            rows, columns = min(height, mask.shape[0], size - top), min(mask.shape[1], size - left)
            image[top : top + rows, left : left + columns] = pixels[:, :rows, :columns].transpose(1, 2, 0)
            truth[top : top + rows, left : left + columns] = mask[:rows, :columns] * np.uint8(255)
            left += columns
            count += 1
        top += height
    return image, truth


def main(args: list[str] | None = None) -> None:
    """Write a mosaic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=8192, help="height and width in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(args)
    image, truth = make_mosaic(options.folder, options.size, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    layout: dict[str, Any] = {"tile": (512, 512), "compression": "zlib"}
    tifffile.imwrite(options.out / "image.tif", image, photometric="rgb", **layout)
    tifffile.imwrite(options.out / "truth.tif", truth, **layout)
    print(f"{options.out}: {options.size} x {options.size} pixels, {np.mean(truth > 0):.1%} foreground")


if __name__ == "__main__":
    main()
