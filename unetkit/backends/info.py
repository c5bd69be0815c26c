"""The facts about a backend. This module imports no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import torch

    from unetkit.backends.base import Backend, Probe
    from unetkit.models.segmenter import Segmenter

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""Arithmetic of the network: float32, bfloat16, float16, or 8-bit integers where they do no harm."""


class Create(Protocol):
    """Puts a model on a backend."""

    def __call__(self, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> Backend:
        """Put a model on the backend.

        Args:
            segmenter: The model.
            device: Where to run; of a kind that `BackendInfo.precisions` names.
            precision: Arithmetic of the network; one that `BackendInfo.precisions` names for the device, but not int8.
            owned: Whether the segmenter's network may be changed, because nothing else uses it.

        Raises:
            ConfigError: The backend cannot be made on this machine.
        """


class Quantizer(Protocol):
    """Puts one model in int8 on one backend. `unetkit.backends.int8` decides what is called, and whether int8 is used.

    Attributes:
        file: File that keeps the quantised model; None to keep nothing.
        identity: The model, and the versions of the packages that quantise it.
    """

    file: Path | None
    identity: str

    def load(self) -> Backend | None:
        """Return the quantised model that was kept, if there is one."""

    def exact(self) -> Backend:
        """Return the model in float32."""

    def quantize(self, windows: Sequence[Probe]) -> Backend:
        """Return the model in int8, with the ranges that its features have on some windows of float32.

        Raises:
            ConfigError: A package is not installed.
        """

    def keep(self) -> Backend:
        """Keep what `quantize` made, and return it as a later run will load it."""


@dataclass(frozen=True, eq=False)
class BackendInfo:
    """All facts about a backend. They stand in the backend's own file as `INFO`.

    Attributes:
        name: Name of the backend, as in `--backend NAME`.
        create: Puts a model on the backend. It is called only where `packages` are installed.
        precisions: Arithmetic that it computes in, by kind of device ("cpu", "cuda", "mps").
        creation_seconds: Approximate time to put a model on it. A backend for which there is no time is not tried.
        feature_overhead: Memory for features, in sizes of the features that PyTorch has in memory together.
        weight_overhead: Memory for weights, in sizes of the weights.
        runtime_bytes: Memory of the backend's own code.
        axes: How many axes windows may have: 2 for planes, 3 for volumes.
        foreign: Kinds of networks that it runs of those that unetkit did not build, see `ForeignSpec.kind`. Graphs and
            TorchScript run in float32 only.
        quantizer: Makes the `Quantizer` of a model; None where `precisions` has no int8.
        packages: Packages that it needs besides PyTorch, by the names that they are imported by.
        install: Command that installs these packages.
        candidate_on: Kinds of devices on which "auto" times it.
        largest_tile: Size of tiles where nothing is timed; None for the usual one of the device.
        takes_weights: Whether it uses the weights of an owned model themselves, where others need a copy.
        single_thread: Whether a model on it serves only one thread. It is then not kept for later calls.
        computes_whole_at_border: Whether tiles at the border of an image are computed whole and cut afterwards.
    """

    name: str
    create: Create
    precisions: Mapping[str, tuple[Precision, ...]]
    creation_seconds: float
    feature_overhead: float
    weight_overhead: float
    runtime_bytes: int = 0
    axes: tuple[int, ...] = (2, 3)
    foreign: tuple[str, ...] = ("smp",)
    quantizer: Callable[[Segmenter], Quantizer] | None = None
    packages: tuple[str, ...] = ()
    install: str = ""
    candidate_on: tuple[str, ...] = ()
    largest_tile: int | None = None
    takes_weights: bool = False
    single_thread: bool = False
    computes_whole_at_border: bool = False
