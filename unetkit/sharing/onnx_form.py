"""A model as an ONNX file."""

from __future__ import annotations

from pathlib import Path

from unetkit.models.segmenter import Segmenter
from unetkit.sharing.graphs import OPSET, write_onnx
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions
from unetkit.sharing.usage import describe_input, lines_to_run


def write(segmenter: Segmenter, path: Path, sharing: SharingOptions, said: SaidOptions) -> list[str]:  # noqa: ARG001
    """Write a model as ONNX; see `Write`."""
    write_onnx(segmenter, path, half=sharing.half)
    runs = "import numpy as np, onnxruntime", "session = onnxruntime.InferenceSession(FILE)"
    result = 'probabilities = session.run(None, {"pixels": pixels})[0]'
    return [f"Opset {OPSET}.", describe_input(segmenter.spec), lines_to_run(segmenter.spec, runs, result)]
