"""What every image source promises, as tests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSource, Window

WINDOWS = 20
"""Windows at random places that are read."""


class SourceContract:
    """Tests that a reader keeps what `unetkit.io.base.contracts.ImageSource` promises.

    Inherit it, in a class whose name begins with Test, and give two fixtures: a source, and the pixels that it has to
    give. `ImageSource` may be any class with the attributes and methods of the protocol:

        class TestNifti(SourceContract):
            @pytest.fixture
            def pixels(self):
                return np.random.default_rng(0).integers(0, 255, (3, 1, 40, 50), np.uint8)

            @pytest.fixture
            def source(self, tmp_path, pixels):
                write_nifti(tmp_path / "a.nii", pixels)
                source = NiftiSource(tmp_path / "a.nii")
                yield source
                source.close()
    """

    @pytest.fixture
    def pixels(self) -> NDArray[Any]:
        """Return all pixels of the image: (items, channels, one size for each axis of an item)."""
        raise NotImplementedError("Give the pixels that the source has to return.")

    @pytest.fixture
    def source(self) -> ImageSource:
        """Return the source."""
        raise NotImplementedError("Give the source that is tested.")

    def test_it_describes_its_pixels(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """`info` fits the pixels, and its parts fit each other."""
        info = source.info
        assert (info.planes, info.channels, *info.size) == pixels.shape
        assert info.dtype == pixels.dtype
        assert info.name
        assert info.format
        assert len(info.axes) == len(info.shape) == len(set(info.axes))
        assert {"Y", "X"} <= set(info.axes)
        sizes = dict(zip(info.axes, info.shape, strict=True))
        assert (sizes["Y"], sizes["X"]) == info.size[-2:]
        assert tuple(sizes[axis] for axis in info.plane_axes) == info.plane_shape
        assert not set(info.plane_axes) & set("CSYX")
        assert len(info.block) == len(info.size)
        assert not info.channel_names or len(info.channel_names) == info.channels

    def test_every_item_is_read_whole(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """A window of all of an item has all of its pixels."""
        for item, expected in enumerate(pixels):
            _check(source.read(item, tuple(slice(0, size) for size in source.info.size)), expected)

    def test_any_window_is_a_part_of_its_item(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """Windows at random places, in no order, and of single pixels in the corners have the pixels of their place."""
        for item, window in [*_random_windows(source), *_corners(source)]:
            _check(source.read(item, window), part_of(pixels, item, window))

    def test_windows_that_overlap_are_read_in_order(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """Windows as tiles with a halo have them: each is read once, in order, and shares pixels with the next."""
        steps = [max(1, size // 3) for size in source.info.size]
        for item in range(source.info.planes):
            starts = [range(0, size, step) for size, step in zip(source.info.size, steps, strict=True)]
            for place in product(*starts):
                window = tuple(
                    slice(max(0, start - 2), min(size, start + step + 2))
                    for start, step, size in zip(place, steps, source.info.size, strict=True)
                )
                _check(source.read(item, window), part_of(pixels, item, window))

    def test_several_threads_may_read(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """Windows that are read at the same time do not disturb each other."""
        places = _random_windows(source) * 3
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda place: source.read(*place), places))
        for (item, window), found in zip(places, read, strict=True):
            _check(found, part_of(pixels, item, window))

    def test_a_whole_file_has_no_bad_tiles(self, source: ImageSource, pixels: NDArray[Any]) -> None:
        """After all of it was read, nothing is said to be bad."""
        for item in range(len(pixels)):
            source.read(item, tuple(slice(0, size) for size in source.info.size))
        assert list(source.bad_tiles) == []


def part_of(pixels: NDArray[Any], item: int, window: Window) -> NDArray[Any]:
    """Return a window (channels, one size for each axis) of an item of all pixels of an image."""
    index: Any = (item, slice(None), *window)
    part: NDArray[Any] = pixels[index]
    return part


def _check(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def _random_windows(source: ImageSource) -> list[tuple[int, Window]]:
    """Return items, and windows in them, at random places; the same each time."""
    rng = np.random.default_rng(0)
    places = []
    for _ in range(WINDOWS):
        starts = [int(rng.integers(0, size)) for size in source.info.size]
        stops = [int(rng.integers(start + 1, size + 1)) for start, size in zip(starts, source.info.size, strict=True)]
        places.append((int(rng.integers(source.info.planes)), tuple(map(slice, starts, stops))))
    return places


def _corners(source: ImageSource) -> list[tuple[int, Window]]:
    """Return the single pixels in the corners of the first and the last item."""
    ends = [(slice(0, 1), slice(size - 1, size)) for size in source.info.size]
    return [(item, window) for item in (0, source.info.planes - 1) for window in product(*ends)]
