"""Estimate the memory for predicting, from the network and the sizes of the batches in the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, finalize

import torch
from torch import Tensor, UntypedStorage, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unetkit.backends.base import DTYPES, has_layers
from unetkit.backends.info import Precision
from unetkit.backends.registry import backend_info
from unetkit.inference.engine.pipeline import BATCHES_IN_FLIGHT, QUEUED_BATCHES
from unetkit.inference.tiling.blocks import largest_cross_section
from unetkit.inference.tiling.grid import PerAxis, make_grid
from unetkit.io.base.contracts import ImageInfo
from unetkit.models.trimmed import Kept, trim

SINK_ROWS = 1024
"""Largest number of rows of the output that wait to be encoded."""


GRAPH_PIXEL = 2048
"""Bytes of features for a pixel of a graph, which shows no layers: eight tensors of 64 channels, as in large U-Nets."""


@dataclass(frozen=True)
class Footprint:
    """The quantities on which the memory of a run depends.

    Attributes:
        features: Returns the bytes of float32 features that are in memory together, for a window of a size. The second
            argument is whether the tile is computed whole, or only its kept part at a corner of the image.
        weights: Bytes of the weights of all models.
        precision: Arithmetic of the network.
        pixel: Bytes of a raw pixel, all channels.
        predicted: Bytes of a predicted pixel.
        halo: Context around a tile, in pixels; one number, or one for each axis.
        stride: Stride of the networks; one number, or one for each axis.
        owned: Whether the models may be changed, so that a backend that takes their weights needs no copy.
    """

    features: Callable[[tuple[int, ...], bool], int]
    weights: int
    precision: Precision
    pixel: int
    predicted: int
    halo: PerAxis
    stride: PerAxis
    owned: bool

    def network(self, backend: str, window: tuple[int, ...], batch: int) -> int:
        """Return the bytes that the network takes on a backend for windows of this size."""
        info = backend_info(backend)
        copies = info.weight_overhead
        if self.owned and info.takes_weights:
            copies -= 1
        each = self.features(window, info.computes_whole_at_border)
        features = feature_bytes(each, backend, self.precision) * batch
        return int(features + copies * self.weights + info.runtime_bytes)

    def pipeline(self, tile: PerAxis, batch: int, size: tuple[int, ...]) -> int:
        """Return the bytes of windows and bands that are in the pipeline for an item of this size."""
        grid = make_grid(size, tile=tile, halo=self.halo, stride=self.stride)
        window = prod(grid.window)
        batches = QUEUED_BATCHES + BATCHES_IN_FLIGHT + 2  # one is being read, one is in the network
        across = largest_cross_section(grid, self.predicted)
        band = max(span.core_stop - span.core_start for span in grid.bands) * across
        waiting = 2 * band + min(SINK_ROWS * size[-1], size[0] * across)
        return batches * batch * window * (self.pixel + self.predicted) + waiting * self.predicted


def feature_bytes(features: int, backend: str, precision: Precision) -> int:
    """Return the bytes that a backend takes for features of so many bytes in float32."""
    itemsize = 1 if precision == "int8" else DTYPES[precision].itemsize
    return int(features * itemsize / 4 * backend_info(backend).feature_overhead)


def measure_features(network: nn.Module, channels: int, window: tuple[int, ...], kept: Kept) -> int:
    """Return the bytes of float32 features that are in memory together while the kept part of a window is predicted.

    Nothing is computed: the network runs on shapes alone, and its allocations are counted. The result is remembered as
    long as the network exists.
    """
    if not has_layers(network):
        return GRAPH_PIXEL * prod(window)
    known = _measured.setdefault(network, {})
    case = (channels, window, *((part.start, part.stop) for part in kept))
    if case not in known:
        known[case] = _measure(network, channels, window, kept)
    return known[case]


_measured: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], int]] = WeakKeyDictionary()


def _measure(network: nn.Module, channels: int, window: tuple[int, ...], kept: Kept) -> int:
    trimmed = trim(_skeleton(network))
    allocations = _Allocations()
    with torch.no_grad(), allocations:
        trimmed(torch.empty(1, channels, *window, device="meta"), trimmed.plan(window, kept).tolist())
    return allocations.most


def _skeleton(network: nn.Module) -> nn.Module:
    """Copy a network without its numbers, and without what its batch norms compute, which takes long on shapes."""
    # Detached: autograd's lock, held while it asks for the interpreter's, would stop threads that prepare the network.
    shapes = {id(tensor): tensor.detach().to("meta") for tensor in (*network.parameters(), *network.buffers())}
    skeleton = deepcopy(network, shapes)
    for module in list(skeleton.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
                setattr(module, name, _Allocate())
    return skeleton


class _Allocate(nn.Module):
    """Takes as much memory as a batch norm."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.empty_like(features)


class _Allocations(TorchDispatchMode):
    """Counts the memory of the tensors that are made.

    Attributes:
        most: Largest number of bytes that were there together.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._known: WeakSet[UntypedStorage] = WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: UntypedStorage) -> None:
        if storage in self._known:  # a view, or changed in place
            return
        self._known.add(storage)
        self._now += storage.nbytes()
        self.most = max(self.most, self._now)
        finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size: int) -> None:
        self._now -= size


def pixel_bytes(info: ImageInfo, channels: int) -> int:
    """Return the bytes of a raw pixel of an image for a model of so many channels."""
    return channels * min(info.dtype.itemsize, 4)
