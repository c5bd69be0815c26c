"""How well hidden pixels are restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class SquaredErrors(NamedTuple):
    """Sums of squares over pixels, as tensors of one number.

    Attributes:
        error: Differences between restored and clean pixels.
        variation: Differences between clean pixels and the mean of their crop.
    """

    error: Tensor
    variation: Tensor


def restored_share(squares: SquaredErrors) -> Tensor:
    """Return the share of the variance that is restored (R2), at most 1."""
    return 1 - squares.error / squares.variation.clamp(min=1e-12)
