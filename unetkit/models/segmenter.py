"""Segmenter: a network plus everything needed to use it again, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from unetkit.foundation.atomic import partial_file
from unetkit.foundation.errors import ModelError
from unetkit.models.integrity import DIGEST_KEY, check_weights, digest, sort_metadata
from unetkit.models.model_file import METADATA_KEY, hash_file, read_spec
from unetkit.models.normalizer import Normalizer
from unetkit.models.spec import ModelSpec
from unetkit.models.steps import StepNormalizer
from unetkit.models.unet import build_network

STORED_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
"""Types of the tensors in a model file. In memory all real numbers are float32."""


class Segmenter(nn.Module):
    """Raw pixels in, probabilities out.

    Args:
        spec: Description of the model.
        network: The network that `spec` describes; a new one with random weights by default.

    Attributes:
        name: Where the model was loaded from; used in messages and in the metadata of outputs.
        sha256: Hash of the file that the model was loaded from; "" for one that never was a file.
        remarks: Sentences on what the file of a model of another program does not say, and what is taken for it.
        halo_known: Whether the halo in `spec` is that of the model, not a stand-in.
    """

    def __init__(self, spec: ModelSpec, network: nn.Module | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.network = build_network(spec) if network is None else network
        steps = None if spec.foreign is None else spec.foreign.before
        self.normalizer = (
            Normalizer(spec.normalization, spec.planes) if steps is None else StepNormalizer(steps, spec.planes)
        )
        self.name = "model"
        self.sha256 = ""
        self.remarks: tuple[str, ...] = () if spec.foreign is None else spec.foreign.remarks
        self.halo_known = spec.foreign is None or spec.foreign.halo_known

    def forward(self, pixels: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Predict the probability of each class for a batch.

        Args:
            pixels: (N, C, ...) raw values, C being `spec.network_inputs`; their sizes are multiples of `spec.strides`.
            center: (N, C) normalisation values, see `Normalizer`.
            scale: (N, C) normalisation values.

        Returns:
            (N, network_channels, ...) float32, 0 to 1: of the foreground, or of each class; then the distance map
            of a model with instances. A model that restores images returns normalised pixels.
        """
        normalized: Tensor = self.normalizer(pixels, center, scale)
        logits: Tensor = self.network(normalized).float()
        if not self.spec.residual:
            return to_probabilities(logits, self.spec)
        restored: Tensor = logits + normalized[:, self.spec.middle]
        return restored


def to_probabilities(logits: Tensor, spec: ModelSpec) -> Tensor:
    """Turn a network's output (N, network_channels, ...) into probabilities, 0 to 1; so its distance map too.

    Restored pixels stay as they are.
    """
    if spec.task == "reconstruction":
        return logits
    return logits.sigmoid() if spec.classes == 2 else logits.softmax(1)


def save_model(segmenter: Segmenter, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to one `.safetensors` file, which appears whole or not at all.

    Args:
        segmenter: The model.
        path: The file.
        dtype: Type of the stored real numbers. torch.float16 halves the file; a tensor with values beyond its range,
            such as the variances of a batch norm, stays as it is.

    Raises:
        OutputError: The file cannot be written.
    """
    save_state(segmenter.state_dict(), segmenter.spec, path, dtype)


def save_state(weights: Mapping[str, Tensor], spec: ModelSpec, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write weights with the description of their model; see `save_model`.

    Raises:
        OutputError: The file cannot be written.
    """
    description = replace(spec, unetkit_version=version("unetkit")).to_json()
    state = {name: _stored(tensor.detach().cpu(), dtype).contiguous() for name, tensor in weights.items()}
    metadata = {METADATA_KEY: description, DIGEST_KEY: digest(state, description)}
    with partial_file(path) as partial:
        partial.write_bytes(sort_metadata(save(state, metadata=metadata)))


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor in another type, if it holds real numbers and all are within the type's range."""
    if not tensor.is_floating_point() or tensor.abs().max() > torch.finfo(dtype).max:
        return tensor
    return tensor.to(dtype)


def load_network(path: Path, device: str | torch.device = "cpu") -> Segmenter:
    """Load a file that `unetkit fit` or `unetkit pretrain` wrote; `unetkit.load_model` takes other models too.

    Raises:
        ModelError: The file is missing, is not a unetkit model, is damaged, has weights that are NaN or infinite, or
            comes from a newer version.
    """
    spec = read_spec(path)
    with torch.device("meta"):  # weights that are about to be replaced take neither time nor memory
        segmenter = Segmenter(spec)
    try:
        segmenter.load_state_dict(_read_weights(path), assign=True)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The weights in {path} do not fit its description; the file is damaged.", "Copy or train it again."
        ) from error
    segmenter.name = str(path)
    segmenter.sha256 = hash_file(path)
    return segmenter.to(device).eval()


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file that `read_spec` has checked, one after the other.

    safetensors itself maps the file: its pages and the weights would count twice, and stay until the last is replaced.
    Format: the length of the header (8 bytes), the header (JSON), the data; see
    https://huggingface.co/docs/safetensors.

    Raises:
        ModelError: The weights are not those that were written, or NaN or infinite.
    """
    weights: dict[str, Tensor] = {}
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        for name, entry in entries.items():
            tensor = torch.empty(entry["shape"], dtype=STORED_TYPES[entry["dtype"]])
            file.seek(8 + length + entry["data_offsets"][0])
            file.readinto(tensor.reshape(-1).view(torch.uint8).numpy().data)
            weights[name] = tensor
    check_weights(weights, str(path), metadata, metadata.get(METADATA_KEY, ""))
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            weights[name] = tensor.float()
    return weights
