"""`unetkit.fit` does what the command does, and gives back the run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file
from tiny_fit import Fit

import unetkit
from unetkit.foundation.errors import ConfigError, DataError, OutputError
from unetkit.training.run.cross_validation import CrossValidation
from unetkit.training.segmentation.result import SegmentationResult

MODEL: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": (8, 8, 8), "lr": 0.003}
DATA: dict[str, Any] = {"val": 0.4, "crop": 64, "crops_per_epoch": 8, "batch_size": 4, "workers": 0, "augment": "light"}
TRAINER: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 2}


def fit(cells: Path, runs: Path, **more: Any) -> Any:
    """Train as the fixture `fit_cells` does, from Python."""
    groups = {"data": {"train": cells, **DATA}, "model": MODEL, "trainer": TRAINER}
    for name, own in groups.items():
        more[name] = {**own, **more.get(name, {})}
    return unetkit.fit(runs=runs, plan=False, **more)


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> SegmentationResult:
    """A finished run, from within an event loop, as a notebook has one."""
    runs = tmp_path_factory.mktemp("runs")

    async def cell() -> Any:
        return fit(cells, runs, name="first")

    done = asyncio.run(cell())
    assert isinstance(done, SegmentationResult)
    return done


def test_the_run_is_that_of_the_command(run: SegmentationResult, fit_cells: Fit, tmp_path: Path) -> None:
    assert fit_cells(tmp_path, "--name", "first")[0] == 0
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run.folder, tmp_path / "first"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    ours, theirs = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run.folder, tmp_path / "first"))
    assert ours | {"runs": ""} == theirs | {"runs": ""}


def test_the_run_has_its_folder_scores_and_model(run: SegmentationResult, cells: Path) -> None:
    assert run.model_file == run.folder / "model.safetensors"
    assert run.scores["val_dice"] == run.dice
    assert not run.interrupted
    model = run.model
    assert isinstance(model, unetkit.Segmenter)
    assert model.spec.training["val_dice"] == run.dice
    assert unetkit.segment(cells / "images" / "cells_000.tif", run.folder / "mask.tif", model)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ConfigError, "--data.train must be given"),
        ({"data": {"trian": "x"}}, ConfigError, r"no setting 'data.trian'. Did you mean 'data.train'"),
        ({"data": {"train": "nowhere"}}, DataError, "no file or folder nowhere"),
        ({"data": {"train": "."}, "model": {"lr": "fast"}}, ConfigError, "model.lr: 'fast' is not possible"),
        ({"data": {"train": "."}, "model": {"lr": torch.nn.ReLU}}, ConfigError, "model.lr"),
        ({"data": {"train": "."}, "trainer": {"logger": "None"}}, ConfigError, "no class that Lightning has"),
        ({"config": "nowhere.yaml"}, ConfigError, "no configuration file"),
        ({"resume": "nowhere"}, ConfigError, "is not a run that can be resumed"),
    ],
)
def test_a_mistake_is_an_error_with_a_remedy(
    given: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        unetkit.fit(**given)
    assert not list(tmp_path.iterdir())


def test_a_name_is_used_once(run: SegmentationResult, cells: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        fit(cells, run.folder.parent, name="first")


class Counter(Callback):
    """Counts epochs."""

    epochs = 0

    def on_train_epoch_end(self, *_: Any) -> None:
        self.epochs += 1


def test_objects_of_lightning_are_used_and_a_configuration_is_gone_over(cells: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("data: {normalization: {low: 2, high: 98}}\ntrainer: {log_every_n_steps: 1}\n")
    counter, logger = Counter(), CSVLogger(tmp_path / "logs")
    done = fit(
        cells,
        tmp_path,
        config=config,
        data={"normalization.low": 3, "seed": 4},
        trainer={"max_epochs": 1, "callbacks": [counter], "logger": logger},
    )
    assert done.folder == tmp_path / "mine-1"
    assert counter.epochs == 1
    assert (Path(logger.log_dir) / "metrics.csv").is_file()
    kept = yaml.safe_load((done.folder / "config.yaml").read_text())
    assert (kept["data"]["normalization"]["low"], kept["data"]["normalization"]["high"]) == (3, 98)
    assert (kept["trainer"]["callbacks"], kept["trainer"]["logger"]) == (None, False)
    again = unetkit.fit(resume=done.folder, trainer={"max_epochs": 2, "callbacks": [counter]})
    assert isinstance(again, SegmentationResult)
    assert again.folder == done.folder
    assert counter.epochs == 2


def test_folds_give_a_cross_validation(cells: Path, tmp_path: Path) -> None:
    done = fit(cells, tmp_path, data={"folds": 2, "crops_per_epoch": 4}, trainer={"max_epochs": 1}, name="whole")
    assert isinstance(done, CrossValidation)
    assert done.folder == tmp_path / "whole"
    assert [row.model for row in done.rows] == ["fold-0/model.safetensors", "fold-1/model.safetensors"]
