"""ND2: loops, positions and colours, against what the package nd2 reads whole."""

import nd2
import numpy as np
import pytest
from nd2_files import write_nd2
from whole_images import random

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image
from unetkit.io.microscopes.nd2 import Nd2File
from unetkit.testing.sources import SourceContract

SIZE = (70, 90)


class TestNd2Source(SourceContract):
    """Two times, three depths, two channels; as they are, compressed, and in rows with a rest."""

    @pytest.fixture
    def pixels(self):
        return random(6, 2, *SIZE)

    @pytest.fixture(params=[{}, {"is_compressed": True}, {"row_padding": 6}])
    def source(self, request, tmp_path, pixels):
        frames = pixels.reshape(2, 3, 2, *SIZE).transpose(0, 1, 3, 4, 2)
        loops = [("T", 2.0), ("Z", 0.5)]
        source = open_image(write_nd2(tmp_path / "a.nd2", frames, loops, channels=("A", "B"), **request.param))
        yield source
        source.close()

    def test_what_the_file_says_is_told(self, source):
        info = source.info
        assert (info.format, info.axes, info.channel_names) == ("ND2", "TZCYX", ("A", "B"))
        assert info.pixel_size_um == (0.25, 0.25)
        assert [str(step) for step in info.steps] == ["T 2 s", "Z 0.5 µm"]


def test_positions_of_the_stage_are_series(tmp_path):
    frames = random(2, 3, *SIZE, 1)
    path = write_nd2(tmp_path / "a.nd2", frames, [("T", 1.0), ("P", 0)], positions=("A1", "", "B2"))
    series = list_series(path)
    assert [one.name for one in series] == ["A1", "", "B2"]
    assert {(one.axes, one.shape) for one in series} == {("TYX", (2, *SIZE))}
    for number in range(3):
        source = open_image(path, ReadOptions(series=number))
        for time in range(2):
            read = source.read(time, (slice(0, SIZE[0]), slice(0, SIZE[1])))
            np.testing.assert_array_equal(read[0], frames[time, number, ..., 0])
        source.close()
    with nd2.ND2File(path) as file:
        np.testing.assert_array_equal(file.asarray(), frames[..., 0])


def test_colours_are_those_of_a_picture(tmp_path):
    frame = random(*SIZE, 3, dtype=np.uint8)
    path = write_nd2(tmp_path / "a.nd2", frame, channels=("Brightfield",))
    source = open_image(path)
    assert source.info.colours
    assert source.info.axes == "YXS"
    read = source.read(0, (slice(5, 60), slice(0, 90)))
    np.testing.assert_array_equal(read, nd2.imread(path).transpose(2, 0, 1)[:, 5:60])
    source.close()


@pytest.mark.parametrize("is_compressed", [True, False])
def test_two_components_of_one_channel_are_channels(tmp_path, is_compressed):
    frames = random(3, *SIZE, 2)
    path = write_nd2(tmp_path / "a.nd2", frames, [("T", 1.0)], channels=("A",), is_compressed=is_compressed)
    source = open_image(path)
    assert (source.info.axes, source.info.channel_names) == ("TCYX", ())
    read = source.read(2, (slice(5, 60), slice(7, 90)))
    np.testing.assert_array_equal(read, frames[2].transpose(2, 0, 1)[:, 5:60, 7:])
    source.close()


def test_a_file_that_is_not_calibrated_has_no_pixel_size(tmp_path):
    source = open_image(write_nd2(tmp_path / "a.nd2", random(*SIZE, 1), pixel_size=None))
    assert source.info.pixel_size_um is None
    source.close()


def test_a_frame_that_the_file_does_not_hold_is_no_black_plane(tmp_path):
    frames = 1 + random(4, *SIZE, 1)
    path = write_nd2(tmp_path / "a.nd2", frames, [("Z", 0.5)], leave_out=[2])
    assert not nd2.imread(path)[2].any()  # what the package makes of it
    window = (slice(0, SIZE[0]), slice(0, SIZE[1]))
    source = open_image(path)
    np.testing.assert_array_equal(source.read(1, window)[0], frames[1, ..., 0])
    with pytest.raises(ImageError, match="does not hold frame 2"):
        source.read(2, window)
    source.close()
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    assert not source.read(2, window).any()
    assert [bad.item for bad in source.bad_tiles] == [2]
    source.close()


def test_of_a_frame_that_is_not_compressed_only_a_window_is_read(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", random(1100, 1200, 2) % 8, channels=("A", "B"))
    file = Nd2File(path)
    assert file.pieces(0, 0, 0).chunks == (2, 1024, 1024)
    file.close()
    write_nd2(path, random(1100, 1200, 2) % 8, channels=("A", "B"), is_compressed=True)
    file = Nd2File(path)
    assert file.pieces(0, 0, 0).chunks == (2, 1100, 1200)
    file.close()
    source = open_image(path, cache_bytes=2**22)
    assert source.info.scratch_bytes == 1100 * 1200 * 2 * 2
    source.close()
