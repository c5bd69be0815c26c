"""Synthetic fluorescence images of cell nuclei with their instance labels: data for the demo and for the tests.

The model follows a wide-field microscope: nuclei (irregular ellipses, single and in touching clusters, with chromatin,
nucleoli and a focus of their own) in haze, under uneven light, seen by a camera with photon and read noise. After the
idea of SIMCEP (Lehmussola et al. 2007, IEEE Transactions on Medical Imaging 26, 1010-1016).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, OutputError

PIXEL_SIZE_UM = 0.325
"""A 20x objective on a camera with pixels of 6.5 µm."""

Floats = NDArray[np.float32]

TEXTURE_SIZE = 512
"""Height and width of the texture of chromatin, in pixels."""
NOISE_BAND_ROWS = 256
"""Rows to which noise is added at once."""


@dataclass(frozen=True)
class Conditions:
    """Settings of the sample and the microscope for one image.

    Attributes:
        coverage: Share of the area that nuclei cover where they are dense.
        radius: Typical radius of a nucleus in pixels.
        clustering: Mean number of nuclei in a cluster of touching ones.
        brightness: Signal of a typical nucleus in counts.
        spread: Standard deviation of the logarithm of the nuclei's brightness.
        haze: Light from out of focus, relative to `brightness`.
        vignette: Share of the light that is lost from the brightest place to the darkest.
        defocus: Share of the nuclei that are out of focus.
        gain: Counts for each photoelectron.
        read_noise: Standard deviation of the camera's noise in counts.
        offset: Counts of the camera in the dark.
    """

    coverage: float
    radius: float
    clustering: float
    brightness: float
    spread: float
    haze: float
    vignette: float
    defocus: float
    gain: float
    read_noise: float
    offset: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Conditions:
        """Return conditions as they vary from one slide and one exposure to the next."""
        brightness = float(np.exp(rng.uniform(np.log(1200), np.log(8000))))
        return cls(
            coverage=rng.uniform(0.12, 0.38),
            radius=rng.uniform(12, 18),
            clustering=rng.uniform(1.5, 4),
            brightness=brightness,
            spread=rng.uniform(0.25, 0.45),
            haze=rng.uniform(0.1, 0.25),
            vignette=rng.uniform(0.4, 0.7),
            defocus=rng.uniform(0.1, 0.25),
            gain=brightness / rng.uniform(60, 300),  # dim exposures are amplified more
            read_noise=rng.uniform(8, 40),
            offset=rng.uniform(100, 300),
        )


def make_cells(
    height: int, width: int, seed: int | np.random.Generator, conditions: Conditions | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | NDArray[np.uint32]]:
    """Draw an image of nuclei and their labels.

    Args:
        height: Pixels along Y, at least 1.
        width: Pixels along X, at least 1.
        seed: The same seed gives the same image.
        conditions: Settings of sample and microscope; drawn from the seed if not given.

    Returns:
        The image (H, W) as uint16 and the instance labels (H, W), 0 for background and 1, 2, ... for the nuclei, as
        uint16, or as uint32 for an image so large that it may hold more than 65535.

    Raises:
        ConfigError: The size is not positive.
    """
    if height < 1 or width < 1:
        raise ConfigError(f"An image of {height} x {width} pixels cannot be drawn.", "Give a height and width above 0.")
    rng = np.random.default_rng(seed)
    conditions = conditions or Conditions.draw(rng)
    count = round(conditions.coverage * height * width / (np.pi * conditions.radius**2 * 0.8))
    labels = np.zeros((height, width), np.uint16 if count < 2**16 else np.uint32)
    signal = np.zeros((height, width), np.float32)
    _draw_nuclei(signal, labels, max(count, 1), conditions, rng)
    _add_haze(signal, conditions, rng)
    signal *= _illumination(height, width, conditions.vignette, rng)
    return _photograph(signal, conditions, rng), labels


def write_dataset(folder: Path, count: int, size: int, seed: int) -> None:
    """Write `count` square images and their labels as images/cells_000.tif, ... and masks/cells_000.tif, ...

    Args:
        folder: Folder of the files; made if it does not exist.
        count: Number of images.
        size: Height and width of each in pixels.
        seed: The same seed gives the same files; image i depends on (seed, i) only.

    Raises:
        OutputError: `folder` holds images or masks already, or cannot be written.
        ConfigError: The size is not positive.
    """
    for part in ("images", "masks"):
        if (folder / part).exists() and any((folder / part).iterdir()):
            raise OutputError(f"{folder / part} holds files already.", "Choose another folder or empty this one.")
    try:
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image, labels = make_cells(size, size, np.random.default_rng((seed, i)))
            write_tiff(folder / "images" / f"cells_{i:03}.tif", image)
            write_tiff(folder / "masks" / f"cells_{i:03}.tif", labels)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}.", "Choose a folder with room to write.") from error


def write_tiff(path: Path, pixels: NDArray[Any]) -> None:
    """Write pixels (H, W) as a tiled OME-TIFF with the synthetic microscope's pixel size."""
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": PIXEL_SIZE_UM,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": PIXEL_SIZE_UM,
        "PhysicalSizeYUnit": "µm",
    }
    tile = (512, 512) if min(pixels.shape) >= 1024 else None
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata, tile=tile, compression="zlib")


