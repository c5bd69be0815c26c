"""Images that are stored turned or mirrored are read upright."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.views.orientation import UprightSource

PIXELS = np.random.default_rng(0).integers(0, 255, (7, 12, 3), dtype=np.uint8)


def reference(orientation):
    """Return the picture as Pillow turns it."""
    image = Image.fromarray(PIXELS)
    image.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def whole(source):
    return source.read(0, (slice(0, source.info.height), slice(0, source.info.width))).transpose(1, 2, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_every_orientation_is_read_as_pillow_turns_it(tmp_path, name, orientation):
    if name == "a.tif":
        tags = [(274, 3, 1, orientation)]
        options = {"resolution": (50800, 25400), "resolutionunit": "INCH"}
        tifffile.imwrite(tmp_path / name, PIXELS, photometric="rgb", extratags=tags, rowsperstrip=2, **options)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(PIXELS).save(tmp_path / name, exif=exif, dpi=(50800, 25400))
    source = open_image(tmp_path / name)
    np.testing.assert_array_equal(whole(source), reference(orientation))
    size = source.info.pixel_size_um
    assert size == pytest.approx((0.5, 1.0) if orientation > 4 else (1.0, 0.5), rel=1e-3)
    assert dict(zip(source.info.axes, source.info.shape, strict=True))["Y"] == source.info.height
    assert bool(source.info.remarks) == (orientation > 1)
    region = open_image(tmp_path / name, ReadOptions(region="1,2,4,5"))
    np.testing.assert_array_equal(whole(region), reference(orientation)[1:5, 2:7])


def test_jpeg_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    assert whole(open_image(tmp_path / "a.jpg")).shape == (12, 7, 3)
    assert "90 degrees clockwise" in open_image(tmp_path / "a.jpg").info.remarks[0]


@given(st.integers(2, 8), st.data())
def test_any_window_is_a_slice_of_the_upright_image_and_bad_tiles_lie_in_it(orientation, data):
    source = ArraySource(PIXELS, "YXS")
    object.__setattr__(source.info, "orientation", orientation)
    upright = UprightSource(source)
    expected = whole(upright)
    height, width = expected.shape[:2]
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = slice(y, data.draw(st.integers(y + 1, height))), slice(x, data.draw(st.integers(x + 1, width)))
    np.testing.assert_array_equal(upright.read(0, (rows, columns)).transpose(1, 2, 0), expected[rows, columns])
    source.bad_tiles = [BadTile(0, (1, 2), (3, 4))]
    marked = np.zeros_like(PIXELS)
    marked[1:4, 2:6] = 1
    source._array = marked
    (bad,) = upright.bad_tiles
    turned = np.zeros(expected.shape, np.uint8)
    turned[bad.window] = 1
    np.testing.assert_array_equal(whole(upright), turned)
