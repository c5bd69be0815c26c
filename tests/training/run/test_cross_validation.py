from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tifffile import imread
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.foundation.errors import ConfigError
from unetkit.models.model_file import read_spec
from unetkit.report.run.folder import fold_folder
from unetkit.training.run.callbacks import MetricsTable
from unetkit.training.run.cross_validation import CrossValidation, cross_validate, one_by_one
from unetkit.training.run.result import RunResult

FOLDS = ("--data.folds", "2", "--data.crops_per_epoch", "4", "--trainer.max_epochs", "2")
DICE = (0.9, 0.7, 0.95)


class Trained:
    """Stands for training: notes the folds, and leaves a model file for each."""

    def __init__(self, folder: Path, stop: int | None = None, fail: int | None = None) -> None:
        self.folder = folder
        self.stop = stop
        self.fail = fail
        self.folds: list[int] = []

    def __call__(self, fold: int) -> RunResult:
        self.folds.append(fold)
        run = fold_folder(self.folder, fold)
        run.mkdir(parents=True, exist_ok=True)
        if fold == self.fail:
            raise KeyboardInterrupt
        model = run / "model.safetensors"
        model.touch()
        scores = {"val_dice": DICE[fold], "val_iou": DICE[fold] / 2}
        return RunResult(run, model, 3, scores, interrupted=fold == self.stop)


def validate(folder: Path, train_fold: Trained) -> CrossValidation:
    return cross_validate(folder, 3, one_by_one(folder, 3, train_fold))


def test_mean_and_spread_are_those_of_the_folds(tmp_path: Path) -> None:
    result = validate(tmp_path, Trained(tmp_path))
    assert result.mean["val_dice"] == pytest.approx(np.mean(DICE))
    assert result.std["val_dice"] == pytest.approx(np.std(DICE, ddof=1))
    written = json.loads((tmp_path / "cross_validation.json").read_text())
    assert (written["folds"], written["finished"]) == (3, 3)
    assert (written["mean"], written["std"]) == (result.mean, result.std)
    with (tmp_path / "cross_validation.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["model"] for line in lines] == [f"fold-{fold}/model.safetensors" for fold in range(3)]
    assert [float(line["val_dice"]) for line in lines] == list(DICE)
    assert [float(line["val_iou"]) for line in lines] == [dice / 2 for dice in DICE]


@pytest.mark.parametrize("how", ["stop", "fail"])
def test_finished_folds_are_not_trained_again(how: str, tmp_path: Path) -> None:
    broken = validate(tmp_path, Trained(tmp_path, **{how: 1}))
    assert broken.interrupted
    assert [row.fold for row in broken.rows] == [0]
    assert broken.std == {}
    again = Trained(tmp_path)
    result = validate(tmp_path, again)
    assert again.folds == [1, 2]
    assert not result.interrupted
    assert result == validate(tmp_path, again)
    assert again.folds == [1, 2]


def test_a_fold_whose_model_was_deleted_is_trained_again(tmp_path: Path) -> None:
    validate(tmp_path, Trained(tmp_path))
    (tmp_path / "fold-1" / "model.safetensors").unlink()
    again = Trained(tmp_path)
    validate(tmp_path, again)
    assert again.folds == [1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"fold": 0}]}'])
def test_scores_that_cannot_be_read_are_an_error_with_a_remedy(text: str, tmp_path: Path) -> None:
    (tmp_path / "cross_validation.json").write_text(text)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        validate(tmp_path, Trained(tmp_path))
    assert "Delete it" in caught.value.remedy


@pytest.fixture(scope="module")
def folds(fit_cells: Fit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished cross-validation and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    code, out = fit_cells(runs, *FOLDS, "--name", "whole")
    assert code == 0
    return runs / "whole", out


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_every_fold_is_a_run_of_its_own(folds: tuple[Path, str]) -> None:
    folder = folds[0]
    names = {"config.yaml", "cross_validation.json", "cross_validation.csv", "fold-0", "fold-1"}
    assert {path.name for path in folder.iterdir()} == names | {"report.html", "run.json"}
    assert (folder / "fold-1" / "report.html").is_file()
    assert f"Report: {folder / 'report.html'}" in folds[1]
    rows = json.loads((folder / "cross_validation.json").read_text())["rows"]
    data = [read_spec(folder / row["model"]).training["data"] for row in rows]
    assert [(one["folds"], one["fold"]) for one in data] == [(2, 0), (2, 1)]
    assert not set(data[0]["val_images"]) & set(data[1]["val_images"])
    assert len(data[0]["val_images"] + data[1]["val_images"]) == 5
    for row in rows:
        with (folder / f"fold-{row['fold']}" / "metrics.csv").open(newline="") as file:
            best = list(csv.DictReader(file))[row["epoch"] - 1]
        for name, value in row["scores"].items():
            assert float(best[name]) == pytest.approx(value, abs=6e-5)


def test_the_last_line_segments_with_all_models(
    folds: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(folds[1].splitlines()[-1].partition("together: ")[2])
    assert words[:2] == ["unetkit", "segment"]
    assert main(words[1:]) == 0
    assert imread("mask.tif").shape == (96, 96)


def test_a_fold_by_itself_is_the_same_as_in_its_turn(folds: tuple[Path, str], fit_cells: Fit, tmp_path: Path) -> None:
    assert fit_cells(tmp_path, *FOLDS, "--data.fold", "1", "--name", "one")[0] == 0
    assert same_weights(folds[0] / "fold-1", tmp_path / "one")


def test_a_killed_cross_validation_goes_on_to_the_same_result(
    folds: tuple[Path, str], fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MetricsTable, trainer: Any, module: Any) -> None:
        if self.path.parent.name == "fold-1" and trainer.current_epoch == 1:
            raise RuntimeError("the machine is switched off")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsTable, "on_train_epoch_start", fail)
        with pytest.raises(RuntimeError, match="switched off"):
            fit_cells(tmp_path, *FOLDS, "--name", "broken")
    broken = tmp_path / "broken"
    finished = (broken / "fold-0" / "model.safetensors").stat().st_mtime_ns
    assert json.loads((broken / "cross_validation.json").read_text())["finished"] == 1
    assert main(["fit", "--resume", str(broken)]) == 0
    assert (broken / "fold-0" / "model.safetensors").stat().st_mtime_ns == finished
    assert same_weights(broken / "fold-1", folds[0] / "fold-1")
    assert (broken / "cross_validation.json").read_text() == (folds[0] / "cross_validation.json").read_text()
    with (broken / "fold-1" / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]


def test_folds_are_trained_alike_and_a_name_is_used_once(
    folds: tuple[Path, str], fit_cells: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--resume", str(folds[0]), "--trainer.max_epochs", "9"]) == 2
    assert "must all be trained alike" in capsys.readouterr().err
    assert fit_cells(folds[0].parent, *FOLDS, "--name", "whole")[0] == 2
    assert f"unetkit fit --resume {folds[0]}" in capsys.readouterr().err
    assert main(["fit", "--resume", str(folds[0])]) == 0
    assert "Fold 0 of" not in capsys.readouterr().out


def test_folds_that_follow_each_other_take_one_process(
    fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unetkit.training.run.processes.usable_cores", lambda: 2)
    assert fit_cells(tmp_path, *FOLDS, "--trainer.devices", "2", "--name", "two")[0] == 2
    assert "train the folds one by one" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_that_cannot_be_split_leave_no_folder(
    fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_cells(tmp_path, "--data.folds", "9", "--name", "many")[0] == 2
    assert "5 different images cannot be split into 9 folds" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
