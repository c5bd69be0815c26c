from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from unetkit.data.appearance import Appearance
from unetkit.data.transforms import PRESETS
from unetkit.models.statistics import Statistics

NONE = PRESETS["none"]
RANGE = Statistics(np.zeros(3, np.float32), np.full(3, 255, np.float32))


def _image(channels: int, background: int) -> SimpleNamespace:
    sample = np.full((channels, 4096), background, np.uint8)
    sample[:, :500] = 255 - background
    return SimpleNamespace(sample=sample, range=RANGE, dtype="uint8")


def _crop(channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((32, 32), np.uint16)
    labels[4:12, 4:12], labels[20:28, 20:28] = 1, 1
    return np.where(labels, 90, 220).astype(np.float32)[None].repeat(channels, axis=0), labels


@pytest.mark.parametrize(("channels", "background", "changes"), [(3, 230, True), (3, 20, False), (1, 230, False)])
def test_stains_vary_in_images_of_3_channels_with_a_bright_background_only(
    channels: int, background: int, changes: bool
) -> None:
    pixels, labels = _crop(channels)
    vary = Appearance(replace(NONE, stain_probability=1), [_image(channels, background)])
    varied = vary(0, pixels, labels, np.random.default_rng(0), numbered=True)
    assert np.array_equal(varied, pixels) != changes


def test_parts_are_objects_where_the_labels_do_not_number_them() -> None:
    pixels, labels = _crop()
    vary = Appearance(replace(NONE, object_gain_probability=1), [_image(3, 230)])
    for numbered in (True, False):
        varied = vary(0, pixels, labels, np.random.default_rng(0), numbered=numbered)
        assert np.isclose(varied[0, 8, 8], varied[0, 24, 24], atol=0.01) == numbered


def test_what_nobody_has_annotated_is_no_object() -> None:
    pixels, labels = _crop()
    labels[labels > 0] = 65535
    vary = Appearance(replace(NONE, object_gain_probability=1), [_image(3, 230)])
    np.testing.assert_allclose(vary(0, pixels, labels, np.random.default_rng(0), numbered=True), pixels)


def test_each_happens_as_often_as_its_probability_and_nothing_is_drawn_without() -> None:
    pixels, labels = _crop()
    vary = Appearance(replace(NONE, stain_probability=0.3), [_image(3, 230)])
    rngs = [np.random.default_rng(seed) for seed in range(200)]
    changed = [not np.array_equal(vary(0, pixels, labels, rng, numbered=True), pixels) for rng in rngs]
    assert 0.2 < np.mean(changed) < 0.4
    rng = np.random.default_rng(0)
    Appearance(PRESETS["strong"], [_image(3, 230)])(0, pixels, labels, rng, numbered=True)
    assert rng.random() == np.random.default_rng(0).random()
