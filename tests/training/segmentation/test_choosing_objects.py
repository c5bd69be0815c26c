"""A choice of objects is learnt and kept where it surely gains, on predictions that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unetkit.data.datamodule import SegmentationData
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.report.choice import CHOICE, describe_choice
from unetkit.synthetic import write_dataset
from unetkit.training.segmentation import choosing_objects, learning_choice
from unetkit.training.segmentation.choosing_objects import choose_objects, learn, training_examples
from unetkit.training.segmentation.examples import Example

TINY = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=16, instances=True)


def cells(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probability and distance map (2, 120, 120) of 16 cells with two peaks each, and the true objects."""
    y, x = np.mgrid[:120, :120]
    shift = number % 3
    place_y, place_x = (y - shift) % 30 - 14, (x - shift) % 30 - 14
    nearest = np.minimum(np.hypot(place_y, place_x - 3), np.hypot(place_y, place_x + 3))
    inside = nearest < 7
    truth = inside * (1 + (y - shift) // 30 * 5 + (x - shift) // 30)
    return np.stack([inside * 0.9, inside * (1 - nearest / 7)]).astype(np.float32), truth


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_choice, "STEPS", 200)
    monkeypatch.setattr(choosing_objects, "FEWEST_CANDIDATES", 100)
    monkeypatch.setattr(choosing_objects, "predict_probabilities", lambda _, pixels: cells(int(pixels[0]))[0])


def examples(count: int, *, split: bool = False) -> Iterator[Example]:
    for number in range(count):
        truth = cells(number)[1]
        halves = 100 * ((np.mgrid[:120, :120][1] - number % 3) % 30 < 14) if split else 0
        objects = np.where(truth > 0, truth + halves, 0)
        yield Example(np.array([number]), (truth > 0).astype(np.uint8), objects)


def test_a_choice_that_surely_gains_is_returned_with_its_gain() -> None:
    found = learn(Segmenter(TINY).eval(), examples(4), examples(5))
    assert found is not None
    choice, gain = found
    assert gain.images == 5
    assert gain.ap50[1] > gain.ap50[0]
    assert gain.ap70[1] > gain.ap70[0]
    assert f"from {gain.ap50[0]:.3f} to {gain.ap50[1]:.3f} at an IoU of 0.5" in describe_choice(vars(gain))
    assert choice.least == learning_choice.LEAST


def test_a_choice_that_does_not_gain_is_not_kept() -> None:
    assert learn(Segmenter(TINY).eval(), examples(4, split=True), examples(5, split=True)) is None


def test_a_choice_that_is_no_better_than_the_one_there_was_is_not_kept() -> None:
    found = learn(Segmenter(TINY).eval(), examples(4), examples(5))
    assert found is not None
    assert learn(Segmenter(replace(TINY, choice=found[0])).eval(), examples(4), examples(5)) is None


@pytest.mark.parametrize("name", ["FEWEST_CANDIDATES", "FEWEST_OBJECTS"])
def test_little_to_learn_from_leaves_a_model_without_a_choice(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(choosing_objects, name, 10_000)
    assert learn(Segmenter(TINY).eval(), examples(4), examples(5)) is None


def test_the_model_keeps_what_was_learnt_on_training_images(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path, 12, 64, seed=0)
    data = SegmentationData(str(tmp_path), val=0.5)
    taken = list(training_examples(data))
    assert 1 <= len(taken) <= 6
    for number in range(len(taken)):
        assert any(np.array_equal(taken[number].objects, data.targets.objects(index)) for index in data.pool.train)
    monkeypatch.setattr(choosing_objects, "training_examples", lambda _: examples(4))
    monkeypatch.setattr(choosing_objects, "held_out_examples", lambda *_, **__: examples(5))
    segmenter = Segmenter(TINY).eval()
    assert choose_objects(segmenter, data) is not None
    assert segmenter.spec.choice is not None
    assert segmenter.spec.training[CHOICE]["images"] == 5
    assert ModelSpec.from_json(segmenter.spec.to_json(), "model").choice == segmenter.spec.choice
    plain = Segmenter(replace(TINY, instances=False)).eval()
    assert choose_objects(plain, data) is None
