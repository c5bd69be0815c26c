"""DeltaVision, against what the package mrc reads whole."""

import struct

import mrc
import numpy as np
import pytest
from microscope_files import make_pixels, write_dv

from unetkit.io.files import open_image
from unetkit.testing.sources import SourceContract

HEADER = "10i6f3i3f2i2hi24s4h6f6h2f2h3f6h3fi800s"
"""Types of the fields of a header."""


class TestDvSource(SourceContract):
    @pytest.fixture
    def pixels(self):
        return make_pixels()

    @pytest.fixture
    def source(self, tmp_path, pixels):
        source = open_image(write_dv(tmp_path / "a.dv", pixels))
        yield source
        source.close()

    def test_what_the_file_says_is_told(self, source):
        info = source.info
        assert (info.format, info.axes, info.channel_names) == ("DV", "CZYX", ("525", "632"))
        assert info.pixel_size_um == (0.25, 0.25)
        assert [str(step) for step in info.steps] == ["Z 0.5 µm"]


def test_pixels_of_the_other_byte_order_are_read(tmp_path):
    pixels = make_pixels()
    path = write_dv(tmp_path / "a.r3d", pixels)
    data = path.read_bytes()
    fields = struct.unpack(f"<{HEADER}", data[:1024])
    path.write_bytes(struct.pack(f">{HEADER}", *fields) + np.frombuffer(data[1024:], "<u2").byteswap().tobytes())
    with mrc.DVFile(path) as file:
        assert file.dtype == ">u2"
    source = open_image(path)
    assert source.info.dtype == np.uint16
    assert source.info.dtype.isnative
    np.testing.assert_array_equal(source.read(1, (slice(0, 70), slice(0, 90))), pixels[1])
    source.close()


def test_a_voxel_of_one_by_one_by_one_is_none(tmp_path):
    source = open_image(write_dv(tmp_path / "a.dv", make_pixels(), voxel=(1, 1, 1)))
    assert source.info.pixel_size_um is None
    assert source.info.steps == ()
    source.close()
