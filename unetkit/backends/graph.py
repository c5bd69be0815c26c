"""A graph that unetkit did not build, on a runtime that takes graphs: what comes before and after it is PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from unetkit.models.foreign_network import ForeignNetwork, pick_output
from unetkit.models.onnx_graph import OnnxGraph, Run
from unetkit.models.segmenter import Segmenter, to_probabilities
from unetkit.models.trimmed import Kept


class GraphBackend:
    """A graph of ONNX on a runtime, see `Backend`.

    Args:
        segmenter: The model; its network is a graph, see `graph_in`.
        run: Runs the graph on the runtime.
        release: Gives back the memory that windows took.
    """

    device = torch.device("cpu")
    memory_format = torch.contiguous_format

    def __init__(self, segmenter: Segmenter, run: Run, release: Callable[[], None]) -> None:
        self._segmenter = segmenter.cpu()
        self._network = cast(ForeignNetwork, segmenter.network)
        self._graph = cast(OnnxGraph, self._network.core)
        self._run = run
        self.release = release

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch; see `Backend`."""
        normalized = self._segmenter.normalizer(pixels, center, scale)
        array = self._network.to_core(normalized).to(self._graph.input_dtype).contiguous().numpy()
        outputs = self._graph.in_batches(self._run, array)
        tensors = {name: torch.from_numpy(output) for name, output in outputs.items()}
        logits = self._network.from_core(pick_output(tensors, self._network.spec.output), tuple(pixels.shape[2:]))
        return to_probabilities(logits[:, :, *kept], self._segmenter.spec)


def graph_in(segmenter: Segmenter) -> OnnxGraph | None:
    """Return the graph that a model's network is; None where it is made of layers."""
    core = getattr(segmenter.network, "core", None)
    return core if isinstance(core, OnnxGraph) else None
