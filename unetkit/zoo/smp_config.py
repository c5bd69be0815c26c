"""The config.json of a folder of segmentation-models-pytorch, checked: it reaches no other class, file or network."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import segmentation_models_pytorch as smp
import timm
from torch import nn

from unetkit.foundation.errors import ModelError
from unetkit.models.encoders import ENCODERS

CONFIG_FILE = "config.json"
CLASS_KEY = "_model_class"

ACTIVATIONS: dict[str | None, Literal["none", "sigmoid", "softmax"]] = {
    **{None: "none", "identity": "none", "sigmoid": "sigmoid"},
    **{"softmax": "softmax", "softmax2d": "softmax", "logsoftmax": "softmax"},
}
"""What a network's last function makes: nothing, or probabilities by one of two functions."""

ENCODER_ARGUMENTS = {"dynamic_img_size", "img_size", "decoder_use_batchnorm"}
"""Arguments that smp hands on, and that reach neither files nor a network."""

USUAL_DECODER = {"decoder_attention_type": None, "decoder_interpolation": "nearest", "aux_params": None}
"""Settings of the decoder in unetkit's own U-Net."""


@dataclass(frozen=True)
class SmpConfig:
    """A network of segmentation-models-pytorch.

    Attributes:
        kind: Name of its class.
        arguments: Arguments of the class, those left out included; without activation and encoder weights.
        activation: What the class was told to make of its output.
        photographs: Whether its encoder came with weights of ImageNet.
    """

    kind: str
    arguments: dict[str, Any]
    activation: Literal["none", "sigmoid", "softmax"]
    photographs: bool

    @property
    def encoder(self) -> str:
        """Name of the encoder, without the tag of timm's weights."""
        return str(self.arguments["encoder_name"]).partition(".")[0]

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return int(self.arguments["in_channels"])

    @property
    def classes(self) -> int:
        """Channels of the output."""
        return int(self.arguments["classes"])

    @property
    def depth(self) -> int:
        """Number of times that the encoder halves the resolution."""
        return int(self.arguments["encoder_depth"])

    @property
    def own_encoder(self) -> str | None:
        """What unetkit calls the encoder, if the whole network is one that unetkit builds itself; else None."""
        names = {name: own for own, name in ENCODERS.items()}
        norm = self.arguments.get("decoder_use_batchnorm", self.arguments.get("decoder_use_norm"))
        usual = norm in (True, "batchnorm") and 3 <= self.depth <= 5
        usual = usual and all(self.arguments.get(name) == value for name, value in USUAL_DECODER.items())
        exclusive = self.activation != "sigmoid" if self.classes > 1 else self.activation != "softmax"
        return names.get(self.encoder) if self.kind == "Unet" and usual and exclusive else None

    def build(self) -> nn.Module:
        """Return the network with random weights; its output has no activation.

        Raises:
            ModelError: The class does not take the arguments.
        """
        try:
            network: nn.Module = getattr(smp, self.kind)(**self.arguments, encoder_weights=None, activation=None)
        except Exception as error:  # of smp and timm, which check their arguments in many ways
            raise ModelError(
                f"smp's {self.kind} cannot be built as {CONFIG_FILE} says ({error}).",
                f"Use the versions it was saved with; here are smp {smp.__version__} and timm {timm.__version__}.",
            ) from error
        return network.eval()


def read_config(folder: Path) -> SmpConfig:
    """Read the description in a folder that smp's `save_pretrained` wrote.

    Raises:
        ModelError: It is no such description, or of a network that cannot be had.
    """
    path = folder / CONFIG_FILE
    remedy = "Write the folder with save_pretrained of segmentation-models-pytorch."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.pop(CLASS_KEY)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} does not say which network of smp it is of ({CLASS_KEY}).", remedy) from error
    return check_config(kind, content, path)


def check_config(kind: str, content: dict[str, Any], path: Path) -> SmpConfig:
    """Check what says which network of smp is to be built.

    Args:
        kind: Name of its class.
        content: Arguments of the class.
        path: Where they stand, for messages.

    Raises:
        ModelError: It is no network that can be had.
    """
    remedy = "Correct it, or save the network again with segmentation-models-pytorch."
    kinds = [one.__name__ for one in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    if kind not in kinds:
        raise ModelError(f"{path} is of {kind}, which smp {smp.__version__} has not.", f"It has {', '.join(kinds)}.")
    parameters = inspect.signature(getattr(smp, kind).__init__).parameters.values()
    known = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    if strange := sorted(content.keys() - known.keys() - ENCODER_ARGUMENTS):
        raise ModelError(f"{path} has {strange[0]}, which smp's {kind} does not take.", remedy)
    arguments = known | content
    weights, activation = arguments.pop("encoder_weights", None), arguments.pop("activation", None)
    if not isinstance(activation, str | None) or activation not in ACTIVATIONS:
        raise ModelError(
            f"The output of {path.parent} goes through '{activation}', which makes no probabilities.",
            "Save it with activation sigmoid, softmax2d or none.",
        )
    name = str(arguments["encoder_name"])
    if name not in smp.encoders.encoders and not timm.is_model(name.removeprefix("tu-").removeprefix("timm-")):
        raise ModelError(f"{path} names the encoder {name}, which neither smp nor timm has.", "Upgrade both.")
    return SmpConfig(kind, arguments, ACTIVATIONS[activation], weights == "imagenet")
