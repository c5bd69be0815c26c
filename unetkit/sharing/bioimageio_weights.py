"""The weights in a package of bioimage.io: ONNX, TorchScript, and a state dict where smp can build the network."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from bioimageio.spec.conda_env import CondaEnv, PipDeps
from bioimageio.spec.model import v0_5
from torch import Tensor

from unetkit.models.encoders import smp_name
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.graphs import OPSET, write_onnx, write_torchscript


def write_weights(segmenter: Segmenter, folder: Path, *, inside: bool) -> v0_5.WeightsDescr:
    """Write the weights of a model and return their description. All give the same probabilities.

    Args:
        segmenter: The model.
        folder: Where the files are put.
        inside: Whether the networks normalise raw pixels by themselves, which smp's cannot.
    """
    torch_version = v0_5.Version(torch.__version__.partition("+")[0])
    state, parent = None, None
    if not inside and is_plain_smp(segmenter.spec):
        state, parent = _write_state(segmenter, folder, torch_version), "pytorch_state_dict"
    onnx, script = folder / "weights.onnx", folder / "weights.torchscript.pt"
    write_onnx(segmenter, onnx, fixed=None, half=False)
    write_torchscript(segmenter, script, fixed=None, half=False)
    comment = "Raw pixels in, probabilities out." if inside else "Normalised pixels in, probabilities out."
    return v0_5.WeightsDescr(
        onnx=v0_5.OnnxWeightsDescr(
            source=onnx,
            opset_version=OPSET,
            parent=parent or "torchscript",  # type: ignore[arg-type]  # one of its words
            comment=comment,
        ),
        torchscript=v0_5.TorchscriptWeightsDescr(
            source=script,
            pytorch_version=torch_version,
            parent=parent,  # type: ignore[arg-type]
            comment=comment,
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
    needs.write_text(_to_yaml(environment.model_dump(mode="json", exclude_none=True)), "utf-8")
    return v0_5.PytorchStateDictWeightsDescr(
        source=weights,
        architecture=v0_5.ArchitectureFromLibraryDescr(
            callable=v0_5.Identifier("Unet"), import_from="segmentation_models_pytorch", kwargs=arguments
        ),
        pytorch_version=torch_version,
        dependencies=v0_5.FileDescr(source=needs),
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


def _to_yaml(content: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(content, sort_keys=False)
    return text
