"""Backends by name: which are installed, what they can do, and how they are made."""

from __future__ import annotations

from importlib.util import find_spec
from threading import RLock
from typing import Literal

import torch

from unetkit.backends.base import Backend, Precision
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import Segmenter

BackendName = Literal["torch", "compile", "onnxruntime", "openvino"]

PACKAGES: dict[BackendName, tuple[str, ...]] = {
    "torch": (),
    "compile": (),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
}
"""Packages that each backend needs besides torch; those of the extra of the same name."""

PRECISIONS: dict[BackendName, dict[str, tuple[Precision, ...]]] = {
    "torch": {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16"), "mps": ("fp32", "fp16")},
    "compile": {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")},
    "onnxruntime": {"cpu": ("fp32",), "cuda": ("fp32",)},
    "openvino": {"cpu": ("fp32", "bf16", "int8")},
}
"""What each backend computes in, by kind of device."""


CREATING = RLock()
"""Held while a model is put on a backend: PyTorch exports, traces and compiles for one thread at a time."""


def is_installed(name: BackendName) -> bool:
    """Return whether the packages of a backend are there."""
    return all(find_spec(package) is not None for package in PACKAGES[name])


def check_backend(name: BackendName, device: torch.device, precision: Precision) -> None:
    """Check that a backend can be made.

    Raises:
        ConfigError: It is not installed, or knows no such device or precision.
    """
    if not is_installed(name):
        raise ConfigError(f"The backend {name} is not installed.", f"Run `pip install unetkit[{name}]`.")
    possible = PRECISIONS[name].get(device.type)
    if possible is None:
        raise ConfigError(
            f"The backend {name} does not run on {device.type}.",
            f"Use --device {' or '.join(PRECISIONS[name])}, or --backend torch.",
        )
    if precision not in possible:
        others = [other for other, table in PRECISIONS.items() if precision in table.get(device.type, ())]
        elsewhere = f", or --backend {' or '.join(others)}" if others else ""
        raise ConfigError(
            f"The backend {name} does not compute in {precision} on {device.type}.",
            f"Use --precision {' or '.join(possible)}{elsewhere}.",
        )


def create_backend(
    name: BackendName, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool = False
) -> Backend:
    """Put a model on a backend; int8 is made by `unetkit.backends.int8`.

    Args:
        name: Of the backend.
        segmenter: The model.
        device: Where to run.
        precision: Arithmetic of the network.
        owned: Whether the segmenter's network may be changed, because nothing else uses it.

    Raises:
        ConfigError: The backend is not installed, or knows no such device or precision.
    """
    check_backend(name, device, precision)
    with CREATING:
        if name == "openvino":
            from unetkit.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(segmenter, precision)
        if name == "onnxruntime":
            from unetkit.backends.onnxruntime import OnnxRuntimeBackend

            return OnnxRuntimeBackend(segmenter, device)
        from unetkit.backends.eager import CompiledBackend, TorchBackend

        return (CompiledBackend if name == "compile" else TorchBackend)(segmenter, device, precision, owned=owned)
