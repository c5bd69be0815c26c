"""Objects of volumes, cut into their planes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unetkit.objects.collector import Collector
from unetkit.objects.sections import sections_of


@given(size=st.tuples(*[st.integers(1, 6)] * 3), seed=st.integers(0, 999))
def test_the_sections_are_the_objects_of_each_plane(size: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, size) * (rng.random(size) < 0.5)
    _, objects = Collector(2, size[0] * size[1], section=size[1]).add(labels)
    found = {} if objects is None else {one.plane: (place, one) for place, one in sections_of(objects, size[0])}
    assert sorted(found) == [2 * size[0] + z for z in range(size[0]) if labels[z].any()]
    for plane, (place, one) in found.items():
        expected = Collector(plane, size[1]).add(labels[plane - 2 * size[0]])[1]
        assert objects is not None
        assert expected is not None
        assert one.labels.tolist() == expected.labels.tolist() == objects.labels[place].tolist()
        assert one.first.tolist() == expected.first.tolist()
        for name, column in vars(expected.runs).items():
            assert getattr(one.runs, name).tolist() == column.tolist()
