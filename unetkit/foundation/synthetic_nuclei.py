"""Synthetic light-sheet stacks of cell nuclei with their instance labels.

The model follows a light-sheet microscope: ellipsoids with dents, single and in touching clusters, with chromatin and
nucleoli of their own; light that is lost on the way through the tissue; a blur that is longer along Z than in the
plane; a camera with photon and read noise. Voxels may have any sides, so planes may be far apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from unetkit.foundation.errors import ConfigError

VOXEL_UM = (2.0, 0.5, 0.5)
"""A usual distance of planes and size of a pixel of a light-sheet microscope: (z, y, x)."""

Floats = NDArray[np.float32]

TEXTURE_UM = 48.0
"""Side of the cube of chromatin from which each nucleus takes a piece."""

MOST_TAKEN = 0.1
"""A nucleus of which a larger share lies in others is not drawn."""


@dataclass(frozen=True)
class Sheet:
    """Settings of the sample and the microscope for one stack.

    Attributes:
        coverage: Share of the volume that nuclei fill.
        radius_um: Typical radius of a nucleus.
        clustering: Mean number of nuclei in a cluster of touching ones.
        brightness: Signal of a typical nucleus in counts.
        spread: Standard deviation of the logarithm of the nuclei's brightness.
        haze: Light of the tissue, relative to `brightness`.
        depth_um: Depth at which a third (1/e) of the light is left.
        blur_um: Standard deviation of the blur along (z, y, x).
        gain: Counts for each photoelectron.
        read_noise: Standard deviation of the camera's noise in counts.
        offset: Counts of the camera in the dark.
    """

    coverage: float
    radius_um: float
    clustering: float
    brightness: float
    spread: float
    haze: float
    depth_um: float
    blur_um: tuple[float, float, float]
    gain: float
    read_noise: float
    offset: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sheet:
        """Return settings as they vary from one sample and one exposure to the next."""
        brightness = float(np.exp(rng.uniform(np.log(800), np.log(4000))))
        lateral = rng.uniform(0.35, 0.6)
        return cls(
            coverage=rng.uniform(0.14, 0.3),
            radius_um=rng.uniform(4.2, 5.6),
            clustering=rng.uniform(2, 5),
            brightness=brightness,
            spread=rng.uniform(0.25, 0.45),
            haze=rng.uniform(0.1, 0.25),
            depth_um=rng.uniform(120, 260),
            blur_um=(rng.uniform(1.4, 2.2), lateral, lateral),
            gain=brightness / rng.uniform(25, 100),
            read_noise=rng.uniform(8, 25),
            offset=rng.uniform(100, 200),
        )


def make_nuclei(
    size: tuple[int, int, int],
    seed: int | np.random.Generator,
    voxel_um: tuple[float, float, float] = VOXEL_UM,
    sheet: Sheet | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | NDArray[np.uint32]]:
    """Draw a stack of nuclei and their labels.

    Args:
        size: Voxels along (z, y, x), each at least 1.
        seed: The same seed gives the same stack.
        voxel_um: Sides of a voxel along (z, y, x) in µm.
        sheet: Settings of sample and microscope; drawn from the seed if not given.

    Returns:
        The image (Z, Y, X) as uint16 and the instance labels (Z, Y, X), 0 for background and 1, 2, ... for the nuclei,
        as uint16, or as uint32 for a stack so large that it may hold more than 65535.

    Raises:
        ConfigError: A size is not positive.
    """
    check_volume(size, voxel_um)
    rng = np.random.default_rng(seed)
    sheet = sheet or Sheet.draw(rng)
    count = max(round(sheet.coverage * prod(size) * prod(voxel_um) / (4.19 * sheet.radius_um**3)), 1)
    labels = np.zeros(size, np.uint16 if count < 2**16 else np.uint32)
    signal = np.zeros(size, np.float32)
    _draw_all(signal, labels, count, np.array(voxel_um), sheet, rng)
    signal += np.float32(sheet.haze * sheet.brightness) * np.exp(0.4 * smooth_field(size, voxel_um, 30.0, rng))
    signal = ndimage.gaussian_filter(signal, np.divide(sheet.blur_um, voxel_um), mode="reflect")
    signal *= _lit(size, voxel_um, sheet, rng)
    return _photograph(signal, sheet, rng), labels


def check_volume(size: tuple[int, int, int], voxel: tuple[float, float, float]) -> None:
    """Raise a ConfigError unless a volume has three sizes and three sides of a voxel, all above 0."""
    if len(size) != 3 or min(size) < 1:
        raise ConfigError(f"A volume of the size {size} cannot be drawn.", "Give voxels along z, y and x, 1 or more.")
    if len(voxel) != 3 or min(voxel) <= 0:
        raise ConfigError(f"A voxel with the sides {voxel} has no meaning.", "Give its sides along z, y and x.")


def smooth_field(size: tuple[int, ...], voxel: tuple[float, ...], scale: float, rng: np.random.Generator) -> Floats:
    """Return a random field of about mean 0 and standard deviation 1 that varies over `scale`, in the voxel's unit."""
    coarse = rng.standard_normal([int(n * side / scale) + 4 for n, side in zip(size, voxel, strict=True)], np.float32)
    start = rng.uniform(1, 2, len(size))
    field = coarse
    for axis, (n, side) in enumerate(zip(size, voxel, strict=True)):
        at = start[axis] + np.arange(n) * side / scale
        first = at.astype(int)
        share = (at - first).astype(np.float32)
        share = share * share * (3 - 2 * share)  # smoother than a straight line between two points
        share = share.reshape([-1 if one == axis else 1 for one in range(len(size))])
        field = np.take(field, first, axis) * (1 - share) + np.take(field, first + 1, axis) * share
    smooth: Floats = 1.5 * field  # the mean of neighbours has a smaller spread
    return smooth


