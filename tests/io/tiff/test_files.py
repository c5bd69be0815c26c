"""OME-TIFF in several files: what is missing is an error or said, never zeros in silence."""

import numpy as np
import pytest
import tifffile

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image

PLANES = np.arange(2 * 9 * 8, dtype=np.uint8).reshape(2, 9, 8)
IDS = [f"urn:uuid:11111111-1111-1111-1111-11111111111{i}" for i in range(2)]
NAMES = ["a.ome.tif", "b.ome.tif"]


def metadata(own, planes=2, files=2):
    data = "".join(
        f'<TiffData FirstZ="{i}" IFD="0" PlaneCount="1"><UUID FileName="{NAMES[i]}">{IDS[i]}</UUID></TiffData>'
        for i in range(files)
    )
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {own}>'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="9" '
        f'SizeC="1" SizeZ="{planes}" SizeT="1"><Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/>{data}'
        "</Pixels></Image></OME>"
    )


@pytest.fixture
def files(tmp_path):
    for i, name in enumerate(NAMES):
        xml = metadata(f'UUID="{IDS[i]}"')
        tifffile.imwrite(tmp_path / name, PLANES[i], description=xml, metadata=None)
    return tmp_path


def read(source):
    return np.stack([source.read(plane, (slice(0, 9), slice(0, 8)))[0] for plane in range(source.info.planes)])


def test_a_missing_file_is_an_error_that_names_it(files):
    np.testing.assert_array_equal(read(open_image(files / "a.ome.tif")), PLANES)
    (files / "b.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"1 of its 2 files are missing \(b.ome.tif\)") as caught:
        open_image(files / "a.ome.tif")
    assert "--on-bad-tile background" in caught.value.remedy


def test_on_request_a_missing_file_is_read_as_background_and_said(files):
    (files / "b.ome.tif").unlink()
    source = open_image(files / "a.ome.tif", ReadOptions(on_bad_tile="background"))
    np.testing.assert_array_equal(read(source), [PLANES[0], np.zeros_like(PLANES[0])])
    assert "b.ome.tif" in source.info.remarks[0]


def test_planes_that_are_in_no_file_are_said(tmp_path):
    xml = metadata(f'UUID="{IDS[0]}"', planes=3, files=1)
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[0], description=xml, metadata=None)
    assert "2 of its 3 planes are in no file" in open_image(tmp_path / "a.ome.tif").info.remarks[0]


def test_a_renamed_file_is_read_by_its_pages_and_said(tmp_path):
    tifffile.imwrite(tmp_path / "new.tif", PLANES[0], description=metadata("", 1, 1), metadata=None)
    source = open_image(tmp_path / "new.tif")
    np.testing.assert_array_equal(read(source)[0], PLANES[0])
    assert "a.ome.tif" in source.info.remarks[0]
    assert "renamed" in source.info.remarks[0]


def test_files_without_metadata_of_their_own_are_read_through_those_beside_them(tmp_path):
    for i, name in enumerate(NAMES):
        binary = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{IDS[i]}"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:1"/></OME>'
        )
        tifffile.imwrite(tmp_path / name, PLANES[i], description=binary, metadata=None)
    source = open_image(tmp_path / "a.ome.tif")
    assert source.info.planes == 1
    assert "x.companion.ome" in source.info.remarks[0]
    (tmp_path / "x.companion.ome").write_text(metadata('UUID="urn:uuid:1"'))
    source = open_image(tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(read(source), PLANES)
    assert source.info.channel_names == ("DAPI",)
    assert not source.info.remarks
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"b.ome.tif"):
        open_image(tmp_path / "a.ome.tif")
    with pytest.raises(ImageError, match="no pixels") as caught:
        open_image(tmp_path / "x.companion.ome")
    assert ".ome.tif files" in caught.value.remedy
