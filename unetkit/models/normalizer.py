"""Normalizer: the first layer of every model. Raw pixels in, network input out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetkit.models.normalization import Normalization
from unetkit.models.statistics import Statistics, measure_statistics


class Normalizer(nn.Module):
    """Computes `(pixels - center) / scale`, on whatever device the pixels are, and clips it where that is asked for.

    Args:
        normalization: How the values are measured. With scope "dataset" its `center` and `scale` are used.
        planes: Planes that the network sees at once; the values of the middle one are those of all.
    """

    _ends: Tensor

    def __init__(self, normalization: Normalization, planes: int = 1) -> None:
        super().__init__()
        self.normalization = normalization
        self.planes = planes
        self._clips = normalization.window is not None or normalization.clip is not None
        self.register_buffer("_ends", torch.from_numpy(_ends(normalization)), persistent=False)

    @property
    def stored(self) -> Statistics | None:
        """The values of the training images, with scope "dataset"; None where every image is measured."""
        fixed = self.normalization
        if fixed.scope != "dataset" or fixed.center is None or fixed.scale is None:
            return None
        return Statistics(np.asarray(fixed.center, np.float32), np.asarray(fixed.scale, np.float32))

    def statistics(self, sample: NDArray[Any]) -> Statistics:
        """Return the values (planes * C,) for one image.

        Args:
            sample: (C, n) raw pixels that stand for the image (see `sample_pixels`), or for the middle one of its
                planes.
        """
        stored = self.stored
        return (measure_statistics(sample, self.normalization) if stored is None else stored).for_planes(self.planes)

    def forward(self, pixels: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            pixels: (N, C, ...) raw values of any real dtype.
            center: (N, C) float32, or (N, C, ..., 1, w) with each value repeated along a row.
            scale: (N, C) float32, or (N, C, ..., 1, w).

        Returns:
            (N, C, ...) float32.
        """
        if center.dim() == 2:
            each = (slice(None), slice(None), *[None] * (pixels.dim() - 2))
            center, scale = center[each], scale[each]
        if pixels.dtype == torch.float32:
            normalized = (pixels - center) / scale
        else:
            normalized = pixels.to(torch.float32).sub_(center).div_(scale)  # a copy: it may be changed
        if not self._clips:
            return normalized
        ends = self._ends.repeat(1, pixels.shape[1] // self._ends.shape[1])  # neighbouring planes follow each other
        each = (None, slice(None), *[None] * (pixels.dim() - 2))
        return torch.minimum(torch.maximum(normalized, ends[0][each]), ends[1][each])


def _ends(normalization: Normalization) -> NDArray[np.float32]:
    """Return the lowest and the highest network input (2, C), or (2, 1) for all channels; infinite without clipping."""
    if normalization.window is not None:
        return np.array([[0], [1]], np.float32)
    if normalization.clip is None or normalization.center is None or normalization.scale is None:
        return np.array([[-np.inf], [np.inf]], np.float32)
    ends = (np.array(normalization.clip).T - np.array(normalization.center)) / np.array(normalization.scale)
    return np.asarray(ends, np.float32)
