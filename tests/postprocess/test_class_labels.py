from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from unetkit.postprocess.class_labels import ClassLabels

RNG = np.random.default_rng(0)
MASK = np.kron(RNG.integers(0, 4, (2, 9, 12)), np.ones((1, 4, 4))).astype(np.uint8)
"""Two planes of blocks of three classes and background, many of which touch."""


@pytest.mark.parametrize("tile", [(7, 9), (512, 1024)])
def test_each_class_is_labelled_by_itself_and_no_two_objects_share_a_number(tile: tuple[int, int]) -> None:
    bands = [plane[None, top : top + 5] for plane in MASK for top in range(0, MASK.shape[1], 5)]
    labels = ClassLabels(bands, MASK.shape[1], 4, tile=tile)
    found = np.concatenate([row[0] for row in labels.rows()]).reshape(MASK.shape)
    assert found.dtype == labels.dtype == np.uint16
    np.testing.assert_array_equal(found > 0, MASK > 0)
    for plane, mask in zip(found, MASK, strict=True):
        first = 1
        for value, last in enumerate(labels.last, 1):
            own = np.where(mask == value, plane, 0)
            expected = label(mask == value)
            pairs = {*zip(own[own > 0], expected[own > 0], strict=True)}
            assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == expected.max()
            assert all(first <= number <= last for number, _ in pairs)
            numbers = np.array([number for number, _ in pairs])
            assert (labels.classes_of(numbers) == value).all()
            first = last + 1
    assert found.max() == labels.count == labels.last[-1]


def test_small_objects_of_a_class_and_absent_classes_leave_no_gap() -> None:
    mask = np.zeros((1, 12, 12), np.uint8)
    mask[0, 1:4, 1:4], mask[0, 8, 8], mask[0, 6:9, 2:5] = 1, 1, 3
    labels = ClassLabels([mask], 12, 4, smallest=4)
    assert labels.last == (1, 1, 2)
    found = next(labels.rows())[0]
    assert (found[2, 2], found[8, 8], found[7, 3]) == (1, 0, 2)
