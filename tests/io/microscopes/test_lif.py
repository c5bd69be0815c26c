"""LIF: images, tiles and colours, against what the package liffile reads whole."""

import liffile
import numpy as np
import pytest
from lif_files import LifImage, write_lif
from whole_images import random, whole

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image
from unetkit.testing.sources import SourceContract

SIZE = (70, 90)
STEPS = {"X": 1e-7, "Y": 2e-7, "Z": 5e-7, "T": 3.0}

FLIM = (
    '<Element Name="lifetimes"><Memory Size="0" MemoryBlockID="MemBlock_0"/>'
    '<Data><SingleMoleculeDetection IsImage="true"/></Data></Element>'
)


class TestLifSource(SourceContract):
    @pytest.fixture
    def pixels(self):
        return random(3, 2, *SIZE)

    @pytest.fixture(params=["ZCYX", "CZYX"])
    def source(self, request, tmp_path, pixels):
        stored = pixels if request.param == "ZCYX" else pixels.swapaxes(0, 1)
        path = write_lif(tmp_path / "a.lif", [LifImage("one", stored, request.param, STEPS, ("GFP", "DAPI"))])
        source = open_image(path)
        yield source
        source.close()

    def test_what_the_file_says_is_told(self, source):
        info = source.info
        assert (info.format, info.channel_names, info.compression) == ("LIF", ("GFP", "DAPI"), "none")
        assert info.pixel_size_um == (0.2, 0.1)
        assert [str(step) for step in info.steps] == ["Z 0.5 µm"]


@pytest.mark.parametrize("is_bgr", [True, False])
def test_colours_are_those_of_a_picture(tmp_path, is_bgr):
    pixels = random(2, *SIZE, 3, dtype=np.uint8)
    path = write_lif(tmp_path / "a.lif", [LifImage("one", pixels, "TYXS", STEPS, is_bgr=is_bgr)])
    info, read = whole(path)
    assert info.colours
    assert info.axes == "TYXS"
    assert [str(step) for step in info.steps] == ["T 3 s"]
    np.testing.assert_array_equal(read, pixels.transpose(0, 3, 1, 2))
    with liffile.LifFile(path) as file:
        np.testing.assert_array_equal(file.images[0].asarray(), pixels)


@pytest.mark.parametrize(("axes", "is_bgr"), [("ZCYX", False), ("TYXS", True), ("TYXS", False)])
def test_a_block_with_more_than_the_pixels_is_read_a_frame_at_a_time(tmp_path, axes, is_bgr):
    pixels = random(2, 2, *SIZE) if axes == "ZCYX" else random(2, *SIZE, 3)
    path = write_lif(tmp_path / "a.lif", [LifImage("one", pixels, axes, STEPS, is_bgr=is_bgr, rest=64)])
    info, read = whole(path)
    assert info.compression == ""
    np.testing.assert_array_equal(read, pixels if axes == "ZCYX" else pixels.transpose(0, 3, 1, 2))


def test_images_are_series_and_those_of_other_kinds_are_named(tmp_path):
    first, second = random(*SIZE), random(50, 60, dtype=np.uint8)
    path = tmp_path / "a.lif"
    write_lif(path, [LifImage("a", first, "YX", STEPS), LifImage("b", second, "YX", STEPS)], FLIM)
    assert [(one.name, one.shape) for one in list_series(path)] == [("a", SIZE), ("b", (50, 60))]
    info, read = whole(path, ReadOptions(series=1))
    np.testing.assert_array_equal(read[0, 0], second)
    assert "(1: FLIM" in info.remarks[-1]
    with pytest.raises(ImageError, match="no series 2"):
        open_image(path, ReadOptions(series=2))
    write_lif(path, [], FLIM)
    with pytest.raises(ImageError, match="no images but 1 of kinds that are not read"):
        open_image(path)


def test_tiles_that_are_not_merged_are_planes(tmp_path):
    pixels = random(4, *SIZE)
    info, read = whole(write_lif(tmp_path / "a.lif", [LifImage("a", pixels, "MYX", STEPS)]))
    assert (info.plane_axes, info.plane_shape) == ("M", (4,))
    assert "4 tiles" in info.remarks[0]
    np.testing.assert_array_equal(read[:, 0], pixels)


def test_pixels_beyond_the_end_of_the_file_are_an_error_when_it_is_opened(tmp_path):
    pixels = random(*SIZE)
    path = write_lif(tmp_path / "a.lif", [LifImage("a", pixels, "YX", STEPS), LifImage("b", pixels, "YX", STEPS)])
    path.write_bytes(path.read_bytes()[:-100])
    np.testing.assert_array_equal(whole(path)[1][0, 0], pixels)
    with pytest.raises(ImageError, match="beyond the end of the file"):
        open_image(path, ReadOptions(series=1))
