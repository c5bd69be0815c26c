from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.models.pooling import pooling_for, strides_of
from unetkit.models.spec import ModelSpec
from unetkit.planning.choose_patch import choose_patch, first_patch, patch_choices, shrink
from unetkit.planning.machine import Machine
from unetkit.planning.memory import measure_step

SPEC = ModelSpec("resnet18", depth=3, decoder_channels=(16, 8, 8), dims=3, pooling=((2, 2, 2),) * 3)
ROOMY = Machine("cuda", "a GPU", 8, bfloat16=False, memory=2**36, device_memory=2**36)


@given(
    st.tuples(*[st.integers(4, 600)] * 3),
    st.tuples(*[st.floats(0.1, 5)] * 3),
    st.sampled_from([32**3, 64**3, 128**3]),
)
def test_a_patch_is_a_multiple_of_its_strides_and_no_larger_than_wanted(
    size: tuple[int, ...], voxel: tuple[float, ...], most: int
) -> None:
    patch = first_patch(size, voxel, 3, most)
    strides = strides_of(pooling_for(voxel, 3, patch))
    assert all(side % stride == 0 for side, stride in zip(patch, strides, strict=True))
    assert prod(patch) <= most or shrink(patch, size, strides) is None
    longest = [-(-length // stride) * stride for length, stride in zip(size, strides, strict=True)]
    assert all(side <= max(length, 16) for side, length in zip(patch, longest, strict=True))


def test_a_patch_is_a_cube_in_micrometres_and_goes_on_where_a_volume_is_thin() -> None:
    assert first_patch((300, 300, 300), (1, 1, 1), 4, 64**3) == (64, 64, 64)
    deep, high, wide = first_patch((200, 600, 600), (3, 1, 1), 4, 96**3)
    assert abs(high - wide) <= 16
    assert 2 <= high / deep <= 4
    assert first_patch((16, 300, 300), (1, 1, 1), 4, 64**3) == (16, 128, 128)


def test_a_patch_shrinks_where_it_covers_most_of_the_volumes() -> None:
    assert shrink((64, 64, 64), (64, 200, 300), (16, 16, 16)) == (48, 64, 64)
    assert shrink((4, 32, 32), (4, 300, 400), (1, 16, 16)) is None


def test_what_does_not_fit_into_the_memory_is_smaller_and_computed_again() -> None:
    roomy = choose_patch(SPEC, (300, 300, 300), (1, 1, 1), ROOMY)
    assert roomy.size == (128, 128, 128)
    assert (roomy.batch, roomy.checkpointing) == (2, False)
    narrow = replace(ROOMY, device_memory=2**29)
    small = choose_patch(SPEC, (300, 300, 300), (1, 1, 1), narrow)
    assert small.checkpointing
    assert prod(small.size) < prod(roomy.size)
    exact = measure_step(replace(SPEC, pooling=small.pooling), small.size, checkpointing=True).of(small.batch)
    assert exact <= 0.5 * 2**29 * 1.05
    assert [choice.key for choice in patch_choices(small, (1, 1, 1), (300, 300, 300))] == [
        "data.crop",
        "data.batch_size",
        "model.checkpointing",
    ]


def test_small_volumes_come_in_larger_batches_and_a_given_patch_is_kept() -> None:
    assert choose_patch(SPEC, (32, 32, 32), (1, 1, 1), ROOMY).batch == 8
    assert choose_patch(SPEC, (300, 300, 300), (1, 1, 1), ROOMY, [16, 40, 40]).size == (16, 40, 40)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_memory_of_a_step_grows_with_the_voxels(checkpointing: bool) -> None:
    one, two = (measure_step(SPEC, (side, 32, 32), checkpointing=checkpointing) for side in (32, 64))
    assert one.weights == two.weights
    assert two.kept == pytest.approx(2 * one.kept, rel=0.05)
    assert two.of(4) == two.weights + 4 * two.kept
