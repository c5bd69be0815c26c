"""DICOM: slices in the order of their places, with their values, and nothing of the patient."""

import shutil

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, dataset, groups, write, write_series
from nifti_files import write_nifti
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from unetkit.data.pairs import find_pairs
from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile, OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import create_sink, find_images, list_series, open_image
from unetkit.io.formats import is_folder
from unetkit.testing.sources import SourceContract

BACKGROUND = ReadOptions(on_bad_tile="background")


def noise(shape, dtype="int16", top=2000):
    return (np.random.default_rng(0).random(shape) * top).astype(dtype)


def read_all(source):
    """Return all planes (plane, C, h, w)."""
    whole = tuple(slice(0, size) for size in source.info.size)
    return np.stack([source.read(plane, whole) for plane in range(source.info.planes)])


class TestDicomSource(SourceContract):
    @pytest.fixture
    def volume(self):
        return noise((5, 7, 9))

    @pytest.fixture(params=["series", "frames", "colours", "rle"])
    def kind(self, request):
        return request.param

    @pytest.fixture
    def pixels(self, kind, volume):
        if kind == "colours":
            return noise((1, 3, 7, 9), "uint8", 255)
        return volume[:, None] - np.int16(1024) if kind == "series" else volume[:, None]

    @pytest.fixture
    def source(self, tmp_path, kind, volume, pixels):
        path = tmp_path / "in"
        if kind == "series":
            write_series(path, volume, RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12)
        elif kind == "frames":
            order = [3, 0, 4, 1, 2]
            write(path, volume[order], **groups(volume, order=order))
        elif kind == "colours":
            write(path, np.ascontiguousarray(pixels[0].transpose(1, 2, 0)))
        else:
            for one in write_series(path, volume):
                file = pydicom.dcmread(one)
                file.compress(RLELossless, generate_instance_uid=False)
                file.save_as(one)
        source = open_image(path)
        yield source
        source.close()


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.2, 0.5, -0.7), (3.0, 0, 0.1)])
def test_a_series_lies_in_space_as_its_positions_say(tmp_path, turn):
    directions = nib.eulerangles.euler2mat(*turn)
    orientation = (*directions[:, 0], *directions[:, 1])
    origin, (dz, dy, dx) = np.array([-10.0, -20.0, 5.0]), (3.0, 0.5, 0.25)
    volume = noise((5, 7, 9))
    write_series(tmp_path / "in", volume, origin=origin, spacing=(dz, dy, dx), orientation=orientation)
    source = open_image(tmp_path / "in")
    np.testing.assert_array_equal(read_all(source)[:, 0], volume)
    assert (source.info.axes, source.info.pixel_size_um) == ("ZYX", (500.0, 250.0))
    assert source.info.steps == (Step("Z", 3000.0, "µm"),)
    affine = np.array(source.info.space.affine)
    for i, j, k in [(0, 0, 0), (8, 0, 0), (0, 6, 0), (0, 0, 4), (8, 6, 4)]:
        lps = origin + directions @ (i * dx, j * dy, k * dz)  # from the standard, C.7.6.2.1.1
        np.testing.assert_allclose(affine @ (i, j, k, 1), (-lps[0], -lps[1], lps[2], 1), atol=1e-4)


