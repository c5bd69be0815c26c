"""The chunked reader on chunks in memory, of any number of axes, and on TIFF and Zarr: pixels, cache, bad chunks."""

import itertools
from math import prod
from threading import Thread

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.decoding.chunk_format import DamagedChunkError
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.files import open_image
from unetkit.io.ome_zarr.chunks import ZarrChunks
from unetkit.io.tiff.segments import TiffSegments


def random_pixels(shape, dtype=np.uint8, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


class ChunksInMemory:
    """A format whose chunks are cut from an array; some are left out, and some cannot be decoded."""

    name = "memory"
    noun = "bricks"

    def __init__(self, array, chunks, *, left_out=(), damaged=(), fill=0, chunks_per_task=1):
        self.shape, self.dtype, self.chunks, self.fill = array.shape, array.dtype, tuple(chunks), fill
        self.chunks_per_task = chunks_per_task
        self.array, self.left_out, self.damaged = array, left_out, damaged
        self.decoded = []

    def fetch(self, boxes, *, oversize):
        numbers = list(range(len(boxes)))[::-1]  # a file may have them in any order
        for some in (numbers[:5], numbers[5:]):
            yield [(number, oversize) for number in some]

    def decode(self, box, oversize):
        start = tuple(part.start for part in box)
        self.decoded.append(start)
        if start in self.left_out:
            return None
        if start in self.damaged:
            raise DamagedChunkError("it is full of holes")
        return ScratchArray.of(self.array[box], self.name) if oversize else self.array[box]

    def describe(self, box):
        return f"brick {tuple(part.start for part in box)}"


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_part_of_an_array_of_any_number_of_axes_is_its_slice_and_no_chunk_is_decoded_twice(data):
    shape = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    chunks = [data.draw(st.integers(1, size + 2)) for size in shape]
    array = random_pixels(shape, np.uint16)
    stored = ChunksInMemory(array, chunks, chunks_per_task=data.draw(st.integers(1, 4)))
    reader = ChunkedArray(stored)
    axes_of_planes = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    for _ in range(3):
        ends = [sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size)))) for size in shape]
        index = tuple(
            data.draw(st.integers(0, size - 1)) if axis in axes_of_planes else slice(*end)
            for axis, (size, end) in enumerate(zip(shape, ends, strict=True))
        )
        np.testing.assert_array_equal(reader[index], array[index], strict=True)
    reader.close()
    assert len(stored.decoded) == len(set(stored.decoded))


def test_several_windows_are_filled_at_once_and_all_they_need_is_kept():
    array = random_pixels((3, 8, 8))
    stored = ChunksInMemory(array, (1, 4, 4))
    reader = ChunkedArray(stored, cache_bytes=1)
    for rows in (slice(0, 6), slice(2, 8)):
        windows = np.zeros((3, 1, 6, 8), np.uint8)
        reader.read([((z, rows, slice(0, 8)), windows[z]) for z in range(3)])
        np.testing.assert_array_equal(windows[:, 0], array[:, rows])
    assert sorted(stored.decoded) == list(itertools.product(range(3), (0, 4), (0, 4)))


def test_chunks_that_are_left_out_are_the_fill_value_and_not_bad():
    stored = ChunksInMemory(np.ones((6, 6), np.uint8), (4, 4), left_out=[(0, 4), (4, 0)], fill=7)
    reader = ChunkedArray(stored)
    expected = np.ones((6, 6), np.uint8)
    expected[:4, 4:] = expected[4:, :4] = 7
    np.testing.assert_array_equal(reader[:, :], expected)
    assert reader.bad_boxes == []
    stored.fill = None
    assert not ChunkedArray(stored)[:4, 4:].any()


def test_a_chunk_that_cannot_be_decoded_stops_or_is_background_and_noted_once():
    array = np.ones((2, 6, 6), np.float32)
    stored = ChunksInMemory(array, (1, 4, 4), damaged=[(1, 4, 0)], fill=np.nan)
    reader = ChunkedArray(stored)
    np.testing.assert_array_equal(reader[0, :, :], array[0])
    with pytest.raises(ImageError, match=r"memory .*brick \(1, 4, 0\): it is full of holes") as caught:
        reader[1, :, :]
    assert "--on-bad-tile background to go on without such bricks" in caught.value.remedy
    assert isinstance(caught.value.__cause__, DamagedChunkError)
    reader = ChunkedArray(stored, cache_bytes=1, on_bad_tile="background")
    array = array.copy()
    array[1, 4:, :4] = 0  # NaN is no background
    for _ in range(2):
        for z in range(2):
            np.testing.assert_array_equal(reader[z, :, :], array[z])
    assert reader.bad_boxes == [(slice(1, 2), slice(4, 6), slice(0, 4))]


