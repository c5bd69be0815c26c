"""Blocks that many processes put: what comes back, and what is said of blocks that are missing or damaged."""

import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.writing import block_file, block_reading
from unetkit.io.writing.block_folder import BlockFolder
from unetkit.io.writing.block_reading import LostBlockError

JOB = {"image": "a.tif", "halo": 96, "shape": (3, 700)}


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Wait for no file system in tests of what is really missing."""
    monkeypatch.setattr(block_reading, "WAITS", (0.0,))


def blocks_of(size, cuts):
    """Return windows that cover an item of a size, cut at some places along each axis."""
    edges = [
        [0, *sorted({place for place in places if 0 < place < length}), length]
        for length, places in zip(size, cuts, strict=True)
    ]
    return [tuple(slice(*ends) for ends in parts) for parts in product(*(list(pairwise(each)) for each in edges))]


def noise(spec):
    return (np.random.default_rng(0).random((spec.planes, spec.channels, *spec.size)) * 255).astype(spec.dtype)


def whole(spec):
    return tuple(slice(0, size) for size in spec.size)


def joined(strips, spec):
    """Return rows as (items, channels, one size for each axis)."""
    return np.concatenate(list(strips), axis=1).reshape(spec.channels, spec.planes, *spec.size).swapaxes(0, 1)


@pytest.mark.parametrize("size", [(1, 1), (700, 40), (13, 9, 11), (5, 6, 7, 3)])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "float32"), (2, ">u2"), (1, "bool")])
def test_rows_and_windows_are_those_of_the_blocks_for_any_number_of_axes(tmp_path, monkeypatch, size, channels, dtype):
    row_bytes = channels * int(np.prod(size[1:])) * np.dtype(dtype).itemsize
    monkeypatch.setattr(block_reading, "STRIP_BYTES", 3 * row_bytes)
    monkeypatch.setattr(block_file, "STRIP_BYTES", 2 * row_bytes)
    monkeypatch.setattr(block_file, "MOST_ROWS", 4)
    monkeypatch.setattr(block_reading, "OPEN_FILES", 2)
    spec = OutputSpec(size, np.dtype(dtype), channels, "Z", (2,))
    rng = np.random.default_rng(0)
    pixels = noise(spec)
    places = [rng.integers(0, length + 1, 3).tolist() for length in size]
    todo = [(item, window) for item in range(2) for window in blocks_of(size, places)]
    folder = BlockFolder.create(tmp_path / "out", JOB)
    for number in rng.permutation(len(todo)):
        item, window = todo[number]
        folder.put(item, window, pixels[(item, slice(None), *window)])
    assert sorted(map(str, folder.blocks())) == sorted(map(str, todo))
    for blocks in (None, todo):
        strips = list(folder.rows(spec, blocks))
        assert all(strip.shape[1] <= 4 for strip in strips)
        np.testing.assert_array_equal(joined(strips, spec), pixels)
    for _ in range(5):
        ends = [sorted(rng.choice(length + 1, 2, replace=False)) for length in size]
        window = tuple(slice(int(a), int(b)) for a, b in ends)
        expected = pixels[(1, slice(None), *window)]
        for blocks in (None, [window for _, window in todo]):
            found = folder.read(1, window, blocks)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    folder.remove()
    assert not list(tmp_path.iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.data())
def test_irregular_blocks_with_strips_of_any_height_are_put_together(tmp_path, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    spec = OutputSpec((height, width), np.dtype("uint16"))
    pixels = np.arange(height * width, dtype=np.uint16).reshape(1, height, width)
    cuts = st.lists(st.integers(1, 40), max_size=3)
    windows = [  # columns, each cut at rows of its own
        (rows, column)
        for (column,) in blocks_of((width,), [data.draw(cuts)])
        for (rows,) in blocks_of((height,), [data.draw(cuts)])
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_file, "STRIP_BYTES", data.draw(st.integers(1, 400)))
        patch.setattr(block_reading, "STRIP_BYTES", data.draw(st.integers(1, 400)))
        folder = BlockFolder.create(tmp_path / "out", JOB)
        for window in data.draw(st.permutations(windows)):
            folder.put(0, window, pixels[(slice(None), *window)])
        np.testing.assert_array_equal(joined(folder.rows(spec), spec)[0], pixels)


def test_nothing_is_stored_of_zeros_but_a_zero_with_a_sign_is_kept(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    pixels = np.zeros((1, 5000, 3000), np.float32)
    window = (slice(0, 5000), slice(0, 3000))
    folder.put(0, window, pixels)
    assert (folder.path / folder.name(0, window)).stat().st_size < 5000
    pixels[0, 4000:] = -0.0
    folder.put(1, window, pixels)
    assert folder.read(0, window).tobytes() == np.zeros_like(pixels).tobytes()
    assert folder.read(1, window).tobytes() == pixels.tobytes()


def test_layers_are_kept_apart(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    window = (slice(0, 2), slice(3, 6))
    folder.put(0, window, np.zeros((1, 2, 3), np.uint8))
    folder.put(0, window, np.ones((1, 2, 3), np.uint32), "labels")
    assert folder.read(0, window).dtype == np.uint8
    assert folder.read(0, window, layer="labels").all()
    with pytest.raises(ValueError, match="layer"):
        folder.put(0, window, np.ones((1, 2, 3), np.uint32), "a-b")
    with pytest.raises(ValueError, match="does not fit"):
        folder.put(0, window, np.ones((1, 3, 3), np.uint8))


def put_all(folder, seed):
    """Put all blocks of an image in an order of its own."""
    todo = blocks_of((300, 200), [[100, 150], [70]])
    for number in np.random.default_rng(seed).permutation(len(todo)):
        folder.put(0, todo[number], PIXELS[(slice(None), *todo[number])])
        folder.put_bytes(f"summary-{number}", bytes([number] * 1000))


PIXELS = np.random.default_rng(0).integers(0, 255, (2, 300, 200), np.uint8)


def test_processes_that_put_the_same_blocks_at_the_same_time_do_no_harm(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(put_all, [(folder if seed % 2 else BlockFolder.open(tmp_path / "out"), seed) for seed in range(9)])
    np.testing.assert_array_equal(folder.read(0, (slice(0, 300), slice(0, 200))), PIXELS)
    assert [folder.read_bytes(f"summary-{number}")[0] for number in range(6)] == list(range(6))
    assert {path.suffix for path in folder.path.iterdir()} == {".json", ".block", ".bytes"}


WRITER = """
import sys
import numpy as np
from pathlib import Path
from unetkit.io.writing.block_folder import BlockFolder
folder = BlockFolder.open(Path(sys.argv[1]))
pixels = np.random.default_rng(0).integers(0, 256, (1, 2000, 1000), np.uint8)
print("ready", flush=True)
while True:
    folder.put(0, (slice(0, 2000), slice(0, 1000)), pixels)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_a_block_is_put_it_is_whole_or_not_there(tmp_path):
    output = tmp_path / "out"
    folder = BlockFolder.create(output, JOB)
    window = (slice(0, 2000), slice(0, 1000))
    expected = np.random.default_rng(0).integers(0, 256, (1, 2000, 1000), np.uint8)
    parts = 0
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(output)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(block_file.__file__).parents[3])},
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(random.Random(attempt).uniform(0, 0.02))
        process.kill()
        process.communicate()
        parts += len(list(folder.path.glob("*.partial")))
        if folder.blocks():
            np.testing.assert_array_equal(folder.read(0, window), expected)
        folder.forget(folder.name(0, window))
        assert not folder.blocks()
    assert parts  # it was really killed within a block
    folder.put(0, window, expected)
    np.testing.assert_array_equal(folder.read(0, window), expected)
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_a_block_with_any_byte_changed_or_cut_off_is_named_and_can_be_forgotten(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    window = (slice(4, 9), slice(0, 7))
    pixels = np.random.default_rng(0).integers(0, 255, (2, 5, 7), np.uint8)
    folder.put(3, window, pixels)
    file = folder.path / folder.name(3, window)
    content = file.read_bytes()
    damages = [content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :] for place in range(len(content))]
    for damaged in [*damages, *(content[:size] for size in range(len(content)))]:
        file.write_bytes(damaged)
        with pytest.raises(LostBlockError, match=r"3_4-9_0-7\.block cannot be read: it") as caught:
            folder.read(3, window)
    assert "--resume" in caught.value.remedy
    folder.forget(pickle.loads(pickle.dumps(caught.value)).name)  # it comes from another process
    with pytest.raises(LostBlockError, match="4 to 9, 0 to 7 of item 3 is missing"):
        folder.read(3, window)
    with pytest.raises(LostBlockError, match=r"3_4-9_0-7\.block cannot be read: No such file") as caught:
        folder.read(3, window, [window])
    folder.forget(caught.value.name)
    folder.put(3, window, pixels)
    np.testing.assert_array_equal(folder.read(3, window), pixels)


