"""TIFF files that hold several images and resolutions, pieces too large for memory, and bad tiles."""

import itertools
import tracemalloc

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.files import open_image
from unetkit.io.tiff.segments import TiffSegments
from unetkit.io.tiff.source import list_tiff_series

APERIO = "Aperio Image Library v12.0.15\n{size} [0,0 {size}] (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2500"


def random_pixels(shape, dtype=np.uint8, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def smooth_pixels(shape, dtype=np.uint8):
    return (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 3 % 250).astype(dtype)


def read_all(source):
    info = source.info
    return np.stack([source.read(plane, (slice(0, info.height), slice(0, info.width))) for plane in range(info.planes)])


def write_ome(path, **options):
    """Two images, the first with two more levels and three channels; returns the levels and the second image."""
    pixels = random_pixels((3, 65, 97), np.uint16)
    levels = [pixels, pixels[:, :64:2, :96:2], pixels[:, :64:4, :96:4]]
    other = random_pixels((2, 40, 30))
    with tifffile.TiffWriter(path, ome=True) as writer:
        metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "Channel": {"Name": ["a", "b", "c"]}}
        common = {"tile": (16, 32), "photometric": "minisblack", "compression": "zlib"} | options
        writer.write(levels[0], subifds=2, metadata=metadata, **common)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **common)
        writer.write(other, metadata={"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}, **common)
    return levels, other


def write_svs(path):
    """A slide as Aperio writes it: base, thumbnail, levels, label, macro; returns the levels as stored in JPEG."""
    base = np.repeat(smooth_pixels((600, 800))[..., None], 3, axis=2)
    options = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(base, tile=(64, 64), description=APERIO.format(size="800x600"), **options)
        writer.write(base[::8, ::8], rowsperstrip=16, description=APERIO.format(size="100x75"), **options)
        for step in (2, 4):
            writer.write(base[::step, ::step], tile=(64, 64), description=APERIO.format(size="level"), **options)
        for kind, subfiletype in (("label", 1), ("macro", 9)):
            writer.write(base[:50, :60], subfiletype=subfiletype, description=f"Aperio\n{kind} 60x50", **options)
    with tifffile.TiffFile(path) as tiff:
        return [level.asarray().transpose(2, 0, 1) for level in tiff.series[0].levels]


@pytest.mark.parametrize("options", [{}, {"compression": None}, {"bigtiff": True}])
def test_series_and_levels_of_ome_tiff(tmp_path, options):
    path = tmp_path / "a.ome.tif"
    options.pop("bigtiff", None)
    levels, other = write_ome(path, **options)
    for number, pixels in enumerate(levels):
        source = open_image(path, ReadOptions(level=number))
        np.testing.assert_array_equal(read_all(source)[0], pixels)
        assert source.info.pixel_size_um == pytest.approx((0.25 * 2**number, 0.5 * 2**number))
        assert source.info.channel_names == ("a", "b", "c")
    second = open_image(path, ReadOptions(series=1))
    np.testing.assert_array_equal(read_all(second)[:, 0], other)
    assert second.info.pixel_size_um == (2.0, 2.0)
    assert second.info.channel_names == ()


def test_what_a_file_does_not_have_is_an_error_that_lists_what_it_has(tmp_path):
    write_ome(tmp_path / "a.ome.tif")
    with pytest.raises(ImageError, match=r"no series 2.*0 \(.*CYX \(3, 65, 97\)\), 1 \(.*ZYX \(2, 40, 30\)\)"):
        open_image(tmp_path / "a.ome.tif", ReadOptions(series=2))
    with pytest.raises(ImageError, match=r"no level 3.*0 \(65 x 97\), 1 \(32 x 48\), 2 \(16 x 24\)"):
        open_image(tmp_path / "a.ome.tif", ReadOptions(level=3))
    with pytest.raises(ImageError, match=r"no level 1.*0 \(40 x 30\)"):
        open_image(tmp_path / "a.ome.tif", ReadOptions(series=1, level=1))
    with pytest.raises(ImageError, match="no channel 3: it has 3"):
        open_image(tmp_path / "a.ome.tif", ReadOptions(channels="0,3"))


def test_levels_of_a_slide(tmp_path):
    levels = write_svs(tmp_path / "slide.svs")
    assert [level.shape for level in levels] == [(3, 600, 800), (3, 300, 400), (3, 150, 200)]
    for number, pixels in enumerate(levels):
        source = open_image(tmp_path / "slide.svs", ReadOptions(level=number))
        assert source.info.format == "SVS"
        assert source.info.pixel_size_um == (0.25 * 2**number,) * 2
        np.testing.assert_array_equal(read_all(source)[0], pixels)
    described = list_tiff_series(tmp_path / "slide.svs")
    assert [len(series.levels) for series in described] == [3, 1, 1, 1]
    assert described[0].levels[1].pixel_size_um == (0.5, 0.5)
    assert described[1].levels[0].pixel_size_um is None


@pytest.mark.parametrize(
    ("pixel_size", "level", "height"), [(0.25, 0, 600), (0.5, 1, 300), (0.4999, 1, 300), (0.8, 1, 188), (2, 2, 75)]
)
def test_a_pixel_size_takes_the_nearest_finer_level(tmp_path, monkeypatch, pixel_size, level, height):
    levels = write_svs(tmp_path / "slide.svs")
    source = open_image(tmp_path / "slide.svs", ReadOptions(pixel_size=pixel_size))
    assert source.info.height == height
    assert source.info.pixel_size_um == pytest.approx((pixel_size, pixel_size), rel=0.01)
    stored = getattr(source, "_source", source)
    assert (stored.info.height, stored.info.width) == levels[level].shape[1:]


def test_a_file_without_pixel_size_cannot_be_resampled(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((20, 20)))
    with pytest.raises(ImageError, match="how large its pixels are"):
        open_image(tmp_path / "a.tif", ReadOptions(pixel_size=1))


@pytest.mark.parametrize("subifds", [True, False])
def test_levels_of_a_pyramid_without_ome(tmp_path, subifds):
    base = random_pixels((256, 320, 3))
    levels = [base, base[::2, ::2], base[::4, ::4]]
    options = {"photometric": "rgb", "tile": (32, 32), "compression": "lzw", "metadata": None}
    resolution = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(base, subifds=2 if subifds else None, **options, **resolution)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    for number, pixels in enumerate(levels):
        source = open_image(tmp_path / "a.tif", ReadOptions(level=number))
        np.testing.assert_array_equal(read_all(source)[0], pixels.transpose(2, 0, 1))
        assert source.info.pixel_size_um == pytest.approx((0.5 * 2**number,) * 2)


def test_pages_of_different_sizes_are_series(tmp_path):
    images = [random_pixels((20, 30)), random_pixels((25, 35), np.uint16)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for pixels in images:
            writer.write(pixels)
    for number, pixels in enumerate(images):
        np.testing.assert_array_equal(
            read_all(open_image(tmp_path / "a.tif", ReadOptions(series=number)))[0, 0], pixels
        )


@pytest.mark.parametrize("channels", ["2", "0,2", [2, 0, 0], "2,1,0", "0,1,2"])
@pytest.mark.parametrize("layout", ["contig", "separate", "pages", "alpha", "palette"])
def test_channels_are_picked_in_any_layout(tmp_path, layout, channels):
    path = tmp_path / "a.tif"
    pixels = random_pixels((4, 33, 27))
    if layout == "palette":
        colours = random_pixels((3, 256), np.uint16)
        tifffile.imwrite(path, pixels[0], photometric="palette", colormap=colours)
        pixels = (colours >> 8).astype(np.uint8)[:, pixels[0]]
    elif layout == "pages":
        tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "CYX"}, compression="zlib")
    elif layout == "alpha":
        tifffile.imwrite(path, pixels.transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"])
    else:
        stored = pixels[:3] if layout == "separate" else pixels[:3].transpose(1, 2, 0)
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig=layout, compression="zlib")
    reading = ReadOptions(channels=channels)
    source = open_image(path, reading)
    assert source.info.channels == len(reading.channels)
    np.testing.assert_array_equal(read_all(source)[0], pixels[list(reading.channels)])
    if layout in ("alpha", "palette"):
        with pytest.raises(ImageError, match="no channel 3: it has 3"):
            open_image(path, ReadOptions(channels="3"))


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
@pytest.mark.parametrize("rows", [1400, 700, 900])
def test_strips_too_large_for_the_cache_go_to_a_temporary_file(tmp_path, monkeypatch, rows, compression):
    made = []
    make = ScratchArray.__init__
    monkeypatch.setattr(ScratchArray, "__init__", lambda self, *arguments: made.append(1) or make(self, *arguments))
    pixels = np.repeat(smooth_pixels((1400, 1100), np.uint16)[None], 2, axis=0) + np.array([[[0]], [[9]]], np.uint16)
    path = tmp_path / "strip.tif"
    tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=rows, metadata={"axes": "ZYX"})
    source = open_image(path, cache_bytes=2**20)
    assert source.info.scratch_bytes == 1400 * 1100 * 2
    for plane, top in itertools.product(range(2), range(0, 1400, 100)):
        window = slice(max(0, top - 30), min(1400, top + 130))
        np.testing.assert_array_equal(source.read(plane, (window, slice(3, 900)))[0], pixels[plane, window, 3:900])
    assert len(made) == 2 * -(-1400 // rows)  # each strip was decoded once
    source.close()
    assert open_image(path).info.scratch_bytes == 0


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32"])
@pytest.mark.parametrize("options", [{}, {"predictor": True}, {"tile": (704, 608)}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_large_deflated_pieces_are_decoded_row_by_row_to_the_same_pixels(tmp_path, dtype, options, byteorder):
    if dtype == "float32" and "predictor" in options:
        pytest.skip("floating point has a predictor of its own")
    values = random_pixels((1030, 600), np.uint8) // 64
    pixels = np.stack([values, values[::-1], values[:, ::-1]]).astype(dtype) * np.asarray(7, dtype)
    stored = pixels if "planarconfig" in options else pixels.transpose(1, 2, 0)
    layout = {} if "tile" in options else {"rowsperstrip": 1030}
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", compression="zlib", byteorder=byteorder, **layout, **options
    )
    source = open_image(tmp_path / "a.tif", cache_bytes=2**20)
    assert (source.info.scratch_bytes > 0) == (pixels.nbytes // (3 if "planarconfig" in options else 1) > 2**20)
    np.testing.assert_array_equal(read_all(source)[0], pixels)


def test_the_peak_of_memory_does_not_hold_a_large_deflated_strip(tmp_path):
    pixels = np.zeros((6000, 5000), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", rowsperstrip=6000)
    source = open_image(tmp_path / "a.tif", cache_bytes=2**22)
    tracemalloc.start()
    assert not source.read(0, (slice(5000, 5100), slice(0, 5000))).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.info.scratch_bytes == pixels.size
    assert peak < pixels.size / 3


@pytest.mark.parametrize(("start", "share"), [(0.0, 1.0), (0.5, 1.0), (0.99999, 1.0), (1.0, 0.6)])
def test_large_deflated_strips_that_are_bad_stop_or_become_background(tmp_path, start, share):
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 4, (2400, 1000), np.uint8)
    tifffile.imwrite(path, pixels, compression="zlib", rowsperstrip=1200)
    damage(path, 1, start=start)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)] if share < 1 else whole)
    reading = ReadOptions(on_bad_tile="background")
    if share == 1:
        with pytest.raises(ImageError, match=r"strip 1 at row 1200.*--on-bad-tile"):
            read_all(open_image(path, cache_bytes=2**20))
    source = open_image(path, reading, cache_bytes=2**20)
    pixels[1200:] = 0
    np.testing.assert_array_equal(read_all(source)[0, 0], pixels)
    assert source.bad_tiles == [BadTile(0, (1200, 0), (1200, 1000))]


