"""The kinds of model files, by a table: how each is recognised, described and loaded. It imports no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unetkit.foundation.errors import ModelError
from unetkit.models.builtin_models import MODEL_SUFFIX
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.spec import ModelSpec

if TYPE_CHECKING:
    from unetkit.models.segmenter import Segmenter


LARGEST_HEADER = 100_000_000
"""Bytes that the header of a safetensors file may have, see https://huggingface.co/docs/safetensors."""


@dataclass(frozen=True)
class ModelKind:
    """One kind of model file or folder.

    Attributes:
        name: What it is, for people, such as "a package of bioimage.io".
        recognises: Returns whether a path, which exists, is of this kind, by its name and what lies in it.
        home: Module with `describe(path) -> ModelSpec` and `load(path) -> Segmenter` (on the CPU, in evaluation mode).
            It is imported when a model of this kind is used.
    """

    name: str
    recognises: Callable[[Path], bool]
    home: str

    def describe(self, path: Path) -> ModelSpec:
        """Return what a model is, without its weights where that is possible.

        Raises:
            ModelError: It is damaged, or is of a kind that unetkit cannot run.
        """
        spec: ModelSpec = import_module(self.home).describe(path)
        return spec

    def load(self, path: Path) -> Segmenter:
        """Load a model on the CPU.

        Raises:
            ModelError: See `describe`.
        """
        segmenter: Segmenter = import_module(self.home).load(path)
        return segmenter


def _is_own(path: Path) -> bool:
    if path.suffix == MODEL_SUFFIX:
        return True
    with suppress(OSError):  # by another name: the length of the header, then the header in JSON
        with path.open("rb") as file:
            start = file.read(9)
        return start[8:] == b"{" and int.from_bytes(start[:8], "little") < LARGEST_HEADER
    return False


def _is_onnx(path: Path) -> bool:
    return path.suffix == ".onnx"


def _is_smp_folder(path: Path) -> bool:
    config = path / "config.json"
    if not config.is_file() or not (path / MODEL_FILE).is_file():
        return False
    with suppress(OSError, ValueError):
        return "_model_class" in json.loads(config.read_text(encoding="utf-8"))
    return False


def _is_bioimageio(path: Path) -> bool:
    names = ("rdf.yaml", "bioimageio.yaml")
    if path.is_dir():
        return any((path / name).is_file() for name in names)
    return path.suffix == ".zip" or path.name in names or path.name.endswith((".rdf.yaml", ".bioimageio.yaml"))


KINDS: tuple[ModelKind, ...] = (
    ModelKind("a package of bioimage.io", _is_bioimageio, "unetkit.zoo.bioimageio_package"),
    ModelKind("a folder of segmentation-models-pytorch", _is_smp_folder, "unetkit.zoo.smp_folder"),
    ModelKind("an ONNX file", _is_onnx, "unetkit.zoo.onnx_file"),
    ModelKind("a model of unetkit", _is_own, "unetkit.zoo.own_file"),
)
"""All kinds, in the order in which they are asked."""


def kind_of(path: Path) -> ModelKind | None:
    """Return of what kind a model is; None for a path that is no model, such as the folder of a run."""
    return next((kind for kind in KINDS if kind.recognises(path)), None)


def known_kind(path: Path) -> ModelKind:
    """Return of what kind a model is.

    Raises:
        ModelError: It is of none.
    """
    if (kind := kind_of(path)) is None:
        names = ", ".join(kind.name for kind in KINDS)
        raise ModelError(f"{path} is not a model that unetkit can read.", f"Give {names}.")
    return kind
