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
from numpy.typing import NDArray

from unetkit.backends.base import Backend, Probe
from unetkit.backends.graphs import load_graph, store_graph
from unetkit.backends.openvino import OpenVinoBackend, graph_of
from unetkit.errors import ConfigError
from unetkit.models.segmenter import Segmenter

TOLERANCE = 2e-3
"""Share of mask pixels that may change; with more, float32 is used."""


@dataclass(frozen=True)
class Quantized:
    """A model in int8 and what is known of it.

    Attributes:
        backend: The model in int8, or in float32 where int8 changed too much.
        changed: Share of mask pixels that int8 changed on the windows that it was checked on.
        accepted: Whether that is within the tolerance.
        cached: File that the quantised model was read from; None if it was made now.
    """

    backend: Backend
    changed: float
    accepted: bool
    cached: Path | None


def quantize(
    segmenter: Segmenter,
    calibration: Callable[[], Sequence[Probe]],
    checks: Sequence[Probe],
    threshold: float,
    cache: Path | None,
) -> Quantized:
    """Put a model on OpenVINO in int8 where that does no harm.

    A quantised model that lies in the cache is used if it passes the check on this input; otherwise one is made.

    Args:
        segmenter: The model.
        calibration: Returns windows of float32 from which the ranges of all features are measured; called if needed.
        checks: Other windows, on which the masks in int8 and float32 are compared.
        threshold: Foreground probability from which a pixel is foreground.
        cache: File (.xml) that keeps the quantised model; None not to keep it.

    Raises:
        ConfigError: NNCF is not installed.
    """
    graph = graph_of(segmenter)
    exact = OpenVinoBackend(segmenter, "fp32", graph)
    classes = segmenter.spec.out_channels
    truth = [_mask(exact, probe, threshold, classes) for probe in checks]
    if cache is not None and (stored := load_graph(cache, segmenter)) is not None:
        backend = OpenVinoBackend(segmenter, "fp32", stored)
        changed = _compare(backend, checks, truth, threshold, classes)
        if changed <= TOLERANCE:
            return Quantized(backend, changed, True, cache)
    quantized = _quantize(graph, exact, calibration())
    backend = OpenVinoBackend(segmenter, "fp32", quantized)
    changed = _compare(backend, checks, truth, threshold, classes)
    if changed > TOLERANCE:
        return Quantized(exact, changed, False, None)
    if cache is not None:
        backend = OpenVinoBackend(segmenter, "fp32", store_graph(quantized, cache, segmenter))
    return Quantized(backend, changed, True, None)


def _quantize(graph: ov.Model, exact: OpenVinoBackend, windows: Sequence[Probe]) -> ov.Model:
    """Quantise a graph with the ranges that its features have on some windows."""
    if find_spec("nncf") is None:
        raise ConfigError("int8 needs the package nncf.", "Run `pip install unetkit[openvino]`.")
    with redirect_stdout(StringIO()):  # NNCF draws progress bars
        import nncf

        inputs = [exact.inputs(*probe) for probe in windows]
        preset = nncf.QuantizationPreset.MIXED  # signed where features are
        return nncf.quantize(graph, nncf.Dataset(inputs), subset_size=len(inputs), preset=preset)


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
