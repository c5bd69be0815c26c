from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.errors import ConfigError
from unetkit.models.pooling import across, fine_axes, pooling_for, strides_of


@pytest.mark.parametrize(
    ("spacing", "z"),
    [
        ((50, 4, 4), (1, 1, 1, 2)),  # electron microscopy of sections
        ((3, 0.8, 0.8), (1, 2, 2, 2)),  # CT
        ((1.9, 1, 1), (2, 2, 2, 2)),
        ((1, 1, 1), (2, 2, 2, 2)),
        ((500, 1, 1), (1, 1, 1, 1)),
    ],
)
def test_z_is_halved_once_the_voxel_is_about_a_cube(spacing: tuple[float, ...], z: tuple[int, ...]) -> None:
    assert pooling_for(spacing, 4) == tuple((factor, 2, 2) for factor in z)


def test_any_axis_may_be_the_coarse_one() -> None:
    assert pooling_for((4, 50, 4), 3) == ((2, 1, 2),) * 3
    assert pooling_for((1, 5, 5), 3) == ((2, 1, 1), (2, 1, 1), (2, 2, 2))
    assert [across(pooling_for(spacing, 3)) for spacing in ((1, 1, 1), (9, 1, 1), (1, 9, 1), (1, 9, 4))] == [0, 0, 1, 1]


def test_a_thin_patch_is_halved_less_often() -> None:
    assert pooling_for((1, 1, 1), 4, (16, 64, 64)) == ((2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))
    assert pooling_for((1, 1, 1), 3, (12, 64, 64)) == ((2, 2, 2), (1, 2, 2), (1, 2, 2))
    assert pooling_for((1, 1, 1), 4, (16, 16, 16)) == ((2, 2, 2),) * 4  # with fewer voxels than one would like


@given(
    st.tuples(*[st.floats(0.1, 100)] * 3), st.integers(3, 5), st.tuples(*[st.integers(1, 20).map(lambda n: 8 * n)] * 3)
)
def test_the_patch_is_a_multiple_of_the_strides_and_voxels_approach_cubes(
    spacing: tuple[float, ...], depth: int, size: tuple[int, ...]
) -> None:
    try:
        pooling = pooling_for(spacing, depth, size)
    except ConfigError:
        assert all(length % 2**depth for length in size)
        return
    assert len(pooling) == depth
    assert all(max(level) == 2 for level in pooling)
    assert all(length % stride == 0 for length, stride in zip(size, strides_of(pooling), strict=True))
    free = pooling_for(spacing, depth)
    deepest = [step * stride for step, stride in zip(spacing, strides_of(free), strict=True)]
    assert max(deepest) / min(deepest) <= max(2, max(spacing) / min(spacing))


def test_a_patch_that_is_too_small_is_an_error() -> None:
    with pytest.raises(ConfigError, match="8 x 8 x 8 voxels cannot be halved 4 times"):
        pooling_for((1, 1, 1), 4, (8, 8, 8))
    with pytest.raises(ConfigError, match="not possible"):
        pooling_for((0, 1, 1), 4)


def test_kernels_are_long_where_an_axis_is_halved_and_from_there_on() -> None:
    pooling = ((1, 2, 2), (2, 2, 2), (1, 2, 2))
    assert [fine_axes(pooling, level) for level in range(4)] == [(False, True, True), *[(True, True, True)] * 3]
    assert fine_axes(((1, 2, 2),) * 3, 2) == (False, True, True)
    assert fine_axes(((1, 2, 2),) * 3, 3) == (True, True, True)  # the deepest features see neighbouring planes
