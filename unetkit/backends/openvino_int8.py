"""Models in 8-bit integers on OpenVINO, made by NNCF."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as opset
from numpy.typing import NDArray

from unetkit.backends.base import Probe
from unetkit.backends.openvino_backend import OpenVinoBackend, graph_of
from unetkit.backends.openvino_graphs import identity, load_graph, store_graph
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import Segmenter

NORMALIZER_LAYERS = "__module.normalizer/.*"
"""Names of the layers that normalise pixels. They stay as they are: each image has values of its own."""


class OpenVinoQuantizer:
    """Puts a model in int8 on OpenVINO; see `Quantizer`.

    Args:
        segmenter: The model.
        file: File (.xml) that keeps the quantised model; None not to keep it.
    """

    def __init__(self, segmenter: Segmenter, file: Path | None) -> None:
        self.file = file
        self.identity = identity(segmenter)
        self._segmenter = segmenter
        self._graph: ov.Model | None = None
        self._made: ov.Model | None = None

    def load(self) -> OpenVinoBackend | None:
        """Return the quantised model that was kept, if there is one."""
        graph = None if self.file is None else load_graph(self.file, self._segmenter)
        return None if graph is None else OpenVinoBackend(self._segmenter, "fp32", graph)

    def exact(self) -> OpenVinoBackend:
        """Return the model in float32."""
        if self._graph is None:
            self._graph = graph_of(self._segmenter)
        return OpenVinoBackend(self._segmenter, "fp32", self._graph)

    def quantize(self, windows: Sequence[Probe]) -> OpenVinoBackend:
        """Quantise the model with the ranges that its features have on some windows.

        Raises:
            ConfigError: NNCF is not installed.
        """
        exact = self.exact()
        self._made = _quantize(self._graph, [exact.inputs(*probe) for probe in windows])
        return OpenVinoBackend(self._segmenter, "fp32", self._made)

    def keep(self) -> OpenVinoBackend:
        """Keep what `quantize` made, and return it as a later run will load it."""
        assert self._made is not None, "nothing was quantised"
        graph = self._made if self.file is None else store_graph(self._made, self.file, self._segmenter)
        return OpenVinoBackend(self._segmenter, "fp32", graph)


def _quantize(graph: ov.Model, inputs: Sequence[tuple[NDArray[Any], ...]]) -> ov.Model:
    """Quantise a graph with the ranges that its features have on some inputs."""
    if find_spec("nncf") is None:
        raise ConfigError("int8 needs the package nncf.", "Run `pip install unetkit[openvino]`.")
    with redirect_stdout(StringIO()):  # NNCF draws progress bars
        import nncf

        return nncf.quantize(
            _with_strided_slices(graph),
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,  # signed where features are
            ignored_scope=nncf.IgnoredScope(patterns=[NORMALIZER_LAYERS]),
        )


def _with_strided_slices(graph: ov.Model) -> ov.Model:
    """Return a graph that cuts features by StridedSlice in place of Slice.

    They do the same, but NNCF takes Slice for an operation that cannot be done in int8. Features that are cut, as skip
    features are, would leave their convolution as float32 and be quantised once for each place where they are used.
    """
    graph = graph.clone()
    for cut in graph.get_ordered_ops():
        if cut.get_type_name() != "Slice" or cut.get_input_size() < 5:
            continue
        data, start, stop, step, axes = (place.get_source_output() for place in cut.inputs())
        cut_axes = axes.get_node().get_vector().tolist() if axes.get_node().get_type_name() == "Constant" else []
        whole = cut_axes[0] if cut_axes else -1  # number of axes before those that are cut
        if whole < 0 or cut_axes != list(range(whole, whole + len(cut_axes))):
            continue
        mask = [1] * whole + [0] * len(cut_axes)
        begin, end = _prepend(start, [0] * whole), _prepend(stop, [0] * whole)
        same = opset.strided_slice(data, begin, end, _prepend(step, [1] * whole), mask, mask)
        same.set_friendly_name(cut.get_friendly_name())
        cut.output(0).replace(same.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _prepend(numbers: ov.Output, first: Sequence[int]) -> ov.Node:
    """Return the numbers of a list in a graph with others before them."""
    return opset.concat([opset.constant(np.array(first, np.int64)), opset.convert(numbers, "i64")], 0)
