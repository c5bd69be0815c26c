"""Which network to train, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unetkit.models.architectures import DECODER_CHANNELS, architecture_info
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice, Network
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.start import NETWORK_SETTINGS, WINDOW, continue_from
from unetkit.planning.trial import Trial

ENCODERS = {"cpu": "resnet18", "gpu": "resnet34", "much data": "resnet50"}
"""Encoders by what there is to train with. The last one needs a GPU of `ROOMY_GPU_BYTES` bytes."""

MUCH_DATA_CROPS = 2000
"""There is much data if at least this many crops cover all images once."""

ROOMY_GPU_BYTES = 12 * 2**30
"""Least free memory of a GPU for the largest encoder."""

THIN_WIDTH = 10.0
"""Width in pixels up to which membranes, vessels or fibres are thin. Features of a ResNet begin at half the resolution.
Those of the plain U-Net have the full one, and measured better on thin membranes in the same time."""

BASE_CHANNELS = {"cpu": 24, "gpu": 64}
"""First channels of the plain U-Net. On a processor 24 measured within 0.001 Dice of 32, at two thirds of the cost
(`benchmarks/ablations.md`)."""

SHALLOW_DECODER = [64, 32, 16, 16]
"""Channels of the expanding path of a network of depth 4. It learnt nuclei faster than one of depth 5
(`benchmarks/ablations.md`)."""

SHALLOW_OBJECT_WIDTH = 64.0
"""Largest objects for which a network of depth 4 sees enough of the surroundings, in pixels."""

DEPTH_SETTINGS = {"model.weights", "model.depth", "model.decoder_channels"}
"""Settings that fix the depth."""

START_DICE = 0.6
"""Training starts from the built-in model if its Dice on the data is at least this, see `Trial`."""

OWN_NETWORK_SETTINGS = {
    f"model.{name}" for name in ("weights", "arch", "encoder", "depth", "decoder_channels", "in_channels")
}
"""Settings that rule out the network of the built-in model."""

Try = Callable[[], Trial | None]
"""Function that tries the built-in model on the data."""


def choose_network(
    facts: Facts, machine: Machine, crop: int, given: Mapping[str, Any], try_builtin: Try, start: ModelSpec | None
) -> list[Choice]:
    """Choose the plain U-Net for thin structures, else one on an encoder, unless it is given.

    A model that is given as the start decides. Training starts from the built-in model where that finds such objects
    already.
    """
    if start is not None:
        return continue_from(start, facts, given)
    encoder = "model.encoder" in given or given.get("model.weights") is not None  # the weights are an encoder's
    thin = facts.width <= THIN_WIDTH and not encoder
    info = architecture_info(given.get("model.arch", "plain_unet" if thin else "unet"))
    if info.has_encoder:
        # As the built-in model has it.
        by_image = given.get("data.normalization.scope", "image") == "image" and WINDOW not in given
        free = facts.classes == 2 and by_image and not OWN_NETWORK_SETTINGS & given.keys()
        trial = try_builtin() if free else None
        if trial is not None and trial.dice >= START_DICE:
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
            f"the structures are {facts.width:.0f} pixels wide: this network sees them at full resolution",
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
    """Return the network that settings describe; `fit` has defaults for what they leave out."""
    network = {name: settings[f"model.{name}"] for name in NETWORK_SETTINGS if f"model.{name}" in settings}
    unused = architecture_info(network.get("arch", "unet")).unused
    if "decoder_channels" not in unused and "depth" in network:
        network.setdefault("decoder_channels", DECODER_CHANNELS[-network["depth"] :])
    if settings.get("model.planes", 1) > 1:
        network["planes"] = settings["model.planes"]
    return network


def choose_builtin(trial: Trial, facts: Facts, given: Mapping[str, Any]) -> list[Choice]:
    """Start from the built-in model, with its network, its outputs and its normalisation."""
    why = f"the built-in model finds such objects already, with a Dice of {trial.dice:.2f}: training starts from it"
    settings = [Choice(key, value, f"as '{trial.model}' has it") for key, value in trial.settings.items()]
    kept = [keep_instances(trial, facts)] if trial.instances and given.get("model.classes", 2) == 2 else []
    return [Choice("model.weights", trial.model, why), *settings, *kept]


def keep_instances(trial: Trial, facts: Facts) -> Choice:
    """Keep the output for single objects of the built-in model where the masks show single objects."""
    kept = f"'{trial.model}' separates objects, which it keeps"
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
    fixed = any(given.get(key) is not None for key in DEPTH_SETTINGS)  # random weights leave the depth open
    if machine.gpu or fixed or not 0 < large <= SHALLOW_OBJECT_WIDTH:
        return []
    why = f"objects are up to {large:.0f} pixels wide, and this depth sees far enough for them; it learns faster than 5"
    return [
        Choice("model.depth", len(SHALLOW_DECODER), why),
        Choice("model.decoder_channels", SHALLOW_DECODER, "fewer than usual, as fits the depth"),
    ]


def choose_encoder(facts: Facts, machine: Machine, crop: int) -> Choice:
    """Choose an encoder for which there is time and data enough."""
    if not machine.gpu:
        return Choice("model.encoder", ENCODERS["cpu"], "the fastest ResNet, for training on a processor")
    if facts.area / crop**2 >= MUCH_DATA_CROPS and machine.device_memory >= ROOMY_GPU_BYTES:
        return Choice("model.encoder", ENCODERS["much data"], "there is a GPU, and much data")
    return Choice("model.encoder", ENCODERS["gpu"], "there is a GPU; a larger one needs more data than this")
