"""A disk that is really full: a small tmpfs, where the test may mount one."""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink
from unetkit.io.writing.resume_store import BandStore

SIZE = (3000, 2000)
"""Of noise, about 6 MB that do not compress."""


@pytest.fixture(params=[0.3, 1.0, 3.0], ids="{}MB".format)
def small_disk(request, tmp_path):
    """A disk of a few megabytes with a file of somebody else's on it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("tmpfs is Linux's")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={int(request.param * 2**20)}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    (folder / "other.txt").write_text("dear")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise():
    rng = np.random.default_rng(0)
    for _ in range(0, SIZE[0], 500):
        yield rng.integers(0, 256, (1, 500, SIZE[1]), np.uint8)


def assert_full(error, path):
    assert error.problem == f"{path} cannot be written: No space left on device."
    assert "free space" in error.remedy


@pytest.mark.parametrize(
    ("name", "pyramid"), [("out.tif", False), ("out.tif", True), ("out.png", False), ("out.ome.zarr", True)]
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_sink_says_that_the_disk_is_full_and_leaves_it_as_it_was(small_disk, name, pyramid, existing):
    path = small_disk / name
    if existing:
        create_sink(path, OutputSpec((9, 9), np.dtype("uint8"))).write([np.ones((1, 9, 9), np.uint8)])
    before = {file: file.read_bytes() for file in small_disk.rglob("*") if file.is_file()}
    sink = create_sink(path, OutputSpec(SIZE, np.dtype("uint8"), pyramid=pyramid), overwrite=True)
    with pytest.raises(OutputError) as caught:
        sink.write(noise())
    assert_full(caught.value, path)
    assert {file: file.read_bytes() for file in small_disk.rglob("*") if file.is_file()} == before
    assert {file.name for file in small_disk.iterdir()} == {"other.txt"} | ({name} if existing else set())


def test_levels_that_fill_the_disk_before_the_image_does_are_no_other_error(small_disk):
    path = small_disk / "out.tif"
    spec = OutputSpec((SIZE[0] // 5, SIZE[1]), np.dtype("float32"), 5, pyramid=True)
    rows = (np.random.default_rng(0).random((5, 100, SIZE[1]), np.float32) for _ in range(6))
    with pytest.raises(OutputError) as caught:
        create_sink(path, spec).write(rows)
    assert_full(caught.value, path)
    assert [file.name for file in small_disk.iterdir()] == ["other.txt"]


def test_a_store_keeps_its_whole_bands_and_goes_on_when_there_is_space(small_disk):
    path = small_disk / "bands"
    store = BandStore.create(path, {"job": 1})
    bands = list(noise())

    def append_all():
        for band in bands:
            store.append(band)

    with pytest.raises(OutputError) as caught:
        append_all()
    assert_full(caught.value, path)
    store.close()
    again = BandStore.resume(path, {"job": 1})
    assert len(again) == len(store) < len(bands)
    for stored, band in zip(again, bands, strict=False):
        np.testing.assert_array_equal(stored, band)
    subprocess.run(["mount", "-o", f"remount,size={2**24}", str(small_disk)], check=True)
    for band in bands[len(again) :]:
        again.append(band)
    np.testing.assert_array_equal(np.concatenate(list(again), axis=1), np.concatenate(bands, axis=1))
    again.remove()
    assert [file.name for file in small_disk.iterdir()] == ["other.txt"]


def test_not_even_the_first_bytes_of_a_store_fit(small_disk):
    with (small_disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with pytest.raises(OutputError) as caught:
        BandStore.create(small_disk / "bands", {"job": "x" * 5000})
    assert_full(caught.value, small_disk / "bands")
    assert {file.name for file in small_disk.iterdir()} == {"other.txt", "filler"}
