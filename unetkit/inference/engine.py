"""The pipeline: a reader thread, the device, a writer thread, joined by bounded queues.

Windows are read in the order of the tiles, so the source decodes each part of a file once; predictions arrive in the
same order, so the writer fills one band of tiles after the other and hands it on. What is in memory at any time is a
few batches and a band or two. The first error in any stage stops all of them and is the one that is raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.forward import Forward
from unetkit.inference.grid import Tile, TileGrid
from unetkit.io.image import ImageSink, ImageSource, match_channels
from unetkit.models.normalizer import Normalizer
from unetkit.models.statistics import Statistics, check_finite, sample_pixels

QUEUED_BATCHES = 2
"""Batches that may wait between two stages."""

POLL_SECONDS = 0.05
"""How long a stage waits for another before it looks whether the run was stopped."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Tiles that go through the network together.

    Attributes:
        tiles: Plane and place of each tile.
        pixels: (N, C, h, w): the windows on the way to the device, the predictions on the way back.
        statistics: The normalisation values of each tile's plane.
    """

    tiles: tuple[tuple[int, Tile], ...]
    pixels: NDArray[Any]
    statistics: list[Statistics]


def run_tiles(
    source: ImageSource,
    sink: ImageSink,
    grid: TileGrid,
    forward: Forward,
    normalizer: Normalizer,
    *,
    channels: int,
    batch: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Predict every plane of `source` tile by tile into `sink`.

    Args:
        source: Where raw pixels come from.
        sink: Where predictions go.
        grid: The tiles of each plane.
        forward: The model on its device.
        normalizer: Measures each plane, once.
        channels: Number of channels that the model takes.
        batch: Tiles that go through the network together.
        progress: Called with the number of pixels that were predicted since the last call.

    Raises:
        UnetkitError: The first error of any stage; the sink leaves nothing behind.
    """
    crew = _Crew()
    to_device: _Channel[Batch] = _Channel(crew.stop)
    to_writer: _Channel[Batch] = _Channel(crew.stop)

    def read() -> None:
        for item in _read_batches(source, grid, normalizer, channels, batch):
            to_device.put(item)
        to_device.close()

    def write() -> None:
        sink.write(_assemble_bands(to_writer, grid, forward))

    with crew:
        crew.start("reader", read)
        crew.start("writer", write)
        for item in to_device:
            predicted = forward(item.pixels, item.statistics)
            to_writer.put(Batch(item.tiles, predicted, item.statistics))
            if progress is not None:
                progress(sum(_core_pixels(tile) for _, tile in item.tiles))
        to_writer.close()


def _core_pixels(tile: Tile) -> int:
    return (tile.row.core_stop - tile.row.core_start) * (tile.column.core_stop - tile.column.core_start)


def _read_batches(
    source: ImageSource, grid: TileGrid, normalizer: Normalizer, channels: int, batch: int
) -> Iterator[Batch]:
    """Read windows in the order of the tiles, in batches that may reach across planes."""
    tiles: list[tuple[int, Tile]] = []
    pixels: list[NDArray[Any]] = []
    statistics: list[Statistics] = []
    for plane in range(source.info.planes):
        measured = measure_plane(source, plane, normalizer, channels)
        for tile in grid:
            tiles.append((plane, tile))
            pixels.append(read_window(source, plane, tile, grid, channels))
            statistics.append(measured)
            if len(tiles) == batch:
                yield Batch(tuple(tiles), np.stack(pixels), statistics)
                tiles, pixels, statistics = [], [], []
    if tiles:
        yield Batch(tuple(tiles), np.stack(pixels), statistics)


def measure_plane(source: ImageSource, plane: int, normalizer: Normalizer, channels: int) -> Statistics:
    """Return the normalisation values of a plane; pixels are read only where the model measures each image."""
    if normalizer.stored is not None:
        return normalizer.stored
    return normalizer.statistics(match_channels(sample_pixels(source, plane), channels, source.info.name))


def read_window(source: ImageSource, plane: int, tile: Tile, grid: TileGrid, channels: int) -> NDArray[Any]:
    """Read the window (C, h, w) of a tile, reflected where the image ends before a multiple of the stride.

    Raises:
        ImageError: The image has NaN or infinite pixels or another number of channels, or cannot be read.
    """
    bottom = min(tile.row.start + grid.window[0], grid.height)
    right = min(tile.column.start + grid.window[1], grid.width)
    pixels = source.read(plane, slice(tile.row.start, bottom), slice(tile.column.start, right))
    check_finite(pixels, source.info.name)
    pixels = match_channels(pixels, channels, source.info.name)
    missing = (grid.window[0] - pixels.shape[1], grid.window[1] - pixels.shape[2])
    if any(missing):
        pixels = np.pad(pixels, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")
    return pixels


def _assemble_bands(batches: _Channel[Batch], grid: TileGrid, forward: Forward) -> Iterator[NDArray[Any]]:
    """Put the cores of each row of tiles side by side; yield (channels, rows of the core, width)."""
    band = np.empty((0, 0, 0), forward.dtype)
    for item in batches:
        for (_, tile), predicted in zip(item.tiles, item.pixels, strict=True):
            if tile.column.core_start == 0:
                height = tile.row.core_stop - tile.row.core_start
                band = np.empty((forward.channels, height, grid.width), forward.dtype)
            band[:, :, tile.column.kept] = predicted[:, tile.row.inner, tile.column.inner]
            if tile.column.core_stop == grid.width:
                yield band


class _StoppedError(Exception):
    """Another stage failed: this one ends without an error of its own."""


class _Channel(Generic[Item]):
    """A bounded queue between two stages that lets go of both when the run is stopped."""

    def __init__(self, stop: threading.Event) -> None:
        self._queue: Queue[Item | None] = Queue(QUEUED_BATCHES)
        self._stop = stop

    def put(self, item: Item | None) -> None:
        """Hand an item on, waiting for room."""
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
        raise _StoppedError

    def close(self) -> None:
        """Say that no more items follow."""
        self.put(None)

    def __iter__(self) -> Iterator[Item]:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if item is None:
                return
            yield item
        raise _StoppedError


class _Crew:
    """Threads that stop together; leaving the `with` block waits for them and raises the first error."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._first_error: BaseException | None = None
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread of its own."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # whatever it is, the caller has to see it
                self._fail(error)

        thread = threading.Thread(target=guarded, name=f"unetkit-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._first_error is None and not isinstance(error, _StoppedError):
                self._first_error = error
        self.stop.set()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._fail(error)
        try:
            self._join()
        except BaseException:  # Ctrl-C while the last rows are written
            self.stop.set()
            self._join()
            raise
        first = self._first_error
        if first is not None and first is not error:
            raise first from first.__cause__

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
