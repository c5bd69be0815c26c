from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unetkit.foundation.errors import ImageError, ModelError
from unetkit.inference.run.classify import classify, describe_classes
from unetkit.io.base.arrays import ArraySource
from unetkit.models.image_head import ImageClassifier
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec

SPEC = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), image_classes=("a", "b", "c"), image_size=32)


@pytest.fixture
def classifiers() -> Iterator[list[ImageClassifier]]:
    """Two models with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield [ImageClassifier(Segmenter(SPEC)) for _ in range(2)]


def test_planes_and_models_count_the_same(classifiers: list[ImageClassifier]) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, 50, 70), np.uint8)
    together = classify(ArraySource(stack, "ZYX", "stack"), classifiers)
    single = [classify(ArraySource(plane, "YX", "plane"), [model]) for plane in stack for model in classifiers]
    assert together == pytest.approx({name: np.mean([one[name] for one in single]) for name in "abc"}, abs=1e-6)
    assert sum(together.values()) == pytest.approx(1)


def test_an_image_of_other_channels_is_an_error(classifiers: list[ImageClassifier]) -> None:
    with pytest.raises(ImageError):
        classify(ArraySource(np.zeros((3, 40, 40), np.uint8), "CYX", "colour"), classifiers)
    with pytest.raises(ImageError, match="complex"):
        classify(ArraySource(np.zeros((40, 40), np.complex64), "YX", "spectrum"), classifiers)


def test_probabilities_that_are_nan_are_an_error(classifiers: list[ImageClassifier]) -> None:
    next(classifiers[1].parameters()).data[0] = float("nan")
    with pytest.raises(ModelError, match="predicted NaN for stack"):
        classify(ArraySource(np.zeros((40, 40), np.uint8), "YX", "stack"), classifiers)


def test_probabilities_are_written_for_people() -> None:
    assert describe_classes({"normal": 0.062, "pneumonia": 0.938}) == "normal 0.06, pneumonia 0.94"
