"""Areas of convex hulls are those of scikit-image to the pixel, for objects of every size."""

from __future__ import annotations

import numpy as np
import pytest
from object_tables import blobs
from skimage.measure import regionprops

from unetkit.objects import hull
from unetkit.objects.collector import Collector, LastRows
from unetkit.objects.hull import convex_areas
from unetkit.objects.shape import find_boxes


@pytest.mark.parametrize("passes", [64, 1, 0])
@pytest.mark.parametrize("seed", range(4))
def test_convex_areas_are_exact(passes: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hull, "MOST_PASSES", passes)
    labels = blobs((90, 80), seed, 2 + seed)
    _, objects = Collector(0, len(labels)).add(labels)
    assert objects is not None
    true = [region.area_convex for region in regionprops(labels.astype(int))]
    assert convex_areas(objects, find_boxes(objects)).tolist() == true


def test_a_shape_that_needs_many_passes_is_exact() -> None:
    rows = np.arange(300)
    labels = np.zeros((300, 401), np.uint8)
    labels[rows, (rows**2 * 400 // 299**2)] = 1
    labels[-1, 0] = 1  # each pass finds one more point that is behind the line to this one
    _, objects = Collector(0, len(labels), LastRows(np.array([1]), np.array([299], np.int32))).add(labels)
    assert objects is not None
    assert convex_areas(objects, find_boxes(objects)).tolist() == [regionprops(labels)[0].area_convex]
