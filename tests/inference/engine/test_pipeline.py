from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forwards import Watched, make_forward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.inference.engine.forward import Forward, Kind
from unetkit.inference.engine.pipeline import Reader, run_tiles
from unetkit.inference.tiling.grid import TileGrid, make_grid
from unetkit.inference.tiling.windows import measure_plane, read_window
from unetkit.io.base.arrays import ArraySink, ArraySource
from unetkit.io.base.contracts import BadTile, OutputSpec
from unetkit.io.files import create_sink
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
PLANES, HEIGHT, WIDTH = 3, 100, 90
SPEC = OutputSpec((HEIGHT, WIDTH), np.dtype(np.uint8), plane_axes="Z", plane_shape=(PLANES,))
with_fixtures = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 60, (PLANES, HEIGHT, WIDTH), np.uint8)


def make_reader(segmenter: Segmenter, source: Any = None, batch: int = 2, **layout: int) -> Reader:
    source = ArraySource(pixels(), "ZYX") if source is None else source
    grid = make_grid(source.info.size, **{"tile": 48, "halo": 8, "stride": 8, **layout})
    blocks = [grid.whole(plane) for plane in range(source.info.planes)]
    channels = segmenter.spec.in_channels
    measure = partial(measure_plane, source, normalizers=[segmenter.normalizer], channels=channels)
    return Reader(source, blocks, measure, channels, batch)


def predict(reader: Reader, forward: Forward, **choices: Any) -> NDArray[Any]:
    """Return (planes, channels, *size)."""
    bands: list[NDArray[Any]] = []
    run_tiles(reader, forward, bands.extend, **choices)
    rows = np.concatenate(bands, axis=1).reshape(forward.channels, -1, *reader.blocks[0].grid.size)
    return rows.swapaxes(0, 1)


class Broken:
    """Does what `inner` does until the call number `after`, which raises `error`."""

    def __init__(self, inner: Callable[..., Any], after: int, error: BaseException) -> None:
        self.inner, self.after, self.error = inner, after, error

    def __call__(self, *args: Any) -> Any:
        self.after -= 1
        if self.after < 0:
            raise self.error
        return self.inner(*args)


def fail_at_second(error: BaseException) -> Callable[[Iterator[Any]], None]:
    """Return a writer that takes two bands, then fails."""

    def write(bands: Iterator[NDArray[Any]]) -> None:
        for number, _ in enumerate(bands):
            if number == 1:
                raise error

    return write


def run(segmenter: Segmenter, write: Callable[[Iterator[NDArray[Any]]], None], source: Any = None, **rest: Any) -> None:
    run_tiles(make_reader(segmenter, source), make_forward(segmenter), write, **rest)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while threads := {one for one in threading.enumerate() if one.name.startswith("unetkit")} - before:
        assert time.monotonic() < deadline, threads
        time.sleep(0.02)


# Tiled is the same as whole


@with_fixtures
@given(
    size=st.one_of(
        st.tuples(st.integers(1, 90), st.integers(1, 90)),
        st.sampled_from([(1, 1), (1, 90), (90, 1), (2, 3), (16, 16), (17, 33)]),
    ),
    stride=st.sampled_from([1, 2, 4]),
    halo=st.integers(4, 6),
    core=st.integers(1, 8),
    batch=st.integers(1, 5),
    classes=st.sampled_from([2, 3]),
    kind=st.sampled_from(["mask", "probabilities", "heights"]),
)
def test_tiled_is_the_whole_pass_bit_by_bit(
    exact_segmenter: Make,
    size: tuple[int, int],
    stride: int,
    halo: int,
    core: int,
    batch: int,
    classes: int,
    kind: Kind,
) -> None:
    """The network sees less far than the halo.

    Only the last bit of a probability depends on whether a vector instruction computed the sigmoid.
    """
    with_map = kind == "heights"
    segmenter = exact_segmenter(stride=stride, classes=2 if with_map else classes, instances=with_map)
    source = ArraySource(pixels()[:2, : size[0], : size[1]], "ZYX")
    halo_pixels = halo * stride
    forward = make_forward(segmenter, kind=kind, halo=halo_pixels, stride=stride)
    whole = make_reader(segmenter, source, 1, tile=96, halo=0, stride=stride)
    tiled = make_reader(segmenter, source, batch, tile=2 * halo_pixels + core * stride, halo=halo_pixels, stride=stride)
    got, expected = predict(tiled, forward), predict(whole, forward)
    if kind == "probabilities":
        np.testing.assert_array_max_ulp(got, expected, 8)  # exp and sums round by their place in memory
    else:
        np.testing.assert_array_equal(got, expected)


