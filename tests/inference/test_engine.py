from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unetkit.errors import ImageError
from unetkit.inference.engine import read_window, run_tiles
from unetkit.inference.forward import Forward
from unetkit.inference.grid import make_grid
from unetkit.io.files import create_sink
from unetkit.io.image import ArraySink, ArraySource, ImageSink, OutputSpec
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
PLANES, HEIGHT, WIDTH = 3, 200, 170
SPEC = OutputSpec(HEIGHT, WIDTH, np.dtype(np.uint8), plane_axes="Z", plane_shape=(PLANES,))


def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 60, (PLANES, HEIGHT, WIDTH), np.uint8)


class Broken:
    """Does what `inner` does until the call number `after`, which raises `error`."""

    def __init__(self, inner: Callable[..., Any], after: int, error: BaseException) -> None:
        self.inner, self.after, self.error = inner, after, error

    def __call__(self, *args: Any) -> Any:
        self.after -= 1
        if self.after < 0:
            raise self.error
        return self.inner(*args)


class BrokenSink:
    """Takes two bands, then fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        for number, _ in enumerate(rows):
            if number == 1:
                raise self.error


def run(segmenter: Segmenter, sink: ImageSink, **parts: Any) -> None:
    source = parts.pop("source", None) or ArraySource(pixels(), "ZYX")
    forward = Forward(segmenter, torch.device("cpu"), "mask", 0.5)
    grid = make_grid(HEIGHT, WIDTH, tile=48, halo=8, stride=8)
    run_tiles(source, sink, grid, forward, segmenter.normalizer, channels=1, batch=2, **parts)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    start = time.monotonic()
    yield
    assert {thread for thread in threading.enumerate() if thread.name.startswith("unetkit")} <= before
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("after", [0, 1, 7, 40])
@pytest.mark.parametrize("error", [ImageError("Cut off.", "Copy it."), OSError("gone"), MemoryError(), ValueError("x")])
def test_an_error_of_the_source_is_raised_as_itself(
    exact_segmenter: Make, tmp_path: Path, after: int, error: Exception
) -> None:
    source = ArraySource(pixels(), "ZYX")
    source.read = Broken(source.read, after, error)  # type: ignore[method-assign, assignment]
    with pytest.raises(type(error)) as caught:
        run(exact_segmenter(), create_sink(tmp_path / "mask.tif", SPEC), source=source)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("after", [0, 1, 30])
def test_an_error_of_the_network_is_raised_as_itself(exact_segmenter: Make, tmp_path: Path, after: int) -> None:
    error = RuntimeError("out of memory")
    segmenter = exact_segmenter()
    segmenter.network.forward = Broken(segmenter.network.forward, after, error)
    with pytest.raises(RuntimeError) as caught:
        run(segmenter, create_sink(tmp_path / "mask.tif", SPEC))
    assert caught.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("bug"), KeyboardInterrupt()])
def test_an_error_of_the_sink_is_raised_as_itself(exact_segmenter: Make, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run(exact_segmenter(), BrokenSink(error))
    assert caught.value is error


def test_an_error_keeps_its_cause(exact_segmenter: Make) -> None:
    cause = OSError("bad sector")
    error = ImageError("Cut off.", "Copy it.")
    error.__cause__ = cause
    with pytest.raises(ImageError) as caught:
        run(exact_segmenter(), BrokenSink(error))
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("calls", [0, 5])
def test_ctrl_c_stops_everything_and_leaves_nothing(exact_segmenter: Make, tmp_path: Path, calls: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(
            exact_segmenter(),
            create_sink(tmp_path / "mask.tif", SPEC),
            progress=Broken(lambda done: None, calls, KeyboardInterrupt()),
        )
    assert not list(tmp_path.iterdir())


def test_ctrl_c_during_the_last_rows_stops_the_writer(exact_segmenter: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is done, the writer is not: the interrupt arrives while the main thread waits for it."""
    finished: list[bool] = []

    class Slow:
        def write(self, rows: Iterable[NDArray[Any]]) -> None:
            for _ in rows:
                time.sleep(0.2)
            finished.append(True)

    join = threading.Thread.join
    interrupts = [KeyboardInterrupt()]

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name == "unetkit-writer" and interrupts:
            raise interrupts.pop()
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    source = ArraySource(pixels()[:1, :150, :40], "ZYX")
    segmenter = exact_segmenter()
    forward = Forward(segmenter, torch.device("cpu"), "mask", 0.5)
    grid = make_grid(150, 40, tile=48, halo=8, stride=8)
    with pytest.raises(KeyboardInterrupt):
        run_tiles(source, Slow(), grid, forward, segmenter.normalizer, channels=1, batch=1)
    assert not finished


def test_nan_beyond_the_sample_is_found_when_its_tile_is_read(exact_segmenter: Make, tmp_path: Path) -> None:
    values = pixels().astype(np.float32)
    values[2, 150, 99] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        run(exact_segmenter(), create_sink(tmp_path / "mask.tif", SPEC), source=ArraySource(values, "ZYX"))
    assert not list(tmp_path.iterdir())


def test_progress_adds_up_to_the_number_of_pixels(exact_segmenter: Make) -> None:
    done: list[int] = []
    run(exact_segmenter(), ArraySink(SPEC), progress=done.append)
    assert sum(done) == PLANES * HEIGHT * WIDTH
    assert len(done) > PLANES


def test_each_plane_is_normalised_by_itself(tiny_segmenter: Segmenter) -> None:
    values = pixels().astype(np.uint16)
    brighter = values * np.array([1, 9, 300], np.uint16)[:, None, None]
    plain, bright = ArraySink(SPEC), ArraySink(SPEC)
    run(tiny_segmenter, plain, source=ArraySource(values, "ZYX"))
    run(tiny_segmenter, bright, source=ArraySource(brighter, "ZYX"))
    assert (plain.array != bright.array).mean() < 1e-3  # the same but for rounding


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (13, 21)])
def test_a_window_beyond_the_image_is_filled_by_reflection(size: tuple[int, int]) -> None:
    image = pixels()[0, : size[0], : size[1]]
    grid = make_grid(*size, tile=48, halo=8, stride=8)
    window = read_window(ArraySource(image, "YX"), 0, next(iter(grid)), grid, 2)
    rows, columns = (np.pad(np.arange(n), (0, -n % 8), mode="reflect") for n in size)
    assert window.shape == (2, *grid.window)
    np.testing.assert_array_equal(window[1], image[rows][:, columns])
