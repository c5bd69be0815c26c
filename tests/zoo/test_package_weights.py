"""Weights of packages: those of the description and no others, and no code is run to get them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from foreign_models import Scales, WritesOnLoading
from torch import nn

pytest.importorskip("bioimageio.core")

from bioimageio_packages import noise, pack, rewrite

import unetkit
from unetkit.errors import ModelError
from unetkit.zoo.opening import describe_model, load_model


@pytest.mark.parametrize("entry", ["onnx", "torchscript"])
def test_weights_that_are_not_those_of_the_description_are_refused(tmp_path: Path, entry) -> None:
    folder = rewrite(pack(tmp_path, weights=[entry]), lambda content: None)
    weights = next(path for path in folder.iterdir() if path.stem == "weights" and path.suffix in (".onnx", ".pt"))
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert describe_model(folder).foreign is not None  # its weights are not read
    with pytest.raises(ModelError, match="SHA-256 is another one"):
        load_model(folder)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    folder = rewrite(pack(tmp_path), lambda content: None)
    (folder / "weights.onnx").unlink()
    with pytest.raises(ModelError, match=r"weights\.onnx is missing"):
        load_model(folder)


@pytest.mark.parametrize("name", ["../weights.onnx", "/etc/passwd", "a/../../weights.onnx"])
def test_weights_outside_a_package_are_refused(tmp_path: Path, name) -> None:
    folder = rewrite(pack(tmp_path), lambda content: content["weights"]["onnx"].update(source=name))
    shutil.copy(folder / "weights.onnx", folder.parent / "weights.onnx")
    with pytest.raises(ModelError):
        load_model(folder)


def test_weights_that_are_only_an_address_are_not_fetched(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["weights"]["onnx"]["source"] = "https://example.com/weights.onnx"

    with pytest.raises(ModelError, match=r"only its address is|not in"):
        load_model(rewrite(pack(tmp_path), change))


def test_code_in_a_package_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    def change(content: dict[str, Any]) -> None:
        entry = content["weights"].pop("onnx")
        content["weights"] = {
            "pytorch_state_dict": {
                "source": entry["source"],
                "sha256": entry["sha256"],
                "pytorch_version": "2.0.0",
                "architecture": {"source": "network.py", "callable": "Net", "sha256": "0" * 64},
            }
        }

    folder = rewrite(pack(tmp_path, weights=["onnx"]), change)
    (folder / "network.py").write_text(f"open({str(mark)!r}, 'w')")
    with pytest.raises(ModelError, match="runs no code") as raised:
        load_model(folder)
    assert "onnx, torchscript" in raised.value.remedy
    assert not mark.exists()


def state_of(tmp_path: Path, network: nn.Module, architecture: dict[str, Any]) -> Path:
    """Return a package whose weights are a state dict."""
    package = pack(tmp_path, Scales(), weights=["onnx"], features=0)
    torch.save(network.state_dict(), tmp_path / "state.pth")
    digest = hashlib.sha256((tmp_path / "state.pth").read_bytes()).hexdigest()

    def change(content: dict[str, Any]) -> None:
        content["weights"] = {
            "pytorch_state_dict": {
                **{"source": "state.pth", "sha256": digest, "pytorch_version": "2.0.0"},
                "architecture": architecture,
            }
        }

    folder = rewrite(package, change)
    shutil.copy(tmp_path / "state.pth", folder)
    return folder


def test_a_network_of_smp_is_built_from_its_class(tmp_path: Path) -> None:
    kwargs = {"encoder_name": "resnet18", "encoder_weights": None, "in_channels": 1, "activation": "sigmoid"}
    network = smp.Unet(**kwargs).eval()
    call = {"import_from": "segmentation_models_pytorch", "callable": "Unet", "kwargs": kwargs}
    model = load_model(state_of(tmp_path, network, call))
    image = noise(64, 96) / 255
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)[None, None])[0, 0].numpy()
    got = unetkit.predict_tiled(image, model, output="probabilities", halo=0)
    np.testing.assert_allclose(got.squeeze(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ({"import_from": "os", "callable": "system", "kwargs": {"command": "touch ran"}}, r"os\.system"),
        ({"import_from": "segmentation_models_pytorch", "callable": "Nothing", "kwargs": {}}, "Nothing"),
        ({"import_from": "segmentation_models_pytorch", "callable": "Unet", "kwargs": {"path": "x"}}, "path"),
        (
            {
                "import_from": "segmentation_models_pytorch",
                "callable": "Unet",
                "kwargs": {"encoder_name": "tu-hf-hub:someone/model"},
            },
            "names the encoder",
        ),
        (
            {
                "import_from": "segmentation_models_pytorch",
                "callable": "Unet",
                "kwargs": {"encoder_name": "resnet18", "classes": 3, "activation": "logsoftmax"},
            },
            "logarithms",
        ),
    ],
)
def test_other_classes_and_arguments_are_not_called(tmp_path: Path, call, named, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=named):
        load_model(state_of(tmp_path, Scales(), call))
    assert not (tmp_path / "ran").exists()


def test_torchscript_that_writes_files_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.jit.script(WritesOnLoading(str(mark))).save(str(tmp_path / "hostile.pt"))
    digest = hashlib.sha256((tmp_path / "hostile.pt").read_bytes()).hexdigest()

    def change(content: dict[str, Any]) -> None:
        content["weights"]["torchscript"].update(source="hostile.pt", sha256=digest)

    folder = rewrite(pack(tmp_path, weights=["torchscript"]), change)
    shutil.copy(tmp_path / "hostile.pt", folder)
    with pytest.raises(ModelError, match="may do more than compute"):
        load_model(folder)
    assert not mark.exists()
