from __future__ import annotations

import numpy as np
import pytest

from unetkit.planning.agreement import AS_IT_IS, measure_agreement


def _cells() -> tuple[np.ndarray, np.ndarray]:
    """Return a grey image (1, 128, 128) with bright rectangles in noise, and their mask."""
    rng = np.random.default_rng(0)
    labels = np.zeros((128, 128), np.uint8)
    for number, (y, x) in enumerate(rng.integers(0, 110, (14, 2)), 1):
        labels[y : y + 15, x : x + 9] = number
    return (rng.normal(20, 5, labels.shape) + 100 * (labels > 0))[None].astype(np.float32), labels


def test_a_mask_that_lies_on_its_image_agrees_as_it_is() -> None:
    pixels, labels = _cells()
    found = measure_agreement(pixels, labels)
    assert found is not None
    assert found.shift == (0, 0)
    assert max(found.scores, key=lambda name: found.scores[name]) == AS_IT_IS
    mirrored = measure_agreement(pixels, labels[:, ::-1])
    assert mirrored is not None
    assert max(mirrored.scores, key=lambda name: mirrored.scores[name]) == "mirrored left to right"


def test_grey_in_three_channels_is_the_same_image() -> None:
    pixels, labels = _cells()
    one, three = (measure_agreement(each, labels) for each in (pixels, np.repeat(pixels, 3, axis=0)))
    assert one is not None
    assert three is not None
    assert three.scores == pytest.approx(one.scores)
