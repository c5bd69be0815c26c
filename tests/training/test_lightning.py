"""The modules and data work with a plain Trainer of Lightning's, as any other."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from torch.utils.data import DataLoader

from unetkit.data.base import TrainingData
from unetkit.data.datamodule import SegmentationData
from unetkit.data.labelled import LabelledData
from unetkit.data.unmasked import ImageData
from unetkit.foundation.errors import ConfigError, DataError, ModelError
from unetkit.training.classification.module import ClassificationModule
from unetkit.training.pretraining.corruption import Corruption
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.run.base import NetworkModule
from unetkit.training.segmentation.module import SegmentationModule

SMALL: dict[str, Any] = {"encoder": "resnet18", "depth": 3}
SEEN: dict[str, Any] = {"crop": 64, "batch_size": 4, "workers": 0, "augment": "none"}


class Notes(Logger):
    """A logger of the user's own."""

    name, version = "notes", 0

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.metrics: set[str] = set()

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.settings |= dict(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.metrics |= set(metrics)


def plain_trainer(folder: Path, **more: Any) -> Trainer:
    usual = {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(default_root_dir=folder, **{**usual, "logger": False, **more})


def segmentation(cells: Path) -> tuple[SegmentationModule, SegmentationData]:
    module = SegmentationModule(**SMALL, decoder_channels=[8, 8, 8], lr=0.002)
    return module, SegmentationData(str(cells), val=0.4, crops_per_epoch=4, **SEEN)


def classification(cells: Path, folder: Path) -> tuple[ClassificationModule, LabelledData]:
    images = sorted((cells / "images").iterdir())
    labels = "".join(f"{path},{number % 2}\n" for number, path in enumerate(images))
    (folder / "labels.csv").write_text(f"image,label\n{labels}")
    data = LabelledData(str(folder / "labels.csv"), val=0.4, images_per_epoch=4, **SEEN)
    return ClassificationModule(["odd"], **SMALL), data


def pretraining(cells: Path) -> tuple[PretrainModule, ImageData]:
    module = PretrainModule(**SMALL, decoder_channels=[8, 8, 8], corruption=Corruption(hidden=0.5))
    return module, ImageData(str(cells), val=0.4, crops_per_epoch=4, **SEEN)


@pytest.mark.parametrize("kind", ["segmentation", "classification", "pretraining"])
def test_fitted_saved_loaded_validated_tested_and_used(kind: str, cells: Path, tmp_path: Path) -> None:
    makers = {
        "segmentation": lambda: segmentation(cells),
        "classification": lambda: classification(cells, tmp_path),
        "pretraining": lambda: pretraining(cells),
    }
    module: NetworkModule
    data: TrainingData
    module, data = makers[kind]()  # type: ignore[assignment]
    deciding = {"segmentation": "dice", "classification": "image_auroc", "pretraining": "r2"}[kind]
    best = ModelCheckpoint(tmp_path / "best", monitor=f"val_{deciding}", mode="max")
    logger = CSVLogger(tmp_path, version="")
    notes = Notes()
    trainer = plain_trainer(tmp_path, callbacks=[best], logger=[logger, notes], log_every_n_steps=1)
    trainer.fit(module, data)
    assert {"train_loss_step", f"val_{deciding}"} <= notes.metrics
    assert notes.settings["encoder"] == "resnet18"
    logger.save()
    with (Path(logger.log_dir) / "metrics.csv").open(newline="") as file:
        assert {"train_loss_step", f"val_{deciding}"} <= set(next(csv.reader(file)))
    fitted = trainer.validate(module, data, verbose=False)[0]

    loaded = type(module).load_from_checkpoint(best.best_model_path)
    assert loaded.spec == module.spec
    assert loaded.hparams == module.hparams
    again = plain_trainer(tmp_path)
    _, fresh = makers[kind]()
    assert again.validate(loaded, fresh, verbose=False)[0] == pytest.approx(fitted)
    tested = again.test(loaded, fresh, verbose=False)[0]
    assert tested == pytest.approx({name.replace("val_", "test_"): value for name, value in fitted.items()})
    predicted = again.predict(loaded, fresh)
    assert predicted is not None
    shape = {"segmentation": (96, 96), "classification": (4, 1), "pretraining": (2, 1, 64, 64)}[kind]
    assert isinstance(predicted[0], np.ndarray)
    assert predicted[0].shape[1:] == shape[1:]
    assert len(trainer.test(module, fresh, ckpt_path="best", verbose=False, weights_only=True)) == 1


def test_a_loaded_module_segments_what_a_loader_of_the_user_gives_and_is_trained_on(
    cells: Path, tmp_path: Path
) -> None:
    module, data = segmentation(cells)
    plain_trainer(tmp_path).fit(module, data)
    module.trainer.save_checkpoint(tmp_path / "c.ckpt")
    loaded = SegmentationModule.load_from_checkpoint(tmp_path / "c.ckpt", lr=0.0005)
    assert loaded.lr == 0.0005
    images: Any = [{"image": torch.rand(1, 50, 70)}]
    masks = plain_trainer(tmp_path).predict(loaded, DataLoader(images, batch_size=None))
    assert masks is not None
    assert masks[0].shape == (50, 70)  # type: ignore[union-attr,call-overload]
    before = {name: value.clone() for name, value in loaded.segmenter.network.state_dict().items()}
    plain_trainer(tmp_path).fit(loaded, segmentation(cells)[1])
    assert any(not torch.equal(before[name], value) for name, value in loaded.segmenter.network.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused(cells: Path, tmp_path: Path) -> None:
    module, data = segmentation(cells)
    trainer = plain_trainer(tmp_path)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "c.ckpt")
    other = SegmentationModule(**SMALL, decoder_channels=[16, 8, 8])
    with pytest.raises(ModelError, match=r"another network: \d+ of its weights differ"):
        plain_trainer(tmp_path).fit(other, segmentation(cells)[1], ckpt_path=tmp_path / "c.ckpt", weights_only=True)
    with pytest.raises(DataError, match="not those of the checkpoint"):
        plain_trainer(tmp_path, max_epochs=2).fit(
            segmentation(cells)[0],
            SegmentationData(str(cells), val=0.2, crops_per_epoch=4, **SEEN),
            ckpt_path=tmp_path / "c.ckpt",
            weights_only=True,
        )


def test_what_cannot_work_is_an_error_with_a_remedy(cells: Path, tmp_path: Path) -> None:
    module, _ = segmentation(cells)
    loader: Any = DataLoader([{"image": torch.rand(1, 50, 70)}], batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot tell which network"):
        plain_trainer(tmp_path).predict(module, loader)
    with pytest.raises(DataError, match="No images are set aside"):
        plain_trainer(tmp_path).test(module, SegmentationData(str(cells), val=0.0, crops_per_epoch=4, **SEEN))
    assert isinstance(module, LightningModule)


def test_a_checkpoint_goes_on_to_what_an_unbroken_run_gives(cells: Path, tmp_path: Path) -> None:
    def trained(folder: Path, epochs: int, start: Path | None = None) -> SegmentationModule:
        torch.manual_seed(0)
        module = SegmentationModule(**SMALL, decoder_channels=[8, 8, 8], schedule="constant")
        data = segmentation(cells)[1]
        kept = ModelCheckpoint(folder, save_last=True)
        plain_trainer(folder, max_epochs=epochs, callbacks=[kept]).fit(module, data, ckpt_path=start, weights_only=True)
        return module

    whole = trained(tmp_path / "whole", 2).segmenter.network.state_dict()
    first = trained(tmp_path / "first", 1).segmenter.network.state_dict()
    again = trained(tmp_path / "again", 2, tmp_path / "first" / "last.ckpt").segmenter.network.state_dict()
    assert not all(torch.equal(first[name], value) for name, value in whole.items())
    assert all(torch.equal(again[name], value) for name, value in whole.items())
