"""One vertebra of a synthetic spine: its shape, what a fracture does to it, and its bone in Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.synthetic_nuclei import Floats, smooth_field

Loss = Literal["wedge", "biconcave", "crush"]

Box = tuple[slice, slice, slice]

SHELL_MM = 1.1
"""Thickness of cortical bone."""

ROWS = 16
"""Rows of voxels that are sampled at once."""


@dataclass(frozen=True)
class Deformity:
    """What a fracture does to the body of a vertebra.

    Attributes:
        kind: Where height is lost: at the front, in the middle, or everywhere.
        loss: Share of the height that is lost there.
        line: HU of a band of crushed bone, above those around it; 0 for none.
    """

    kind: Loss
    loss: float
    line: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Deformity:
        """Return a deformity of at least a fifth of the height."""
        kind: Loss = get_args(Loss)[int(rng.integers(3))]
        low = {"wedge": 0.32, "biconcave": 0.35, "crush": 0.3}[kind]
        return cls(kind, rng.uniform(low, 0.55), float(rng.uniform(80, 250)) if rng.random() < 0.5 else 0.0)


@dataclass(frozen=True)
class Vertebra:
    """A vertebra; lengths in mm, axes (z, y, x): up, to the back, to the side.

    Attributes:
        height: Height of the body at its back.
        depth: Length of the body from front to back.
        width: Width of the body.
        canal: Radius of the canal.
        hollow: Depth of the hollows in the endplates.
        cortex: HU of cortical bone.
        spongy: HU of the bone within.
        deformity: What a fracture has done.
        spot: Places (0 to 1 along height, depth, width) and HU of a bright spot that is no fracture; 0 HU for none.
        centre: Middle of the body.
        tilt: Turn around the side axis in radians; the front goes down where it is positive.
        roll: Turn around the axis from front to back.
    """

    height: float
    depth: float
    width: float
    canal: float
    hollow: float
    cortex: float
    spongy: float
    deformity: Deformity | None = None
    spot: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.0)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tilt: float = 0.0
    roll: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Vertebra:
        """Return the usual vertebra of a patient."""
        scale = rng.uniform(0.85, 1.12)
        return cls(
            height=scale * rng.uniform(24, 28),
            depth=scale * rng.uniform(29, 33),
            width=scale * rng.uniform(39, 46),
            canal=scale * rng.uniform(7.5, 9.5),
            hollow=rng.uniform(1, 2.5),
            cortex=rng.uniform(450, 800),
            spongy=rng.uniform(90, 230),
        )

    def varied(self, rng: np.random.Generator, deformity: Deformity | None) -> Vertebra:
        """Return a vertebra of the same patient."""
        height, depth, width = np.array([self.height, self.depth, self.width]) * np.exp(rng.normal(0, 0.025, 3))
        bright = float(rng.uniform(80, 250)) if rng.random() < 0.15 else 0.0
        at = [float(place) for place in rng.uniform(0.2, 0.8, 3)]
        return replace(
            self,
            height=float(height),
            depth=float(depth),
            width=float(width),
            hollow=self.hollow * float(rng.uniform(0.7, 1.3)),
            spongy=self.spongy * float(np.exp(rng.normal(0, 0.08))),
            deformity=deformity,
            spot=(at[0], at[1], at[2], bright),
        )

    @property
    def wedge(self) -> float:
        """Angle between the endplates in radians, which fractures of the front make."""
        if self.deformity is None or self.deformity.kind != "wedge":
            return 0.0
        return self.deformity.loss * self.height / self.depth

    @property
    def lost(self) -> float:
        """Height in mm that is lost in the middle of the body, so that its neighbours come closer."""
        if self.deformity is None:
            return 0.0
        return self.height * self.deformity.loss * {"wedge": 0.5, "biconcave": 0.3, "crush": 1.0}[self.deformity.kind]

    @property
    def canal_y(self) -> float:
        """Distance of the canal behind the middle of the body."""
        return self.depth / 2 + self.canal - 1

    def at(self, centre: NDArray[np.float64], tilt: float, roll: float) -> Vertebra:
        """Return the vertebra in its place."""
        return replace(self, centre=(float(centre[0]), float(centre[1]), float(centre[2])), tilt=tilt, roll=roll)

    def beside(self, other: Vertebra, way: int, gap: float, tilt: float, roll: float) -> Vertebra:
        """Return the vertebra above (`way` 1) or below (-1) another one, turned against it."""
        turned = other.tilt + tilt / 2, other.roll + roll / 2
        along = np.array([np.cos(turned[0]) * np.cos(turned[1]), np.sin(turned[0]), np.sin(turned[1])])
        distance = (self.height + other.height - self.lost - other.lost) / 2 + gap
        return self.at(np.add(other.centre, way * along * distance), other.tilt + tilt, other.roll + roll)

    def box(self, size: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> Box | None:
        """Return the part of a volume around it, with the disc above it; None where it lies outside."""
        front, back = self.depth / 2 + 6, self.depth / 2 + 2 * self.canal + 34
        reach = np.array([[0.5 * self.height + 16] * 2, [front, back], [self.width / 2 + 24] * 2])
        low = np.maximum(np.floor(np.subtract(self.centre, reach[:, 0]) / voxel_mm), 0).astype(int)
        high = np.minimum(np.ceil(np.add(self.centre, reach[:, 1]) / voxel_mm), size).astype(int)
        if (low >= high).any():
            return None
        return (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))

    def sampled(
        self, box: Box, voxel_mm: tuple[float, float, float], fineness: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats, Floats]:
        """Return, for the voxels of a box, the share that is bone, the mean HU of that bone, and the share of disc."""
        size = tuple(part.stop - part.start for part in box)
        share, shell, disc = (np.zeros(size, np.float32) for _ in range(3))
        for first in range(0, size[1], ROWS):
            rows = slice(first, min(first + ROWS, size[1]))
            piece = (box[0], slice(box[1].start + rows.start, box[1].start + rows.stop), box[2])
            share[:, rows], shell[:, rows], disc[:, rows] = self._shares(piece, voxel_mm, fineness)
        spongy = self.spongy * (1 + np.float32(0.18) * smooth_field(size, voxel_mm, 1.8, rng))
        spongy += self._spots(*self._places(box, voxel_mm, 1))
        hard = shell / np.maximum(share, np.float32(1e-6))
        return share, spongy + hard * (np.float32(self.cortex) - spongy), disc

    def _shares(self, box: Box, voxel_mm: tuple[float, float, float], fineness: int) -> tuple[Floats, Floats, Floats]:
        """Return, for the voxels of a box, the shares that are bone, cortical bone, and disc."""
        places = self._places(box, voxel_mm, fineness)
        behind = places[1]
        depth = soft = np.full(behind.shape, -1, np.float32)
        hardness = np.zeros_like(depth)
        if behind.min() < self.depth / 2 + 4:
            depth, soft = self._body(*places)
            hardness = _hardness(depth, SHELL_MM)
        if behind.max() > self.depth / 2 - 4:
            arch = self._arch(*places)
            hardness = np.where(arch > depth, _hardness(arch, SHELL_MM / 0.6), hardness)  # the arch has more of it
            depth = np.maximum(depth, arch)
        bone = depth > 0
        return _mean(bone, fineness), _mean(bone * hardness, fineness), _mean((soft > 0) & ~bone, fineness)

    def _places(self, box: Box, voxel_mm: tuple[float, float, float], fineness: int) -> tuple[Floats, Floats, Floats]:
        """Return where the samples of a box lie relative to the vertebra's own axes: up, to the back, to the side."""
        axes = [
            ((np.arange(part.start * fineness, part.stop * fineness) + 0.5) * (side / fineness) - middle)
            for part, side, middle in zip(box, voxel_mm, self.centre, strict=True)
        ]
        return self._own_axes(*(axis.astype(np.float32) for axis in np.meshgrid(*axes, indexing="ij", sparse=True)))

    def _own_axes(self, z: Floats, y: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return places relative to the vertebra's own axes: up, to the back, to the side."""
        cos, sin = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        z, x = z * cos + x * sin, x * cos - z * sin
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        return z * cos + y * sin, y * cos - z * sin, x + 0 * y

    def _body(self, up: Floats, behind: Floats, aside: Floats) -> tuple[Floats, Floats]:
        """Return the depth in mm under the surface of the body, and in the disc above it; negative outside."""
        half = np.float32(self.height / 2)
        shape = self.deformity
        waist = 1 - np.float32(0.1) * (1 - np.clip(np.abs(up) / half, 0, 1) ** 2)
        wide, deep = np.float32(self.width / 2), np.float32(self.depth / 2)
        if shape is not None:  # crushed bone is pressed outwards
            wide, deep = wide * (1 + np.float32(0.15 * shape.loss)), deep * (1 + np.float32(0.15 * shape.loss))
        flat = np.where(behind > 0, np.float32(1.12), np.float32(1.0))  # the back is flatter than the front
        across = np.sqrt((aside / (wide * waist)) ** 2 + (behind * flat / (deep * waist)) ** 2)
        bowl = np.clip(1 - across, 0, 1)
        bowl = bowl * (2 - bowl)
        lower, upper = -half + self.hollow * bowl, half - self.hollow * bowl
        if shape is not None:
            lost = np.float32(shape.loss * self.height)
            front = np.clip(np.float32(0.5) - behind / np.float32(self.depth), 0, 1)
            if shape.kind == "wedge":
                upper = upper - lost * front * np.float32(0.85)
                lower = lower + lost * front * np.float32(0.15)
            elif shape.kind == "biconcave":
                upper, lower = upper - lost * bowl * np.float32(0.6), lower + lost * bowl * np.float32(0.4)
            else:
                upper, lower = upper - lost / 2, lower + lost / 2
        sides = (1 - across) * np.float32(min(self.depth, self.width) / 2)
        depth = np.minimum(np.minimum(upper - up, up - lower), sides)
        disc = np.minimum(np.minimum(up - upper, upper + np.float32(14) - up), sides - np.float32(0.5))
        return depth, disc

    def _arch(self, up: Floats, behind: Floats, aside: Floats) -> Floats:
        """Return the depth in mm under the surface of the arch and its processes; negative outside."""
        up = up - np.float32(0.1 * self.height)
        side = np.abs(aside)
        ring = np.hypot(aside, behind - np.float32(self.canal_y)) - np.float32(self.canal)
        lamina = np.minimum(np.minimum(ring, np.float32(5.5) - ring), np.float32(0.36 * self.height) - np.abs(up))
        pedicle = _rod(up, side - np.float32(self.canal + 3.5), np.float32(0.3 * self.height), np.float32(4.2))
        from_body = behind - np.float32(self.depth / 2 - 4)
        pedicle = np.minimum(pedicle, np.minimum(from_body, np.float32(self.canal + 6) - from_body))
        tail = behind - np.float32(self.canal_y + self.canal + 2)
        spinous = _rod(up + np.float32(0.35) * tail, aside, np.float32(7.0), np.float32(3.2))
        spinous = np.minimum(spinous, np.minimum(tail, np.float32(26) - tail))
        out = side - np.float32(self.canal + 3)
        transverse = _rod(
            up, behind - np.float32(self.canal_y) - np.float32(0.25) * out, np.float32(5.0), np.float32(4.0)
        )
        transverse = np.minimum(transverse, np.minimum(out, np.float32(21) - out))
        depth: Floats = np.maximum(np.maximum(lamina, pedicle), np.maximum(spinous, transverse))
        return depth

    def _spots(self, up: Floats, behind: Floats, aside: Floats) -> Floats:
        """Return the HU that a fracture line and a harmless bright spot add within the body."""
        sizes = np.array([self.height, self.depth, self.width])
        places = ((np.array(self.spot[:3]) - 0.5) * sizes).astype(np.float32)
        far = (up - places[0]) ** 2 + (behind - places[1]) ** 2 + (aside - places[2]) ** 2
        added = np.float32(self.spot[3]) * np.exp(-far / np.float32(2 * 3.5**2))
        if self.deformity is not None and self.deformity.line:
            wavy = up + np.float32(1.5) * np.sin(behind / np.float32(5)) + np.float32(0.08) * aside
            added = added + np.float32(self.deformity.line) * np.exp(-((wavy / np.float32(1.6)) ** 2))
        return np.where(behind < self.depth / 2, added, np.float32(0)).astype(np.float32)


def _rod(first: Floats, second: Floats, radius: np.float32, other: np.float32) -> Floats:
    """Return the depth in mm in a rod with an elliptic section."""
    depth: Floats = (1 - np.hypot(first / radius, second / other)) * np.minimum(radius, other)
    return depth


def _hardness(depth: Floats, shell: float) -> Floats:
    """Return the share (0 to 1) of cortical bone at a depth in mm under the surface."""
    hardness: Floats = np.clip(1.5 - depth / np.float32(shell), 0, 1)
    return hardness


def _mean(samples: NDArray[Any], fineness: int) -> Floats:
    """Return the means over cubes of `fineness` samples along each axis."""
    means = samples.astype(np.float32)
    for axis in range(3):
        before = (slice(None),) * axis
        means = np.sum([means[(*before, slice(k, None, fineness))] for k in range(fineness)], axis=0)
    means *= np.float32(1 / fineness**3)
    return means