def test_a_whole_pass_is_the_network_on_the_image(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    forward = make_forward(segmenter, kind="probabilities")
    with torch.inference_mode():
        expected = segmenter.network(torch.from_numpy(pixels())[:, None].float()).sigmoid().numpy()
    got = predict(make_reader(segmenter), forward)
    np.testing.assert_allclose(
        got[:, :, : HEIGHT - 8, : WIDTH - 8], expected[:, :, : HEIGHT - 8, : WIDTH - 8], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_and_threads_change_nothing(exact_segmenter: Make, batch: int, threads: int) -> None:
    segmenter = exact_segmenter()
    forward = make_forward(segmenter, kind="probabilities")
    expected = predict(make_reader(segmenter, batch=1), forward)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(predict(make_reader(segmenter, batch=batch), forward), expected)
    finally:
        torch.set_num_threads(before)


def test_the_order_of_the_tiles_changes_nothing(exact_segmenter: Make) -> None:
    """Rows of tiles backwards give the same bands, backwards."""
    segmenter = exact_segmenter()
    reader = make_reader(segmenter, ArraySource(pixels()[0], "YX"))
    block = reader.blocks[0]
    backwards = replace(reader, blocks=[replace(block, spans=(block.spans[0][::-1], block.spans[1]))])
    bands: list[list[NDArray[Any]]] = [[], []]
    for one, collected in zip((reader, backwards), bands, strict=True):
        run_tiles(one, make_forward(segmenter), collected.extend)
    assert len(bands[0]) > 2
    for first, second in zip(bands[0], bands[1][::-1], strict=True):
        np.testing.assert_array_equal(first, second)


@with_fixtures
@given(st.data(), st.booleans())
def test_a_block_of_tiles_gives_its_part_of_the_whole(exact_segmenter: Make, data: st.DataObject, bad: bool) -> None:
    """Blocks of any tiles that lie side by side, with what could not be decoded cleared in each."""
    source = ArraySource(pixels(), "ZYX")
    if bad:
        source.bad_tiles.append(BadTile(1, (20, 30), (50, 40)))
    reader = make_reader(exact_segmenter(), source)
    forward = make_forward(exact_segmenter())
    whole = predict(reader, forward)
    block = reader.blocks[1]
    cuts = [sorted(data.draw(st.sets(st.integers(0, len(spans)), min_size=2, max_size=2))) for spans in block.spans]
    spans = tuple(each[start:stop] for each, (start, stop) in zip(block.spans, cuts, strict=True))
    part = replace(block, spans=spans)
    bands: list[NDArray[Any]] = []
    run_tiles(replace(reader, blocks=[part]), forward, bands.extend)
    np.testing.assert_array_equal(np.concatenate(bands, axis=1), whole[1][:, *part.window])
    assert part.pixels == sum(band[0].size for band in bands)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_windows_of_a_batch_have_one_kept_part(exact_segmenter: Make, batch: int) -> None:
    segmenter = exact_segmenter()
    reader = make_reader(segmenter, batch=batch, tile=32)
    places = []
    for one in reader.batches(make_forward(segmenter), 0):
        assert 1 <= len(one.places) <= batch
        assert all(tile.inner == one.kept for _, tile in one.places)
        assert one.windows is not None
        assert len(one.windows) == len(one.places)
        assert [len(values) for values in one.statistics] == [len(one.places)]
        places += [(block.item, tile) for block, tile in one.places]
    assert places == [(plane, tile) for plane in range(PLANES) for tile in reader.blocks[0].grid]


def test_each_plane_is_normalised_by_itself(tiny_segmenter: Segmenter) -> None:
    values = pixels().astype(np.uint16)
    brighter = values * np.array([1, 9, 300], np.uint16)[:, None, None]
    forward = make_forward(tiny_segmenter)
    plain, bright = (
        predict(make_reader(tiny_segmenter, ArraySource(one, "ZYX")), forward) for one in (values, brighter)
    )
    assert (plain != bright).mean() < 1e-3  # the same but for rounding
    assert 0 < plain.mean() < 255


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (13, 21)])
def test_a_window_beyond_the_image_is_filled_by_reflection(size: tuple[int, int]) -> None:
    image = pixels()[0, : size[0], : size[1]]
    grid = make_grid(size, tile=48, halo=8, stride=8)
    window = read_window(ArraySource(image, "YX"), 0, next(iter(grid)), grid, 2)
    rows, columns = (np.pad(np.arange(n), (0, -n % 8), mode="reflect") for n in size)
    assert window.shape == (2, *grid.window)
    np.testing.assert_array_equal(window[1], image[rows][:, columns])


