"""A graph of ONNX on OpenVINO's CPU plugin, as it stands in its file."""

from __future__ import annotations

from threading import Lock
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from unetkit.backends.graph import GraphBackend
from unetkit.backends.openvino_graphs import core
from unetkit.foundation.errors import ConfigError
from unetkit.models.onnx_graph import OnnxGraph
from unetkit.models.segmenter import Segmenter


class ForeignGraph:
    """A compiled graph, for several threads at a time.

    Args:
        graph: The graph.

    Raises:
        ConfigError: OpenVINO cannot run it.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        try:
            model = core().read_model(graph.path)
            config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            self._compiled = core().compile_model(model, "CPU", config)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConfigError(
                f"OpenVINO cannot run the graph in {graph.path} ({reason}).", "Use --backend onnxruntime."
            ) from error
        self._names = graph.output_names
        self._idle: list[ov.InferRequest] = []  # each serves one thread at a time
        self._lock = Lock()

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs of a batch by name."""
        with self._lock:
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        outputs = request.infer({0: pixels}, share_inputs=True)
        found = {name: outputs[number] for number, name in enumerate(self._names)}
        with self._lock:
            self._idle.append(request)
        return found

    def release(self) -> None:
        """Give back the memory that windows took."""
        with self._lock:
            self._idle.clear()
            self._compiled.release_memory()


def create_foreign(segmenter: Segmenter, graph: OnnxGraph) -> GraphBackend:
    """Put a model whose network is a graph on OpenVINO."""
    runner = ForeignGraph(graph)
    return GraphBackend(segmenter, runner.run, runner.release)
