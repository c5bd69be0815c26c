"""Pixel sizes that slide scanners and microscopes write in their own ways."""

import numpy as np
import pytest
import tifffile

from unetkit.io.tiff.makers import MAKERS, maker_pixel_size
from unetkit.io.tiff.source import TiffSource

PIXELS = np.zeros((64, 64, 3), np.uint8)
OPTIONS = {"photometric": "rgb", "tile": (16, 16), "metadata": None}

SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>
<image name="slide"><pixels sizeX="64" sizeY="64"><dimension sizeX="64" sizeY="64" r="0" ifd="0"/></pixels>
<view sizeX="16000" sizeY="32000"/></image>
<image name="macro"><pixels sizeX="64" sizeY="64"><dimension sizeX="64" sizeY="64" r="0" ifd="1"/></pixels>
<view sizeX="640000" sizeY="640000"/></image></collection></scn>"""

PHILIPS = """<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>
<DataObject ObjectType="DPScannedImage"><Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>
<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING">"0.0005" "0.00025"</Attribute>
</DataObject><DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING">"0.001" "0.0005"
</Attribute></DataObject></Array></Attribute></DataObject></Array></Attribute></DataObject>"""


def size_of(path):
    source = TiffSource(path)
    source.close()
    return source.info.pixel_size_um


@pytest.mark.parametrize("mpp", ["MPP = 0.4990", "MPP=0.4990|Left = 3"])
def test_aperio(tmp_path, mpp):
    tifffile.imwrite(
        tmp_path / "a.svs", PIXELS, description=f"Aperio Image Library\n64x64|AppMag = 20|{mpp}", **OPTIONS
    )
    assert size_of(tmp_path / "a.svs") == (0.499, 0.499)


@pytest.mark.parametrize("facts", ["AppMag = 20", "MPP = none", "MPP = 0", "MPP = 1.2.3"])
def test_aperio_without_a_size(tmp_path, facts):
    tifffile.imwrite(tmp_path / "a.svs", PIXELS, description=f"Aperio Image Library\n64x64|{facts}", **OPTIONS)
    assert size_of(tmp_path / "a.svs") is None


def test_leica_has_a_size_for_each_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.scn") as writer:
        writer.write(PIXELS, description=SCN, **OPTIONS)
        writer.write(PIXELS, **OPTIONS)
    assert size_of(tmp_path / "a.scn") == (0.5, 0.25)
    with tifffile.TiffFile(tmp_path / "a.scn") as tiff:
        assert [maker_pixel_size(tiff, number) for number in range(3)] == [(0.5, 0.25), (10.0, 10.0), None]


def test_ventana(tmp_path):
    xmp = b'<?xml version="1.0"?><Metadata><iScan Magnification="40" ScanRes="0.2500" UnitNumber="1"/></Metadata>'
    with tifffile.TiffWriter(tmp_path / "a.bif") as writer:
        tags = [(700, "B", len(xmp), xmp, True)]
        writer.write(
            PIXELS[:32, :32], description="Label Image", software="ScanOutputManager", **OPTIONS, extratags=tags
        )
        writer.write(PIXELS, description="level=0 mag=40 quality=95", **OPTIONS)
    assert size_of(tmp_path / "a.bif") == (0.25, 0.25)


def test_philips(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tiff") as writer:
        writer.write(PIXELS, description=PHILIPS, software="Philips DP v1.0", **OPTIONS)
        writer.write(PIXELS[::2, ::2], **OPTIONS)
    assert size_of(tmp_path / "a.tiff") == pytest.approx((0.5, 0.25))


class File:
    """A file that is of one maker only, with metadata as tifffile gives them."""

    def __init__(self, maker, **facts):
        self.__dict__.update({f"is_{name}": name == maker for name in MAKERS} | facts)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (File("lsm", lsm_metadata={"VoxelSizeX": 2.5e-7, "VoxelSizeY": 5e-7}), (0.5, 0.25)),
        (File("sis", sis_metadata={"pixelsizex": 2.5e-7, "pixelsizey": 5e-7}), (0.5, 0.25)),
        (
            File("stk", stk_metadata={"XCalibration": (1, 4), "YCalibration": (1, 2), "CalibrationUnits": "um"}),
            (0.5, 0.25),
        ),
        (File("stk", stk_metadata={"XCalibration": (1, 1), "YCalibration": (1, 1), "CalibrationUnits": "pixel"}), None),
        (File("stk", stk_metadata={"XCalibration": (1, 0), "YCalibration": (1, 0), "CalibrationUnits": "um"}), None),
        (File("lsm", lsm_metadata=None), None),
        (File("none"), None),
    ],
)
def test_the_makers_whose_files_tifffile_does_not_write(file, expected):
    assert maker_pixel_size(file, 0) == (None if expected is None else pytest.approx(expected))
