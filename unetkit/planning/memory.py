"""How much memory a step of training takes, found without taking it: on a device that computes nothing ("meta")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unetkit.models.checkpointing import checkpointed, find_blocks
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network

WEIGHT_COPIES = 5
"""Copies of the weights: themselves, their gradients, two of AdamW and the averaged ones."""

PASSING_TENSORS = 3
"""Largest features that are there for a moment beside those that are kept: gradients of an output and an input, and
what a convolution lays out anew."""


@dataclass(frozen=True)
class StepMemory:
    """Memory of a step of training.

    Attributes:
        weights: Bytes for the weights, and what the optimizer keeps for them.
        kept: Bytes of features for each crop, in float32: what the gradients need, and what passes by.
    """

    weights: int
    kept: int

    def of(self, batch: int, factor: float = 1.0) -> float:
        """Return the bytes for a batch of crops, whose features take a factor of those of float32."""
        return self.weights + batch * self.kept * factor


def measure_step(spec: ModelSpec, crop: Sequence[int], *, checkpointing: bool = False) -> StepMemory:
    """Return how much memory a step of training takes.

    Args:
        spec: The network.
        crop: Pixels of a crop along each axis, multiples of the strides.
        checkpointing: Whether blocks compute again what the gradients need, see `unetkit.models.checkpointing`.
    """
    with torch.device("meta"):
        network = build_network(spec).train()
        pixels = torch.zeros(2, spec.network_inputs, *crop)  # batch norm takes no single value
    watch = _Watch(network)
    with torch.autograd.graph.saved_tensors_hooks(watch.keep, lambda tensor: tensor):
        if checkpointing:
            with checkpointed(network):
                network(pixels)
        else:
            network(pixels)
    weights = sum(one.nbytes for one in network.parameters())
    kept = sum(watch.kept.values())
    if checkpointing:
        kept += _largest_block(spec, pixels)
    return StepMemory(WEIGHT_COPIES * weights, (kept + PASSING_TENSORS * watch.largest) // len(pixels))


class _Watch:
    """Counts the features that a network keeps for its gradients, and finds the largest there are."""

    def __init__(self, network: nn.Module) -> None:
        self.kept: dict[int, int] = {}
        self.blocks: list[int] = []
        self.largest = 0
        self._held: list[Tensor] = []
        self._weights = {one.data_ptr() for one in network.parameters()}
        self._owned = {id(one) for one in (*network.parameters(), *network.buffers())}
        for part in network.modules():
            part.register_forward_hook(self._pass)
        self._begun: list[int] = []
        for block in find_blocks(network):
            block.register_forward_pre_hook(self._enter, with_kwargs=True)
            block.register_forward_hook(self._leave)

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is kept for the gradients; views of one share their memory."""
        if id(tensor) not in self._owned:
            self._held.append(tensor)
            storage: Any = tensor.untyped_storage()
            self.kept[storage._cdata] = storage.nbytes()
        return tensor

    def _pass(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002
        for one in output if isinstance(output, list | tuple) else [output]:
            self.largest = max(self.largest, one.nbytes)

    def _enter(self, module: nn.Module, inputs: Any, more: dict[str, Any]) -> None:  # noqa: ARG002
        for one in (*inputs, *more.values()):
            if isinstance(one, Tensor):
                self.keep(one)
        self._begun.append(sum(self.kept.values()))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002
        self.blocks.append(sum(self.kept.values()) - self._begun.pop())


def _largest_block(spec: ModelSpec, pixels: Tensor) -> int:
    """Return the bytes that the block keeps that keeps most: they are there again when it is computed again."""
    with torch.device("meta"):
        network = build_network(spec).train()
    watch = _Watch(network)
    with torch.autograd.graph.saved_tensors_hooks(watch.keep, lambda tensor: tensor):
        network(pixels)
    return max(watch.blocks, default=0)
