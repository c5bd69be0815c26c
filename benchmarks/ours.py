"""unetkit as a contestant of `tiled.py`: its settings, the bare pass that bounds it, a network that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from measuring import write_repeated
from numpy.typing import NDArray

import unetkit
from unetkit import Segmenter
from unetkit.foundation.console import log_nothing
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.run.inputs import open_for
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.tiling.options import TilingOptions
from unetkit.inference.tiling.windows import read_window
from unetkit.io.base.contracts import ImageSource
from unetkit.io.base.read_options import WHOLE
from unetkit.models.normalization import Normalization
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import Kept


@dataclass(frozen=True)
class Setting:
    """Options of `unetkit.segment` that differ from their defaults."""

    backend: str | None = None
    precision: str | None = None
    tile: int | None = None
    batch: int | None = None
    halo: int | None = None

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Read "backend=torch,tile=1024"."""
        given = dict(part.split("=", 1) for part in text.split(",") if part)
        unknown = given.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise SystemExit(f"--setting {text}: there is no {', '.join(sorted(unknown))}.")
        chosen: dict[str, Any] = {name: int(value) if value.isdigit() else value for name, value in given.items()}
        return cls(**chosen)

    def options(self) -> dict[str, Any]:
        """Return the options that are not left to unetkit."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    @property
    def name(self) -> str:
        """What the contestant is called."""
        named = ("tile", "batch", "halo")
        words = [f"{name} {value}" if name in named else str(value) for name, value in self.options().items()]
        return " ".join(["unetkit", *words])


def installed_settings(device: torch.device) -> list[Setting]:
    """Return everything automatic, and each backend with each precision that can run on this device."""
    automatic = [Setting(), Setting(precision="fp32")]
    if device.type == "cuda":
        pairs = [("torch", "fp32"), ("torch", "bf16"), ("torch", "fp16"), ("compile", "bf16"), ("compile", "fp16")]
        return automatic + [Setting(*pair) for pair in pairs]
    pairs = [("torch", "fp32"), ("compile", "fp32")]
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        pairs += [("torch", "bf16"), ("compile", "bf16")]
    if find_spec("onnxruntime"):
        pairs.append(("onnxruntime", "fp32"))
    if find_spec("openvino"):
        pairs.append(("openvino", "fp32"))
        if find_spec("nncf"):
            pairs.append(("openvino", "int8"))
    return automatic + [Setting(*pair) for pair in pairs]


def segment_file(image: Path, result: Path, segmenter: Segmenter, setting: Setting, device: torch.device) -> None:
    """Segment file to file, in the pixels of the file, as the others do."""
    unetkit.segment(image, result, segmenter, device=str(device), zoom=1.0, overwrite=True, **setting.options())


def bare_pass(image: Path, segmenter: Segmenter, setting: Setting, device: torch.device) -> float:
    """Return the seconds that the network alone takes for the very batches of tiles that `segment_file` runs.

    The backend is warm, and the windows are on the device before the clock starts; the probabilities are thrown away.
    """
    ensemble = gather_models(segmenter)
    with closing(open_for(image, ensemble, WHOLE)[0]) as source:
        info = source.info
        predictor = Predictor(
            ensemble,
            TilingOptions(device=str(device), **setting.options()),
            source,
            info.planes * info.height * info.width,
            kind="mask",
            threshold=None,
            log=log_nothing,
        )
        backend = predictor.backends[0]
        batches = [
            (windows.to(backend.device), center, center + 1, kept)
            for windows, center, kept in _batches(source, predictor)
        ]
    for kept in {str(batch[-1]): batch for batch in batches}.values():  # what is compiled for each kind of tile
        backend(*kept)
    synchronise(device)
    start = perf_counter()
    for batch in batches:
        backend(*batch)
    synchronise(device)
    return perf_counter() - start


def _batches(source: ImageSource, predictor: Predictor) -> Iterator[tuple[torch.Tensor, torch.Tensor, Kept]]:
    """Read the windows of the grid as the engine does, in batches that have one kept part."""
    grid, channels, size = predictor.grid(source.info), predictor.ensemble.channels, predictor.plan.batch
    for kept, tiles in groupby(grid, key=lambda tile: tile.inner):
        same = list(tiles)
        for start in range(0, len(same), size):
            windows = [read_window(source, 0, tile, grid, channels) for tile in same[start : start + size]]
            pixels = torch.from_numpy(np.stack(windows))
            pixels = pixels.contiguous(memory_format=predictor.backends[0].memory_format)
            yield pixels, torch.zeros(len(windows), channels, device=predictor.plan.device), kept


def synchronise(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class FirstChannel(torch.nn.Module):
    """A network that costs nothing: a pixel is foreground where its first channel is above one half."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 1, h, w)."""
        return pixels[:, :1] - 0.5


def free_segmenter(spec: ModelSpec, channels: int) -> Segmenter:
    """Return `FirstChannel` in place of a model's U-Net, for uint8 pixels, with that model's stride and halo."""
    fixed = Normalization(scope="dataset", center=(0.0,) * channels, scale=(255.0,) * channels)
    return Segmenter(
        replace(spec, in_channels=channels, classes=2, threshold=0.5, normalization=fixed, training_images=None),
        FirstChannel(),
    )


@dataclass(frozen=True)
class CeilingInput:
    """A file for the engine's ceiling."""

    name: str
    channels: int
    compression: Literal["zlib"] | None

    def write(self, path: Path, patch: NDArray[np.uint8], size: int) -> None:
        """Write it from a patch (h, w, 3) of a real image."""
        pixels = patch if self.channels == 3 else np.ascontiguousarray(patch[..., 1])
        write_repeated(path, pixels, size, compression=self.compression)


CEILING_INPUTS = (
    CeilingInput("grey, uncompressed", 1, None),
    CeilingInput("grey, deflate", 1, "zlib"),
    CeilingInput("RGB, deflate", 3, "zlib"),
)
