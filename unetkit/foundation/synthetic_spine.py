"""Synthetic CT volumes of a piece of spine, with exact masks of the vertebrae; some vertebrae are fractured.

A phantom in Hounsfield units (HU): vertebrae (a body with a cortical shell, an arch, processes), discs, the spinal
canal, muscle, fat, a vessel, air outside, noise. What is seen of a voxel is the mean over its volume, so thin bone and
borders are blurred by the size of a voxel (partial volume). The mask has what fills at least half of a voxel.

A fractured vertebra has lost a fifth to a half of its height, at its front (wedge), in the middle (biconcave) or
everywhere (crush), as Genant et al. 1993 (Journal of Bone and Mineral Research 8, 1137-1148) grade it. Density, size,
noise and bright spots vary as much in volumes without a fracture, so no mean over voxels tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unetkit.foundation.synthetic_nuclei import Floats, check_volume, smooth_field
from unetkit.foundation.synthetic_vertebra import Deformity, Vertebra

VOXEL_MM = (2.0, 0.8, 0.8)
"""A usual distance of slices and size of a pixel of a spine in CT: (z, y, x)."""

AIR, FAT, MUSCLE, DISC, FLUID, VESSEL = -1000.0, -90.0, 50.0, 85.0, 15.0, 180.0
"""HU of tissues; the vessel has contrast medium in it."""


@dataclass(frozen=True, eq=False)
class Spine:
    """A CT volume of a piece of spine.

    Attributes:
        image: (Z, Y, X) int16 in HU. Z goes up, Y to the back, X to the side.
        labels: (Z, Y, X) uint8: 0 for background, 1, 2, ... for the vertebrae from below.
        fractures: Numbers of the fractured vertebrae.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    fractures: tuple[int, ...]

    @property
    def fractured(self) -> bool:
        """Whether a vertebra is fractured."""
        return bool(self.fractures)


def make_spine(
    size: tuple[int, int, int],
    seed: int | np.random.Generator,
    voxel_mm: tuple[float, float, float] = VOXEL_MM,
    fractured: bool | None = None,
    fineness: int = 2,
) -> Spine:
    """Draw a CT volume of a piece of spine.

    Args:
        size: Voxels along (z, y, x), each at least 1. Some 60 mm along each show a vertebra with its neighbours.
        seed: The same seed gives the same volume.
        voxel_mm: Sides of a voxel along (z, y, x) in mm.
        fractured: Whether there is a fracture, whose vertebra lies whole in the volume where that is high enough; by
            default drawn from the seed.
        fineness: Points along each side of a voxel from which its mean is taken.

    Raises:
        ConfigError: A size is not positive.
    """
    check_volume(size, voxel_mm)
    rng = np.random.default_rng(seed)
    broken = bool(rng.random() < 0.5) if fractured is None else fractured
    extent = np.multiply(size, voxel_mm)
    vertebrae, fractures = _stack(extent, broken, rng)
    image = _soft_tissue(size, voxel_mm, vertebrae, rng)
    share = np.zeros(size, np.float32)  # of each voxel that is bone so far
    most = np.full(size, 0.5, np.float32)
    labels = np.zeros(size, np.uint8)
    seen: dict[int, int] = {}
    for place, vertebra in enumerate(vertebrae):
        box = vertebra.box(size, voxel_mm)
        if box is None:
            continue
        part, bone, disc = vertebra.sampled(box, voxel_mm, fineness, rng)
        image[box] += disc * (np.float32(DISC) - image[box])
        part = np.minimum(part, 1 - share[box])
        image[box] += part * (bone - image[box])
        share[box] += part
        own = part >= most[box]
        if own.any():
            seen[place] = len(seen) + 1
            labels[box][own] = seen[place]
            most[box] = np.maximum(most[box], part)
    image = _scan(image, voxel_mm, rng)
    kept = tuple(seen[place] for place in fractures if place in seen)
    return Spine(np.clip(image, -1024, 3071).round().astype(np.int16), labels, kept)


