"""One network of each family from training to its mask, and on the other backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tifffile import imread
from tiny_fit import Fit

from unetkit.backends.registry import create_backend, is_installed
from unetkit.cli import main
from unetkit.io.files import find_images
from unetkit.zoo.opening import load_model

PLAIN = "--model.arch plain_unet --model.encoder resnet34 --model.decoder_channels null --model.base_channels 4"
VALID = f"{PLAIN} --model.padding valid --data.crop 128 --model.loss weighted_bce"

NETWORKS = {
    "resnext": "--model.encoder resnext50_32x4d",
    "pre-activation": "--model.encoder resnetv2_18",
    "vgg": "--model.encoder vgg11_bn",
    "inception": "--model.encoder inceptionv4",
    "plain": f"{PLAIN} --model.batch_norm true --model.freeze_encoder true",
    "plain, as in 2015": f"{VALID} --model.optimizer sgd --model.weight_decay 0",
}


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_from_training_to_the_mask(settings: str, fit_cells: Fit, cells: Path, tmp_path: Path) -> None:
    more = "--data.crops_per_epoch 4 --trainer.max_epochs 1 --model.ema_decay 0 --name run"
    assert fit_cells(tmp_path, *settings.split(), *more.split())[0] == 0
    model = tmp_path / "run" / "model.safetensors"
    image = find_images(cells / "images")[0]
    assert main(["segment", str(image), str(tmp_path / "mask.tif"), "--model", str(model), "--device", "cpu"]) == 0
    assert imread(tmp_path / "mask.tif").shape == (96, 96)
    segmenter = load_model(model)
    pixels = torch.from_numpy(imread(image).astype(np.float32))[None, None]
    probe = (pixels, pixels.mean((2, 3)), pixels.std((2, 3)))
    kept = (slice(16, 80), slice(0, 61))
    with torch.inference_mode():
        expected = segmenter(*probe)[:, :, kept[0], kept[1]]
    for backend in ("torch", "onnxruntime", *["openvino"] * ("plain" in settings)):
        if is_installed(backend):
            got = create_backend(backend, segmenter, torch.device("cpu"), "fp32")(*probe, kept)
            torch.testing.assert_close(got, expected, rtol=0, atol=2e-4)


def test_a_crop_of_which_nothing_is_left_is_an_error(
    fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_cells(tmp_path, *VALID.split(), "--data.crop", "64")[0] == 2
    assert "leaves nothing to predict" in capsys.readouterr().err
