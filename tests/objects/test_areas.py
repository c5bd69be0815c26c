from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unetkit.objects.areas import Areas

Batches = st.lists(st.lists(st.integers(1, 60), max_size=9), max_size=6)


@given(Batches)
def test_areas_of_batches_are_those_of_all_objects_at_once(batches: list[list[int]]) -> None:
    areas, others = Areas(), Areas()
    for i, batch in enumerate(batches):
        (areas if i % 2 else others).add(np.array(batch, np.int64))
    areas.update(others)
    every = np.array([area for batch in batches for area in batch], np.int64)
    assert len(areas) == len(every)
    assert areas.total == every.sum()
    np.testing.assert_equal(areas.median, np.median(every) if len(every) else np.nan)
    np.testing.assert_array_equal(np.repeat(areas.pixels, areas.counts), np.sort(every))
