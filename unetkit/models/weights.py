"""Start a network from weights that somebody trained: ImageNet's, or a local file read without pickle."""

from __future__ import annotations

import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unetkit.errors import ModelError
from unetkit.models.encoders import smp_name
from unetkit.models.spec import ModelSpec

WRAPPERS = ("module.", "model.", "network.", "segmenter.", "averaged.")
"""Prefixes that other programs, and unetkit itself, put before the names of the weights."""

NESTS = ("state_dict", "model_state_dict", "model")
"""Keys under which checkpoints keep their weights."""

LEAST_SHARE = 0.5
"""Share of the encoder's weights that must fit; with fewer the file belongs to another encoder."""

DAMAGED = (
    *(SafetensorError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError),
    *(zipfile.BadZipFile, struct.error),
)
"""What safetensors and torch raise for files that are cut off or no weights."""


@dataclass(frozen=True)
class LoadReport:
    """What became of the weights in a file.

    Attributes:
        loaded: Names of the network's weights that were set.
        reshaped: Those of `loaded` that were adapted to another number of input channels.
        missing: Names of the network's weights that keep their random values.
        unused: Names in the file that the network has no place for.
    """

    loaded: tuple[str, ...]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line for people."""
        parts = [f"{len(self.loaded)} weights loaded"]
        if self.reshaped:
            parts.append(f"{len(self.reshaped)} adapted to the number of channels")
        if self.missing:
            parts.append(f"{len(self.missing)} left random")
        if self.unused:
            parts.append(f"{len(self.unused)} in the file not used")
        return ", ".join(parts)


def load_weights(network: nn.Module, weights: str, spec: ModelSpec) -> LoadReport:
    """Set the weights of `network`, of its encoder alone or of all of it.

    Args:
        network: From `build_network(spec)`; changed in place.
        weights: "imagenet", or the path of a `.safetensors` or `.pth` file that holds an encoder (torchvision's, timm's
            or smp's names), a whole smp U-Net, or a unetkit model.
        spec: The spec that `network` was built from.

    Raises:
        ModelError: The weights cannot be had or read, or none of them fits.
    """
    state = imagenet_weights(spec) if weights == "imagenet" else read_weights(Path(weights))
    return fit_weights(network, state, weights)


def imagenet_weights(spec: ModelSpec) -> dict[str, Tensor]:
    """Return the ImageNet weights that smp offers for an encoder (downloaded once, then cached by smp)."""
    if spec.arch == "plain_unet":
        raise ModelError("There are no ImageNet weights of plain_unet.", "Leave `weights` out, or use arch: unet.")
    name = smp_name(spec.encoder)
    wanted = "imagenet" if name in smp.encoders.encoders else True  # timm's names have no choice of weights
    try:
        encoder = smp.encoders.get_encoder(name, in_channels=3, depth=spec.depth, weights=wanted)
    except Exception as error:  # the hub client, requests, urllib and torch.hub each have errors of their own
        raise ModelError(
            f"The ImageNet weights of {spec.encoder} could not be downloaded ({type(error).__name__}).",
            "Connect to a network once (they are cached), give a local file (weights: FILE.safetensors or FILE.pth), "
            "or leave `weights` out to start from random ones.",
        ) from error
    return dict(encoder.state_dict())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights without running any code in it.

    Raises:
        ModelError: The file does not exist, is damaged, or is a pickle of anything but weights.
    """
    if not path.is_file():
        raise ModelError(
            f"There is no weights file {path}.", "Give 'imagenet' or an existing .safetensors or .pth file."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged, or a pickle that holds more than weights and could run code; it was not opened.",
            "Save its state_dict() alone, best with safetensors.torch.save_file.",
        ) from error
    except DAMAGED as error:
        raise ModelError(
            f"{path} cannot be read as weights ({error}).", "Give a .safetensors or .pth file of a state_dict."
        ) from error
    while isinstance(state, dict) and (nests := [key for key in NESTS if isinstance(state.get(key), dict)]):
        state = state[nests[0]]
    items = state.items() if isinstance(state, dict) else ()
    tensors = {name: value for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no weights.", "Give a .safetensors or .pth file of a state_dict.")
    return tensors


def fit_weights(network: nn.Module, state: dict[str, Tensor], name: str) -> LoadReport:
    """Copy the weights in `state` that `network` has a place for.

    A first convolution for another number of channels is adapted, see `adapt_first_convolution`.

    Args:
        network: Changed in place.
        state: Weights by name; the common prefixes are understood.
        name: Where they come from, for messages.

    Raises:
        ModelError: Fewer than half of the encoder's weights fit.
    """
    own = network.state_dict()
    first = first_convolution(network)
    sources = {_own_name(key, own): key for key in state}
    fitting, reshaped = {}, []
    for key in own.keys() & sources.keys():
        weight = value = state[sources[key]]
        if key == first and value.ndim == 4 and value.shape[1] != own[key].shape[1]:
            weight = adapt_first_convolution(value, own[key].shape[1])
            reshaped.append(key)
        if weight.shape == own[key].shape:
            fitting[key] = weight
    wanted = [key for key in own if not key.endswith("num_batches_tracked")]
    loaded = [key for key in wanted if key in fitting]
    encoder = [key for key in wanted if key.startswith("encoder.")]
    fits = len(set(encoder) & fitting.keys())
    if fits < LEAST_SHARE * len(encoder):
        raise ModelError(
            f"Of the {len(encoder)} weights of the encoder, {fits or 'none'} can be taken from {name}.",
            "Give weights of the same encoder, or set model.encoder to the one that they belong to.",
        )
    network.load_state_dict(fitting, strict=False)
    used = {sources[key] for key in fitting}
    return LoadReport(
        loaded=tuple(loaded),
        reshaped=tuple(key for key in reshaped if key in fitting),
        missing=tuple(key for key in wanted if key not in fitting),
        unused=tuple(key for key in state if key not in used),
    )


def first_convolution(network: nn.Module) -> str:
    """Return the name of the one weight whose shape depends on the number of input channels."""
    return next(f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def adapt_first_convolution(weight: Tensor, channels: int) -> Tensor:
    """Adapt a convolution's weight to another number of input channels, keeping the size of its response.

    One channel gets the sum over the old channels, which is exact for a grey image shown as RGB. More channels repeat
    the old ones in turn, scaled by old / new channels; exact where the new number is a multiple of the old one.

    Args:
        weight: (out, old channels, k, k).
        channels: The new number of input channels.

    Returns:
        (out, channels, k, k).
    """
    old = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % old] * (old / channels)


def _own_name(key: str, own: dict[str, Tensor]) -> str:
    """Return the network's name for a weight of a file: strip wrappers, and place a bare encoder's names."""
    for _ in WRAPPERS:
        for wrapper in WRAPPERS:
            key = key.removeprefix(wrapper)
    return key if key in own else f"encoder.{key}"
