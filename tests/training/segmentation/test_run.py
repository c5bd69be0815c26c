from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.report.calibration import CALIBRATION
from unetkit.training.run.trainer import make_trainer
from unetkit.training.segmentation import calibration
from unetkit.training.segmentation.metrics import SegmentationScores
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.run import train
from unetkit.zoo.opening import load_model


class StopAt(Callback):
    """Ctrl-C after a step of the optimizer."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def parts(cells: Path) -> tuple[SegmentationModule, SegmentationData]:
    torch.manual_seed(0)
    module = SegmentationModule("resnet18", depth=3, decoder_channels=[8, 8, 8])
    data = SegmentationData(str(cells), val=0.4, crop=64, batch_size=4, crops_per_epoch=8, workers=0, augment="none")
    return module, data


def test_ctrl_c_keeps_the_best_model_and_finishes_it(cells: Path, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", accelerator="cpu", max_epochs=3, callbacks=[StopAt(3)])
    result = train(trainer, *parts(cells))
    assert result.interrupted
    assert result.epoch == 1
    spec = load_model(result.model_file).spec
    assert spec.halo == result.halo.halo
    assert spec.halo_error is not None
    assert spec.training["val_dice"] == result.dice
    assert spec.training_images is not None
    assert spec.training_images.dtypes == ("uint16",)
    assert (result.folder / "validation.png").is_file()
    assert (result.folder / "last.ckpt").is_file()


def test_settings_are_chosen_once_also_by_a_run_that_is_resumed(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "FEWEST_IMAGES", 2)
    folder = tmp_path / "run"
    first = train(make_trainer(folder, accelerator="cpu", max_epochs=1), *parts(cells))
    assert first.calibration is not None
    assert first.calibration["images"] == 2
    before = load_model(first.model_file)
    assert before.spec.training[CALIBRATION]["temperature"] == first.calibration["temperature"]
    again = train(make_trainer(folder, accelerator="cpu", max_epochs=1), *parts(cells), resume=True)
    after = load_model(again.model_file)
    assert after.spec.training[CALIBRATION] == before.spec.training[CALIBRATION]
    assert after.spec.threshold == before.spec.threshold
    assert all(after.state_dict()[name].equal(values) for name, values in before.state_dict().items())


def test_ctrl_c_in_the_first_epoch_says_that_there_is_no_model(cells: Path, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", accelerator="cpu", max_epochs=3, callbacks=[StopAt(1)])
    with pytest.raises(KeyboardInterrupt):
        train(trainer, *parts(cells))


def test_a_run_without_a_score_says_that_it_has_diverged(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentationScores, "compute", lambda self: {"dice": torch.tensor(float("nan"))})
    with pytest.raises(ModelError, match="has diverged") as caught:
        train(make_trainer(tmp_path / "run", accelerator="cpu", max_epochs=1), *parts(cells))
    assert "Lower model.lr" in caught.value.remedy


def test_a_folder_without_a_checkpoint_cannot_be_resumed(cells: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="to go on from"):
        train(make_trainer(tmp_path, accelerator="cpu"), *parts(cells), resume=True)


def test_bad_data_leave_no_run_folder(cells: Path, tmp_path: Path) -> None:
    module, data = parts(cells)
    data.crop = 60
    with pytest.raises(ConfigError, match="60 is not divisible"):
        train(make_trainer(tmp_path / "runs" / "run", accelerator="cpu", max_epochs=1), module, data)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "max_epochs: 0 is not possible"),
        ({"max_epochs": -1}, "max_epochs: -1 is not possible"),
        ({"accelerator": "cpuu"}, "invalid accelerator name"),
        ({"accelerator": "tpu"}, "xla"),
    ],
)
def test_what_lightning_cannot_do_is_an_error_with_a_remedy(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(tmp_path, **arguments)