def test_a_file_of_another_block_under_the_name_is_no_block(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    one, other = (slice(0, 4), slice(0, 6)), (slice(4, 8), slice(0, 6))
    folder.put(0, one, np.zeros((1, 4, 6), np.uint8))
    shutil.copy(folder.path / folder.name(0, one), folder.path / folder.name(0, other))
    with pytest.raises(LostBlockError, match="another block"):
        folder.read(0, other)


def test_what_is_missing_of_an_output_is_said(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    spec = OutputSpec((20, 30), np.dtype("uint8"))
    window = (slice(0, 20), slice(0, 20))
    folder.put(0, window, np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(LostBlockError, match="the part 0 to 20, 20 to 30 of item 0 is missing"):
        list(folder.rows(spec))
    with pytest.raises(ValueError, match="do not cover"):
        list(folder.rows(spec, [(0, window)]))
    folder.put(0, (slice(0, 20), slice(20, 30)), np.zeros((1, 20, 10), np.uint16))
    with pytest.raises(LostBlockError, match="1 channels of uint16"):
        list(folder.rows(spec))


def test_a_file_system_that_is_late_is_waited_for(tmp_path, monkeypatch):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    window = (slice(0, 4), slice(0, 6))
    hidden, name = tmp_path / "hidden", folder.name(0, window)
    folder.put(0, window, np.ones((1, 4, 6), np.uint8))
    folder.put_bytes("small", b"123")
    small = next(folder.path.glob("*.bytes"))

    def late(read, file):
        """Hide a file until it is looked for the second time."""
        file.rename(hidden)
        monkeypatch.setattr(block_reading.time, "sleep", lambda _: hidden.exists() and hidden.rename(file))
        return read()

    assert late(lambda: folder.read(0, window), folder.path / name).all()
    assert late(lambda: folder.read(0, window, [window]), folder.path / name).all()
    assert late(lambda: folder.read_bytes("small"), small) == b"123"
    assert late(lambda: BlockFolder.open(tmp_path / "out"), folder.path / "job.json").job == {**JOB, "shape": [3, 700]}


def test_small_files_come_back_and_are_checked(tmp_path):
    folder = BlockFolder.create(tmp_path / "out", JOB)
    folder.put_bytes("faces-0_12", b"abc")
    folder.put_bytes("faces-0_12", b"abcd")
    assert pickle.loads(pickle.dumps(folder)).read_bytes("faces-0_12") == b"abcd"
    file = next(folder.path.glob("*.bytes"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(LostBlockError, match="damaged") as caught:
        folder.read_bytes("faces-0_12")
    folder.forget(caught.value.name)
    with pytest.raises(LostBlockError, match="No such file"):
        folder.read_bytes("faces-0_12")
    with pytest.raises(ValueError, match="letters"):
        folder.put_bytes("../x", b"")


def test_a_later_run_of_the_same_job_goes_on_and_one_of_another_is_refused(tmp_path):
    output = tmp_path / "out"
    window = (slice(0, 4), slice(0, 6))
    first = BlockFolder.resume(output, JOB)
    first.put(0, window, np.ones((1, 4, 6), np.uint8))
    first.note("block 0 done")
    first.close()
    again = BlockFolder.resume(output, dict(reversed(JOB.items())))
    assert again.notes() == ["block 0 done"]
    assert again.blocks() == [(0, window)]
    assert again.has(0, window)
    assert not again.has(0, (slice(0, 4), slice(0, 7)))
    again.forget(again.name(0, window))
    assert not again.has(0, window)
    again.put(0, window, np.ones((1, 4, 6), np.uint8))
    again.note("block 1 done")
    again.close()
    with pytest.raises(OutputError, match=r"out.blocks is of another run: halo was 96 and is now 64\.") as caught:
        BlockFolder.resume(output, {**JOB, "halo": 64})
    assert "--overwrite" in caught.value.remedy
    assert BlockFolder.resume(output, JOB).notes() == ["block 0 done", "block 1 done"]
    anew = BlockFolder.create(output, {**JOB, "halo": 64})
    assert (anew.notes(), anew.blocks()) == ([], [])
    anew.close()
    nothing = BlockFolder.resume(output, JOB)  # of a job that had done nothing
    assert (nothing.job, nothing.notes()) == (JOB, [])
    (nothing.path / "job.json").write_text("{")
    assert BlockFolder.resume(output, JOB).job == JOB


def test_a_process_of_an_earlier_job_that_is_still_alive_does_no_harm(tmp_path):
    window = (slice(0, 4), slice(0, 6))
    earlier = BlockFolder.create(tmp_path / "out", JOB)
    now = BlockFolder.create(tmp_path / "out", {**JOB, "halo": 64})
    earlier.put(0, window, np.zeros((1, 4, 6), np.uint8))
    assert not now.blocks()
    now.put(0, window, np.ones((1, 4, 6), np.uint8))
    earlier.put(0, window, np.zeros((1, 4, 6), np.uint8))
    assert now.read(0, window).all()
    now.remove()
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        earlier.put(0, window, np.zeros((1, 4, 6), np.uint8))
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_errors_of_the_output_and_files_of_others_are_kept(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        BlockFolder.create(tmp_path / "missing" / "out", JOB)
    with pytest.raises(OutputError, match="No such file"):
        BlockFolder.open(tmp_path / "out")
    (tmp_path / "out.blocks").write_text("dear")
    for make in (BlockFolder.create, BlockFolder.resume):
        with pytest.raises(OutputError, match="cannot be"):
            make(tmp_path / "out", JOB)
    assert (tmp_path / "out.blocks").read_text() == "dear"
