from __future__ import annotations

import numpy as np
import pytest

from unetkit.scoring.pixels import count_pixels, count_voxels, dice
from unetkit.scoring.table import pixel_scores
from unetkit.training.segmentation.images import score_mask


def test_a_plane_is_scored_with_its_boundaries() -> None:
    predicted, truth = (np.random.default_rng(seed).integers(0, 2, (20, 30)) for seed in (0, 1))
    assert score_mask(predicted, truth, 2) == pixel_scores(count_pixels(predicted == 1, truth == 1))


def test_a_volume_of_any_width_is_scored_by_its_voxels() -> None:
    predicted, truth = (np.random.default_rng(seed).integers(0, 3, (4, 5, 200)) for seed in (0, 1))
    scores = score_mask(predicted, truth, 3)
    expected = [dice(count_voxels(predicted == k, truth == k)) for k in (1, 2)]
    assert scores.dice == pytest.approx(np.mean(expected))
    assert "boundary_f1" not in scores
