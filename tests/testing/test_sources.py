"""This project's own sources keep the contract that others' can be tested with; and one that does not is found out."""

from contextlib import closing

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.ome_zarr.sink import OmeZarrSink
from unetkit.models.sampling import ValidSource
from unetkit.testing.sources import SourceContract


def noise(*shape, dtype="uint8"):
    return (np.random.default_rng(0).random(shape) * 255).astype(dtype)


class TestTiff(SourceContract):
    """Tiles, strips, colours side by side and in planes, stacks, and what is decoded in one piece."""

    @pytest.fixture
    def pixels(self):
        return noise(2, 3, 90, 70)

    @pytest.fixture(params=["tiles", "strips", "one strip", "planar"])
    def source(self, request, tmp_path, pixels):
        planar = request.param == "planar"
        rows = {"rowsperstrip": 90 if request.param == "one strip" else 7}
        tifffile.imwrite(
            tmp_path / "a.tif",
            pixels if planar else np.moveaxis(pixels, 1, 3),
            photometric="rgb",
            planarconfig="separate" if planar else "contig",
            compression="zlib",
            metadata={"axes": "ZSYX" if planar else "ZYXS"},
            **({"tile": (32, 48)} if request.param == "tiles" else rows),
        )
        with closing(open_image(tmp_path / "a.tif")) as source:
            yield source


class TestOmeTiff(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise(6, 2, 60, 50, dtype="uint16")

    @pytest.fixture
    def source(self, tmp_path, pixels):
        stack = pixels.reshape(2, 3, 2, 60, 50)
        tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TZCYX"}, photometric="minisblack")
        with closing(open_image(tmp_path / "a.ome.tif")) as source:
            yield source


class TestOmeZarr(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise(2, 2, 30, 1051, dtype="float32")

    @pytest.fixture
    def source(self, tmp_path, pixels):
        OmeZarrSink(tmp_path / "a.zarr", OutputSpec((30, 1051), np.dtype("float32"), 2, "Z", (2,))).write(pixels)
        with closing(open_image(tmp_path / "a.zarr")) as source:
            yield source


class TestZarrWithoutCache(SourceContract):
    """A chunk is larger than what is kept in memory."""

    @pytest.fixture
    def pixels(self):
        return noise(2, 2, 200, 300, dtype="float32")

    @pytest.fixture
    def source(self, tmp_path, pixels):
        zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(1, 1, 100, 300), dimension_names="zcyx")
        with closing(open_image(tmp_path / "a.zarr", cache_bytes=2**16)) as source:
            yield source


class TestPng(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise(1, 3, 60, 50)

    @pytest.fixture
    def source(self, tmp_path, pixels):
        Image.fromarray(pixels[0].transpose(1, 2, 0)).save(tmp_path / "a.png")
        with closing(open_image(tmp_path / "a.png")) as source:
            yield source


class TestJpeg(TestPng):
    @pytest.fixture
    def source(self, tmp_path, pixels):
        Image.fromarray(pixels[0].transpose(1, 2, 0)).save(tmp_path / "a.jpg")
        pixels[0] = np.asarray(Image.open(tmp_path / "a.jpg")).transpose(2, 0, 1)  # what is left of them
        with closing(open_image(tmp_path / "a.jpg")) as source:
            yield source


class TestArray(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise(6, 4, 30, 20, dtype="int16")

    @pytest.fixture
    def source(self, pixels):
        return ArraySource(np.moveaxis(pixels.reshape(2, 3, 4, 30, 20), 2, 4), "TZYXC")


class TestChannelsOfAnArray(TestArray):
    @pytest.fixture
    def source(self, pixels):
        whole = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
        return ArraySource(whole, "ZCYX", channels=[0, 6, 5, 3])


class TestValidPixels(TestArray):
    @pytest.fixture
    def source(self, pixels):
        return ValidSource(ArraySource(pixels, "ZCYX"))


class TestView(SourceContract):
    """What is read of the same file in other ways: windows are parts of the whole to the bit."""

    @pytest.fixture(
        params=[
            {"region": "11,7,50,40"},
            {"pixel_size": 0.7},
            {"pixel_size": 0.3},
            {"stain": "hematoxylin"},
            {"region": "11,7,50,40", "pixel_size": 0.7, "channels": "1"},
        ],
        ids=str,
    )
    def view(self, request, tmp_path):
        options = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}  # 0.5 µm
        tifffile.imwrite(tmp_path / "a.tif", noise(90, 70, 3), photometric="rgb", rowsperstrip=8, **options)
        with closing(open_image(tmp_path / "a.tif", ReadOptions(**request.param))) as view:
            yield view

    @pytest.fixture
    def source(self, view):
        return view

    @pytest.fixture
    def pixels(self, view):
        return view.read(0, tuple(slice(0, size) for size in view.info.size))[None]


class TestUpright(SourceContract):
    @pytest.fixture(params=[3, 6])
    def turned(self, request):
        return request.param

    @pytest.fixture
    def stored(self):
        return noise(60, 50)

    @pytest.fixture
    def pixels(self, stored, turned):
        return np.ascontiguousarray(np.rot90(stored, {3: 2, 6: 3}[turned]))[None, None]

    @pytest.fixture
    def source(self, tmp_path, stored, turned):
        tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, 3, 1, turned)], rowsperstrip=8)
        with closing(open_image(tmp_path / "a.tif")) as source:
            yield source


class Shifted(ArraySource):
    """Windows that do not start at the top are read one row too high."""

    def read(self, item, window):
        up = min(1, window[0].start)
        return super().read(item, (slice(window[0].start - up, window[0].stop - up), window[1]))


def test_a_source_that_reads_beside_its_windows_is_found_out():
    pixels = noise(1, 1, 30, 20)
    source, contract = Shifted(pixels[0, 0], "YX"), SourceContract()
    contract.test_every_item_is_read_whole(source, pixels)
    for promise in (
        contract.test_any_window_is_a_part_of_its_item,
        contract.test_windows_that_overlap_are_read_in_order,
        contract.test_several_threads_may_read,
    ):
        with pytest.raises(AssertionError):
            promise(source, pixels)
    with pytest.raises(AssertionError):
        contract.test_it_describes_its_pixels(source, pixels.astype("uint16"))
