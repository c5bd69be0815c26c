"""Models that are warm: planned once, put on their backends once, then run over one image after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.backends.base import Backend, Probe
from unetkit.backends.registry import create_backend
from unetkit.errors import ImageError
from unetkit.inference.autotune import Tuner
from unetkit.inference.device import return_freed_memory
from unetkit.inference.emptiness import measure_background
from unetkit.inference.engine import Reader, measure_plane, read_window, run_tiles
from unetkit.inference.ensemble import Ensemble
from unetkit.inference.forward import Forward, Kind
from unetkit.inference.grid import Tile, TileGrid, make_grid
from unetkit.inference.options import Tiling
from unetkit.inference.plan import make_plan
from unetkit.inference.seams import Seams, verify_seams
from unetkit.io.image import ImageInfo, ImageSource

PROBE_TILE = 512
"""Size of the windows on which int8 is calibrated and checked, in pixels."""

CALIBRATION_WINDOWS = 16
CHECK_WINDOWS = 12

Progress = Callable[[int], None]
"""Called with the number of pixels predicted since the last call."""


class Predictor:
    """Models with a plan, on their backends.

    Args:
        ensemble: The models.
        tiling: The user's choices.
        source: The image, or the first of several: what is chosen and calibrated is for images like it.
        pixels: Pixels that will be predicted, of all images.
        kind: What is predicted.
        threshold: Foreground probability from which a pixel is foreground; None for the models' own.
        tell: Called with sentences about what happens.

    Attributes:
        plan: How it is done.
        backends: The models, ready to run.

    Raises:
        ConfigError: A choice is not possible.
        ImageError: The image does not fit the models.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        tiling: Tiling,
        source: ImageSource,
        pixels: int,
        *,
        kind: Kind,
        threshold: float | None,
        tell: Callable[[str], None],
    ) -> None:
        check_dtype(source.info)
        return_freed_memory()
        self.ensemble = ensemble
        self._tiling = tiling
        tuner = Tuner(ensemble, source.info.dtype, tell)
        self.plan = make_plan(ensemble, tiling, source.info, pixels, tuner, tuner.recall, kind=kind)
        self._normalizers = [segmenter.normalizer for segmenter in ensemble.segmenters]
        self._threshold = ensemble.threshold if threshold is None else threshold
        self._tell = tell
        self.backends = self._create_backends(source)
        self._forward = self._create_forward(kind)

    def grid(self, info: ImageInfo) -> TileGrid:
        """Return the tiles of each plane of an image."""
        plan = self.plan
        return make_grid(info.height, info.width, tile=plan.tile, halo=plan.halo, stride=self.ensemble.stride)

    def run(
        self,
        source: ImageSource,
        write: Callable[[Iterator[NDArray[Any]]], None],
        *,
        first_band: int = 0,
        progress: Progress | None = None,
    ) -> list[tuple[int, Tile]]:
        """Predict all planes of an image.

        Args:
            source: The image.
            write: Takes the bands (channels, h, width) of the result, in order.
            first_band: Bands that are there already.
            progress: Called with the number of pixels predicted since the last call.

        Returns:
            Plane and place of each tile that was skipped as empty.

        Raises:
            ImageError: The image does not fit the models or cannot be read.
            ConfigError: The memory of the device is too small for the smallest window.
        """
        check_dtype(source.info)
        reader = Reader(source, self.grid(source.info), self._normalizers, self.ensemble.channels, self.plan.batch)
        if self._tiling.skip_empty:
            background = cache(lambda plane: measure_background(source, plane, self.ensemble.channels))
            reader.is_empty = lambda plane, window: background(plane).holds_nothing(window)
        run_tiles(reader, self._forward, write, first_band=first_band, progress=progress)
        return reader.skipped

    def time_tile(self, source: ImageSource) -> float:
        """Return the seconds that a tile inside an image takes, once the backend is warm."""
        grid = self.grid(source.info)
        tile = Tile(grid.rows[len(grid.rows) // 2], grid.columns[len(grid.columns) // 2])
        window = read_window(source, 0, tile, grid, self.ensemble.channels)
        measured = measure_plane(source, 0, self._normalizers, self.ensemble.channels)
        batch = self.plan.batch if len(grid) >= self.plan.batch else 1
        statistics = [[values] * batch for values in measured]
        seconds = []
        for _ in range(2):
            start = perf_counter()
            windows = self._forward.gather([window] * batch)
            self._forward.submit(windows, statistics, (tile.row.inner, tile.column.inner)).result()
            seconds.append((perf_counter() - start) / batch)
        return seconds[-1]

    def verify(self, source: ImageSource) -> Seams:
        """Compare tiles of an image with passes that see far more of it."""
        exact = self._create_forward("probabilities")
        measured = cache(lambda plane: measure_plane(source, plane, self._normalizers, self.ensemble.channels))

        def predict_window(window: NDArray[Any], plane: int) -> NDArray[np.float32]:
            kept = (slice(0, window.shape[1]), slice(0, window.shape[2]))
            predicted = exact.submit(exact.gather([window]), [[values] for values in measured(plane)], kept).result()
            return np.asarray(predicted[0], np.float32)

        return verify_seams(
            source,
            predict_window,
            self.grid(source.info),
            self._threshold,
            channels=self.ensemble.channels,
            stride=self.ensemble.stride,
        )

    def _create_forward(self, kind: Kind) -> Forward:
        return Forward(
            self.backends,
            classes=self.ensemble.classes,
            kind=kind,
            threshold=self._threshold,
            augment=self._tiling.tta,
            halo=self.plan.halo,
            stride=self.ensemble.stride,
            tell=self._tell,
        )

    def _create_backends(self, source: ImageSource) -> list[Backend]:
        plan = self.plan
        if plan.precision == "int8":
            return self._quantize(source)
        return [
            create_backend(plan.backend, segmenter, plan.device, plan.precision, owned=self.ensemble.owned)
            for segmenter in self.ensemble.segmenters
        ]

    def _quantize(self, source: ImageSource) -> list[Backend]:
        """Put the models on OpenVINO in int8; in fp32 if that changes too much for one of them."""
        from unetkit.backends.graphs import quantized_file
        from unetkit.backends.int8 import TOLERANCE, Quantized, quantize

        grid = make_grid(source.info.height, source.info.width, tile=PROBE_TILE, halo=0, stride=self.ensemble.stride)
        places = choose_tiles(grid, source.info.planes, CALIBRATION_WINDOWS + CHECK_WINDOWS)
        checked = places[::2][:CHECK_WINDOWS]
        calibrated = [place for place in places if place not in checked] or checked
        done: list[Quantized] = []
        for i, segmenter in enumerate(self.ensemble.segmenters):

            def probes(chosen: Sequence[tuple[int, Tile]], model: int = i) -> list[Probe]:
                return [self._probe(source, grid, plane, tile, model) for plane, tile in chosen]

            stored = quantized_file(segmenter)
            calibration = partial(probes, calibrated)
            done.append(quantize(segmenter, calibration, probes(checked), self._threshold, stored))
        worst = max(result.changed for result in done)
        if all(result.accepted for result in done):
            kept = " (a model that was quantised before)" if any(result.cached for result in done) else ""
            why = f"int8 changes {worst:.1e} of the mask pixels{kept}; {self.plan.why}"
            self.plan = replace(self.plan, why=why)
            return [result.backend for result in done]
        why = f"int8 would change {worst:.1e} of the mask pixels, more than {TOLERANCE:g}: fp32 instead"
        self._tell(f"{why[0].upper()}{why[1:]}.")
        self.plan = replace(self.plan, precision="fp32", why=why)
        return self._create_backends(source)

    def _probe(self, source: ImageSource, grid: TileGrid, plane: int, tile: Tile, model: int) -> Probe:
        """Read a tile for one of the models."""
        channels = self.ensemble.channels
        window = read_window(source, plane, tile, grid, channels)
        values = measure_plane(source, plane, [self._normalizers[model]], channels)[0]
        pixels = torch.from_numpy(window[None].astype(np.float32))
        center, scale = torch.from_numpy(values.center[None]), torch.from_numpy(values.scale[None])
        return pixels, center, scale, (tile.row.inner, tile.column.inner)


def choose_tiles(grid: TileGrid, planes: int, count: int) -> list[tuple[int, Tile]]:
    """Return tiles spread over an image, in random order, always the same: plane and place of each."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(planes * len(grid))[:count]
    tiles = list(grid)
    return [(int(i) // len(tiles), tiles[int(i) % len(tiles)]) for i in chosen]


def say_nothing(sentence: str) -> None:
    """Tell nobody."""


def check_dtype(info: ImageInfo) -> None:
    """Raise an ImageError unless pixels are real numbers."""
    if info.dtype.kind not in "buif":
        raise ImageError(f"{info.name} has pixels of {info.dtype}.", "Give real numbers, for example the magnitude.")
