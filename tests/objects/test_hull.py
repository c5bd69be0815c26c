"""Areas of convex hulls are those of scikit-image to the pixel, for objects of every size."""

from __future__ import annotations

import pytest
from object_tables import blobs
from skimage.measure import regionprops

from unetkit.objects import hull
from unetkit.objects.collector import Collector
from unetkit.objects.hull import convex_areas
from unetkit.objects.shape import find_boxes


@pytest.mark.parametrize("tall_rows", [512, 8, 1])
@pytest.mark.parametrize("seed", range(4))
def test_convex_areas_are_exact(tall_rows: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hull, "TALL_ROWS", tall_rows)
    labels = blobs((90, 80), seed, 2 + seed)
    _, objects = Collector(0, len(labels)).add(labels)
    assert objects is not None
    true = [region.area_convex for region in regionprops(labels.astype(int))]
    assert convex_areas(objects, find_boxes(objects)).tolist() == true
