"""NIfTI is read as nibabel reads it, plane by plane."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from nifti_files import ORIENTATIONS, affine_of, write_nifti

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import image_stem, list_series, open_image
from unetkit.io.medical import nifti_header
from unetkit.io.medical.nifti_header import read_header
from unetkit.io.medical.streams import open_gzip
from unetkit.io.medical.volume_source import StoredVolume
from unetkit.testing.sources import SourceContract


def noise(shape, dtype="int16", seed=0):
    return (np.random.default_rng(seed).random(shape) * 250).astype(dtype)


def read_all(source):
    """Return all planes (plane, C, h, w)."""
    whole = tuple(slice(0, size) for size in source.info.size)
    return np.stack([source.read(plane, whole) for plane in range(source.info.planes)])


def open_nifti(path, reading, cache_bytes):
    return StoredVolume(path, read_header(path), reading, as_stored=False, cache_bytes=cache_bytes)


class TestNiftiSource(SourceContract):
    @pytest.fixture(params=[".nii", ".nii.gz"])
    def ending(self, request):
        return request.param

    @pytest.fixture(params=["int16", ">f4", "scaled", "4d", "rgb"])
    def kind(self, request):
        return request.param

    @pytest.fixture
    def stored(self, kind):
        if kind == "rgb":
            rgb = noise((9, 8, 4, 3), "uint8")
            return np.ascontiguousarray(rgb).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
        return noise((9, 8, 4, 3) if kind == "4d" else (9, 8, 4), ">f4" if kind == ">f4" else "int16")

    @pytest.fixture
    def pixels(self, kind, stored):
        if kind == "rgb":
            return stored.view("u1").reshape(9, 8, 4, 3).transpose(2, 3, 1, 0)
        planes = stored.astype(stored.dtype.newbyteorder("=")).T.reshape(-1, 1, 8, 9)
        return (planes * np.float32(0.5) - 1024).astype("float32") if kind == "scaled" else planes

    @pytest.fixture
    def source(self, tmp_path, stored, kind, ending):
        fields = {"scl_slope": 0.5, "scl_inter": -1024} if kind == "scaled" else {}
        path = tmp_path / f"a{ending}"
        if fields:  # nibabel would choose a slope of its own
            image = nib.Nifti1Image(stored, np.eye(4))
            image.header.set_slope_inter(0.5, -1024)
            image.header.set_data_shape(stored.shape)
            with (gzip.open if ending == ".nii.gz" else open)(path, "wb") as file:
                image.header["vox_offset"] = 352
                file.write(image.header.binaryblock + bytes(4) + stored.tobytes("F"))
        else:
            write_nifti(path, stored)
        source = open_image(path)
        yield source
        source.close()


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS[::5])
def test_planes_are_those_of_the_stored_axes_and_the_affine_is_kept(tmp_path, axes, signs):
    affine = affine_of(axes, signs)
    pixels = noise((5, 6, 7))
    source = open_image(write_nifti(tmp_path / "a.nii", pixels, affine, codes=(1, 2)))
    np.testing.assert_array_equal(read_all(source)[:, 0].T, pixels)
    assert np.array_equal(source.info.space.affine, affine)
    assert (source.info.space.code, source.info.space.codes) == (2, (1, 2))
    assert source.info.pixel_size_um == (1250.0, 700.0)
    assert source.info.steps == (Step("Z", 3000.0, "µm"),)
    assert (source.info.axes, source.info.plane_axes) == ("ZYX", "Z")


def test_a_turned_volume_has_the_size_of_its_voxels(tmp_path):
    turned = nib.eulerangles.euler2mat(0.3, 0.2, 0.1) @ np.diag([0.5, 0.25, 2])
    affine = nib.affines.from_matvec(turned, [1, 2, 3])
    info = open_image(write_nifti(tmp_path / "a.nii", noise((5, 6, 7)), affine, codes=(1, 0))).info
    assert info.pixel_size_um == (250.0, 500.0)
    assert info.steps == (Step("Z", 2000.0, "µm"),)
    np.testing.assert_allclose(info.space.affine, affine, atol=1e-6)


@pytest.mark.parametrize(("unit", "size_um"), [("micron", 1.5), ("mm", 1500.0), ("unknown", 1500.0), ("meter", 1.5e6)])
def test_units_become_micrometres(tmp_path, unit, size_um):
    affine = np.diag([1.5, 1.5, 1.5, 1])
    info = open_image(write_nifti(tmp_path / "a.nii", noise((3, 4, 5, 6)), affine, units=(unit, "msec"))).info
    assert info.pixel_size_um == (size_um, size_um)
    assert info.steps == (Step("T", 0.001, "s"), Step("Z", size_um, "µm"))
    np.testing.assert_allclose(np.array(info.space.affine)[0, 0], size_um / 1000)


def test_a_file_that_knows_nothing_of_its_voxels_says_so(tmp_path):
    path = write_nifti(tmp_path / "a.nii", noise((3, 4, 5)), codes=(0, 0), units=("unknown", "unknown"))
    assert open_image(path).info.pixel_size_um is None


def test_a_vector_image_has_channels_and_axes_may_be_said(tmp_path):
    pixels = noise((3, 4, 5, 1, 2))
    path = write_nifti(tmp_path / "a.nii", pixels)
    info = open_image(path).info
    assert (info.axes, info.channels, info.planes) == ("CZYX", 2, 5)
    np.testing.assert_array_equal(read_all(open_image(path, ReadOptions(channels="1")))[:, 0].T, pixels[..., 0, 1])
    assert open_image(path, ReadOptions(axes="TZYX")).info.planes == 10
    with pytest.raises(ImageError, match="do not describe"):
        open_image(path, ReadOptions(axes="ZYX"))


def test_nifti_2_is_read_and_listed(tmp_path):
    pixels = noise((3, 4, 5), "float64")
    path = write_nifti(tmp_path / "a.nii.gz", pixels, kind=nib.Nifti2Image)
    source = open_image(path)
    assert source.info.format == "NIfTI-2"
    np.testing.assert_array_equal(read_all(source)[:, 0].T, pixels)
    (series,) = list_series(path)
    assert (series.axes, series.shape, series.dtype) == ("ZYX", (5, 4, 3), "float64")
    assert image_stem(path) == "a"


def test_a_large_stream_is_decoded_once_to_a_temporary_file(tmp_path, monkeypatch):
    pixels = noise((64, 64, 300))
    path = write_nifti(tmp_path / "a.nii.gz", pixels)
    opened = []

    def counted(path):
        opened.append(path)
        return open_gzip(path)

    monkeypatch.setattr(nifti_header, "open_gzip", counted)
    source = open_nifti(path, WHOLE, cache_bytes=0)
    assert source.info.scratch_bytes == pixels.nbytes
    assert len(opened) == 1, "the header alone is read"
    np.testing.assert_array_equal(read_all(source)[:, 0].T, pixels)
    assert len(opened) == 2


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("cache_bytes", [0, 2**28])
def test_a_truncated_file_is_an_error_or_background(tmp_path, ending, cache_bytes):
    pixels = noise((64, 64, 300))
    path = write_nifti(tmp_path / f"a{ending}", pixels)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match="truncated or damaged") as caught:
        read_all(open_nifti(path, WHOLE, cache_bytes))
    assert "--on-bad-tile" in caught.value.remedy
    source = open_nifti(path, ReadOptions(on_bad_tile="background"), cache_bytes)
    found = read_all(source)[:, 0].T
    bad = sorted(tile.item for tile in source.bad_tiles)
    assert 50 < len(bad) < 150
    assert bad == list(range(bad[0], 300))
    assert BadTile(299, (0, 0), (64, 64)) in source.bad_tiles
    np.testing.assert_array_equal(found[..., : bad[0]], pixels[..., : bad[0]])
    assert not found[..., bad[0] + 1 :].any()


def test_a_damaged_stream_is_noticed_by_its_checksum(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", noise((8, 8, 8)))
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"damaged \(CRC"):
        read_all(open_image(path))


@pytest.mark.parametrize("size", [5, 60, 340])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_that_is_cut_in_its_header_is_an_error(tmp_path, size, ending):
    path = write_nifti(tmp_path / f"a{ending}", noise((8, 8, 8)))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ImageError) as caught:
        read_all(open_image(path))
    assert "NIfTI" in caught.value.problem or "truncated" in caught.value.problem


def test_pairs_of_files_and_complex_numbers_are_refused_with_a_remedy(tmp_path):
    nib.Nifti1Pair(noise((3, 4, 5)), np.eye(4)).to_filename(tmp_path / "a.hdr")
    with pytest.raises(ImageError, match="pixels lie in another file"):
        open_image(tmp_path / "a.hdr")
    write_nifti(tmp_path / "c.nii", noise((3, 4, 5)).astype("complex64"))
    with pytest.raises(ImageError, match="complex64, which are no image"):
        open_image(tmp_path / "c.nii")


def test_the_content_decides_and_not_the_name(tmp_path):
    path = write_nifti(tmp_path / "a.nii", noise((3, 4, 5)))
    assert open_image(path.rename(tmp_path / "a.nii.gz")).info.compression == "none"


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii", noise((3, 4, 5)))
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    for read in (open_image, list_series):
        with pytest.raises(ImageError, match="needs the package nibabel") as caught:
            read(path)
        assert caught.value.remedy == "Run `pip install unetkit[medical]`."
