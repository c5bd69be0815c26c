"""The store of bands: what comes back, and what is left after kills, cuts and damage."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unetkit.foundation.errors import OutputError
from unetkit.io.writing import resume_store as module
from unetkit.io.writing.resume_store import BandStore

JOB = {"image": "a.tif", "halo": 96, "shape": (3, 700), "pixel_size_um": [0.25, 0.5], "threshold": None}


def make_bands(count, dtype="uint8", shape=(2, 9, 31)):
    rng = np.random.default_rng(0)
    return [(rng.random(shape) * 200).astype(dtype) for _ in range(count)]


def fill(path, bands, job=JOB):
    store = BandStore.create(path, job)
    for band in bands:
        store.append(band)
    store.close()
    return path.read_bytes()


def assert_same(store, bands):
    assert len(store) == len(bands)
    for stored, band in zip(store, bands, strict=True):
        assert stored.dtype == band.dtype
        np.testing.assert_array_equal(stored, band)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "uint16", ">u2", "int32", "float16", "float32", "float64"])
def test_bands_of_any_dtype_come_back_in_any_order(tmp_path, dtype):
    bands = make_bands(5, dtype)
    store = BandStore.create(tmp_path / "bands", JOB)
    for i, band in enumerate(bands):
        assert len(store) == i
        store.append(band)
        np.testing.assert_array_equal(store[i], band)
    assert_same(store, bands)
    np.testing.assert_array_equal(store[-1], bands[-1])
    np.testing.assert_array_equal(store[1:3], bands[1:3])
    with pytest.raises(IndexError):
        store[5]
    store.close()
    again = BandStore.resume(tmp_path / "bands", JOB)
    assert_same(again, bands)
    again.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    bands=st.lists(
        arrays(st.sampled_from(["uint8", "uint16", "float32"]), array_shapes(min_dims=1, max_dims=5, max_side=9))
    ),
    piece=st.integers(1, 100),
)
def test_any_shapes_and_pieces_come_back(tmp_path, bands, piece):
    whole, module.PIECE_BYTES = module.PIECE_BYTES, piece
    try:
        fill(tmp_path / "bands", bands)
    finally:
        module.PIECE_BYTES = whole
    store = BandStore.resume(tmp_path / "bands", JOB)
    assert_same(store, bands)
    store.close()


def test_views_that_are_not_contiguous_come_back(tmp_path):
    band = make_bands(1, "uint16", (9, 31, 2))[0].transpose(2, 0, 1)[:, ::2]
    store = BandStore.create(tmp_path / "bands", JOB)
    store.append(band)
    assert_same(store, [band])
    store.close()


def test_threads_read_at_the_same_time(tmp_path):
    bands = make_bands(20)
    fill(tmp_path / "bands", bands)
    store = BandStore.resume(tmp_path / "bands", JOB)
    order = [i % 20 for i in range(0, 2000, 7)]
    with ThreadPoolExecutor(4) as pool:
        for i, stored in zip(order, pool.map(store.__getitem__, order), strict=True):
            np.testing.assert_array_equal(stored, bands[i])
    store.close()


def test_masks_are_small_on_disk(tmp_path):
    y, x = np.mgrid[:512, :2048]
    mask = ((np.sin(y / 20) + np.sin(x / 30)) > 1).astype(np.uint8)[None] * 255
    assert len(fill(tmp_path / "bands", [mask])) < mask.size / 20


def test_cut_off_at_any_byte_only_whole_bands_stay_and_the_rest_can_follow(tmp_path):
    bands = make_bands(3, shape=(1, 4, 5))
    path = tmp_path / "bands"
    sizes = [len(fill(path, bands[:count])) for count in range(4)]
    whole = path.read_bytes()
    assert len(whole) == sizes[-1]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        store = BandStore.resume(path, JOB)
        kept = sum(size >= end for end in sizes[1:])
        assert_same(store, bands[:kept])
        for band in bands[kept:]:
            store.append(band)
        store.close()
        assert path.read_bytes() == whole


def test_a_flipped_byte_drops_its_band_and_what_follows(tmp_path):
    bands = make_bands(3, shape=(1, 4, 5))
    path = tmp_path / "bands"
    sizes = [len(fill(path, bands[:count])) for count in range(4)]
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        store = BandStore.resume(path, JOB)
        kept = max(0, sum(place >= end for end in sizes) - 1)
        assert_same(store, bands[:kept])
        assert path.stat().st_size == sizes[kept]
        store.close()


def test_damage_while_the_store_is_open_is_an_output_error(tmp_path):
    path = tmp_path / "bands"
    store = BandStore.create(path, JOB)
    store.append(make_bands(1)[0])
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(OutputError, match="bands was damaged"):
        store[0]
    path.unlink()
    with pytest.raises(OutputError, match="bands cannot be read: No such file"):
        store[0]
    store.close()


def test_another_job_is_refused_naming_what_differs_and_kept(tmp_path):
    path = tmp_path / "bands"
    before = fill(path, make_bands(2))
    other = {**JOB, "halo": 64, "tile": 512, "image": "b" * 100}
    del other["threshold"]
    with pytest.raises(OutputError) as caught:
        BandStore.resume(path, other)
    assert "halo was 96 and is now 64" in caught.value.problem
    assert "tile was not given and is now 512" in caught.value.problem
    assert "threshold was null and is now not given" in caught.value.problem
    assert f'image was "a.tif" and is now "{"b" * 56}...' in caught.value.problem
    assert "shape" not in caught.value.problem
    assert "--resume" in caught.value.remedy
    assert path.read_bytes() == before


def test_a_store_without_a_band_is_no_hindrance_to_another_job(tmp_path):
    fill(tmp_path / "bands", [])
    store = BandStore.resume(tmp_path / "bands", {"job": 2})
    assert (len(store), store.job) == (0, {"job": 2})
    store.remove()


def test_the_order_of_keys_and_tuples_make_no_other_job(tmp_path):
    bands = make_bands(2)
    fill(tmp_path / "bands", bands)
    same = json.loads(json.dumps(dict(reversed(JOB.items()))))
    store = BandStore.resume(tmp_path / "bands", same)
    assert_same(store, bands)
    store.close()


def test_resuming_nothing_and_creating_over_something_give_empty_stores(tmp_path):
    path = tmp_path / "bands"
    store = BandStore.resume(path, JOB)
    assert (len(store), store.job, path.exists()) == (0, JOB, True)
    store.append(make_bands(1)[0])
    store.close()
    fresh = BandStore.create(path, JOB)
    assert len(fresh) == 0
    fresh.remove()
    assert not list(tmp_path.iterdir())
    fresh.remove()


def test_places_that_cannot_be_written_are_output_errors(tmp_path):
    for make in (BandStore.create, BandStore.resume):
        with pytest.raises(OutputError, match="cannot be"):
            make(tmp_path, JOB)
        with pytest.raises(OutputError, match="cannot be written"):
            make(tmp_path / "no" / "bands", JOB)


def test_a_write_that_fails_half_way_leaves_a_store_that_goes_on(tmp_path):
    bands = make_bands(3)
    path = tmp_path / "bands"
    whole = fill(path, bands)
    store = BandStore.create(path, JOB)
    store.append(bands[0])
    real = store._file

    class Full:
        """Takes a few bytes more and is then full."""

        left = 100

        def write(self, data):
            if not self.left:
                raise OSError(28, "No space left on device")
            count = min(len(data), self.left)
            self.left -= count
            return real.write(data[:count])

        def __getattr__(self, name):
            return getattr(real, name)

    store._file = Full()
    with pytest.raises(OutputError, match="No space left on device") as caught:
        store.append(bands[1])
    assert "free space" in caught.value.remedy
    assert_same(store, bands[:1])
    store._file = real
    for band in bands[1:]:
        store.append(band)
    store.close()
    assert path.read_bytes() == whole


WRITER = """
import sys
import numpy as np
from unetkit.io.writing.resume_store import BandStore
store = BandStore.resume(sys.argv[1], {"job": 1})
print(len(store), flush=True)
for i in range(len(store), int(sys.argv[2])):
    store.append(np.random.default_rng(i).integers(0, 256, (1, 200, 2000), np.uint8))
    print(i + 1, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_again_and_again_no_band_that_was_appended_is_lost(tmp_path):
    path = tmp_path / "bands"
    known = 0
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), "100000"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[3])},
        )
        first = int(process.stdout.readline())
        assert known <= first <= known + 1
        time.sleep(random.Random(attempt).uniform(0, 0.1))
        process.kill()
        said = process.communicate()[0].split("\n")[:-1]
        assert process.returncode == -signal.SIGKILL
        known = int(said[-1]) if said else first
    store = BandStore.resume(path, {"job": 1})
    assert known <= len(store) <= known + 1
    for i in (0, len(store) - 1):
        np.testing.assert_array_equal(
            store[i][0], np.random.default_rng(i).integers(0, 256, (1, 200, 2000), np.uint8)[0]
        )
    store.close()
