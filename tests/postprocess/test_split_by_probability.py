from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.postprocess.labels import Labels
from unetkit.postprocess.split_by_probability import by_probability


def two_cells(gap: float) -> NDArray[np.uint8]:
    """Return mask and probability (2, 40, 60) of two cells whose membrane is faint at one place.

    Args:
        gap: Probability of the inside in the gap, 8 pixels long.
    """
    inside = np.full((40, 60), 0.99)
    inside[:, 28:32] = 0.05
    inside[16:24, 28:32] = gap
    mask = inside >= 0.5
    return np.stack([mask * 255, mask * inside * 255]).astype(np.uint8)


def label(image: NDArray[np.uint8], drop: float, tile: tuple[int, int] | None = None) -> NDArray[np.uint16]:
    labels = Labels([image], image.shape[1:], method=by_probability(drop), tile=tile)
    return np.concatenate(list(labels.rows()), axis=1)[0]


@pytest.mark.parametrize(("gap", "drop", "cells"), [(0.6, 0.2, 2), (0.9, 0.2, 1), (0.6, 0.5, 1), (0.3, 0.9, 2)])
def test_a_gap_in_a_membrane_is_closed_where_the_probability_falls_enough(gap: float, drop: float, cells: int) -> None:
    image = two_cells(gap)
    labels = label(image, drop)
    assert labels.max() == cells
    assert (labels[20, 10] == labels[20, 50]) == (cells == 1)
    np.testing.assert_array_equal(labels > 0, image[0] > 0)


def test_regions_do_not_depend_on_tiles() -> None:
    image = two_cells(0.6)
    np.testing.assert_array_equal(label(image, 0.2, (16, 10)), label(image, 0.2))
