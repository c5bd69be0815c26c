"""CZI: mosaics, scenes, pyramids and colours, against what Zeiss' library reads whole."""

import imagecodecs
import numpy as np
import pytest
from czi_files import encode_tiles, entries, write_czi
from pylibCZIrw import czi
from whole_images import random, whole

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image
from unetkit.testing.sources import SourceContract

ORIGIN = (-50, 7)
"""First pixel of the mosaic (y, x); places in a CZI may be negative."""

SIZE = (340, 410)


def mosaic(pixels, side=100, scene=None, origin=ORIGIN):
    """Return tiles of pixels (C, h, w) or (C, h, w, 3)."""
    return [
        (one[y : y + side, x : x + side], {"C": c}, (origin[0] + y, origin[1] + x), scene)
        for c, one in enumerate(pixels)
        for y in range(0, one.shape[0], side)
        for x in range(0, one.shape[1], side)
    ]


class TestCziMosaic(SourceContract):
    @pytest.fixture
    def pixels(self):
        return random(1, 2, *SIZE)

    @pytest.fixture(params=["uncompressed:", "zstd1:ExplicitLevel=1"])
    def source(self, request, tmp_path, pixels):
        path = write_czi(tmp_path / "a.czi", mosaic(pixels[0]), channels=("A", "B"), compression=request.param)
        source = open_image(path, cache_bytes=2**18)
        yield source
        source.close()


class TestCziColours(SourceContract):
    @pytest.fixture
    def pixels(self):
        return random(1, 3, *SIZE, dtype=np.uint8)

    @pytest.fixture
    def source(self, tmp_path, pixels):
        source = open_image(write_czi(tmp_path / "a.czi", mosaic(pixels.transpose(0, 2, 3, 1))))
        yield source
        source.close()

    def test_colours_come_as_those_of_a_picture(self, source):
        assert source.info.colours
        assert source.info.axes == "YXS"


def test_jpeg_xr_as_slide_scanners_write_it_is_decoded(tmp_path):
    pixels = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])).astype(np.uint16)[None]  # it has to become smaller
    path = write_czi(tmp_path / "a.czi", mosaic(pixels))
    encode_tiles(path, imagecodecs.jpegxr_encode, 4)
    info, read = whole(path)
    assert info.compression == "jpegxr"
    np.testing.assert_array_equal(read[0], pixels)


def test_what_a_file_says_is_told(tmp_path):
    pixels = random(2, 3, 64, 80)
    tiles = [(pixels[c, z], {"C": c, "Z": z}, (0, 0), None) for c in range(2) for z in range(3)]
    path = write_czi(tmp_path / "a.czi", tiles, channels=("DAPI", "GFP"), scale=(3e-7, 2e-7, 1e-7))
    info, read = whole(path)
    assert (info.format, info.axes, info.channel_names, info.compression) == ("CZI", "ZCYX", ("DAPI", "GFP"), "none")
    assert info.pixel_size_um == (0.2, 0.1)
    assert [str(step) for step in info.steps] == ["Z 0.3 µm"]
    np.testing.assert_array_equal(read, pixels.swapaxes(0, 1))
    info, read = whole(path, ReadOptions(channels="gfp"))
    np.testing.assert_array_equal(read[:, 0], pixels[1])


def test_scenes_are_series_and_do_not_show_in_each_other(tmp_path):
    first, second = random(1, 120, 100), 250 + random(1, 90, 130)
    tiles = [*mosaic(first, scene=0), *mosaic(second, scene=1, origin=(0, 50))]  # their frames overlap
    path = write_czi(tmp_path / "a.czi", tiles)
    assert [one.shape for one in list_series(path)] == [(120, 100), (90, 130)]
    for number, pixels in enumerate((first, second)):
        _, read = whole(path, ReadOptions(series=number))
        np.testing.assert_array_equal(read[0], pixels)
    assert "2 scenes" in whole(path)[0].remarks[0]
    with pytest.raises(ImageError, match=r"has no series 2.*0 \(YX \(120, 100\)\), 1 \(YX \(90, 130\)\)"):
        open_image(path, ReadOptions(series=2))


def test_of_tiles_that_overlap_the_later_is_seen_as_in_zeiss_library(tmp_path):
    pixels = random(3, 60, 60)
    tiles = [(one, {}, (10 * i, 20 * i), None) for i, one in enumerate(pixels)]
    path = write_czi(tmp_path / "a.czi", tiles)
    _, read = whole(path)
    with czi.open_czi(str(path)) as reader:
        np.testing.assert_array_equal(read[0, 0], reader.read()[..., 0])
    assert (read[0, 0, 60:, :20] == 0).all()  # no tile is there