def test_a_full_disk_of_temporary_files_is_an_image_error(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "strip.tif", smooth_pixels((1200, 1100)), compression="zlib", rowsperstrip=1200)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    source = open_image(tmp_path / "strip.tif", ReadOptions(on_bad_tile="background"), cache_bytes=2**20)
    with pytest.raises(ImageError, match=r"strip\.tif.*temporary file.* in .*missing.*TMPDIR"):
        source.read(0, (slice(0, 10), slice(0, 10)))


def damage(path, index, page=0, start=0.0):
    """Flip the bits of a tile from some share of its bytes on."""
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[page].dataoffsets[index], tiff.pages[page].databytecounts[index]
    data = bytearray(path.read_bytes())
    first = offset + int(count * start)
    data[first : offset + count] = bytes(255 - value for value in data[first : offset + count])
    path.write_bytes(data)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "jpeg", "webp", "jpeg2000", "lzma"])
def test_bad_tiles_stop_or_become_background(tmp_path, compression):
    path = tmp_path / "flipped.tif"
    stored = np.repeat(smooth_pixels((200, 230))[..., None], 3, axis=2)
    options = {"photometric": "rgb", "tile": (64, 64), "compression": compression}
    tifffile.imwrite(path, stored, **options)
    pixels = tifffile.imread(path).transpose(2, 0, 1).copy()
    damage(path, 6)
    with pytest.raises(ImageError, match=r"flipped\.tif.*tile or strip 6 at row 64, column 128 of page 0"):
        read_all(open_image(path))
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    pixels[:, 64:128, 128:192] = 0
    for _ in range(2):
        np.testing.assert_array_equal(read_all(source)[0], pixels)
    assert source.bad_tiles == [BadTile(0, (64, 128), (64, 64))]


