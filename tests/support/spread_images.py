"""Images that are large for a cluster of tests, and runs on them that are compared with those of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unetkit.inference.segment import segment

CHOICES: dict[str, Any] = {"backend": "torch", "tile": 64, "halo": 16, "threshold": 0.5}
"""Choices of runs on them."""

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


def both(image: Path, folder: Path, name: str, model: Any, run: Callable[..., Any], **choices: Any) -> tuple[Any, Any]:
    """Segment here, and with `run`; all files have the same bytes, and nothing else is left."""
    choices = {key: value for key, value in {**CHOICES, **choices}.items() if value is not None}
    files = {key: choices.pop(key) for key in ("table", "geojson") if key in choices}
    places = [folder / "here", folder / "there"]
    done = []
    for place, do in zip(places, (segment, run), strict=True):
        place.mkdir()
        made = do(image, place / name, model, **choices, **{key: place / value for key, value in files.items()})
        done.append(made)
    assert digests(places[1]) == digests(places[0])
    assert not traces(folder)
    return done[0], done[1]
