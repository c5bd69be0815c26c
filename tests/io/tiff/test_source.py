"""The TIFF reader against what tifffile and NumPy give, over layouts, dialects and damage."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ImageError
from unetkit.io.base.axes import name_axes
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.tiff.segments import TiffSegments
from unetkit.io.tiff.source import TiffSource

EM = Path(__file__).parents[3] / "../shared/data/em/train-volume.tif"

LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "rows": {"rowsperstrip": 1},
    "tiles": {"tile": (32, 48)},
}


def random_pixels(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype) == bool:
        return rng.random(shape) > 0.5
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def read_all(source):
    """Return (planes, C, height, width)."""
    info = source.info
    return np.stack([source.read(plane, (slice(0, info.height), slice(0, info.width))) for plane in range(info.planes)])


def assert_windows_equal(source, expected, seed=0, number=12):
    """Compare the whole image and windows at random positions with `expected` (planes, C, height, width)."""
    assert (source.info.planes, source.info.channels, source.info.height, source.info.width) == expected.shape
    np.testing.assert_array_equal(read_all(source), expected)
    rng = np.random.default_rng(seed)
    for _ in range(number):
        plane = int(rng.integers(source.info.planes))
        y0, y1 = np.sort(rng.choice(source.info.height + 1, 2, replace=False))
        x0, x1 = np.sort(rng.choice(source.info.width + 1, 2, replace=False))
        window = source.read(plane, (slice(int(y0), int(y1)), slice(int(x0), int(x1))))
        assert window.dtype == source.info.dtype
        assert window.dtype.isnative
        np.testing.assert_array_equal(window, expected[plane, :, y0:y1, x0:x1])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_stored_pixels(tmp_path, layout, compression, byteorder):
    shapes = [((101, 67), {}), ((101, 67, 3), {"photometric": "rgb"})]
    shapes.append(((3, 101, 67), {"photometric": "rgb", "planarconfig": "separate"}))
    for shape, colours in shapes:
        pixels = random_pixels(shape, np.uint16)
        path = tmp_path / "image.tif"
        options = LAYOUTS[layout] | colours
        tifffile.imwrite(
            path, pixels, compression=compression, byteorder=byteorder, bigtiff=byteorder == ">", **options
        )
        expected = {"YX": pixels, "YXS": pixels.transpose(2, 0, 1) if pixels.ndim == 3 else None, "SYX": pixels}
        source = TiffSource(path)
        assert_windows_equal(source, expected[source.info.axes].reshape(1, -1, 101, 67))
        source.close()


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float32", "float64", "bool"],
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}, {"tile": (32, 32)}])
def test_every_dtype_is_kept_and_bits_become_0_and_255(tmp_path, dtype, options):
    pixels = random_pixels((45, 33), dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, byteorder=">", **options)
    source = TiffSource(path)
    expected = pixels.astype(np.uint8) * np.uint8(255) if dtype == "bool" else pixels
    assert source.info.dtype == expected.dtype
    assert_windows_equal(source, expected[None, None])


@pytest.mark.parametrize("predictor", [True, False])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_predictors_are_undone(tmp_path, dtype, predictor):
    pixels = random_pixels((70, 50), dtype)
    tifffile.imwrite(tmp_path / "image.tif", pixels, tile=(32, 32), compression="zlib", predictor=predictor)
    assert_windows_equal(TiffSource(tmp_path / "image.tif"), pixels[None, None])


def test_twelve_bit_pixels_are_unpacked(tmp_path):
    pixels = random_pixels((20, 18), np.uint16) >> 4
    tifffile.imwrite(tmp_path / "image.tif", pixels, bitspersample=12)
    assert_windows_equal(TiffSource(tmp_path / "image.tif"), pixels[None, None])


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (16, 16), (17, 15)])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}])
@pytest.mark.parametrize("dialect", [{}, {"ome": True}, {"imagej": True}, {"metadata": None}])
def test_odd_sizes(tmp_path, shape, options, dialect):
    if "imagej" in dialect and "tile" in options:
        options = {"compression": options.get("compression")}
    pixels = random_pixels(shape, np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", pixels, **options, **dialect)
    source = TiffSource(tmp_path / "image.tif")
    assert source.info.axes == "YX"
    assert_windows_equal(source, pixels[None, None], number=4)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "TZCYX", "TCZYX", "ZYXS", "TYX", "TZYX", "QYX", "TCYXS"])
def test_ome_axes_become_planes_and_channels(tmp_path, axes, compression):
    sizes = {"T": 2, "Z": 4, "C": 2, "Y": 21, "X": 34, "S": 3, "Q": 2}
    pixels = random_pixels([sizes[axis] for axis in axes], np.uint16)
    metadata = {"axes": axes}
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, pixels, ome=axes != "QYX", metadata=metadata, tile=(16, 16), compression=compression)
    source = TiffSource(path)
    planes = [axis for axis in axes if axis not in "CSYX"]
    order = [*planes, *(axis for axis in axes if axis in "CS"), "Y", "X"]
    expected = pixels.transpose([axes.index(axis) for axis in order])
    assert source.info.axes == axes
    assert source.info.plane_axes == "".join(planes)
    assert source.info.plane_shape == tuple(sizes[axis] for axis in planes)
    number = int(np.prod([sizes[axis] for axis in planes]))
    assert_windows_equal(source, expected.reshape(number, -1, 21, 34))


def test_ome_metadata_gives_pixel_size_and_channel_names(tmp_path):
    metadata = {
        "axes": "CYX",
        "PhysicalSizeX": 325.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.65,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": ["DAPI", "actin"]},
    }
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((2, 9, 8), np.uint8), ome=True, metadata=metadata)
    info = TiffSource(tmp_path / "a.tif").info
    assert info.pixel_size_um == pytest.approx((0.65, 0.325))
    assert info.channel_names == ("DAPI", "actin")
    assert info.format == "OME-TIFF"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "um"}}, (0.5, 0.25)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "micron"}}, (0.5, 0.25)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "\\u00B5m"}}, (0.5, 0.25)),
        ({"imagej": True, "resolution": (0.004, 0.002), "metadata": {"unit": "nm"}}, (0.5, 0.25)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True, "metadata": {"unit": "um"}}, (1.0, 1.0)),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, (0.5, 0.25)),
        ({"resolution": (118.1, 118.1), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (50800, 101600), "resolutionunit": "INCH"}, (0.25, 0.5)),
        ({"resolution": (1200, 1200), "resolutionunit": "INCH"}, None),
        ({"resolution": (50800, 50800), "resolutionunit": "NONE"}, None),
        ({"imagej": True, "resolution": (72, 72), "metadata": {"unit": "inch"}}, None),
        ({"imagej": True, "resolution": (50800, 50800), "metadata": {"unit": "inch"}}, (0.5, 0.5)),
        ({}, None),
    ],
)
def test_pixel_size_comes_from_microscopy_units_only(tmp_path, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((9, 8), np.uint8), **options)
    size = TiffSource(tmp_path / "a.tif").info.pixel_size_um
    assert size == (None if expected is None else pytest.approx(expected, rel=1e-4))


def test_a_resolution_stored_as_whole_numbers_counts(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((9, 8), np.uint8), resolution=(9, 9), resolutionunit="INCH")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        for name, value in (("XResolution", 50800), ("YResolution", 25400)):
            file.pages[0].tags[name].overwrite(value, dtype=4)
    assert TiffSource(tmp_path / "a.tif").info.pixel_size_um == pytest.approx((1.0, 0.5))


@pytest.mark.parametrize(
    ("resolution", "unit", "said"),
    [
        ((300, 300), "INCH", "300 x 300 pixels per inch"),
        ((300, 200), "CENTIMETER", "300 x 200 pixels per cm"),
        ((50800, 50800), "NONE", "50800 x 50800 pixels in a unit that it does not name"),
    ],
)
def test_a_resolution_that_is_no_pixel_size_is_quoted(tmp_path, resolution, unit, said):
    pixels = random_pixels((9, 8), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=resolution, resolutionunit=unit)
    with pytest.raises(ImageError, match=said) as caught:
        TiffSource(tmp_path / "a.tif", ReadOptions(pixel_size=0.5))
    assert "at least 1270 per inch" in caught.value.problem


@pytest.mark.parametrize("axes", ["TZCYX", "ZCYX", "ZYX", "CYX", "TZCYXS"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_hyperstacks(tmp_path, axes, compression):
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 15, "X": 22, "S": 3}
    dtype = np.uint8 if "S" in axes else np.uint16
    pixels = random_pixels([sizes[axis] for axis in axes], dtype)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes}, compression=compression)
    source = TiffSource(path)
    assert source.info.format == "ImageJ TIFF"
    assert source.info.axes == axes
    if axes.endswith("S"):
        pixels = np.moveaxis(pixels, -1, -3)
    planes = int(np.prod([sizes[axis] for axis in axes if axis in "TZ"]))
    assert_windows_equal(source, pixels.reshape(planes, -1, 15, 22))


def test_imagej_stack_with_a_single_page_for_all_planes(tmp_path):
    """ImageJ writes stacks over 4 GB like this: one page, and all the pixels after it."""
    pixels = random_pixels((5, 15, 22), np.uint16)
    path = tmp_path / "stack.tif"
    description = "ImageJ=1.54f\nimages=5\nslices=5\nunit=um\n"
    with path.open("wb") as file:
        first = tmp_path / "first.tif"
        tifffile.imwrite(first, pixels[0], byteorder=">", description=description, metadata=None)
        file.write(first.read_bytes())
        file.write(pixels[1:].astype(">u2").tobytes())
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    source = TiffSource(path)
    assert source.info.axes == "ZYX"
    assert_windows_equal(source, pixels[:, None])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match="truncated"):
        TiffSource(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_without_metadata_are_unnamed_planes(tmp_path, compression):
    pixels = random_pixels((6, 31, 22), np.uint16)
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pixels:
            writer.write(page, metadata=None, contiguous=False, compression=compression, rowsperstrip=8)
    source = TiffSource(path)
    assert source.info.axes == "IYX"
    assert_windows_equal(source, pixels[:, None])
    channels = TiffSource(path, ReadOptions(axes="cyx"))
    assert (channels.info.axes, channels.info.channels, channels.info.planes) == ("CYX", 6, 1)
    assert_windows_equal(channels, pixels[None])


def test_only_the_first_series_and_the_full_resolution_are_read(tmp_path):
    pixels = random_pixels((64, 64), np.uint8)
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=1, tile=(16, 16), compression="zlib")
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib")
        writer.write(random_pixels((10, 10), np.uint16))
    assert_windows_equal(TiffSource(path), pixels[None, None])


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_channels_last_without_a_word_about_it_are_recognised(tmp_path, channels):
    pixels = random_pixels((70, 90, channels), np.uint16)
    path = tmp_path / "array.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    source = TiffSource(path)
    assert source.info.axes == "YXS"
    assert_windows_equal(source, pixels.transpose(2, 0, 1)[None])


def test_names_of_axes_are_made_unique_but_narrow_stacks_stay_stacks():
    assert name_axes("QQYX", (2, 3, 64, 64)) == "QIYX"
    assert name_axes("QYX", (10, 30, 8)) == "QYX"
    assert name_axes("ZYX", (512, 512, 3)) == "ZYX"


@pytest.mark.parametrize("extrasample", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_alpha_is_dropped(tmp_path, extrasample, compression):
    for samples, photometric in [(4, "rgb"), (2, "minisblack")]:
        pixels = random_pixels((samples, 33, 27), np.uint8)
        options = {"photometric": photometric, "planarconfig": "contig", "extrasamples": [extrasample]}
        tifffile.imwrite(tmp_path / "a.tif", pixels.transpose(1, 2, 0), compression=compression, **options)
        source = TiffSource(tmp_path / "a.tif")
        assert source.info.alpha
        assert_windows_equal(source, pixels[None, :-1])


def test_four_separate_planes_are_four_channels(tmp_path):
    pixels = random_pixels((4, 33, 27), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    source = TiffSource(tmp_path / "a.tif")
    assert not source.info.alpha
    assert_windows_equal(source, pixels[None])


def test_alpha_is_dropped_from_each_channel_of_colour_stacks(tmp_path):
    pixels = random_pixels((2, 3, 19, 17, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata={"axes": "TCYXS"}, ome=True)
    source = TiffSource(tmp_path / "a.tif")
    assert_windows_equal(source, pixels.transpose(0, 1, 4, 2, 3)[:, :, :3].reshape(2, 9, 19, 17))


def test_other_extra_samples_are_channels(tmp_path):
    pixels = random_pixels((20, 30, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    source = TiffSource(tmp_path / "a.tif")
    assert not source.info.alpha
    assert_windows_equal(source, pixels.transpose(2, 0, 1)[None])


def test_palettes_become_colours_or_stay_numbers(tmp_path):
    numbers = random_pixels((20, 30), np.uint8)
    palette = random_pixels((3, 256), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers, photometric="palette", colormap=palette)
    source = TiffSource(path)
    assert (source.info.axes, source.info.shape) == ("YXS", (20, 30, 3))
    assert_windows_equal(source, (palette >> 8).astype(np.uint8)[:, numbers][None])
    assert_windows_equal(TiffSource(path, as_stored=True), numbers[None, None])
    palette[:] = palette[0]
    tifffile.imwrite(path, numbers, photometric="palette", colormap=palette)
    assert_windows_equal(TiffSource(path), (palette[:1] >> 8).astype(np.uint8)[:, numbers][None])


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_white_is_zero_images_are_left_as_stored(tmp_path, dtype):
    pixels = random_pixels((20, 30), dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    expected = pixels.astype(np.uint8) * np.uint8(255) if dtype is bool else pixels
    assert_windows_equal(TiffSource(tmp_path / "a.tif"), expected[None, None])


def test_jpeg_tiles_decode_as_tifffile_decodes_them(tmp_path):
    pixels = random_pixels((90, 70, 3), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(32, 32), compression="jpeg")
    assert_windows_equal(TiffSource(path), tifffile.imread(path).transpose(2, 0, 1)[None])


def test_volumetric_tiles(tmp_path):
    pixels = random_pixels((20, 40, 50), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(16, 16, 16), volumetric=True, compression="zlib")
    assert_windows_equal(TiffSource(path), pixels[:, None])


def test_sparse_tiles_are_filled(tmp_path):
    expected = np.zeros((64, 64), np.uint8)
    expected[16:32, 32:48] = 7
    tiles = [expected[y : y + 16, x : x + 16] for y, x in itertools.product(range(0, 64, 16), repeat=2)]
    path = tmp_path / "a.tif"
    stored = iter([tiles[0], *(tile if tile.any() else None for tile in tiles[1:])])
    tifffile.imwrite(path, stored, shape=(64, 64), dtype=np.uint8, tile=(16, 16), compression="zlib")
    assert_windows_equal(TiffSource(path), expected[None, None])


def test_multi_file_ome_is_read_across_its_files(tmp_path):
    pixels = random_pixels((2, 40, 30), np.uint16)
    names = ["a.ome.tif", "b.ome.tif"]
    data = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstZ="{z}"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    for z, name in enumerate(names):
        description = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="30" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / name, pixels[z], description=description, metadata=None, compression="zlib")
    assert_windows_equal(TiffSource(tmp_path / names[0]), pixels[:, None])


@pytest.fixture
def decoded(monkeypatch):
    """Collects the numbers of the segments as they are decoded."""
    indices = []
    decode = TiffSegments.decode

    def count(self, box, encoded):
        indices.append(encoded.segment)
        return decode(self, box, encoded)

    monkeypatch.setattr(TiffSegments, "decode", count)
    return indices


@pytest.mark.parametrize("options", [{"tile": (32, 32)}, {"rowsperstrip": 5}, {}])
@pytest.mark.parametrize("cache_bytes", [2**28, 1])
def test_each_segment_is_decoded_once_in_a_walk_of_overlapping_bands(tmp_path, decoded, options, cache_bytes):
    pixels = random_pixels((300, 200), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", **options)
    source = TiffSource(tmp_path / "a.tif", cache_bytes=cache_bytes)
    for top in range(0, 300, 40):
        rows = slice(max(0, top - 30), min(300, top + 70))
        np.testing.assert_array_equal(source.read(0, (rows, slice(0, 200)))[0], pixels[rows])
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert sorted(decoded) == list(range(len(tiff.pages.first.dataoffsets)))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("dialect", ["pages", "ome", "imagej", "tiles", "end"])
def test_truncated_files_are_image_errors(tmp_path, compression, share, dialect):
    pixels = random_pixels((6, 90, 80), np.uint8)
    path = tmp_path / "cut.tif"
    options = {"ome": {"ome": True}, "imagej": {"imagej": True}, "tiles": {"tile": (32, 32)}, "pages": {}}
    if dialect == "end":  # pages of their own, each after the one before
        with tifffile.TiffWriter(path) as writer:
            for page in pixels:
                writer.write(page, metadata=None, contiguous=False, compression=compression)
    else:
        tifffile.imwrite(path, pixels, compression=compression, **options[dialect])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError) as caught:
        read_all(TiffSource(path))
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_a_file_cut_after_it_was_opened_is_an_image_error(tmp_path):
    for compression in (None, "zlib"):
        path = tmp_path / "cut.tif"
        tifffile.imwrite(path, random_pixels((200, 200), np.uint8), compression=compression, tile=(64, 64))
        source = TiffSource(path)
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(ImageError, match=r"cut\.tif"):
            read_all(source)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_damaged_tiles_are_image_errors(tmp_path, compression):
    path = tmp_path / "flipped.tif"
    tifffile.imwrite(path, random_pixels((200, 200), np.uint8), compression=compression, tile=(64, 64))
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages.first.dataoffsets[5], tiff.pages.first.databytecounts[5]
    data = bytearray(path.read_bytes())
    data[start : start + count // 2] = bytes(255 - value for value in data[start : start + count // 2])
    path.write_bytes(data)
    source = TiffSource(path)
    source.read(0, (slice(0, 64), slice(0, 200)))
    with pytest.raises(ImageError, match=r"flipped\.tif.*tile or strip 5"):
        source.read(0, (slice(0, 200), slice(0, 200)))


def test_damaged_headers_never_give_anything_but_image_errors(tmp_path):
    path = tmp_path / "fuzz.tif"
    tifffile.imwrite(path, random_pixels((3, 40, 50), np.uint8), compression="zlib", ome=True)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for position in rng.integers(4, 400, 3):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            source = TiffSource(path)
            if source.info.height * source.info.width * source.info.planes < 10**6:
                read_all(source)
            source.close()
        except ImageError:
            pass


def test_unsupported_pixels_and_wrong_axes_are_image_errors(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.complex64))
    with pytest.raises(ImageError, match="not supported"):
        TiffSource(path)
    tifffile.imwrite(path, np.zeros((5, 8, 9), np.uint8))
    for axes in ("YX", "ZZX", "CYY", "TCYX"):
        with pytest.raises(ImageError, match="axes"):
            TiffSource(path, ReadOptions(axes=axes))
    path.write_bytes(b"")
    with pytest.raises(ImageError):
        TiffSource(path)
    path.write_text("This is no image at all.")
    with pytest.raises(ImageError):
        TiffSource(path)


@pytest.mark.skipif(not EM.exists(), reason="needs ../shared/data/em")
def test_a_real_stack_of_sections():
    assert_windows_equal(TiffSource(EM), tifffile.imread(EM)[:, None])