def test_an_axial_series_becomes_a_nifti_in_lps_that_overlays_it(tmp_path):
    volume = noise((5, 7, 9))
    write_series(tmp_path / "in", volume)
    info = open_image(tmp_path / "in").info
    spec = OutputSpec(info.size, info.dtype, 1, "Z", (5,), info.pixel_size_um, steps=info.steps, space=info.space)
    create_sink(tmp_path / "out.nii.gz", spec).write(plane[None] for plane in volume)
    image = nib.load(tmp_path / "out.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(image.affine @ (2, 3, 4, 1), (10 - 0.5, 20 - 1.5, 5 + 12, 1), atol=1e-5)
    assert np.asarray(image.dataobj)[2, 3, 4] == volume[4, 3, 2]


def test_a_folder_of_slices_is_one_image_and_a_folder_of_radiographs_is_not(tmp_path):
    write_series(tmp_path / "ct", noise((3, 4, 5)))
    assert not is_folder(tmp_path / "ct")
    (tmp_path / "xray").mkdir()
    for number in range(3):
        write(tmp_path / "xray" / f"{number}.dcm", noise((4, 5)), series=f"1.{number}")
    assert is_folder(tmp_path / "xray")
    assert [one.name for one in find_images(tmp_path / "xray")] == ["0.dcm", "1.dcm", "2.dcm"]
    shutil.copy(next((tmp_path / "ct").iterdir()), tmp_path / "xray" / "a.dcm")
    (tmp_path / "mixed").mkdir()
    shutil.copytree(tmp_path / "ct", tmp_path / "mixed", dirs_exist_ok=True)
    (tmp_path / "mixed" / "a.png").touch()
    assert is_folder(tmp_path / "mixed")


def test_several_series_are_listed_and_chosen(tmp_path):
    small, large = noise((2, 4, 5)), noise((4, 6, 7))
    write_series(tmp_path / "in", small, series="1.9", SeriesNumber=1, SeriesDescription="scout")
    for number, path in enumerate(write_series(tmp_path / "b", large, series="1.2", SeriesNumber=2)):
        path.rename(tmp_path / "in" / f"x{number}")
    (tmp_path / "in" / "readme.txt").write_text("no DICOM")
    assert [(one.name, one.shape) for one in list_series(tmp_path / "in")] == [
        ("1 CT scout", (2, 4, 5)),
        ("2 CT", (4, 6, 7)),
    ]
    usual = open_image(tmp_path / "in")
    assert usual.info.planes == 4
    assert "2 series, of which number 1 (2 CT, 4 slices) is read" in usual.info.remarks[0]
    np.testing.assert_array_equal(read_all(open_image(tmp_path / "in", ReadOptions(series=0)))[:, 0], small)
    with pytest.raises(ImageError, match="has no series 2") as caught:
        open_image(tmp_path / "in", ReadOptions(series=2))
    assert "0 (1 CT scout" in caught.value.remedy


def test_a_missing_slice_is_an_error_with_its_place_or_background(tmp_path):
    volume = noise((6, 4, 5))
    paths = write_series(tmp_path / "in", volume)
    paths[3].unlink()
    with pytest.raises(ImageError, match=r"1 slice is missing between .*6\.00 mm apart \(at 11\.00 mm") as caught:
        open_image(tmp_path / "in")
    assert paths[2].name in caught.value.problem
    assert paths[4].name in caught.value.problem
    source = open_image(tmp_path / "in", BACKGROUND)
    found = read_all(source)[:, 0]
    assert source.bad_tiles == [BadTile(3, (0, 0), (4, 5))]
    assert not found[3].any()
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(volume, 3, 0))
    assert source.info.steps == (Step("Z", 3000.0, "µm"),)
    assert "1 slices are missing" in source.info.remarks[0]


def test_slices_that_are_uneven_are_an_error_and_a_little_off_a_remark(tmp_path):
    paths = write_series(tmp_path / "in", noise((6, 4, 5)))

    def move(to):
        file = pydicom.dcmread(paths[5])
        file.ImagePositionPatient = [-10, -20, to]
        file.save_as(paths[5])

    move(5 + 5 * 3 + 1.3)
    for reading in (ReadOptions(), BACKGROUND):
        with pytest.raises(ImageError, match="slices are uneven between"):
            open_image(tmp_path / "in", reading)
    move(5 + 5 * 3 + 0.2)
    assert "3 to 3.2 mm apart: 3.04 mm is taken" in open_image(tmp_path / "in").info.remarks[0]


def test_a_copy_is_left_out_and_another_slice_at_one_place_is_an_error(tmp_path):
    volume = noise((4, 4, 5))
    paths = write_series(tmp_path / "in", volume)
    shutil.copy(paths[1], tmp_path / "in" / "copy")
    source = open_image(tmp_path / "in")
    np.testing.assert_array_equal(read_all(source)[:, 0], volume)
    assert "1 of its files is a copy" in source.info.remarks[0]
    file = pydicom.dcmread(paths[1])
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    file.save_as(tmp_path / "in" / "copy")
    with pytest.raises(ImageError, match=r"2 slices at 8\.00 mm along its normal .*, and 1 at most other places"):
        open_image(tmp_path / "in")


def test_as_many_slices_at_each_place_are_volumes_in_time(tmp_path):
    volumes = noise((2, 3, 4, 5))
    for number in (1, 0):
        for at, path in enumerate(
            write_series(tmp_path / "part", volumes[number], TemporalPositionIdentifier=number + 1)
        ):
            (tmp_path / "in").mkdir(exist_ok=True)
            path.rename(tmp_path / "in" / f"{5 - at}-{number}")
    source = open_image(tmp_path / "in")
    assert (source.info.axes, source.info.plane_shape) == ("TZYX", (2, 3))
    np.testing.assert_array_equal(read_all(source)[:, 0], volumes.reshape(6, 4, 5))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "orientations"),
        ({"PixelSpacing": [1, 1]}, "pixel spacings"),
        ({"PixelRepresentation": 0}, "kinds of pixels"),
        ({"Rows": 2, "Columns": 10}, "sizes"),
    ],
)
def test_slices_that_differ_are_refused(tmp_path, fields, what):
    paths = write_series(tmp_path / "in", noise((4, 4, 5)))
    file = pydicom.dcmread(paths[2])
    for name, value in fields.items():
        setattr(file, name, value)
    file.save_as(paths[2])
    with pytest.raises(ImageError, match=f"different {what} in one series"):
        open_image(tmp_path / "in")


