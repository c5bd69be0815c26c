"""Every combination of the outputs of a start and of what is trained, with the smallest network."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unetkit.models.architectures import DECODER_CHANNELS
from unetkit.models.heads import match_classes, mix_outputs
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.models.weights import LoadReport, load_weights

OUTPUTS: dict[str, dict[str, object]] = {
    "mask": {},
    "instances": {"instances": True},
    "3 classes": {"classes": 3},
    "4 classes": {"classes": 4},
}


def tiny(**settings: object) -> ModelSpec:
    return ModelSpec(**{"encoder": "resnet18", "depth": 3, "decoder_channels": (16, 8, 8), **settings})  # type: ignore[arg-type]


def start(folder: Path, spec: ModelSpec) -> tuple[str, nn.Module]:
    """Write a model with random weights, and return its file and its network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        segmenter = Segmenter(spec).eval()
    path = folder / "start.safetensors"
    save_model(segmenter, path)
    return str(path), segmenter.network


def continued(weights: str, spec: ModelSpec) -> tuple[nn.Module, LoadReport]:
    network = build_network(spec).eval()
    return network, load_weights(network, weights, spec)


def foreground(logits: Tensor) -> Tensor:
    """Where an image (N, C, h, w) is foreground: one or two outputs are a mask, more are classes."""
    return logits[:, 0] > 0 if logits.shape[1] < 3 else logits.argmax(1) > 0


@torch.inference_mode()
@pytest.mark.parametrize(("donor", "target"), list(product(OUTPUTS, OUTPUTS)))
@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (1, 3)])
def test_a_start_finds_the_same_foreground_whatever_its_outputs_become(
    donor: str, target: str, channels: tuple[int, int], tmp_path: Path
) -> None:
    weights, before = start(tmp_path, tiny(in_channels=channels[0], **OUTPUTS[donor]))
    network, report = continued(weights, tiny(in_channels=channels[1], **OUTPUTS[target]))
    assert report.predicts
    assert not report.missing
    grey = torch.rand(1, 1, 32, 32)
    was, now = before(grey.repeat(1, channels[0], 1, 1)), network(grey.repeat(1, channels[1], 1, 1))
    if "classes" not in donor:
        assert torch.equal(foreground(now), foreground(was))
    if donor == target:
        torch.testing.assert_close(now, was, atol=1e-4, rtol=1e-4)
    if donor == "4 classes" and target == "3 classes":
        torch.testing.assert_close(now, was[:, :3], atol=1e-4, rtol=1e-4)
    if donor == "3 classes" and target == "4 classes":
        torch.testing.assert_close(now[:, :3], was, atol=1e-4, rtol=1e-4)
    if "classes" in donor and "classes" not in target:
        torch.testing.assert_close(now[:, 0], was[:, 1:].mean(1) - was[:, 0], atol=1e-4, rtol=1e-4)
    assert report.stand_in == (target == "instances" and donor != "instances")
    if report.stand_in:
        torch.testing.assert_close(now[:, 1], now[:, 0])


def test_what_is_done_with_the_outputs_is_said(tmp_path: Path) -> None:
    weights, _ = start(tmp_path, tiny(instances=True))
    assert "only the mask of its two outputs is taken" in str(continued(weights, tiny())[1])
    assert "each class starts as its foreground" in str(continued(weights, tiny(classes=3))[1])
    weights, _ = start(tmp_path, tiny())
    assert "it has no distance map" in str(continued(weights, tiny(instances=True))[1])
    assert str(continued(weights, tiny())[1]).endswith("tensors loaded")


def test_classes_are_matched_by_their_names_and_without_names_by_their_numbers() -> None:
    names, others = ("none", "red", "blue"), ("background", "green", "blue", "red")
    assert match_classes(names, others, 3, 4) == (0, None, 2, 1)
    assert match_classes((), others, 3, 4) == (0, 1, 2, None)
    assert match_classes(names, (), 3, 2) == (0, 1)
    mixture = mix_outputs(tiny(classes=3, class_names=names), tiny(classes=4, class_names=others))
    assert mixture.shares.tolist() == [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [0, 1, 0]]
    assert mixture.note == "3 of its 3 classes are taken, 1 start as the mean of its classes"


@torch.inference_mode()
@pytest.mark.parametrize("arch", ["unet", "plain_unet"])
@pytest.mark.parametrize(("donor", "target"), [(3, 4), (4, 3), (3, 5), (5, 3)])
def test_a_start_of_another_depth_gives_what_lies_at_the_same_resolution(
    arch: str, donor: int, target: int, tmp_path: Path
) -> None:
    def of(depth: int) -> ModelSpec:
        if arch == "plain_unet":
            return ModelSpec(arch="plain_unet", base_channels=2, depth=depth, batch_norm=True)
        return tiny(depth=depth, decoder_channels=DECODER_CHANNELS[-depth:])

    weights, before = start(tmp_path, of(donor))
    network, report = continued(weights, of(target))
    given, shift = before.state_dict(), target - donor
    last = {name: value for name, value in network.state_dict().items() if f"decoder.blocks.{target - 1}." in name}
    assert last
    for name, value in last.items():
        assert torch.equal(value, given[name.replace(f".{target - 1}.", f".{target - 1 - shift}.", 1)])
    assert report.predicts
    assert bool(report.missing) == (target > donor)


def test_outputs_of_a_start_of_another_kind_are_no_prediction(tmp_path: Path) -> None:
    weights, _ = start(tmp_path, tiny(task="reconstruction"))
    report = continued(weights, tiny())[1]
    assert not report.predicts
    weights, _ = start(tmp_path, tiny(image_classes=("ill",), image_size=32))
    assert continued(weights, tiny(image_classes=("ill",), image_size=32))[1].predicts
    assert continued(weights, tiny())[1].predicts
    report = continued(weights, tiny(image_classes=("well",), image_size=32))[1]
    assert not report.predicts
    assert "image head left out: it is for other classes of images" in str(report)
