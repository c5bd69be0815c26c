"""How an image is damaged before it is shown to a network that has to restore it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class Corruption:
    """What is done to an image that has to be restored: noise over all of it, and squares that are hidden.

    To fill in the squares, a network has to learn what the surroundings reveal about them (Pathak et al. 2016,
    https://arxiv.org/abs/1604.07379).

    Args:
        noise: Smallest and largest standard deviation of the added Gaussian noise, as a share of the crop's own
            standard deviation; each crop has its own.
        hidden: Share of the squares that are hidden, 0 to 1.
        square: Side of a square in pixels.
        blurred: Share of the hidden squares, 0 to 1, that are blurred; the others are filled with the crop's mean.

    Raises:
        ConfigError: A value that has no meaning.
    """

    noise: tuple[float, float] = (0.0, 0.3)
    hidden: float = 0.3
    square: int = 16
    blurred: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ConfigError(
                f"corruption.noise: {list(self.noise)} is not possible.",
                "Give two numbers, the lower first, from 0 up.",
            )
        for name in ("hidden", "blurred"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"corruption.{name}: {getattr(self, name):g} is not possible.", "Use 0 to 1.")
        if self.square < 2:
            raise ConfigError(f"corruption.square: {self.square} is not possible.", "Use 2 or more.")


def box_sides(square: int, voxel: tuple[float, ...] | None, axes: int) -> tuple[int, ...]:
    """Return the sides, in pixels, of a square or box that is about as long along each axis.

    Args:
        square: Side along the axes with the smallest pixels.
        voxel: Size of a pixel along each axis; None where it is not known: then as for squares and cubes.
        axes: Number of axes.

    Example:
        >>> box_sides(16, (2.0, 0.5, 0.5), 3)
        (4, 16, 16)
    """
    if voxel is None:
        return (square,) * axes
    return tuple(max(1, round(square * min(voxel) / one)) for one in voxel)


def corrupt(
    clean: Tensor, corruption: Corruption, generator: torch.Generator, voxel: tuple[float, ...] | None = None
) -> tuple[Tensor, Tensor]:
    """Damage a batch of images or volumes.

    Args:
        clean: (N, C, ...) float32, normalised.
        corruption: How they are damaged.
        generator: Decides where and how much; on the device of the images.
        voxel: Size of a pixel along each axis, if it is known, so that boxes are hidden which are as long along each.

    Returns:
        Damaged copy (N, C, ...), and which pixels are hidden: (N, 1, ...) bool, the same for all channels.
    """
    axes = clean.dim() - 2
    count, each = len(clean), (1,) * (axes + 1)
    spread, mean = torch.std_mean(clean, tuple(range(1, clean.dim())), keepdim=True, correction=0)
    low, high = corruption.noise
    share = low + (high - low) * torch.rand(count, *each, device=clean.device, generator=generator)
    noise = torch.randn(clean.shape, device=clean.device, generator=generator)
    sides = box_sides(corruption.square, voxel, axes)
    draws = _draw_boxes(clean, sides, generator)
    hidden = draws < corruption.hidden
    blurred = draws < corruption.hidden * corruption.blurred
    kernel = [side // 2 * 2 + 1 for side in sides]
    pool: Any = functional.avg_pool2d if axes == 2 else functional.avg_pool3d
    smooth = pool(clean, kernel, stride=1, padding=[side // 2 for side in kernel], count_include_pad=False)
    filled = torch.where(hidden, torch.where(blurred, smooth, mean), clean)
    return filled + noise * share * spread, hidden


def _draw_boxes(images: Tensor, sides: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return a number from 0 to 1 for each box of each image, as (N, 1, ...); the first begin at a random place."""
    size = images.shape[2:]
    grid = [length // side + 2 for length, side in zip(size, sides, strict=True)]
    pixels = torch.rand(len(images), 1, *grid, device=images.device, generator=generator)
    for axis, side in enumerate(sides, 2):
        pixels = pixels.repeat_interleave(side, axis)
    if len(set(sides)) == 1:
        starts = torch.randint(sides[0], (len(sides),), device=images.device, generator=generator).tolist()
    else:
        starts = [int(torch.randint(side, (1,), device=images.device, generator=generator)) for side in sides]
    return pixels[:, :, *(slice(start, start + length) for start, length in zip(starts, size, strict=True))]
