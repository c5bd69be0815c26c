"""A training that diverges stops with a sentence, and what was good before is kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.run.divergence import SKIPPED_STEPS, DivergenceError, StopWhenBroken, is_finite
from unetkit.training.segmentation.module import SegmentationModule

NAN = float("nan")


def spoil(patch: pytest.MonkeyPatch, kind: type[Any], step: int) -> None:
    """Make the loss NaN from a step on."""
    usual = kind.training_step

    def training_step(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = usual(self, batch, batch_idx)
        return loss * (NAN if self.global_step >= step else 1.0)

    patch.setattr(kind, "training_step", training_step)


def test_a_loss_of_nan_ends_training_and_leaves_no_model_where_there_was_none(
    fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, SegmentationModule, 1)
    code, out = fit_cells(tmp_path, "--name", "run")
    assert code == 2
    said = capsys.readouterr().err
    assert "Training has diverged: the loss was nan at step 2, in epoch 1." in said
    assert "Lower model.lr (it is 0.003)" in said
    assert "Best model" not in out
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_best_model_before_it_is_kept_and_can_be_used(
    fit_cells: Fit, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, SegmentationModule, 2)
    code, out = fit_cells(tmp_path, "--name", "run", "--trainer.max_epochs", "3")
    model = tmp_path / "run" / "model.safetensors"
    assert code == 2
    assert f"The best model so far is kept: {model}, that of epoch 1." in capsys.readouterr().err
    assert "Try it" not in out
    assert all(value.isfinite().all() for value in load_file(model).values() if value.is_floating_point())
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    image = next((cells / "images").iterdir())
    assert main(["segment", str(image), str(tmp_path / "mask.tif"), "--model", str(model)]) == 0


def test_weights_that_are_spoilt_by_the_last_step_of_an_epoch_are_not_scored(
    fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = SegmentationModule.on_train_batch_end

    def spoil_weights(self: SegmentationModule, *arguments: Any) -> None:
        if self.global_step == 2:
            next(self.segmenter.network.parameters()).data.fill_(NAN)
        usual(self, *arguments)

    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", spoil_weights)
    assert fit_cells(tmp_path, "--name", "run")[0] == 2
    assert "weights of the network were no numbers after step 2, in epoch 1" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_pretraining_stops_too(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, PretrainModule, 0)
    small = "--model.encoder resnet18 --model.depth 3 --data.crop 64 --data.crops_per_epoch 8 --data.workers 0"
    words = ["pretrain", "--data.images", str(cells), *small.split(), "--runs", str(tmp_path), "--name", "run"]
    assert main([*words, "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1"]) == 2
    assert "the loss was nan at step 1" in capsys.readouterr().err


def stepped(losses: list[float], *, scaler: object | None) -> int:
    """Return the number of steps after which losses end training; all of them if they do not."""
    callback = StopWhenBroken()
    for step, loss in enumerate(losses, 1):
        trainer: Any = SimpleNamespace(
            is_global_zero=True,
            current_epoch=0,
            global_step=step,
            precision="16-mixed",
            precision_plugin=SimpleNamespace(scaler=scaler),
        )
        try:
            callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, 0)  # type: ignore[arg-type]
        except DivergenceError:
            return step
    return len(losses)


def test_only_where_gradients_are_scaled_a_few_steps_may_give_no_number() -> None:
    assert stepped([1.0, NAN, 1.0, 1.0], scaler=None) == 2
    assert stepped([1.0, float("inf"), 1.0], scaler=None) == 2
    assert stepped([1.0, NAN, 1.0, 1.0], scaler=object()) == 4
    assert stepped([1.0] + [NAN] * 100, scaler=object()) == SKIPPED_STEPS + 2


def test_the_mean_of_batch_norm_counts_as_a_weight() -> None:
    norm = torch.nn.BatchNorm2d(3)
    assert is_finite(norm)
    assert norm.running_mean is not None
    norm.running_mean[1] = float("inf")
    assert not is_finite(norm)
