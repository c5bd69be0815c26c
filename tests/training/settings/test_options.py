"""What is read from source files agrees with what the classes take."""

from __future__ import annotations

from typing import Any

import pytest

from unetkit.training.classification.run import ClassificationRun
from unetkit.training.pretraining.run import PretrainRun
from unetkit.training.run.training_run import TrainingRun
from unetkit.training.segmentation.run import SegmentationRun
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.options import Settings
from unetkit.training.settings.tasks import FIT, FIT_LABELS, PRETRAIN

LINES: dict[type[TrainingRun], tuple[Settings, list[str]]] = {
    SegmentationRun: (FIT, ["--data.train", "x", "--plan", "false"]),
    PretrainRun: (PRETRAIN, ["--data.images", "x"]),
    ClassificationRun: (FIT, ["--data.image_labels", "x", "--model.image_classes", "[a]"]),
}


class StopError(Exception):
    """The settings are known; nothing is to be built."""


def real_settings(kind: type[TrainingRun], args: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return all settings with their values, by key, as Lightning's command line takes them."""
    found: dict[str, Any] = {}

    def instantiate(self: TrainingRun) -> None:
        found.update(vars(self.config.clone().as_flat()))
        raise StopError

    monkeypatch.setattr(kind, "instantiate_classes", instantiate)
    with pytest.raises(StopError):
        kind(from_arguments(LINES[kind][0], args))
    return found


@pytest.mark.parametrize("kind", LINES, ids=lambda kind: kind.__name__)
def test_keys_and_defaults_are_those_of_the_classes(kind: type[TrainingRun], monkeypatch: pytest.MonkeyPatch) -> None:
    args = LINES[kind][1]
    real = real_settings(kind, args, monkeypatch)
    ours = vars(kind.settings.parser().parse_args(args).as_flat())
    assert ours.keys() == real.keys()
    assert {key: value for key, value in ours.items() if value != real[key]} == {}


@pytest.mark.parametrize("name", ["#a.tif", "~", "&a", "- a", "[a]", "{a}", "a: b", "1e5", "yes", "'q'", "\udce4"])
@pytest.mark.parametrize("key", ["data.masks", "data.train", "name", "model.weights"])
def test_names_are_taken_as_they_are(key: str, name: str) -> None:
    config = FIT.reader().parse_args(["--data.train", "x", f"--{key}={name}"], defaults=False)
    assert config[key] == name


def test_the_reader_knows_what_any_task_of_the_verb_takes_and_wants_nothing() -> None:
    given = FIT.reader().parse_args(["--data.images_per_epoch", "9", "--data.crops_per_epoch", "8"], defaults=False)
    assert (given.data.images_per_epoch, given.data.crops_per_epoch) == (9, 8)
    assert FIT.also == (FIT_LABELS,)
