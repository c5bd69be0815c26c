"""Which image of a TIFF file is read, and what is said about the others."""

import numpy as np
import pytest
import tifffile

from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image

PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def write(path, *pages):
    with tifffile.TiffWriter(path) as file:
        for pixels, options in pages:
            file.write(pixels, metadata=None, **options)
    return path


@pytest.mark.parametrize("bits", [1, 9, 4])
def test_a_smaller_version_or_a_mask_before_the_picture_is_passed_over(tmp_path, bits):
    small = PIXELS[::4, ::4] > 99 if bits == 4 else PIXELS[::4, ::4].copy()
    path = write(tmp_path / "a.tif", (small, {"subfiletype": bits}), (PIXELS, {}))
    source = open_image(path)
    np.testing.assert_array_equal(source.read(0, (slice(0, 64), slice(0, 48)))[0], PIXELS)
    assert "series 1 (64 x 48)" in source.info.remarks[0]
    assert open_image(path, ReadOptions(series=0)).info.height == 16
    assert not open_image(path, ReadOptions(series=1)).info.remarks


def test_the_older_tag_for_smaller_versions_counts_too(tmp_path):
    path = write(tmp_path / "a.tif", (PIXELS[::4].copy(), {"extratags": [(255, 3, 1, 2)]}), (PIXELS, {}))
    assert open_image(path).info.height == 64


def test_of_smaller_versions_alone_the_largest_is_read(tmp_path):
    path = write(tmp_path / "a.tif", *((PIXELS[::step].copy(), {"subfiletype": 1}) for step in (4, 1, 2)))
    assert open_image(path).info.height == 64


def test_images_of_several_sizes_are_listed(tmp_path):
    path = write(tmp_path / "a.tif", *((PIXELS[:height], {}) for height in (64, 60, 50)))
    (remark,) = open_image(path).info.remarks
    assert "3 images" in remark
    assert "series 0 (64 x 48)" in remark
    assert "1: 60 x 48" in remark
    assert "2: 50 x 48" in remark


def test_the_images_of_an_ome_tiff_are_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name, height in (("liver", 64), ("kidney", 32)):
            file.write(PIXELS[:height], metadata={"axes": "YX", "Name": name})
    (remark,) = open_image(tmp_path / "a.ome.tif").info.remarks
    assert "'liver'" in remark
    assert "1: 'kidney', 32 x 48" in remark


def test_levels_and_additions_after_the_picture_need_no_word(tmp_path):
    path = write(tmp_path / "a.tif", (PIXELS, {}), (PIXELS[::4].copy(), {"subfiletype": 1}))
    assert not open_image(path).info.remarks
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(PIXELS, subifds=1, metadata=None)
        file.write(PIXELS[::2, ::2].copy(), subfiletype=1, metadata=None)
    info = open_image(tmp_path / "b.tif").info
    assert (info.height, info.remarks) == (64, ())
    assert len(list_series(tmp_path / "b.tif")[0].levels) == 2


def test_a_picture_below_its_thumbnail_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PIXELS[::4, ::4].copy(), subifds=1, subfiletype=1, metadata=None)
        file.write(PIXELS, metadata=None)
    assert open_image(tmp_path / "a.tif").info.height == 64
