"""The pipeline: threads that read, compute and write, joined by bounded queues.

Windows are read in the order of the tiles, so the source decodes each part of a file once. Predictions arrive in the
same order, so the writer fills one band after the other and hands it on. A band is all tiles of a block (of all tiles
of a plane, for example) with the same place along the first axis: rows of a plane, or slices of a volume. A few batches
and a band or two are in memory at any time.

The first error in any stage stops all of them, and is raised. The caller's thread only waits, so Ctrl-C is heard at
once, even while a window is in the network.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetkit.inference.engine.forward import Forward, Pending
from unetkit.inference.tiling.grid import Tile, TileBlock
from unetkit.inference.tiling.windows import read_window_with_holes
from unetkit.io.base.contracts import ImageSource, Window
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept

QUEUED_BATCHES = 2
"""Largest number of batches that wait between two stages."""

BATCHES_IN_FLIGHT = 1
"""Batches that the device works on while the next one is handed to it."""

POLL_SECONDS = 0.05
"""Seconds that a stage waits for another before it checks whether the run was stopped."""

STOP_PATIENCE_SECONDS = 1.0
"""Seconds that a stopped run waits for a window that is being read or predicted. Its thread ends by itself later."""

Item = TypeVar("Item")

IsEmpty = Callable[[int, NDArray[Any]], bool]
"""Whether a window (C, ...) of raw pixels of a plane surely holds no foreground."""

Measure = Callable[[int], tuple[Statistics, ...]]
"""Returns the normalisation values of a plane for each model."""


class Place(NamedTuple):
    """A tile, and the block that it is a part of."""

    block: TileBlock
    tile: Tile


@dataclass(frozen=True)
class Batch:
    """Tiles that go through the network together.

    Attributes:
        places: The tiles.
        kept: Part of their windows that is kept.
        windows: (N, C, ...) raw pixels; None for tiles that are skipped.
        statistics: For each model, the normalisation values of each tile's plane.
        holes: Where each tile's core (...) holds no data, None where all of it does; empty for tiles that are skipped.
    """

    places: tuple[Place, ...]
    kept: Kept
    windows: Tensor | None
    statistics: tuple[tuple[Statistics, ...], ...]
    holes: tuple[NDArray[np.bool_] | None, ...] = ()


@dataclass
class Reader:
    """Windows of an image in the order of the tiles.

    Attributes:
        source: Source of the raw pixels.
        blocks: The tiles, in the order in which they are read.
        measure: Normalisation values of each plane; it is asked once for each block.
        channels: Number of channels that the models take.
        batch: Tiles that go through the network together.
        is_empty: Which windows are skipped.
        skipped: Tiles that were skipped so far, as plane and place.
    """

    source: ImageSource
    blocks: Sequence[TileBlock]
    measure: Measure
    channels: int
    batch: int
    is_empty: IsEmpty | None = None
    skipped: list[tuple[int, Tile]] = field(default_factory=list)

    def batches(self, forward: Forward, first_band: int) -> Iterator[Batch]:
        """Yield batches from a band on; the tiles of a batch have one kept part, and may be of several blocks."""
        places: list[Place] = []
        pixels: list[NDArray[Any]] = []
        statistics: list[tuple[Statistics, ...]] = []
        holes: list[NDArray[np.bool_] | None] = []
        kept: Kept | None = None

        def collected() -> Iterator[Batch]:
            if places and kept is not None:
                values = tuple(zip(*statistics, strict=True))
                yield Batch(tuple(places), kept, forward.gather(pixels), values, tuple(holes))
            for gathered in (places, pixels, statistics, holes):
                gathered.clear()

        for place, measured in self._places(first_band):
            plane, tile = place.block.item, place.tile
            window, empty = read_window_with_holes(self.source, plane, tile, place.block.grid, self.channels)
            tile_kept = tile.inner
            if self.is_empty is not None and self.is_empty(plane, window):
                yield from collected()
                self.skipped.append((plane, tile))
                yield Batch((place,), tile_kept, None, ())
                continue
            if tile_kept != kept:
                yield from collected()
                kept = tile_kept
            places.append(place)
            pixels.append(window)
            statistics.append(measured)
            holes.append(None if empty is None else empty[tile_kept])
            if len(places) == self.batch:
                yield from collected()
        yield from collected()

    def _places(self, first_band: int) -> Iterator[tuple[Place, tuple[Statistics, ...]]]:
        """Yield tiles, and each model's normalisation values."""
        for block in self.blocks:
            bands = block.bands[first_band:]
            first_band = max(first_band - len(block.bands), 0)
            if bands:
                measured = self.measure(block.item)
            for span in bands:
                for tile in block.band(span):
                    yield Place(block, tile), measured


