from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unetkit.foundation.errors import ConfigError
from unetkit.foundation.synthetic_nuclei import Sheet, make_nuclei

SIZE = (24, 96, 96)


def test_the_same_seed_gives_the_same_stack() -> None:
    (image, labels), again, other = make_nuclei(SIZE, 5), make_nuclei(SIZE, 5), make_nuclei(SIZE, 6)
    assert image.shape == labels.shape == SIZE
    assert image.dtype == labels.dtype == np.uint16
    assert np.array_equal(image, again[0])
    assert np.array_equal(labels, again[1])
    assert not np.array_equal(image, other[0])


def test_labels_are_numbered_without_gaps_and_have_the_size_of_nuclei() -> None:
    _, labels = make_nuclei((40, 128, 128), 1)
    assert set(np.unique(labels)) == set(range(int(labels.max()) + 1))
    inner = labels.copy()
    for axis in range(3):
        rim = np.moveaxis(labels, axis, 0)[[0, -1]]
        inner[np.isin(inner, np.unique(rim))] = 0
    numbers = np.unique(inner)[1:]
    volumes = np.bincount(labels.ravel())[numbers] * 2.0 * 0.5 * 0.5
    diameters = np.cbrt(6 * volumes / np.pi)
    assert 6 < np.median(diameters) < 14  # µm
    boxes = ndimage.find_objects(labels)
    sides = np.array([[part.stop - part.start for part in boxes[number - 1]] for number in numbers])
    assert np.allclose((sides * (2.0, 0.5, 0.5)).mean(axis=0), np.median(diameters), rtol=0.35)  # round in µm


def test_some_nuclei_touch() -> None:
    _, labels = make_nuclei((40, 128, 128), 1)
    assert ndimage.label(labels > 0, np.ones((3, 3, 3)))[1] < 0.8 * labels.max()


def test_nuclei_are_brighter_than_what_is_around_them_and_dimmer_with_depth() -> None:
    sheet = Sheet(
        coverage=0.2,
        radius_um=5.0,
        clustering=2,
        brightness=2000.0,
        spread=0.2,
        haze=0.1,
        depth_um=60.0,
        blur_um=(1.5, 0.4, 0.4),
        gain=40.0,
        read_noise=10.0,
        offset=100.0,
    )
    image, labels = make_nuclei((60, 96, 96), 3, sheet=sheet)
    assert image[labels > 0].mean() > 3 * image[labels == 0].mean()
    top, bottom = (image[part][labels[part] > 0].mean() - 100 for part in (slice(0, 15), slice(45, 60)))
    assert bottom == pytest.approx(top * np.exp(-45 * 2 / 60), rel=0.4)


def test_blur_along_z_is_longer_than_in_the_plane() -> None:
    image, labels = make_nuclei((64, 64, 64), 0, voxel_um=(0.5, 0.5, 0.5))
    smooth = image.astype(np.float64)
    steps = [np.abs(np.diff(smooth, axis=axis)).mean() for axis in range(3)]
    assert steps[0] < steps[1]
    assert labels.any()


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 40, 50), (70, 9, 8)])
def test_any_size_is_drawn(size: tuple[int, int, int]) -> None:
    image, labels = make_nuclei(size, 0, voxel_um=(4.0, 0.3, 0.3))
    assert image.shape == labels.shape == size


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be drawn"):
        make_nuclei((0, 5, 5), 0)
    with pytest.raises(ConfigError, match="no meaning"):
        make_nuclei((5, 5, 5), 0, voxel_um=(1.0, 0.0, 1.0))
