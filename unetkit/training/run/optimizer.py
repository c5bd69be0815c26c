"""The optimizer that training takes by default."""

from __future__ import annotations

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import AdamW


def build_adamw(network: nn.Module, lr: float, weight_decay: float, *, clipped: bool = False) -> AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) for all weights of a network, which is on its device already.

    On a processor each weight is read and written once in a step (`fused`), which halves its time. On a GPU PyTorch's
    default takes all weights together already.

    Args:
        network: The network.
        lr: Learning rate.
        weight_decay: Weight decay.
        clipped: Whether gradients are clipped, which Lightning refuses for a fused optimizer.
    """
    fused = not clipped and all(parameter.device.type == "cpu" for parameter in network.parameters())
    return AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, fused=fused or None)


def clips_gradients(trainer: Trainer) -> bool:
    """Return whether a trainer clips gradients (`trainer.gradient_clip_val`)."""
    return bool(trainer.gradient_clip_val)