def run_tiles(
    reader: Reader,
    forward: Forward,
    write: Callable[[Iterator[NDArray[Any]]], None],
    *,
    first_band: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Predict blocks of an image tile by tile.

    Args:
        reader: The image and its tiles.
        forward: The models on their device.
        write: Takes the bands (channels, first axis of the core, *rest of the block) in order, block by block.
        first_band: Bands that are already there; the iterator begins after them.
        progress: Called with the number of pixels that were predicted since the last call.

    Raises:
        UnetkitError: The first error of any stage.
    """
    crew = _Crew()
    to_device: _Channel[Batch] = _Channel(crew.stop)
    to_writer: _Channel[tuple[Batch, NDArray[Any] | None]] = _Channel(crew.stop)

    def read() -> None:
        for batch in reader.batches(forward, first_band):
            to_device.put(batch)
        to_device.close()

    def compute() -> None:
        running: deque[tuple[Batch, Pending | None]] = deque()

        def hand_on() -> None:
            batch, pending = running.popleft()
            to_writer.put((batch, None if pending is None else pending.result()))
            if progress is not None:
                progress(sum(place.tile.pixels for place in batch.places))

        for batch in to_device:
            windows = batch.windows
            pending = None if windows is None else forward.submit(windows, batch.statistics, batch.kept)
            running.append((batch, pending))
            if len(running) > BATCHES_IN_FLIGHT:
                hand_on()
        while running:
            hand_on()
        to_writer.close()

    with crew:
        crew.start("reader", read)
        crew.start("device", compute)
        crew.start("writer", lambda: write(_assemble_bands(to_writer, reader, forward)))


def _assemble_bands(
    predictions: _Channel[tuple[Batch, NDArray[Any] | None]], reader: Reader, forward: Forward
) -> Iterator[NDArray[Any]]:
    """Put the cores of each band of tiles side by side; yield (channels, first axis, *rest of the block)."""
    for batch, predicted in predictions:
        for i, (block, tile) in enumerate(batch.places):
            first, *rest = tile.spans
            _, *others = block.window
            if all(span.core_start == part.start for span, part in zip(rest, others, strict=True)):
                sizes = (part.stop - part.start for part in others)
                band = np.empty((forward.channels, first.core_stop - first.core_start, *sizes), forward.dtype)
            core = band[:, :, *(_shift(span.kept, part.start) for span, part in zip(rest, others, strict=True))]
            core[...] = 0 if predicted is None else predicted[i]
            if batch.holes and (holes := batch.holes[i]) is not None:
                core[:, holes] = 0
            if all(span.core_stop == part.stop for span, part in zip(rest, others, strict=True)):
                _clear_bad_tiles(band, block.item, (first.kept, *others), reader.source)
                yield band
                del band  # as wide as the image: there should not be two


def _clear_bad_tiles(band: NDArray[Any], item: int, window: Window, source: ImageSource) -> None:
    """Clear tiles that could not be decoded. All windows that a band needs were read before it is complete.

    Args:
        band: (channels, ...); it is changed.
        item: Number of the item that it is a part of.
        window: Where it lies in the item.
        source: The image.
    """
    for bad in source.bad_tiles:
        both = [
            slice(max(one.start, other.start), min(one.stop, other.stop))
            for one, other in zip(bad.window, window, strict=True)
        ]
        if bad.item == item and all(part.start < part.stop for part in both):
            band[:, *(_shift(part, whole.start) for part, whole in zip(both, window, strict=True))] = 0


def _shift(part: slice, origin: int) -> slice:
    """Return a slice counted from another first pixel."""
    return slice(part.start - origin, part.stop - origin)


class _StoppedError(Exception):
    """Another stage failed: this one ends without an error of its own."""


class _Channel(Generic[Item]):
    """A bounded queue between two stages. Neither waits any longer when the run is stopped."""

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
        """Mark the end: no more items follow."""
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
        if error is not None:  # Ctrl-C, or no further thread can be had, before all were started
            self._fail(error)
        try:
            self._join()
        except BaseException as interrupt:  # Ctrl-C
            self._fail(interrupt)
            self._join()
        if self._first_error is not None:
            raise self._first_error from self._first_error.__cause__

    def _join(self) -> None:
        """Wait for the threads. Once they are to stop, only the writer has the time that it takes to clean up."""
        deadline = None
        for thread in self._threads:
            while thread.is_alive():
                thread.join(POLL_SECONDS)
                if self.stop.is_set():
                    deadline = deadline or monotonic() + STOP_PATIENCE_SECONDS
                    if thread.name != "unetkit-writer" and monotonic() > deadline:
                        break
