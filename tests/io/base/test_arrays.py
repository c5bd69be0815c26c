"""Arrays as sources and sinks, and the rules for axes and channels."""

import itertools

import numpy as np
import pytest

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySink, ArraySource, check_axes
from unetkit.io.base.contracts import OutputSpec, match_channels

SIZES = {"T": 2, "Z": 3, "C": 4, "S": 3, "Y": 11, "X": 13}


@pytest.mark.parametrize("axes", ["YX", "XY", "CYX", "YXC", "YXS", "ZYX", "TZCYX", "ZCYXS", "YCX", "XZYT"])
def test_windows_of_an_array_are_channels_first(axes):
    array = np.random.default_rng(0).integers(0, 999, [SIZES[axis] for axis in axes])
    source = ArraySource(array, axes)
    planes = [axis for axis in axes if axis not in "CSYX"]
    channels = [axis for axis in axes if axis in "CS"]
    ordered = array.transpose([axes.index(axis) for axis in [*planes, *channels, "Y", "X"]])
    ordered = ordered.reshape(-1, int(np.prod([SIZES[axis] for axis in channels])), SIZES["Y"], SIZES["X"])
    assert source.info.planes == len(ordered)
    assert source.info.channels == ordered.shape[1]
    assert (source.info.height, source.info.width) == (SIZES["Y"], SIZES["X"])
    for plane, expected in enumerate(ordered):
        window = source.read(plane, (slice(2, 7), slice(3, 13)))
        np.testing.assert_array_equal(window, expected[:, 2:7, 3:13])


def test_only_the_window_of_an_array_like_is_read():
    class Sliced:
        shape = (3, 10**6, 10**6)
        dtype = np.dtype("uint8")

        def __getitem__(self, index):
            return np.zeros([part.stop - part.start for part in index if isinstance(part, slice)], np.uint8)

    source = ArraySource(Sliced(), "ZYX")
    assert source.read(2, (slice(5, 7), slice(10, 20))).shape == (1, 2, 10)


@pytest.mark.parametrize(
    ("axes", "shape"), [("Y", (3,)), ("YX", (3, 3, 3)), ("YY", (3, 3)), ("CZ", (3, 3)), ("YX", (0, 3)), ("", ())]
)
def test_axes_that_do_not_fit_are_image_errors(axes, shape):
    with pytest.raises(ImageError, match="thing"):
        check_axes(axes, shape, "thing")


def test_rows_are_collected_in_an_array():
    pixels = np.random.default_rng(0).integers(0, 255, (6, 2, 9, 5), np.uint8)
    sink = ArraySink(OutputSpec((9, 5), np.dtype("uint8"), channels=2, plane_axes="TZ", plane_shape=(2, 3)))
    sink.write(plane[:, top : top + 4] for plane, top in itertools.product(pixels, range(0, 9, 4)))
    np.testing.assert_array_equal(sink.array, pixels.reshape(2, 3, 2, 9, 5))


def test_grey_is_repeated_and_other_channels_must_fit():
    grey = np.arange(6).reshape(1, 2, 3)
    assert match_channels(grey, 1, "a") is grey
    np.testing.assert_array_equal(match_channels(grey, 3, "a"), np.concatenate([grey] * 3))
    with pytest.raises(ImageError, match=r"a has 2 channels, but the model takes 3\..*in_channels: 2"):
        match_channels(np.zeros((2, 2, 3)), 3, "a")
