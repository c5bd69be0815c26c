"""A model in the layout of segmentation-models-pytorch's `save_pretrained`, which `smp.from_pretrained` opens."""

from __future__ import annotations

from pathlib import Path

import segmentation_models_pytorch as smp
import torch

from unetkit.foundation.errors import ModelError
from unetkit.models.encoders import smp_name
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, save_state
from unetkit.models.spec import ModelSpec


def check_smp(spec: ModelSpec) -> None:
    """Raise a ModelError unless smp has the network of a model."""
    reasons = {
        f"smp has no {spec.arch}": spec.arch != "unet",
        "smp has no networks of volumes": spec.dims != 2,
        "smp has no place for the classes of whole images": bool(spec.image_classes),
        "it adds its input to what its layers make, and smp does not": spec.residual,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason is not None:
        raise ModelError(f"This model cannot have smp's layout: {reason}.", "Leave smp_layout out.")


def write_smp_layout(segmenter: Segmenter, folder: Path, dtype: torch.dtype) -> list[str]:
    """Write config.json and the weights as smp's `save_pretrained` does; unetkit's description goes into the weights.

    smp builds the stages of an encoder that lie deeper than the model and are never computed, and its loader wants
    weights for them. They get random ones, the same each time.

    Args:
        segmenter: The model.
        folder: An empty folder.
        dtype: Type of the stored weights.

    Returns:
        The names of those weights' parts, such as "encoder.layer4"; empty where there are none.

    Raises:
        ModelError: smp has no such network.
    """
    spec = segmenter.spec
    check_smp(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = smp.Unet(
            encoder_name=smp_name(spec.encoder),
            encoder_depth=spec.depth,
            encoder_weights=None,
            decoder_channels=spec.decoder_channels,
            in_channels=spec.network_inputs,
            classes=spec.network_channels,
        )
    found = network.load_state_dict(segmenter.network.state_dict(), strict=False)
    if found.unexpected_keys:
        raise ModelError(
            f"This model has weights that smp's has not, such as {found.unexpected_keys[0]}.", "Leave smp_layout out."
        )
    network.save_pretrained(folder)
    save_state(network.state_dict(), spec, folder / MODEL_FILE, dtype)
    return sorted({".".join(key.split(".")[:2]) for key in found.missing_keys})
