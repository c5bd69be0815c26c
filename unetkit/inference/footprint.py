"""How much memory predicting takes, estimated from the network and the sizes of what flows through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unetkit.backends.registry import BackendName
from unetkit.inference.engine import IN_FLIGHT, QUEUED_BATCHES
from unetkit.inference.grid import make_grid
from unetkit.io.image import ImageInfo

PROBE_SIZE = 512
"""Height and width of the window on which the features of a network are counted: that of a usual tile, since a network
that extends its window by itself has more for each pixel of a small one."""

OVERHEAD: dict[BackendName, tuple[float, float]] = {
    "torch": (1.9, 1.4),
    "compile": (1.9, 3.0),
    "onnxruntime": (2.1, 5.0),
    "openvino": (1.3, 2.5),
}
"""Memory for features, in sizes of those that must be there together, and for weights, in sizes of the weights: at most
so much was measured on ResNet-18, 34 and 50."""

RUNTIME_BYTES: dict[BackendName, int] = {
    "torch": 0,
    "compile": 3 * 10**8,
    "onnxruntime": 10**8,
    "openvino": 4 * 10**8,
}
"""Memory of a backend's own code; of OpenVINO also what converting a model takes."""

SINK_ROWS = 1024
"""Rows of the output that wait to be encoded, at most."""


@dataclass(frozen=True)
class Footprint:
    """What the memory of a run depends on.

    Attributes:
        features: Bytes of float32 features for each pixel of a window that must be there together.
        weights: Bytes of the weights of all models.
        itemsize: Bytes of a number that the network computes with.
        pixel: Bytes of a raw pixel, all channels.
        predicted: Bytes of a predicted pixel.
        halo: Context around a tile, in pixels.
        stride: Of the networks.
        owned: Whether the models may be changed, so that PyTorch needs no copy of their weights.
    """

    features: float
    weights: int
    itemsize: int
    pixel: int
    predicted: int
    halo: int
    stride: int
    owned: bool

    def network(self, backend: BackendName, tile: int, batch: int) -> int:
        """Return the bytes that the network takes for windows of this size."""
        factor, copies = OVERHEAD[backend]
        if self.owned and backend in ("torch", "compile"):
            copies -= 1
        features = self.features * self.itemsize / 4 * factor * tile * tile * batch
        return int(features + copies * self.weights + RUNTIME_BYTES[backend])

    def pipeline(self, tile: int, batch: int, height: int, width: int) -> int:
        """Return the bytes of windows and bands that are in the pipeline for an image of this size."""
        grid = make_grid(height, width, tile=tile, halo=self.halo, stride=self.stride)
        window = grid.window[0] * grid.window[1]
        batches = QUEUED_BATCHES + IN_FLIGHT + 2  # one is being read, one is in the network
        band = max(row.core_stop - row.core_start for row in grid.rows) * width
        rows = 2 * band + min(SINK_ROWS, height) * width
        return batches * batch * window * (self.pixel + self.predicted) + rows * self.predicted


def measure_features(network: nn.Module, channels: int) -> float:
    """Return the bytes of float32 features for each pixel that must be in memory together.

    These are the largest input and output of a layer, and the features that the expanding path will need. Nothing is
    computed: the network runs on shapes alone.
    """
    largest = held = 0

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
        nonlocal largest
        largest = max(largest, sum(tensor.numel() for tensor in (*inputs, output)))

    def watch_encoder(module: nn.Module, inputs: tuple[Tensor, ...], output: Sequence[Tensor]) -> None:  # noqa: ARG001
        nonlocal held
        held = sum(features.numel() for features in output[1:])

    hooks = [module.register_forward_hook(watch) for module in network.modules() if isinstance(module, nn.Conv2d)]
    encoder = getattr(network, "encoder", None)
    if isinstance(encoder, nn.Module):
        hooks.append(encoder.register_forward_hook(watch_encoder))
    shapes = {name: tensor.to("meta") for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    window = torch.empty(1, channels, PROBE_SIZE, PROBE_SIZE, device="meta")
    with torch.inference_mode():
        torch.func.functional_call(network, shapes, (window,))
    for hook in hooks:
        hook.remove()
    return 4 * (largest + held) / PROBE_SIZE**2


def pixel_bytes(info: ImageInfo, channels: int) -> int:
    """Return the bytes of a raw pixel of an image for a model of so many channels."""
    return channels * min(info.dtype.itemsize, 4)
