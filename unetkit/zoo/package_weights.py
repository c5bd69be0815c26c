"""The weights in a package of bioimage.io: which are used, whether they are those of the description, the network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from bioimageio.spec.model import v0_5
from torch import Tensor, nn

from unetkit.foundation.errors import ModelError
from unetkit.models.model_file import hash_file
from unetkit.models.onnx_graph import OnnxGraph
from unetkit.zoo.package_files import PackageFiles
from unetkit.zoo.torchscript_safety import check_torchscript

Kind = Literal["onnx", "torchscript", "smp"]

USABLE = "Use a package with onnx, torchscript, or pytorch_state_dict of a class of segmentation_models_pytorch."
"""What unetkit runs, in the order in which it is looked for."""

SMP = "segmentation_models_pytorch"


def choose_weights(weights: v0_5.WeightsDescr, path: Path | str) -> Kind:
    """Return which weights of a package are used.

    Raises:
        ModelError: None of them can be run without code from the package, or without another framework.
    """
    if weights.onnx is not None and (find_spec("onnxruntime") is not None or weights.torchscript is None):
        return "onnx"
    if weights.torchscript is not None:
        return "torchscript"
    state = weights.pytorch_state_dict
    if state is None:
        given = ", ".join(name for name, entry in weights if entry is not None)
        raise ModelError(f"The weights in {path} are {given}, which unetkit cannot run.", USABLE)
    network = state.architecture
    if isinstance(network, v0_5.ArchitectureFromFileDescr):
        raise ModelError(
            f"The weights in {path} are pytorch_state_dict of a network that is code ({network.callable}), and unetkit "
            "runs no code from a package.",
            USABLE,
        )
    if network.import_from.partition(".")[0] != SMP:
        raise ModelError(
            f"The weights in {path} are pytorch_state_dict of {network.import_from}.{network.callable}, which unetkit "
            "has not.",
            USABLE,
        )
    return "smp"


def load_weights(weights: v0_5.WeightsDescr, kind: Kind, files: PackageFiles, dtype: torch.dtype) -> nn.Module:
    """Load a network.

    Args:
        weights: The weights of a package.
        kind: Which of them.
        files: The files of the package.
        dtype: Type of the numbers that the network takes.

    Raises:
        ModelError: A file is missing, is not the one of the description, is damaged, or may do more than compute.
    """
    if kind == "onnx":
        assert weights.onnx is not None
        if weights.onnx.external_data is not None:
            checked_file(weights.onnx.external_data, files)
        return OnnxGraph(checked_file(weights.onnx, files))
    if kind == "torchscript":
        assert weights.torchscript is not None
        return ScriptNetwork(checked_file(weights.torchscript, files), dtype)
    assert weights.pytorch_state_dict is not None
    return _build_smp(weights.pytorch_state_dict, checked_file(weights.pytorch_state_dict, files), files)


def weights_sha256(weights: v0_5.WeightsDescr, kind: Kind, files: PackageFiles) -> str:
    """Return the hash of the file of the weights that are used."""
    return hash_file(checked_file(weights.pytorch_state_dict if kind == "smp" else getattr(weights, kind), files))


def checked_file(entry: Any, files: PackageFiles) -> Path:
    """Return the path of a file of a package.

    Args:
        entry: What the description says of it: its name, and its hash.
        files: The files of the package.

    Raises:
        ModelError: It is missing, lies elsewhere, or its hash is another one than the description states.
    """
    source = str(getattr(entry.source, "path", entry.source))
    if "://" in str(entry.source):
        raise ModelError(
            f"The file {entry.source} is not in {files.path}, only its address is.",
            "Download the package with all its files, or give bioimageio:NICKNAME.",
        )
    path = files.file(source)
    if entry.sha256 is not None and hash_file(path) != str(entry.sha256):
        raise ModelError(
            f"{source} in {files.path} is not the file of the description: its SHA-256 is another one.",
            "Download the package again.",
        )
    return path


class ScriptNetwork(nn.Module):
    """A network in a file of TorchScript.

    Args:
        path: The file.
        dtype: Type of the numbers that it takes.

    Raises:
        ModelError: It is damaged, or may do more than compute; then nothing of it is run.
    """

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        super().__init__()
        check_torchscript(path)
        try:
            script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError, ValueError) as error:
            raise ModelError(
                f"{path} is no TorchScript that this PyTorch can run ({str(error).strip().splitlines()[0]}).",
                "Copy it again, or use a package with ONNX.",
            ) from error
        self.script = script.eval()
        self.dtype = dtype

    def forward(self, pixels: Tensor) -> Any:
        """Return what the network gives for a batch."""
        return self.script(pixels if self.dtype == torch.float32 else pixels.to(self.dtype))


def _build_smp(entry: v0_5.PytorchStateDictWeightsDescr, path: Path, files: PackageFiles) -> nn.Module:
    """Build a network of segmentation-models-pytorch and load its weights, none from the internet."""
    from unetkit.models.weight_files import read_weights
    from unetkit.zoo.smp_config import check_config

    arguments = dict(entry.architecture.kwargs)
    if arguments.get("activation") == "logsoftmax":
        raise ModelError(
            f"The network in {files.path} gives logarithms of probabilities.", "Use a package that gives probabilities."
        )
    config = check_config(str(entry.architecture.callable), arguments, files.description)
    network = config.build()
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise ModelError(
            f"The weights in {files.path} do not fit {config.kind} ({str(error).strip().splitlines()[0]}).",
            "Use a package with ONNX or TorchScript.",
        ) from error
    ends: dict[str, list[nn.Module]] = {"none": [], "sigmoid": [nn.Sigmoid()], "softmax": [nn.Softmax(dim=1)]}
    return nn.Sequential(network, *ends[config.activation]).eval()
