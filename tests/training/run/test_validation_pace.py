from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from unetkit.data.datamodule import SegmentationData
from unetkit.training.run.trainer import make_trainer
from unetkit.training.run.validation_pace import ValidationPace, validated_epochs
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.segmentation.run import train


@pytest.mark.parametrize("epochs", [1, 2, 3, 8, 20, 50])
@pytest.mark.parametrize("work", [0.0, 0.01, 0.1, 0.11, 0.25, 0.5, 1.0, 4.0])
def test_validation_takes_a_tenth_or_the_first_and_the_last_epoch_alone(epochs: int, work: float) -> None:
    chosen = validated_epochs(epochs, work)
    assert {0, epochs - 1} <= chosen <= set(range(epochs))
    spent = len(chosen) * work
    assert len(chosen) <= 2 or spent <= 0.1 * (epochs + spent) + 1e-9
    more = spent + work
    assert len(chosen) == epochs or more > 0.1 * (epochs + more) - 1e-9


def test_the_epochs_lie_evenly() -> None:
    chosen = sorted(validated_epochs(50, 0.4))
    gaps = {later - earlier for earlier, later in pairwise(chosen)}
    assert max(gaps) - min(gaps) <= 1


class Validated(Callback):
    """Notes the epochs after which there was a validation."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.epochs.append(trainer.current_epoch)


def fit(cells: Path, folder: Path, epochs: int, **more: Any) -> tuple[SegmentationResult, list[int]]:
    """Train with images to validate on that have about as many pixels as an epoch."""
    torch.manual_seed(0)
    module = SegmentationModule(encoder="resnet18", depth=3, decoder_channels=[8, 8, 8])
    data = SegmentationData(str(cells), val=0.4, crop=32, batch_size=2, crops_per_epoch=2, workers=0, augment="none")
    noted = Validated()
    trainer = make_trainer(folder, accelerator="cpu", max_epochs=epochs, callbacks=[noted], **more)
    return train(trainer, module, data, resume=(folder / "last.ckpt").is_file()), noted.epochs


def test_costly_validation_is_left_out_and_the_kept_epoch_is_a_validated_one(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, validated = fit(cells, tmp_path / "run", 4)
    assert validated == [0, 3]
    assert result.epoch in (1, 4)
    assert "Validation after 2 of the 4 epochs" in capsys.readouterr().out
    rows = (tmp_path / "run/metrics.csv").read_text(encoding="utf-8").splitlines()
    scored = [row.split(",")[4] != "" for row in rows[1:]]
    assert scored == [True, False, False, True]


def test_a_given_number_of_epochs_between_validations_counts(cells: Path, tmp_path: Path) -> None:
    _, validated = fit(cells, tmp_path / "run", 3, check_val_every_n_epoch=1)
    assert validated == [0, 1, 2]


def test_an_epoch_at_which_the_run_stops_is_validated(cells: Path, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    noted = Validated()
    module = SegmentationModule(encoder="resnet18", depth=3, decoder_channels=[8, 8, 8])
    data = SegmentationData(str(cells), val=0.4, crop=32, batch_size=2, crops_per_epoch=2, workers=0, augment="none")
    train(make_trainer(tmp_path, accelerator="cpu", max_epochs=9, callbacks=[Stop(), noted]), module, data)
    assert noted.epochs == [0, 1]


def test_a_given_interval_is_lightnings_own(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, accelerator="cpu", max_epochs=1, val_check_interval=0.5)
    assert not any(isinstance(callback, ValidationPace) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    assert trainer.check_val_every_n_epoch == 1
