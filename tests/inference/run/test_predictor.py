"""A model with a plan, on items of three axes; those of two are tested through what `segment` and arrays give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from volumes import VolumeSource, volume

from unetkit.foundation.console import log_nothing
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.tiling.options import TilingOptions
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]


def make_predictor(segmenter: Segmenter, source: VolumeSource, **tiling: Any) -> Predictor:
    return Predictor(
        Ensemble((segmenter,)),
        TilingOptions(device="cpu", backend="torch", **tiling),
        source,
        source.info.pixels,
        kind="mask",
        threshold=None,
        log=log_nothing,
    )


@pytest.mark.parametrize("choices", [{}, {"batch": 3, "tta": True}])
def test_a_volume_is_planned_predicted_and_verified(exact_segmenter: Make, choices: dict[str, Any]) -> None:
    segmenter = exact_segmenter(stride=(1, 2, 2), halo=8)
    source = VolumeSource(volume(2, 1, 16, 40, 32))
    predictor = make_predictor(segmenter, source, tile=32, **choices)
    grid = predictor.grid(source.info)
    assert (grid.size, grid.window, len(grid)) == ((16, 40, 32), (16, 32, 32), 2)
    bands: list[NDArray[Any]] = []
    predictor.run(source, [grid.whole(0), grid.whole(1)], bands.extend)
    assert [band.shape for band in bands] == [(1, 16, 40, 32)] * 2
    if not choices:
        with torch.inference_mode():
            expected = segmenter.network(torch.from_numpy(volume(2, 1, 16, 40, 32)).float()).sigmoid() >= 0.5
        np.testing.assert_array_equal(np.stack(bands), expected.numpy() * np.uint8(255))
    assert predictor.time_tile(source, grid) > 0
    seams = predictor.verify(source, grid)
    assert seams.regions > 0
    assert seams.changed == 0


def test_the_plan_of_a_volume_counts_its_memory_in_three_axes(exact_segmenter: Make) -> None:
    source = VolumeSource(volume(1, 1, 16, 40, 48))
    plan = make_predictor(exact_segmenter(stride=(1, 1, 1)), source, tile=32, halo=8).plan
    assert plan.window == (32, 32, 32)
    assert plan.inner == (slice(8, 24),) * 3
