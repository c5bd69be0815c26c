from __future__ import annotations

import numpy as np
import pytest
import torch

from unetkit.models.masks import to_mask

THRESHOLD = 0.3


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (1, 2, 5, 7), (4, 2, 5, 7)])
def test_tensors_and_arrays_of_any_number_of_axes_give_the_same_mask(shape: tuple[int, ...]) -> None:
    probabilities = np.random.default_rng(0).random(shape, np.float32)
    probabilities[0, ..., 0] = THRESHOLD
    mask = to_mask(probabilities, THRESHOLD)
    assert mask.shape == shape[1:]
    np.testing.assert_array_equal(mask, to_mask(torch.from_numpy(probabilities), THRESHOLD).numpy())
    batch = torch.from_numpy(np.stack([probabilities, probabilities[..., ::-1]]))
    np.testing.assert_array_equal(to_mask(batch, THRESHOLD, axis=1)[1].numpy(), mask[..., ::-1])
    expected = probabilities[0] >= np.float32(THRESHOLD) if shape[0] == 1 else np.argmax(probabilities, 0)
    np.testing.assert_array_equal(mask, expected)


def test_a_pixel_at_the_threshold_is_foreground_and_of_equal_classes_the_first_counts() -> None:
    assert to_mask(np.full((1, 2), THRESHOLD, np.float32), THRESHOLD).all()
    assert to_mask(torch.full((1, 2), THRESHOLD), THRESHOLD).all()
    assert to_mask(torch.full((3, 2), 1 / 3), THRESHOLD).tolist() == [0, 0]
    assert to_mask(np.full((3, 2), 1 / 3), THRESHOLD).tolist() == [0, 0]
