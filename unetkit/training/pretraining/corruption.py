"""How an image is damaged before it is shown to a network that has to restore it."""

from __future__ import annotations

from dataclasses import dataclass

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


def corrupt(clean: Tensor, corruption: Corruption, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Damage a batch of images.

    Args:
        clean: (N, C, h, w) float32, normalised.
        corruption: How they are damaged.
        generator: Decides where and how much; on the device of the images.

    Returns:
        Damaged copy (N, C, h, w), and which pixels are hidden: (N, 1, h, w) bool, the same for all channels.
    """
    count = len(clean)
    spread, mean = torch.std_mean(clean, (1, 2, 3), keepdim=True, correction=0)
    low, high = corruption.noise
    share = low + (high - low) * torch.rand(count, 1, 1, 1, device=clean.device, generator=generator)
    noise = torch.randn(clean.shape, device=clean.device, generator=generator)
    draws = _draw_squares(clean, corruption.square, generator)
    hidden = draws < corruption.hidden
    blurred = draws < corruption.hidden * corruption.blurred
    side = corruption.square // 2 * 2 + 1
    smooth = functional.avg_pool2d(clean, side, stride=1, padding=side // 2, count_include_pad=False)
    filled = torch.where(hidden, torch.where(blurred, smooth, mean), clean)
    return filled + noise * share * spread, hidden


def _draw_squares(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return a number from 0 to 1 for each square of each image, as (N, 1, h, w); the first begin at a random place."""
    count, _, height, width = images.shape
    grid = (height // side + 2, width // side + 2)
    numbers = torch.rand(count, 1, *grid, device=images.device, generator=generator)
    pixels = numbers.repeat_interleave(side, 2).repeat_interleave(side, 3)
    top, left = torch.randint(side, (2,), device=images.device, generator=generator).tolist()
    return pixels[:, :, top : top + height, left : left + width]
