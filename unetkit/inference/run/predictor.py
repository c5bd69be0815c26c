"""Warm models: planned once, put on their backends once, then run over one image after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.backends.base import Backend
from unetkit.backends.registry import CREATION_LOCK, backend_info, backends_in, check_backend
from unetkit.backends.sessions import open_session
from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.inference.checks.seams import Seams, default_largest, plan_windows, verify_seams
from unetkit.inference.checks.skip_empty import Background, measure_background
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.engine.forward import Forward, Kind
from unetkit.inference.engine.orientations import orientations
from unetkit.inference.engine.pipeline import Reader, run_tiles
from unetkit.inference.tiling.grid import Tile, TileBlock, TileGrid, per_axis, round_up
from unetkit.inference.tiling.options import TilingOptions
from unetkit.inference.tiling.windows import measure_plane, read_window
from unetkit.inference.tuning.autotune import Tuner
from unetkit.inference.tuning.device import choose_device, free_memory, keep_memory_small
from unetkit.inference.tuning.first_halo import know_foreign
from unetkit.inference.tuning.int8 import Quantization, quantize_models
from unetkit.inference.tuning.memory import feature_bytes, measure_features
from unetkit.inference.tuning.plan import make_plan
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept

WINDOW_STEPS = 8
"""Difference, in strides, between the sizes of windows that are tried for verifying."""

Progress = Callable[[int], None]
"""Called with the number of pixels predicted since the last call."""


@dataclass(frozen=True)
class PlaneFacts:
    """What is measured of a plane before its tiles are predicted.

    Attributes:
        statistics: Normalisation values for each model.
        background: What its empty tiles look like, where they are skipped.
    """

    statistics: tuple[Statistics, ...]
    background: Background | None = None

    def is_empty(self, window: NDArray[Any]) -> bool:
        """Return whether a window (C, ...) surely holds no foreground."""
        return self.background is not None and self.background.holds_nothing(window)


class Predictor:
    """Models with a plan, on their backends.

    Args:
        ensemble: The models.
        tiling: The user's choices.
        source: The image, or the first of several. The plan and int8 are chosen for images like it.
        pixels: Pixels that will be predicted, of all images.
        kind: What is predicted.
        threshold: Foreground probability from which a pixel is foreground; None for the models' own.
        log: Called with sentences about what happens.

    Attributes:
        plan: The plan of the run.
        backends: The models, ready to run.

    Raises:
        ConfigError: A choice is not possible.
        ImageError: The image does not fit the models.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        tiling: TilingOptions,
        source: ImageSource,
        pixels: int,
        *,
        kind: Kind,
        threshold: float | None,
        log: Callable[[str], None],
    ) -> None:
        check_dtype(source.info)
        if kind == "restored":
            _check_restoring(tiling)
        keep_memory_small(bounded=tiling.memory is not None)
        know_foreign(ensemble, source, log, measured=tiling.given_halo is None)
        self.ensemble = ensemble
        self._normalizers = [segmenter.normalizer for segmenter in ensemble.segmenters]
        self._threshold = ensemble.threshold if threshold is None else threshold
        self._log = log
        quantized = None
        if tiling.precision == "int8":
            tiling = _choose_quantizing(tiling, ensemble.foreign)
            quantized = self._quantize(tiling.backend, source)
            if not quantized.backends:
                tiling = replace(tiling, precision="fp32")
        self._tiling = tiling
        made = quantized.backends if quantized else []
        passes = len(orientations(len(source.info.size))) if tiling.tta else 1
        tuner = Tuner(ensemble, source.info.dtype, log, made, pixels * passes)
        self.plan = make_plan(ensemble, tiling, source.info, pixels, tuner, tuner.recall, kind=kind)
        if quantized is not None:
            self.plan = replace(self.plan, why=f"{quantized.why}; {self.plan.why}")
        self.backends = (quantized and quantized.backends) or self._create_backends()
        self._kind = kind
        self._forward = self._create_forward(kind, source.info)

    def alike(self, kind: Kind) -> Predictor:
        """Return the same models on the same backends, which predict something else."""
        other = copy(self)
        other._kind, other._forward = kind, self._create_forward(kind)
        return other

    def grid(self, info: ImageInfo) -> TileGrid:
        """Return the tiles of each plane of an image."""
        return self.plan.grid(info.size, self.ensemble.stride)

    def look(self, source: ImageSource, plane: int) -> PlaneFacts:
        """Measure a plane: on it, and not on a tile, depends how its tiles are predicted."""
        return PlaneFacts(self.measure(source, plane), self.background(source, plane))

    def measure(self, source: ImageSource, item: int) -> tuple[Statistics, ...]:
        """Return the normalisation values of a plane or volume for each model."""
        return measure_plane(source, item, self._normalizers, self.ensemble.channels)

    def background(self, source: ImageSource, plane: int) -> Background | None:
        """Return what the empty tiles of a plane look like; None where none are skipped."""
        return measure_background(source, plane, self.ensemble.channels) if self._tiling.skip_empty else None

    def run(
        self,
        source: ImageSource,
        blocks: Sequence[TileBlock],
        write: Callable[[Iterator[NDArray[Any]]], None],
        *,
        look: Callable[[int], PlaneFacts] | None = None,
        first_band: int = 0,
        progress: Progress | None = None,
    ) -> list[tuple[int, Tile]]:
        """Predict blocks of an image.

        Args:
            source: The image.
            blocks: Its tiles.
            write: Takes the bands (channels, h, width) of the blocks, in order.
            look: Returns what is measured of a plane; by default `self.look`.
            first_band: Bands that are there already.
            progress: Called with the number of pixels predicted since the last call.

        Returns:
            Plane and place of each tile that was skipped as empty.

        Raises:
            ImageError: The image does not fit the models or cannot be read.
            ConfigError: The memory of the device is too small for the smallest window.
        """
        check_dtype(source.info)
        facts = cache(look or partial(self.look, source))
        seen, inputs = self.ensemble.see(source), self.ensemble.inputs
        reader = Reader(seen, blocks, lambda plane: facts(plane).statistics, inputs, self.plan.batch)
        if self._tiling.skip_empty:
            middle = self.ensemble.middle
            reader.is_empty = lambda plane, window: facts(plane).is_empty(window[middle])
        # Restored pixels are of the type of their image, which is another for each of several.
        forward = self._create_forward("restored", source.info) if self._kind == "restored" else self._forward
        run_tiles(reader, forward, write, first_band=first_band, progress=progress)
        return reader.skipped

    def release(self) -> None:
        """Give back the memory that windows took; the models stay on their backends."""
        for backend in self.backends:
            backend.release()

    def time_tile(self, source: ImageSource, grid: TileGrid) -> float:
        """Return the seconds that a tile inside an image takes, once the backend is warm."""
        tile = Tile(tuple(spans[len(spans) // 2] for spans in grid.spans))
        window = read_window(self.ensemble.see(source), 0, tile, grid, self.ensemble.inputs)
        measured = measure_plane(source, 0, self._normalizers, self.ensemble.channels)
        batch = self.plan.batch if len(grid) >= self.plan.batch else 1
        statistics = [[values] * batch for values in measured]
        seconds = []
        for _ in range(2):
            start = perf_counter()
            windows = self._forward.gather([window] * batch)
            self._forward.submit(windows, statistics, tile.inner).result()
            seconds.append((perf_counter() - start) / batch)
        return seconds[-1]

    def verify(self, source: ImageSource, grid: TileGrid) -> Seams:
        """Compare tiles of an image with passes that see far more of it."""
        if any(spec.foreign is not None and spec.foreign.fixed for spec in self.ensemble.specs):
            raise ConfigError(
                f"{self.ensemble.name} takes windows of one size only, so no larger ones can verify its seams.",
                "Leave --verify-seams out.",
            )
        exact = self._create_forward("probabilities")
        strides = per_axis(self.ensemble.stride, self.plan.axes)
        measured = cache(lambda plane: measure_plane(source, plane, self._normalizers, self.ensemble.channels))

        def predict_window(window: NDArray[Any], plane: int, kept: Kept) -> NDArray[np.float32]:
            predicted = exact.submit(exact.gather([window]), [[values] for values in measured(plane)], kept).result()
            return np.asarray(predicted[0], np.float32)

        return verify_seams(
            self.ensemble.see(source),
            predict_window,
            grid,
            self._threshold,
            channels=self.ensemble.inputs,
            stride=strides,
            largest=self._largest_window(default_largest(grid, strides), strides),
        )

    def _largest_window(self, most: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest window to verify with, up to a limit: as memory allows, or little more than a tile."""
        plan = self.plan
        if plan.device.type != "cpu":  # where memory runs out, `Forward` divides windows
            return most
        free = free_memory(plan.device, self._tiling.memory_bytes)
        halos = per_axis(plan.halo, plan.axes)
        each = zip(plan.window, halos, strides, most, strict=True)
        least = tuple(min(round_up(max(tile, 4 * (halo + step)), step), end) for tile, halo, step, end in each)
        window = most
        while window != least:
            context, _ = plan_windows(window, halos, strides)
            inside = tuple(slice(beside, size - beside) for beside, size in zip(context, window, strict=True))
            features = max(
                measure_features(segmenter.network.eval(), self.ensemble.inputs, window, inside)
                for segmenter in self.ensemble.segmenters
            )
            if feature_bytes(features, plan.backend, plan.precision) <= free:
                return window
            smaller = zip(window, strides, least, strict=True)
            window = tuple(max(size - WINDOW_STEPS * step, end) for size, step, end in smaller)
        return least

    def _create_forward(self, kind: Kind, image: ImageInfo | None = None) -> Forward:
        return Forward(
            self.backends,
            classes=self.ensemble.classes,
            kind=kind,
            threshold=self._threshold,
            augment=self._tiling.tta,
            halo=self.plan.halo,
            stride=self.ensemble.stride,
            log=self._log,
            image=image,
            residual=self.ensemble.specs[0].residual,
            name=self.ensemble.name,
            precision=self.plan.precision,
        )

    def _create_backends(self) -> list[Backend]:
        plan = self.plan
        return [
            open_session(plan.backend, segmenter, plan.device, plan.precision, owned=self.ensemble.owned)
            for segmenter in self.ensemble.segmenters
        ]

    def _quantize(self, backend: str, source: ImageSource) -> Quantization:
        """Put the models on a backend in int8, and log it if that is refused."""
        create = backend_info(backend).quantizer
        assert create is not None, f"{backend} has int8 but no quantizer"
        with CREATION_LOCK:
            quantized = quantize_models(self.ensemble, create, source, self._threshold)
        if not quantized.backends:
            self._log(f"{quantized.why[0].upper()}{quantized.why[1:]}: fp32 instead.")
        return quantized


def _choose_quantizing(tiling: TilingOptions, foreign: tuple[str, ...]) -> TilingOptions:
    """Return options with the backend that int8 runs on.

    Raises:
        ConfigError: It is not installed, or does not support the device.
    """
    backend = (
        (backends_in("int8", foreign=foreign) or backends_in("int8"))[0] if tiling.backend == "auto" else tiling.backend
    )
    check_backend(backend, choose_device(tiling.device), "int8", foreign=foreign)
    return replace(tiling, backend=backend)


def _check_restoring(tiling: TilingOptions) -> None:
    """Raise a ConfigError for choices that would harm a restored image."""
    if tiling.skip_empty:
        raise ConfigError("skip_empty leaves holes in a restored image.", "Leave it out.")
    if tiling.precision == "int8":
        raise ConfigError("int8 is checked on masks, and a restored image has none.", "Use --precision fp32.")


def check_dtype(info: ImageInfo) -> None:
    """Raise an ImageError unless pixels are real numbers."""
    if info.dtype.kind not in "buif":
        raise ImageError(f"{info.name} has pixels of {info.dtype}.", "Give real numbers, for example the magnitude.")
