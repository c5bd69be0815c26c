"""Augmentation of a crop and its mask together: named presets, every parameter open."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, closest

# Importing albumentations asks a server for its newest version unless this is set; training must not need a network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A  # noqa: N812

_LEAST_OF_PAIRS = {"scale": 0.1, "gamma": 0.1, "noise": 0.0, "blur": 0.0, "object_gain": 0.1}
"""Least possible `low` of the parameters that are a pair (low, high)."""

_BOUNDS = {
    "rotate_degrees": (0.0, 180.0),
    "shear_degrees": (0.0, 60.0),
    "elastic_displacement": (0.0, 100.0),
    "elastic_spacing": (4.0, 1000.0),
    "hue": (0.0, 180.0),
    "shift": (0.0, 1000.0),
}
"""Bounds of parameters that are one number. All others are shares or probabilities, 0 to 1."""

OF_VOLUMES = ("flip_depth", "shift", "shift_probability", "missing", "missing_probability")
"""Parameters that have a meaning for volumes, and for neighbouring planes that are seen at once."""

OF_SINGLE_PLANES = (
    "stain", "stain_shift", "brown", "stain_probability", "object_gain", "object_gain_probability",
)  # fmt: skip
"""Parameters that have a meaning only where a single plane is seen."""


def _problem(name: str, value: Any) -> str:
    """Return what the value should be; "" if it is possible."""
    if name in _LEAST_OF_PAIRS:
        least, most = _LEAST_OF_PAIRS[name], 1.0 if name == "noise" else 10.0
        numbers = isinstance(value, tuple) and len(value) == 2 and all(_is_number(part) for part in value)
        fine = numbers and least <= value[0] <= value[1] <= most
        return "" if fine else f"two numbers, the lower first, between {least:g} and {most:g}"
    if value is None and name in ("flip_vertical", "flip_depth"):
        return ""
    least, most = _BOUNDS.get(name, (0.0, 1.0))
    return "" if _is_number(value) and least <= value <= most else f"a number from {least:g} to {most:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Augmentation:
    """How training crops are varied. The range of an image is its 0.1 to 99.9 percentile.

    Args:
        flip: Probability of a mirror image, for each axis.
        flip_vertical: Probability of a mirror image from top to bottom; by default that of `flip`. 0 for images that
            are never upside down, such as chest films.
        flip_depth: Probability of a mirror image of a volume, or of neighbouring planes, along z; by default that of
            `flip`.
        rotate90: Probability of a random number of quarter turns; of a volume also across its planes, where a voxel is
            as long along z.
        scale: Smallest and largest magnification; each crop has its own, drawn evenly on a logarithmic scale. 2 shows
            objects twice as large. Whole images are magnified about their centre, and what is missing is reflected.
        rotate_degrees: Largest rotation to either side, in degrees; the corners are filled by reflection.
        rotate_probability: Probability of a rotation.
        shear_degrees: Largest slant of vertical lines to either side, in degrees; what is missing is reflected.
        shear_probability: Probability of a slant.
        elastic_displacement: Standard deviation of the displacement of the elastic control points, in pixels.
        elastic_spacing: Distance between the elastic control points, in pixels; smaller is rougher.
        elastic_probability: Probability of an elastic deformation.
        brightness: Largest shift to either side, as a share of the image's range.
        brightness_probability: Probability of a shift in brightness.
        contrast: Largest change of the gain, up or down, as a share: 0.2 is a gain of 0.8 to 1.2.
        contrast_probability: Probability of a change in contrast.
        gamma: Smallest and largest exponent, applied within the image's range.
        gamma_probability: Probability of a change in gamma.
        noise: Smallest and largest standard deviation of the added Gaussian noise, as a share of the image's range.
        noise_probability: Probability of added noise.
        blur: Smallest and largest standard deviation of the Gaussian blur, in pixels.
        blur_probability: Probability of a blur.
        hue: Largest shift of the hue to either side, in degrees; for images of 3 channels.
        saturation: Largest change of the saturation, up or down, as a share; for images of 3 channels.
        color_probability: Probability of a change in hue and saturation.
        gray_probability: Probability of showing the image in grey; for images of 3 channels.
        invert_probability: Probability of swapping dark and bright, as between bright field and fluorescence.
        stain: Largest change of the strength of hematoxylin, eosin and DAB, up or down, as a share; for single planes
            of 3 channels with a bright background.
        stain_shift: Largest amount of each of them that is added or taken away everywhere, as an optical density.
        brown: Share of the crops with other stains that are shown as brown immunohistochemistry (DAB).
        stain_probability: Probability of other stains.
        object_gain: Smallest and largest factor by which an object stands out from the background; each object of a
            crop has its own, drawn evenly on a logarithmic scale. For single planes.
        object_gain_probability: Probability of such factors.
        shift: Largest shift of planes of a volume against the others, along y and x, in pixels; for sections of
            electron microscopes. One plane is moved, or all from one on, with their masks.
        shift_probability: Probability of such a shift.
        missing: Share of the planes of a volume that are missing (black), where some are; their masks stay.
        missing_probability: Probability of missing planes.

    Raises:
        ConfigError: A value that has no meaning.
    """

    flip: float = 0.5
    flip_vertical: float | None = None
    flip_depth: float | None = None
    rotate90: float = 1.0
    scale: tuple[float, float] = (0.8, 1.25)
    rotate_degrees: float = 15.0
    rotate_probability: float = 0.3
    shear_degrees: float = 10.0
    shear_probability: float = 0.0
    elastic_displacement: float = 3.0
    elastic_spacing: float = 48.0
    elastic_probability: float = 0.3
    brightness: float = 0.1
    brightness_probability: float = 0.4
    contrast: float = 0.2
    contrast_probability: float = 0.4
    gamma: tuple[float, float] = (0.75, 1.33)
    gamma_probability: float = 0.3
    noise: tuple[float, float] = (0.005, 0.04)
    noise_probability: float = 0.2
    blur: tuple[float, float] = (0.3, 1.2)
    blur_probability: float = 0.2
    hue: float = 10.0
    saturation: float = 0.25
    color_probability: float = 0.3
    gray_probability: float = 0.0
    invert_probability: float = 0.0
    stain: float = 0.3
    stain_shift: float = 0.05
    brown: float = 0.3
    stain_probability: float = 0.0
    object_gain: tuple[float, float] = (0.4, 1.6)
    object_gain_probability: float = 0.0
    shift: float = 4.0
    shift_probability: float = 0.0
    missing: float = 0.1
    missing_probability: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            wanted = _problem(field.name, getattr(self, field.name))
            if wanted:
                raise ConfigError(
                    f"The augmentation option {field.name}: {getattr(self, field.name)} is not possible.",
                    f"Use {wanted}.",
                )


NO_AUGMENTATION = Augmentation(
    flip=0,
    rotate90=0,
    scale=(1, 1),
    rotate_probability=0,
    elastic_probability=0,
    brightness_probability=0,
    contrast_probability=0,
    gamma_probability=0,
    noise_probability=0,
    blur_probability=0,
    color_probability=0,
)

PRESETS: dict[str, Augmentation] = {
    "none": NO_AUGMENTATION,
    "light": replace(
        NO_AUGMENTATION,
        flip=0.5,
        rotate90=1.0,
        scale=(0.9, 1.1),
        brightness=0.05,
        brightness_probability=0.3,
        contrast=0.1,
        contrast_probability=0.3,
    ),
    "standard": Augmentation(),
    "strong": Augmentation(
        scale=(0.65, 1.5),
        rotate_degrees=45,
        rotate_probability=0.4,
        elastic_displacement=4.0,
        elastic_probability=0.4,
        brightness=0.2,
        brightness_probability=0.5,
        contrast=0.3,
        contrast_probability=0.5,
        gamma=(0.6, 1.67),
        gamma_probability=0.4,
        noise=(0.01, 0.1),
        noise_probability=0.3,
        blur=(0.5, 2.0),
        blur_probability=0.3,
        hue=25.0,
        saturation=0.5,
        color_probability=0.5,
        invert_probability=0.1,
        shift_probability=0.1,
        missing_probability=0.1,
    ),
}
"""Levels of augmentation: "none", "light" (flips, turns, slight light), "standard", "strong" (few or varied images)."""


def resolve_augmentation(preset: str, options: dict[str, Any] | None = None) -> Augmentation:
    """Return a preset with some of its parameters replaced.

    Args:
        preset: A name in `PRESETS`.
        options: Values by parameter of `Augmentation`.

    Raises:
        ConfigError: An unknown preset or parameter (naming the closest), or a value that has no meaning.
    """
    if preset not in PRESETS:
        raise ConfigError(f"There is no augmentation '{preset}'.", closest(preset, PRESETS))
    known = [field.name for field in fields(Augmentation)]
    values: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if name not in known:
            raise ConfigError(f"There is no augmentation option '{name}'.", closest(name, known))
        values[name] = tuple(value) if isinstance(value, list) else value
    return replace(PRESETS[preset], **values)


class Transform:
    """Varies a crop and its mask together; its result depends on its arguments only.

    Pixels outside the image's range (hot pixels, sparse bright spots) keep their distance from it through changes of
    light, so nothing is clipped away that the network would see in a real image.

    Args:
        augmentation: What to vary; `scale` is applied where crops are cut.
        channels: Number of channels of the images, any.
        planes: Number of planes that a crop has, one after the other; all are varied alike.
    """

    def __init__(self, augmentation: Augmentation, channels: int, planes: int = 1) -> None:
        self._channels = channels * planes
        self._geometry = A.Compose(_geometry(augmentation), is_check_shapes=False)
        self._light = A.Compose(light(augmentation, channels), is_check_shapes=False)

    def __call__(
        self, pixels: NDArray[np.float32], mask: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return a varied crop.

        Args:
            pixels: (C, h, w) with the image's range at 0 to 1.
            mask: (h, w) uint8, uint16 or int16, or (h, w, k) float32; sampled by nearest neighbour. Borders of both are
                reflected.
            rng: Source of all random numbers.

        Returns:
            New pixels and mask of the same types; h and w change places after a quarter turn.
        """
        # Compose.set_random_seed would give every step the same seed, and so have them all happen to the same crops.
        shared = random.Random(int(rng.integers(2**63)))
        self._geometry.set_random_state(rng, shared)
        self._light.set_random_state(rng, shared)
        moved = self._geometry(image=np.ascontiguousarray(pixels.transpose(1, 2, 0)), mask=mask)
        inside = np.clip(moved["image"], 0.0, 1.0)
        outside = moved["image"] - inside
        lit = self._light(image=inside)["image"] + outside
        mask = np.ascontiguousarray(moved["mask"])
        return np.ascontiguousarray(lit.reshape(*mask.shape[:2], self._channels).transpose(2, 0, 1)), mask


