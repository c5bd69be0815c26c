from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from unetkit.data.datamodule import SegmentationData
from unetkit.data.weight_map import BorderWeight, weigh_borders
from unetkit.foundation.errors import ConfigError


def scattered(size: tuple[int, int], count: int, seed: int = 0) -> NDArray[np.int32]:
    """Discs of many sizes, some of which touch."""
    rng = np.random.default_rng(seed)
    objects = np.zeros(size, np.int32)
    rows, columns = np.indices(size)
    for number in range(1, count + 1):
        y, x, radius = rng.integers(size[0]), rng.integers(size[1]), rng.integers(2, 12)
        objects[((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) & (objects == 0)] = number
    return objects


def slow(objects: NDArray[Any], w0: float, sigma: float) -> NDArray[np.float64]:
    """The formula of the paper, with a distance transform of the whole image for each object."""
    numbers = [number for number in np.unique(objects) if number]
    if len(numbers) < 2:
        return np.zeros(objects.shape)
    distances = np.sort([distance_transform_edt(objects != number) for number in numbers], axis=0)
    weights = w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return np.where(objects > 0, 0, weights)


@pytest.mark.parametrize(("w0", "sigma", "count"), [(10, 5, 25), (10, 5, 1), (10, 5, 0), (3, 2.5, 40)])
def test_the_map_is_that_of_the_formula(w0: float, sigma: float, count: int) -> None:
    objects = scattered((120, 150), count)
    got = weigh_borders(objects, BorderWeight(w0, sigma))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow(objects, w0, sigma), atol=w0 * np.exp(-8))
    assert (got.max() > 0.5 * w0) == (count > 1)


def test_many_objects_take_no_longer_than_the_area_around_them() -> None:
    """One transform of the whole for each of these objects would take minutes."""
    objects = np.kron(np.arange(1, 2501).reshape(50, 50), np.pad(np.ones((20, 20), np.int32), 2)).astype(np.int32)
    start = perf_counter()
    weights = weigh_borders(objects, BorderWeight())
    assert perf_counter() - start < 10
    gap = weights[610, 24 * 20 - 1]
    assert gap == pytest.approx(10 * np.exp(-((2 + 3) ** 2) / 50), rel=1e-3)


@pytest.mark.parametrize(("w0", "sigma"), [(-1, 5), (10, 0)])
def test_weights_without_meaning_are_an_error(w0: float, sigma: float) -> None:
    with pytest.raises(ConfigError, match="border weight"):
        BorderWeight(w0, sigma)


def data_of(cells: Path, **settings: Any) -> SegmentationData:
    usual = {"val": 0.0, "crop": 64, "workers": 0, "augment": "none", "crops_per_epoch": 12}
    data = SegmentationData(str(cells), **{**usual, **settings})
    data.setup()
    data.prepare_for(1, 2, 8, weighted=True)
    return data


def items(data: SegmentationData) -> list[Any]:
    crops = data.train_dataloader().dataset
    return [crops[(0, index)] for index in range(12)]


def test_each_class_weighs_the_same_over_all_images_and_the_mean_is_one(cells: Path) -> None:
    data = data_of(cells, border_weight=BorderWeight(w0=0))
    whole = [item["mask"].numpy() for item in (data.val_items()[index] for index in range(6))]
    foreground = sum(int(mask.sum()) for mask in whole)
    pixels = sum(mask.size for mask in whole)
    assert data._weights is not None
    expected = [pixels / (2 * (pixels - foreground)), pixels / (2 * foreground)]
    np.testing.assert_allclose(data._weights.class_weights, expected, rtol=1e-6)
    for item in items(data):
        weights = data._weights.class_weights[item["mask"].numpy()]
        np.testing.assert_allclose(item["weight"].numpy(), weights, rtol=1e-6)


def test_weights_move_with_the_mask(cells: Path) -> None:
    """With w0 = 0 the weight is a function of the mask, whatever augmentation does."""
    data = data_of(cells, augment="strong", border_weight=BorderWeight(w0=0))
    assert data._weights is not None
    for item in items(data):
        assert item["weight"].dtype == torch.float32
        weights = data._weights.class_weights[item["mask"].numpy()]
        np.testing.assert_allclose(item["weight"].numpy(), weights, rtol=1e-6)


def test_without_memory_for_images_the_weights_are_the_same(cells: Path) -> None:
    kept, read = items(data_of(cells)), items(data_of(cells, cache_gb=0.0))
    for one, other in zip(kept, read, strict=True):
        torch.testing.assert_close(one["weight"], other["weight"], rtol=1e-3, atol=1e-2)


def test_a_border_weight_for_a_loss_that_has_none_is_an_error(cells: Path) -> None:
    data = SegmentationData(str(cells), crop=64, workers=0, border_weight=BorderWeight(w0=3))
    data.setup()
    with pytest.raises(ConfigError, match="border_weight has no meaning"):
        data.prepare_for(1, 2, 8)


def test_without_need_there_are_no_weights(cells: Path) -> None:
    data = SegmentationData(str(cells), crop=64, workers=0)
    data.setup()
    data.prepare_for(1, 2, 8)
    assert "weight" not in data.train_dataloader().dataset[(0, 0)]


@pytest.mark.parametrize("spacing", [None, (2.5, 1.0, 1.0)])
def test_gaps_in_volumes_are_weighed_by_real_distances(spacing: tuple[float, ...] | None) -> None:
    objects = np.zeros((5, 9, 9), np.int32)
    objects[:2, 2:4, 2:5], objects[3:, 3:6, 3:7], objects[2, 7:, 7:] = 1, 2, 3
    border = BorderWeight(10, 1.5)
    steps = np.array(spacing or (1, 1, 1))
    places = np.argwhere(objects >= 0)
    nearest = np.sort(
        [
            np.sqrt((((places[:, None] - np.argwhere(objects == n)[None]) * steps) ** 2).sum(-1)).min(1)
            for n in (1, 2, 3)
        ],
        axis=0,
    )
    expected = 10 * np.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * 1.5**2)) * (objects.ravel() == 0)
    assert weigh_borders(objects, border, spacing).ravel() == pytest.approx(expected, abs=10 * np.exp(-8))
