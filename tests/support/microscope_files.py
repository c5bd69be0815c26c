"""One small file of each format of microscopes, with the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from czi_files import write_czi
from lif_files import LifImage, write_lif
from nd2_files import write_nd2
from numpy.typing import NDArray

SUFFIXES = (".czi", ".nd2", ".lif", ".dv")

SIZE = (70, 90)
PIXEL_UM = 0.25
DEPTH_UM = 0.5


def make_pixels(seed: int = 0) -> NDArray[np.uint16]:
    """Return pixels over Z, C, Y and X: 3 planes of 2 channels."""
    return np.random.default_rng(seed).integers(0, 4096, (3, 2, *SIZE)).astype(np.uint16)


def write_microscope(path: Path, pixels: NDArray[Any] | None = None) -> Path:
    """Write pixels (Z, C, h, w) in the format of the suffix, with two names of channels where the format has names."""
    pixels = make_pixels() if pixels is None else pixels
    depth, count = pixels.shape[:2]
    names = ("DAPI", "GFP", "RFP")[:count]
    if path.suffix == ".czi":
        voxel = (DEPTH_UM * 1e-6, PIXEL_UM * 1e-6, PIXEL_UM * 1e-6)
        tiles = [(pixels[z, c], {"Z": z, "C": c}, (0, 0), None) for z in range(depth) for c in range(count)]
        return write_czi(path, tiles, channels=names, scale=voxel)
    if path.suffix == ".nd2":
        frames = np.moveaxis(pixels, 1, -1)
        if depth == 1:
            return write_nd2(path, frames[0], channels=names, pixel_size=PIXEL_UM)
        return write_nd2(path, frames, [("Z", DEPTH_UM)], channels=names, pixel_size=PIXEL_UM)
    if path.suffix == ".lif":
        steps = {"X": PIXEL_UM * 1e-6, "Y": PIXEL_UM * 1e-6, "Z": DEPTH_UM * 1e-6}
        return write_lif(path, [LifImage("one", pixels, "ZCYX", steps, names)])
    return write_dv(path, pixels)


def write_dv(path: Path, pixels: NDArray[Any], *, voxel: tuple[float, float, float] | None = None) -> Path:
    """Write pixels (Z, C, h, w) by the package mrc; the size of a voxel is (z, y, x) in µm."""
    import mrc

    z, y, x = voxel or (DEPTH_UM, PIXEL_UM, PIXEL_UM)
    header = {"dx": x, "dy": y, "dz": z, "wave": [525, 632, 0, 0, 0]}
    mrc.imsave(str(path), np.ascontiguousarray(pixels.swapaxes(0, 1)), metadata=header, zAxisOrder="wz")
    return path
