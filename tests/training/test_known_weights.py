"""Training from weights with a name or an address; a server on this machine has small files laid out as theirs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from fake_hub import COMMIT, FakeHub, FakeRepository, serving
from safetensors.torch import save
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.fetching import download, hugging_face
from unetkit.fetching.hugging_face import fetch_weights
from unetkit.fetching.registry import KNOWN_WEIGHTS
from unetkit.models.model_file import read_spec
from unetkit.zoo.opening import load_model

FROZEN = ("--model.freeze_encoder", "true", "--trainer.max_epochs", "1")
FIRST = "network.encoder.layer1.0.conv1.weight"


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return dict(torchvision.models.resnet18().state_dict())


@pytest.fixture
def server(resnet: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """MicroNet's file of a ResNet-18, and a repository with one; the caches are empty."""
    from huggingface_hub import constants

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(download, "SCHEMES", ("http",))
    fetch_weights.cache_clear()
    stored = io.BytesIO()
    torch.save(resnet, stored)
    known = KNOWN_WEIGHTS["micronet"]
    path = known.files["resnet18"].address.partition(".com/")[2]
    repository = FakeRepository({COMMIT: {"model.safetensors": save(resnet)}}, licence="cc-by-4.0")
    with serving(FakeHub({"lab/encoder": repository}, {path: stored.getvalue()})) as running:
        file = replace(known.files["resnet18"], address=f"{running.address}/{path}")
        monkeypatch.setitem(KNOWN_WEIGHTS, "micronet", replace(known, files={"resnet18": file}))
        monkeypatch.setattr(hugging_face, "ENDPOINT", running.address)
        yield running


def check_start(model: Path, resnet: dict[str, torch.Tensor]) -> None:
    """The frozen encoder is the one that was fetched."""
    weights = load_model(model).state_dict()
    assert torch.equal(weights[FIRST], resnet["layer1.0.conv1.weight"])


def test_fit_starts_from_micronet_and_the_model_says_so(
    server: FakeHub, resnet: dict[str, torch.Tensor], fit_cells: Fit, tmp_path: Path
) -> None:
    code, out = fit_cells(tmp_path, "--model.weights", "micronet", *FROZEN, "--name", "run")
    assert code == 0
    for said in ("first convolution adapted from 3 to 1 channels", "trained on MicroNet", "licence MIT", "s41524-022"):
        assert said in out
    check_start(tmp_path / "run/model.safetensors", resnet)
    start = read_spec(tmp_path / "run/model.safetensors").training["start"]
    assert (start["weights"], start["licence"]) == ("micronet", "MIT")
    assert start["sha256"] == hashlib.sha256(next(iter(server.files.values()))).hexdigest()  # type: ignore[arg-type]
    assert "micronet, licence MIT" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    server.files.clear()  # and again without a network; a run that goes on still knows
    assert fit_cells(tmp_path, "--model.weights", "micronet", *FROZEN, "--name", "again")[0] == 0
    assert main(["fit", "--resume", str(tmp_path / "again"), "--trainer.max_epochs", "2"]) == 0
    assert read_spec(tmp_path / "again/model.safetensors").training["start"] == start


def test_fit_starts_from_an_address(
    server: FakeHub, resnet: dict[str, torch.Tensor], fit_cells: Fit, tmp_path: Path
) -> None:
    code, out = fit_cells(tmp_path, "--model.weights", "hf:lab/encoder", *FROZEN, "--name", "run")
    assert code == 0
    assert "licence cc-by-4.0" in out
    check_start(tmp_path / "run/model.safetensors", resnet)
    start = read_spec(tmp_path / "run/model.safetensors").training["start"]
    assert start["address"] == f"https://huggingface.co/lab/encoder/tree/{COMMIT}"


@pytest.mark.parametrize("more", [[], ["--plan", "true"]])
def test_an_encoder_without_such_weights_is_refused_before_anything_is_done(
    more: list[str], server: FakeHub, fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_cells(tmp_path, "--model.weights", "micronet", "--model.encoder", "vgg19", *more)[0] == 2
    said = capsys.readouterr().err
    assert "There are no weights 'micronet' for the encoder vgg19." in said
    assert "Set model.encoder to one of resnet18" in said
    assert not server.asked


def test_without_a_network_it_says_what_to_do(
    server: FakeHub, fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files.clear()
    assert fit_cells(tmp_path, "--model.weights", "micronet")[0] == 2
    assert "with another machine and put it at" in capsys.readouterr().err
