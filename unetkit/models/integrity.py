"""Check that weights are those that were written: a digest in the model file, and no NaN among the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b

import torch
from torch import Tensor

from unetkit.foundation.errors import ModelError

DIGEST_KEY = "unetkit_digest"
"""Key of the digest in the metadata of a model file. Old files have none."""

DIGEST_BYTES = 16
"""Length of the digest, in bytes."""


def digest(weights: Mapping[str, Tensor], description: str) -> str:
    """Return the BLAKE2b hash, in hexadecimal, of what a model file holds.

    Args:
        weights: Contiguous tensors on the CPU, as they are stored.
        description: The model's description, as it is stored.
    """
    total = blake2b(description.encode(), digest_size=DIGEST_BYTES)
    for name in sorted(weights):
        tensor = weights[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def check_weights(weights: Mapping[str, Tensor], name: str, metadata: Mapping[str, str], description: str) -> None:
    """Raise a ModelError unless weights are as they were written and finite.

    Args:
        weights: See `digest`.
        name: The file, for messages.
        metadata: Metadata of the file; without a digest only the numbers are checked.
        description: See `digest`.
    """
    written = metadata.get(DIGEST_KEY)
    if written is not None and written != digest(weights, description):
        raise ModelError(
            f"{name} is damaged, or was changed after it was written: its content does not match its digest.",
            "Copy or download it again.",
        )
    check_finite_weights(weights, name)


def check_finite_weights(weights: Mapping[str, Tensor], name: str) -> None:
    """Raise a ModelError if a weight is NaN or infinite."""
    broken = [
        key for key, tensor in weights.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise ModelError(
            f"{len(broken)} of the {len(weights)} tensors in {name} hold NaN or infinite weights, such as {broken[0]}: "
            "the training that wrote it diverged.",
            "Use an earlier model, or train again with a lower learning rate.",
        )


def sort_metadata(file: bytes) -> bytes:
    """Return a safetensors file with its metadata in the order of their keys, so that a model has one form.

    safetensors writes them in any order. See https://huggingface.co/docs/safetensors for the format.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + file[8 + length :]
