from __future__ import annotations

import numpy as np
import pytest
import skimage.measure

from unetkit.postprocess.region_areas import region_areas


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize(("tile", "band"), [((512, 1024), 70), ((16, 24), 7), ((1, 5), 1)])
def test_areas_are_those_of_skimage_on_each_plane_whatever_the_tiles_and_bands(
    share: float, tile: tuple[int, int], band: int
) -> None:
    mask = np.random.default_rng(3).random((2, 70, 50)) < share
    bands = [plane[None, top : top + band].view(np.uint8) for plane in mask for top in range(0, 70, band)]
    found = list(region_areas(bands, (70, 50), tile=tile))
    for plane, areas in zip(mask, found, strict=True):
        labels = skimage.measure.label(plane)
        np.testing.assert_array_equal(areas, np.bincount(labels.ravel())[1:])
