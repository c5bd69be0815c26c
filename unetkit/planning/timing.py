"""How long training on a crop takes on this machine, from a few steps on noise."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from time import perf_counter
from typing import Any

import torch

from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.planning.machine import Machine

STEPS = 3
"""Steps that are timed; one before them starts everything up."""

TIMED_PIXELS = 4 * 256**2
"""Pixels of the crops in these steps on a processor, at most: larger batches take as long for each crop."""

LOADING = 0.015
"""Seconds in which one core reads and augments a crop of 256 x 256 pixels."""


def time_crop(
    network: Mapping[str, Any], channels: int, crop: int, batch: int, machine: Machine, limit: float = inf
) -> float:
    """Return the seconds that training on a crop takes, its augmentation included.

    Args:
        network: What it is, by the names of `ModelSpec`.
        channels: Channels of the images.
        crop: Side of the crops in pixels.
        batch: Crops in a batch.
        machine: What it runs on.
        limit: Seconds after which no further step is timed.
    """
    device = torch.device(machine.device)
    count = batch if machine.gpu else min(batch, max(1, TIMED_PIXELS // crop**2))
    module = build_network(ModelSpec(in_channels=channels, **network))
    module = module.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(module.parameters())
    images = torch.randn(count, channels, crop, crop, device=device).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(1 + STEPS):
        start = perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=machine.bfloat16):
            loss = module(images).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device
        seconds.append(perf_counter() - start)
        if len(seconds) > 1 and sum(seconds) > limit:
            break
    step = min(seconds[1:]) / count
    loading = LOADING * (crop / 256) ** 2
    if machine.gpu:  # side by side
        return max(step, loading / max(1, min(machine.cores, 8)))
    return step + loading / machine.cores
