"""OpenVINO: the fastest on processors of Intel and AMD. The code that imports its package is in other files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from unetkit.backends.graph import graph_in
from unetkit.backends.info import BackendInfo, Precision
from unetkit.models.segmenter import Segmenter

if TYPE_CHECKING:
    from unetkit.backends.base import Backend
    from unetkit.backends.openvino_int8 import OpenVinoQuantizer


def create(segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> Backend:  # noqa: ARG001
    """Put a model on OpenVINO; see `Create`."""
    from unetkit.backends.openvino_backend import OpenVinoBackend
    from unetkit.backends.openvino_foreign import create_foreign

    if (graph := graph_in(segmenter)) is not None:
        return create_foreign(segmenter, graph)
    return OpenVinoBackend(segmenter, precision)


def quantizer(segmenter: Segmenter) -> OpenVinoQuantizer:
    """Return the quantiser of a model, which keeps the model in int8 beside the model's file."""
    from unetkit.backends.openvino_graphs import quantized_file
    from unetkit.backends.openvino_int8 import OpenVinoQuantizer

    return OpenVinoQuantizer(segmenter, quantized_file(segmenter))


INFO = BackendInfo(
    name="openvino",
    create=create,
    precisions={"cpu": ("fp32", "bf16", "int8")},
    creation_seconds=2.0,  # the built-in model took 1.3 to 1.7 s, converted anew, on two cores of an Intel Xeon
    feature_overhead=1.15,  # with both no run of a U-Net on ResNet-18 or 34 was measured above its bound on a CPU
    weight_overhead=3.3,
    runtime_bytes=9 * 10**7,  # of the converter, and what convolutions of volumes lay out anew: 80 MB at most
    quantizer=quantizer,
    packages=("openvino",),
    install="pip install unetkit[openvino]",
    candidate_on=("cpu",),
    foreign=("smp", "onnx"),
    largest_tile=3072,  # unlike PyTorch on a CPU it is as fast with larger tiles
)
