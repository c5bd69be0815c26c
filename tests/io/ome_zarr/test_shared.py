"""Several processes write one OME-Zarr: in any order, more than once, killed, or too late."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_schema import check_ome_zarr

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.ome_zarr import layout, pyramid
from unetkit.io.ome_zarr.sink import OmeZarrSink
from unetkit.io.writing import rechunk

SPEC = OutputSpec((1500, 1100), np.dtype("uint8"), 2)


def noise(spec):
    return np.random.default_rng(0).integers(1, 255, (spec.planes, spec.channels, *spec.size)).astype(spec.dtype)


def content(folder):
    """Return the files of a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def windows_of(size, step=1024):
    """Return the chunks of an item."""
    parts = [[slice(at, min(at + step, length)) for at in range(0, length, step)] for length in size]
    return list(product(*parts))


def expected(folder, spec, pixels):
    """Return the files that rows make."""
    folder.mkdir()
    OmeZarrSink(folder / "out.zarr", spec).write(iter(pixels))
    return content(folder / "out.zarr")


def write_image(path, zarr_format, size):
    """An image whose labels have two levels that are no halves."""
    axes = "zyx"[-len(size) :]
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets = []
    for level, shape in enumerate([size, tuple(-(-length // 3) for length in size)]):
        names = {} if zarr_format == 2 else {"dimension_names": axes}
        group.create_array(str(level), shape=shape, dtype="u1", chunks=shape, **names)
        scale = [{"type": "scale", "scale": [3.0**level] * len(size)}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": name, "type": "space"} for name in axes]
    multiscales = [{"name": "cells", "axes": axes, "datasets": datasets}]
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscales[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}


@st.composite
def outputs(draw):
    volume = draw(st.booleans())
    size = (draw(st.integers(1, 30)), draw(st.integers(1, 40)))
    size = (draw(st.integers(1, 18)), *(-(-length // 2) for length in size)) if volume else size
    place = draw(st.sampled_from([None, 2, 3]))
    if place is not None:
        return OutputSpec(size, np.dtype("uint16")), place
    planes = draw(st.sampled_from([("", ()), ("T", (2,))] if volume else [("", ()), ("Z", (3,)), ("ZT", (1, 2))]))
    dtype = np.dtype(draw(st.sampled_from(["uint8", "float32"])))
    voxel = draw(st.sampled_from([None, (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)][: 3 if volume else 1]))
    return OutputSpec(size, dtype, draw(st.integers(1, 2)), *planes, voxel), None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(st.data())
def test_blocks_and_pieces_in_any_order_make_the_same_bytes_as_rows(tmp_path_factory, data):
    spec, place = data.draw(outputs())
    folder = tmp_path_factory.mktemp("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK", 8)
        patch.setattr(layout, "DEEPEST_CHUNK", 4)
        patch.setattr(rechunk, "SMALLEST_LEVEL", 5)
        patch.setattr(pyramid, "PIECE_CHUNKS", data.draw(st.integers(1, 9)))
        results = []
        pixels = noise(spec)
        pixels[(..., *(slice(data.draw(st.integers(0, length))) for length in spec.size))] = 0
        for way in ("rows", "blocks"):
            path = folder / way / "out.zarr"
            path.parent.mkdir()
            if place is not None:
                write_image(path.parent / "i.zarr", place, spec.size)
                path = path.parent / "i.zarr/labels/a"
            one = OmeZarrSink(path, spec)
            if way == "rows":
                one.write(iter(pixels))
            else:
                in_blocks(one, spec, pixels, data)
            results.append(content(folder / way))
    assert results[0] == results[1]


def in_blocks(one, spec, pixels, data):
    """Write in blocks and pieces by many copies of a sink, some of them twice, pieces at the end not at all."""
    one.begin()
    edges = [
        [0, *sorted({by * at for at in data.draw(st.lists(st.integers(1, 4), max_size=2)) if by * at < length}), length]
        for length, by in zip(spec.size, one.block, strict=True)
    ]
    windows = list(product(*([slice(*ends) for ends in pairwise(each)] for each in edges)))
    blocks = list(product(range(spec.planes), windows))
    for item, window in data.draw(st.permutations([*blocks, *blocks[:2]])):
        pickle.loads(pickle.dumps(one)).write_block(item, window, pixels[(item, slice(None), *window)])
    left = data.draw(st.integers(0, len(one.pieces())))  # levels that nobody makes, and a part of the one above
    for level, pieces in enumerate(one.pieces()[: len(one.pieces()) - left]):
        made = data.draw(st.permutations([*pieces, pieces[0]]))
        for piece in made[: None if level + left + 1 < len(one.pieces()) else len(pieces) // 2]:
            pickle.loads(pickle.dumps(one)).shrink(piece)
    one.finish()


def test_pieces_are_of_bounded_work_and_cover_each_level_once(tmp_path):
    for spec, first in (
        (OutputSpec((30_000, 41_000), np.dtype("uint8"), 3), -(-15 // 2) * -(-21 // 2)),
        (OutputSpec((900, 700), np.dtype("u2"), 1, "Z", (50,)), 4),
        (OutputSpec((1000, 1000, 3000), np.dtype("uint8")), 4 * 2 * 6),
        (OutputSpec((200, 900, 700), np.dtype("u2"), 1, "T", (2,), (3.0, 1.0, 1.0)), 2 * 2 * 2 * 2),
    ):
        one = OmeZarrSink(tmp_path / "out.zarr", spec)
        sizes = one._layout.sizes
        assert len(one.pieces()) == len(sizes) - 1
        for level, pieces in enumerate(one.pieces(), 1):
            covered = np.zeros((spec.planes, *map(chunks_along, sizes[level], one.block)), int)
            for piece in pieces:
                chunks = [slice(piece.items.start, piece.items.stop)]
                for part, step in zip(piece.window, one.block, strict=True):
                    assert not part.start % step
                    chunks.append(slice(part.start // step, chunks_along(part.stop, step)))
                covered[tuple(chunks)] += 1
                assert covered[tuple(chunks)].size * spec.channels <= pyramid.PIECE_CHUNKS
            assert (covered == 1).all()
        assert len(one.pieces()[0]) == first


def chunks_along(length, step):
    """Return how many chunks cover an axis."""
    return -(-length // step)


def write_all(one, pixels, seed):
    """Write all blocks in an order of its own, then all pieces, in a process that knows of no other."""
    windows = windows_of(pixels.shape[2:])
    for number in np.random.default_rng(seed).permutation(len(windows)):
        one.write_block(0, windows[number], pixels[(0, slice(None), *windows[number])])


def test_processes_that_write_the_same_blocks_at_the_same_time_do_no_harm(tmp_path):
    spec = replace(SPEC, channels=1)
    pixels = noise(spec)
    pixels[..., :1024, :1024] = 0
    one = OmeZarrSink(tmp_path / "out.zarr", spec)
    one.begin()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write_all, [(one, pixels, seed) for seed in range(4)], chunksize=1)
        for pieces in one.pieces():
            pool.map(one.shrink, [*pieces, *pieces], chunksize=1)
    one.finish()
    assert content(tmp_path / "out.zarr") == expected(tmp_path / "rows", spec, pixels)


def test_a_torn_chunk_is_overwritten(tmp_path):
    pixels = noise(SPEC)
    one = OmeZarrSink(tmp_path / "out.zarr", SPEC)
    one.begin()
    for attempt in range(2):
        for window in windows_of(SPEC.size):
            one.write_block(0, window, pixels[(0, slice(None), *window)])
        for piece in one.pieces()[0]:
            one.shrink(piece)
        chunks = list(tmp_path.rglob("c/*/*/*"))
        assert len(chunks) == 10
        for path in chunks if attempt == 0 else []:  # as a power failure may leave them
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    one.finish()
    assert content(tmp_path / "out.zarr") == expected(tmp_path / "rows", SPEC, pixels)


WRITER = """
import os, pickle, signal, sys
import pathlib
import numpy as np
one, renamed = pickle.loads(bytes.fromhex(sys.argv[1])), 0
replace = pathlib.Path.replace
def killed(self, target):
    global renamed
    if renamed == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    renamed += 1
    return replace(self, target)
pathlib.Path.replace = killed
pixels = np.random.default_rng(0).integers(1, 255, (1, 2, 1500, 1100)).astype(np.uint8)
window = slice(0, 1024), slice(0, 1100)
one.write_block(0, window, pixels[(0, slice(None), *window)])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_killed_processes_leave_is_not_in_the_output(tmp_path):
    pixels = noise(SPEC)
    one = OmeZarrSink(tmp_path / "out.zarr", SPEC)
    one.begin()
    for files in (0, 3):
        arguments = [sys.executable, "-c", WRITER, pickle.dumps(one).hex(), str(files)]
        environment = {**os.environ, "PYTHONPATH": str(Path(layout.__file__).parents[3])}
        assert subprocess.run(arguments, env=environment, check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*.partial/.unfinished-*/*.partial"))) == 2
    for window in windows_of(SPEC.size):
        one.write_block(0, window, pixels[(0, slice(None), *window)])
    one.finish()
    assert content(tmp_path / "out.zarr") == expected(tmp_path / "rows", SPEC, pixels)
    assert not list((tmp_path / "out.zarr").rglob("*unfinished*"))


def test_chunks_of_zeros_are_not_stored_by_rows_or_by_blocks(tmp_path):
    spec = replace(SPEC, channels=1)
    pixels = np.zeros((1, 1, *spec.size), np.uint8)
    pixels[..., 1100, 1050] = 7
    one = OmeZarrSink(tmp_path / "out.zarr", spec)
    one.begin()
    for window in windows_of(spec.size):
        one.write_block(0, window, pixels[(0, slice(None), *window)])
    one.finish()
    files = content(tmp_path / "out.zarr")
    assert files == expected(tmp_path / "rows", spec, pixels)
    assert sorted(str(name) for name in files if name.name != "zarr.json") == ["0/c/1/1", "1/c/0/0"]


def test_a_process_of_an_earlier_run_writes_nothing_into_a_later_one(tmp_path):
    window = (slice(0, 1024), slice(0, 1024))
    ones = np.ones((2, 1024, 1024), np.uint8)
    earlier = OmeZarrSink(tmp_path / "out.zarr", SPEC)
    earlier.begin()
    earlier.write_block(0, window, ones)
    copy = pickle.loads(pickle.dumps(earlier))
    later = OmeZarrSink(tmp_path / "out.zarr", SPEC)
    later.begin()
    later.write_block(0, window, ones)
    for late in (earlier, copy):
        with pytest.raises(OutputError, match="cannot be written"):
            late.write_block(0, window, ones)
    late = pickle.loads(pickle.dumps(later))
    late.write_block(0, window, ones)
    later.finish()
    with pytest.raises(OutputError, match="cannot be written"):
        late.write_block(0, window, ones)
    with pytest.raises(OutputError, match="cannot be written"):
        late.shrink(later.pieces()[0][0])
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["0"][:, :1024, :1024].all()


def test_a_later_run_says_what_is_different_and_writes_its_own_notes(tmp_path):
    path = tmp_path / "out.zarr"
    one = OmeZarrSink(path, replace(SPEC, notes=(("command", "segment"),)))
    assert not one.resume()
    one.write_block(0, (slice(0, 1024), slice(0, 1024)), np.ones((2, 1024, 1024), np.uint8))
    with pytest.raises(OutputError, match=r'partial is of another run: dtype was "|u1" and is now "<u2"\.'):
        OmeZarrSink(path, replace(SPEC, dtype=np.dtype("u2"))).resume()
    with pytest.raises(OutputError, match=r"levels was \[\[1500, 1100\].* and is now \[\[1501, 1100\]"):
        OmeZarrSink(path, replace(SPEC, size=(1501, 1100))).resume()
    again = OmeZarrSink(path, replace(SPEC, notes=(("command", "segment --resume"),)))
    assert again.resume()
    again.finish()
    group = zarr.open_group(path, mode="r")
    assert group.attrs["unetkit"]["notes"] == {"command": "segment --resume"}
    assert group["0"][:, :1024, :1024].all()
    check_ome_zarr(path)
    (path.with_name("out.zarr.partial")).mkdir()  # of a run that was killed before it had begun
    assert not OmeZarrSink(path, SPEC).resume()
