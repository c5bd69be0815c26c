"""A spacing that is given is that of the image, and of what is made of it."""

import numpy as np
import pytest
import tifffile
from nifti_files import write_nifti

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.stored import Step
from unetkit.io.files import open_image
from unetkit.io.views.volume import VolumeSource


@pytest.fixture
def stack(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 32, 40), np.uint8), photometric="minisblack")
    return tmp_path / "a.tif"


@pytest.mark.parametrize(
    ("axes", "spacing", "voxel"),
    [
        (None, "2,0.5,0.25", (2.0, 0.5, 0.25)),
        ("ZYX", "0.5mm", (500.0, 500.0, 500.0)),
        ("ZYX", "0.5,0.25", None),
    ],
)
def test_planes_of_a_stack_become_voxels(stack, axes, spacing, voxel):
    source = open_image(stack, ReadOptions(axes=axes, spacing=spacing))
    assert source.info.pixel_size_um == (voxel[1:] if voxel else (0.5, 0.25))
    assert VolumeSource(source).info.pixel_size_um == voxel


def test_time_keeps_its_step_and_takes_no_distance(stack):
    info = open_image(stack, ReadOptions(axes="TYX", spacing="0.5")).info
    assert (info.pixel_size_um, info.steps) == ((0.5, 0.5), ())
    with pytest.raises(ImageError, match="no planes along Z") as caught:
        open_image(stack, ReadOptions(axes="TYX", spacing="2,0.5,0.5"))
    assert "--axes" in caught.value.remedy


def test_a_pixel_size_is_reached_from_the_spacing_that_is_given(stack):
    with pytest.raises(ImageError, match="does not say how large"):
        open_image(stack, ReadOptions(pixel_size=1.0))
    info = open_image(stack, ReadOptions(pixel_size=1.0, spacing="2,0.5,0.5")).info
    assert info.size == (16, 20)


def test_another_spacing_than_that_of_the_file_is_taken_and_told(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.zeros((5, 32, 40), np.uint8),
        imagej=True,
        resolution=(5, 5),
        metadata={"unit": "um", "spacing": 1.5, "axes": "ZYX"},
    )
    info = open_image(path, ReadOptions(spacing="3,0.5,0.5")).info
    assert (info.pixel_size_um, info.steps) == ((0.5, 0.5), (Step("Z", 3.0, "µm"),))
    assert "0.2 x 0.2 µm (y, x); 0.5 x 0.5 µm is taken" in info.remarks[-1]


def test_a_volume_with_a_place_keeps_its_spacing(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(ImageError, match="lies in space"):
        open_image(path, ReadOptions(spacing="1"))
    silent = write_nifti(tmp_path / "b.nii", np.zeros((4, 5, 6), np.uint8), codes=(0, 0), units=("unknown", "unknown"))
    assert open_image(silent, ReadOptions(spacing="2mm")).info.pixel_size_um == (2000.0, 2000.0)


def test_what_is_no_distance_is_an_error_that_names_the_option():
    with pytest.raises(ConfigError, match=r"A spacing of 1,2,3,4 has no meaning"):
        ReadOptions(spacing="1,2,3,4")
    assert ReadOptions(spacing="50nm,4nm,4nm").spacings == (0.05, 0.004, 0.004)
