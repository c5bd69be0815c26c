from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unetkit.foundation.errors import ModelError
from unetkit.models.builtin_models import builtin_path
from unetkit.models.integrity import DIGEST_KEY
from unetkit.models.model_file import METADATA_KEY
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.unet import build_network
from unetkit.models.weight_files import read_weights
from unetkit.models.weights import load_weights
from unetkit.zoo.opening import load_model


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_a_byte_that_changes_anywhere_in_a_model_file_is_noticed(tiny_model: Path) -> None:
    whole = tiny_model.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    description, length = whole.index(b"format_version"), len(metadata_of(tiny_model)[METADATA_KEY]) - 2
    rng = random.Random(0)
    places = [rng.randrange(header, len(whole)) for _ in range(20)]
    places += [description + rng.randrange(length) for _ in range(20)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(7)
        tiny_model.write_bytes(damaged)
        with pytest.raises(ModelError, match=tiny_model.name):
            load_model(tiny_model)
    tiny_model.write_bytes(whole)
    load_model(tiny_model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_damaged_weights_are_no_start_for_training_either(
    tiny_segmenter: Segmenter, tmp_path: Path, dtype: torch.dtype
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(tiny_segmenter, path, dtype)
    load_weights(build_network(tiny_segmenter.spec), str(path), tiny_segmenter.spec)
    damaged = bytearray(path.read_bytes())
    damaged[-9] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="does not match its digest"):
        load_weights(build_network(tiny_segmenter.spec), str(path), tiny_segmenter.spec)


def test_a_file_from_before_there_were_digests_loads(tiny_model: Path) -> None:
    metadata = metadata_of(tiny_model)
    assert len(metadata.pop(DIGEST_KEY)) == 32
    save_file(load_file(tiny_model), tiny_model, metadata)
    load_model(tiny_model)


def test_the_same_model_is_the_same_file(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    for name in "abcdef":  # safetensors alone writes the metadata in any order
        save_model(tiny_segmenter, tmp_path / name)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_safetensors_itself_reads_the_file(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    tiny_segmenter.spec = replace(tiny_segmenter.spec, training={"who": "Zoë"})
    save_model(tiny_segmenter, tmp_path / "model.safetensors")
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == tiny_segmenter.state_dict().keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in tiny_segmenter.state_dict().items())
    assert set(metadata_of(tmp_path / "model.safetensors")) == {METADATA_KEY, DIGEST_KEY}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tiny_segmenter: Segmenter, tmp_path: Path, value: float) -> None:
    next(tiny_segmenter.parameters()).data[0] = value
    path = tmp_path / "model.safetensors"
    save_model(tiny_segmenter, path)
    with pytest.raises(ModelError, match=r"NaN or infinite weights, such as network\.encoder\.conv1\.weight"):
        load_model(path)
    with pytest.raises(ModelError, match="NaN or infinite weights"):
        read_weights(path)
    torch.save(tiny_segmenter.state_dict(), tmp_path / "model.pth")
    with pytest.raises(ModelError, match="NaN or infinite weights"):
        read_weights(tmp_path / "model.pth")


def test_the_built_in_model_has_a_digest() -> None:
    path = builtin_path("nuclei")
    assert path is not None
    assert DIGEST_KEY in metadata_of(path)
