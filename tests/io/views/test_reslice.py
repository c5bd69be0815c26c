"""Planes of volumes along any axis, whatever is cut out at a time."""

from dataclasses import replace

import numpy as np
import pytest

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.stored import Step
from unetkit.io.views import reslice
from unetkit.io.views.reslice import ResliceSource
from unetkit.io.views.volume import VolumeSource

ARRAY = np.random.default_rng(0).integers(0, 255, (2, 5, 3, 7, 6), np.uint8)
"""Two volumes (T, Z, C, Y, X)."""


def volumes():
    source = ArraySource(ARRAY, "TZCYX")
    source.info = replace(source.info, pixel_size_um=(1.0, 0.5), steps=(Step("T", 3.0, "s"), Step("Z", 2.0, "µm")))
    return VolumeSource(source)


@pytest.mark.parametrize("slab_bytes", [1, 300, 2**20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_those_of_the_array(axis, slab_bytes, monkeypatch):
    monkeypatch.setattr(reslice, "SLAB_BYTES", slab_bytes)
    source = ResliceSource(volumes(), axis)
    whole = np.moveaxis(ARRAY, 2, 1)  # (T, C, Z, Y, X)
    planes = np.moveaxis(whole, 2 + axis, 1).reshape(-1, 3, *source.info.size)
    assert source.info.planes == len(planes)
    for item in np.random.default_rng(1).permutation(len(planes)):
        rows, columns = slice(1, 4), slice(0, source.info.size[1] - 1)
        np.testing.assert_array_equal(source.read(item, (rows, columns)), planes[item][:, rows, columns])


def test_planes_lie_one_after_the_other_along_z():
    info = ResliceSource(volumes(), 2).info
    assert (info.axes, info.shape) == ("TZCYX", (2, 6, 3, 5, 7))
    assert (info.plane_axes, info.plane_shape, info.size) == ("TZ", (2, 6), (5, 7))
    assert info.pixel_size_um == (2.0, 1.0)
    assert info.steps == (Step("T", 3.0, "s"), Step("Z", 0.5, "µm"))


def test_each_piece_is_read_once_by_planes_that_follow_each_other(monkeypatch):
    monkeypatch.setattr(reslice, "SLAB_BYTES", 3 * 5 * 6 * 4)  # four planes
    source, read = volumes(), []
    inner = source.read
    monkeypatch.setattr(source, "read", lambda item, window: read.append(window[1]) or inner(item, window))
    resliced = ResliceSource(source, 1)
    for item in (0, 1, 3, 4, 2, 6, 5):  # a model of neighbouring planes goes back a little
        resliced.read(item, (slice(0, 5), slice(0, 6)))
    assert read == [slice(0, 4), slice(4, 7)]


def test_what_could_not_be_decoded_is_in_every_plane_that_it_reaches_into():
    source = volumes()
    source._source.bad_tiles = [BadTile(6, (2, 1), (3, 2))]  # plane 1 of the second volume
    assert ResliceSource(source, 0).bad_tiles == [BadTile(6, (2, 1), (3, 2))]
    assert ResliceSource(source, 2).bad_tiles == [BadTile(6 + at, (1, 2), (1, 3)) for at in (1, 2)]
