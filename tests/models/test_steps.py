"""Steps from raw pixels to a network's input, beside their definitions in NumPy; and outputs to logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from unetkit.errors import ConfigError
from unetkit.models.foreign import ForeignSpec, Step
from unetkit.models.steps import StepNormalizer, to_logits

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 4000, (2, 40, 50)).astype(np.uint16)


def normalize(*steps: Step) -> np.ndarray:
    normalizer = StepNormalizer(steps)
    values = normalizer.statistics(IMAGE.reshape(2, -1))
    pixels = torch.from_numpy(IMAGE.astype(np.float32))[None]
    center, scale = torch.from_numpy(values.center)[None], torch.from_numpy(values.scale)[None]
    return normalizer(pixels, center, scale)[0].numpy()


def each(percent: float) -> np.ndarray:
    return np.percentile(IMAGE.reshape(2, -1), percent, axis=1)[:, None, None]


FIXED = {
    "linear": (Step("linear", (0.5, 2.0), (1.0, -3.0)), IMAGE * np.array([0.5, 2])[:, None, None] + [[[1]], [[-3]]]),
    "clip": (Step("clip", low=100, high=2000), np.clip(IMAGE, 100, 2000)),
    "truncate": (Step("truncate", low=0, high=255), np.clip(IMAGE, 0, 255)),
    "binarize": (Step("binarize", offset=(1500.0,)), IMAGE > 1500),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_step_is_that_of_its_definition(name: str) -> None:
    step, expected = FIXED[name]
    np.testing.assert_allclose(normalize(step), expected, rtol=1e-6)


def test_functions_follow_other_steps() -> None:
    small = IMAGE / 1000 - 2
    scaled = Step("linear", (0.001,), (-2.0,))
    np.testing.assert_allclose(normalize(scaled, Step("sigmoid")), expit(small), atol=1e-6)
    np.testing.assert_allclose(normalize(scaled, Step("softmax")), softmax(small, axis=0), atol=1e-6)


@pytest.mark.parametrize("channelwise", [True, False])
def test_measured_steps_look_at_the_whole_image(channelwise: bool) -> None:
    axes = (1, 2) if channelwise else (0, 1, 2)
    mean, deviation = IMAGE.mean(axes, keepdims=True), IMAGE.std(axes, keepdims=True)
    got = normalize(Step("standardize", channelwise=channelwise, epsilon=0.25))
    np.testing.assert_allclose(got, (IMAGE - mean) / (deviation + 0.25), atol=1e-5)
    low, high = (np.percentile(IMAGE, percent, axis=axes, keepdims=True) for percent in (2, 97))
    got = normalize(Step("range", low=2, high=97, channelwise=channelwise))
    np.testing.assert_allclose(got, (IMAGE - low) / (high - low + 1e-6), atol=1e-5)


def test_what_is_measured_has_gone_through_the_steps_before_it() -> None:
    clipped = np.clip(IMAGE.astype(np.float64), 500, 1000)
    mean, deviation = clipped.mean((1, 2), keepdims=True), clipped.std((1, 2), keepdims=True)
    expected = np.clip((clipped - mean) / deviation, -1, 1)
    got = normalize(Step("clip", low=500, high=1000), Step("standardize", epsilon=0), Step("clip", low=-1, high=1))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_raw_image_is_measured_where_that_is_asked() -> None:
    clipped = np.clip(IMAGE.astype(np.float64), 500, 1000)
    mean, deviation = IMAGE.mean((1, 2), keepdims=True), IMAGE.std((1, 2), keepdims=True)
    got = normalize(Step("clip", low=500, high=1000), Step("standardize", epsilon=0, raw=True))
    np.testing.assert_allclose(got, (clipped - mean) / deviation, atol=1e-5)


def test_an_even_image_is_not_divided_by_zero() -> None:
    normalizer = StepNormalizer([Step("standardize", epsilon=0)])
    values = normalizer.statistics(np.full((1, 100), 7))
    assert values.scale[0] == 1


def test_two_measured_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="measures the image twice"):
        ForeignSpec("onnx", (4, 4), (4, 4), before=(Step("range"), Step("standardize")))


def test_measured_postprocessing_is_refused() -> None:
    with pytest.raises(ConfigError, match="postprocessing measures"):
        ForeignSpec("onnx", (4, 4), (4, 4), after=(Step("range"),))


OUTPUT = torch.from_numpy(RNG.normal(size=(1, 3, 8, 8)).astype(np.float32))


def spec(channels: tuple[int, ...], *after: Step, distance: int | None = None) -> ForeignSpec:
    return ForeignSpec("onnx", (4, 4), (4, 4), channels=channels, after=after, distance=distance)


def test_one_channel_keeps_its_logits() -> None:
    assert torch.equal(to_logits(OUTPUT, spec((1,), Step("sigmoid"))), OUTPUT[:, 1:2])


def test_a_softmax_over_all_classes_keeps_its_logits() -> None:
    assert torch.equal(to_logits(OUTPUT, spec((0, 1, 2), Step("softmax"))), OUTPUT)


def test_background_and_foreground_become_one_channel() -> None:
    two = OUTPUT[:, :2]
    got = to_logits(two, spec((0, 1), Step("softmax"))).sigmoid()
    torch.testing.assert_close(got, two.softmax(1)[:, 1:])


def test_probabilities_come_out_as_they_went_in() -> None:
    one = OUTPUT.sigmoid()
    torch.testing.assert_close(to_logits(one, spec((2,))).sigmoid(), one[:, 2:], atol=1e-6, rtol=0)
    several = OUTPUT.softmax(1)
    torch.testing.assert_close(to_logits(several, spec((0, 1, 2))).softmax(1), several, atol=1e-6, rtol=0)


def test_one_class_of_a_softmax_over_others_has_its_probability() -> None:
    got = to_logits(OUTPUT, spec((2,), Step("softmax"))).sigmoid()
    torch.testing.assert_close(got, OUTPUT.softmax(1)[:, 2:], atol=1e-6, rtol=0)


def test_zero_and_one_have_finite_logits() -> None:
    assert bool(to_logits(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2), spec((0,))).isfinite().all())


def test_the_distance_map_is_the_last_channel() -> None:
    got = to_logits(OUTPUT.sigmoid(), spec((0,), distance=2)).sigmoid()
    torch.testing.assert_close(got, OUTPUT.sigmoid()[:, [0, 2]], atol=1e-6, rtol=0)
