"""Runs of a given time, by a clock that moves on as the test says: nothing here is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation.errors import ConfigError
from unetkit.models.model_file import read_spec
from unetkit.training.run.budget import Budget, BudgetKeeper, budget_of, spell_seconds, spell_use
from unetkit.training.run.schedule import rate_factor
from unetkit.training.run.trainer import make_trainer
from unetkit.training.run.training_run import FoldPlace
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.segmentation.run import SegmentationRun, train
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT

BATCH, IMAGE, EPOCH = 1.0, 2.0, 0.5
"""Seconds that a batch, an image to validate on, and the start of an epoch take by the clock."""


class Clock(Callback):
    """A clock that moves on with what is done, and notes how fast what is learned.

    Args:
        batch: Seconds for a batch at a time: a busy machine is one where it is more.
    """

    def __init__(self, batch: Callable[[float], float] = lambda _: BATCH) -> None:
        self.now = 100.0
        self.batch = batch
        self.rates: list[tuple[float, float]] = []
        self.validated: list[float] = []

    def __call__(self) -> float:
        return self.now

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.now += EPOCH

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.rates.append((self.now, trainer.optimizers[0].param_groups[0]["lr"]))
        self.now += self.batch(self.now)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.now += IMAGE
        if not trainer.sanity_checking and (not self.validated or self.now - self.validated[-1] > IMAGE):
            self.validated.append(self.now)


def fit_in(seconds: float, clock: Clock, folder: Path, cells: Path, **more: Any) -> tuple[SegmentationResult, Trainer]:
    """Train for so many seconds of the clock."""
    torch.manual_seed(0)
    module = SegmentationModule(**{"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8], **more})
    data = SegmentationData(str(cells), val=0.4, crop=32, batch_size=2, crops_per_epoch=16, workers=0, augment="none")
    budget = Budget(seconds, clock(), clock)
    settings: dict[str, Any] = {"accelerator": "cpu", "max_epochs": -1, "callbacks": [clock]}
    trainer = make_trainer(folder, budget=budget, **settings)
    return train(trainer, module, data, resume=(folder / "last.ckpt").is_file()), trainer


@pytest.mark.parametrize("slow", [1.0, 3.0])
def test_a_run_ends_within_a_tenth_of_its_time_however_fast_the_machine(
    slow: float, cells: Path, tmp_path: Path
) -> None:
    clock = Clock(lambda now: slow * BATCH)
    result, trainer = fit_in(100, clock, tmp_path / "run", cells)
    keeper = budget_of(trainer)
    assert keeper is not None
    assert 90 <= keeper.elapsed() <= 100
    assert keeper.progress == pytest.approx(1, abs=0.05)
    assert keeper.crops == 2 * len(clock.rates)
    assert result.epoch > 0
    assert not result.interrupted
    assert read_spec(result.model_file).training["epochs"] == trainer.current_epoch


def test_a_machine_that_slows_down_halfway_changes_nothing_about_the_end(cells: Path, tmp_path: Path) -> None:
    clock = Clock(lambda now: BATCH if now < 140 else 4 * BATCH)
    _, trainer = fit_in(100, clock, tmp_path / "run", cells)
    keeper = budget_of(trainer)
    assert keeper is not None
    assert 90 <= keeper.elapsed() <= 100


def test_the_learning_rate_follows_the_clock(cells: Path, tmp_path: Path) -> None:
    clock = Clock()
    fit_in(80, clock, tmp_path / "run", cells, lr=0.01)
    start, end = clock.rates[0][0], clock.rates[-1][0] + BATCH
    for now, rate in clock.rates[1:]:
        assert rate == pytest.approx(0.01 * rate_factor("one_cycle", (now - start) / (end - start)), abs=0.0012)
    assert clock.rates[-1][1] < 0.0005


def test_validation_takes_a_tenth_of_the_time_and_the_last_one_is_at_the_end(cells: Path, tmp_path: Path) -> None:
    clock = Clock()
    fit_in(200, clock, tmp_path / "run", cells)
    assert len(clock.validated) >= 3
    gaps = [later - earlier for earlier, later in zip(clock.validated, clock.validated[1:], strict=False)]
    assert all(gap >= 9 * 2 * IMAGE for gap in gaps[:-1])
    assert clock.validated[-1] > clock.rates[-1][0]


def test_a_resumed_run_has_the_time_that_was_left(cells: Path, tmp_path: Path) -> None:
    class Stop(Clock):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    first = Stop()
    result, trainer = fit_in(100, first, tmp_path / "run", cells)
    assert result.interrupted
    saved = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["callbacks"]["BudgetKeeper"]
    assert 15 < saved["used"] < 40
    second = Clock()
    _, trainer = fit_in(100, second, tmp_path / "run", cells)
    keeper = budget_of(trainer)
    assert keeper is not None
    assert 90 <= keeper.elapsed() <= 100
    assert second.now - 100 == pytest.approx(keeper.elapsed() - saved["used"])
    assert second.rates[0][1] == pytest.approx(first.rates[16][1])
    trained = keeper.crops
    _, trainer = fit_in(100, third := Clock(), tmp_path / "run", cells)
    assert not third.rates
    keeper = budget_of(trainer)
    assert keeper is not None
    assert keeper.crops == trained
    _, trainer = fit_in(200, fourth := Clock(), tmp_path / "run", cells)  # with more time it goes on
    keeper = budget_of(trainer)
    assert keeper is not None
    assert 180 <= keeper.elapsed() <= 200
    assert fourth.rates[10][1] == pytest.approx(0.001 * rate_factor("one_cycle", 0.55), rel=0.2)


def test_no_time_to_train_in_is_an_error_before_training(cells: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is too little") as caught:
        fit_in(7, Clock(), tmp_path / "run", cells)
    assert "Give at least" in caught.value.remedy
    with pytest.raises(ConfigError, match="minutes: 0 is not possible"):
        Budget(0, 0)


def test_without_time_to_train_a_start_that_is_there_is_the_result(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, _ = fit_in(40, Clock(), tmp_path / "start", cells)
    result, _ = fit_in(9, clock := Clock(), tmp_path / "run", cells, weights=str(start.model_file))
    assert result.epoch == 0
    assert result.dice == pytest.approx(start.dice)
    assert not clock.rates
    assert "leave no time to train: the start is kept" in capsys.readouterr().out


def test_minutes_and_a_configuration_go_together(cells: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f"minutes: 2\ndata: {{train: {cells}, crop: 64}}\ntrainer: {{accelerator: cpu}}\n")
    cli = SegmentationRun(from_arguments(FIT, ["--config", str(config)]))
    keeper = budget_of(cli.trainer)
    assert keeper is not None
    assert keeper.budget.seconds == 120
    assert cli.trainer.max_epochs == -1
    both = SegmentationRun(
        from_arguments(FIT, ["--config", str(config), "--trainer.max_epochs", "3", "--minutes", "1"])
    )
    keeper = budget_of(both.trainer)
    assert keeper is not None
    assert keeper.budget.seconds == 60
    assert both.trainer.max_epochs == 3
    without = SegmentationRun(from_arguments(FIT, ["--config", str(config), "--minutes", "null"]))
    assert budget_of(without.trainer) is None
    assert without.trainer.max_epochs == 50


def test_folds_share_the_time(cells: Path, tmp_path: Path) -> None:
    words = ["--data.train", str(cells), "--data.folds", "2", "--plan", "false", "--minutes", "4"]
    args = [*words, "--runs", str(tmp_path), "--trainer.accelerator", "cpu"]
    whole = SegmentationRun(replace(from_arguments(FIT, args), began=5.0))
    budgets = [SegmentationRun(whole.run_config, FoldPlace(tmp_path / "folds", fold)).budget() for fold in (0, 1)]
    assert [budget and budget.seconds for budget in budgets] == [120, 120]
    assert budgets[0] is not None
    assert budgets[1] is not None
    assert budgets[0].began == 5
    assert budgets[1].began > 5


def test_how_far_a_run_came_is_said_in_words() -> None:
    keeper = BudgetKeeper(Budget(180, 0, lambda: 175.4))
    keeper.crops = 1200
    assert spell_use(keeper, 40, 1) == (
        "2 min 55 s of 3 min 00 s used: 1,200 crops, each part of the images about 30 times, in 1 epoch."
    )
    assert spell_use(keeper, None, 2).endswith("1,200 crops, in 2 epochs.")
    assert [spell_seconds(seconds) for seconds in (4.4, 59.6, 125)] == ["4 s", "1 min 00 s", "2 min 05 s"]
