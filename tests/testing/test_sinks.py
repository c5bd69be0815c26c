"""This project's own sinks keep the contract that others' can be tested with; and a sink that does not is found out."""

import numpy as np
import pytest
import zarr

from unetkit.io.base.arrays import ArraySink
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import open_image
from unetkit.io.ome_zarr.sink import OmeZarrSink
from unetkit.io.raster import PngSink
from unetkit.io.tiff.sink import TiffSink
from unetkit.testing.sinks import SinkContract


def read_image(path):
    source = open_image(path)
    window = tuple(slice(0, size) for size in source.info.size)
    pixels = np.stack([source.read(item, window) for item in range(source.info.planes)])
    source.close()
    return pixels


SPECS = [
    OutputSpec((70, 53), np.dtype("uint8")),
    OutputSpec((40, 30), np.dtype("float32"), 3, "TZ", (2, 2), channel_names=("a", "b", "c")),
]


class TestTiff(SinkContract):
    @pytest.fixture(params=[*SPECS, OutputSpec((1100, 700), np.dtype("uint16"), pyramid=True)])
    def spec(self, request):
        return request.param

    def make(self, folder, spec):
        return TiffSink(folder / "out.ome.tif", spec)

    def read(self, sink, folder, spec):
        return read_image(folder / "out.ome.tif")


class TestPng(SinkContract):
    @pytest.fixture(params=["uint8", "uint16"])
    def spec(self, request):
        return OutputSpec((70, 53), np.dtype(request.param))

    def make(self, folder, spec):
        return PngSink(folder / "out.png", spec)

    def read(self, sink, folder, spec):
        return read_image(folder / "out.png")


class TestOmeZarr(SinkContract):
    @pytest.fixture(
        params=[
            OutputSpec((1500, 1100), np.dtype("uint8"), plane_axes="Z", plane_shape=(2,)),
            OutputSpec((30, 1051), np.dtype("float32"), 2, "ZT", (2, 1)),
        ]
    )
    def spec(self, request):
        return request.param

    def make(self, folder, spec):
        return OmeZarrSink(folder / "out.zarr", spec)

    def read(self, sink, folder, spec):
        return read_image(folder / "out.zarr")


class TestArray(SinkContract):
    @pytest.fixture(params=[*SPECS, OutputSpec((5, 6, 7), np.dtype("uint16"), 2, "T", (2,))])
    def spec(self, request):
        return request.param

    def make(self, folder, spec):
        return ArraySink(spec)

    def read(self, sink, folder, spec):
        return sink.array.reshape(spec.planes, spec.channels, *spec.size)


class Forgetful(ArraySink):
    """Loses the last row."""

    def _put(self, item, window, pixels):
        super()._put(item, window, pixels)
        self.array[..., -1, :] = 0


class Forgotten(TestArray):
    def make(self, folder, spec):
        return Forgetful(spec)


@pytest.mark.parametrize(
    "promise",
    [Forgotten.test_rows_of_any_height_come_back, Forgotten.test_what_was_there_is_kept_until_the_new_one_is_whole],
)
def test_a_sink_that_loses_pixels_is_found_out(tmp_path, promise):
    spec = SPECS[0]
    pixels = np.full((1, 1, *spec.size), 1, np.uint8)
    with pytest.raises(AssertionError):
        promise(Forgotten(), tmp_path, spec, pixels)


def test_blocks_of_an_ome_zarr_are_of_whole_chunks(tmp_path):
    sink = OmeZarrSink(tmp_path / "out.zarr", OutputSpec((1500, 1100), np.dtype("uint8")))
    assert sink.block == (1024, 1024)
    with pytest.raises(ValueError, match="begin comes before blocks"):
        sink.write_block(0, (slice(0, 1024), slice(0, 1024)), np.zeros((1, 1024, 1024), np.uint8))
    sink.begin()
    with pytest.raises(ValueError, match="keep to multiples of 1024"):
        sink.write_block(0, (slice(0, 512), slice(0, 1100)), np.zeros((1, 512, 1100), np.uint8))
    sink.write_block(0, (slice(1024, 1500), slice(0, 1100)), np.ones((1, 476, 1100), np.uint8))
    sink.finish()
    stored = zarr.open_group(tmp_path / "out.zarr", mode="r")["0"][:]
    assert stored[1024:].all()
    assert not stored[:1024].any()  # nobody wrote it