def test_a_tilted_gantry_is_told_and_its_shift_is_in_the_affine(tmp_path):
    for z in range(4):
        (tmp_path / "in").mkdir(exist_ok=True)
        write(
            tmp_path / "in" / str(z),
            noise((4, 5)),
            ImagePositionPatient=[0, z, 2 * z],
            ImageOrientationPatient=list(AXIAL),
            PixelSpacing=[1, 1],
        )
    info = open_image(tmp_path / "in").info
    assert "tilted by 26.6°" in info.remarks[0]
    np.testing.assert_allclose(np.array(info.space.affine)[:3, 2], (0, -1, 2))
    assert info.steps == (Step("Z", 2000.0, "µm"),)


@pytest.mark.parametrize(
    ("dtype", "fields", "value", "expected"),
    [
        ("uint16", {"RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 12}, 24, "int16"),
        ("int16", {"RescaleSlope": 1, "RescaleIntercept": -1024}, -1000, "int32"),
        ("uint16", {"RescaleSlope": "0.5", "RescaleIntercept": 1}, 501, "float32"),
        ("uint16", {"WindowCenter": 40, "WindowWidth": 400}, 1000, "uint16"),
        ("uint8", {"PhotometricInterpretation": "MONOCHROME1"}, 55, "uint8"),
        ("uint16", {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}, 3095, "uint16"),
    ],
)
def test_values_are_those_that_are_meant(tmp_path, dtype, fields, value, expected):
    stored = 200 if dtype == "uint8" else 1000
    if value == -1000:
        stored = 24
    elif value == 24:
        stored = 1048
    path = write(tmp_path / "a.dcm", np.full((2, 3), stored, dtype), **fields)
    source = open_image(path)
    assert source.info.dtype == expected
    assert read_all(source).tolist() == [[[[value] * 3] * 2]]


def test_a_mask_is_read_as_it_is_stored(tmp_path):
    path = write(tmp_path / "a.dcm", np.full((2, 3), 1, "uint8"), PhotometricInterpretation="MONOCHROME1")
    assert read_all(open_image(path, as_stored=True)).max() == 1


def test_slopes_of_each_frame_are_applied_to_it(tmp_path):
    volume = np.ones((3, 4, 5), "uint16")
    path = write(tmp_path / "a.dcm", volume, **groups(volume, slopes=["1", "2.5", "4"]))
    assert read_all(open_image(path))[:, 0, 0, 0].tolist() == [1, 2.5, 4]


def test_frames_without_a_place_are_a_film(tmp_path):
    film = noise((4, 5, 6, 3), "uint8", 255)
    source = open_image(write(tmp_path / "us.dcm", film, NumberOfFrames=4, FrameTime="40"))
    assert (source.info.axes, source.info.steps) == ("TYXS", (Step("T", 0.04, "s"),))
    np.testing.assert_array_equal(read_all(source), film.transpose(0, 3, 1, 2))


def test_a_dicomdir_stands_for_its_files_wherever_they_lie(tmp_path):
    volume = noise((3, 4, 5))
    files = FileSet()
    for number, pixels in enumerate(volume):
        one = dataset(
            pixels,
            PatientName="",
            StudyInstanceUID="1.2",
            StudyDate="20200101",
            StudyTime="1200",
            StudyID="1",
            SeriesNumber=1,
            InstanceNumber=number,
            ImagePositionPatient=[0, 0, number],
            ImageOrientationPatient=list(AXIAL),
            PixelSpacing=[1, 1],
        )
        files.add(one)
    files.write(tmp_path / "disc")
    for path in (tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"):
        np.testing.assert_array_equal(read_all(open_image(path))[:, 0], volume)
    assert not is_folder(tmp_path / "disc")
    next((tmp_path / "disc").rglob("IM0*")).unlink()
    with pytest.raises(ImageError, match=r"1 of the 3 files that .* lists are missing"):
        open_image(tmp_path / "disc")


def test_a_slice_is_read_when_it_is_needed_and_once(tmp_path, monkeypatch):
    from unetkit.io.medical import dicom_source

    write_series(tmp_path / "in", noise((5, 40, 50)))
    read = []
    pixel_array = dicom_source.pixel_array
    monkeypatch.setattr(dicom_source, "pixel_array", lambda path, **k: read.append(path) or pixel_array(path, **k))
    source = open_image(tmp_path / "in")
    assert not read
    for top in range(0, 40, 10):
        source.read(2, (slice(top, top + 10), slice(0, 50)))
    assert len(read) == 1


def test_a_cut_file_is_an_error_or_background(tmp_path):
    paths = write_series(tmp_path / "in", noise((3, 40, 50)))
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(ImageError, match=f"slice 1: {paths[1].name}"):
        read_all(open_image(tmp_path / "in"))
    source = open_image(tmp_path / "in", BACKGROUND)
    read_all(source)
    assert [tile.item for tile in source.bad_tiles] == [1]


def test_nothing_of_the_patient_is_told_or_written(tmp_path):
    write_series(tmp_path / "in", noise((3, 4, 5)))
    source = open_image(tmp_path / "in")
    info = source.info
    spec = OutputSpec(info.size, np.dtype("uint8"), 1, "Z", (3,), info.pixel_size_um, space=info.space)
    create_sink(tmp_path / "out.nii", spec).write(np.zeros((1, 4, 5), "uint8") for _ in range(3))
    told = repr(info) + repr(list_series(tmp_path / "in")) + (tmp_path / "out.nii").read_bytes().decode("latin-1")
    assert not [word for word in ("Secret", "secret-id", "19010101") if word in told]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_compression_that_needs_a_package_is_named(tmp_path, monkeypatch, syntax):
    from pydicom.pixels.decoders.base import get_decoder

    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    path = write(tmp_path / "a.dcm", noise((4, 5)), syntax=syntax, PixelData=encapsulate([b"some bytes"]))
    with pytest.raises(ImageError, match="no package is there that decodes it") as caught:
        open_image(path)
    assert "unetkit[medical]" in caught.value.remedy


def test_what_is_no_volume_of_pixels_is_refused(tmp_path):
    slide = write(tmp_path / "a.dcm", noise((4, 5)), kind="1.2.840.10008.5.1.4.1.1.77.1.6")
    with pytest.raises(ImageError, match="a whole slide") as caught:
        open_image(slide)
    assert "bfconvert" in caught.value.remedy
    report = dataset(noise((4, 5)))
    for name in ("Rows", "Columns", "BitsAllocated", "PixelData"):
        delattr(report, name)
    report.save_as(tmp_path / "sr.dcm")
    with pytest.raises(ImageError, match="holds no image"):
        open_image(tmp_path / "sr.dcm")
    colours = write(tmp_path / "p.dcm", noise((4, 5), "uint8"), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(ImageError, match="numbers of colours"):
        open_image(colours)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    write_series(tmp_path / "in", noise((3, 4, 5)))
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    for read in (open_image, list_series):
        with pytest.raises(ImageError, match="needs the package pydicom") as caught:
            read(tmp_path / "in")
        assert "unetkit[medical]" in caught.value.remedy


def test_a_series_is_trained_on_as_one_image(tmp_path):
    write_series(tmp_path / "ct", noise((3, 40, 50)))
    write_nifti(tmp_path / "ct.nii.gz", np.ones((50, 40, 3), "uint8"))
    pairs = find_pairs(tmp_path / "ct", tmp_path / "ct.nii.gz")
    assert [one.image_plane for one in pairs] == [0, 1, 2]
    (tmp_path / "pairs.csv").write_text("image,mask\nct,ct.nii.gz\n")
    assert [one.image for one in find_pairs(tmp_path / "pairs.csv")] == [tmp_path / "ct"] * 3


@pytest.mark.parametrize(
    ("syntax", "module", "encode"),
    [
        (JPEG2000Lossless, "PIL", lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0)),
        (JPEGLSLossless, "gdcm", imagecodecs.jpegls_encode),
        (JPEGLosslessSV1, "gdcm", lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=16)),
    ],
)
def test_compressed_pixels_are_those_that_were_compressed(tmp_path, syntax, module, encode):
    pytest.importorskip(module)
    pixels = noise((40, 50), "uint16", 4000)
    path = write(tmp_path / "a.dcm", pixels, syntax=syntax, PixelData=encapsulate([encode(pixels)]))
    source = open_image(path)
    np.testing.assert_array_equal(read_all(source)[0, 0], pixels)
    assert source.info.compression == syntax.name
