from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import tifffile
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unetkit.cli import main
from unetkit.foundation.errors import ModelError
from unetkit.foundation.synthetic import write_dataset
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.zoo import smp_folder
from unetkit.zoo.opening import describe_model, load_model

RANDOM = {"encoder_weights": None}


def saved(folder: Path, kind: str = "Unet", encoder: str = "resnet18", **arguments: Any) -> nn.Module:
    """Write a network of smp with random weights as its users do, and return it."""
    torch.manual_seed(1)
    network: nn.Module = getattr(smp, kind)(encoder, **{**RANDOM, **arguments})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
    network.save_pretrained(folder)  # type: ignore[operator]
    return network.eval()


def change(folder: Path, **values: Any) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | values))


def probabilities(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """What unetkit makes of raw pixels (N, C, h, w)."""
    segmenter = load_model(folder)
    values = segmenter.normalizer.statistics(np.zeros((pixels.shape[1], 4)))
    center, scale = (torch.from_numpy(one)[None] for one in (values.center, values.scale))
    with torch.inference_mode():
        return segmenter(pixels, center, scale)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 96, 128)).astype(np.float32))


@pytest.mark.parametrize("encoder", ["resnet18", "vgg11_bn", "tu-resnetv2_18"])
@pytest.mark.parametrize("depth", [3, 5])
def test_a_unet_on_a_known_encoder_is_a_model_as_any_other(
    encoder: str, depth: int, tmp_path: Path, pixels: torch.Tensor
) -> None:
    channels = (64, 32, 16, 8, 8)[:depth]
    network = saved(tmp_path, encoder=encoder, encoder_depth=depth, decoder_channels=channels)
    spec = describe_model(tmp_path)
    assert (spec.arch, spec.encoder, spec.depth) == ("unet", encoder.removeprefix("tu-"), depth)
    assert spec.foreign is None
    with torch.inference_mode():
        expected = network(pixels / 255).sigmoid()
    torch.testing.assert_close(probabilities(tmp_path, pixels), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "encoder", "arguments"),
    [
        ("UnetPlusPlus", "resnet18", {"decoder_channels": (16, 8, 8, 8, 8)}),
        ("FPN", "resnet18", {}),
        ("DeepLabV3Plus", "mobilenet_v2", {}),
        ("Linknet", "resnet18", {}),
        ("MAnet", "resnet18", {"decoder_channels": (16, 8, 8, 8, 8)}),
        ("PSPNet", "resnet18", {}),
        ("Segformer", "mit_b0", {}),
        ("Unet", "efficientnet-b0", {"decoder_channels": (16, 8, 8, 8, 8)}),
        ("Unet", "resnet18", {"decoder_attention_type": "scse", "decoder_channels": (32, 16, 16, 16, 16)}),
        ("Unet", "resnet18", {"aux_params": {"classes": 4}}),
    ],
)
def test_other_networks_are_those_of_smp(
    kind: str, encoder: str, arguments: dict[str, Any], tmp_path: Path, pixels: torch.Tensor
) -> None:
    network = saved(tmp_path, kind, encoder, **arguments)
    spec = describe_model(tmp_path)
    assert spec.foreign is not None
    assert (spec.arch, spec.foreign.kind, spec.foreign.halo_known) == ("foreign", "smp", False)
    with torch.inference_mode():
        logits = network(pixels / 255)
    logits = logits[0] if isinstance(logits, tuple) else logits
    torch.testing.assert_close(probabilities(tmp_path, pixels), logits.sigmoid(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Unet", "FPN"])
@pytest.mark.parametrize(
    ("classes", "activation"),
    [(1, None), (1, "sigmoid"), (2, None), (2, "softmax2d"), (2, "logsoftmax"), (4, None), (4, "softmax2d")],
)
def test_the_activation_decides_what_the_output_means(
    kind: str, classes: int, activation: str | None, tmp_path: Path, pixels: torch.Tensor
) -> None:
    network = saved(tmp_path, kind, classes=classes, activation=activation)
    with torch.inference_mode():
        output = network(pixels / 255)
    if activation is None:
        output = output.sigmoid() if classes == 1 else output.softmax(1)
    elif activation == "logsoftmax":
        output = output.exp()
    expected = output[:, 1:] if classes == 2 else output
    assert describe_model(tmp_path).classes == max(classes, 2)
    torch.testing.assert_close(probabilities(tmp_path, pixels), expected, atol=1e-5, rtol=1e-4)


def test_weights_that_began_with_photographs_get_their_colours(tmp_path: Path, pixels: torch.Tensor) -> None:
    network = saved(tmp_path)
    change(tmp_path, encoder_weights="imagenet")  # nothing is downloaded: its weights are in the folder
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network((pixels / 255 - mean[:, None, None]) / std[:, None, None]).sigmoid()
    torch.testing.assert_close(probabilities(tmp_path, pixels), expected, atol=1e-5, rtol=0)
    assert "124, 116, 104" in load_model(tmp_path).remarks[0]


def test_a_file_beside_it_says_better(tmp_path: Path) -> None:
    saved(tmp_path, "FPN", classes=3)
    (tmp_path / "model.yaml").write_text(
        "normalization: {method: percentile, low: 2}\nchannels: [2]\nactivation: sigmoid\nthreshold: 0.3\nhalo: [70]\n"
    )
    spec = describe_model(tmp_path)
    assert spec.foreign is not None
    assert (spec.normalization.low, spec.threshold, spec.classes, spec.halo) == (2, 0.3, 2, 96)
    assert (spec.foreign.channels, spec.foreign.halo_known, spec.foreign.remarks) == ((2,), True, ())


def test_a_folder_of_unetkit_is_a_model_of_unetkit(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    save_model(tiny_segmenter, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"_model_class": "Unet"}')
    assert smp_folder.describe(tmp_path).halo == tiny_segmenter.spec.halo
    assert load_model(tmp_path).spec.encoder == "resnet18"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"_model_class": "Popen"}, "is of Popen, which smp"),
        ({"_model_class": None}, "is of None, which smp"),
        ({"checkpoint_path": "/etc/passwd"}, "has checkpoint_path, which smp's Unet does not take"),
        ({"encoder_name": "tu-hf-hub:evil/code"}, "which neither smp nor timm has"),
        ({"activation": "argmax2d"}, "makes no probabilities"),
        ({"activation": ["a"]}, "makes no probabilities"),
        ({"encoder_depth": 9, "decoder_attention_type": "scse"}, "cannot be built"),
        ({"encoder_name": "resnet34"}, "not of the network that its config.json describes"),
        ({"classes": 3}, "not of the network that its config.json describes"),
    ],
)
def test_a_config_that_is_wrong_or_reaches_further_is_refused(
    values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    saved(tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)


def test_spoiled_files_are_errors(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="does not say which network"):
        smp_folder.load(tmp_path)
    change(tmp_path, _model_class="Unet", encoder_name="resnet18")
    state = load_file(tmp_path / "model.safetensors")
    state["segmentation_head.0.bias"][0] = float("nan")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="NaN"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_a_halo_is_measured_whatever_is_said_of_the_pixels(
    small_halo_canvas: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    saved(tmp_path / "smp", in_channels=1, encoder_depth=3, decoder_channels=(16, 8, 8))
    (tmp_path / "smp" / "model.yaml").write_text("normalization: {method: mean_std}")
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8))
    for mask in ("first.tif", "second.tif"):
        command = ["segment", str(tmp_path / "a.tif"), str(tmp_path / mask), "--model", str(tmp_path / "smp")]
        assert main([*command, "--device", "cpu", "--backend", "torch"]) == 0
        said = capsys.readouterr().out
        assert "normalised" not in said
        assert ("it is measured on this image" in said) == (mask == "first.tif")


@pytest.mark.parametrize("kind", ["Unet", "Linknet"])
def test_the_engine_runs_it_in_tiles_with_a_halo_that_it_measures(
    kind: str,
    small_halo_canvas: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_dataset(tmp_path / "cells", 1, 384, 0)
    image = next((tmp_path / "cells" / "images").iterdir())
    arguments = {"decoder_channels": (16, 8, 8)} if kind == "Unet" else {}
    saved(tmp_path / "smp", kind, in_channels=1, encoder_depth=3, **arguments)
    options = ["--model", str(tmp_path / "smp"), "--device", "cpu", "--backend", "torch", "--tile", "192"]
    assert main(["segment", str(image), str(tmp_path / "mask.tif"), *options]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 to 255 become 0 to 1" in said
    assert "it is measured on this image" in said
    whole = predict_tiled(tifffile.imread(image), tmp_path / "smp", device="cpu", tile=512)
    assert (tifffile.imread(tmp_path / "mask.tif") != whole).mean() < 1e-3