def _draw_nuclei(
    signal: Floats, labels: NDArray[Any], count: int, conditions: Conditions, rng: np.random.Generator
) -> None:
    """Draw up to `count` nuclei into both arrays: cluster after cluster, denser in some regions than in others."""
    height, width = signal.shape
    crowding = _smooth_field(height, width, 300, rng)
    texture = _chromatin(rng)
    drawn = 0
    for _ in range(4 * count):  # some places are taken or sparse; where it is too crowded, fewer are drawn
        if drawn >= count:
            break
        y, x = rng.uniform(-10, height + 10), rng.uniform(-10, width + 10)
        row, column = min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)
        if crowding[row, column] < rng.normal(0, 0.6):
            continue
        level = float(np.exp(rng.normal(0, 0.15)))
        for _ in range(rng.geometric(1 / conditions.clustering)):
            nucleus = _Nucleus.draw(y, x, level, conditions, rng)
            drawn += nucleus.paint(signal, labels, drawn + 1, texture, rng)
            step, angle = 1.9 * nucleus.major * rng.uniform(0.75, 1.05), rng.uniform(0, 2 * np.pi)
            y, x = y + step * np.sin(angle), x + step * np.cos(angle)
            if drawn >= count:
                break


@dataclass(frozen=True)
class _Nucleus:
    """One nucleus: an ellipse whose radius is changed by a few low frequencies; lengths in pixels."""

    y: float
    x: float
    major: float
    minor: float
    angle: float
    waves: Floats  # (3, 2): amplitude and phase of the frequencies 2, 3, 4 around the outline
    brightness: float
    blur: float
    contrast: float

    @classmethod
    def draw(cls, y: float, x: float, level: float, conditions: Conditions, rng: np.random.Generator) -> _Nucleus:
        radius = conditions.radius * float(np.exp(rng.normal(0, 0.18)))
        stretch = rng.uniform(1.0, 1.35)
        brightness = conditions.brightness * level * float(np.exp(rng.normal(0, conditions.spread)))
        blur, contrast = rng.uniform(0.7, 1.3), rng.uniform(0.15, 0.35)
        kind = rng.random()
        if kind < 0.03:  # in division: condensed and bright
            radius, stretch, brightness = 0.65 * radius, rng.uniform(1.6, 2.4), 2.2 * brightness
        elif kind < 0.03 + conditions.defocus:
            blur, contrast, brightness = rng.uniform(2.0, 4.5), 0.4 * contrast, 0.7 * brightness
        waves = np.stack([rng.normal(0, (0.05, 0.035, 0.02)), rng.uniform(0, 2 * np.pi, 3)], axis=1)
        return cls(
            y=y,
            x=x,
            major=radius * np.sqrt(stretch),
            minor=radius / np.sqrt(stretch),
            angle=rng.uniform(0, np.pi),
            waves=waves.astype(np.float32),
            brightness=brightness,
            blur=blur,
            contrast=contrast,
        )

    def paint(
        self, signal: Floats, labels: NDArray[Any], label: int, texture: Floats, rng: np.random.Generator
    ) -> bool:
        """Add the nucleus to the image and its label where nothing is yet; return False if its place is taken."""
        reach = 1.2 * self.major + 3 * self.blur
        top, bottom = max(int(self.y - reach), 0), min(int(self.y + reach) + 1, labels.shape[0])
        left, right = max(int(self.x - reach), 0), min(int(self.x + reach) + 1, labels.shape[1])
        if top >= bottom or left >= right:
            return False
        depth = self._depth(top, bottom, left, right)
        inside = depth > 0
        window = labels[top:bottom, left:right]
        area = np.count_nonzero(inside)
        taken = np.count_nonzero(window[inside])
        if area < 12 or taken > 0.12 * area:
            return False
        window[inside & (window == 0)] = label
        signal[top:bottom, left:right] += self._light(depth, texture, rng)
        return True

    def _depth(self, top: int, bottom: int, left: int, right: int) -> Floats:
        """Return the depth (h, w) under the outline: about the pixels to it, negative outside."""
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(self.y)
        dx = np.arange(left, right, dtype=np.float32)[None] - np.float32(self.x)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u, v = (dx * cos + dy * sin) / np.float32(self.major), (dy * cos - dx * sin) / np.float32(self.minor)
        radius, theta = np.hypot(u, v), np.arctan2(v, u)
        outline = np.ones_like(radius)
        for frequency, (amplitude, phase) in zip((2, 3, 4), self.waves, strict=True):
            outline += amplitude * np.cos(frequency * theta + phase)
        depth: Floats = (outline - radius) * np.float32(self.minor)
        return depth

    def _light(self, depth: Floats, texture: Floats, rng: np.random.Generator) -> Floats:
        """Return the light (h, w) of the nucleus: thicker in the middle, textured inside, soft at the rim."""
        height, width = depth.shape
        row, column = rng.integers(0, TEXTURE_SIZE - height), rng.integers(0, TEXTURE_SIZE - width)
        chromatin = texture[row : row + height, column : column + width]
        dome = 0.72 + 0.28 * np.sqrt(np.clip(depth / self.minor, 0, 1))
        rim = 1 / (1 + np.exp(np.clip(-1.7 * depth / self.blur, -30, 30)))
        light: Floats = self.brightness * rim * dome * np.clip(1 + self.contrast * chromatin, 0.3, None)
        return light