def _stack(
    extent: NDArray[np.float64], broken: bool, rng: np.random.Generator
) -> tuple[list[Vertebra], tuple[int, ...]]:
    """Return vertebrae from below the volume to above it, and which of them are fractured."""
    patient = Vertebra.draw(rng)
    gap = rng.uniform(6, 10)
    count = int(extent[0] / (0.6 * patient.height + gap)) + 4
    middle = count // 2
    deformities: list[Deformity | None] = [None] * count
    fractures: tuple[int, ...] = ()
    if broken:
        reach = max(int(extent[0] / 2 / (patient.height + gap) - 0.5), 0)
        first = middle + int(rng.integers(-reach, reach + 1))
        second = first + int(rng.choice([-1, 1]))
        fractures = (first, second) if rng.random() < 0.25 and abs(second - middle) <= reach else (first,)
        fractures = tuple(sorted(fractures))
        for place in fractures:
            deformities[place] = Deformity.draw(rng)
    lordosis, sway = rng.uniform(-0.05, 0.05), rng.normal(0, 0.02)
    own = [patient.varied(rng, deformity) for deformity in deformities]
    centre = extent * (0.5, 0.42, 0.5) + rng.normal(0, (0.1 * patient.height, 2.0, 2.0))
    placed: dict[int, Vertebra] = {middle: own[middle].at(centre, tilt=rng.normal(0, 0.08), roll=rng.normal(0, 0.04))}
    for way in (1, -1):
        for place in range(middle + way, count if way > 0 else -1, way):
            below, above = (placed[place - way], own[place]) if way > 0 else (own[place], placed[place - way])
            bend = lordosis - (below.wedge + above.wedge) / 2 * rng.uniform(0.5, 0.9)
            placed[place] = own[place].beside(placed[place - way], way, gap, bend * way, sway * way)
    return [placed[place] for place in range(count)], fractures


def _soft_tissue(
    size: tuple[int, int, int],
    voxel_mm: tuple[float, float, float],
    vertebrae: list[Vertebra],
    rng: np.random.Generator,
) -> Floats:
    """Return all that is no bone, in HU (Z, Y, X): air, fat, muscle, the canal, a vessel in front of the spine."""
    z, y, x = (
        ((np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(side)).reshape(
            [-1 if axis == one else 1 for one in range(3)]
        )
        for axis, (n, side) in enumerate(zip(size, voxel_mm, strict=True))
    )
    heights = np.array([vertebra.centre[0] for vertebra in vertebrae])
    line_y, line_x = (np.interp(z, heights, [vertebra.centre[axis] for vertebra in vertebrae]) for axis in (1, 2))
    dy, dx = (y - line_y).astype(np.float32), (x - line_x).astype(np.float32)
    soft = np.float32(1.0)  # mm over which a border is blurred

    def ellipse(at_y: float, at_x: float, radius_y: float, radius_x: float) -> Floats:
        """Return the share of each voxel in a cylinder along the spine."""
        depth = (1 - np.hypot((dy - at_y) / radius_y, (dx - at_x) / radius_x)) * min(radius_y, radius_x)
        inside: Floats = np.clip(0.5 + depth / soft, 0, 1).astype(np.float32)
        return inside

    back, side = rng.uniform(72, 95), rng.uniform(130, 170)
    body = ellipse(back - 115, 0, 115, side)
    fat = rng.uniform(5, 18)
    inner = ellipse(back - 115, 0, 115 - fat, side - fat)
    image = AIR + body * (FAT - AIR) + inner * (MUSCLE - FAT)
    image = image + inner * 35 * np.clip(smooth_field(size, voxel_mm, 14.0, rng) - 0.6, -3, 0)  # fat in the muscle
    patient = vertebrae[len(vertebrae) // 2]
    image += ellipse(patient.canal_y, 0, patient.canal, patient.canal) * (FLUID - MUSCLE)
    vessel, contrast = rng.uniform(7, 12), rng.uniform(0.1, 1.5)
    place = (-patient.depth / 2 - vessel - rng.uniform(1, 5), rng.uniform(-10, 10))
    image += ellipse(*place, vessel, vessel) * np.float32(contrast * (VESSEL - MUSCLE))
    soft_tissue: Floats = image.astype(np.float32, copy=False)
    return soft_tissue


def _scan(image: Floats, voxel_mm: tuple[float, float, float], rng: np.random.Generator) -> Floats:
    """Return the volume as a scanner gives it: a little blurred, with noise that neighbours in a slice share."""
    blur = rng.uniform(0.3, 0.6)
    image = ndimage.gaussian_filter(image, np.divide((0.3, blur, blur), voxel_mm), mode="nearest")
    grain = rng.uniform(0.5, 0.9)
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, np.float32), (0, grain, grain), mode="wrap")
    spread = np.float32(rng.uniform(12, 40)) / max(float(noise.std()), 1e-6)
    scanned: Floats = image + spread * noise
    return scanned
