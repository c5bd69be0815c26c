"""NIfTI that is written lies where its input lies, and nibabel reads it back."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from nifti_files import ORIENTATIONS, affine_of, write_nifti

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.stored import Step
from unetkit.io.files import create_sink, open_image, read_notes
from unetkit.io.medical.nifti_sink import NiftiSink, check_nifti
from unetkit.testing.sinks import SinkContract


class TestNiftiSink(SinkContract):
    @pytest.fixture(
        params=[
            OutputSpec((20, 25), np.dtype("uint8"), plane_axes="Z", plane_shape=(3,)),
            OutputSpec((20, 25), np.dtype("float32"), 3, "TZ", (2, 3)),
            OutputSpec((20, 25), np.dtype("uint16"), 1, "ZT", (3, 2)),
            OutputSpec((20, 25), np.dtype("uint8"), 2),
        ]
    )
    def spec(self, request):
        return request.param

    @pytest.fixture(params=[".nii", ".nii.gz"], autouse=True)
    def ending(self, request):
        self.name = f"out{request.param}"

    def make(self, folder, spec):
        return NiftiSink(folder / self.name, spec)

    def read(self, sink, folder, spec):
        stored = np.asarray(nib.load(folder / self.name).dataobj).T  # (C, others..., Z, Y, X)
        shape = (*([spec.channels] if spec.channels > 1 else []), *sorted_sizes(spec), *spec.size)
        stored = stored.reshape(shape)
        if spec.channels == 1:
            stored = stored[None]
        if spec.plane_axes == "ZT":
            stored = stored.swapaxes(1, 2)
        return np.moveaxis(stored, 0, -3).reshape(spec.planes, spec.channels, *spec.size)


def sorted_sizes(spec):
    """Return the sizes along the plane axes with Z last."""
    return [size for _, size in sorted(zip(spec.plane_axes, spec.plane_shape, strict=True), key=lambda one: one[0])]


def copied(source, target, dtype="uint8", **changes):
    """Write a mask of an image in its space, and return the mask (planes, h, w)."""
    info = source.info
    spec = OutputSpec(
        info.size,
        np.dtype(dtype),
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um,
        steps=info.steps,
        space=info.space,
    )
    spec = replace(spec, **changes)
    whole = tuple(slice(0, size) for size in info.size)
    masks = np.stack([source.read(plane, whole)[0] > 100 for plane in range(info.planes)]).astype(dtype)
    create_sink(target, spec).write(mask[None] for mask in masks)
    return masks


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_a_mask_lies_where_its_input_lies(tmp_path, axes, signs):
    affine = affine_of(axes, signs)
    pixels = (np.random.default_rng(0).random((4, 5, 6)) * 250).astype("uint8")
    path = write_nifti(tmp_path / "a.nii", pixels, affine, codes=(1, 2))
    target = tmp_path / "mask.nii"
    copied(open_image(path), target)
    image, mask = nib.load(path), nib.load(target)
    assert np.array_equal(mask.affine, image.affine)
    assert np.array_equal(mask.header.get_qform(), image.header.get_qform())
    assert [int(mask.header[name]) for name in ("qform_code", "sform_code")] == [1, 2]
    assert mask.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(mask.header.get_zooms(), image.header.get_zooms(), rtol=1e-6)
    one, other = nib.as_closest_canonical(image), nib.as_closest_canonical(mask)
    np.testing.assert_array_equal(np.asarray(other.dataobj), np.asarray(one.dataobj) > 100)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 4), (3, 1)])
@pytest.mark.parametrize("units", [("mm", "sec"), ("micron", "sec"), ("unknown", "unknown")])
def test_codes_and_units_are_those_of_the_input(tmp_path, codes, units):
    turned = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3, 0.2, 0.1) @ np.diag([0.5, 0.25, 2]), [1, 2, 3])
    pixels = np.arange(4 * 5 * 6 * 2, dtype="uint8").reshape(4, 5, 6, 2)
    path = write_nifti(tmp_path / "a.nii.gz", pixels, turned, codes, units, pixdim=[1, 0.5, 0.25, 2, 2.5, 1, 1, 1])
    target = tmp_path / "mask.nii.gz"
    masks = copied(open_image(path), target)
    image, mask = nib.load(path), nib.load(target)
    assert [int(mask.header[name]) for name in ("qform_code", "sform_code")] == list(codes)
    assert mask.header.get_xyzt_units() == image.header.get_xyzt_units()
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-6 if codes[1] == 0 else 0)
    if units[1] == "sec":
        assert mask.header.get_zooms() == image.header.get_zooms()
    np.testing.assert_array_equal(np.asarray(mask.dataobj).T.reshape(masks.shape), masks)


def test_a_view_that_moves_the_volume_is_not_lost_where_the_input_has_no_codes(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), "uint8"), np.diag([2.0, 2, 2, 1]), codes=(0, 0))
    source = open_image(path)
    moved = np.array(source.info.space.affine)
    moved[:3, 3] += 10
    space = replace(source.info.space, affine=tuple(map(tuple, moved)))
    copied(source, tmp_path / "b.nii", space=space)
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, moved)


def test_without_a_space_the_pixel_size_makes_one(tmp_path):
    spec = OutputSpec((5, 6), np.dtype("uint8"), 1, "Z", (4,), pixel_size_um=(0.5, 0.25), steps=(Step("Z", 2.0, "µm"),))
    create_sink(tmp_path / "a.nii", spec).write(np.zeros((1, 5, 6), "uint8") for _ in range(4))
    image = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(image.affine, np.diag([-0.00025, -0.0005, 0.002, 1]), rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    info = open_image(tmp_path / "a.nii").info
    assert info.pixel_size_um == (0.5, 0.25)
    assert info.steps == spec.steps


def test_what_knows_no_pixel_size_goes_on_knowing_none(tmp_path):
    create_sink(tmp_path / "a.nii", OutputSpec((5, 6), np.dtype("uint8"))).write([np.zeros((1, 5, 6), "uint8")])
    assert open_image(tmp_path / "a.nii").info.pixel_size_um is None


def test_probabilities_of_classes_are_volumes_that_come_back_as_channels(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.random((4, 3, 5, 6)).astype("float32")  # (Z, C, Y, X)
    spec = OutputSpec(
        (5, 6), np.dtype("float32"), 3, "Z", (4,), channel_names=("back", "grey", "white"), notes=(("model", "µ"),)
    )
    create_sink(tmp_path / "a.nii.gz", spec).write(iter(pixels))
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), pixels.transpose(3, 2, 0, 1))
    source = open_image(tmp_path / "a.nii.gz")
    assert (source.info.axes, source.info.channel_names) == ("CZYX", ("back", "grey", "white"))
    np.testing.assert_array_equal(source.read(2, (slice(0, 5), slice(0, 6))), pixels[2])
    assert read_notes(tmp_path / "a.nii.gz") == {"model": "µ"}


def test_labels_of_32_bits_are_stored_as_int32(tmp_path):
    labels = np.array([[[0, 70_000, 2**31 - 1]]], "uint32")
    spec = OutputSpec((1, 3), np.dtype("uint32"))
    create_sink(tmp_path / "a.nii", spec).write([labels])
    image = nib.load(tmp_path / "a.nii")
    assert image.get_data_dtype() == "int32"
    assert np.asarray(image.dataobj).ravel().tolist() == labels.ravel().tolist()
    with pytest.raises(OutputError, match="more objects than int32"):
        create_sink(tmp_path / "b.nii", spec).write([labels + 1])
    assert list(tmp_path.iterdir()) == [tmp_path / "a.nii"]


def test_what_nifti_1_has_no_numbers_for_is_nifti_2(tmp_path):
    spec = OutputSpec((2, 40_000), np.dtype("uint8"))
    create_sink(tmp_path / "a.nii", spec).write([np.ones((1, 2, 40_000), "uint8")])
    image = nib.load(tmp_path / "a.nii")
    assert isinstance(image, nib.Nifti2Image)
    assert image.shape == (40_000, 2, 1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pyramid": True}, "no pyramid"),
        ({"dtype": np.dtype("float16")}, "no NIfTI of float16"),
        ({"plane_axes": "PQTUV", "plane_shape": (2,) * 5}, "at most 7 axes"),
        ({"compression": "lzw"}, "choices of TIFF"),
    ],
)
def test_what_nifti_does_not_hold_is_refused(tmp_path, changes, problem):
    with pytest.raises(OutputError, match=problem):
        create_sink(tmp_path / "a.nii", replace(OutputSpec((5, 6), np.dtype("uint8")), **changes))


def test_a_missing_package_is_named_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("unetkit.io.medical.needs.has", lambda module: False)
    with pytest.raises(OutputError, match="package nibabel") as caught:
        create_sink(tmp_path / "a.nii", OutputSpec((5, 6), np.dtype("uint8")))
    assert "unetkit[medical]" in caught.value.remedy
    check_nifti(tmp_path / "a.nii", OutputSpec((5, 6), np.dtype("uint8")))