def test_a_pyramid_is_read_as_levels(tmp_path):
    pixels = random(2, *SIZE)
    pyramid = [(one[::f, ::f] + f, {"C": c}, ORIGIN, f) for c, one in enumerate(pixels) for f in (2, 4)]
    path = write_czi(tmp_path / "a.czi", mosaic(pixels), channels=("A", "B"), pyramid=pyramid)
    levels = list_series(path)[0].levels
    assert [(level.height, level.width, level.pixel_size_um) for level in levels] == [
        (340, 410, (0.25, 0.2)),
        (170, 205, (0.5, 0.4)),
        (85, 102, (1.0, 0.8)),
    ]
    for level, factor in enumerate((1, 2, 4)):
        _, read = whole(path, ReadOptions(level=level))
        expected = pixels[:, ::factor, ::factor] + (factor if factor > 1 else 0)
        np.testing.assert_array_equal(read[0], expected[:, : levels[level].height, : levels[level].width])
    assert whole(path, ReadOptions(pixel_size=0.5))[0].shape == (2, 170, 164)


def test_a_window_decodes_only_the_tiles_that_it_touches(tmp_path, monkeypatch):
    path = write_czi(tmp_path / "a.czi", mosaic(random(1, 3000, 3000), side=500))
    asked = []
    read = czi.CziReader.read
    monkeypatch.setattr(
        czi.CziReader, "read", lambda self, roi, **rest: (asked.append(roi), read(self, roi=roi, **rest))[1]
    )
    source = open_image(path)
    source.read(0, (slice(10, 20), slice(1020, 1030)))
    source.close()
    assert [(width, height) for _, _, width, height in asked] == [(1024, 256)] * 2


def test_the_first_plane_of_a_part_of_a_longer_file_is_not_number_0(tmp_path):
    pixels = random(3, 50, 60)
    path = write_czi(tmp_path / "a.czi", [(one, {"T": 5 + t}, (0, 0), None) for t, one in enumerate(pixels)])
    info, read = whole(path)
    assert info.axes == "TYX"
    np.testing.assert_array_equal(read[:, 0], pixels)


def test_channels_of_two_types_come_as_one(tmp_path):
    small, large = random(50, 60, dtype=np.uint8), random(50, 60) * 100
    tiles = [(one, {"C": c}, (0, 0), None) for c, one in enumerate((small, large))]
    _, read = whole(write_czi(tmp_path / "a.czi", tiles, channels=("A", "B")))
    np.testing.assert_array_equal(read[0], [small, large])
    tiles = [(random(50, 60, 3, dtype=np.uint8), {"C": 0}, (0, 0), None), (large, {"C": 1}, (0, 0), None)]
    with pytest.raises(ImageError, match="grey channels beside colour"):
        open_image(write_czi(tmp_path / "b.czi", tiles, channels=("A", "B")))


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_tile_that_cannot_be_decoded_is_named_or_background(tmp_path, goes_on):
    pixels = 1 + random(1, 1500, 1200)
    path = write_czi(tmp_path / "a.czi", mosaic(pixels, side=100, origin=(0, 0)), compression="zstd1:ExplicitLevel=1")
    data = bytearray(path.read_bytes())
    tile = list(entries(data))[1]  # the first tile itself, after its entry in the directory
    data[tile + 300 : tile + 2000] = bytes(1700)
    path.write_bytes(data)
    source = open_image(path, ReadOptions(on_bad_tile="background" if goes_on else "stop"))
    window = (slice(0, 1500), slice(0, 1200))
    if goes_on:
        read = source.read(0, window)
        assert [(bad.start, bad.size) for bad in source.bad_tiles] == [((0, 0), (256, 1024))]
        assert not read[0, :256, :1024].any()
        np.testing.assert_array_equal(read[0, 256:], pixels[0, 256:])
    else:
        with pytest.raises(ImageError, match="truncated or damaged") as caught:
            source.read(0, window)
        assert "--on-bad-tile background" in caught.value.remedy
    source.close()


def test_pixels_of_a_type_that_is_not_read_are_named(tmp_path):
    path = write_czi(tmp_path / "a.czi", mosaic(random(1, 50, 60)))
    data = bytearray(path.read_bytes())
    for place in list(entries(data)):
        data[place + 2] = 12  # 32-bit integers
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        open_image(path)
    assert "type" in caught.value.problem
