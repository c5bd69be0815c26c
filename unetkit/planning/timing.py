"""How long training on a crop takes on this machine, from a few steps on noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, prod
from time import perf_counter
from typing import Any

import torch

from unetkit.backends.base import for_axes
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.planning.machine import Machine

TIMED_STEPS = 3
"""Most steps that are timed, after one that warms up."""

TIMED_PIXELS = 4 * 256**2
"""Most pixels in a timed batch on a processor: larger batches take as long for each crop."""

LOADING_SECONDS = 0.015
"""Seconds that one core takes to read and augment a crop of 256 x 256 pixels."""


def time_crop(
    network: Mapping[str, Any], channels: int, crop: Sequence[int], batch: int, machine: Machine, limit: float = inf
) -> float:
    """Return the seconds that training on a crop takes, its augmentation included.

    Args:
        network: Its settings, by the names of `ModelSpec`.
        channels: Channels of the images.
        crop: Pixels of the crops along each axis.
        batch: Crops in a batch.
        machine: What it runs on.
        limit: Seconds after which no further step is timed.
    """
    device = torch.device(machine.device)
    count = batch if machine.gpu else min(batch, max(1, TIMED_PIXELS // prod(crop)))
    spec = ModelSpec(in_channels=channels, **network)
    layout = for_axes(torch.channels_last, spec.dims)
    module = build_network(spec).to(device).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(module.parameters())
    images = torch.randn(count, spec.network_inputs, *crop, device=device).contiguous(memory_format=layout)
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        start = perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=machine.trains_in_bfloat16(spec.dims)):
            loss = module(images).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device
        seconds.append(perf_counter() - start)
        if len(seconds) > 1 and sum(seconds) > limit:
            break
    step = min(seconds[1:]) / count
    loading = LOADING_SECONDS * prod(crop) / 256**2
    if machine.gpu:  # side by side
        return max(step, loading / max(1, min(machine.cores, 8)))
    return step + loading / machine.cores
