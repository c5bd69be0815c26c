from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spoiling import Edit, edit

from unetkit.data.loading import Decoded
from unetkit.data.pairs import Pair, find_pairs
from unetkit.data.store import ImageStore
from unetkit.models.model_file import read_spec
from unetkit.models.unet import build_network
from unetkit.models.weights import load_weights
from unetkit.planning import trial
from unetkit.planning.look import Look
from unetkit.planning.measure import look_at_all
from unetkit.planning.trial import Trial, count_several, try_builtin
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.zoo.references import find_model


def test_objects_like_nuclei_are_known(sound_looks: list[Look]) -> None:
    result = try_builtin(sound_looks)
    assert result is not None
    assert 0.8 < result.dice <= 1
    network = {key.removeprefix("model."): value for key, value in result.settings.items() if key.startswith("model.")}
    spec = SegmentationModule(**network, in_channels=3, instances=True).spec
    assert not load_weights(build_network(spec), result.model, spec).missing
    used_to = read_spec(find_model(result.model)).normalization
    assert result.settings["data.normalization.method"] == used_to.method
    assert result.settings["data.normalization.bright_background"] == used_to.bright_background


@pytest.mark.parametrize("change", [lambda mask: mask == 0, np.ones_like], ids=["what lies between", "everything"])
def test_masks_of_something_else_are_not(change: Edit, cells: Path) -> None:
    edit(cells / "masks", lambda mask: change(mask).astype(np.uint8))
    result = try_builtin(look_at_all(find_pairs(cells)))
    assert result is not None
    assert result.dice < 0.5


@pytest.mark.parametrize(("known", "tried"), [(3, 7), (10, 10)])
def test_images_that_the_model_was_trained_on_are_tried_only_where_there_are_no_others(
    known: int, tried: int, sound_looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    class Noting(ImageStore):
        def load(self, pair: Pair) -> Decoded:
            read.append(pair.image)
            return super().load(pair)

    monkeypatch.setattr(trial, "TRIED_IMAGES", 20)
    monkeypatch.setattr(trial, "trained_on", lambda _: [look.digest for look in sound_looks[:known]])
    assert try_builtin(sound_looks, store=Noting()) is not None
    assert read == [look.pair.image for look in sound_looks[-tried:]]


def test_images_of_other_channels_are_not_tried(sound_looks: list[Look]) -> None:
    assert try_builtin([replace(sound_looks[0], channels=4), *sound_looks[1:]]) is None


def test_single_objects_are_seen_as_such_and_parts_that_hold_several_are_counted(sound_looks: list[Look]) -> None:
    result = try_builtin(sound_looks)
    assert result is not None
    assert result.instances
    assert 0.5 < result.f1 <= 1
    parts = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3]])
    found = np.array([[5, 5, 6, 6, 0, 7, 7, 0, 0]])
    assert count_several(parts, found) == (2, 1)
    crumb = np.array([[1] * 9 + [0]]), np.array([[5] * 8 + [6, 6]])
    assert count_several(*crumb) == (1, 0)


def test_a_trial_ends_when_its_time_is_over(sound_looks: list[Look]) -> None:
    result = try_builtin(sound_looks, seconds=0)
    assert result is not None
    assert result.images == 1


@pytest.mark.parametrize(
    ("dice", "f1", "mask", "objects"), [(0.97, 0.95, True, True), (0.97, 0.5, True, False), (0.9, 1, False, False)]
)
def test_training_is_not_needed_where_the_model_is_as_good_already(
    dice: float, f1: float, mask: bool, objects: bool
) -> None:
    trial = Trial("nuclei", {}, dice, instances=True, f1=f1)
    assert trial.is_enough(numbered=False) is mask
    assert trial.is_enough(numbered=True) is objects
