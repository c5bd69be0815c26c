"""A model as a TorchScript file."""

from __future__ import annotations

from pathlib import Path

from unetkit.models.segmenter import Segmenter
from unetkit.sharing.graphs import write_torchscript
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions
from unetkit.sharing.usage import describe_input, lines_to_run


def write(segmenter: Segmenter, path: Path, sharing: SharingOptions, said: SaidOptions) -> list[str]:  # noqa: ARG001
    """Write a model as TorchScript; see `Write`."""
    write_torchscript(segmenter, path, half=sharing.half)
    runs = "import numpy as np, torch", "network = torch.jit.load(FILE)"
    result = "probabilities = network(torch.from_numpy(pixels)).detach().numpy()"
    return [describe_input(segmenter.spec), lines_to_run(segmenter.spec, runs, result)]
