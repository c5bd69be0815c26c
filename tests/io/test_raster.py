"""PNG and JPEG: every kind to the bit, and damage."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from unetkit.foundation.errors import ImageError, OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.raster import PngSink, RasterSource

NUCLEI = Path(__file__).parents[2] / "../shared/data/nuclei/train/images"


def random_pixels(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def read_all(source):
    return source.read(0, (slice(0, source.info.height), slice(0, source.info.width)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (23, 17)])
def test_png_gives_all_bits_and_drops_alpha(tmp_path, dtype, samples, size):
    pixels = random_pixels((*size, samples), dtype)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels if samples > 1 else pixels[:, :, 0]))
    source = RasterSource(path)
    alpha = samples in (2, 4)
    assert source.info.alpha == alpha
    assert source.info.dtype == dtype
    assert source.info.axes == ("YXS" if samples > 2 else "YX")
    expected = pixels[:, :, :-1] if alpha else pixels
    np.testing.assert_array_equal(read_all(source), expected.transpose(2, 0, 1))
    window = source.read(0, (slice(0, 1), slice(size[1] // 2, size[1])))
    np.testing.assert_array_equal(window, expected.transpose(2, 0, 1)[:, :1, size[1] // 2 :])


def test_one_bit_png_is_0_and_255(tmp_path):
    bits = random_pixels((9, 13)) > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    source = RasterSource(tmp_path / "a.png")
    assert source.info.dtype == np.uint8
    np.testing.assert_array_equal(read_all(source)[0], bits * np.uint8(255))


@pytest.mark.parametrize("transparency", [None, 3])
def test_palette_png_becomes_colours_or_stays_numbers(tmp_path, transparency):
    numbers = random_pixels((9, 13)) % 7
    palette = random_pixels((7, 3))
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(palette.tobytes())
    path = tmp_path / "a.png"
    image.save(path, **({} if transparency is None else {"transparency": transparency}))
    source = RasterSource(path)
    assert source.info.alpha == (transparency is not None)
    np.testing.assert_array_equal(read_all(source), palette[numbers].transpose(2, 0, 1))
    stored = RasterSource(path, as_stored=True)
    np.testing.assert_array_equal(read_all(stored), numbers[None])


def test_grey_palettes_are_grey(tmp_path):
    numbers = random_pixels((9, 13)) % 5
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(np.repeat(np.arange(0, 250, 50, np.uint8), 3).tobytes())
    image.save(tmp_path / "a.png")
    source = RasterSource(tmp_path / "a.png")
    np.testing.assert_array_equal(read_all(source), numbers[None] * 50)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_grey_or_rgb(tmp_path, mode):
    image = Image.fromarray(random_pixels((24, 31, 3))).convert(mode)
    path = tmp_path / "a.jpg"
    image.save(path)
    source = RasterSource(path)
    assert (source.info.format, source.info.channels) == ("JPEG", 1 if mode == "L" else 3)
    expected = np.asarray(Image.open(path).convert("L" if mode == "L" else "RGB"))
    np.testing.assert_array_equal(read_all(source), expected.reshape(24, 31, -1).transpose(2, 0, 1))


def test_axes_can_be_given(tmp_path):
    Image.fromarray(random_pixels((4, 5, 3))).save(tmp_path / "a.png")
    assert RasterSource(tmp_path / "a.png", ReadOptions(axes="yxc")).info.axes == "YXC"
    with pytest.raises(ImageError, match="axes"):
        RasterSource(tmp_path / "a.png", ReadOptions(axes="YX"))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["png", "png16", "jpg"])
def test_truncated_files_are_image_errors(tmp_path, kind, share):
    path = tmp_path / f"cut.{kind[:3]}"
    if kind == "png16":
        path.write_bytes(imagecodecs.png_encode(random_pixels((50, 60, 3), np.uint16)))
    else:
        Image.fromarray(random_pixels((50, 60, 3))).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match="cut") as caught:
        RasterSource(path)
    assert caught.value.remedy


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_flipped_bytes_are_image_errors(tmp_path, dtype):
    path = tmp_path / "a.png"
    data = bytearray(imagecodecs.png_encode(random_pixels((50, 60, 3), dtype)))
    data[300:320] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(ImageError):
        RasterSource(path)


@pytest.mark.parametrize("size", [(1, 1), (70, 33)])
def test_png_sink_writes_rows_with_size_and_notes(tmp_path, size):
    pixels = random_pixels(size)
    path = tmp_path / "mask.png"
    spec = OutputSpec(size, np.dtype("uint8"), pixel_size_um=(0.5, 0.25), notes=(("model", "nuclei ä"),))
    PngSink(path, spec).write(pixels[None, top : top + 16] for top in range(0, size[0], 16))
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
        assert image.text["model"] == "nuclei ä"
    assert RasterSource(path).info.pixel_size_um == pytest.approx((0.5, 0.25), rel=1e-3)
    assert list(tmp_path.iterdir()) == [path]


def test_print_resolutions_are_no_pixel_size(tmp_path):
    Image.fromarray(random_pixels((4, 5))).save(tmp_path / "a.png", dpi=(300, 300))
    assert RasterSource(tmp_path / "a.png").info.pixel_size_um is None


def test_png_sink_writes_labels_of_16_bits(tmp_path):
    pixels = random_pixels((40, 50), np.uint16)
    spec = OutputSpec((40, 50), np.dtype("uint16"), pixel_size_um=(0.25, 0.5), notes=(("model", "a"),))
    PngSink(tmp_path / "labels.png", spec).write([pixels[None, :30], pixels[None, 30:]])
    np.testing.assert_array_equal(imagecodecs.imread(tmp_path / "labels.png"), pixels)
    source = RasterSource(tmp_path / "labels.png")
    np.testing.assert_array_equal(source.read(0, (slice(0, 40), slice(0, 50)))[0], pixels)
    assert source.info.pixel_size_um == pytest.approx((0.25, 0.5), rel=1e-3)


def test_more_labels_than_a_png_has_numbers_for_are_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"more objects than a PNG has numbers for \(65,535\).*labels\.tif"):
        PngSink(tmp_path / "labels.png", OutputSpec((4, 5), np.dtype("uint32"))).write([np.ones((1, 4, 5), np.uint32)])
    assert not list(tmp_path.iterdir())


def test_png_sink_leaves_nothing_after_an_error(tmp_path, monkeypatch):
    spec = OutputSpec((9, 9), np.dtype("uint8"))

    def rows():
        yield np.zeros((1, 4, 9), np.uint8)
        raise KeyError("rows")

    with pytest.raises(KeyError):
        PngSink(tmp_path / "a.png", spec).write(rows())

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        PngSink(tmp_path / "a.png", spec).write([np.zeros((1, 9, 9), np.uint8)])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not NUCLEI.exists(), reason="needs ../shared/data/nuclei")
def test_real_images_of_all_kinds():
    for path in sorted(NUCLEI.glob("*.png"))[::40]:
        expected = np.asarray(Image.open(path))
        expected = expected[:, :, :3] if expected.ndim == 3 else expected[:, :, None]
        np.testing.assert_array_equal(read_all(RasterSource(path)), expected.transpose(2, 0, 1))
