"""The orientations of test-time augmentation, in any number of axes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetkit.inference.engine.orientations import Orientation, orientations


def window(*size: int) -> torch.Tensor:
    return torch.arange(torch.Size(size).numel()).reshape(1, 1, *size)


@pytest.mark.parametrize(("axes", "count"), [(1, 2), (2, 8), (3, 16)])
def test_all_orientations_differ_and_begin_with_the_window_as_it_is(axes: int, count: int) -> None:
    chosen = orientations(axes)
    pixels = window(*[4] * axes)
    assert chosen[0] == Orientation()
    assert chosen[0].apply(pixels) is pixels
    assert len({tuple(one.apply(pixels).flatten().tolist()) for one in chosen}) == len(chosen) == count


def test_a_volume_is_turned_only_within_its_slices() -> None:
    depths = torch.arange(3).reshape(1, 1, 3, 1, 1).expand(1, 1, 3, 4, 4)
    for one in orientations(3):
        turned = one.apply(depths)
        assert torch.equal(turned, depths) or torch.equal(turned, depths.flip(2))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_part_of_a_window_is_found_again_and_put_back(data: st.DataObject) -> None:
    size = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in size]
    kept = tuple(slice(start, stop) for start, stop in ends)
    pixels = window(*size)
    for one in orientations(len(size)):
        turned = one.apply(pixels)
        assert torch.equal(one.undo(turned), pixels)
        assert torch.equal(one.undo(turned[:, :, *one.place(kept, size)]), pixels[:, :, *kept])
