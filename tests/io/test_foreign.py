"""Formats that are not read are named, with a way on."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetkit.foundation.errors import ImageError
from unetkit.io.files import find_images, list_series, open_image

PIXELS = np.zeros((32, 48, 3), np.uint8)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("name", "folder"), [("slide.mrxs", "slide"), ("slide.VSI", "_slide_")])
def test_an_overview_whose_pixels_lie_in_a_folder_beside_it_is_refused(tmp_path, name, folder, there):
    path = tmp_path / name
    if name == "slide.mrxs":
        Image.fromarray(PIXELS).save(path, format="JPEG")
    else:
        tifffile.imwrite(path, PIXELS)
    if there:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Slidedat.ini").touch()
    for read in (open_image, list_series):
        with pytest.raises(ImageError, match=f"only an overview of a slide.* {folder} ") as caught:
            read(path)
        assert "bfconvert" in caught.value.remedy
        assert "bioio" in caught.value.remedy
        assert ("missing" in caught.value.problem) is not there


@pytest.mark.parametrize(
    ("name", "known", "remedy"),
    [
        ("a.czi", "name of a Zeiss CZI file, but not its content", "Copy or export it again"),
        ("a.LIF", "Leica LIF", "Copy or export it again"),
        ("a.ims", "Imaris", "bfconvert a.ims a.ome.tiff"),
        ("a.oib", "Olympus OIB", "bioformats2raw"),
        ("a.sldy", "SlideBook", "pip install bioio-sldy"),
        ("a.nii.gz", "name of a NIfTI file, but not its content", "Copy or export it again"),
        ("a.dcm", "DICOM", "Copy or export it again"),
        ("a.img", "ANALYZE", "nib-convert a.hdr a.nii"),
        ("a.ndpis", "Hamamatsu NDPIS", "files that it lists"),
        ("a.bmp", "bitmap", "Export it as PNG"),
        ("a.npy", "NumPy", "predict_tiled"),
        ("a.pkl", "pickle", "can run code"),
        ("a.txt", "nor an OME-Zarr.", "bfconvert"),
    ],
)
def test_a_format_that_is_not_read_is_named_by_its_suffix(tmp_path, name, known, remedy):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ImageError) as caught:
        open_image(tmp_path / name)
    assert known in caught.value.problem
    assert remedy in caught.value.remedy


def test_a_folder_of_such_files_names_them(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.ims").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"3 files of formats that are not read \(.ims: Imaris\)") as caught:
        find_images(tmp_path)
    assert "bfconvert" in caught.value.remedy


def test_a_folder_of_files_that_need_the_extra_medical_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    monkeypatch.setattr("unetkit.io.files.is_image_by_name", lambda path: False)
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"1 file of medicine or of HDF5, such as a.nii.gz \(NIfTI\)") as caught:
        find_images(tmp_path)
    assert caught.value.remedy == "Run `pip install unetkit[medical]`."
