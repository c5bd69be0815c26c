"""A slide of any size that costs nothing to read, and a backend that costs nothing: what is left is unetkit itself.

They are plug-ins as other packages have them: a format (`unetkit.formats`) and a backend (`unetkit.backends`), which
each process finds whose PYTHONPATH names the folder of `install`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.backends.info import BackendInfo, Precision
from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.base.format import Format
from unetkit.io.base.read_options import ReadOptions
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import Kept

SUFFIX = ".simulated"

ENTRY_POINTS = """
[unetkit.formats]
simulated = simulated:SLIDE

[unetkit.backends]
nothing = simulated:NOTHING
"""

SPEC = ModelSpec(
    "resnet18",
    depth=3,
    decoder_channels=(8, 8, 8),
    in_channels=1,
    normalization=Normalization(scope="dataset", center=(0.0,), scale=(255.0,)),
)


class SimulatedSlide:
    """A grey slide whose pixels are all alike.

    Args:
        path: A file with its size.
    """

    bad_tiles: tuple[BadTile, ...] = ()

    def __init__(self, path: Path) -> None:
        size: tuple[int, int] = tuple(json.loads(path.read_text(encoding="utf-8")))
        dtype = np.dtype(np.uint8)
        self.info = ImageInfo(str(path), "simulated", "YX", size, dtype, "", (), 1, size, block=(4096, 4096))

    def read(self, item: int, window: Window) -> NDArray[Any]:  # noqa: ARG002
        """Return pixels without memory of their own."""
        return np.broadcast_to(np.uint8(0), (1, *(part.stop - part.start for part in window)))

    def close(self) -> None:
        """Nothing is open."""


class NoBackend:
    """Background everywhere, without memory of its own.

    Args:
        segmenter: The model.
        device: The CPU.
    """

    memory_format = torch.contiguous_format

    def __init__(self, segmenter: Segmenter, device: torch.device) -> None:
        self.device = device
        self._channels = segmenter.spec.network_channels

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:  # noqa: ARG002
        """Return zeros, see `unetkit.backends.base.Backend`."""
        sizes = (part.stop - part.start for part in kept)
        return torch.zeros(1).expand(len(pixels), self._channels, *sizes)

    def release(self) -> None:
        """There is nothing to give back."""


def _open(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> Any:  # noqa: ARG001
    return SimulatedSlide(path)


def _create(segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool) -> NoBackend:  # noqa: ARG001
    return NoBackend(segmenter, device)


SLIDE = Format("simulated", (SUFFIX,), sniff=lambda path, _: path.suffix == SUFFIX, open=_open)

NOTHING = BackendInfo(
    "nothing", _create, {"cpu": ("fp32",)}, creation_seconds=0.1, feature_overhead=0.01, weight_overhead=0.1
)


def install(folder: Path) -> dict[str, str]:
    """Make the plug-ins known to processes.

    Args:
        folder: An empty folder.

    Returns:
        The environment of such a process.
    """
    info = folder / "simulated-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    paths = [str(folder), str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def write_slide(path: Path, size: int) -> None:
    """Write what stands for a slide of size x size pixels; the name ends with `SUFFIX`."""
    path.write_text(json.dumps([size, size]), encoding="utf-8")


def write_model(path: Path) -> None:
    """Write the file of a model with random weights, which `nothing` does not ask."""
    torch.manual_seed(0)
    save_model(Segmenter(SPEC), path)


def do_nothing(_: bytes) -> None:
    """Take the arguments of a task, on a worker."""
