"""Files of weights, read without running any code in them."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from unetkit.fetching.registry import KNOWN_WEIGHTS
from unetkit.foundation.errors import ModelError, closest
from unetkit.models.builtin_models import builtin_names
from unetkit.models.integrity import check_finite_weights, check_weights
from unetkit.models.model_file import METADATA_KEY

CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "network", "net", "encoder", "backbone", "teacher")
"""Keys under which checkpoints store their weights."""

DAMAGED_FILE_ERRORS = (
    *(SafetensorError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError),
    *(zipfile.BadZipFile, struct.error),
)
"""Errors that safetensors and torch raise for files that are cut off or hold no weights."""

WHAT_TO_GIVE = "Give a .safetensors or .pth file of a state_dict."


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights without running any code in it.

    Args:
        path: A `.safetensors` file; any other name is read as a file of PyTorch: `.pth`, `.pt`, `.ckpt`, `.pth.tar`.

    Raises:
        ModelError: The file does not exist, is damaged, has weights that are NaN or infinite, or is a pickle of
            anything but weights.
    """
    if not path.is_file():
        raise _missing(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged, or a pickle that holds more than weights and could run code; it was not opened.",
            "Save its state_dict() alone, best with safetensors.torch.save_file.",
        ) from error
    except DAMAGED_FILE_ERRORS as error:
        raise ModelError(f"{path} cannot be read as weights ({error}).", WHAT_TO_GIVE) from error
    while isinstance(state, dict) and (nests := [key for key in CHECKPOINT_KEYS if isinstance(state.get(key), dict)]):
        state = state[nests[0]]
    items = state.items() if isinstance(state, dict) else ()
    tensors = {name: value for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no weights.", WHAT_TO_GIVE)
    check_finite_weights(tensors, str(path))
    return tensors


def _missing(path: Path) -> ModelError:
    """Return the error for a file that does not exist, which may be a name that was misspelt."""
    names = [*KNOWN_WEIGHTS, *builtin_names()]
    if len(path.parts) == 1 and not path.suffix:
        return ModelError(
            f"There are no weights '{path}', nor a file of that name.",
            f"{closest(str(path), names)} Or give a .safetensors or .pth file, or hf:owner/name.",
        )
    return ModelError(
        f"There is no weights file {path}.",
        f"Give an existing .safetensors or .pth file, hf:owner/name, or one of {', '.join(names)}.",
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file; those of a unetkit model have to be the ones that were written."""
    weights = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    check_weights(weights, str(path), metadata, metadata.get(METADATA_KEY, ""))
    return weights
