"""How an image is cut and predicted: the choices of the user, the model and the machine brought together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from unetkit.errors import ConfigError, ImageError
from unetkit.inference.engine import run_tiles
from unetkit.inference.forward import Forward, Output, choose_device
from unetkit.inference.grid import TileGrid, make_grid, round_up
from unetkit.io.image import ImageInfo, ImageSink, ImageSource, OutputSpec
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec

DEFAULT_TILE = 1024
"""Size of a window, in pixels: large enough that the halo costs little, small enough for the memory of a laptop."""

DEFAULT_BATCH = {"cuda": 8, "mps": 4, "cpu": 1}
"""Windows that go through the network together, by kind of device."""

Progress = Callable[[int], None]
"""Called with the number of pixels predicted since the last call."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut and what is predicted.

    Args:
        tile: Largest window that the network sees at once, in pixels, a multiple of the encoder's stride.
        halo: Context around the part of a tile that is kept, in pixels; by default the one measured for the model.
        batch: Tiles that go through the network together; by default 1 on a CPU and 8 on a GPU.
        device: "auto" (CUDA, else MPS, else CPU) or a torch device such as "cpu" or "cuda:1".
        output: "mask" or "probabilities".
        threshold: Foreground probability from which a pixel is foreground; by default the model's.
    """

    tile: int | None = None
    halo: int | None = None
    batch: int | None = None
    device: str = "auto"
    output: Output = "mask"
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"batch: {self.batch} is not possible.", "Use 1 or more.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ConfigError(f"threshold: {self.threshold:g} is not possible.", "Use a number between 0 and 1.")
        if self.output not in ("mask", "probabilities"):
            raise ConfigError(f"output: '{self.output}' is not possible.", "Use 'mask' or 'probabilities'.")

    def grid(self, height: int, width: int, spec: ModelSpec) -> TileGrid:
        """Lay tiles over a plane of this size for a model.

        Raises:
            ConfigError: The tile or the halo does not fit the model's stride.
        """
        halo = spec.halo if self.halo is None else self.halo
        smallest = round_up(2 * halo + 1, spec.stride)
        tile = max(DEFAULT_TILE, smallest) if self.tile is None else self.tile
        return make_grid(height, width, tile=tile, halo=halo, stride=spec.stride)


def predict(
    source: ImageSource, sink: ImageSink, segmenter: Segmenter, tiling: Tiling, progress: Progress | None
) -> None:
    """Predict all planes of a source into a sink.

    Raises:
        ImageError: The pixels are no real numbers.
    """
    spec = segmenter.spec
    if source.info.dtype.kind not in "buif":
        raise ImageError(
            f"{source.info.name} has pixels of {source.info.dtype}.", "Give real numbers, for example the magnitude."
        )
    device = choose_device(tiling.device)
    threshold = spec.threshold if tiling.threshold is None else tiling.threshold
    run_tiles(
        source,
        sink,
        tiling.grid(source.info.height, source.info.width, spec),
        Forward(segmenter, device, tiling.output, threshold),
        segmenter.normalizer,
        channels=spec.in_channels,
        batch=DEFAULT_BATCH.get(device.type, 1) if tiling.batch is None else tiling.batch,
        progress=progress,
    )


def describe_output(info: ImageInfo, segmenter: Segmenter, tiling: Tiling) -> OutputSpec:
    """Describe the output for an image, with what made it."""
    spec = segmenter.spec
    probabilities = tiling.output == "probabilities"
    return OutputSpec(
        height=info.height,
        width=info.width,
        dtype=np.dtype(np.float32 if probabilities else np.uint8),
        channels=spec.out_channels if probabilities else 1,
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um,
        notes=(
            ("made_by", f"unetkit {version('unetkit')}"),
            ("model", Path(segmenter.name).name),
            ("model_sha256", segmenter.sha256),
            ("output", tiling.output),
            ("threshold", f"{spec.threshold if tiling.threshold is None else tiling.threshold:g}"),
            ("halo", str(spec.halo if tiling.halo is None else tiling.halo)),
        ),
    )