@dataclass(frozen=True)
class _Nucleus:
    """One nucleus: an ellipsoid with a few dents and bumps; lengths in µm, axes (z, y, x)."""

    centre: NDArray[np.float64]
    radii: NDArray[np.float64]
    turn: NDArray[np.float64]  # (3, 3): to the axes of the ellipsoid
    bumps: NDArray[np.float64]  # (n, 4): a direction and a height
    brightness: float
    contrast: float

    @classmethod
    def draw(cls, centre: NDArray[np.float64], level: float, sheet: Sheet, rng: np.random.Generator) -> _Nucleus:
        radius = sheet.radius_um * float(np.exp(rng.normal(0, 0.15)))
        stretch = np.exp(rng.normal(0, 0.15, 3))
        brightness = sheet.brightness * level * float(np.exp(rng.normal(0, sheet.spread)))
        if rng.random() < 0.03:  # in division: condensed and bright
            radius, stretch, brightness = 0.7 * radius, np.array([0.6, 1.3, 1.3]), 2.0 * brightness
        directions = rng.standard_normal((4, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(
            centre=centre,
            radii=radius * stretch / np.cbrt(np.prod(stretch)),
            turn=Rotation.from_quat(rng.standard_normal(4)).as_matrix(),
            bumps=np.column_stack([directions, rng.normal(0, 0.06, 4)]),
            brightness=brightness,
            contrast=rng.uniform(0.15, 0.35),
        )

    def paint(
        self,
        signal: Floats,
        labels: NDArray[Any],
        label: int,
        texture: Floats,
        voxel_um: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> bool:
        """Add the nucleus to the stack and its label where nothing is yet; return False if its place is taken."""
        reach = 1.25 * self.radii.max() + 1
        low = np.maximum(np.floor((self.centre - reach) / voxel_um), 0).astype(int)
        high = np.minimum(np.ceil((self.centre + reach) / voxel_um) + 1, labels.shape).astype(int)
        if (low >= high).any():
            return False
        box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        depth = self._depth(low, high, voxel_um)
        inside = depth > 0
        window = labels[box]
        volume, taken = np.count_nonzero(inside), np.count_nonzero(window[inside])
        if not volume or taken > MOST_TAKEN * volume:
            return False
        new = inside & (window == 0)
        window[new] = label
        light = self._light(depth, texture, rng)
        if taken:  # the light of others stays theirs
            light[inside & ~new] = 0
        signal[box] += light
        return True

    def _depth(self, low: NDArray[Any], high: NDArray[Any], voxel_um: NDArray[np.float64]) -> Floats:
        """Return the depth (d, h, w) under the surface: about the µm to it, negative outside."""
        axes = [
            ((np.arange(first, last) * side) - middle).astype(np.float32)
            for first, last, side, middle in zip(low, high, voxel_um, self.centre, strict=True)
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        own = [
            (np.float32(row[0]) * z + np.float32(row[1]) * y + np.float32(row[2]) * x) / np.float32(radius)
            for row, radius in zip(self.turn, self.radii, strict=True)
        ]
        distance = np.sqrt(own[0] ** 2 + own[1] ** 2 + own[2] ** 2)
        surface = np.ones_like(distance)
        safe = np.maximum(distance, np.float32(1e-6))
        for *direction, height in self.bumps.astype(np.float32):
            towards = (own[0] * direction[0] + own[1] * direction[1] + own[2] * direction[2]) / safe
            surface += height * towards * towards * (1 + towards)
        depth: Floats = (surface - distance) * np.float32(self.radii.min())
        return depth

    def _light(self, depth: Floats, texture: Floats, rng: np.random.Generator) -> Floats:
        """Return the light (d, h, w) of the nucleus: textured inside, with a rim of condensed chromatin."""
        starts = [rng.integers(0, side - n + 1) for side, n in zip(texture.shape, depth.shape, strict=True)]
        piece = texture[tuple(slice(start, start + n) for start, n in zip(starts, depth.shape, strict=True))]
        edge = np.clip(depth / np.float32(0.3) + np.float32(0.5), 0, 1)
        rim = 1 + np.float32(0.25) * np.exp(-np.clip(depth, 0, None) / np.float32(0.6))
        light: Floats = self.brightness * edge * rim * np.clip(1 + self.contrast * piece, 0.3, None)
        return light


def _draw_all(
    signal: Floats,
    labels: NDArray[Any],
    count: int,
    voxel_um: NDArray[np.float64],
    sheet: Sheet,
    rng: np.random.Generator,
) -> None:
    """Draw up to `count` nuclei into both arrays, cluster after cluster."""
    extent = np.array(labels.shape) * voxel_um
    texture = _chromatin(voxel_um, sheet, rng)
    drawn = 0
    for _ in range(4 * count):  # some places are taken; where it is too crowded, fewer are drawn
        if drawn >= count:
            break
        centre = rng.uniform(-sheet.radius_um / 2, extent + sheet.radius_um / 2)
        level = float(np.exp(rng.normal(0, 0.15)))
        for _ in range(rng.geometric(1 / sheet.clustering)):
            nucleus = _Nucleus.draw(centre, level, sheet, rng)
            drawn += nucleus.paint(signal, labels, drawn + 1, texture, voxel_um, rng)
            way = rng.standard_normal(3)
            centre = centre + way / np.linalg.norm(way) * 1.9 * nucleus.radii.mean() * rng.uniform(0.9, 1.1)
            if drawn >= count:
                break


def _chromatin(voxel_um: NDArray[np.float64], sheet: Sheet, rng: np.random.Generator) -> Floats:
    """Return a texture of mean 0 and standard deviation about 1, at least as large as the box of any nucleus."""
    least = np.ceil(6 * sheet.radius_um / voxel_um) + 4
    shape = np.maximum(np.ceil(TEXTURE_UM / voxel_um), least).astype(int)
    noise = rng.standard_normal((3, *shape), np.float32)
    fine, coarse, blobs = (
        layer / layer.std()
        for layer in (
            ndimage.gaussian_filter(noise[i], scale / voxel_um, mode="wrap") for i, scale in enumerate((0.4, 1.0, 0.8))
        )
    )
    nucleoli = ndimage.gaussian_filter((blobs > 1.9).astype(np.float32), 0.4 / voxel_um, mode="wrap")
    texture = 0.55 * fine + 0.75 * coarse - 1.8 * nucleoli
    centred: Floats = (texture - texture.mean()).astype(np.float32)
    return centred


def _lit(
    size: tuple[int, int, int], voxel_um: tuple[float, float, float], sheet: Sheet, rng: np.random.Generator
) -> Floats:
    """Return the share of the light that arrives (Z, Y, X): less with depth, in the shadows of the sheet, unevenly."""
    z = np.arange(size[0], dtype=np.float32)[:, None, None] * np.float32(voxel_um[0] / sheet.depth_um)
    across = smooth_field(size[:2], voxel_um[:2], 12.0, rng)[:, :, None]  # the sheet comes along X
    along = np.linspace(0, rng.uniform(-0.5, 0.5), size[2], dtype=np.float32)
    light: Floats = np.exp(-z + np.float32(0.08) * across + along)
    return light


def _photograph(signal: Floats, sheet: Sheet, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the camera's images of the light: photon noise, read noise, offset, 16 bits."""
    image = np.empty(signal.shape, np.uint16)
    for plane, light in zip(image, signal, strict=True):
        counts = rng.poisson(light / sheet.gain).astype(np.float32) * np.float32(sheet.gain)
        counts += np.float32(sheet.offset) + np.float32(sheet.read_noise) * rng.standard_normal(
            counts.shape, np.float32
        )
        plane[...] = np.clip(counts, 0, 65535).round()
    return image
