"""Settings chosen on images whose predictions are made up, so that the best ones are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from unetkit.data.annotated import UNKNOWN
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.report.calibration import CALIBRATION, describe_calibration
from unetkit.training.segmentation import calibration, examples
from unetkit.training.segmentation.calibration import Calibration, calibrate
from unetkit.training.segmentation.choosing import FEWEST_IMAGES
from unetkit.training.segmentation.examples import Example, try_settings
from unetkit.training.segmentation.predicting import predict_item, predict_probabilities

TINY = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=16)
SIZE = 96


def squares(number: int) -> np.ndarray:
    """Return 12 objects (96, 96) of one image, 14 pixels wide."""
    labels = np.zeros((SIZE, SIZE), np.int32)
    for place in range(12):
        top, left = 24 * (place // 4) + 4 + number % 3, 24 * (place % 4) + 4
        labels[top : top + 14, left : left + 14] = place + 1
    return labels


def outputs(number: int, logit: float) -> np.ndarray:
    """Return probabilities and distance map (2, 96, 96) of an image.

    True objects have a peak of 0.9, and two false ones below them a peak of 0.6. In 2 % of the pixels the logit has the
    wrong sign.
    """
    truth = squares(number) > 0
    false = np.zeros_like(truth)
    false[80:92, 10:22] = false[80:92, 50:62] = True
    rng = np.random.default_rng(number)
    wrong = rng.random(truth.shape) < 0.02
    probability = 1 / (1 + np.exp(np.where((truth | false) ^ wrong, -logit, logit)))
    distance = np.where(truth, 0.9, np.where(false, 0.6, 0.0))
    return np.stack([probability, distance]).astype(np.float32)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict what `outputs` says; the pixels of an image are its number and the logit of its foreground."""

    def predict(segmenter: Segmenter, pixels: Any) -> np.ndarray:
        return outputs(int(pixels[0]), float(pixels[1]))[: segmenter.spec.network_channels]

    monkeypatch.setattr(examples, "predict_probabilities", predict)


def some(count: int, *, objects: bool = True, logit: float = 8.0) -> Iterator[Example]:
    for number in range(count):
        truth = squares(number)
        yield Example(np.array([number, logit]), (truth > 0).astype(np.uint8), truth if objects else None)


def model(**changes: Any) -> Segmenter:
    return Segmenter(replace(TINY, **{"instances": True, **changes})).eval()


@pytest.mark.usefixtures("made_up")
def test_false_objects_of_a_low_peak_raise_the_confidence_and_sure_errors_the_temperature() -> None:
    segmenter = model()
    weight = segmenter.network.segmentation_head[0].weight[0].clone()
    found = calibrate(segmenter, some(6))
    assert found is not None
    spec = segmenter.spec
    assert 0.55 < spec.min_confidence <= 0.9
    assert spec.threshold == 0.5
    assert found.temperature > 1.5
    assert found.log_loss[1] < found.log_loss[0]
    assert all(after >= before for before, after in found.scores.values())
    torch.testing.assert_close(segmenter.network.segmentation_head[0].weight[0], weight / found.temperature)
    assert spec.training[CALIBRATION]["temperature"] == found.temperature
    assert f"a lowest confidence of objects of {spec.min_confidence:g}" in describe_calibration(
        spec.training[CALIBRATION]
    )


@pytest.mark.usefixtures("made_up")
def test_few_images_change_nothing() -> None:
    segmenter = model()
    spec = segmenter.spec
    assert calibrate(segmenter, some(FEWEST_IMAGES - 1)) is None
    assert segmenter.spec == spec


@pytest.mark.usefixtures("made_up")
def test_few_objects_leave_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FEWEST_OBJECTS", 1000)
    segmenter = model()
    assert calibrate(segmenter, some(6)) is not None
    assert segmenter.spec.min_confidence == 0.5


@pytest.mark.usefixtures("made_up")
def test_a_threshold_that_was_given_stays_that_of_the_same_mask() -> None:
    segmenter = model(instances=False, threshold=0.7)
    found = calibrate(segmenter, some(6, objects=False), keep_threshold=True)
    assert found is not None
    logit = np.log(0.7 / 0.3) / found.temperature
    assert segmenter.spec.threshold == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
    assert list(found.scores) == ["dice"]


def test_pixels_that_nobody_has_annotated_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "predict_probabilities", lambda *_: outputs(0, 8.0))
    mask = np.full((SIZE, SIZE), UNKNOWN)
    mask[:72] = squares(0)[:72] > 0  # below lie the false objects
    tried = try_settings(model(), Example(np.zeros(1), mask, squares(0)), np.array([0.5]), np.array([0.5]))
    assert len(tried.truth) <= 72 * SIZE
    assert tried.objects is not None
    assert tried.objects[0, 0, 0].tolist() == [12, 0, 0]


@pytest.mark.parametrize("changes", [{}, {"instances": True}, {"classes": 3}, {"planes": 3}])
def test_one_pass_gives_the_probabilities_of_segment(changes: Any) -> None:
    segmenter = Segmenter(replace(TINY, **changes)).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (segmenter.spec.network_inputs, 40, 56), np.uint8)
    found = predict_probabilities(segmenter, pixels)
    assert found.shape == (segmenter.spec.network_channels, 40, 56)
    mask = found.argmax(0) if segmenter.spec.classes > 2 else 255 * (found[0] >= 0.5)
    np.testing.assert_array_equal(mask, predict_item(segmenter, pixels))


def test_a_volume_is_predicted_in_one_pass_too() -> None:
    segmenter = Segmenter(replace(TINY, dims=3, pooling=((2, 2, 2),) * 3, instances=True)).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (1, 10, 20, 24), np.uint8)
    found = predict_probabilities(segmenter, pixels)
    assert found.shape == (2, 10, 20, 24)
    np.testing.assert_array_equal(255 * (found[0] >= 0.5), predict_item(segmenter, pixels))


def test_the_sentence_says_when_nothing_gains() -> None:
    same = Calibration(7, 1.0, (0.1, 0.1), (0.01, 0.01), (), (), (0.5, 0.5), (0.5, 0.5), {"dice": (0.9, 0.9)})
    assert describe_calibration(vars(same)) == (
        "On 7 validation images no other temperature, threshold or lowest confidence surely gains."
    )
