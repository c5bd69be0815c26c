from __future__ import annotations

import numpy as np
import pytest

from unetkit.data.crowding import OVERLAP, crowd

BACKGROUND = 50


def _scene(*boxes: tuple[int, int, float], channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Squares of 10 x 10 pixels at (top, left) with a value, numbered from 1."""
    pixels = np.full((channels, 64, 64), BACKGROUND, np.float32)
    objects = np.zeros((64, 64), np.uint16)
    for number, (top, left, value) in enumerate(boxes, 1):
        pixels[:, top : top + 10, left : left + 10] = value
        objects[top : top + 10, left : left + 10] = number
    return pixels, objects


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [200, 10])
def test_an_added_object_is_seen_and_numbered(value: float, channels: int) -> None:
    pixels, objects = _scene((5, 5, value), channels=channels)
    more, others = _scene((30, 40, value), channels=channels)
    crowded, labels = crowd(pixels, objects, more, others)
    assert crowded.dtype == pixels.dtype
    assert labels.dtype == objects.dtype
    assert np.array_equal(labels > 0, (objects > 0) | (others > 0))
    assert labels[35, 45] not in {0, labels[10, 10]}
    np.testing.assert_allclose(crowded[:, 32:38, 42:48], value, rtol=0.01)
    assert np.array_equal(crowded[:, :25], pixels[:, :25])


def test_objects_that_touch_keep_their_numbers() -> None:
    _, labels = crowd(*_scene((10, 10, 200)), *_scene((10, 20, 180)))
    assert [np.count_nonzero(labels == number) for number in np.unique(labels)[1:]] == [100, 100]


@pytest.mark.parametrize(("value", "owner"), [(250, "added"), (150, "present")])
def test_where_two_meet_the_brighter_one_is_seen_and_owns_the_pixels(value: float, owner: str) -> None:
    pixels, objects = _scene((10, 10, 200))
    crowded, labels = crowd(pixels, objects, *_scene((10, 18, value)))
    here = slice(12, 18), slice(18, 20)
    assert np.all((labels[here] == 1) == (owner == "present"))
    assert crowded[0][here].max() == pytest.approx(max(value, 200), rel=0.01)


@pytest.mark.parametrize("shift", range(1, 10))
def test_no_object_covers_much_of_another(shift: int) -> None:
    _, labels = crowd(*_scene((10, 10, 200)), *_scene((10, 10 + shift, 220)))
    covered = (10 - shift) / 10
    assert len(np.unique(labels)) - 1 == (1 if covered > OVERLAP else 2)


@pytest.mark.parametrize("boxes", [(), ((10, 10, 200),)])
def test_nothing_to_add_or_to_add_to_changes_nothing(boxes: tuple[tuple[int, int, float], ...]) -> None:
    scene, other = _scene(*boxes), _scene(*(() if boxes else ((10, 10, 200),)))
    for new, old in zip(crowd(*scene, *other), scene, strict=True):
        assert new is old


def test_neither_input_is_changed() -> None:
    scenes = [*_scene((5, 5, 200)), *_scene((30, 40, 200))]
    copies = [part.copy() for part in scenes]
    crowd(*scenes)
    for part, copy in zip(scenes, copies, strict=True):
        assert np.array_equal(part, copy)
