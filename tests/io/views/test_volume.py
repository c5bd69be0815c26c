from dataclasses import replace

import numpy as np
import pytest

from unetkit.errors import ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.stored import Step
from unetkit.io.views.volume import PlaneSource, VolumeSource, as_planes, depth_axis


@pytest.mark.parametrize("axes", ["TZCYX", "ZTCYX"])
def test_a_volume_is_the_planes_of_one_time(axes):
    array = np.random.default_rng(0).integers(0, 255, (3, 4, 2, 5, 6), np.uint8)
    source = VolumeSource(ArraySource(array, axes))
    volumes = array if axes[0] == "T" else array.swapaxes(0, 1)
    assert source.info.size == (volumes.shape[1], 5, 6)
    assert (source.info.plane_axes, source.info.planes, source.info.channels) == ("T", len(volumes), 2)
    for item, volume in enumerate(volumes):
        got = source.read(item, (slice(1, 3), slice(2, 5), slice(0, 4)))
        np.testing.assert_array_equal(got, volume.swapaxes(0, 1)[:, 1:3, 2:5, :4])


def test_a_bad_tile_of_a_plane_is_one_plane_deep():
    planes = ArraySource(np.zeros((2, 3, 8, 8)), "ZTYX")
    planes.bad_tiles.append(BadTile(4, (2, 0), (3, 8)))  # z 1, time 1
    assert VolumeSource(planes).bad_tiles == [BadTile(1, (1, 2, 0), (1, 3, 8))]


def test_the_size_of_a_voxel_is_known_where_pixel_and_step_are():
    planes = ArraySource(np.zeros((4, 8, 8)), "ZYX")
    planes.info = replace(planes.info, pixel_size_um=(0.5, 0.25), steps=(Step("Z", 2, "µm"), Step("T", 1, "s")))
    info = VolumeSource(planes).info
    assert info.pixel_size_um == (2, 0.5, 0.25)
    assert info.steps == (Step("T", 1, "s"),)
    back = as_planes(info)
    assert (back.size, back.plane_shape, back.plane_axes) == ((8, 8), (4,), "Z")
    assert (back.pixel_size_um, back.steps) == ((0.5, 0.25), (Step("T", 1, "s"), Step("Z", 2, "µm")))


def test_an_axis_without_a_name_is_depth_but_time_is_not():
    assert depth_axis(ArraySource(np.zeros((4, 8, 8)), "QYX").info) == 0
    for axes, shape in (("TYX", (4, 8, 8)), ("YX", (8, 8))):
        with pytest.raises(ImageError, match="--axes ZYX"):
            VolumeSource(ArraySource(np.zeros(shape), axes))


def test_planes_of_volumes_are_those_of_the_stack():
    array = np.random.default_rng(0).integers(0, 255, (3, 4, 2, 5, 6), np.uint8)
    planes = ArraySource(array, "TZCYX")
    source = PlaneSource(VolumeSource(planes))
    assert (source.info.plane_shape, source.info.plane_axes, source.info.size) == ((3, 4), "TZ", (5, 6))
    for item in range(12):
        window = slice(1, 4), slice(2, 6)
        np.testing.assert_array_equal(source.read(item, window), planes.read(item, window))
    planes.bad_tiles.append(BadTile(6, (2, 0), (3, 6)))
    assert source.bad_tiles == planes.bad_tiles
