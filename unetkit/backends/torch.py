"""PyTorch, as it is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from unetkit.backends.base import CONVOLUTIONS, DTYPES, CoreModel, fold_batch_norm, for_axes
from unetkit.backends.info import BackendInfo, Precision
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept


class TorchBackend:
    """A model in PyTorch.

    Args:
        segmenter: The model; it is moved to `device`.
        device: CPU, CUDA or MPS.
        precision: "fp32", "bf16" or "fp16".
        owned: Whether the segmenter's network may be changed, which saves a copy of the weights.
    """

    memory_format = torch.channels_last

    def __init__(self, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> None:
        self.device = device
        self._model = prepare(segmenter, device, precision, owned=owned)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch; see `Backend`."""
        cuts = self._model.network.plan(tuple(pixels.shape[2:]), kept)
        center, scale = (repeat_in_row(values, pixels) for values in (center, scale))
        return cast(Tensor, self._model(channels_last(pixels), center, scale, cuts.tolist()))

    def release(self) -> None:
        """Nothing to give back: PyTorch frees features when they have been used."""


def prepare(segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> CoreModel:
    """Return the graph of a model, ready for a device."""
    network = fold_batch_norm(segmenter.to(device).eval().network, segmenter.spec.network_inputs, in_place=owned)
    model = CoreModel(segmenter, network, DTYPES[precision]).eval()
    for module in model.modules():  # one after the other, so that no second copy of all weights comes to be
        if isinstance(module, CONVOLUTIONS):
            module.to(memory_format=for_axes(torch.channels_last, module.weight.dim() - 2))
    return model


def channels_last(pixels: Tensor) -> Tensor:
    """Return the same pixels with the channels of a pixel side by side in memory, as convolutions like it."""
    return pixels.contiguous(memory_format=for_axes(torch.channels_last, pixels.dim() - 2))


def repeat_in_row(values: Tensor, pixels: Tensor) -> Tensor:
    """Return values (N, C) as a row (N, C, ..., 1, width) of channels_last pixels: one long loop, not many short."""
    axes = pixels.dim() - 2
    row = values[:, :, *[None] * axes].expand(-1, -1, *[1] * (axes - 1), pixels.shape[-1])
    return channels_last(row)


INFO = BackendInfo(
    name="torch",
    create=TorchBackend,
    precisions={"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16"), "mps": ("fp32", "fp16")},
    creation_seconds=0.3,
    feature_overhead=1.0,  # with both no run of a U-Net on ResNet-18 or 34 was measured above its bound on a CPU
    weight_overhead=1.8,
    candidate_on=("cpu", "cuda", "mps"),
    foreign=("smp", "torchscript", "onnx"),
    takes_weights=True,
)