# Resumed, skipped, damaged


@pytest.mark.parametrize("first_band", [1, 3, 4, 7, 8, 9])
def test_a_resumed_run_gives_the_bands_that_are_missing(exact_segmenter: Make, first_band: int) -> None:
    segmenter = exact_segmenter()
    reader, forward = make_reader(segmenter), make_forward(segmenter)
    assert len(reader.blocks[0].grid.bands) == 3
    bands: list[list[NDArray[Any]]] = [[], []]
    for first, collected in zip((0, first_band), bands, strict=True):
        run_tiles(reader, forward, collected.extend, first_band=first)
    assert len(bands[1]) == 9 - first_band
    for whole, resumed in zip(bands[0][first_band:], bands[1], strict=True):
        np.testing.assert_array_equal(whole, resumed)


@pytest.mark.parametrize("batch", [1, 4])
def test_skipped_tiles_are_background_and_all_others_as_ever(exact_segmenter: Make, batch: int) -> None:
    segmenter = exact_segmenter()
    forward = make_forward(segmenter, kind="probabilities")
    whole = predict(make_reader(segmenter), forward)
    reader = make_reader(segmenter, batch=batch)
    rng = np.random.default_rng(3)
    reader.is_empty = lambda plane, window: bool(rng.random() < 0.4)
    got = predict(reader, forward)
    assert 0 < len(reader.skipped) < PLANES * len(reader.blocks[0].grid)
    for plane, tile in reader.skipped:
        core = got[plane, :, *tile.kept]
        assert (core == 0).all()
        whole[plane, :, *tile.kept] = 0
    np.testing.assert_array_equal(got, whole)


