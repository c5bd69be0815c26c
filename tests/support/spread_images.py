"""Images that are large for a cluster of tests, and how files of runs are compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

TRACES = (".blocks", ".lock", ".partial", ".unfinished", ".removed", ".replaced")
"""Suffixes of what lies beside an output while it is made."""


def blobs(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return an image of bright blobs."""
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), (0,) * (len(shape) - 2) + (4, 4))
    low, high = np.percentile(noise, (1, 99))
    pixels: NDArray[np.uint8] = (np.clip((noise - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return pixels


def digests(path: Path) -> dict[str, str]:
    """Return the hashes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def traces(folder: Path) -> list[Path]:
    """Return what runs have left beside outputs."""
    return [path for path in folder.rglob("*") if path.name.endswith(TRACES)]
