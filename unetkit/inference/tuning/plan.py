"""The plan of a run: device, backend, precision, tile and batch, chosen by the user or for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import prod

import torch

from unetkit.backends.info import Precision
from unetkit.backends.registry import DEFAULT_BACKEND, backend_info, backends_in, check_backend, is_installed
from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.engine.forward import Kind, layout
from unetkit.inference.tiling.grid import (
    PerAxis,
    TileGrid,
    check_tile,
    in_words,
    make_grid,
    one_if_equal,
    per_axis,
    round_up,
)
from unetkit.inference.tiling.options import TilingOptions
from unetkit.inference.tuning.device import cache_bytes, choose_device, free_memory
from unetkit.inference.tuning.memory import Footprint, measure_features, pixel_bytes
from unetkit.io.base.contracts import ImageInfo, Window

TILE_SIZES = {
    2: (256, 384, 512, 768, 1024, 1280, 1536, 1664, 1792, 1920, 2048, 2304, 2560, 3072, 4096),
    3: (32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320),
}
"""Longest sides of tiles that "auto" chooses from, by the number of their axes."""

DEFAULT_TILE = {2: {"cuda": 2048, "mps": 1024, "cpu": 1024}, 3: {"cuda": 160, "mps": 96, "cpu": 96}}
"""Longest side of tiles, by the number of axes and kind of device, where nothing is timed."""

BATCH_SIZES = {"cuda": (16, 8, 4, 2, 1), "mps": (4, 2, 1), "cpu": (1,)}
"""Batches that "auto" chooses from, by kind of device. A CPU computes one window as fast as several."""

LARGEST_BATCH_PIXELS = 4096 * 4096
"""Largest number of pixels of a batch. A GPU gains nothing by more."""


@dataclass(frozen=True)
class ExecutionPlan:
    """The plan of a run.

    Attributes:
        device: Device of the network.
        backend: Name of its backend.
        precision: Arithmetic of the network.
        tile: Largest window, in pixels; one number, or one for each axis.
        halo: Context around the part of a tile that is kept, in pixels; one number, or one for each axis.
        batch: Windows that go through the network together.
        why: The reason for the choice, for people.
        axes: Axes of the images.
    """

    device: torch.device
    backend: str
    precision: Precision
    tile: PerAxis
    halo: PerAxis
    batch: int
    why: str = "as given"
    axes: int = 2

    @property
    def window(self) -> tuple[int, ...]:
        """Size of the largest window along each axis."""
        return per_axis(self.tile, self.axes)

    @property
    def side(self) -> int:
        """Longest side of such a window: what tiles are compared by."""
        return max(self.window)

    @property
    def usual_side(self) -> int:
        """Longest side of the tiles where nothing is timed."""
        return DEFAULT_TILE[self.axes][self.device.type]

    @property
    def inner(self) -> Window:
        """The core inside such a window, of a tile inside an image."""
        halos = per_axis(self.halo, self.axes)
        return tuple(slice(halo, length - halo) for halo, length in zip(halos, self.window, strict=True))

    def grid(self, size: tuple[int, ...], stride: PerAxis) -> TileGrid:
        """Return the tiles of an item of a size, for models of a stride."""
        return make_grid(size, tile=self.tile, halo=self.halo, stride=stride)

    def __str__(self) -> str:
        return (
            f"{self.backend} in {self.precision} on {self.device}, tile {in_words(self.tile)}, halo "
            f"{in_words(self.halo)}, "
            f"batch {self.batch} ({self.why})"
        )


Tune = Callable[[list[ExecutionPlan]], ExecutionPlan]
"""Picks the fastest of some plans by trying them."""

Recall = Callable[[list[ExecutionPlan], bool], ExecutionPlan | None]
"""Returns which of some plans was the fastest before, if known. The second argument is whether similar plans count."""


def make_plan(
    ensemble: Ensemble,
    tiling: TilingOptions,
    info: ImageInfo,
    pixels: int,
    tune: Tune,
    recall: Recall,
    *,
    kind: Kind,
) -> ExecutionPlan:
    """Choose what the user left open.

    Args:
        ensemble: The models.
        tiling: The user's choices.
        info: The image, or the first of several.
        pixels: Pixels that will be predicted, of all images.
        tune: Called if there is a choice and enough to do that trying pays.
        recall: Called first if there is a choice.
        kind: What is predicted.

    Raises:
        ConfigError: A choice is not possible.
    """
    device = choose_device(tiling.device)
    halo = ensemble.halo if tiling.given_halo is None else tiling.given_halo
    if tiling.given_tile is not None:
        for numbers in zip(
            *(per_axis(one, len(info.size)) for one in (tiling.given_tile, halo, ensemble.stride)), strict=True
        ):
            check_tile(*numbers)
    foreign = ensemble.foreign
    precision = _choose_precision(tiling, device, kind, foreign)
    backends = _choose_backends(tiling, device, precision, len(info.size), foreign)
    footprint = measure_footprint(ensemble, info, halo, precision, kind)
    own = info.pixels
    plans = [
        ExecutionPlan(device, backend, precision, tile, halo, batch, axes=len(info.size))
        for backend in backends
        for tile in ensemble.fixed_tiles(tiling.given_tile)
        or _tiles(tiling, None if pixels > own else info, len(info.size), halo, ensemble.stride)
        for batch in (BATCH_SIZES[device.type] if tiling.batch == "auto" else (tiling.batch,))
    ]
    fitting = list(_fitting(plans, footprint, tiling, info, ensemble))
    if len(fitting) == 1:
        chosen = "as given" if tiling.tile != "auto" and tiling.backend != "auto" else "the memory allows no other"
        return replace(fitting[0], why=chosen)
    small = pixels < TUNED_PIXELS[device.type]
    known = recall(fitting, small)
    if known is not None:
        return known
    return replace(usual_plan(fitting), why="the input is too small to try others") if small else tune(fitting)


TUNED_PIXELS = {"cpu": 16 * 10**6, "mps": 500 * 10**6, "cuda": 2 * 10**9}
"""Pixels, by kind of device, from which on timing backends and tiles costs little beside what it may save."""


def measure_footprint(
    ensemble: Ensemble, info: ImageInfo, halo: PerAxis, precision: Precision, kind: Kind
) -> Footprint:
    """Measure the quantities on which the memory of a run depends."""
    channels, halos = ensemble.inputs, per_axis(halo, len(info.size))
    predicted_channels, dtype = layout(kind, ensemble.classes, info, several=True)
    weights = sum(
        tensor.numel() * tensor.element_size()
        for segmenter in ensemble.segmenters
        for tensor in (*segmenter.network.parameters(), *segmenter.network.buffers())
    )

    @cache
    def features(window: tuple[int, ...], whole: bool) -> int:
        kept = tuple(
            slice(0, tile if whole or length <= tile else tile - beside)
            for tile, length, beside in zip(window, info.size, halos, strict=True)
        )
        return max(
            measure_features(segmenter.network.eval(), channels, window, kept) for segmenter in ensemble.segmenters
        )

    return Footprint(
        features=features,
        weights=weights,
        precision=precision,
        pixel=pixel_bytes(info, channels),
        predicted=predicted_channels * dtype.itemsize,
        halo=halo,
        stride=ensemble.stride,
        owned=ensemble.owned,
    )


def needed_memory(plan: ExecutionPlan, footprint: Footprint, info: ImageInfo, budget: int | None) -> int:
    """Return the bytes that a run takes on its device: on a CPU in addition to those that the process used before.

    Args:
        plan: The plan of the run.
        footprint: See `measure_footprint`.
        info: The image.
        budget: Bytes that everything may take; None for the default.
    """
    network = footprint.network(plan.backend, plan.window, plan.batch)
    if plan.device.type == "cuda":
        return network
    decoded = min(cache_bytes(budget, plan.device), info.channels * prod(info.size) * info.dtype.itemsize)
    return network + decoded + footprint.pipeline(plan.tile, plan.batch, info.size)


def _choose_precision(tiling: TilingOptions, device: torch.device, kind: Kind, foreign: tuple[str, ...]) -> Precision:
    if tiling.precision != "auto":
        return tiling.precision
    if kind == "restored":  # 16 bits hold fewer levels than many images have
        return "fp32"
    if device.type == "cuda":
        half: Precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        able = backends_in(half, device.type, foreign=foreign)
        if able and tiling.backend in ("auto", *able):
            return half
    return "fp32"


def _choose_backends(
    tiling: TilingOptions, device: torch.device, precision: Precision, axes: int, foreign: tuple[str, ...]
) -> list[str]:
    """Return the possible backends for windows with so many axes and networks of these foreign kinds."""
    if tiling.backend != "auto":
        check_backend(tiling.backend, device, precision, axes, foreign)
        return [tiling.backend]
    able = backends_in(precision, device.type, axes, foreign)
    chosen = [name for name in able if device.type in backend_info(name).candidate_on and is_installed(name)]
    if not chosen:
        check_backend(able[0] if able else DEFAULT_BACKEND, device, precision, axes, foreign)
    return chosen


def _tiles(tiling: TilingOptions, info: ImageInfo | None, axes: int, halo: PerAxis, stride: PerAxis) -> list[PerAxis]:
    """Return the possible tiles, the smallest first: for a single image none larger than the image needs.

    Along each axis a tile is as long as its halo is, compared with the others: so the same share is context.
    """
    if tiling.given_tile is not None:
        return [tiling.given_tile]
    halos, strides = per_axis(halo, axes), per_axis(stride, axes)
    shares = [max(one, step) / max(*halos, *strides) for one, step in zip(halos, strides, strict=True)]
    smallest = round_up(3 * max(halos), max(strides))
    sides = [side for side in TILE_SIZES[axes] if side % max(strides) == 0 and side >= smallest] or [smallest]
    tiles: dict[PerAxis, None] = {}
    for side in sides:
        lengths = (round_up(round(side * share), step) for share, step in zip(shares, strides, strict=True))
        tile = tuple(
            map(
                max,
                zip(lengths, (round_up(3 * one, step) for one, step in zip(halos, strides, strict=True)), strict=True),
            )
        )
        tiles.setdefault(one_if_equal(tile))
        if info is not None and all(length >= size for length, size in zip(tile, info.size, strict=True)):
            break
    return list(tiles)


def _fitting(
    plans: list[ExecutionPlan], footprint: Footprint, tiling: TilingOptions, info: ImageInfo, ensemble: Ensemble
) -> Iterator[ExecutionPlan]:
    """Yield the plans that fit into memory, each tile with its largest batch.

    Raises:
        ConfigError: None does, although the user asked for it.
    """
    device = plans[0].device
    free = free_memory(device, tiling.memory_bytes)

    def need(plan: ExecutionPlan) -> int:
        return needed_memory(plan, footprint, info, tiling.memory_bytes)

    fitting: set[ExecutionPlan] = set()
    for backend, batch in {(plan.backend, plan.batch) for plan in plans}:
        by_tile = [plan for plan in plans if (plan.backend, plan.batch) == (backend, batch)]
        fitting.update(by_tile[: bisect_right(by_tile, free, key=need)])  # measuring takes time: not for all
    found: set[tuple[str, PerAxis]] = set()
    for plan in plans:
        large = plan.batch > 1 and plan.batch * prod(plan.window) > LARGEST_BATCH_PIXELS and tiling.batch == "auto"
        if plan in fitting and not large and (plan.backend, plan.tile) not in found:
            found.add((plan.backend, plan.tile))
            yield plan
    if not found and tiling.memory is not None:
        missing = (min(map(need, plans)) - free) / 1e9
        raise ConfigError(
            f"memory: {tiling.memory} is too little for {ensemble.name}, by about {missing:.2f} GB.",
            "Allow more, or take a smaller --tile or --batch.",
        )
    if not found:
        yield min(plans, key=lambda plan: (plan.side, plan.batch))


def usual_plan(plans: list[ExecutionPlan]) -> ExecutionPlan:
    """Return the plan that is used without trying: PyTorch, which starts at once, with a usual tile."""
    names = [plan.backend for plan in plans]
    own = [plan for plan in plans if plan.backend == (DEFAULT_BACKEND if DEFAULT_BACKEND in names else names[0])]
    largest = backend_info(own[0].backend).largest_tile
    bound = own[0].usual_side ** own[0].axes if largest is None else largest**2
    usual = [plan for plan in own if prod(plan.window) <= bound] or own[:1]
    return max(usual, key=lambda plan: plan.side)