def test_bad_tiles_are_told_in_planes_and_cut_at_the_edge_and_told_once_for_all_channels(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.stack([np.stack([smooth_pixels((70, 50)) + c + 5 * z for c in range(2)]) for z in range(3)])
    tifffile.imwrite(path, pixels, metadata={"axes": "ZCYX"}, compression="zlib", tile=(32, 32))
    for page in (2, 3):  # both channels of plane 1
        damage(path, 5, page)
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    pixels[1, :, 64:, 32:] = 0
    np.testing.assert_array_equal(read_all(source), pixels)
    assert source.bad_tiles == [BadTile(1, (64, 32), (6, 18))]


@pytest.mark.parametrize("layout", [{"planarconfig": "separate"}, {"rowsperstrip": 20}, {}])
def test_bad_strips_and_separate_samples(tmp_path, layout):
    path = tmp_path / "a.tif"
    pixels = np.repeat(smooth_pixels((90, 50))[None], 3, axis=0)
    stored = pixels if "planarconfig" in layout else pixels.transpose(1, 2, 0)
    tifffile.imwrite(path, stored, photometric="rgb", compression="zlib", **({"rowsperstrip": 20} | layout))
    damage(path, 4)
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    expected = pixels.copy()
    expected[0 if "planarconfig" in layout else slice(None), 80:] = 0
    np.testing.assert_array_equal(read_all(source)[0], expected)
    assert source.bad_tiles == [BadTile(0, (80, 0), (10, 50))]


@pytest.mark.parametrize(("nodata", "dtype", "expected"), [("255", "u1", 255), ("-1", "f4", -1), ("nan", "f4", 0)])
def test_the_background_is_what_the_file_calls_no_data_unless_that_is_no_number(tmp_path, nodata, dtype, expected):
    path = tmp_path / "a.tif"
    tags = [(42113, "s", 0, nodata, True)]
    tifffile.imwrite(path, smooth_pixels((64, 64), dtype), compression="zlib", tile=(32, 32), extratags=tags)
    damage(path, 0)
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    assert (source.read(0, (slice(0, 32), slice(0, 32))) == expected).all()


@pytest.mark.parametrize("compression", ["zlib", None])
@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 16}])
def test_of_a_truncated_file_the_rest_is_read(tmp_path, compression, layout):
    path = tmp_path / "a.tif"
    pixels = random_pixels((128, 96))
    tifffile.imwrite(path, pixels, compression=compression, **layout)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageError, match="truncated"):
        open_image(path)
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    read = read_all(source)[0, 0]
    assert source.bad_tiles
    for tile in source.bad_tiles:
        pixels[tile.window] = 0
    np.testing.assert_array_equal(read, pixels)
    assert 0.5 < (pixels > 0).mean() < 0.8


def test_of_an_unknown_compression_nothing_is_background(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth_pixels((64, 64)), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(60606)
    with pytest.raises(ImageError, match="60606"):
        open_image(path, ReadOptions(on_bad_tile="background"))


@pytest.mark.parametrize("fault", [ImportError("no such codec"), MemoryError("too large")])
def test_a_missing_codec_and_little_memory_stop_even_where_bad_tiles_do_not(tmp_path, fault):
    def fail(*_, **__):
        raise fault

    tifffile.imwrite(tmp_path / "a.tif", smooth_pixels((64, 64)), compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        segments = TiffSegments(tiff.series[0], "a.tif")
        segments._decode = fail
        reader = ChunkedArray(segments, on_bad_tile="background")
        with pytest.raises(
            ImageError, match=rf"unknown kind \(tile or strip 3 at row 32, column 32 of page 0: {fault}"
        ):
            reader[0, 0, 0, 32:, 32:, :]
    assert reader.bad_boxes == []
