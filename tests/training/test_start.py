"""Training on from a model whose outputs, channels or normalisation differ: it never ends below its start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from choices import random_choice
from tifffile import imread, imwrite
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.foundation.errors import ModelError
from unetkit.io.files import find_images
from unetkit.models.model_file import read_spec
from unetkit.models.segmenter import save_model
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.zoo.opening import load_model

RUINOUS = ("--model.lr", "3", "--model.ema_decay", "0", "--trainer.max_epochs", "1")
"""Settings after which nothing is found."""


@pytest.fixture(scope="module")
def starts(fit_cells: Fit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of masks and one of instances, that find the cells."""
    runs = tmp_path_factory.mktemp("starts")
    config = runs / "instances.yaml"
    config.write_text("model: {instances: true}")
    more = ("--model.lr", "0.01", "--trainer.max_epochs", "6")
    assert fit_cells(runs, "--name", "mask", *more)[0] == 0
    assert fit_cells(runs, "--config", str(config), "--name", "instances", *more)[0] == 0
    return {name: runs / name / "model.safetensors" for name in ("mask", "instances")}


def as_colour(cells: Path, folder: Path) -> Path:
    """The cells as RGB images."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for path in find_images(cells / "images"):
        imwrite(folder / "images" / path.name, np.stack([imread(path)] * 3, -1), photometric="rgb")
        imwrite(folder / "masks" / path.name, imread(cells / "masks" / path.name))
    return folder


def score_before_training(out: str) -> float:
    return float(out.split("before training  validation Dice ")[1].split(maxsplit=1)[0])


@pytest.mark.parametrize(
    ("start", "target"),
    [
        ("mask", {"model.instances": "true"}),
        ("instances", {"model.instances": "false"}),
        ("mask", {"data.normalization.method": "mean_std"}),
        ("mask", {"data.normalization.scope": "dataset"}),
    ],
)
def test_a_start_is_scored_as_it_is_used_to_and_kept_if_no_epoch_is_better(
    start: str, target: dict[str, str], starts: dict[str, Path], fit_cells: Fit, tmp_path: Path
) -> None:
    config = tmp_path / "target.yaml"
    config.write_text("model: {instances: " + target.get("model.instances", "false") + "}")
    more = [word for key, value in target.items() if key.startswith("data") for word in (f"--{key}", value)]
    weights = ("--config", str(config), "--model.weights", str(starts[start]))
    code, out = fit_cells(tmp_path, *weights, *RUINOUS, *more, "--name", "run")
    assert code == 0
    before = read_spec(starts[start])
    assert score_before_training(out) == pytest.approx(before.training["val_dice"], abs=1e-3)
    kept = load_model(tmp_path / "run" / "model.safetensors")
    assert kept.spec.training["epoch"] == 0
    assert kept.spec.training["val_dice"] == pytest.approx(score_before_training(out), abs=1e-4)
    assert kept.spec.normalization == before.normalization
    assert kept.spec.instances == (target.get("model.instances") == "true")
    assert "before training, " in out
    assert "the start is kept" in out


def test_a_start_that_is_kept_keeps_how_it_chooses_objects(
    starts: dict[str, Path], fit_cells: Fit, tmp_path: Path
) -> None:
    chosen = load_model(starts["instances"])
    chosen.spec = replace(chosen.spec, min_confidence=0.3, choice=random_choice())
    save_model(chosen, tmp_path / "chosen.safetensors")
    config = tmp_path / "instances.yaml"
    config.write_text("model: {instances: true}")
    weights = ("--config", str(config), "--model.weights", str(tmp_path / "chosen.safetensors"))
    code, out = fit_cells(tmp_path, *weights, *RUINOUS, "--name", "run")
    assert code == 0
    assert "the start is kept" in out
    kept = read_spec(tmp_path / "run" / "model.safetensors")
    assert (kept.min_confidence, kept.choice) == (0.3, random_choice())


def test_a_grey_start_serves_colour_images(
    starts: dict[str, Path], fit_cells: Fit, cells: Path, tmp_path: Path
) -> None:
    data = ("--data.train", str(as_colour(cells, tmp_path / "colour")))
    code, out = fit_cells(tmp_path, *data, "--model.weights", str(starts["mask"]), *RUINOUS, "--name", "run")
    assert code == 0
    assert score_before_training(out) == pytest.approx(read_spec(starts["mask"]).training["val_dice"], abs=2e-3)
    assert read_spec(tmp_path / "run/model.safetensors").in_channels == 3


def test_a_start_of_foreground_serves_several_classes(
    starts: dict[str, Path], fit_cells: Fit, cells: Path, tmp_path: Path
) -> None:
    more = ("--model.weights", str(starts["mask"]), "--model.classes", "3")
    (tmp_path / "three/masks").mkdir(parents=True)
    (tmp_path / "three/images").mkdir()
    for path in find_images(cells / "images"):
        imwrite(tmp_path / "three/images" / path.name, imread(path))
        imwrite(tmp_path / "three/masks" / path.name, (imread(cells / "masks" / path.name) > 0).astype(np.uint8))
    code, out = fit_cells(tmp_path, "--data.train", str(tmp_path / "three"), *more, *RUINOUS, "--name", "run")
    assert code == 0
    found = read_spec(starts["mask"]).training["val_dice"]
    assert score_before_training(out) == pytest.approx(
        (found + 1) / 2, abs=2e-3
    )  # the class that is nowhere counts as found


def test_an_epoch_that_can_tell_objects_apart_beats_a_start_that_cannot(
    starts: dict[str, Path], fit_cells: Fit, tmp_path: Path
) -> None:
    config = tmp_path / "target.yaml"
    config.write_text("model: {instances: true}")
    code, out = fit_cells(tmp_path, "--config", str(config), "--model.weights", str(starts["mask"]), "--name", "run")
    assert code == 0
    state: dict[str, Any] = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    assert state["unetkit_start"]["judges_objects"] is True
    keeper = next(value for name, value in state["callbacks"].items() if name.startswith("KeepBest"))
    assert len(keeper["best_rank"]) == 1 + len(keeper["best_scores"])
    assert "it has no distance map of objects" in out


def test_a_resumed_run_remembers_what_its_start_was_trained_on(
    starts: dict[str, Path], fit_cells: Fit, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(starts["mask"].read_bytes())
    seed = ("--data.seed", "3", "--model.lr", "0.01")
    assert fit_cells(tmp_path, "--model.weights", str(start), *seed, "--name", "run")[0] == 0
    seen = read_spec(tmp_path / "run/model.safetensors").training_images
    assert seen is not None
    start.unlink()
    code = main(["fit", "--resume", str(tmp_path / "run"), "--trainer.max_epochs", "3"])
    assert code == 0
    again = read_spec(tmp_path / "run/model.safetensors").training_images
    assert again is not None
    assert set(again.digests) == set(seen.digests)


def test_a_network_whose_predictions_are_no_numbers_has_diverged(
    starts: dict[str, Path],
    fit_cells: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    predict = SegmentationModule.predict_step

    def fail(self: SegmentationModule, batch: dict[str, Any], batch_idx: int) -> Any:
        if not self.trainer.sanity_checking:
            raise ModelError("model predicted NaN in fp32.", "Check both.")
        return predict(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "predict_step", fail)
    assert fit_cells(tmp_path, "--model.weights", str(starts["mask"]), "--name", "run")[0] == 2
    said = capsys.readouterr().err
    assert "Training has diverged: model predicted NaN in fp32. The best model so far is kept" in said
    assert "the one that the run started from. Lower model.lr." in said
    assert read_spec(tmp_path / "run/model.safetensors").training["epoch"] == 0
