"""Probabilities to a mask: the one rule, for tensors and for arrays."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

Pixels = TypeVar("Pixels", Tensor, NDArray[Any])


def to_mask(probabilities: Pixels, threshold: float, axis: int = 0) -> Pixels:
    """Decide what each pixel is.

    Args:
        probabilities: (classes, ...) of each class, or (1, ...) of the foreground, 0 to 1. Logits can be given
            with a threshold that is a logit too.
        threshold: Foreground probability from which a pixel is foreground; of no use for several classes.
        axis: Axis of the classes.

    Returns:
        The same without that axis: where the foreground is (bool), or the number of the most probable class (int64).
        The first of equally probable classes counts.

    Example:
        >>> import numpy as np
        >>> to_mask(np.array([[0.2, 0.5, 0.7]]), 0.5).tolist()
        [False, True, True]
        >>> to_mask(np.array([[0.1, 0.5], [0.9, 0.5]]), 0.5).tolist()
        [1, 0]
    """
    foreground: Any = (*[slice(None)] * axis, 0)
    several = probabilities.shape[axis] > 1
    mask: Pixels = probabilities.argmax(axis) if several else probabilities[foreground] >= threshold
    return mask
