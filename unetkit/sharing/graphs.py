"""A model as one graph that needs no unetkit: ONNX and TorchScript."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unetkit.backends.base import fold_batch_norm
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.model_file import METADATA_KEY
from unetkit.models.segmenter import Segmenter, to_probabilities
from unetkit.models.spec import ModelSpec

OPSET = 18
"""Version of ONNX's operators."""

INPUT, OUTPUT = "pixels", "probabilities"
"""Names of the graph's input and output."""

INPUT_KEY = "unetkit_input"
"""Key in the metadata of a graph of what it takes: "raw" or "normalized" pixels."""

TOLERANCE = 1e-4
"""Largest difference between the graph and the network on windows of another size than the one it was traced with."""


class Graph(nn.Module):
    """Pixels in, probabilities out: raw pixels where the values that normalise them are known, else normalised ones.

    Args:
        segmenter: The model.
        dtype: Type that the network computes in; pixels and probabilities are float32.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, segmenter: Segmenter, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        spec = segmenter.spec
        network = fold_batch_norm(segmenter.cpu().eval().network, spec.network_inputs)
        self.network = network if dtype == torch.float32 else _copy_in(network, dtype)
        self.spec = spec
        self.dtype = dtype
        self.normalizer = segmenter.normalizer if takes_raw(spec) else None
        if self.normalizer is not None:
            values = self.normalizer.statistics(np.zeros((spec.in_channels, 1), np.float32))
            self.register_buffer("center", torch.from_numpy(values.center)[None])
            self.register_buffer("scale", torch.from_numpy(values.scale)[None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (N, network_channels, ...) of (N, network_inputs, ...), float32, in multiples of the strides."""
        normalized = pixels if self.normalizer is None else self.normalizer(pixels, self.center, self.scale)
        logits: Tensor = self.network(normalized.to(self.dtype)).float()
        if self.spec.residual:
            return logits + normalized[:, self.spec.middle]
        return to_probabilities(logits, self.spec)


def takes_raw(spec: ModelSpec) -> bool:
    """Return whether the graph of a model normalises raw pixels by itself, as their values are known beforehand."""
    return spec.normalization.scope == "dataset" or spec.normalization.window is not None


def check_graph(spec: ModelSpec) -> None:
    """Raise a ModelError unless a model can be one graph."""
    if spec.task == "classification":
        raise ModelError(
            "This model classifies whole images, which unetkit resizes before the network sees them.",
            "Use unetkit itself: unetkit segment IMAGES classes.csv --output classes.",
        )
    if spec.foreign is not None:
        raise ModelError("This model comes from another program.", "Give its own file to whoever needs it.")


def write_onnx(segmenter: Segmenter, path: Path, *, half: bool = False) -> None:
    """Write the graph of a model as ONNX, any batch and any size in multiples of the strides.

    Args:
        segmenter: The model.
        path: The file.
        half: Whether weights are stored, and the network computed, in float16; pixels and probabilities stay float32.

    Raises:
        ModelError: The model cannot be one graph.
        ConfigError: A package is not installed.
    """
    check_graph(segmenter.spec)
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(
            "The export to ONNX needs the package onnx.", "Run `pip install unetkit[onnxruntime]`."
        ) from error
    spec = segmenter.spec
    free = {0: "n", **{axis: f"size_{name}" for axis, name in enumerate("zyx"[-spec.dims :], start=2)}}
    file = io.BytesIO()
    with _quiet():
        torch.onnx.export(
            Graph(segmenter).eval(),
            (_example(spec),),
            file,  # type: ignore[arg-type]  # it takes files as well
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: free, OUTPUT: free},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(file.getvalue())
    if half:
        model = _in_half(model)
    about = {METADATA_KEY: spec.to_json(), INPUT_KEY: "raw" if takes_raw(spec) else "normalized"}
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def write_torchscript(segmenter: Segmenter, path: Path, *, half: bool = False) -> None:
    """Write the graph of a model as TorchScript, any batch and any size in multiples of the strides.

    Args:
        segmenter: The model.
        path: The file.
        half: See `write_onnx`.

    Raises:
        ModelError: The model cannot be one graph.
    """
    spec = segmenter.spec
    check_graph(spec)
    graph = Graph(segmenter, torch.float16 if half else torch.float32).eval()
    with _quiet():
        traced = torch.jit.trace(graph, _example(spec), check_trace=False)  # type: ignore[no-untyped-call]
        _check_sizes(traced, graph, spec)
        extra = {METADATA_KEY: spec.to_json().encode(), INPUT_KEY: b"raw" if takes_raw(spec) else b"normalized"}
        torch.jit.save(traced, str(path), _extra_files=extra)


def _check_sizes(traced: Any, graph: Graph, spec: ModelSpec) -> None:
    """Raise a ModelError if a trace holds only for the size that it was made with."""
    other = torch.rand(2, spec.network_inputs, *[(3 + axis) * stride for axis, stride in enumerate(spec.strides)])
    if (traced(other) - graph(other)).abs().max() > TOLERANCE:
        raise ModelError(
            f"A network of the kind {spec.arch} with padding '{spec.padding}' cannot be TorchScript of any size.",
            "Use --format onnx.",
        )


def _example(spec: ModelSpec) -> Tensor:
    """Return two windows of noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, spec.network_inputs, *[2 * stride for stride in spec.strides], generator=generator)


def _copy_in(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    from copy import deepcopy

    return deepcopy(network).to(dtype)


def _in_half(model: Any) -> Any:
    """Return a graph of ONNX in float16, but for the layers that normalise raw pixels, which may exceed its range."""
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ImportError as error:
        raise ConfigError("Half precision needs ONNX Runtime.", "Run `pip install unetkit[onnxruntime]`.") from error
    kept = [node.name for node in model.graph.node if "/normalizer/" in node.name]
    halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=kept))
    halved.topological_sort()  # the casts come last
    return halved.model


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out PyTorch's warnings: that this exporter is the older one, and that sizes it reads are fixed."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield
