"""Runs on volumes, on tiny ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.report.run.folder import VALIDATION_PICTURE
from unetkit.training.run.trainer import make_trainer
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.predicting import predict_item
from unetkit.training.segmentation.run import train
from unetkit.zoo.opening import load_model

NETWORK: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8], "dims": 3, "lr": 0.003}


def balls(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A volume of bright balls whose planes are twice as far apart as pixels, and their numbers."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:10, :24, :24]
    labels = np.zeros((10, 24, 24), np.uint16)
    for number in range(1, 5):
        center = rng.uniform((2, 4, 4), (8, 20, 20))
        inside = (2 * (z - center[0])) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < 20
        labels[inside & (labels == 0)] = number
    image = np.where(labels > 0, 180, 40) + rng.normal(0, 8, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    folder = tmp_path / "stacks"
    for number in range(3):
        for name, volume in zip(("images", "masks"), balls(number), strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                folder / name / f"{number}.tif",
                volume,
                imagej=True,
                resolution=(1, 1),
                metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
            )
    return folder


def parts(stacks: Path, crops: int = 4, **network: Any) -> tuple[SegmentationModule, SegmentationData]:
    torch.manual_seed(0)
    data = SegmentationData(
        str(stacks), val=0.34, crop=[8, 32, 32], batch_size=2, crops_per_epoch=crops, workers=0, augment="light"
    )
    return SegmentationModule(**{**NETWORK, **network}), data


def test_a_run_on_volumes_leaves_a_model_of_volumes_with_a_halo_for_each_axis(stacks: Path, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", accelerator="cpu", max_epochs=5)
    result = train(trainer, *parts(stacks, 12, instances=True))
    assert result.dice is not None
    assert result.dice > 0.5
    assert {"val_ap50", "val_f1", "val_pq"} <= result.scores.keys()
    spec = load_model(result.model_file).spec
    assert spec.dims == 3
    assert spec.pooling == ((1, 2, 2), (2, 2, 2), (1, 2, 2))  # planes are twice as far apart as pixels, and few
    assert spec.pixel_size_um == pytest.approx((2, 1, 1))
    assert isinstance(spec.halo, tuple)
    assert len(spec.halo) == 3
    assert spec.training["data"]["crop"] == [8, 32, 32]
    picture = cv2.imread(str(result.folder / VALIDATION_PICTURE))
    assert picture is not None
    assert picture.shape[1] == 800


def test_a_run_goes_on_as_if_it_had_not_been_stopped(stacks: Path, tmp_path: Path) -> None:
    def run(folder: str, epochs: int, *, resume: bool = False) -> dict[str, torch.Tensor]:
        module, data = parts(stacks, 2, checkpointing=True, schedule="constant")
        trainer = make_trainer(tmp_path / folder, accelerator="cpu", max_epochs=epochs)
        train(trainer, module, data, resume=resume)
        return dict(module.segmenter.network.state_dict())

    run("stopped", 1)
    gone_on, whole = run("stopped", 2, resume=True), run("whole", 2)
    assert all(torch.equal(gone_on[name], whole[name]) for name in whole)


def test_volumes_start_from_a_model_of_planes(stacks: Path, tmp_path: Path) -> None:
    start = tmp_path / "planes.safetensors"
    flat = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8))
    save_model(Segmenter(flat), start)
    module, data = parts(stacks, 2, weights=str(start), freeze_encoder=True)
    train(make_trainer(tmp_path / "run", accelerator="cpu", max_epochs=1), module, data)
    flat_weight = load_model(start).network.encoder.layer1[0].conv1.weight  # type: ignore[union-attr, index]
    weight = module.segmenter.network.encoder.layer1[0].conv1.weight  # type: ignore[union-attr, index]
    assert weight.dim() == 5
    torch.testing.assert_close(weight.sum(2), flat_weight)  # type: ignore[operator]


def test_a_whole_volume_is_predicted_as_by_a_pass_over_all_of_it() -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), dims=3, pooling=((2, 2, 2),) * 3))
    segmenter.eval()
    pixels = np.random.default_rng(0).integers(0, 255, (1, 16, 24, 24)).astype(np.float32)
    low, high = np.percentile(pixels, (1.0, 99.8))
    with torch.inference_mode():
        logits = segmenter.network(torch.from_numpy((pixels[None] - low) / (high - low)).float())
    found = predict_item(segmenter, pixels)
    assert found.shape == (16, 24, 24)
    assert ((found > 0) == (logits[0, 0].numpy() >= 0)).mean() > 0.999


def test_bfloat16_is_left_aside_on_a_processor(stacks: Path) -> None:
    module = SegmentationModule(**NETWORK)
    with torch.autocast("cpu", torch.bfloat16), module.sound_precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
