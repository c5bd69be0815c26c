"""The network of volumes, and what it is trained on at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unetkit.models.architectures import DECODER_CHANNELS
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice, Network
from unetkit.planning.choose_network import SHALLOW_DECODER, describe_network
from unetkit.planning.choose_patch import Patch, choose_patch
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.start import continue_from

ENCODERS = {"cpu": "resnet18", "gpu": "resnet34"}
"""Encoders by what there is to train with."""

CUBE = (1.0, 1.0, 1.0)
"""Spacing of volumes whose voxels have no known size."""


@dataclass(frozen=True)
class Volumes:
    """How volumes are trained on.

    Attributes:
        choices: The settings of the network.
        network: The network, by the names of `ModelSpec`.
        patch: What it is trained on at a time.
    """

    choices: tuple[Choice, ...]
    network: Network
    patch: Patch


def choose_volumes(facts: Facts, machine: Machine, given: Mapping[str, Any], start: ModelSpec | None) -> Volumes:
    """Choose the network for volumes, and the patch that there is room for.

    Args:
        facts: The data.
        machine: The machine.
        given: Settings that are fixed, by key.
        start: The model that training starts from, if that is one of unetkit.
    """
    choices = choose_encoder(machine) if start is None else continue_from(start, facts, given)
    settings = {**{choice.key: choice.value for choice in choices}, **given}
    return sized(choices, settings, facts.size, facts.voxel or CUBE, facts.channels, machine)


def sized(
    choices: list[Choice],
    settings: Mapping[str, Any],
    size: tuple[int, ...],
    voxel: tuple[float, ...],
    channels: int,
    machine: Machine,
) -> Volumes:
    """Choose the patch for a network that settings describe, for volumes of a size."""
    network: dict[str, Any] = {**describe_network(settings), "dims": 3}
    depth = network.get("depth", 5)
    spec = ModelSpec(**network, in_channels=channels, pooling=((2, 2, 2),) * depth)
    crop = settings.get("data.crop")
    given = [min(crop, -(-length // 8) * 8) for length in size] if isinstance(crop, int) else crop
    patch = choose_patch(spec, size, voxel, machine, given)
    pooling = settings.get("model.pooling", "auto")
    chosen = patch.pooling if pooling == "auto" else tuple(map(tuple, pooling))
    return Volumes(tuple(choices), {**network, "pooling": chosen}, patch)


def choose_encoder(machine: Machine) -> list[Choice]:
    """Choose an encoder for which there is time, and its depth: patches have room for four levels."""
    fast = "the fastest ResNet, for training on a processor"
    encoder = Choice(
        "model.encoder", ENCODERS["gpu" if machine.gpu else "cpu"], "there is a GPU" if machine.gpu else fast
    )
    depth = len(SHALLOW_DECODER)
    channels = DECODER_CHANNELS[-depth:] if machine.gpu else SHALLOW_DECODER
    return [
        encoder,
        Choice("model.depth", depth, "the deepest features of a patch are still several voxels long"),
        Choice("model.decoder_channels", list(channels), "as fits the depth"),
    ]
