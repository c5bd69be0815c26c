"""The least sure field of an image, whatever the rows are in which its uncertainty comes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.inference.checks.uncertain_fields import Fields
from unetkit.io.base.contracts import OutputSpec


def rows(maps: NDArray[np.float32], step: int) -> Iterator[NDArray[np.float32]]:
    """Rows (channels, h, width) of maps (planes, channels, H, W)."""
    for plane in maps:
        for top in range(0, plane.shape[1], step):
            yield plane[:, top : top + step]


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 500)),
    steps=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    seed=st.integers(0, 1000),
)
def test_the_field_does_not_depend_on_the_rows(size: tuple[int, int], steps: tuple[int, int], seed: int) -> None:
    maps = np.random.default_rng(seed).random((2, 2, *size), np.float32) ** 4
    spec = OutputSpec(size, np.dtype(np.float32), channels=2, plane_axes="Z", plane_shape=(2,))
    found = []
    for step in steps:
        fields = Fields(spec, 2)
        for given_rows, kept in zip(rows(maps, step), fields.watch(rows(maps, step)), strict=True):
            np.testing.assert_array_equal(given_rows, kept)
        found.append(fields.best)
    assert found[0] == found[1]
    one = found[0]
    part = maps[one.plane, :, one.top : one.top + one.size[0], one.left : one.left + one.size[1]]
    np.testing.assert_allclose(one.means, part.mean((1, 2), np.float64), atol=1e-6)


def test_the_unsure_corner_of_a_sure_image_is_found() -> None:
    maps = np.zeros((1, 1, 1000, 900), np.float32)
    maps[0, 0, 700:950, 650:880] = 0.8
    fields = Fields(OutputSpec((1000, 900), np.dtype(np.float32)), 1)
    for _ in fields.watch(rows(maps, 100)):
        pass
    assert (fields.best.top, fields.best.left, fields.best.size) == (704, 640, (256, 256))
