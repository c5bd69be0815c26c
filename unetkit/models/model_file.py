"""The description in a model file, read without PyTorch and without the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from unetkit.foundation.errors import ModelError
from unetkit.models.spec import ModelSpec

MODEL_FILE = "model.safetensors"
"""File name of the model in the folder of a run."""

METADATA_KEY = "unetkit"
"""Key of the spec's JSON in the metadata of a model file."""


def read_spec(path: Path) -> ModelSpec:
    """Read the description of a model file without its weights.

    Raises:
        ModelError: The file is missing, is not a unetkit model, or comes from a newer version.
    """
    remedy = "Give a model.safetensors that `unetkit fit` wrote."
    if not path.is_file():
        raise ModelError(f"There is no model file {path}.", remedy)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a unetkit model ({error}).", remedy) from error
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path} holds weights, but not a unetkit model's description.", remedy)
    return ModelSpec.from_json(metadata[METADATA_KEY], str(path))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
