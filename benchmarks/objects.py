"""Time and memory of tables of objects: a label image of a gigapixel with a million objects, beside scikit-image.

    python benchmarks/objects.py --folder scratch
    python benchmarks/objects.py --folder scratch --objects 10000 100000 1000000 --image

The label images are made once, by a seed. Each command runs in a process of its own; its peak memory is that of the
process. scikit-image gets a crop, and all properties that the table has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAMPS = 512
"""Number of different outlines."""

NOISE_BITS = 4
"""Random bits of a pixel of the image."""

PROPERTIES = (
    *("label", "area", "bbox", "centroid", "equivalent_diameter_area", "perimeter", "axis_major_length"),
    *("axis_minor_length", "eccentricity", "solidity", "orientation"),
)
VALUES = ("intensity_mean", "intensity_median", "intensity_min", "intensity_max", "intensity_std")


@dataclass(frozen=True)
class Field:
    """Objects on a jittered grid.

    Attributes:
        size: Height and width of the image, in pixels.
        objects: Number of objects.
        diameter: Mean diameter of an object, in pixels.
        seed: Seed of all that is random.
    """

    size: int
    objects: int
    diameter: int
    seed: int = 0

    @property
    def name(self) -> str:
        """Stem of its files."""
        return f"labels-{self.size}-{self.objects}-{self.diameter}-{self.seed}"

    def strips(self) -> Iterator[NDArray[np.uint32]]:
        """Yield labels (1, h, size) from top to bottom. Neighbours may touch; the later one is in front."""
        rng = np.random.default_rng(self.seed)
        stamps = [draw_blob(self.diameter * rng.uniform(0.7, 1.3), rng) for _ in range(STAMPS)]
        cells = int(np.ceil(np.sqrt(self.objects)))
        step = self.size / cells
        margin = max(max(stamp.shape) for stamp in stamps)
        start = -margin  # row of the plane that the canvas begins with
        canvas = np.zeros((0, self.size + 2 * margin), np.uint32)
        for row in range(cells):
            bottom = self.size if row == cells - 1 else int((row + 1) * step)
            more = bottom + margin - start - len(canvas)
            canvas = np.concatenate([canvas, np.zeros((more, canvas.shape[1]), np.uint32)])
            for column in range(min(cells, self.objects - row * cells)):
                stamp = stamps[rng.integers(STAMPS)]
                jitter = rng.uniform(-0.15, 0.15, 2) * min(step, 2 * self.diameter)
                y = int((row + 0.5) * step + jitter[0] - stamp.shape[0] / 2) - start
                x = int((column + 0.5) * step + jitter[1] - stamp.shape[1] / 2) + margin
                place = canvas[y : y + stamp.shape[0], x : x + stamp.shape[1]]
                np.copyto(place, row * cells + column + 1, where=stamp)
            final = self.size if row == cells - 1 else bottom - margin
            if final > 0:
                yield canvas[None, max(start, 0) - start : final - start, margin:-margin]
                canvas, start = canvas[final - start :], final


def draw_blob(diameter: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw an ellipse with a wavy outline."""
    half = int(diameter)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.5)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    radius, turn = np.hypot(along / stretch, across * stretch), np.arctan2(across, along)
    waves = sum(rng.normal(0, 0.12 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
    inside: NDArray[np.bool_] = radius < diameter / 2 * (1 + waves)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
