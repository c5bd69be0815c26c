from __future__ import annotations

import cv2
import numpy as np
import pytest

from unetkit.io.base.arrays import ArraySource
from unetkit.io.views import thumbnail as resize
from unetkit.io.views.thumbnail import read_small


@pytest.mark.parametrize("shape", [(64, 96), (100, 37), (16, 250)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_plane_shrinks_by_area_as_opencv_does_it(shape: tuple[int, int], dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(dtype)
    square = read_small(ArraySource(pixels, "CYX", "a"), 0, (16, 16))
    expected = [cv2.resize(channel.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA) for channel in pixels]
    assert square.dtype == dtype
    assert np.allclose(square, np.stack(expected), atol=0.51 if np.issubdtype(dtype, np.integer) else 1e-3)


def test_a_large_plane_is_read_in_parts_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(np.random.default_rng(0).integers(0, 255, (3, 2, 90, 70), np.uint8), "ZCYX", "a")
    whole = read_small(source, 1, (32, 32))
    monkeypatch.setattr(resize, "PART_PIXELS", 70 * 9)
    assert np.array_equal(read_small(source, 1, (32, 32)), whole)
