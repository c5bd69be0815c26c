"""HDF5: arrays that are named, with the axes and sizes that Ilastik and CREMI note."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from unetkit.foundation.errors import ImageError
from unetkit.io.base.inner import split_inner
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import image_stem, list_series, open_image
from unetkit.io.formats import has_image_suffix
from unetkit.io.hdf5.source import Hdf5Chunks
from unetkit.testing.sources import SourceContract


def noise(shape, dtype="uint8"):
    return (np.random.default_rng(0).random(shape) * 250).astype(dtype)


def write(path, attributes=None, **arrays):
    """Write arrays by name; a name may hold strokes as __."""
    with h5py.File(path, "a") as file:
        for name, pixels in arrays.items():
            one = file.create_dataset(name.replace("__", "/"), data=pixels)
            one.attrs.update(attributes or {})
    return path


def tags(axes):
    return json.dumps({"axes": [{"key": axis, "typeFlags": 2, "resolution": 0, "description": ""} for axis in axes]})


def read_all(source):
    """Return all planes (plane, C, h, w)."""
    whole = tuple(slice(0, size) for size in source.info.size)
    return np.stack([source.read(plane, whole) for plane in range(source.info.planes)])


class TestHdf5Source(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise((6, 2, 30, 40), "uint16")

    @pytest.fixture(params=[None, (4, 16, 16, 2), (1, 30, 40, 1)])
    def source(self, tmp_path, request, pixels):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            stored = pixels.transpose(0, 2, 3, 1).astype(">u2")
            compression = "gzip" if request.param else None
            one = file.create_dataset("raw", data=stored, chunks=request.param, compression=compression)
            one.attrs["axistags"] = tags("zyxc")
        source = open_image(f"{tmp_path}/a.h5:/raw")
        yield source
        source.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.h5:/v/raw", ("a.h5", "/v/raw")),
        ("C:\\data\\a.HDF5:\\v\\raw", ("C:\\data\\a.HDF5", "/v/raw")),
        ("C:\\data\\a.h5", ("C:\\data\\a.h5", "")),
        ("C:/a.h5:/raw/", ("C:/a.h5", "/raw")),
        ("a.h5:", ("a.h5", "")),
        ("x.h5/b.tif", ("x.h5/b.tif", "")),
        ("b:/a.tif", ("b:/a.tif", "")),
    ],
)
def test_a_name_inside_of_a_file_is_behind_its_colon(path, expected):
    for one in (path, Path(path)):
        file, key = split_inner(one)
        assert (str(file), key) == expected
    assert image_stem("data/cells.h5:/volumes/raw") == "cells"
    assert has_image_suffix(Path("data/cells.h5:/volumes/raw"))


def test_a_file_whose_name_has_a_colon_is_itself(tmp_path):
    (tmp_path / "a.h5:").mkdir()
    (tmp_path / "a.h5:" / "raw").write_bytes(b"x")
    assert split_inner(tmp_path / "a.h5:" / "raw")[1] == ""


def test_one_array_needs_no_name_and_several_are_listed(tmp_path):
    path = write(tmp_path / "a.h5", v__raw=noise((5, 6, 7)), table=np.arange(3), words=np.array([[b"a"]]))
    assert read_all(open_image(path)).shape == (5, 1, 6, 7)
    assert read_all(open_image(f"{path}:/v")).shape == (5, 1, 6, 7)
    write(path, labels=noise((5, 6, 7), "uint64"))
    with pytest.raises(ImageError, match=r"holds 2 arrays: /labels \(5, 6, 7\) uint64, /v/raw") as caught:
        open_image(path)
    assert f"{path}:/labels" in caught.value.remedy
    assert [one.name for one in list_series(path)] == ["/labels", "/v/raw"]
    assert [one.name for one in list_series(f"{path}:/v/raw")] == ["/v/raw"]
    assert open_image(path, ReadOptions(series=1)).info.dtype == "uint8"
    assert open_image(f"{path}:/labels").info.dtype == "uint64"


@pytest.mark.parametrize(
    ("key", "problem"),
    [("none", "has no array /none"), ("table", "is no image: its shape is"), ("v", "a group of 2 arrays")],
)
def test_a_name_that_is_no_image_is_an_error_that_lists_images(tmp_path, key, problem):
    path = write(tmp_path / "a.h5", v__a=noise((6, 7)), v__b=noise((6, 7)), table=np.arange(3))
    with pytest.raises(ImageError, match=problem):
        open_image(f"{path}:/{key}")


def test_cremi_notes_nanometres_and_ilastik_micrometres(tmp_path):
    path = write(tmp_path / "a.h5", {"resolution": [40.0, 4.0, 4.0]}, volumes__raw=noise((5, 6, 7)))
    info = open_image(path).info
    assert (info.axes, info.pixel_size_um, info.steps) == ("ZYX", (0.004, 0.004), (Step("Z", 0.04, "µm"),))
    path = write(tmp_path / "b.h5", {"element_size_um": [2.0, 0.5, 0.25]}, raw=noise((2, 5, 6, 7)))
    info = open_image(path).info
    assert (info.axes, info.channels, info.pixel_size_um) == ("CZYX", 2, (0.5, 0.25))
    assert info.steps == (Step("Z", 2.0, "µm"),)


def test_axes_are_those_that_are_noted_labelled_said_or_guessed(tmp_path):
    path = write(tmp_path / "a.h5", {"axistags": tags("tyxc")}, raw=noise((2, 5, 6, 3)))
    assert open_image(path).info.axes == "TYXC"
    with h5py.File(write(tmp_path / "b.h5", raw=noise((4, 5, 6))), "a") as file:
        for dimension, label in zip(file["raw"].dims, "xyz", strict=True):
            dimension.label = label
    assert open_image(tmp_path / "b.h5").info.axes == "XYZ"
    path = write(tmp_path / "c.h5", raw=noise((4, 5, 6)))
    assert open_image(path).info.axes == "ZYX"
    assert open_image(path, ReadOptions(axes="cyx")).info.channels == 4
    assert open_image(write(tmp_path / "d.h5", raw=noise((2, 4, 5, 6)))).info.plane_axes == "QI"


def test_truth_values_become_0_and_255(tmp_path):
    path = write(tmp_path / "a.h5", mask=np.array([[True, False]]))
    assert read_all(open_image(path)).tolist() == [[[[255, 0]]]]


def test_a_chunk_is_decoded_once(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=noise((8, 32, 32)), chunks=(4, 16, 16), compression="gzip")
    decoded = []
    decode = Hdf5Chunks.decode
    monkeypatch.setattr(Hdf5Chunks, "decode", lambda self, box, e: decoded.append(str(box)) or decode(self, box, e))
    read_all(open_image(tmp_path / "a.h5"))
    assert len(decoded) == len(set(decoded)) == 8


def test_a_damaged_chunk_is_an_error_or_background(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        one = file.create_dataset("raw", data=noise((2, 64, 64)), chunks=(1, 64, 64), compression="gzip")
        chunk = one.id.get_chunk_info(1)
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(ImageError, match="chunk at 1, 0, 0"):
        read_all(open_image(tmp_path / "a.h5"))
    source = open_image(tmp_path / "a.h5", ReadOptions(on_bad_tile="background"))
    assert not read_all(source)[1].any()
    assert [tile.item for tile in source.bad_tiles] == [1]


def test_a_truncated_file_and_a_missing_package_are_errors(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", raw=noise((50, 60)))
    data = path.read_bytes()
    (tmp_path / "b.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(tmp_path / "b.h5")
    with pytest.raises(ImageError, match="does not exist"):
        open_image(f"{tmp_path}/c.h5:/raw")
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    with pytest.raises(ImageError, match="package h5py"):
        open_image(path)
