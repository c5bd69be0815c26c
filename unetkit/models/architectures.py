"""The architectures of models, by name: how each is built, and which fields of a spec it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from unetkit.foundation.errors import ConfigError, closest

Architecture = Literal["unet", "plain_unet"]
"""A U-Net on an encoder, or the plain one of 2015."""

FOREIGN: Literal["foreign"] = "foreign"
"""Architecture of a network that unetkit did not build, in a `ModelSpec` only."""

DEFAULT_ENCODER = "resnet34"
"""Encoder where none is named."""

DECODER_CHANNELS = (256, 128, 64, 32, 16)
"""Channels of the expanding path from the deepest block up, for depth 5."""


@dataclass(frozen=True)
class ArchitectureInfo:
    """One kind of network.

    Attributes:
        builder: "module:function". The function takes a `ModelSpec` and returns the network with random weights, which
            maps (N, network_inputs, h, w) float32 to logits (N, network_channels, h, w), or volumes to theirs. The
            module imports PyTorch, so it is imported when a network is built.
        has_encoder: Whether the contracting path is an encoder of segmentation-models-pytorch. Only such a network has
            ImageNet weights and classes of whole images.
        unused: Fields of `ModelSpec` that have no meaning for it, with their defaults.
        has_volumes: Whether there is such a network for volumes.
    """

    builder: str
    has_encoder: bool
    unused: Mapping[str, Any]
    has_volumes: bool = False

    def build(self, spec: Any) -> Any:
        """Return the network of a `ModelSpec`, an `nn.Module`."""
        module, _, function = self.builder.partition(":")
        return getattr(import_module(module), function)(spec)


ARCHITECTURES: dict[str, ArchitectureInfo] = {
    "unet": ArchitectureInfo(
        builder="unetkit.models.unet:build_unet",
        has_encoder=True,
        has_volumes=True,
        unused={"base_channels": 64, "padding": "same", "batch_norm": False},
    ),
    "plain_unet": ArchitectureInfo(
        builder="unetkit.models.plain_unet:build_plain_unet",
        has_encoder=False,
        unused={"encoder": DEFAULT_ENCODER, "decoder_channels": DECODER_CHANNELS},
    ),
    FOREIGN: ArchitectureInfo(
        builder="unetkit.models.foreign_network:refuse_to_build",
        has_encoder=False,
        has_volumes=True,
        unused={
            **{"encoder": DEFAULT_ENCODER, "decoder_channels": DECODER_CHANNELS, "depth": 5},
            **{"base_channels": 64, "padding": "same", "batch_norm": False},
        },
    ),
}


def architecture_info(name: str) -> ArchitectureInfo:
    """Return what there is to know of an architecture.

    Raises:
        ConfigError: There is no such architecture.
    """
    for known, info in ARCHITECTURES.items():
        if name == known:
            return info
    raise ConfigError(f"There is no arch '{name}'.", closest(name, ARCHITECTURES))
