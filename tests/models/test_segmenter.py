from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unetkit.foundation.errors import ModelError, OutputError
from unetkit.models import segmenter as module
from unetkit.models.model_file import hash_file, read_spec
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import FORMAT_VERSION, ModelSpec
from unetkit.zoo.opening import load_model


def outputs(model: Segmenter) -> torch.Tensor:
    pixels = torch.randint(0, 255, (1, 1, 24, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.inference_mode():
        result: torch.Tensor = model(pixels, torch.full((1, 1), 9.0), torch.full((1, 1), 99.0))
    return result


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Write a model file again with its description or its weights changed."""
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()[module.METADATA_KEY])
    state = load_file(path)
    change(spec, state)
    save_file(state, path, {module.METADATA_KEY: json.dumps(spec)})


def test_a_model_survives_its_file(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tiny_segmenter.to(memory_format=torch.channels_last)
    save_model(tiny_segmenter, path)
    loaded = load_model(path)
    assert not loaded.training
    assert loaded.spec == replace(tiny_segmenter.spec, unetkit_version=version("unetkit"))
    same_layout = loaded.to(memory_format=torch.channels_last)
    torch.testing.assert_close(outputs(same_layout), outputs(tiny_segmenter), rtol=0, atol=0)
    assert loaded.name == str(path)
    assert loaded.sha256 == hash_file(path)
    assert len(loaded.sha256) == 64
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_float16_on_disk_halves_the_file_and_barely_changes_the_mask(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Segmenter(ModelSpec("resnet18", 1, 2, 3, (32, 16, 8)))
    pixels = torch.randint(0, 255, (8, 1, 64, 64), dtype=torch.uint8)
    center, scale = torch.full((8, 1), 9.0), torch.full((8, 1), 99.0)
    for _ in range(3):
        model(pixels, center, scale)  # batch norm statistics that are not zero and one
    model.eval()
    save_model(model, tmp_path / "whole.safetensors")
    save_model(model, tmp_path / "half.safetensors", torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.51 * (tmp_path / "whole.safetensors").stat().st_size
    loaded = load_model(tmp_path / "half.safetensors")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32, torch.int64}
    with torch.inference_mode():
        before, after = model(pixels, center, scale), loaded(pixels, center, scale)
    torch.testing.assert_close(after, before, rtol=0, atol=5e-3)
    threshold = before.median()
    assert ((before > threshold) != (after > threshold)).float().mean() < 5e-3


def test_what_float16_cannot_hold_stays_float32(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    variances = tiny_segmenter.network.get_submodule("encoder.bn1").running_var
    assert isinstance(variances, torch.Tensor)
    variances[3] = 70_000.5
    path = tmp_path / "model.safetensors"
    save_model(tiny_segmenter, path, torch.float16)
    stored = load_file(path)
    assert stored["network.encoder.bn1.running_var"].dtype == torch.float32
    assert stored["network.encoder.bn1.running_mean"].dtype == torch.float16
    loaded = load_model(path).network.get_submodule("encoder.bn1").running_var
    assert torch.equal(torch.as_tensor(loaded), variances)


def test_a_network_that_restores_images_gives_them_as_they_come(tiny_model: Path) -> None:
    rewrite(tiny_model, lambda spec, state: spec.update(task="reconstruction"))
    model = load_model(tiny_model)
    pixels, center, scale = torch.rand(1, 1, 32, 32), torch.zeros(1, 1), torch.ones(1, 1)
    with torch.inference_mode():
        assert torch.equal(model(pixels, center, scale), model.network(pixels))


def test_probabilities_are_sigmoid_or_softmax() -> None:
    spec = ModelSpec("resnet18", 1, 4, 3, (32, 16, 8))
    probabilities = outputs(Segmenter(spec).eval())
    assert probabilities.shape == (1, 4, 24, 32)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 24, 32))


def test_the_description_is_read_without_the_weights(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_network", None)
    assert read_spec(tiny_model).encoder == "resnet18"


@pytest.mark.parametrize("size", [0, 4, 100, 5000, -1])
def test_a_truncated_file_is_a_model_error(tiny_model: Path, size: int) -> None:
    tiny_model.write_bytes(tiny_model.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        load_model(tiny_model)


def test_what_is_no_model_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ModelError, match="There is no model file"):
        load_model(path)
    with pytest.raises(ModelError, match="is not a model that unetkit can read"):
        load_model(tmp_path)
    path.write_text("a text")
    with pytest.raises(ModelError, match="is not a unetkit model"):
        load_model(path)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="holds weights, but not a unetkit model's description"):
        load_model(path)


def test_a_newer_model_says_to_upgrade(tiny_model: Path) -> None:
    rewrite(tiny_model, lambda spec, state: spec.update(format_version=FORMAT_VERSION + 1))
    with pytest.raises(ModelError, match="newer unetkit"):
        load_model(tiny_model)


def test_an_encoder_that_does_not_exist_is_a_model_error(tiny_model: Path) -> None:
    rewrite(tiny_model, lambda spec, state: spec.update(encoder="resnet19"))
    with pytest.raises(ModelError, match=r"tiny\.safetensors .*no encoder 'resnet19'"):
        load_model(tiny_model)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, state: spec.update(encoder="resnet50"),
        lambda spec, state: spec.update(in_channels=3),
        lambda spec, state: state.pop("network.encoder.conv1.weight"),
        lambda spec, state: state.update(extra=torch.zeros(1)),
    ],
)
def test_weights_that_do_not_fit_the_description_are_a_model_error(tiny_model: Path, change: Any) -> None:
    rewrite(tiny_model, change)
    with pytest.raises(ModelError, match="do not fit its description"):
        load_model(tiny_model)


def test_a_model_file_appears_whole_or_not_at_all(
    tiny_segmenter: Segmenter, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny_model.read_bytes()

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        save_model(tiny_segmenter, tiny_model)
    monkeypatch.undo()
    assert tiny_model.read_bytes() == before
    assert [path.name for path in tiny_model.parent.iterdir()] == [tiny_model.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_file_permissions_honour_the_umask(
    tiny_segmenter: Segmenter, tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        save_model(tiny_segmenter, tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode
