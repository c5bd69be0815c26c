"""Models, loaded or described, whatever program wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unetkit.models.spec import ModelSpec
from unetkit.zoo.kinds import known_kind
from unetkit.zoo.references import find_model

if TYPE_CHECKING:
    import torch

    from unetkit.models.segmenter import Segmenter


def load_model(model: str | Path, device: str | torch.device = "cpu") -> Segmenter:
    """Load a model, ready to predict.

    Args:
        model: A `.safetensors` file that `unetkit fit` or `unetkit pretrain` wrote; the name of a built-in model such
            as "nuclei"; a package of bioimage.io (.zip, folder or rdf.yaml, or `bioimageio:NICKNAME`); an `.onnx` file;
            a folder that smp's `save_pretrained` wrote; or `hf:owner/name[@revision]`.
        device: Where to put it.

    Raises:
        ModelError: The file is missing, is no model, is damaged, has weights that are NaN or infinite, comes from a
            newer version, or needs what unetkit has not.
    """
    path = find_model(model)
    return known_kind(path).load(path).to(device).eval()


def describe_model(path: Path) -> ModelSpec:
    """Return what the model in a file or folder is, without its weights where that is possible.

    Raises:
        ModelError: See `load_model`.
    """
    return known_kind(path).describe(path)
