"""Stand-in until the graphs of the branch for ONNX and TorchScript are merged."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from unetkit.models.segmenter import Segmenter, to_probabilities
from unetkit.models.statistics import Statistics

OPSET = 18


class _Graph(nn.Module):
    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        stored = segmenter.normalizer.stored
        self.inside = stored is not None or segmenter.spec.normalization.window is not None
        if self.inside:
            import numpy as np

            values = segmenter.normalizer.statistics(np.zeros((segmenter.spec.in_channels, 1), np.float32))
            self.register_buffer("center", torch.from_numpy(values.center)[None])
            self.register_buffer("scale", torch.from_numpy(values.scale)[None])

    def forward(self, pixels: Tensor) -> Tensor:
        if self.inside:
            return self.segmenter(pixels, self.center, self.scale)
        return to_probabilities(self.segmenter.network(pixels).float(), self.segmenter.spec)


def _example(segmenter: Segmenter) -> Tensor:
    spec = segmenter.spec
    return torch.rand(2, spec.network_inputs, *[2 * stride for stride in spec.strides])


def write_onnx(segmenter: Segmenter, path: Path, *, fixed: Statistics | None, half: bool) -> None:
    free = {0: "n"} | {axis: f"size {axis}" for axis in range(2, 2 + segmenter.spec.dims)}
    torch.onnx.export(
        _Graph(segmenter).eval(),
        (_example(segmenter),),
        str(path),
        input_names=["pixels"],
        output_names=["probabilities"],
        dynamic_axes={"pixels": free, "probabilities": free},
        opset_version=OPSET,
        dynamo=False,
    )


def write_torchscript(segmenter: Segmenter, path: Path, *, fixed: Statistics | None, half: bool) -> None:
    with torch.no_grad():
        torch.jit.trace(_Graph(segmenter).eval(), _example(segmenter), check_trace=False).save(str(path))
