"""What every image sink promises, as tests."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.foundation.errors import OutputError
from unetkit.io.base.blocks import is_shared, written_in_blocks
from unetkit.io.base.contracts import ImageSink, OutputSpec, Window
from unetkit.testing.sources import part_of

HEIGHTS = (1, 7, 100_000)
"""Rows that are handed on at a time."""


class SinkContract:
    """Tests that a writer keeps what `unetkit.io.base.contracts.ImageSink` promises.

    Inherit it, in a class whose name begins with Test. Give what is written as the fixture `spec`, for example with
    several `params`; how a sink is made in a folder; and how what it wrote is read back:

        class TestNifti(SinkContract):
            @pytest.fixture(params=["uint8", "float32"])
            def spec(self, request):
                return OutputSpec((40, 50), np.dtype(request.param), plane_axes="Z", plane_shape=(3,))

            def make(self, folder, spec):
                return NiftiSink(folder / "out.nii", spec)

            def read(self, sink, folder, spec):
                return read_nifti(folder / "out.nii").reshape(3, 1, 40, 50)
    """

    @pytest.fixture
    def spec(self) -> OutputSpec:
        """Return what is written."""
        raise NotImplementedError("Say what is written.")

    def make(self, folder: Path, spec: OutputSpec) -> ImageSink:
        """Return a sink that writes into a folder, and there always to the same name."""
        raise NotImplementedError("Make a sink.")

    def read(self, sink: ImageSink, folder: Path, spec: OutputSpec) -> NDArray[Any]:
        """Return all pixels of what was written: (items, channels, one size for each axis of an item)."""
        raise NotImplementedError("Read what the sink wrote.")

    @pytest.fixture
    def pixels(self, spec: OutputSpec) -> NDArray[Any]:
        """Return what is written: noise, with a part that is 0, as in most masks."""
        pixels = (np.random.default_rng(0).random((spec.planes, spec.channels, *spec.size)) * 255).astype(spec.dtype)
        pixels[(slice(None), slice(None), *(slice(0, size // 2) for size in spec.size))] = 0
        return pixels

    @pytest.fixture
    def written(self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any]) -> dict[Path, bytes]:
        """Return the files that all rows at once make."""
        folder = _made(tmp_path / "whole")
        self.make(folder, spec).write(_cut(pixels, pixels.shape[2]))
        return _content(folder)

    def test_rows_of_any_height_come_back(self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any]) -> None:
        """The pixels are those that were given, and the files do not depend on how rows are cut."""
        contents = []
        for height in HEIGHTS:
            folder = _made(tmp_path / str(height))
            sink = self.make(folder, spec)
            sink.write(_cut(pixels, height))
            _check(self.read(sink, folder, spec), pixels)
            contents.append(_content(folder))
        assert all(content == contents[0] for content in contents)

    def test_blocks_in_any_order_make_the_same_as_rows(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any], written: dict[Path, bytes]
    ) -> None:
        """Blocks of any size that keeps to the grid make the same pixels, and the same files."""
        for seed in range(2):
            folder = _made(tmp_path / str(seed))
            sink = self.make(folder, spec)
            with written_in_blocks(sink):
                for item, window in _blocks(spec, sink.block, seed):
                    sink.write_block(item, window, part_of(pixels, item, window))
            _check(self.read(sink, folder, spec), pixels)
            assert _content(folder) == written

    def test_several_threads_may_write_blocks(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any], written: dict[Path, bytes]
    ) -> None:
        """Blocks that are written at the same time do not disturb each other."""
        folder = _made(tmp_path / "threads")
        sink = self.make(folder, spec)
        with written_in_blocks(sink), ThreadPoolExecutor(4) as pool:
            blocks = _blocks(spec, sink.block, 0)
            list(pool.map(lambda block: sink.write_block(block[0], block[1], part_of(pixels, *block)), blocks))
        _check(self.read(sink, folder, spec), pixels)
        assert _content(folder) == written

    def test_several_processes_may_write_blocks_where_the_sink_is_shared(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any], written: dict[Path, bytes]
    ) -> None:
        """Each process has a copy of the sink; one begins and finishes."""
        folder = _made(tmp_path / "processes")
        sink = self.make(folder, spec)
        if not sink.shared:
            pytest.skip("Its blocks are written by one process.")
        blocks = [(*block, part_of(pixels, *block)) for block in _blocks(spec, sink.block, 0)]
        with written_in_blocks(sink), multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.starmap(_write_blocks, [(sink, blocks[0::2]), (sink, blocks[1::2])], chunksize=1)
        _check(self.read(sink, folder, spec), pixels)
        assert _content(folder) == written

    def test_smaller_levels_may_be_made_in_pieces_where_the_sink_is_shared(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any], written: dict[Path, bytes]
    ) -> None:
        """Pieces are made in any order and more than once, by copies of the sink; the last one is left to `finish`."""
        folder = _made(tmp_path / "pieces")
        sink = self.make(folder, spec)
        if not is_shared(sink):
            pytest.skip("Its blocks are written by one process.")
        with written_in_blocks(sink):
            for item, window in _blocks(spec, sink.block, 0):
                copy = pickle.loads(pickle.dumps(sink))
                for _ in range(2):
                    copy.write_block(item, window, part_of(pixels, item, window))
            for level, pieces in enumerate(sink.pieces(), 1):
                assert {piece.level for piece in pieces} == {level}
                for piece in [*pieces[::-1], *pieces][:-1]:
                    pickle.loads(pickle.dumps(sink)).shrink(piece)
        _check(self.read(sink, folder, spec), pixels)
        assert _content(folder) == written

    def test_another_run_goes_on_where_the_sink_is_shared(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any], written: dict[Path, bytes]
    ) -> None:
        """What a run that was killed has written is kept, unless it is of another output."""
        folder = _made(tmp_path / "resumed")
        first, later = self.make(folder, spec), self.make(folder, spec)
        if not is_shared(first) or not is_shared(later):
            pytest.skip("Its blocks are written by one process.")
        assert not first.resume()
        blocks = _blocks(spec, first.block, 0)
        for item, window in blocks[: len(blocks) // 2]:
            first.write_block(item, window, part_of(pixels, item, window))
        other = self.make(folder, replace(spec, size=(spec.size[0] + 1, *spec.size[1:])))
        assert is_shared(other)
        with pytest.raises(OutputError, match="another run"):
            other.resume()
        assert later.resume()
        for item, window in blocks[len(blocks) // 2 :]:
            later.write_block(item, window, part_of(pixels, item, window))
        later.finish()
        _check(self.read(later, folder, spec), pixels)
        assert _content(folder) == written

    def test_nothing_is_there_before_the_end_and_after_an_error(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any]
    ) -> None:
        """An error of the rows passes unchanged, and neither it nor blocks that are abandoned leave a file."""
        folder = _made(tmp_path / "nothing")
        first = self.make(folder, spec)
        before = _content(folder)
        for error in (KeyboardInterrupt(), OSError("of the rows"), ValueError("of the rows")):

            def rows(error: BaseException = error) -> Iterator[NDArray[Any]]:
                yield pixels[0][:, :1]
                raise error

            with pytest.raises(type(error)) as caught:
                first.write(rows())
            assert caught.value is error
            assert _content(folder) == before

        def break_off() -> None:
            sink = self.make(folder, spec)
            with written_in_blocks(sink):
                for item, window in _blocks(spec, sink.block, 0):
                    sink.write_block(item, window, part_of(pixels, item, window))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            break_off()
        assert _content(folder) == before
        assert not [path for path in folder.rglob("*") if path.is_dir() and path not in before]

    def test_what_was_there_is_kept_until_the_new_one_is_whole(
        self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any]
    ) -> None:
        """An output that is begun and abandoned leaves an older one as it was; one that is finished replaces it."""
        folder = _made(tmp_path / "kept")
        old = self.make(folder, spec)
        old.write(_cut(pixels, pixels.shape[2]))
        before = _content(folder)
        sink = self.make(folder, spec)
        zeros = np.zeros_like(pixels)
        for outcome in (sink.abandon, sink.finish):
            sink.begin()
            for item, window in _blocks(spec, sink.block, 0):
                sink.write_block(item, window, part_of(zeros, item, window))
            if outcome == sink.abandon:
                outcome()
                assert _content(folder) == before
                _check(self.read(old, folder, spec), pixels)
            else:
                outcome()
        _check(self.read(sink, folder, spec), zeros)

    def test_blocks_that_do_not_fit_are_faults(self, tmp_path: Path, spec: OutputSpec, pixels: NDArray[Any]) -> None:
        """A block outside of the output, or of another dtype, is no block of it."""
        folder = _made(tmp_path / "unfit")
        sink = self.make(folder, spec)
        whole = tuple(slice(0, size) for size in spec.size)
        with pytest.raises(ValueError, match="block"), written_in_blocks(sink):
            sink.write_block(spec.planes, whole, pixels[0])
        with pytest.raises(ValueError, match="block"), written_in_blocks(sink):
            sink.write_block(0, whole, pixels[0].astype(np.complex64))
        assert _content(folder) == {}


def _write_blocks(sink: ImageSink, blocks: list[tuple[int, Window, NDArray[Any]]]) -> None:
    """Write some of the blocks of an output, in a process of its own."""
    for item, window, pixels in blocks:
        sink.write_block(item, window, pixels)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def _cut(pixels: NDArray[Any], height: int) -> Iterator[NDArray[Any]]:
    """Yield the rows of all items, some at a time."""
    for item in pixels:
        for top in range(0, item.shape[1], height):
            yield item[:, top : top + height]


def _blocks(spec: OutputSpec, grid: tuple[int, ...], seed: int) -> list[tuple[int, Window]]:
    """Return blocks that cover an output once and keep to its grid, in any order."""
    rng = np.random.default_rng(seed)
    parts = []
    for size, step in zip(spec.size, grid, strict=True):
        places = step * rng.integers(0, -(-size // step), 3)
        parts.append([slice(*ends) for ends in pairwise(sorted({0, size, *map(int, places)}))])
    blocks = [(item, window) for item in range(spec.planes) for window in product(*parts)]
    return [blocks[number] for number in rng.permutation(len(blocks))]


def _content(folder: Path) -> dict[Path, bytes]:
    """Return what is in the files of a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
