"""Models in 8-bit integers, where an image shows that this does no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch

from unetkit.backends.base import Backend, Probe
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.tiling.grid import Tile, TileGrid, make_grid
from unetkit.inference.tiling.windows import measure_plane, read_window
from unetkit.io.base.contracts import ImageSource

PROBE_TILE = 512
"""Size of the windows on which int8 is calibrated and checked, in pixels."""

CALIBRATION_WINDOWS = 16
CHECK_WINDOWS = 12


@dataclass(frozen=True)
class Quantization:
    """What came of it.

    Attributes:
        backends: The models in int8; none if one of them would change too many mask pixels.
        why: What decided, for people.
    """

    backends: list[Backend]
    why: str


def quantize_models(ensemble: Ensemble, source: ImageSource, threshold: float) -> Quantization:
    """Put models on OpenVINO in int8 if that changes little on an image.

    Args:
        ensemble: The models.
        source: The image, on some windows of which they are calibrated, and checked on others.
        threshold: Foreground probability from which a pixel is foreground.

    Raises:
        ConfigError: NNCF is not installed.
        ImageError: The image does not fit the models or cannot be read.
    """
    from unetkit.backends.graphs import quantized_file
    from unetkit.backends.int8 import TOLERANCE, quantize, verdicts_file

    grid = make_grid(source.info.size, tile=PROBE_TILE, halo=0, stride=ensemble.stride)
    places = choose_tiles(grid, source.info.planes, CALIBRATION_WINDOWS + CHECK_WINDOWS)
    checked = places[::2][:CHECK_WINDOWS]
    calibrated = [place for place in places if place not in checked] or checked
    normalizers = [segmenter.normalizer for segmenter in ensemble.segmenters]
    measured = cache(lambda plane: measure_plane(source, plane, normalizers, ensemble.channels))

    def probes(chosen: Sequence[tuple[int, Tile]], model: int) -> list[Probe]:
        made: list[Probe] = []
        for plane, tile in chosen:
            window = read_window(source, plane, tile, grid, ensemble.channels).astype(np.float32)
            values = measured(plane)[model]
            pixels, center, scale = (torch.from_numpy(x[None]) for x in (window, values.center, values.scale))
            made.append((pixels, center, scale, tile.inner))
        return made

    done = []
    files = []
    for i, segmenter in enumerate(ensemble.segmenters):
        file = quantized_file(segmenter)
        done.append(quantize(segmenter, partial(probes, calibrated, i), probes(checked, i), threshold, file))
        if file is not None and done[-1].remembered:
            files.append(str(verdicts_file(file)))
    worst = max(result.changed for result in done)
    before = f", as found before on an image like it (delete {' and '.join(files)} to check again)" if files else ""
    backends = [result.backend for result in done if result.backend is not None]
    if len(backends) == len(done):
        return Quantization(backends, f"int8 changes {worst:.1e} of the mask pixels{before}")
    return Quantization([], f"int8 would change {worst:.1e} of the mask pixels, more than {TOLERANCE:g}{before}")


def choose_tiles(grid: TileGrid, planes: int, count: int) -> list[tuple[int, Tile]]:
    """Return tiles spread over an image, in random order, always the same: plane and place of each."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(planes * len(grid))[:count]
    tiles = list(grid)
    return [(int(i) // len(tiles), tiles[int(i) % len(tiles)]) for i in chosen]