def _chromatin(rng: np.random.Generator) -> Floats:
    """Return a texture of mean 0 and standard deviation about 1: fine and coarse grains, with darker nucleoli."""
    noise = rng.standard_normal((3, TEXTURE_SIZE, TEXTURE_SIZE), np.float32)
    fine, coarse, blobs = (
        layer / layer.std()
        for layer in (cv2.GaussianBlur(noise[i], (0, 0), sigma) for i, sigma in enumerate((1.2, 3.0, 2.2)))
    )
    nucleoli = cv2.GaussianBlur((blobs > 1.9).astype(np.float32), (0, 0), 1.2)
    texture = 0.55 * fine + 0.75 * coarse - 1.8 * nucleoli
    centred: Floats = (texture - texture.mean()).astype(np.float32)
    return centred


def _smooth_field(height: int, width: int, scale: float, rng: np.random.Generator) -> Floats:
    """Return a random field (H, W) of about mean 0 and standard deviation 1 that varies over `scale` pixels."""
    coarse = rng.standard_normal((int(height / scale) + 3, int(width / scale) + 3), np.float32)
    rows, columns = height / scale, width / scale
    start_y, start_x = rng.uniform(0.5, 1.0, 2)
    grid_y = np.linspace(start_y, start_y + rows, max(int(height / 16), 2), dtype=np.float32)
    grid_x = np.linspace(start_x, start_x + columns, max(int(width / 16), 2), dtype=np.float32)
    maps = np.meshgrid(grid_x, grid_y)
    field = cv2.remap(coarse, maps[0], maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _add_haze(signal: Floats, conditions: Conditions, rng: np.random.Generator) -> None:
    """Add, in place, the glow around the nuclei and the light of the medium and of layers out of focus."""
    height, width = signal.shape
    small = cv2.resize(signal, (max(width // 8, 1), max(height // 8, 1)), interpolation=cv2.INTER_AREA)
    for sigma, share in ((2.0, 0.12), (8.0, 0.25)):  # in pixels of the small image, an eighth of the size
        glow = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        signal += np.float32(share) * cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
    clouds = np.exp(0.5 * _smooth_field(height, width, 180, rng))
    signal += np.float32(conditions.haze * conditions.brightness) * clouds


def _illumination(height: int, width: int, vignette: float, rng: np.random.Generator) -> Floats:
    """Return the light's evenness (H, W): 1 at the brightest place, 1 - vignette at the darkest."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.4, 0.4))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] - np.float32(rng.uniform(-0.4, 0.4))
    tilt = rng.normal(0, 0.35, 2).astype(np.float32)
    light = -(y**2 + x**2) / 2 + tilt[0] * y + tilt[1] * x + np.float32(0.08) * _smooth_field(height, width, 500, rng)
    low, high = float(light.min()), float(light.max())
    evenness: Floats = np.float32(1) - np.float32(vignette) * (np.float32(high) - light) / np.float32(
        max(high - low, 1e-6)
    )
    return evenness


def _photograph(signal: Floats, conditions: Conditions, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the camera's image of the light: photon noise, read noise, offset, 16 bits."""
    image = np.empty(signal.shape, np.uint16)
    for top in range(0, signal.shape[0], NOISE_BAND_ROWS):
        rows = slice(top, top + NOISE_BAND_ROWS)
        electrons = rng.poisson(signal[rows] / conditions.gain).astype(np.float32)
        counts = electrons * np.float32(conditions.gain) + np.float32(conditions.offset)
        counts += np.float32(conditions.read_noise) * rng.standard_normal(counts.shape, np.float32)
        image[rows] = np.clip(counts, 0, 65535).round().astype(np.uint16)
    return image