def test_a_chunk_with_too_few_pixels_is_bad_and_pixels_beyond_the_border_are_cut_off():
    stored = ChunksInMemory(np.ones((6, 6), np.uint8), (4, 4))
    stored.decode = lambda box, oversize: np.ones((4, 4), np.uint8)
    assert ChunkedArray(stored)[:, :].shape == (6, 6)
    stored.decode = lambda box, oversize: np.ones((4, 1), np.uint8)
    with pytest.raises(ImageError, match=r"the shape \(4, 1\) instead of"):
        ChunkedArray(stored)[:, :]


def test_what_has_nothing_to_do_with_a_chunk_stops_even_where_bad_chunks_do_not():
    def decode(box, oversize):
        raise ImageError("There is no codec for bricks.", "Install one.")

    stored = ChunksInMemory(np.ones((6, 6), np.uint8), (4, 4))
    stored.decode = decode
    with pytest.raises(ImageError, match="no codec"):
        ChunkedArray(stored, on_bad_tile="background")[:, :]


@pytest.mark.parametrize(("cache_bytes", "decoded"), [(8 * 16 * 16, 4), (8 * 16 * 16 - 1, 4 * 8)])
def test_chunks_of_several_planes_are_kept_whole_if_those_of_a_plane_fit(cache_bytes, decoded):
    array = random_pixels((8, 16, 16))
    stored = ChunksInMemory(array, (8, 8, 8))
    reader = ChunkedArray(stored, cache_bytes=cache_bytes)
    for z in range(8):
        np.testing.assert_array_equal(reader[z, :, :], array[z])
    assert len(stored.decoded) == decoded


def test_chunks_too_large_for_memory_are_kept_in_temporary_files_as_long_as_their_plane_is_read():
    array = random_pixels((2, 1000, 1100))
    stored = ChunksInMemory(array, (1, 1000, 1100))
    reader = ChunkedArray(stored, cache_bytes=2**20)
    assert reader.oversize([0])
    assert not ChunkedArray(stored).oversize([0])
    for z, top in itertools.product(range(2), range(0, 1000, 250)):
        rows = slice(top, top + 250)
        np.testing.assert_array_equal(reader[z, rows, 5:900], array[z, rows, 5:900])
    assert stored.decoded == [(0, 0, 0), (1, 0, 0)]


# The same on files of each format.

STORED = ("tiff tiles", "big-endian tiff", "zarr 2", "zarr 3", "zarr in shards")


