"""8-bit integers: quantise a model on windows of the input, and find out how many mask pixels that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as opset
from numpy.typing import NDArray

from unetkit.backends.base import Backend, Probe
from unetkit.backends.openvino_backend import OpenVinoBackend, graph_of
from unetkit.backends.openvino_graphs import load_graph, store_graph
from unetkit.backends.verdicts import Verdicts, describe_look
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import Segmenter

TOLERANCE = 2e-3
"""Share of mask pixels that may change; a model that would change more is refused."""


NORMALIZER = "__module.normalizer/.*"
"""Names of the layers that normalise pixels. They stay as they are: each image has values of its own."""


@dataclass(frozen=True)
class Quantized:
    """A model in int8 and what is known of it.

    Attributes:
        backend: The model in int8; None where that would change too much.
        changed: Share of mask pixels that int8 changes on the windows that it was checked on.
        remembered: Whether that was found before, on an image that looks like this one.
    """

    backend: Backend | None
    changed: float
    remembered: bool


def quantize(
    segmenter: Segmenter,
    calibration: Callable[[], Sequence[Probe]],
    checks: Sequence[Probe],
    threshold: float,
    cache: Path | None,
) -> Quantized:
    """Put a model on OpenVINO in int8 where that does no harm.

    A quantised model that lies in the cache is used if it passes the check on this input; otherwise one is made. What
    the check gave is kept beside it (see `verdicts_file`) and holds for images that look alike, a refusal too.

    Args:
        segmenter: The model.
        calibration: Returns windows of float32 from which the ranges of all features are measured; called if needed.
        checks: Other windows, on which the masks in int8 and float32 are compared.
        threshold: Foreground probability from which a pixel is foreground.
        cache: File (.xml) that keeps the quantised model; None not to keep it.

    Raises:
        ConfigError: NNCF is not installed.
    """
    look = describe_look(checks)
    verdicts = Verdicts(cache and verdicts_file(cache), segmenter, threshold)
    known = verdicts.recall(look)
    if known is not None and known > TOLERANCE:
        return Quantized(None, known, True)
    stored = None if cache is None else load_graph(cache, segmenter)
    if known is not None and stored is not None:
        return Quantized(OpenVinoBackend(segmenter, "fp32", stored), known, True)
    graph = graph_of(segmenter)
    exact = OpenVinoBackend(segmenter, "fp32", graph)
    classes = segmenter.spec.out_channels
    truth = [_mask(exact, probe, threshold, classes) for probe in checks]
    if stored is not None:
        backend = OpenVinoBackend(segmenter, "fp32", stored)
        changed = _compare(backend, checks, truth, threshold, classes)
        if changed <= TOLERANCE:
            verdicts.remember(look, changed)
            return Quantized(backend, changed, False)
    quantized = _quantize(graph, exact, calibration())
    backend = OpenVinoBackend(segmenter, "fp32", quantized)
    changed = _compare(backend, checks, truth, threshold, classes)
    if changed > TOLERANCE:
        verdicts.remember(look, changed)
        return Quantized(None, changed, False)
    if cache is not None:
        backend = OpenVinoBackend(segmenter, "fp32", store_graph(quantized, cache, segmenter))
    verdicts.remember(look, changed, forget=TOLERANCE)
    return Quantized(backend, changed, False)


def verdicts_file(cache: Path) -> Path:
    """Return the file that keeps what checking the quantised model in the file `cache` gave."""
    return cache.with_suffix(".json")


def _quantize(graph: ov.Model, exact: OpenVinoBackend, windows: Sequence[Probe]) -> ov.Model:
    """Quantise a graph with the ranges that its features have on some windows."""
    if find_spec("nncf") is None:
        raise ConfigError("int8 needs the package nncf.", "Run `pip install unetkit[openvino]`.")
    with redirect_stdout(StringIO()):  # NNCF draws progress bars
        import nncf

        inputs = [exact.inputs(*probe) for probe in windows]
        return nncf.quantize(
            _with_strided_slices(graph),
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,  # signed where features are
            ignored_scope=nncf.IgnoredScope(patterns=[NORMALIZER]),
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


def _mask(backend: Backend, probe: Probe, threshold: float, classes: int) -> NDArray[Any]:
    """Return the mask of a window (kept rows, kept columns): of foreground, or class numbers."""
    probabilities = backend(*probe)[0, :classes]
    mask = probabilities[0] >= threshold if classes == 1 else probabilities.argmax(0)
    return mask.numpy()


def _compare(
    backend: Backend, checks: Sequence[Probe], truth: Sequence[NDArray[Any]], threshold: float, classes: int
) -> float:
    """Return the share of mask pixels that differ from the truth."""
    masks = [_mask(backend, probe, threshold, classes) for probe in checks]
    differs = [(mask != true).ravel() for mask, true in zip(masks, truth, strict=True)]
    return float(np.concatenate(differs).mean())
