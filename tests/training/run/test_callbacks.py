from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unetkit.foundation.errors import OutputError
from unetkit.training.run.budget import Budget, BudgetKeeper
from unetkit.training.run.callbacks import TIMED_BATCHES, CpuNotice, KeepBest, MetricsTable, RunFolder, name_epoch


class FakeTrainer(SimpleNamespace):
    """The few things that the callbacks ask a trainer for."""

    def __init__(self, **values: Any) -> None:
        defaults: dict[str, Any] = {
            "is_global_zero": True,
            "sanity_checking": False,
            "current_epoch": 0,
            "max_epochs": 5,
            "global_step": 0,
            "callback_metrics": {},
            "optimizers": [SimpleNamespace(param_groups=[{"lr": 0.001}])],
            "is_last_batch": False,
            "num_training_batches": 100,
            "estimated_stepping_batches": 500,
            "num_val_batches": [1],
            "callbacks": [],
        }
        super().__init__(**{**defaults, **values})


def kept_epochs(scores: list[float], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    keeper = KeepBest(folder)
    kept: list[int] = []
    monkeypatch.setattr(KeepBest, "_write", lambda self, trainer, module: kept.append(trainer.current_epoch))
    for epoch, score in enumerate(scores):
        trainer: Any = FakeTrainer(current_epoch=epoch, callback_metrics={"val_dice": torch.tensor(score)})
        keeper.on_validation_end(trainer, None)  # type: ignore[arg-type]
        keeper.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    return kept


def test_a_model_is_kept_only_when_it_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_epochs([0.0, 0.3, 0.2, 0.3, 0.5, float("nan")], tmp_path, monkeypatch) == [0, 1, 4]


def test_of_models_with_the_same_first_score_the_next_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = KeepBest(tmp_path, ("val_image_auroc", "val_image_accuracy"))
    kept: list[int] = []
    monkeypatch.setattr(KeepBest, "_write", lambda self, trainer, module: kept.append(trainer.current_epoch))
    for epoch, (auroc, accuracy) in enumerate([(1.0, 0.5), (1.0, 0.9), (1.0, 0.7), (0.9, 1.0)]):
        metrics = {"val_image_auroc": torch.tensor(auroc), "val_image_accuracy": torch.tensor(accuracy)}
        keeper.on_validation_end(FakeTrainer(current_epoch=epoch, callback_metrics=metrics), None)  # type: ignore[arg-type]
    assert kept == [0, 1]
    assert keeper.best_scores["val_image_accuracy"] == pytest.approx(0.9)


def test_the_trial_validation_before_training_keeps_nothing(tmp_path: Path) -> None:
    keeper = KeepBest(tmp_path)
    trainer: Any = FakeTrainer(sanity_checking=True, callback_metrics={"val_dice": torch.tensor(0.9)})
    keeper.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert keeper.best_epoch == -1


def test_the_start_and_the_best_epoch_are_compared_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeepBest, "_write", lambda self, trainer, module: setattr(self, "best_epoch", 6))
    keeper = KeepBest(tmp_path)
    assert keeper.compare_start() == ""
    keeper.start_scores = {"val_dice": 0.9}
    assert keeper.compare_start() == ""
    for score in (0.85, 0.95):
        keeper.on_validation_end(FakeTrainer(callback_metrics={"val_dice": torch.tensor(score)}), None)  # type: ignore[arg-type]
    line = "Validation Dice: 0.9000 before training, 0.9500 at best after it; epoch 7 is kept."
    assert keeper.compare_start() == line
    again = KeepBest(tmp_path)
    again.load_state_dict(keeper.state_dict())
    assert again.compare_start() == line
    again.best_epoch = -1
    assert again.compare_start().endswith("the start is kept.")


def test_an_epoch_of_a_run_of_a_given_time_says_how_much_of_it_is_over() -> None:
    keeper = BudgetKeeper(Budget(60, 0, lambda: 0))
    keeper.progress = 0.41
    assert name_epoch(FakeTrainer(current_epoch=2, callbacks=[keeper])) == "3, 41% of the time"  # type: ignore[arg-type]
    assert name_epoch(FakeTrainer(current_epoch=2)) == "3/5"  # type: ignore[arg-type]


def write_epoch(table: MetricsTable, epoch: int, *, validated: bool = True) -> None:
    metrics = {"train_loss_epoch": torch.tensor(0.5), "val_dice": torch.tensor(0.75)}
    trainer: Any = FakeTrainer(current_epoch=epoch, global_step=10 * (epoch + 1), callback_metrics=metrics)
    table.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    if validated:
        table.on_validation_end(trainer, None)  # type: ignore[arg-type]
    table.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def rows_of(table: MetricsTable) -> list[dict[str, str]]:
    with table.path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_is_written_for_each_epoch_and_a_resumed_run_replaces_those_it_repeats(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path, speak=False)
    table.on_train_start(FakeTrainer(), None)  # type: ignore[arg-type]
    for epoch in range(3):
        write_epoch(table, epoch)
    table.on_train_start(FakeTrainer(current_epoch=1), None)  # type: ignore[arg-type]
    assert [row["epoch"] for row in rows_of(table)] == ["0"]
    write_epoch(table, 1)
    assert [(row["epoch"], row["step"], row["val_dice"]) for row in rows_of(table)] == [
        ("0", "10", "0.7500"),
        ("1", "20", "0.7500"),
    ]
    assert tuple(rows_of(table)[0]) == table.columns


def test_an_epoch_without_validation_does_not_repeat_the_scores_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = MetricsTable(tmp_path, speak=True)
    table.on_train_start(FakeTrainer(), None)  # type: ignore[arg-type]
    write_epoch(table, 0, validated=False)
    assert rows_of(table)[0]["val_dice"] == ""
    assert "validation" not in capsys.readouterr().out
    write_epoch(table, 1)
    assert "epoch 2/5  loss 0.5000  validation Dice 0.7500" in capsys.readouterr().out


def test_the_time_is_told_once_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    notice, module = CpuNotice(), SimpleNamespace(device=torch.device("cpu"))
    notice.on_train_start(FakeTrainer(), module)  # type: ignore[arg-type]
    for batch in range(3 * TIMED_BATCHES):
        notice.on_train_batch_end(FakeTrainer(), module, None, None, batch)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert "Training on the CPU" in out
    assert out.count("an epoch about") == 1


def test_on_a_gpu_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    notice, module = CpuNotice(), SimpleNamespace(device=torch.device("cuda"))
    notice.on_train_start(FakeTrainer(), module)  # type: ignore[arg-type]
    notice.on_train_batch_end(FakeTrainer(is_last_batch=True), module, None, None, 0)  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""


def test_a_run_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run", None).on_fit_start(FakeTrainer(), None)  # type: ignore[arg-type]
