"""What a run takes over from the model that it starts from: a network of other sizes could not take its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unetkit.models.architectures import architecture_info
from unetkit.models.builtin_models import short_name
from unetkit.models.normalization import Normalization
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice
from unetkit.planning.measure import Facts

NETWORK_SETTINGS = ("arch", "encoder", "depth", "decoder_channels", "base_channels", "padding", "batch_norm")
"""Settings that the time and memory of a network depend on, by the names of `ModelSpec`."""

WINDOW = "data.normalization.window"
"""Setting of a window of values, with which nothing else of a normalisation is chosen."""

USUAL_ARCH = "unet"
"""Architecture of `fit` where none is named."""


def take_over(spec: ModelSpec) -> dict[str, Any]:
    """Return the settings of a model's network and normalisation, by their keys in a configuration."""
    unused = architecture_info(spec.arch).unused
    network = {name: getattr(spec, name) for name in NETWORK_SETTINGS if name not in unused}
    if spec.dims == 3:
        network["pooling"] = [list(level) for level in spec.pooling]
    if spec.arch == USUAL_ARCH:
        del network["arch"]
    return {
        **{f"model.{name}": list(value) if isinstance(value, tuple) else value for name, value in network.items()},
        **{f"data.normalization.{name}": value for name, value in _take_over_normalization(spec.normalization).items()},
    }


def _take_over_normalization(normalization: Normalization) -> dict[str, Any]:
    if normalization.window is not None:
        return {"window": list(normalization.window)}
    names = ["method", *(["scope"] if normalization.scope == "dataset" else []), "bright_background"]
    if normalization.of == "foreground":
        names += ["of", "low", "high"]
    return {name: getattr(normalization, name) for name in names}


def continue_from(spec: ModelSpec, facts: Facts, given: Mapping[str, Any]) -> list[Choice]:
    """Choose the network and the normalisation of the model that is given as the start, and its output for objects.

    Args:
        spec: The model that "model.weights" names.
        facts: The data.
        given: Settings that are fixed, by key.
    """
    name = short_name(str(given["model.weights"]))
    choices = [
        Choice(key, value, f"as {name} has it, which training starts from")
        for key, value in take_over(spec).items()
        if WINDOW not in given or not key.startswith("data.normalization.")
    ]
    if spec.instances and facts.kind == "instances" and given.get("model.classes", 2) == 2:
        choices.append(
            Choice("model.instances", True, f"the masks number the objects, and {name} separates them already")
        )
    return choices
