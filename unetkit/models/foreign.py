"""What has to be known of a network that unetkit did not build, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unetkit.foundation.errors import ConfigError

StepName = Literal["linear", "clip", "range", "standardize", "truncate", "binarize", "sigmoid", "softmax"]

MEASURED: tuple[StepName, ...] = ("range", "standardize")
"""Steps whose values are measured on the whole image."""


@dataclass(frozen=True)
class Step:
    """One step from raw pixels to the input of a network, or from its output to probabilities.

    Attributes:
        name: "linear" is `pixels * gain + offset`. "clip" limits pixels to `low` and `high`. "range" maps the `low`
            percentile of the image to 0 and the `high` one to 1. "standardize" maps the image's mean to 0 and its
            standard deviation to 1. "truncate" cuts decimals off and limits pixels to `low` and `high`, as a type
            of whole numbers does. "binarize" is 1 above `offset` and 0 elsewhere. "sigmoid", and "softmax" over the
            channels.
        gain: Factors, one for each channel or one for all.
        offset: What is added, or compared with, one for each channel or one for all.
        low: Lowest value of "clip" and "truncate", or lower percentile of "range", 0 to 100.
        high: Highest value of "clip" and "truncate", or higher percentile of "range", 0 to 100.
        channelwise: Whether each channel is measured by itself.
        epsilon: Added to the measured range or standard deviation, which is divided by.
        raw: Whether the raw image is measured, and not what the steps before have made of it.
    """

    name: StepName
    gain: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    low: float = 0.0
    high: float = 1.0
    channelwise: bool = True
    epsilon: float = 1e-6
    raw: bool = False


@dataclass(frozen=True)
class ForeignSpec:
    """A network that unetkit did not build: what it takes and what it gives.

    Attributes:
        kind: How the network is kept: a graph of ONNX, TorchScript, or a network of segmentation-models-pytorch.
        stride: Windows are `smallest` plus a multiple of it along each axis.
        smallest: Size of the smallest window along each axis.
        fixed: Whether windows have this size and no other.
        input_axes: Order of the axes of its input: "b" batch, "c" channels, "z", "y", "x".
        output_axes: Order of the axes of its output.
        output: Name, or number, of the output that is used; None for the first.
        channels: Channels of the output that are used: one for foreground/background, two of background and
            foreground, or one for each class.
        distance: Channel of the output that is a distance map, for a model that tells touching objects apart.
        before: Steps from raw pixels to network input, of which at most one is measured; None where the model's
            `normalization` says it.
        after: Steps from the output to probabilities. The result lies between 0 and 1.
        halo_known: Whether the halo of the model comes from its author. Otherwise it is measured on the first image.
        remarks: Sentences on what its file does not say, and what is taken for it.
    """

    kind: Literal["onnx", "torchscript", "smp"]
    stride: tuple[int, ...]
    smallest: tuple[int, ...]
    fixed: bool = False
    input_axes: str = "bcyx"
    output_axes: str = "bcyx"
    output: str | int | None = None
    channels: tuple[int, ...] = (0,)
    distance: int | None = None
    before: tuple[Step, ...] | None = ()
    after: tuple[Step, ...] = (Step("sigmoid"),)
    halo_known: bool = False
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(step.name in MEASURED for step in self.before or ()) > 1:
            raise ConfigError(
                "The preprocessing measures the image twice.", "Use a model that measures it once, or not at all."
            )
        if any(step.name in MEASURED for step in self.after):
            raise ConfigError(
                "The postprocessing measures the output of the whole image, which tiles do not have.",
                "Use a model whose postprocessing is fixed.",
            )
