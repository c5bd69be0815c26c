from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_pools import load_pool

from unetkit.data.pool import ImagePool
from unetkit.data.targets import NoTargets
from unetkit.foundation.errors import DataError
from unetkit.models.normalization import Normalization


def test_images_are_trained_on_unless_they_are_held_out(cells: Path) -> None:
    pool, _ = load_pool(cells)
    held = [False, True, False, False, True, False]
    divided = ImagePool.divided(pool.store, pool.records, held, Normalization())
    assert (divided.train, divided.val) == ([0, 2, 3, 5], [1, 4])
    assert divided.to_look_at == [1, 4]
    assert pool.to_look_at == pool.train == [0, 1, 2, 3, 4, 5]
    assert divided.sizes([0, 1]) == [(96, 128), (150, 100)]


def test_what_normalises_a_data_set_is_measured_on_the_images_to_train_on_alone(cells: Path) -> None:
    pool, _ = load_pool(cells)
    whole = Normalization("mean_std", "dataset")
    held = [number > 0 for number in range(6)]
    one = ImagePool.divided(pool.store, pool.records, held, whole)
    assert one.normalization.center == pytest.approx((pool.read(0).mean(),), rel=0.02)
    assert len(one.with_channels(3).normalization.center or ()) == 3
    given = replace(whole, center=(5.0,), scale=(2.0,))
    assert ImagePool.divided(pool.store, pool.records, held, given).normalization == given
    assert one.with_channels(1) is not one
    assert one.with_channels(1).normalization == one.normalization


def test_a_network_of_other_channels_takes_grey_images_alone(cells: Path) -> None:
    pool, _ = load_pool(cells)
    pool.check_channels(3)
    coloured = replace(pool, records=[replace(pool.records[0], channels=3), *pool.records[1:]])
    coloured.check_channels(3)
    with pytest.raises(DataError, match=r"The model takes 1 channel, but .*cell0.tif has 3\. Set model.in_channels: 3"):
        coloured.check_channels(1)


def test_without_masks_all_is_background(cells: Path) -> None:
    pool, _ = load_pool(cells)
    targets = NoTargets(pool)
    for window, shape in ((None, (96, 128)), ((slice(3, 10), slice(2, 4)), (7, 2))):
        labels = targets.read(0, window)
        assert labels.shape == shape
        assert labels.dtype == np.uint8
        assert not labels.any()
    assert targets.foreground(0).shape == (0, 2)