def write(path, stored, pixels, axes):
    """Write an array in tiles of 32 x 32, whatever the format; returns the path."""
    if "tiff" in stored:
        path = path / "a.tif"
        byteorder = ">" if stored == "big-endian tiff" else "<"
        options = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack", "byteorder": byteorder}
        tifffile.imwrite(path, pixels, metadata={"axes": axes}, **options)
        return path
    path = path / "a.zarr"
    chunks = (*(1 for _ in axes[:-2]), 32, 32)
    options = {"zarr_format": 2, "attributes": {"_ARRAY_DIMENSIONS": list(axes.lower())}}
    if stored != "zarr 2":
        options = {"zarr_format": 3, "dimension_names": list(axes.lower())}
        options["shards"] = (*chunks[:-2], 64, 64) if "shards" in stored else None
    array = zarr.create_array(path, shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, **options)
    array[...] = pixels
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Collects the boxes that formats decode."""
    boxes = []

    def count(kind):
        decode = kind.decode

        def counted(self, box, encoded):
            boxes.append(tuple(part.start for part in box))
            return decode(self, box, encoded)

        monkeypatch.setattr(kind, "decode", counted)

    count(TiffSegments)
    count(ZarrChunks)
    return boxes


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("axes", ["ZYX", "CYX", "ZCYX"])
@pytest.mark.parametrize("cache_bytes", [2**28, 1])
def test_each_chunk_is_decoded_once_for_windows_in_the_order_of_chunks(tmp_path, decoded, stored, axes, cache_bytes):
    """A small cache still keeps the latest window of all channels; the walk is along full-width bands."""
    shape = {"Z": 2, "C": 3, "Y": 150, "X": 64}
    pixels = random_pixels([shape[axis] for axis in axes], np.uint16)
    source = open_image(write(tmp_path, stored, pixels, axes), cache_bytes=cache_bytes)
    planes = pixels.reshape(source.info.planes, source.info.channels, 150, 64)
    for plane, top in itertools.product(range(source.info.planes), range(0, 150, 40)):
        window = (slice(max(0, top - 16), min(150, top + 56)), slice(0, 64))
        np.testing.assert_array_equal(source.read(plane, window), planes[plane][:, *window])
    assert len(decoded) == len(set(decoded)) == prod(pixels.shape[:-2]) * 5 * 2
    source.close()


@pytest.mark.parametrize("stored", STORED)
def test_each_chunk_is_decoded_once_for_overlapping_windows_along_bands(tmp_path, decoded, stored):
    pixels = random_pixels((320, 480))
    path = write(tmp_path, stored, pixels, "YX")
    source = open_image(path, cache_bytes=5 * 480 * 32)  # what two bands of windows share, and a window
    for top, left in itertools.product(range(0, 320, 64), range(0, 480, 64)):
        rows, columns = slice(max(0, top - 16), min(320, top + 80)), slice(max(0, left - 16), min(480, left + 80))
        np.testing.assert_array_equal(source.read(0, (rows, columns))[0], pixels[rows, columns])
    assert len(decoded) == len(set(decoded)) == 10 * 15


@pytest.mark.parametrize("stored", STORED)
def test_channels_that_are_not_wanted_are_not_decoded(tmp_path, decoded, stored):
    path = write(tmp_path, stored, random_pixels((8, 64, 64)), "CYX")
    open_image(path, ReadOptions(channels="1,6")).read(0, (slice(0, 64), slice(0, 64)))
    assert {channel for channel, *_ in decoded} == {1, 6}


@pytest.mark.parametrize("stored", STORED)
def test_the_cache_stays_within_its_bound(tmp_path, decoded, stored):
    source = open_image(write(tmp_path, stored, random_pixels((320, 320)), "YX"), cache_bytes=4 * 32 * 32)
    for _, top in itertools.product(range(2), range(0, 320, 32)):
        source.read(0, (slice(top, top + 32), slice(0, 32)))
    assert len(decoded) == 20


@pytest.mark.parametrize("stored", STORED)
def test_threads_read_the_same_pixels_and_decode_nothing_twice(tmp_path, decoded, stored):
    pixels = random_pixels((300, 300), np.uint16)
    source = open_image(write(tmp_path, stored, pixels, "YX"))
    faults = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            y, x = (int(value) for value in rng.integers(0, 250, 2))
            if (source.read(0, (slice(y, y + 50), slice(x, x + 50)))[0] != pixels[y : y + 50, x : x + 50]).any():
                faults.append((y, x))

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(decoded) == len(set(decoded))


@pytest.mark.parametrize("stored", STORED)
def test_a_bad_chunk_is_background_in_its_plane_and_told_once_for_all_channels(tmp_path, monkeypatch, stored):
    pixels = random_pixels((3, 2, 70, 50)) | 1
    path = write(tmp_path, stored, pixels, "ZCYX")

    def spoil(kind, place):
        decode = kind.decode

        def spoiled(self, box, encoded):
            if place(box) == (1, 64, 32):
                raise DamagedChunkError("spoiled")
            return decode(self, box, encoded)

        monkeypatch.setattr(kind, "decode", spoiled)

    spoil(TiffSegments, lambda box: (box[0].start // 2, box[3].start, box[4].start))
    spoil(ZarrChunks, lambda box: (box[0].start, box[2].start, box[3].start))
    with pytest.raises(ImageError, match="spoiled"):
        open_image(path).read(1, (slice(0, 70), slice(0, 50)))
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    pixels[1, :, 64:, 32:] = 0
    for plane in range(3):
        np.testing.assert_array_equal(source.read(plane, (slice(0, 70), slice(0, 50))), pixels[plane])
    assert source.bad_tiles == [BadTile(1, (64, 32), (6, 18))]
