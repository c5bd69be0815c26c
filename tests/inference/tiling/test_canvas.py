"""Images side by side on a canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.tiling.canvas import fill_canvas


def even(value: int, *size: int) -> NDArray[np.float32]:
    return np.full((1, *size), value, np.float32)


def test_images_lie_row_by_row_again_and_again() -> None:
    canvas = fill_canvas([even(1, 2, 3), even(2, 1, 2), even(3, 9, 1)], (4, 7))
    assert canvas[0].astype(int).tolist() == [
        [1, 1, 1, 2, 2, 3, 1],
        [1, 1, 1, 2, 2, 3, 1],  # the second image is repeated, the third cut
        [2, 2, 3, 1, 1, 1, 2],
        [3, 1, 1, 1, 2, 2, 3],
    ]


def test_volumes_lie_slab_by_slab() -> None:
    canvas = fill_canvas([even(1, 2, 1, 3), even(2, 1, 2, 2)], (3, 2, 4))
    assert canvas[0].astype(int).tolist() == [
        [[1, 1, 1, 2], [1, 1, 1, 2]],
        [[1, 1, 1, 2], [1, 1, 1, 2]],
        [[1, 1, 1, 2], [1, 1, 1, 2]],
    ]


def test_the_pixels_of_an_image_stay_as_they_lie() -> None:
    image = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    canvas = fill_canvas([image], (6, 7, 8))
    np.testing.assert_array_equal(canvas, np.tile(image, (1, 2, 2, 2))[:, :6, :7, :8])
