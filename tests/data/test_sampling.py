from __future__ import annotations

from collections import Counter

import pytest

from unetkit.data.sampling import Sampling, count_crops, plan_visits

AREAS = [64 * 64, 256 * 256, 1024 * 1024, 256 * 1024]


@pytest.mark.parametrize(
    ("sampling", "visits"), [("images", [1, 1, 1, 1]), ("balanced", [1, 1, 4, 2]), ("pixels", [1, 1, 16, 4])]
)
def test_visits_grow_with_the_size_of_an_image(sampling: Sampling, visits: list[int]) -> None:
    assert Counter(plan_visits([7, 8, 9, 3], AREAS, 256**2, sampling)) == dict(zip([7, 8, 9, 3], visits, strict=True))


def test_images_of_one_size_are_visited_once_each_whatever_the_crop() -> None:
    assert plan_visits([0, 1], [100 * 100] * 2, 128**2, "balanced") == [0, 1]


@pytest.mark.parametrize(
    ("areas", "crops"), [([64 * 64], 64 * 4), ([6400 * 640] * 3, 3 * 1000), ([64 * 64 * 9999], 4000)]
)
def test_an_epoch_covers_the_images_once_within_bounds(areas: list[int], crops: int) -> None:
    assert count_crops(areas, 64**2, 4) == crops
