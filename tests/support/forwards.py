"""A `Forward` without a plan, and backends that count or fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unetkit.backends.torch import TorchBackend
from unetkit.inference.engine.forward import Forward
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept

CPU = torch.device("cpu")
RAW = Statistics(np.zeros(1, np.float32), np.ones(1, np.float32))
"""Raw pixels are the input of the network."""


def make_forward(*segmenters: Segmenter, backends: Sequence[Any] | None = None, **choices: Any) -> Forward:
    """Return models in PyTorch on the CPU that predict masks, unless told otherwise."""
    spec = segmenters[0].spec
    usual = {
        "classes": spec.out_channels,
        "kind": "mask",
        "threshold": 0.5,
        "augment": False,
        "halo": 8,
        "stride": 8,
        "log": lambda sentence: None,
    }
    if backends is None:
        backends = [TorchBackend(segmenter, CPU, "fp32", owned=False) for segmenter in segmenters]
    return Forward(backends, **{**usual, **choices})


class Watched:
    """A model in PyTorch that does something before each call.

    Args:
        segmenter: The model.
        before: Called with the pixels (N, C, h, w).

    Attributes:
        shapes: Of the pixels of each call.
    """

    device = CPU
    memory_format = torch.channels_last

    def __init__(self, segmenter: Segmenter, before: Callable[[Tensor], None] = lambda pixels: None) -> None:
        self._inner = TorchBackend(segmenter, CPU, "fp32", owned=False)
        self._before = before
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        self.shapes.append(tuple(pixels.shape))
        self._before(pixels)
        return self._inner(pixels, center, scale, kept)


class Small(Watched):
    """A model on a device whose memory holds so many pixels."""

    def __init__(self, segmenter: Segmenter, largest: int) -> None:
        super().__init__(segmenter, self._check)
        self.largest = largest

    def _check(self, pixels: Tensor) -> None:
        if pixels.numel() > self.largest:
            raise torch.OutOfMemoryError("no room")
