"""The interface of a backend, and the graph that every backend runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unetkit.models.segmenter import Segmenter, to_probabilities
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import Kept, trim

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Types in which a network computes, by precision."""

Probe = tuple[Tensor, Tensor, Tensor, Kept]
"""Arguments of a backend: windows (N, C, ...) of raw pixels, center, scale, kept part."""

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
"""Convolutions of planes and of volumes."""

PROBE_SIZE = 32
"""Size along each axis of the window that shows in which order the layers of a network run."""


class Backend(Protocol):
    """A model on a runtime, for several threads at a time.

    Attributes:
        device: Device of its windows and its probabilities.
        memory_format: Layout of the windows that it need not convert; it takes any.
    """

    device: torch.device
    memory_format: torch.memory_format

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch of windows.

        Args:
            pixels: (N, C, ...) raw pixels on `device`; their sizes are multiples of the encoder's strides.
            center: (N, C) float32 normalisation values on `device`.
            scale: (N, C) float32 normalisation values on `device`.
            kept: Part of the windows to predict.

        Returns:
            (N, network_channels, *kept), float32, on `device`, valid until the next call:
            probabilities, and the distance map of a model with instances.
        """

    def release(self) -> None:
        """Give back the memory that windows took; the next call takes it again."""


class CoreModel(nn.Module):
    """Raw windows in, probabilities of their kept part out.

    Args:
        segmenter: The model.
        network: The network to use in place of the segmenter's own, for example with its batch norm folded.
        dtype: Type that the network computes in.
        logits: Whether logits come out in place of probabilities.
    """

    def __init__(
        self, segmenter: Segmenter, network: nn.Module, dtype: torch.dtype = torch.float32, *, logits: bool = False
    ) -> None:
        super().__init__()
        self.spec = segmenter.spec
        self.normalizer = segmenter.normalizer
        self.network = trim(network).to(dtype)
        self.dtype = dtype
        self.logits = logits

    def forward(self, pixels: Tensor, center: Tensor, scale: Tensor, cuts: Tensor | Sequence[Sequence[int]]) -> Tensor:
        """Predict; see `Backend`. `cuts` is what the network's `plan` returns for the kept part."""
        normalized = self.normalizer(pixels, center, scale).to(self.dtype)
        logits: Tensor = self.network(normalized, cuts).float()
        return logits if self.logits else to_probabilities(logits, self.spec)


def fold_batch_norm(network: nn.Module, channels: int, *, in_place: bool = False) -> nn.Module:
    """Return a network whose batch norms are part of the convolutions before them.

    In evaluation mode both are linear, so the result is the same up to rounding, with a pass over memory less for each.

    Args:
        network: In evaluation mode, on the CPU or a device.
        channels: Number of input channels.
        in_place: Whether the network itself is changed. Otherwise it is copied; weights that stay are shared.
    """
    if not has_layers(network):
        return network
    folded = network if in_place else _copy_sharing_weights(network)
    for convolution, norm in _find_pairs(folded, channels):  # names: the old weights of each are let go at once
        parts = (folded.get_submodule(convolution).eval(), folded.get_submodule(norm).eval())
        folded.set_submodule(convolution, fuse_conv_bn_eval(*cast(tuple[nn.Conv2d, nn.BatchNorm2d], parts)))
        folded.set_submodule(norm, getattr(parts[1], "act", nn.Identity()))  # timm's norms hold an activation
    return folded


def has_layers(network: nn.Module) -> bool:
    """Return whether a network is made of layers, not a graph or a program of TorchScript, which stays as it is."""
    return getattr(getattr(network, "spec", None), "kind", "smp") == "smp"


def example_of(spec: ModelSpec) -> Probe:
    """Return a window that shows a network to an exporter; the graph takes any size. All of it is kept."""
    window = tuple(2 * stride for stride in spec.strides)
    channel = torch.zeros(1, spec.network_inputs)
    kept = tuple(slice(0, size) for size in window)
    return torch.zeros(1, spec.network_inputs, *window), channel, channel + 1, kept


def device_of(network: nn.Module) -> torch.device:
    """Return where the weights of a network are; the CPU if it has none."""
    return next((tensor.device for tensor in network.parameters()), torch.device("cpu"))


def count_axes(network: nn.Module) -> int:
    """Return the number of axes of the images that a network takes, which its convolutions show; 2 without any."""
    kernels = (module.weight for module in network.modules() if isinstance(module, CONVOLUTIONS))
    return next((kernel.dim() - 2 for kernel in kernels), 2)


def for_axes(layout: torch.memory_format, axes: int) -> torch.memory_format:
    """Return the layout of windows with so many axes that means the same as this one of planes."""
    if layout != torch.channels_last:
        return layout
    return {2: torch.channels_last, 3: torch.channels_last_3d}.get(axes, torch.contiguous_format)


def _copy_sharing_weights(network: nn.Module) -> nn.Module:
    """Copy a network but not the memory of its weights, which the copy can convert without changing the original."""
    shared: dict[int, Tensor] = {id(tensor): tensor for tensor in network.buffers()}
    for tensor in network.parameters():  # a parameter of its own: converting replaces what it holds, in place
        shared[id(tensor)] = nn.Parameter(tensor.detach(), tensor.requires_grad)
    return copy.deepcopy(network, shared)


def _find_pairs(network: nn.Module, channels: int) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the batch norms that directly follow them.

    They are seen by running the network on an empty window.
    """
    pairs: list[tuple[str, str]] = []
    made_by: dict[int, tuple[str, Tensor]] = {}  # the tensor too, or its id would be given to another
    names = {module: name for name, module in network.named_modules()}

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, CONVOLUTIONS):
            made_by[id(output)] = (names[module], output)
        elif id(inputs[0]) in made_by:
            pairs.append((made_by[id(inputs[0])][0], names[module]))

    hooks = [
        m.register_forward_hook(watch) for m in names if isinstance(m, (*CONVOLUTIONS, nn.BatchNorm2d, nn.BatchNorm3d))
    ]
    device = device_of(network)
    with torch.inference_mode():
        network(torch.zeros(1, channels, *[PROBE_SIZE] * count_axes(network), device=device))
    for hook in hooks:
        hook.remove()
    return pairs
