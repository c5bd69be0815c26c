"""OpenVINO: the fastest on processors of Intel and AMD."""

from __future__ import annotations

import gc
import warnings
from threading import Lock
from typing import Any

import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.backends.base import CoreModel, example_of, fold_batch_norm
from unetkit.backends.info import Precision
from unetkit.backends.openvino_graphs import converted_file, core, load_graph, remove_oldest, store_graph
from unetkit.models.segmenter import Segmenter, to_probabilities
from unetkit.models.trimmed import Kept

PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions. int8 leaves some layers in floating point, in the precision it was made for."""


class OpenVinoBackend:
    """A model on OpenVINO's CPU plugin.

    Args:
        segmenter: The model.
        precision: "fp32" or "bf16".
        graph: The graph to run in place of the model's own, for example a quantised one.
    """

    device = torch.device("cpu")
    memory_format = torch.contiguous_format

    def __init__(self, segmenter: Segmenter, precision: Precision, graph: ov.Model | None = None) -> None:
        self._graph = graph_of(segmenter) if graph is None else graph
        self._spec = segmenter.spec
        self._hint = PRECISION_HINTS[precision]
        self._plan = CoreModel(segmenter, segmenter.network).network.plan
        self._compiled: dict[torch.dtype, ov.CompiledModel] = {}
        self._idle: dict[torch.dtype, list[ov.InferRequest]] = {}  # each serves one thread at a time
        self._lock = Lock()

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        """Predict the kept part of a batch; see `Backend`."""
        inputs = dict(enumerate(self.inputs(pixels, center, scale, kept)))
        request = self._take_request(pixels.dtype)
        outputs = request.infer(inputs, share_inputs=True, share_outputs=True)
        probabilities = to_probabilities(torch.from_numpy(outputs[0]), self._spec)  # in memory of its own
        with self._lock:
            self._idle[pixels.dtype].append(request)
        return probabilities

    def release(self) -> None:
        """Give back the memory that windows took, and that of their features."""
        with self._lock:
            for requests in self._idle.values():
                requests.clear()
            for compiled in self._compiled.values():
                compiled.release_memory()

    def inputs(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> tuple[NDArray[Any], ...]:
        """Return the graph's inputs for a batch."""
        cuts = self._plan(tuple(pixels.shape[2:]), kept)
        return pixels.contiguous().numpy(), center.numpy(), scale.numpy(), cuts

    def _take_request(self, dtype: torch.dtype) -> ov.InferRequest:
        """Return a request, which nobody else uses, to the compiled graph that takes raw pixels of this type."""
        with self._lock:
            if dtype not in self._compiled:
                steps = ov.preprocess.PrePostProcessor(self._graph.clone())
                steps.input(0).tensor().set_element_type(ov.Type(torch.zeros(0, dtype=dtype).numpy().dtype))
                config = {"INFERENCE_PRECISION_HINT": self._hint, "PERFORMANCE_HINT": "LATENCY"}
                self._compiled[dtype] = core().compile_model(steps.build(), "CPU", config)
            idle = self._idle.setdefault(dtype, [])
            return idle.pop() if idle else self._compiled[dtype].create_infer_request()


def graph_of(segmenter: Segmenter) -> ov.Model:
    """Return the graph of a model, converted now or before: raw pixels of any size in, see `convert`."""
    path = converted_file(segmenter)
    graph = None if path is None else load_graph(path, segmenter)
    if graph is None:
        graph = convert(segmenter)
        if path is not None:
            graph = store_graph(graph, path, segmenter)
            remove_oldest(path.parent)
        gc.collect()  # the conversion leaves weights in cycles of references
    return graph


def convert(segmenter: Segmenter) -> ov.Model:
    """Return the graph of a model: float32 pixels of any size, center, scale and cuts in, logits out.

    Probabilities are left to PyTorch: OpenVINO keeps channels innermost, where a sigmoid of one of them is slow.
    """
    channels = segmenter.spec.network_inputs
    model = CoreModel(segmenter.cpu().eval(), fold_batch_norm(segmenter.network, channels), logits=True).eval()
    *example, kept = example_of(segmenter.spec)
    sizes = tuple(example[0].shape[2:])
    cuts = model.network.plan(sizes, kept)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's, that numbers read from tensors are fixed: those of the cuts are not
        graph = ov.convert_model(model, example_input=(*example, torch.from_numpy(cuts)))
    graph.reshape({0: [-1, channels, *[-1] * len(sizes)], 1: [-1, channels], 2: [-1, channels], 3: list(cuts.shape)})
    return graph
