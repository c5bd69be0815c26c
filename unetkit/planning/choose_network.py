"""Which network to train, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unetkit.models.architectures import DECODER_CHANNELS, architecture_info
from unetkit.planning.choice import Choice, Network
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.trial import Trial

ENCODERS = {"cpu": "resnet18", "gpu": "resnet34", "much data": "resnet50"}
"""Encoders by what there is to train with; the last needs a GPU of `ROOMY_GPU` bytes."""

MUCH_DATA = 2000
"""Crops that cover all images once, from which on there is much data."""

ROOMY_GPU = 12 * 2**30

THIN = 10.0
"""Width in pixels up to which membranes, vessels or fibres are thin. Features of a ResNet begin at half the resolution;
those of the plain U-Net are as fine as the image, which measured better on thin membranes in the same time."""

BASE_CHANNELS = {"cpu": 24, "gpu": 64}
"""First channels of the plain U-Net. On a processor 24 measured within 0.001 Dice of 32, at two thirds of the cost
(`benchmarks/ablations.md`)."""

SHALLOW_DECODER = [64, 32, 16, 16]
"""Channels of the expanding path of a network of depth 4, which learnt nuclei faster than one of depth 5
(`benchmarks/ablations.md`) ..."""

SMALL = 64.0
"""... and sees about as many pixels around each: enough for objects up to so many pixels wide."""

FIXES_DEPTH = {"model.weights", "model.depth", "model.decoder_channels"}
"""Settings that go with a depth of their own."""

KNOWN = 0.6
"""From this Dice of the built-in model on the data, see `Trial`, training starts from it."""

NETWORK = ("arch", "encoder", "depth", "decoder_channels", "base_channels", "padding", "batch_norm")
"""What a network's time and memory depend on, by the names of `ModelSpec`."""

OWN_NETWORK = {f"model.{name}" for name in ("weights", "arch", "encoder", "depth", "decoder_channels", "in_channels")}
"""Settings with which the network is not that of the built-in model."""

Try = Callable[[], Trial | None]
"""Tries the built-in model on the data."""


def choose_network(
    facts: Facts, machine: Machine, crop: int, given: Mapping[str, Any], try_builtin: Try
) -> list[Choice]:
    """Choose the plain U-Net for thin structures, else one on an encoder, unless it is given.

    Where the built-in model knows such objects, it is the one to start from.
    """
    thin = facts.width <= THIN and "model.encoder" not in given
    info = architecture_info(given.get("model.arch", "plain_unet" if thin else "unet"))
    if info.has_encoder:
        by_image = given.get("data.normalization.scope", "image") == "image"  # as the built-in model has it
        free = facts.classes == 2 and by_image and not OWN_NETWORK & given.keys()
        trial = try_builtin() if free else None
        if trial is not None and trial.dice >= KNOWN:
            return choose_builtin(trial, facts, given)
        choices = [choose_encoder(facts, machine, crop), *choose_depth(facts, machine, given)]
    else:
        choices = choose_plain(facts, machine)
    return [choice for choice in choices if choice.key.removeprefix("model.") not in info.unused]


def choose_plain(facts: Facts, machine: Machine) -> list[Choice]:
    """Choose the plain U-Net and its size."""
    return [
        Choice(
            "model.arch",
            "plain_unet",
            f"what is to be told apart is {facts.width:.0f} pixels wide: this network sees it at full resolution",
        ),
        Choice(
            "model.base_channels",
            BASE_CHANNELS["gpu" if machine.gpu else "cpu"],
            "64 in the paper, for which there is a GPU"
            if machine.gpu
            else "fewer than the paper's 64, for a processor",
        ),
        Choice("model.batch_norm", True, "learns faster than the paper's without"),
        Choice("model.depth", 4, "as in the paper"),
    ]


def describe_network(settings: Mapping[str, Any]) -> Network:
    """Return what the network is by settings of a configuration; what they leave out is as `fit` has it."""
    network = {name: settings[f"model.{name}"] for name in NETWORK if f"model.{name}" in settings}
    unused = architecture_info(network.get("arch", "unet")).unused
    if "decoder_channels" not in unused and "depth" in network:
        network.setdefault("decoder_channels", DECODER_CHANNELS[-network["depth"] :])
    return network


def choose_builtin(trial: Trial, facts: Facts, given: Mapping[str, Any]) -> list[Choice]:
    """Start from the built-in model, with its network, its outputs and the images as it is used to them."""
    why = f"the built-in model finds such objects already, with a Dice of {trial.dice:.2f}: training starts from it"
    settings = [Choice(key, value, f"as '{trial.model}' has it") for key, value in trial.settings.items()]
    kept = [keep_instances(trial, facts)] if trial.instances and given.get("model.classes", 2) == 2 else []
    return [Choice("model.weights", trial.model, why), *settings, *kept]


def keep_instances(trial: Trial, facts: Facts) -> Choice:
    """Go on learning to tell objects apart, as the built-in model does, where the masks show single objects."""
    kept = f"'{trial.model}' tells objects apart, which it keeps"
    if facts.kind == "instances":
        return Choice("model.instances", True, f"{kept}: the masks number the objects")
    if trial.separate:
        why = f"each connected part of the masks is taken for one object ('{trial.model}' sees several in "
        return Choice("model.instances", True, f"{kept}: {why}{trial.several:.0%} of them)")
    why = f"the masks do not number the objects, and in {trial.several:.0%} of their connected parts '{trial.model}' "
    return Choice("model.instances", False, f"{why}sees several: of its outputs the mask alone is kept")


def choose_depth(facts: Facts, machine: Machine, given: Mapping[str, Any]) -> list[Choice]:
    """Choose a smaller depth than usual where objects are small, for training on a processor."""
    large = facts.diameters[2]
    if machine.gpu or FIXES_DEPTH & given.keys() or not 0 < large <= SMALL:
        return []
    why = f"objects are up to {large:.0f} pixels wide, for which this sees far enough; it learns faster than 5"
    return [
        Choice("model.depth", len(SHALLOW_DECODER), why),
        Choice("model.decoder_channels", SHALLOW_DECODER, "fewer than usual, as fits the depth"),
    ]


def choose_encoder(facts: Facts, machine: Machine, crop: int) -> Choice:
    """Choose an encoder that the machine can train in time and that the data can fill."""
    if not machine.gpu:
        return Choice("model.encoder", ENCODERS["cpu"], "the fastest ResNet, for training on a processor")
    if facts.pixels / crop**2 >= MUCH_DATA and machine.device_memory >= ROOMY_GPU:
        return Choice("model.encoder", ENCODERS["much data"], "there is a GPU, and much data")
    return Choice("model.encoder", ENCODERS["gpu"], "there is a GPU; a larger one needs more data than this")
