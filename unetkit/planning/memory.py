"""How much memory a step of training takes, found without taking it: on a device that computes nothing ("meta")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unetkit.models.checkpointing import checkpointed, wrapped
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.planning.machine import Machine

WEIGHT_COPIES = 5
"""Copies of the weights: themselves, their gradients, two of AdamW and the averaged ones."""

PASSING_TENSORS = 3
"""Largest features that are there for a moment beside those that are kept: gradients of an output and an input, and
what a convolution lays out anew."""


HALF_PRECISION_FACTOR = 0.75
"""Factor on the bytes of memory in mixed precision."""

MEMORY_SHARE = 0.5
"""Share of the free memory that a step may take."""


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


def room_of(machine: Machine) -> float:
    """Return the bytes that a step may take."""
    return MEMORY_SHARE * machine.device_memory


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
    plain = _Watch(network)
    with wrapped(network, plain.watch), _counting(plain):
        network(pixels)
    kept, largest = sum(plain.kept.values()), plain.largest
    if checkpointing:
        watch = _Watch(network)
        with checkpointed(network), wrapped(network, watch.watch), _counting(watch):
            network(pixels)
        kept = sum(watch.kept.values()) + max(plain.blocks, default=0)  # that block is there when it is computed again
    weights = sum(one.nbytes for one in network.parameters())
    return StepMemory(WEIGHT_COPIES * weights, (kept + PASSING_TENSORS * largest) // len(pixels))


def _counting(watch: _Watch) -> AbstractContextManager[Any]:
    return torch.autograd.graph.saved_tensors_hooks(watch.keep, lambda tensor: tensor)


class _Watch:
    """Counts the features that a network keeps for its gradients, and finds the largest there are.

    Attributes:
        kept: Bytes of each piece of memory that is kept.
        blocks: Bytes that each block keeps.
        largest: Bytes of the largest features.
    """

    def __init__(self, network: nn.Module) -> None:
        self.kept: dict[int, int] = {}
        self.blocks: list[int] = []
        self.largest = 0
        self._held: list[Tensor] = []  # so that no memory is given to another
        self._owned = {id(one) for one in (*network.parameters(), *network.buffers())}
        for part in network.modules():
            part.register_forward_hook(self._see)

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is kept for the gradients; views of one share their memory."""
        if id(tensor) not in self._owned:
            self._held.append(tensor)
            storage: Any = tensor.untyped_storage()
            self.kept[storage._cdata] = storage.nbytes()
        return tensor

    def _see(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002
        for one in output if isinstance(output, list | tuple) else [output]:
            self.largest = max(self.largest, one.nbytes)

    def watch(self, module: nn.Module, block: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ARG002
        """Return a block that counts what it takes and what it keeps."""
        return partial(self._run, block)

    def _run(self, block: Callable[..., Any], *features: Any, **more: Any) -> Any:
        for one in (*features, *more.values()):
            if isinstance(one, Tensor):
                self.keep(one)
        before = sum(self.kept.values())
        output = block(*features, **more)
        self.blocks.append(sum(self.kept.values()) - before)
        return output