class _Elastic(A.ElasticTransform):  # type: ignore[misc]  # albumentations has no types
    """Random displacements of coarse control points with cubic interpolation, as in the U-Net paper (MICCAI 2015).

    Albumentations' own field, blurred noise, is several times stronger at the borders than inside, and slower.
    """

    def __init__(self, displacement: float, spacing: float, p: float) -> None:
        super().__init__(border_mode=cv2.BORDER_REFLECT_101, p=p)
        self._displacement = displacement
        self._spacing = spacing

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the place (x, y) in the input for each pixel of the output."""
        size = params["shape"][:2]
        points = [ceil(length / self._spacing) + 4 for length in size]  # 2 beyond each end, where cubics are cut off
        full = [round(count * self._spacing) for count in points]
        top, left = (int(self.random_generator.integers(t - n + 1)) for t, n in zip(full, size, strict=True))
        maps = []
        for positions in np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size[::-1])):
            coarse = self.random_generator.normal(0, self._displacement, points).astype(np.float32)
            # One axis after the other, and of the first only what is cut out: the same field in half of the time.
            wide = cv2.resize(coarse, (full[1], points[0]), interpolation=cv2.INTER_CUBIC)[:, left : left + size[1]]
            field = cv2.resize(wide, (size[1], full[0]), interpolation=cv2.INTER_CUBIC)[top : top + size[0]]
            maps.append(positions + field)
        return {"map_x": maps[0], "map_y": maps[1]}


class _EachPlane:
    """A step for colours on planes of 3 channels, one after the other: it sees them as one image, side by side."""

    def apply(self, img: NDArray[Any], **params: Any) -> NDArray[Any]:
        """Return the image (h, w, planes * 3) with the step applied to each plane."""
        height, width, channels = img.shape
        below = img.reshape(height, width, -1, 3).transpose(2, 0, 1, 3).reshape(-1, width, 3)
        varied: NDArray[Any] = super().apply(below, **params)  # type: ignore[misc]  # that of the step
        return varied.reshape(-1, height, width, 3).transpose(1, 2, 0, 3).reshape(height, width, channels)


class _Jitter(_EachPlane, A.ColorJitter):  # type: ignore[misc]  # albumentations has no types
    """Changes of colours."""


class _Gray(_EachPlane, A.ToGray):  # type: ignore[misc]  # albumentations has no types
    """Colours shown in grey."""


def _geometry(augmentation: Augmentation) -> list[Any]:
    """Steps that move the pixels of a plane, for image and mask."""
    upside_down = augmentation.flip if augmentation.flip_vertical is None else augmentation.flip_vertical
    return [
        A.HorizontalFlip(p=augmentation.flip),
        A.VerticalFlip(p=upside_down),
        A.RandomRotate90(p=augmentation.rotate90),
        *bends(augmentation),
    ]


def bends(augmentation: Augmentation) -> list[Any]:
    """Return the steps that resample a plane; inverting is here because it also holds outside the unit range."""
    slant = augmentation.shear_degrees
    shear = A.Affine(
        shear={"x": (-slant, slant), "y": 0}, border_mode=cv2.BORDER_REFLECT_101, p=augmentation.shear_probability
    )
    return [
        A.Rotate(
            limit=augmentation.rotate_degrees,
            border_mode=cv2.BORDER_REFLECT_101,
            p=augmentation.rotate_probability,
        ),
        *([shear] if augmentation.shear_probability else []),  # without it the others draw what they always drew
        _Elastic(augmentation.elastic_displacement, augmentation.elastic_spacing, p=augmentation.elastic_probability),
        A.InvertImg(p=augmentation.invert_probability),
    ]


def light(augmentation: Augmentation, channels: int) -> list[Any]:
    """Return the steps that change values, for the image alone: what the optics do first, the detector's noise last."""
    low, high = augmentation.gamma
    steps: list[Any] = [
        A.GaussianBlur(sigma_limit=augmentation.blur, blur_limit=0, p=augmentation.blur_probability),
        A.RandomGamma(gamma_limit=(100 * low, 100 * high), p=augmentation.gamma_probability),
        A.RandomBrightnessContrast(
            brightness_limit=0, contrast_limit=augmentation.contrast, p=augmentation.contrast_probability
        ),
        A.RandomBrightnessContrast(
            brightness_limit=augmentation.brightness, contrast_limit=0, p=augmentation.brightness_probability
        ),
        A.GaussNoise(std_range=augmentation.noise, p=augmentation.noise_probability),
    ]
    if channels == 3:
        color = _Jitter(
            brightness=(1, 1),
            contrast=(1, 1),
            saturation=(1 - augmentation.saturation, 1 + augmentation.saturation),
            hue=(-augmentation.hue / 360, augmentation.hue / 360),
            p=augmentation.color_probability,
        )
        steps.insert(2, color)
        steps.append(_Gray(p=augmentation.gray_probability))  # after the noise, so that all channels share it
    return steps
