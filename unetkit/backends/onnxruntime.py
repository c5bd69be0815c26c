"""ONNX Runtime."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.backends.base import Backend, CoreModel, example_of, fold_batch_norm
from unetkit.backends.graph import GraphBackend, graph_in
from unetkit.backends.info import BackendInfo, Precision
from unetkit.foundation.errors import ConfigError
from unetkit.models.onnx_graph import open_graph
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept

if TYPE_CHECKING:
    import onnxruntime as ort

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""ONNX Runtime's names of the devices."""

GRAPH_INPUTS = ["pixels", "center", "scale", "cuts"]
"""Names of the graph's inputs."""

OPSET = 18
"""Version of ONNX's operators."""


class OnnxRuntimeBackend:
    """A model on ONNX Runtime, in float32.

    Args:
        segmenter: The model.
        device: CPU, or CUDA where the package onnxruntime-gpu is installed.

    Raises:
        ConfigError: This ONNX Runtime does not run on the device.
    """

    memory_format = torch.contiguous_format

    def __init__(self, segmenter: Segmenter, device: torch.device) -> None:
        import onnxruntime as ort

        provider = _provider(device)
        self.device = torch.device("cpu")  # where windows and probabilities are; the runtime copies by itself
        self._spec = segmenter.spec
        self._shrink: ort.RunOptions | None = None
        if device.type == "cpu":
            self._shrink = ort.RunOptions()
            self._shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._plan = CoreModel(segmenter, segmenter.network).network.plan
        self._session = ort.InferenceSession(export(segmenter), providers=[provider])

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch; see `Backend`."""
        return torch.from_numpy(self._session.run(None, self._inputs(pixels, center, scale, kept))[0])

    def release(self) -> None:
        """Give back the memory that windows took: the runtime does so at the end of a run, here of a small one."""
        if self._shrink is not None:
            self._session.run(None, self._inputs(*example_of(self._spec)), self._shrink)

    def _inputs(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> dict[str, NDArray[Any]]:
        cuts = self._plan(tuple(pixels.shape[2:]), kept)
        inputs = (pixels.float().contiguous().numpy(), center.numpy(), scale.numpy(), cuts)
        return dict(zip(GRAPH_INPUTS, inputs, strict=True))


def _provider(device: torch.device) -> str:
    """Return ONNX Runtime's name of a device.

    Raises:
        ConfigError: This ONNX Runtime does not run on it.
    """
    import onnxruntime as ort

    provider = PROVIDERS.get(device.type, device.type)
    if provider not in ort.get_available_providers():
        raise ConfigError(
            f"This ONNX Runtime does not run on {device}.",
            "Install onnxruntime-gpu in place of onnxruntime, or use --backend torch.",
        )
    return provider


def export(segmenter: Segmenter) -> bytes:
    """Return the graph of a model as ONNX: float32 pixels of any size, center, scale and cuts in, probabilities out."""
    network = fold_batch_norm(segmenter.network, segmenter.spec.network_inputs)
    model = CoreModel(segmenter.cpu().eval(), network).eval()
    *example, kept = example_of(segmenter.spec)
    cuts = torch.from_numpy(model.network.plan(tuple(example[0].shape[2:]), kept))
    free = {axis: f"size {axis}" for axis in range(2, example[0].dim())}
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # torch's: that this exporter is the older one (the newer cannot cut by numbers that are inputs), and that
        # numbers read from tensors are fixed (those of the cuts are not).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (*example, cuts),
            file,  # type: ignore[arg-type]  # it takes files as well
            input_names=GRAPH_INPUTS,
            output_names=["probabilities"],
            dynamic_axes={"pixels": {0: "n", **free}, "center": {0: "n"}, "scale": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def create(segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> Backend:  # noqa: ARG001
    """Put a model on ONNX Runtime; see `Create`."""
    graph = graph_in(segmenter)
    if graph is None:
        return OnnxRuntimeBackend(segmenter, device)
    session = open_graph(graph.path, [_provider(device)])
    names = list(graph.output_names)

    def run(array: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, session.run(names, {graph.input_name: array}), strict=True))

    return GraphBackend(segmenter, run, release=lambda: None)


INFO = BackendInfo(
    name="onnxruntime",
    create=create,
    precisions={"cpu": ("fp32",), "cuda": ("fp32",)},
    creation_seconds=0.6,  # the built-in model took 0.4 s on two cores of an Intel Xeon
    feature_overhead=2.4,  # with both no run of a U-Net on ResNet-18 or 34 was measured above its bound on a CPU
    weight_overhead=3.0,
    packages=("onnxruntime", "onnx"),
    install="pip install unetkit[onnxruntime]",
    candidate_on=("cpu",),
    foreign=("smp", "onnx"),
)
