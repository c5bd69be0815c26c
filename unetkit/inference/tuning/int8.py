"""Models in 8-bit integers, if an image shows that this does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch

from unetkit.backends import int8
from unetkit.backends.base import Backend, Probe
from unetkit.backends.info import Quantizer
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tiling.grid import Tile, TileGrid, make_grid, per_axis
from unetkit.inference.tiling.windows import measure_plane, read_window
from unetkit.io.base.contracts import ImageSource
from unetkit.models.segmenter import Segmenter

PROBE_TILE = {2: 512, 3: 64}
"""Size of the windows on which int8 is calibrated and checked, in pixels, by the number of their axes."""

CALIBRATION_WINDOWS = 16
"""Number of windows on which int8 is calibrated."""

CHECK_WINDOWS = 12
"""Number of windows on which int8 is checked."""


@dataclass(frozen=True)
class Quantization:
    """Models in int8, or the reason why not.

    Attributes:
        backends: The models in int8; none if one of them would change too many mask pixels.
        why: The reason, for people.
    """

    backends: list[Backend]
    why: str


def quantize_models(
    ensemble: Ensemble, create: Callable[[Segmenter], Quantizer], source: ImageSource, threshold: float
) -> Quantization:
    """Put models on a backend in int8 if that changes little on an image.

    Args:
        ensemble: The models.
        create: The backend's `BackendInfo.quantizer`.
        source: The image, on some windows of which they are calibrated, and checked on others.
        threshold: Foreground probability from which a pixel is foreground.

    Raises:
        ConfigError: A package that quantises is not installed.
        ImageError: The image does not fit the models or cannot be read.
    """
    axes = len(source.info.size)
    tile = tuple(max(PROBE_TILE[axes], stride) for stride in per_axis(ensemble.stride, axes))
    grid = make_grid(source.info.size, tile=tile, halo=0, stride=ensemble.stride)
    places = choose_tiles(grid, source.info.planes, CALIBRATION_WINDOWS + CHECK_WINDOWS)
    checked = places[::2][:CHECK_WINDOWS]
    calibrated = [place for place in places if place not in checked] or checked
    seen = ensemble.see(source)
    normalizers = [segmenter.normalizer for segmenter in ensemble.segmenters]
    measured = cache(lambda plane: measure_plane(source, plane, normalizers, ensemble.channels))

    def probes(chosen: Sequence[tuple[int, Tile]], model: int) -> list[Probe]:
        made: list[Probe] = []
        for plane, tile in chosen:
            window = read_window(seen, plane, tile, grid, ensemble.inputs).astype(np.float32)
            values = measured(plane)[model]
            pixels, center, scale = (torch.from_numpy(x[None]) for x in (window, values.center, values.scale))
            made.append((pixels, center, scale, tile.inner))
        return made

    done = []
    files = []
    for i, segmenter in enumerate(ensemble.segmenters):
        quantizer = create(segmenter)
        done.append(int8.quantize(segmenter, quantizer, partial(probes, calibrated, i), probes(checked, i), threshold))
        if quantizer.file is not None and done[-1].remembered:
            files.append(str(int8.verdicts_file(quantizer.file)))
    worst = max(result.changed for result in done)
    before = f", as found before on an image like it (delete {' and '.join(files)} to check again)" if files else ""
    backends = [result.backend for result in done if result.backend is not None]
    if len(backends) == len(done):
        return Quantization(backends, f"int8 changes {worst:.1e} of the mask pixels{before}")
    return Quantization(
        [], f"int8 would change {worst:.1e} of the mask pixels, more than {int8.INT8_TOLERANCE:g}{before}"
    )


def choose_tiles(grid: TileGrid, planes: int, count: int) -> list[tuple[int, Tile]]:
    """Return tiles spread over an image, in random order, always the same: plane and place of each."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(planes * len(grid))[:count]
    tiles = list(grid)
    return [(int(i) // len(tiles), tiles[int(i) % len(tiles)]) for i in chosen]
