from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from unetkit.data.looks import balance, describe_look, find_looks, plan_balanced
from unetkit.models.statistics import Statistics


def _record(color: tuple[int, ...], seed: int = 0) -> SimpleNamespace:
    """Return an image of a background with a fifth of darker or brighter pixels."""
    rng = np.random.default_rng(seed)
    sample = np.array(color)[:, None].repeat(1000, axis=1) + rng.integers(0, 6, (len(color), 1000))
    sample[:, :200] = 128
    low, high = sample.min(), sample.max()
    ends = Statistics(*(np.full(len(color), value, np.float32) for value in (low, high - low)))
    return SimpleNamespace(sample=sample, range=ends, dtype="uint8", pair=SimpleNamespace(name=f"{color[0]}-{seed}"))


DARK, LILAC, GREY = (5,), (180, 160, 210), (220, 220, 220)


def test_images_of_other_backgrounds_colours_and_sizes_have_other_looks_and_noise_does_not() -> None:
    images = [_record(color, seed) for color in (DARK, LILAC, GREY) for seed in range(5)]
    numbers = np.stack([describe_look(image, 16) for image in images])
    assert find_looks(numbers).tolist() == [0] * 5 + [1] * 5 + [2] * 5
    sizes = np.stack([describe_look(_record(DARK), diameter) for diameter in (10, 12, 64, 11)])
    assert find_looks(sizes).tolist() == [0, 0, 1, 0]
    assert find_looks(numbers[:1]).tolist() == [0]


def test_many_images_get_the_look_of_those_that_are_compared() -> None:
    numbers = np.repeat([[0.0] * 6, [1.0] * 6], [1500, 700], axis=0)
    assert Counter(find_looks(numbers).tolist()) == {0: 1500, 1: 700}


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 1 / 3.25)])
def test_a_rare_look_is_shown_more_often_with_the_power_but_not_without_end(power: float, share: float) -> None:
    looks = {index: int(index >= 9) for index in range(10)}
    shown = Counter(looks[index] for index in balance(range(10), looks, power))
    assert shown[1] / shown.total() == pytest.approx(share)


def test_images_of_one_look_keep_the_shares_of_their_sizes() -> None:
    shown = Counter(balance([0, 0, 0, 1, 2], {0: 0, 1: 0, 2: 1}, 1.0))
    assert shown[0] == 3 * shown[1]
    assert shown[2] == shown[0] + shown[1]


def test_looks_are_named_with_what_is_shown_of_them() -> None:
    records = [_record(DARK, seed) for seed in range(6)] + [_record(LILAC)]
    masks = SimpleNamespace(diameter=lambda _: None, areas=lambda indices: [1] * len(indices))

    def planned(train: list[int], power: float) -> tuple[list[int], list[str]]:
        return plan_balanced(SimpleNamespace(records=records, train=train), masks, 1, "images", power)  # type: ignore[arg-type]

    visits, notes = planned(list(range(7)), 1.0)
    assert notes == [
        "The images to train on have 2 looks: 6 such as 5-0 (86 % of the crops, now 60 %); "
        "1 such as 180-0 (14 % of the crops, now 40 %)."
    ]
    assert Counter(visits)[6] == 4 * Counter(visits)[0]
    assert "look alike" in planned([0, 1], 1.0)[1][0]
    assert planned([0, 6], 0.0) == ([0, 6], [])
