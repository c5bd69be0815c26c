"""Gradient checkpointing: blocks of a network keep what they take, and compute the rest again for the gradients.

A step then takes about a third longer and much less memory (Chen et al. 2016, https://arxiv.org/abs/1604.06174). The
gradients are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from unetkit.models.volume_unet import VolumeDecoder


@contextmanager
def checkpointed(network: nn.Module) -> Iterator[None]:
    """Have the blocks of a network compute again what gradients need; while it lasts, the network is run forward."""
    with wrapped(network, lambda block, forward: partial(_recompute, forward, block)):
        yield


@contextmanager
def wrapped(network: nn.Module, wrap: Callable[[nn.Module, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Have another function in the place of each block of a network while it lasts.

    Args:
        network: The network.
        wrap: Takes a module and its method that is a block; returns the function.
    """
    parts = [(part, name, vars(part).get(name)) for part, name in find_blocks(network)]
    for part, name, _ in parts:
        setattr(part, name, wrap(part, getattr(part, name)))
    try:
        yield
    finally:
        for part, name, before in parts:
            delattr(part, name)
            if before is not None:
                setattr(part, name, before)


def find_blocks(network: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield a module and the name of its method for each block of the encoder's stages and the expanding path.

    All blocks of the expanding path of a network of volumes are one method of it.
    """
    encoder, decoder = (getattr(network, name, None) for name in ("encoder", "decoder"))
    for stage in () if encoder is None else encoder.children():
        if isinstance(stage, nn.Sequential):
            yield from ((block, "forward") for block in stage)
    if isinstance(decoder, VolumeDecoder):
        yield decoder, "step"
    elif decoder is not None:
        yield from ((block, "forward") for block in decoder.blocks)


def _recompute(forward: Callable[..., Any], block: nn.Module, *features: Any, **more: Any) -> Any:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(block)

    return checkpoint(forward, *features, use_reentrant=False, context_fn=contexts, **more)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Keep batch norms from counting a batch a second time in their running statistics."""
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm) and part.training]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, counted in before:
            norm.momentum, norm.num_batches_tracked = momentum, counted
