"""One step of smp's expanding path, in any number of axes."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, cat
from torch.nn.functional import interpolate

Factors = tuple[tuple[int, ...], ...]
"""By how much each block raises the resolution along each axis, the deepest block first."""


def upsample(block: Any, features: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Raise the resolution of features as a decoder block does, by a factor along each axis."""
    return interpolate(features, scale_factor=[float(factor) for factor in factors], mode=block.interpolation_mode)


def run_block(block: Any, features: Tensor, skip: Tensor | None, factors: tuple[int, ...]) -> Tensor:
    """Raise the resolution of features and join the skip features of that resolution.

    Args:
        block: A decoder block of smp's U-Net, its layers for as many axes as `features` has.
        features: (N, C, ...) of the block before.
        skip: (N, C, ...) of the encoder; None for the last block.
        factors: By how much the resolution rises along each axis.
    """
    raised = upsample(block, features, factors)
    if skip is not None:
        raised = block.attention1(cat([raised, skip], dim=1))
    result: Tensor = block.attention2(block.conv2(block.conv1(raised)))
    return result


def factors_of(unet: smp.Unet) -> Factors:
    """Return the factors of a U-Net's expanding path: those of a network of volumes, or 2 along both axes of planes."""
    factors: Factors = getattr(unet.decoder, "factors", ((2, 2),) * len(unet.decoder.blocks))
    return factors
