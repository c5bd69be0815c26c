"""The weights in a package of bioimage.io: ONNX, TorchScript, and a state dict where smp can build the network."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
import yaml
from bioimageio.spec.conda_env import CondaEnv, PipDeps
from bioimageio.spec.model import v0_5
from torch import Tensor

from unetkit.models.encoders import smp_name
from unetkit.models.model_file import hash_file
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.bioimageio_tensors import describe_file
from unetkit.sharing.graphs import OPSET, takes_raw, write_onnx, write_torchscript

ONNX_FILE = "weights.onnx"
"""Name of the graph of ONNX in a package."""


def write_weights(segmenter: Segmenter, folder: Path) -> v0_5.WeightsDescr:
    """Write the weights of a model and return their description. All entries give the same probabilities.

    There is a state dict where smp builds the network and the description says how images are normalised.

    Args:
        segmenter: The model.
        folder: Where the files are put.
    """
    raw = takes_raw(segmenter.spec)
    comment = "Raw pixels in, probabilities out." if raw else "Normalised pixels in, probabilities out."
    torch_version = v0_5.Version(torch.__version__.partition("+")[0])
    state = None if raw or not is_plain_smp(segmenter.spec) else _write_state(segmenter, folder, torch_version)
    onnx, script = folder / ONNX_FILE, folder / "weights.torchscript.pt"
    write_onnx(segmenter, onnx)
    write_torchscript(segmenter, script)
    parent: Any = None if state is None else "pytorch_state_dict"
    return v0_5.WeightsDescr(
        onnx=v0_5.OnnxWeightsDescr(**_file(onnx), opset_version=OPSET, parent=parent or "torchscript", comment=comment),
        torchscript=v0_5.TorchscriptWeightsDescr(
            **_file(script), pytorch_version=torch_version, parent=parent, comment=comment
        ),
        pytorch_state_dict=state,
    )


def is_plain_smp(spec: ModelSpec) -> bool:
    """Return whether segmentation-models-pytorch builds the network by itself: its U-Net, of planes."""
    return spec.arch == "unet" and spec.dims == 2


def smp_arguments(spec: ModelSpec) -> dict[str, Any]:
    """Return the arguments of `smp.Unet` for a network that gives probabilities."""
    return {
        "encoder_name": smp_name(spec.encoder),
        "encoder_depth": spec.depth,
        "encoder_weights": None,
        "decoder_channels": list(spec.decoder_channels),
        "in_channels": spec.network_inputs,
        "classes": spec.network_channels,
        "activation": "sigmoid" if spec.classes == 2 else "softmax2d",
    }


def _file(path: Path) -> dict[str, Any]:
    return {"source": path, "sha256": v0_5.Sha256(hash_file(path))}


def _write_state(segmenter: Segmenter, folder: Path, torch_version: v0_5.Version) -> v0_5.PytorchStateDictWeightsDescr:
    """Write the state dict and the environment that it needs."""
    arguments = smp_arguments(segmenter.spec)
    weights, needs = folder / "weights.pth", folder / "environment.yaml"
    torch.save(_complete_state(segmenter, arguments), weights)
    environment = CondaEnv(
        channels=["conda-forge", "nodefaults"],
        dependencies=[
            "python>=3.10",
            f"pytorch=={torch_version}",
            "pip",
            PipDeps(pip=[f"segmentation-models-pytorch=={version('segmentation-models-pytorch')}"]),
        ],
    )
    needs.write_text(yaml.safe_dump(environment.model_dump(mode="json", exclude_none=True), sort_keys=False), "utf-8")
    return v0_5.PytorchStateDictWeightsDescr(
        **_file(weights),
        architecture=v0_5.ArchitectureFromLibraryDescr(
            callable=v0_5.Identifier("Unet"), import_from="segmentation_models_pytorch", kwargs=arguments
        ),
        pytorch_version=torch_version,
        dependencies=describe_file(needs),
        comment="A U-Net of segmentation-models-pytorch. Normalised pixels in, probabilities out.",
    )


def _complete_state(segmenter: Segmenter, arguments: dict[str, Any]) -> dict[str, Tensor]:
    """Return the state of smp's network: its weights, and zeros for parts beyond its depth, which it does not use.

    unetkit leaves these parts out. A zero is stored once for each, whatever the size.
    """
    with torch.device("meta"):
        wanted = smp.Unet(**arguments).state_dict()
    own = segmenter.network.state_dict()
    zeros = {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in wanted.items()}
    return {name: own[name].detach().cpu().clone() if name in own else zeros[name] for name in wanted}