def test_an_image_that_is_all_skipped_never_reaches_the_network(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    watched = Watched(segmenter)
    reader = make_reader(segmenter)
    reader.is_empty = lambda plane, window: True
    done: list[int] = []
    assert not predict(reader, make_forward(segmenter, backends=[watched]), progress=done.append).any()
    assert not watched.shapes
    assert sum(done) == PLANES * HEIGHT * WIDTH


def test_what_could_not_be_decoded_is_background(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    forward = make_forward(segmenter, kind="probabilities")
    whole = predict(make_reader(segmenter), forward)
    source = ArraySource(pixels(), "ZYX")
    source.bad_tiles = [BadTile(1, (20, 30), (40, 50)), BadTile(2, (96, 80), (64, 64))]
    whole[1, :, 20:60, 30:80] = 0
    whole[2, :, 96:, 80:] = 0
    np.testing.assert_array_equal(predict(make_reader(segmenter, source), forward), whole)


def test_a_bad_tile_found_while_reading_is_cleared_in_all_its_bands(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    source = ArraySource(pixels(), "ZYX")
    bad = BadTile(0, (0, 0), (64, 64))
    read = source.read

    def find(item: int, window: tuple[slice, ...]) -> NDArray[Any]:
        if not source.bad_tiles:
            source.bad_tiles.append(bad)
        return read(item, window)

    source.read = find  # type: ignore[method-assign]
    got = predict(make_reader(segmenter, source), make_forward(segmenter, kind="probabilities"))
    assert not got[0, :, :64, :64].any()
    assert got[0, :, 64:].all()


# The first error of any stage


@pytest.mark.parametrize("after", [0, 1, 7, 20])
@pytest.mark.parametrize("error", [ImageError("Cut off.", "Copy it."), OSError("gone"), MemoryError(), ValueError("x")])
def test_an_error_of_the_source_is_raised_as_itself(
    exact_segmenter: Make, tmp_path: Path, after: int, error: Exception
) -> None:
    source = ArraySource(pixels(), "ZYX")
    source.read = Broken(source.read, after, error)  # type: ignore[method-assign, assignment]
    with pytest.raises(type(error)) as caught:
        run(exact_segmenter(), create_sink(tmp_path / "mask.tif", SPEC).write, source)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("after", [0, 1, 6])
def test_an_error_of_the_network_is_raised_as_itself(exact_segmenter: Make, tmp_path: Path, after: int) -> None:
    error = RuntimeError("out of memory")
    segmenter = exact_segmenter()
    watched = Watched(segmenter, Broken(lambda pixels: None, after, error))
    forward = make_forward(segmenter, backends=[watched])
    with pytest.raises(RuntimeError) as caught:
        run_tiles(make_reader(segmenter), forward, create_sink(tmp_path / "mask.tif", SPEC).write)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("bug"), KeyboardInterrupt()])
def test_an_error_of_the_sink_is_raised_as_itself(exact_segmenter: Make, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run(exact_segmenter(), fail_at_second(error))
    assert caught.value is error


def test_an_error_of_the_test_for_emptiness_is_raised_as_itself(exact_segmenter: Make) -> None:
    error = OSError("gone")
    segmenter = exact_segmenter()
    reader = make_reader(segmenter)
    reader.is_empty = Broken(lambda plane, window: False, 3, error)
    with pytest.raises(OSError, match="gone") as caught:
        predict(reader, make_forward(segmenter))
    assert caught.value is error


def test_an_error_keeps_its_cause(exact_segmenter: Make) -> None:
    cause = OSError("bad sector")
    error = ImageError("Cut off.", "Copy it.")
    error.__cause__ = cause
    with pytest.raises(ImageError) as caught:
        run(exact_segmenter(), fail_at_second(error))
    assert caught.value.__cause__ is cause


def test_of_several_errors_the_first_is_raised(exact_segmenter: Make) -> None:
    """The writer fails because the reader did."""
    first = ImageError("Cut off.", "Copy it.")
    source = ArraySource(pixels(), "ZYX")
    source.read = Broken(source.read, 5, first)  # type: ignore[method-assign, assignment]

    def write(bands: Iterable[NDArray[Any]]) -> None:
        try:
            for _ in bands:
                pass
        finally:
            raise OSError("the file is not complete")

    with pytest.raises(ImageError) as caught:
        run(exact_segmenter(), write, source)
    assert caught.value is first


def test_a_thread_that_cannot_be_started_stops_those_that_were(
    exact_segmenter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "unetkit-writer":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        run(exact_segmenter(), fail_at_second(ValueError()))


def test_nan_is_found_when_its_tile_is_read(exact_segmenter: Make, tmp_path: Path) -> None:
    values = pixels().astype(np.float32)
    values[2, 90, 80] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        run(exact_segmenter(), create_sink(tmp_path / "mask.tif", SPEC).write, ArraySource(values, "ZYX"))
    assert not list(tmp_path.iterdir())


# Ctrl-C


@pytest.mark.parametrize("calls", [0, 5])
def test_ctrl_c_stops_everything_and_leaves_nothing(exact_segmenter: Make, tmp_path: Path, calls: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(
            exact_segmenter(),
            create_sink(tmp_path / "mask.tif", SPEC).write,
            progress=Broken(lambda done: None, calls, KeyboardInterrupt()),
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def press_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Callable[[threading.Event], None]:
    """A function after which the caller's thread is interrupted, once, when an event is set."""

    def prepare(event: threading.Event) -> None:
        join, pressed = threading.Thread.join, []

        def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
            if event.is_set() and not pressed and self.name.startswith("unetkit"):
                pressed.append(True)
                raise KeyboardInterrupt
            join(self, timeout)

        monkeypatch.setattr(threading.Thread, "join", interrupted)

    return prepare


def test_ctrl_c_does_not_wait_for_a_window_that_is_in_the_network(
    exact_segmenter: Make, tmp_path: Path, press_ctrl_c: Callable[[threading.Event], None]
) -> None:
    inside, release = threading.Event(), threading.Event()

    def compute(window: torch.Tensor) -> None:
        inside.set()
        release.wait(30)

    segmenter = exact_segmenter()
    press_ctrl_c(inside)
    forward = make_forward(segmenter, backends=[Watched(segmenter, compute)])
    with pytest.raises(KeyboardInterrupt):
        run_tiles(make_reader(segmenter), forward, create_sink(tmp_path / "mask.tif", SPEC).write)
    assert not release.is_set()  # it is here although the network has not returned
    assert not list(tmp_path.iterdir())
    release.set()


def test_ctrl_c_during_the_last_rows_stops_the_writer(
    exact_segmenter: Make, press_ctrl_c: Callable[[threading.Event], None]
) -> None:
    """The device is done, the writer is not."""
    writing, finished = threading.Event(), []

    def write(bands: Iterator[NDArray[Any]]) -> None:
        for _ in bands:
            writing.set()
            time.sleep(0.1)
        finished.append(True)

    press_ctrl_c(writing)
    with pytest.raises(KeyboardInterrupt):
        run(exact_segmenter(), write)
    assert not finished


# Progress


def test_progress_adds_up_to_the_number_of_pixels(exact_segmenter: Make) -> None:
    done: list[int] = []
    run(exact_segmenter(), ArraySink(SPEC).write, progress=done.append)
    assert sum(done) == PLANES * HEIGHT * WIDTH
    assert len(done) > PLANES


def test_little_is_in_memory_when_the_writer_is_slow(exact_segmenter: Make) -> None:
    """The reader waits for the writer: at most a few batches are ahead of the band that is being written."""
    ahead: list[int] = []
    source = ArraySource(pixels(), "ZYX")
    read, count = source.read, [0]

    def counting(item: int, window: tuple[slice, ...]) -> NDArray[Any]:
        count[0] += 1
        return read(item, window)

    source.read = counting  # type: ignore[method-assign]
    segmenter = exact_segmenter()
    reader = make_reader(segmenter, source, batch=1)

    def write(bands: Iterator[NDArray[Any]]) -> None:
        for number, _ in enumerate(bands, 1):
            time.sleep(0.05)
            ahead.append(count[0] - number * len(reader.blocks[0].grid.spans[1]))

    run_tiles(reader, make_forward(segmenter), write)
    assert max(ahead) <= 8 + len(reader.blocks[0].grid.spans[1])


def test_a_grid_of_one_tile_is_enough(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    source = ArraySource(pixels()[0, :1, :1], "YX")
    reader = make_reader(segmenter, source)
    assert isinstance(reader.blocks[0].grid, TileGrid)
    assert predict(reader, make_forward(segmenter)).shape == (1, 1, 1, 1)
