"""MetaImages lie where ITK puts them, however their pixels are stored."""

import zlib

import numpy as np
import pytest

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image
from unetkit.testing.sources import SourceContract

HEADER = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = {big}
CompressedData = {compressed}
TransformMatrix = 0 1 0 -1 0 0 0 0 1
Offset = 1 2 3
ElementSpacing = 0.5 0.75 3
DimSize = 9 8 4
ElementType = {kind}
{more}ElementDataFile = {file}
"""


def write(path, pixels, *, kind="MET_SHORT", compressed=False, big=False, file="LOCAL", more=""):
    """Write pixels (z, y, x), beside the header or behind it."""
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    data = zlib.compress(data) if compressed else data
    header = HEADER.format(kind=kind, compressed=compressed, big=big, file=file, more=more).encode()
    if file == "LOCAL":
        path.write_bytes(header + data)
    else:
        path.write_bytes(header)
        (path.parent / file).write_bytes(data)
    return path


def noise(dtype="int16"):
    return (np.random.default_rng(0).random((4, 8, 9)) * 200).astype(dtype)


class TestMetaImage(SourceContract):
    @pytest.fixture
    def pixels(self):
        return noise()[:, None]

    @pytest.fixture(params=["plain", "compressed", "beside", "big", "end"])
    def source(self, tmp_path, request, pixels):
        options = {
            "compressed": {"compressed": True},
            "beside": {"file": "a.raw"},
            "big": {"big": True},
            "end": {"file": "a.raw", "more": "HeaderSize = -1\n"},
        }.get(request.param, {})
        path = write(tmp_path / "a.mha", pixels[:, 0], **options)
        if request.param == "end":
            raw = tmp_path / "a.raw"
            raw.write_bytes(b"a header of its own" + raw.read_bytes())
        return open_image(path)


def test_its_place_is_that_of_itk(tmp_path):
    info = open_image(write(tmp_path / "a.mha", noise())).info
    affine = np.array(info.space.affine)
    np.testing.assert_allclose(affine @ (1, 0, 0, 1), (-1, -2.5, 3, 1))  # 0.5 mm along +y of LPS
    np.testing.assert_allclose(affine @ (0, 1, 0, 1), (-0.25, -2, 3, 1))  # 0.75 mm along -x of LPS
    np.testing.assert_allclose(affine @ (0, 0, 1, 1), (-1, -2, 6, 1))
    assert (info.pixel_size_um, info.steps[0].size) == ((750.0, 500.0), 3000.0)
    (series,) = list_series(tmp_path / "a.mha")
    assert (series.axes, series.shape, series.dtype) == ("ZYX", (4, 8, 9), "int16")


def test_what_is_cut_off_or_not_read_says_what_to_do(tmp_path):
    path = write(tmp_path / "a.mha", noise(), compressed=True)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(path).read(3, (slice(0, 8), slice(0, 9)))
    source = open_image(path, ReadOptions(on_bad_tile="background"))
    np.testing.assert_array_equal(source.read(0, (slice(0, 8), slice(0, 9)))[0], noise()[0])
    source.read(3, (slice(0, 8), slice(0, 9)))
    assert [tile.item for tile in source.bad_tiles] == [3]
    with pytest.raises(ImageError, match="pixels of MET_LONG") as caught:
        open_image(write(tmp_path / "b.mha", noise(), kind="MET_LONG"))
    assert "NIfTI" in caught.value.remedy
    path = write(tmp_path / "c.mhd", noise(), file="c.raw")
    (tmp_path / "c.raw").unlink()
    with pytest.raises(ImageError, match="holds the pixels of"):
        open_image(path)
    (tmp_path / "d.mhd").write_text("ObjectType = Image\nNDims = 3\n")
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(tmp_path / "d.mhd")
